"""A coordinator that tells how long ZooKeeper takes to answer. Changes nothing of what it says."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from orchestrator.core.model import Instant
from orchestrator.core.ports import Clock, Coordinator, Op, Pending, Stored


class MeasuringCoordinator:
    """Coordinator (see the port). `took` is told read or write, and the seconds until the answer or its loss.

    For a write it is called in the connection thread, so it must not block.
    """

    def __init__(self, coordinator: Coordinator, clock: Clock, took: Callable[[str, float], None]) -> None:
        self._coordinator, self._clock, self._took = coordinator, clock, took

    @property
    def connected(self) -> bool:
        return self._coordinator.connected

    def hearing_since(self) -> Instant:
        return self._coordinator.hearing_since()

    def submit(self, ops: Sequence[Op], wake: Callable[[], None] | None = None) -> Pending:
        sent = self._clock.waiter_now()

        def answered() -> None:
            self._took("write", self._clock.waiter_now() - sent)
            if wake is not None:
                wake()

        return self._coordinator.submit(ops, answered)

    def read(self, path: str, timeout_s: float = 2.0) -> Stored | None:
        sent = self._clock.waiter_now()
        found = self._coordinator.read(path, timeout_s)
        self._took("read", self._clock.waiter_now() - sent)
        return found

    def children(self, path: str, timeout_s: float = 2.0) -> tuple[str, ...]:
        sent = self._clock.waiter_now()
        found = self._coordinator.children(path, timeout_s)
        self._took("read", self._clock.waiter_now() - sent)
        return found
