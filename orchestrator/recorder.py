"""Writes history and answers after the fact, in a thread of its own: nothing here can delay a decision."""

from __future__ import annotations

import logging
import queue
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from orchestrator.answered import Answered
from orchestrator.coordination.paths import Paths
from orchestrator.coordination.records import Broken, Writer
from orchestrator.core.answers import answers
from orchestrator.core.errors import KembarError, StaleWrite
from orchestrator.core.history import (
    ENDS,
    EVENTS_MAX,
    TIMELINE,
    Event,
    Incident,
    Recent,
    event_of,
    of_note,
    opened,
    steps,
)
from orchestrator.core.model import Instant
from orchestrator.core.ports import Clock, Coordinator
from orchestrator.core.requests import Kind, RequestState
from orchestrator.core.rules import Decision
from orchestrator.core.situation import Situation
from orchestrator.core.transitions import Answer
from orchestrator.loop import Look
from orchestrator.watching import Watching, zookeeper_ms

log = logging.getLogger("kembar.history")

WRITE_S = 2.0
TIMELINE_WAIT_S = 5.0  # the new primary measures its own phases and reports them after it has opened
REQUESTS_KEPT = 20  # that everybody watches; those before them are found by their id for a day


@dataclass(frozen=True, slots=True)
class _Open:
    """An incident under way, with the instants of its turning points on this orchestrator's clock."""

    incident: Incident
    began: Instant
    decided: Instant
    fenced: Instant | None = None
    fence_ms: float | None = None  # as the old primary measured it itself
    ended: Instant | None = None


