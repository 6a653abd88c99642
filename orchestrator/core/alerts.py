"""Which conditions of a pair a person is told of, how long each must last first, and in which words. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.core.analysis import Finding, analyze, sentence
from orchestrator.core.model import Phase
from orchestrator.core.reconcile import waits_for_approval
from orchestrator.core.returning import Stage
from orchestrator.core.situation import Situation
from orchestrator.core.unreadable import Unreadable

SEVERITIES = ("info", "warning", "critical")
RANK: Mapping[str, int] = {finding.value: rank for rank, finding in enumerate(Finding)}  # most alarming first


@dataclass(frozen=True, slots=True)
class Threshold:
    """How bad a condition is, and how long it must last before anybody is told."""

    severity: str
    after_s: float


# A failover takes less than the ten seconds; a standby that restarts comes back within the two minutes.
THRESHOLDS: Mapping[str, Threshold] = {
    Finding.TWO_WRITERS: Threshold("critical", 0.0),
    Finding.BLIND: Threshold("critical", 15.0),
    Finding.RECORD_OLD: Threshold("critical", 0.0),
    Finding.RECORD_UNREADABLE: Threshold("critical", 10.0),
    Finding.PRIMARY_EXITED: Threshold("critical", 10.0),
    Finding.PRIMARY_CUT_OFF: Threshold("critical", 10.0),
    Finding.PRIMARY_SILENT: Threshold("critical", 10.0),
    Finding.PRIMARY_CLOSED: Threshold("critical", 10.0),
    Finding.SYNC_STALLED: Threshold("critical", 10.0),
    Finding.STANDBY_LOST: Threshold("warning", 120.0),
    Finding.STANDBY_ERRANT: Threshold("warning", 120.0),
    Finding.STANDBY_DIFFERS: Threshold("critical", 0.0),
    Finding.NO_STANDBY: Threshold("warning", 120.0),
    "paused": Threshold("warning", 3600.0),
    "hold_down": Threshold("warning", 0.0),
    "return_stopped": Threshold("critical", 0.0),
    "approval_waiting": Threshold("warning", 120.0),
    "decision_needed": Threshold("warning", 300.0),
    "node_silent": Threshold("warning", 30.0),
    "node_refused": Threshold("warning", 30.0),
    "node_in_trouble": Threshold("warning", 30.0),
    "applier_stopped": Threshold("warning", 30.0),
}
INCIDENT = "incident"  # the alert of a failover: opened and closed by its events, not by a condition
ALERTS = (*THRESHOLDS, INCIDENT)


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that holds now. `key` tells it from every other of the pair, and is the same while it lasts."""

    alert: str
    text: str
    about: str = ""  # the node or the return

    @property
    def key(self) -> str:
        return f"{self.alert}/{self.about}" if self.about else self.alert

    @property
    def threshold(self) -> Threshold:
        return THRESHOLDS[self.alert]


def conditions(s: Situation) -> tuple[Condition, ...]:
    """Everything that holds now and that somebody may be told of."""
    return (*_found(s), *_of_pair(s), *_of_return(s), *_of_nodes(s))


def unread(records: Sequence[Unreadable]) -> tuple[Condition, ...]:
    """All that can be said while the record of the pair itself cannot be read."""
    paths = ", ".join(one.path for one in records)
    text = f"{paths} cannot be read in ZooKeeper: nothing that rests on it is decided"
    return (Condition(Finding.RECORD_UNREADABLE.value, text),)


def hidden(key: str, present: tuple[Condition, ...]) -> bool:
    """Whether a more alarming finding stands before this one, so that nobody can say whether it holds still.

    Only one finding is named at a time.
    """
    ranks = [RANK[one.alert] for one in present if one.alert in RANK]
    return key in RANK and any(rank < RANK[key] for rank in ranks)


def moving(s: Situation) -> bool:
    """Whether a failover or switchover is under way."""
    return s.cluster.phase not in (Phase.STEADY, Phase.REJOINING)


def writes(s: Situation) -> str:
    """Whether clients can write, and where; in words."""
    report = s.report(s.primary)
    if report is None:
        return f"whether {s.primary} takes writes is not known"
    if s.lease(s.primary).gate_open and report.writable:
        stalled = analyze(s) is Finding.SYNC_STALLED
        return (
            f"commits on {s.primary} wait for {s.standby}"
            if stalled
            else f"writes OK on {s.primary}, which has the VIP"
        )
    return f"no writes: {s.primary} does not serve"


def _found(s: Situation) -> Iterator[Condition]:
    finding = analyze(s)
    if finding is not Finding.HEALTHY:
        yield Condition(finding.value, sentence(finding, s))


def _of_pair(s: Situation) -> Iterator[Condition]:
    if s.paused:
        yield Condition("paused", "automatic failover is paused")
    if s.hold_down:
        yield Condition("hold_down", "no automatic failover begins: there were too many within an hour")


def _of_return(s: Situation) -> Iterator[Condition]:
    record = s.reconcile.value if s.reconcile else None
    if record is not None and record.stage is Stage.STOPPED:
        text = f"the return of {record.node} stopped: {record.stopped}"
        yield Condition("return_stopped", text, str(record.id))
    if record is not None and waits_for_approval(record, s.policy.reconcile):
        text = f"the return of {record.node} waits for a person: {record.waits or 'its setting asks for consent'}"
        yield Condition("approval_waiting", text, str(record.id))
    if s.kept.total:
        yield Condition("decision_needed", f"{s.kept.total} transactions of a return wait for a person's decision")


def _of_nodes(s: Situation) -> Iterator[Condition]:
    """Of a standby that is not heard the finding speaks; a primary may hold its lease and report nothing."""
    if s.silent(s.primary):
        yield Condition("node_silent", f"the agent of {s.primary} reports nothing", s.primary)
    for node in s.pair:
        report = s.report(node)
        if report is None:
            continue
        if report.refusals:
            yield Condition("node_refused", f"{node} is refused: {report.refusals[0]}", node)
        if report.troubles:
            yield Condition("node_in_trouble", f"{node}: {report.troubles[0]}", node)
        if report.applier_error:
            yield Condition("applier_stopped", f"{node} has stopped applying: {report.applier_error}", node)
