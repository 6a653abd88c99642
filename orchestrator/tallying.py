"""Counts, after the fact and in a thread of its own, what ended and how long a failover would have been safe."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from orchestrator.coordination.paths import Paths
from orchestrator.coordination.records import Broken, Writer
from orchestrator.core.errors import KembarError
from orchestrator.core.model import Instant
from orchestrator.core.ports import Clock, Coordinator
from orchestrator.core.readiness import readiness
from orchestrator.core.situation import Sighting, Situation
from orchestrator.core.totals import HOUR_S, Totals, counted, watched
from orchestrator.loop import Look
from orchestrator.watching import Watching, zookeeper_ms

log = logging.getLogger("kembar.totals")

LOOK_EVERY_S = 1.0
WRITE_EVERY_S = 10.0  # each write wakes everybody, and what is lost with a leader is no more than this
WRITE_S = 2.0
FRESH_S = 1.0  # a tick that stands still has watched nothing
GAP_MAX_S = 5.0  # nor has this thread, if it stood still


class Tally:
    """Takes the looks of one loop. `term_version` is asked at each write: only the leader counts."""

    def __init__(
        self,
        paths: Paths,
        coordinator: Coordinator,
        clock: Clock,
        watching: Watching,
        term_version: Callable[[], int | None],
    ) -> None:
        self._path, self._writer = paths.totals, Writer(coordinator, paths)
        self._clock, self._watching, self._term_version = clock, watching, term_version
        self._stop = threading.Event()
        self._look: Look | None = None
        self._watched: Instant | None = None  # until when the time was counted
        self._owed: dict[int, tuple[float, float]] = {}  # hour -> watched_s, ready_s that are not written yet
        self._written: Instant | None = None

    def take(self, look: Look) -> None:
        """From the loop: never blocks, looks at nothing."""
        self._look = look

    def stop(self) -> None:
        self._stop.set()

    def run(self) -> None:
        while not self._stop.wait(LOOK_EVERY_S):
            try:
                self.pass_once()
            except KembarError as error:
                log.warning("totals: %s", error)

    def pass_once(self) -> None:
        """Count the time since the last pass, and write if something ended or the time is worth a write.

        Raises KembarError if the write fails; what ended is counted again from the next look.
        """
        look, now, term_version = self._look, self._clock.waiter_now(), self._term_version()
        if look is None or look.situation is None or term_version is None or now - look.now > FRESH_S:
            self._watched = None
            return
        self._watch(look.situation, now, zookeeper_ms(look.seen) // (1000 * HOUR_S))
        stored = self._stored(look)
        recent = self._watching.recent(look.seen)
        incidents = recent.value.incidents if isinstance(recent, Sighting) else ()
        found = counted(stored.value, look.situation, incidents)
        due = self._written is None or now - self._written >= WRITE_EVERY_S
        if found == stored.value and not (due and self._owed):
            return
        # Given away before the write, whose answer may be lost: rather too little of both than the same time twice.
        owed, self._owed, self._written = self._owed, {}, now
        for hour, (watched_s, ready_s) in owed.items():
            found = watched(found, hour, watched_s, ready_s)
        version = stored.version if stored.version >= 0 else None
        self._writer.put(self._path, found, version, term_version, WRITE_S)

    def _watch(self, s: Situation, now: Instant, hour: int) -> None:
        passed_s = now - self._watched if self._watched is not None else 0.0
        if 0 < passed_s <= GAP_MAX_S:
            watched_s, ready_s = self._owed.get(hour, (0.0, 0.0))
            self._owed[hour] = (watched_s + passed_s, ready_s + (passed_s if readiness(s).ready else 0.0))
        self._watched = now

    def _stored(self, look: Look) -> Sighting[Totals]:
        """What to go on from. Totals that cannot be read begin anew, as those of a new pair: nothing rests on them."""
        found = self._watching.totals(look.seen)
        return Sighting(Totals(), found.version, look.now) if isinstance(found, Broken) else found