class Recorder:
    """Takes the looks of one loop. `term_version` is asked at each write: only the leader records."""

    def __init__(
        self,
        paths: Paths,
        coordinator: Coordinator,
        clock: Clock,
        watching: Watching,
        term_version: Callable[[], int | None],
        utc: Callable[[float], str],
    ) -> None:
        self._paths, self._clock, self._watching = paths, clock, watching
        self._answered = Answered(paths, coordinator)
        self._term_version, self._utc = term_version, utc
        self._writer = Writer(coordinator, paths)
        self._looks: queue.SimpleQueue[Look | None] = queue.SimpleQueue()
        self._owed: deque[Event] = deque(
            maxlen=EVENTS_MAX
        )  # from the other threads of this orchestrator, until they are stored
        self._open: _Open | None = None
        self._recent, self._version = Recent(), -1
        self._broken: Broken | None = None
        self._noted: deque[str] = deque(maxlen=EVENTS_MAX)  # what looks from before their answer still ask for

    def take(self, look: Look) -> None:
        """From the loop: never blocks. Only what leads to a record is kept."""
        if not look.leading or look.situation is None:
            return
        if look.written or self._open or self._owed or answers(look.situation):
            self._looks.put(look)

    def tell(self, event: Event) -> None:
        """From another thread: an event of what it has written, to be stored with the next look."""
        self._owed.append(replace(event, at=self._utc(self._clock.wall_s())))

    def stop(self) -> None:
        self._looks.put(None)

    def run(self) -> None:
        while (look := self._looks.get()) is not None:
            try:
                self._record(look)
            except KembarError as error:
                log.warning("history: %s", error)

    def _record(self, look: Look) -> None:
        situation, term_version = look.situation, self._term_version()
        if situation is None or term_version is None:
            return
        self._catch_up(look)
        if self._version >= 0:  # never without a version, which would overwrite whatever is there
            if look.written and look.decided is not None:
                self._note(look, look.decided, situation, term_version)
            self._complete(look, situation, term_version)
            while self._owed:
                self._store(self._owed[0], None, term_version)
                self._owed.popleft()
        self._answer(look, situation, term_version)

    def _catch_up(self, look: Look) -> None:
        """Go on from what is stored, unless our own last write is newer than what the mirror showed.

        What cannot be read is left for a person to see; an acknowledgement begins it anew with what is known here.
        """
        stored = self._watching.recent(look.seen)
        self._broken = None
        if isinstance(stored, Broken):
            if stored.version < 0 or stored.version > self._version:
                self._broken, self._version = stored, -1
        elif stored.version > self._version:
            self._recent, self._version = stored.value, stored.version

    def _note(self, look: Look, decision: Decision, s: Situation, term_version: int) -> None:
        at = self._utc(self._clock.wall_s())
        begun = opened(decision, s, at)
        if begun is not None:
            at_ms = zookeeper_ms(look.seen)
            self._open = _began(replace(begun, at_ms=at_ms), s)
        elif self._open is not None:
            self._open = _advanced(self._open, decision, s.now)
        incident = self._open.incident if self._open else None
        self._store(event_of(decision, s, at, incident), incident, term_version)

    def _complete(self, look: Look, s: Situation, term_version: int) -> None:
        """Once it has ended, take the new primary's own measurements as soon as its report has them."""
        current = self._open
        if current is None or current.ended is None:
            return
        reports = s.reports.get(current.incident.target)
        report = reports.value if reports else None
        has_timeline = (
            report is not None and report.epoch >= current.incident.epoch and TIMELINE[-1] in report.timeline_ms
        )
        aborted = current.incident.outcome == "aborted"
        if not (has_timeline or aborted or look.now - current.ended > TIMELINE_WAIT_S):
            return
        fence_ms = (
            current.fence_ms if current.fence_ms is not None else 1000 * ((current.fenced or s.now) - current.decided)
        )
        detect_ms = 1000 * (current.decided - current.began) - (current.fence_ms or 0.0)
        timeline = steps(current.incident, detect_ms=detect_ms, fence_ms=fence_ms, report=report)
        self._open = None
        self._store(None, replace(current.incident, steps=timeline), term_version)

    def _store(self, event: Event | None, incident: Incident | None, term_version: int) -> None:
        recent = self._recent
        if event is not None:
            recent = recent.with_event(event)
        if incident is not None:
            recent = recent.with_incident(incident)
        self._put(recent, term_version)
        if incident is not None and incident.steps:
            self._keep(incident, term_version)

    def _put(self, recent: Recent, term_version: int, answers: tuple[Answer, ...] = ()) -> None:
        try:
            self._writer.put(self._paths.recent, recent, self._version, term_version, WRITE_S, answers)
        except StaleWrite:
            self._version = -1  # a former leader's last word came in between; the next look shows it
            raise
        self._recent, self._version = recent, self._version + 1

    def _acknowledge(self, now_ms: int, term_version: int) -> None:
        anew, broken = replace(self._recent, acknowledged_ms=now_ms), self._broken
        if broken is not None and broken.version < 0:
            self._writer.put(self._paths.recent, anew, None, term_version, WRITE_S)
            self._recent, self._version = anew, 0
            return
        if broken is not None:
            self._version = broken.version
        if self._version < 0:
            raise StaleWrite(f"{self._paths.recent} was written by another; the next look shows it")
        self._put(anew, term_version)

    def _add_note(self, answer: Answer, s: Situation, term_version: int) -> None:
        """Event and answer in one write: whatever becomes of a leader, the note is in the log once."""
        if self._version < 0 or answer.request.id in self._noted:
            return
        event = of_note(answer.request, s.cluster, self._utc(self._clock.wall_s()))
        self._put(self._recent.with_event(event), term_version, (answer,))
        self._noted.append(answer.request.id)

    def _keep(self, incident: Incident, term_version: int) -> None:
        self._writer.put(self._paths.incident(str(incident.id)), incident, None, term_version, WRITE_S)

    def _answer(self, look: Look, s: Situation, term_version: int) -> None:
        for answer in answers(s):
            if answer.request.kind is Kind.NOTE:
                self._add_note(answer, s, term_version)
                continue
            if answer.request.kind is Kind.ACKNOWLEDGE and answer.request.state is RequestState.DONE:
                self._acknowledge(zookeeper_ms(look.seen), term_version)
            self._writer.put(
                self._paths.request(answer.request.id), answer.request, answer.version, term_version, WRITE_S
            )
        ended = [
            id
            for id, one in s.requests.items()
            if one.value.state not in (RequestState.REQUESTED, RequestState.RUNNING)
        ]
        ended.sort(key=lambda id: s.requests[id].first_seen)
        for request_id in ended[:-REQUESTS_KEPT]:
            self._answered.move(s.requests[request_id], zookeeper_ms(look.seen), term_version)


def _began(incident: Incident, s: Situation) -> _Open:
    """The incident's zero: the last sign of the old primary's power, less what its agent needed to shut the gate."""
    sighting = s.leases.get(s.primary)
    if incident.rule in ("F1", "F5") and sighting is not None:
        took_s = sighting.value.took_ms / 1000 if incident.rule == "F5" else 0.0
        fence_ms = sighting.value.took_ms if incident.rule == "F5" else None
        return _Open(incident, began=sighting.first_seen - took_s, decided=s.now, fence_ms=fence_ms)
    return _Open(incident, began=s.now, decided=s.now)


def _advanced(current: _Open, decision: Decision, now: Instant) -> _Open:
    rule = decision.rule.id if decision.rule else ""
    if rule in ("F2", "S2"):
        return replace(current, fenced=now, incident=replace(current.incident, epoch=decision.cluster.epoch))
    if rule in ENDS and current.ended is None:
        total_ms = round(1000 * (now - current.began), 1)
        return replace(current, ended=now, incident=replace(current.incident, outcome=ENDS[rule], total_ms=total_ms))
    return current
