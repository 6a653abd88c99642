"""Sends the notices of one channel, oldest first, each until it is taken. One thread a channel: none waits for another.

A notice leaves the outbox in the write that records its end. Whoever leads next sends what is still there.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from orchestrator.coordination.paths import Paths
from orchestrator.coordination.records import readable
from orchestrator.core.delivery import GIVE_UP_S, Attempt, Ended, delay_s
from orchestrator.core.errors import KembarError
from orchestrator.core.history import Event
from orchestrator.core.model import Instant
from orchestrator.core.outbox import UNDELIVERABLE, ChannelState, Ledger, Notice, Route
from orchestrator.core.ports import Check, Clock, Coordinator, Delete, Op, SetData, Stored
from orchestrator.core.wire import encode

log = logging.getLogger("kembar.alerts")

IDLE_S = 2.0
WRITE_S = 2.0
REPEAT_S = 60.0  # for receivers that take silence for the end of an alert
Send = Callable[[Sequence[Notice]], Attempt]


class Courier:
    """One channel of one pair. `send` may block for as long as it likes, and never raises for what a receiver does.

    `chance` gives numbers within 0 and 1; `tell` takes an event for the history. With `repeats` everything that is open
    is sent again every minute, as Alertmanager asks of its senders.
    """

    def __init__(
        self,
        route: Route,
        paths: Paths,
        coordinator: Coordinator,
        clock: Clock,
        term_version: Callable[[], int | None],
        utc: Callable[[float], str],
        send: Send,
        chance: Callable[[], float],
        tell: Callable[[Event], None],
        *,
        repeats: bool = False,
    ) -> None:
        self._route, self._paths, self._coordinator, self._clock = route, paths, coordinator, clock
        self._term_version, self._utc, self._send, self._chance = term_version, utc, send, chance
        self._tell, self._repeats = tell, repeats
        self._folder = paths.channel(route.name)
        self._ended: dict[str, Attempt] = {}  # sent, though the outbox could not be told so yet
        self._failures = 0
        self._not_before: Instant = -math.inf
        self._repeated: Instant = -math.inf
        self._wake = threading.Event()
        self._stopping = False

    def wake(self) -> None:
        """Look soon: there is something to send."""
        self._wake.set()

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()

    def run(self) -> None:
        while not self._stopping:
            try:
                wait_s = min(self.step(), IDLE_S)
            except KembarError as error:
                log.warning("channel %s: %s", self._route.name, error)
                wait_s = IDLE_S
            self._wake.wait(wait_s)
            self._wake.clear()

    def step(self) -> float:
        """One attempt at most; seconds until the next may be worth it.

        Raises StaleWrite, CoordinatorUnavailable, UnknownOutcome: what was sent is remembered, and not sent again.
        """
        term_version, now = self._term_version(), self._clock.waiter_now()
        if term_version is None:
            self._failures, self._not_before = 0, -math.inf
            return IDLE_S
        if now < self._not_before:
            return self._not_before - now
        names = self._coordinator.children(self._folder)
        if not names:
            return self._repeat(now) if self._repeats else IDLE_S
        path = f"{self._folder}/{names[0]}"
        stored = self._coordinator.read(path)
        if stored is None:
            return 0.0  # somebody else has sent it
        attempt = self._ended.get(path) or self._attempt(stored)
        if attempt.ended is Ended.LATER:
            return self._later(attempt, term_version)
        self._ended[path] = attempt
        self._end(path, stored, attempt, term_version)
        return 0.0

    def _attempt(self, stored: Stored) -> Attempt:
        notice = readable(Notice, stored)
        if notice is None:
            return Attempt(Ended.NEVER, "its record in the outbox cannot be read")
        attempt = self._send((notice,))
        if attempt.ended is Ended.LATER and self._clock.wall_s() - notice.made_s > GIVE_UP_S:
            return Attempt(Ended.NEVER, f"no success within a day, last: {attempt.why}")
        return attempt

    def _later(self, attempt: Attempt, term_version: int) -> float:
        self._failures += 1
        wait_s = delay_s(self._failures, attempt.after_s, self._chance())
        self._not_before = self._clock.waiter_now() + wait_s
        stored = self._coordinator.read(self._folder)
        state = readable(ChannelState, stored) or ChannelState()
        if stored is not None and state.trouble != attempt.why:
            log.warning("channel %s: %s", self._route.name, attempt.why)
            state = replace(state, trouble=attempt.why, trouble_at=self._utc(self._clock.wall_s()))
            ops = (Check(self._paths.leader, term_version), SetData(self._folder, encode(state), stored.version))
            self._coordinator.submit(ops).result(WRITE_S)
        return wait_s

    def _end(self, path: str, stored: Stored, attempt: Attempt, term_version: int) -> None:
        """Take it out of the outbox. If that fails it is tried again, without another attempt to send."""
        folder = self._coordinator.read(self._folder)
        state = self._counted(readable(ChannelState, folder) or ChannelState(), path, stored, attempt)
        ops: list[Op] = [Check(self._paths.leader, term_version), Delete(path, stored.version)]
        if folder is not None:
            ops.append(SetData(self._folder, encode(state), folder.version))
        self._coordinator.submit(ops).result(WRITE_S)
        del self._ended[path]
        self._failures, self._not_before = 0, -math.inf
        if attempt.ended is Ended.NEVER:
            self._give_up(path, stored, attempt)

    def _counted(self, state: ChannelState, path: str, stored: Stored, attempt: Attempt) -> ChannelState:
        at = self._utc(self._clock.wall_s())
        if attempt.ended is Ended.NEVER:
            return replace(state, given_up=state.given_up + 1, trouble=attempt.why, trouble_at=at)
        notice = readable(Notice, stored)
        name = notice.id if notice else path
        return replace(state, sent=state.sent + 1, last_sent=name, last_sent_at=at, trouble="", trouble_at="")

    def _give_up(self, path: str, stored: Stored, attempt: Attempt) -> None:
        """The other channels tell of it, and the history."""
        notice = readable(Notice, stored)
        what = f"{notice.id} ({notice.text[:100]})" if notice else path
        text = f"alert {what} could not be sent to channel {self._route.name}: {attempt.why}"
        log.error("%s", text)
        if notice and notice.about:
            return  # of a channel that could not be reached either: two of them would tell each other for ever
        epoch = notice.epoch if notice else 0
        self._tell(Event(UNDELIVERABLE, "", "warning", text, epoch, 0, origin=self._route.name, trigger="auto"))

    def _repeat(self, now: Instant) -> float:
        if now - self._repeated < REPEAT_S:
            return REPEAT_S - (now - self._repeated)
        ledger = readable(Ledger, self._coordinator.read(self._paths.outbox)) or Ledger()
        raised = tuple(one for one in ledger.raised.values() if self._route.takes(one))
        self._repeated = now
        if raised:
            self._send(raised)  # the next minute says it again, whatever became of this one
        return REPEAT_S
