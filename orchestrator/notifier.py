"""Turns what happens into notices in the outbox, one record a channel. In a thread of its own: no failover waits.

Only the leader does, and ledger and notices are one write: another leader goes on where this one stopped.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from orchestrator.coordination.paths import Paths
from orchestrator.coordination.records import readable
from orchestrator.core.alerts import conditions, moving, unread, writes
from orchestrator.core.errors import KembarError, StaleWrite
from orchestrator.core.history import Recent
from orchestrator.core.outbox import (
    ChannelState,
    Lasting,
    Ledger,
    Notice,
    Route,
    Words,
    begun,
    number_of,
    of_conditions,
    of_events,
    routed,
)
from orchestrator.core.ports import Check, Clock, Coordinator, Create, Op, SetData, Stored
from orchestrator.core.waiting import reason
from orchestrator.core.wire import encode
from orchestrator.loop import Look

log = logging.getLogger("kembar.alerts")

EVERY_S = 1.0
WRITE_S = 2.0


class Notifier:
    """Takes the looks of one loop. `term_version` is asked at each write; `wake` when there is something to send."""

    def __init__(
        self,
        paths: Paths,
        coordinator: Coordinator,
        clock: Clock,
        term_version: Callable[[], int | None],
        utc: Callable[[float], str],
        routes: Sequence[Route],
        wake: Callable[[], None],
    ) -> None:
        self._paths, self._coordinator, self._clock = paths, coordinator, clock
        self._term_version, self._utc, self._routes, self._wake = term_version, utc, tuple(routes), wake
        self._look: Look | None = None
        self._lasting = Lasting()
        self._told = -1  # version of the event log of which every event is told
        self._term: int | None = None  # for which the channels have their folders
        self._stopping = threading.Event()

    def take(self, look: Look) -> None:
        """From the loop: never blocks; only the last look matters."""
        self._look = look

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        while not self._stopping.wait(EVERY_S):
            try:
                self.step()
            except KembarError as error:
                log.warning("alerts: %s", error)

    def step(self) -> None:
        """One pass. Raises StaleWrite, CoordinatorUnavailable, UnknownOutcome: the next one reads and tells again."""
        look, term_version = self._look, self._term_version()
        blind = look is None or (look.situation is None and not look.unreadable)
        if look is None or blind or not look.leading or term_version is None:
            self._lasting, self._term, self._told = Lasting(), None, -1
            return
        if self._term != term_version:
            self._make_folders(term_version)
            self._term = term_version
        self._tell(look, term_version)

    def _tell(self, look: Look, term_version: int) -> None:
        stored = self._coordinator.read(self._paths.outbox)
        if stored is None:
            raise StaleWrite(f"{self._paths.outbox} does not exist: kembar init makes it")
        s = look.situation
        words = self._words(look)
        # After the ledger: whatever it speaks of is in the log that is read now, though the mirror may be older.
        log_version, recent = self._events(look)
        before = readable(Ledger, stored) or begun(recent or self._newest(), self._highest_number())
        ledger, told = of_events(before, recent, words) if recent is not None else (before, ())
        present = conditions(s) if s else unread(look.unreadable)
        raised = ledger.raised if s else {}  # of what cannot be seen nobody can say that it is over
        self._lasting = self._lasting.after(present, raised, look.now, moving=s is not None and moving(s))
        ledger, changed = of_conditions(ledger, self._lasting, present, words, look.now)
        notices = (*told, *changed)
        if notices or not stored.data or ledger != before:
            self._put(stored, ledger, notices, term_version)
        if not told:
            self._told = log_version
        for notice in notices:
            log.info("alert %s %s: %s", notice.id, notice.signal, notice.text)
        if notices:
            self._wake()

    def _events(self, look: Look) -> tuple[int, Recent | None]:
        """The log of events at its version; None if all of it was told, or if it cannot be read."""
        seen = look.seen.get(self._paths.recent)
        if seen is not None and seen.stored.version == self._told:
            return self._told, None
        stored = self._coordinator.read(self._paths.recent)
        return (stored.version if stored else -1), readable(Recent, stored)

    def _newest(self) -> Recent:
        return readable(Recent, self._coordinator.read(self._paths.recent)) or Recent()

    def _highest_number(self) -> int:
        """Of the notices that still wait: after a ledger that was lost, none of their names is used again."""
        names = [name for route in self._routes for name in self._coordinator.children(self._paths.channel(route.name))]
        return max((int(name) for name in names if name.isdecimal()), default=0)

    def _words(self, look: Look) -> Words:
        wall_s, s = self._clock.wall_s(), look.situation
        told = (writes(s), reason(s), s.cluster.epoch) if s else ("not known", look.unreadable[0].remedy, 0)
        return Words(self._paths.cluster, self._utc(wall_s), wall_s, *told)

    def _put(self, stored: Stored, ledger: Ledger, notices: Sequence[Notice], term_version: int) -> None:
        ops: list[Op] = [
            Check(self._paths.leader, term_version),
            SetData(self._paths.outbox, encode(ledger), stored.version),
        ]
        for route, notice in routed(notices, self._routes):
            ops.append(Create(self._paths.notice(route.name, number_of(notice)), encode(notice)))
        self._coordinator.submit(ops).result(WRITE_S)

    def _make_folders(self, term_version: int) -> None:
        for route in self._routes:
            path = self._paths.channel(route.name)
            if self._coordinator.read(path) is None:
                ops = (Check(self._paths.leader, term_version), Create(path, encode(ChannelState())))
                self._coordinator.submit(ops).result(WRITE_S)
