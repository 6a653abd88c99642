"""What is counted over the life of a pair, as one record: it survives a change of leader. Each thing is counted once.

Everything is recognised by an id that is never used twice, so counting again what was counted changes nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from orchestrator.core.history import Incident
from orchestrator.core.kept import Choice
from orchestrator.core.model import Phase
from orchestrator.core.reconcile import Reconcile
from orchestrator.core.returning import Ended, Verdict
from orchestrator.core.situation import Situation
from orchestrator.core.verifying import Verifying

OUTAGE_S = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
STEP_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
STAGE_S = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0, 43200.0)
HOURS_KEPT = 24
HOUR_S = 3600
TOLD_S = 10.0  # an incident whose end is not told by then was led by an orchestrator that died meanwhile


@dataclass(frozen=True, slots=True)
class Histogram:
    """Observations by bucket; the last one holds those beyond the largest bound."""

    counts: tuple[int, ...] = ()
    sum_s: float = 0.0

    def noting(self, seconds: float, bounds: Sequence[float]) -> Histogram:
        """With one more."""
        place = bisect_left(bounds, seconds)
        counts = list(self.counts) or [0] * (len(bounds) + 1)
        counts[place] += 1
        return Histogram(tuple(counts), round(self.sum_s + seconds, 6))


@dataclass(frozen=True, slots=True)
class Hour:
    """How long the pair was watched in one hour of ZooKeeper's clock, and how long a failover would have been safe."""

    hour: int  # since 1970
    watched_s: float
    ready_s: float


@dataclass(frozen=True, slots=True)
class Totals:
    """All counters of one pair. Keys are label values, joined by a slash."""

    incident: int = -1  # the id of the last one that was counted
    operations: Mapping[str, int] = field(default_factory=dict)  # kind/trigger/outcome
    outages: Mapping[str, Histogram] = field(default_factory=dict)  # kind/trigger
    steps: Mapping[str, Histogram] = field(default_factory=dict)  # phase of a timeline
    returned: int = 0  # the id of the last return, and what of it was counted
    of_return: Mapping[str, int] = field(default_factory=dict)
    lost_of_return: int = 0
    reconciled: Mapping[str, int] = field(default_factory=dict)  # verdict
    lost: int = 0  # transactions that a client may have been told are safe, and that were discarded
    staged: int = 0  # the id of the last return whose stages were counted
    stages: Mapping[str, Histogram] = field(default_factory=dict)
    verified: Mapping[str, str] = field(default_factory=dict)  # node -> the id of its last comparison that was counted
    chunks: Mapping[str, int] = field(default_factory=dict)  # equal, hot, diverged
    watched_s: float = 0.0
    ready_s: float = 0.0
    hours: tuple[Hour, ...] = ()  # the last ones with anything to tell, oldest first

    def __post_init__(self) -> None:
        measured = ((self.outages, 2, OUTAGE_S), (self.steps, 1, STEP_S), (self.stages, 1, STAGE_S))
        for histograms, parts, bounds in measured:
            for key, one in histograms.items():
                if key.count("/") != parts - 1 or len(one.counts) != len(bounds) + 1:
                    raise ValueError(f"{key}: expected {parts} labels and {len(bounds) + 1} counts")


def counted(totals: Totals, s: Situation, incidents: Sequence[Incident]) -> Totals:
    """With whatever has ended since."""
    totals = _with_incidents(totals, s, sorted(incidents, key=lambda one: one.id))
    if s.reconcile is not None:
        totals = _with_return(totals, s.reconcile.value)
    for node, report in s.reports.items():
        totals = _with_comparison(totals, node, report.value.verified)
    return totals


def watched(totals: Totals, hour: int, watched_s: float, ready_s: float) -> Totals:
    """With `watched_s` more in that hour, of which a failover would have been safe for `ready_s`."""
    present = next((one for one in totals.hours if one.hour == hour), Hour(hour, 0.0, 0.0))
    present = Hour(hour, round(present.watched_s + watched_s, 3), round(present.ready_s + ready_s, 3))
    others = [one for one in totals.hours if one.hour != hour and one.hour > hour - HOURS_KEPT]
    hours = sorted((*others, present), key=lambda one: one.hour)
    return replace(
        totals,
        watched_s=round(totals.watched_s + watched_s, 3),
        ready_s=round(totals.ready_s + ready_s, 3),
        hours=tuple(hours[-HOURS_KEPT:]),
    )


