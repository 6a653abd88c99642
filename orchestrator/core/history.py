"""Events and incidents: what happened, why, who started it, its timeline. Written after the fact, never decided on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from orchestrator.core.analysis import Finding, sentence
from orchestrator.core.model import Cluster, NodeName, Report
from orchestrator.core.requests import Request
from orchestrator.core.rules import Decision
from orchestrator.core.situation import Situation

EVENTS_MAX = 100
NOTES_MAX = 20  # of them: whoever notes a lot pushes out little of what the pair did
NOTE_ADDED = "note.added"
NOTE_MAX = 500  # characters
INCIDENTS_MAX = 30


@dataclass(frozen=True, slots=True)
class Step:
    """One phase of a timeline: detect, fence, drain, promote, vip or verify."""

    phase: str
    offset_ms: float  # since the incident began, by the leader's clock
    duration_ms: float


@dataclass(frozen=True, slots=True)
class Incident:
    """One failover or switchover; once it has its timeline it is kept at history/incidents/<id> too."""

    id: int
    kind: str  # failover, switchover
    trigger: str  # auto or manual
    actor: str
    reason: str
    rule: str
    epoch: int
    origin: NodeName  # the primary before
    target: NodeName  # the primary after
    began: str  # UTC, ISO 8601 with milliseconds, for people
    cause: str = ""  # id of the operator's request, empty if nobody asked
    at_ms: int = 0  # ZooKeeper's time of the record that began it: what the hold-down counts by
    outcome: str = "running"  # running, ok, aborted
    total_ms: float = 0.0
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the event log; `type` as in CloudEvents, without the leading `kembar.`."""

    type: str
    at: str
    severity: str  # info, warning, critical
    text: str
    epoch: int
    seq: int
    rule: str = ""
    node: str = ""
    incident: int = 0
    trigger: str = ""  # of an incident's events: auto or manual, and the rest of who, why, from where, to where
    actor: str = ""
    reason: str = ""
    origin: str = ""
    target: str = ""
    number: int = 0  # only grows from event to event; that of the record, where an older version left it out

    @property
    def place(self) -> int:
        return self.number or self.seq


@dataclass(frozen=True, slots=True)
class Recent:
    """The newest events and incidents, newest last; one node in ZooKeeper, at history/recent, bounded."""

    events: tuple[Event, ...] = ()
    incidents: tuple[Incident, ...] = ()
    acknowledged_ms: int = 0  # ZooKeeper's time: failovers until then count towards no hold-down

    def with_event(self, event: Event) -> Recent:
        """Added, with a number above every other: of one desired record there may be several. A note drops the oldest
        one beyond `NOTES_MAX`."""
        last = max((one.place for one in self.events), default=-1)
        notes = [one for one in self.events if one.type == NOTE_ADDED]
        dropped = notes[0] if event.type == NOTE_ADDED and len(notes) >= NOTES_MAX else None
        kept = tuple(one for one in self.events if one is not dropped)
        return replace(self, events=(*kept, replace(event, number=max(event.seq, last + 1)))[-EVENTS_MAX:])

    def with_incident(self, incident: Incident) -> Recent:
        """Added, or put in the place of the one with its id."""
        others = tuple(one for one in self.incidents if one.id != incident.id)
        return replace(self, incidents=(*others, incident)[-INCIDENTS_MAX:])

    def automatic_failovers(self, now_ms: int, within_s: float) -> int:
        """Completed unplanned failovers in the last `within_s` that nobody has acknowledged, by ZooKeeper's times."""
        since_ms = max(self.acknowledged_ms, now_ms - within_s * 1000)
        automatic = (one for one in self.incidents if one.kind == "failover" and one.trigger == "auto")
        return sum(one.outcome == "ok" and one.at_ms > since_ms for one in automatic)


