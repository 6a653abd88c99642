"""What page and API may ask of the outbox of one pair: what is open, what waits in which channel; a test message."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from orchestrator.coordination.paths import Paths
from orchestrator.coordination.records import readable
from orchestrator.core.errors import StaleWrite
from orchestrator.core.outbox import ChannelState, Ledger, Notice, Outgoing, Queue, Route, Words, trial
from orchestrator.core.ports import Clock, Coordinator, Create
from orchestrator.core.wire import encode

WRITE_S = 2.0


@dataclass(frozen=True, slots=True)
class Desk:
    """Of any orchestrator, whether it leads or not. Its methods block, and raise CoordinatorUnavailable."""

    paths: Paths
    coordinator: Coordinator
    clock: Clock
    utc: Callable[[float], str]
    routes: Sequence[Route]

    def outgoing(self) -> Outgoing:
        """What is open, and each channel's queue."""
        ledger = readable(Ledger, self.coordinator.read(self.paths.outbox)) or Ledger()
        return Outgoing(tuple(ledger.raised.values()), tuple(self._queue(route) for route in self.routes))

    def try_out(self, channel: str, key: str, actor: str, reason: str) -> Notice:
        """Put a test message at the end of that channel's queue; the same `key` puts it once.

        Raises StaleWrite if the channel has no queue, UnknownOutcome.
        """
        wall_s = self.clock.wall_s()
        words = Words(self.paths.cluster, self.utc(wall_s), wall_s, "", "", 0)
        notice = trial(f"{self.paths.cluster}-test-{key}", words, actor, reason)
        path = self.paths.notice(channel, f"test-{key}")  # sorts after every number
        folder = self.coordinator.read(self.paths.channel(channel))
        if folder is None:
            raise StaleWrite(f"{channel} has no queue: the leading orchestrator does not know that channel")
        state = readable(ChannelState, folder) or ChannelState()
        if state.last_sent != notice.id and self.coordinator.read(path) is None:
            self.coordinator.submit((Create(path, encode(notice)),)).result(WRITE_S)
        return notice

    def _queue(self, route: Route) -> Queue:
        folder = self.paths.channel(route.name)
        state = readable(ChannelState, self.coordinator.read(folder)) or ChannelState()
        return Queue(route, self.coordinator.children(folder), state)