def share(totals: Totals) -> tuple[float | None, float]:
    """The part of the watched time of the last day in which a failover would have been safe (0 to 1), and that time.

    None: it has not been watched yet.
    """
    total_s = sum(one.watched_s for one in totals.hours)
    return (sum(one.ready_s for one in totals.hours) / total_s if total_s else None), total_s


def _with_incidents(totals: Totals, s: Situation, incidents: Sequence[Incident]) -> Totals:
    for n, incident in enumerate(incidents):
        if incident.id <= totals.incident:
            continue
        later = incidents[n + 1] if n + 1 < len(incidents) else None
        settled = s.cluster.phase in (Phase.STEADY, Phase.REJOINING)
        overdue = later is not None or (settled and s.now - s.phase_since > TOLD_S)
        told = incident.outcome == "aborted" or (incident.outcome == "ok" and bool(incident.steps))
        if not (told or overdue):
            break
        totals = _with_incident(totals, incident, later.origin if later else s.cluster.primary)
    return totals


def _with_incident(totals: Totals, incident: Incident, primary_after: str) -> Totals:
    outcome = incident.outcome
    if outcome == "running":
        outcome = "ok" if primary_after == incident.target else "aborted"
    operation, outage = f"{incident.kind}/{incident.trigger}", dict(totals.outages)
    if incident.outcome == "ok":
        outage[operation] = outage.get(operation, Histogram()).noting(incident.total_ms / 1000, OUTAGE_S)
    steps = dict(totals.steps)
    for step in incident.steps:
        steps[step.phase] = steps.get(step.phase, Histogram()).noting(step.duration_ms / 1000, STEP_S)
    return replace(
        totals,
        incident=incident.id,
        operations=_added(totals.operations, {f"{operation}/{outcome}": 1}),
        outages=outage,
        steps=steps,
    )


def _with_return(totals: Totals, record: Reconcile) -> Totals:
    if record.id < totals.returned:
        return totals
    if record.id > totals.returned:
        totals = replace(totals, returned=record.id, of_return={}, lost_of_return=0)
    most = {one: max(n, totals.of_return.get(one, 0)) for one, n in record.verdicts.items()}
    grown = {one: n - totals.of_return.get(one, 0) for one, n in most.items()}
    lost = _lost(record)
    totals = replace(
        totals,
        of_return={**totals.of_return, **most},
        reconciled=_added(totals.reconciled, grown),
        lost=totals.lost + max(lost - totals.lost_of_return, 0),
        lost_of_return=max(lost, totals.lost_of_return),
    )
    if record.open or record.id == totals.staged:
        return totals
    stages = dict(totals.stages)
    for stage, took_s in _stages(record):
        stages[stage] = stages.get(stage, Histogram()).noting(took_s, STAGE_S)
    return replace(totals, staged=record.id, stages=stages)


def _lost(record: Reconcile) -> int:
    if not record.acknowledged:
        return 0
    chosen = sum(one.choice == Choice.DISCARD and one.ended == Ended.DONE for one in record.settled)
    return record.verdicts.get(Verdict.DISCARDED, 0) + chosen


def _stages(record: Reconcile) -> Iterator[tuple[str, float]]:
    """Each stage that has ended, with its duration; the last has none."""
    began = sorted(record.began_ms.items(), key=lambda one: one[1])
    for (stage, from_ms), (_, to_ms) in pairwise(began):
        yield stage, (to_ms - from_ms) / 1000


def _with_comparison(totals: Totals, node: str, one: Verifying) -> Totals:
    if not one.outcome.ended or one.id == totals.verified.get(node):
        return totals
    grown = {"equal": one.equal, "hot": one.hot, "diverged": one.diverged}
    return replace(totals, verified={**totals.verified, node: one.id}, chunks=_added(totals.chunks, grown))


def _added(before: Mapping[str, int], by: Mapping[str, int]) -> dict[str, int]:
    return {key: before.get(key, 0) + by.get(key, 0) for key in {**before, **by}}