OPENS = {"F1": "failover", "F5": "failover", "F6": "failover", "S1": "switchover"}
ENDS = {"F3": "ok", "F4": "aborted", "S3": "aborted"}
SEVERITY = {"F1": "critical", "F5": "critical", "F6": "critical", "F4": "critical", "U1": "warning", "U3": "warning"}
EVENT_TYPES = {
    "F1": "failover.started",
    "F5": "failover.started",
    "F6": "failover.started",
    "F2": "failover.phase",
    "F3": "failover.completed",
    "F4": "failover.aborted",
    "S1": "switchover.started",
    "S2": "switchover.phase",
    "S3": "switchover.failed",
    "U1": "mode.async",
    "U2": "mode.sync",
    "U3": "standby.withdrawn",
    "R1": "replication.restored",
}


def event_of(decision: Decision, s: Situation, at: str, incident: Incident | None) -> Event:
    """The log line of one written decision."""
    assert decision.rule is not None
    rule, after = decision.rule, decision.cluster
    detail = "" if decision.finding is Finding.HEALTHY else f" ({sentence(decision.finding, s)})"
    event = Event(
        type=EVENT_TYPES[rule.id],
        at=at,
        severity=SEVERITY.get(rule.id, "info"),
        text=f"{rule.why}{detail}; primary {after.primary}, {after.phase}, {after.mode}",
        epoch=after.epoch,
        seq=after.seq,
        rule=rule.id,
        node=after.primary,
    )
    if incident is None:
        return event
    return replace(
        event,
        incident=incident.id,
        trigger=incident.trigger,
        actor=incident.actor,
        reason=incident.reason,
        origin=incident.origin,
        target=incident.target,
    )


def of_note(request: Request, cluster: Cluster, at: str) -> Event:
    """The log line that somebody asked for."""
    return Event(
        type=NOTE_ADDED,
        at=at,
        severity=request.severity,
        text=request.reason,
        epoch=cluster.epoch,
        seq=cluster.seq,
        trigger="manual",
        actor=request.actor,
    )


def opened(decision: Decision, s: Situation, at: str) -> Incident | None:
    """The incident that this decision begins, if it begins one."""
    if decision.rule is None or decision.rule.id not in OPENS:
        return None
    request = _cause(decision.cluster, s)
    target = decision.cluster.primary if decision.rule.id == "F6" else s.standby  # an adoption may keep the primary
    return Incident(
        id=decision.cluster.seq,
        kind=OPENS[decision.rule.id],
        trigger="manual" if request else "auto",
        cause=decision.cluster.cause,
        actor=request.actor if request else "orchestrator",
        reason=request.reason if request else sentence(decision.finding, s),
        rule=decision.rule.id,
        epoch=decision.cluster.epoch,
        origin=s.other(target),
        target=target,
        began=at,
    )


def steps(incident: Incident, *, detect_ms: float, fence_ms: float, report: Report | None) -> tuple[Step, ...]:
    """The timeline in order, each phase with its offset: what the leader saw, then what the new primary measured.

    The new primary's phases are counted back from the end: what lies between is the way of the record to it.
    """
    first = [("detect", detect_ms), ("fence", fence_ms)]
    if incident.rule == "F5":  # the agent shuts its gate by itself, before anybody is told
        first.reverse()
    then = []
    if report is not None and report.epoch >= incident.epoch:
        then = [(phase, report.timeline_ms[phase]) for phase in TIMELINE if phase in report.timeline_ms]
    prepared_ms = incident.total_ms - sum(duration_ms for _, duration_ms in then)
    begins_ms = max(prepared_ms, 0.0 if incident.rule == "F1" else detect_ms + fence_ms)  # F1: it prepares during W
    return (*_laid_out(first, 0.0), *_laid_out(then, begins_ms))


def _laid_out(durations: Sequence[tuple[str, float]], offset_ms: float) -> Iterator[Step]:
    for phase, duration_ms in durations:
        yield Step(phase, round(offset_ms, 1), round(duration_ms, 1))
        offset_ms += duration_ms


TIMELINE = ("drain", "promote", "vip", "verify")


def _cause(cluster: Cluster, s: Situation) -> Request | None:
    sighting = s.requests.get(cluster.cause)
    return sighting.value if sighting else None
