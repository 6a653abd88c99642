"""What a failover that began now would cost, and whether it could begin at all. Shown and counted, never decided on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from orchestrator.core.analysis import Finding, analyze
from orchestrator.core.conditions import certificate_broken
from orchestrator.core.gtid import GtidSet
from orchestrator.core.history import TIMELINE, Incident
from orchestrator.core.model import Certified, Cluster, Mysqld, NodeName, Phase, Policy, Report
from orchestrator.core.situation import Situation
from orchestrator.core.unreadable import Record

MEASURED_MAX = 5  # of the last failovers, what the next one is expected to take after
NOBODY_KNOWS: Mapping[Finding, str] = {
    Finding.BLIND: "no node is heard",
    Finding.RECORD_OLD: "ZooKeeper lost writes",
    Finding.TWO_WRITERS: "both nodes take writes",
}


@dataclass(frozen=True, slots=True)
class Readiness:
    """The standby as the heir of a primary that fails now. None: nobody can say.

    `loss_transactions` counts what a client may have been told is safe and the standby has not, as of the primary's
    report `loss_as_of_s` ago; while commits do not wait for the standby, later ones come on top.
    """

    standby: str = ""
    promotable: bool | None = None
    because: tuple[str, ...] = ("nothing has been read yet",)  # why not, or why nobody can say
    held: str = ""  # what keeps a failover from beginning by itself, though the standby is promotable
    loss_transactions: int | None = None
    loss_as_of_s: float = 0.0
    backlog_transactions: int = 0  # that it executes first
    exited_ms: float | None = None  # writes are out so long if mysqld exits, as measured here; None: never yet
    silent_ms: float | None = None  # if its host falls silent: the fence wait, and the takeover as measured here
    measured: int = 0  # failovers that `exited_ms` comes from

    @property
    def ready(self) -> bool:
        """Whether it would lose nothing that a client was told is safe, and end with a primary."""
        return self.promotable is True and self.loss_transactions == 0

    @property
    def automatic(self) -> bool:
        """Whether it would also begin by itself."""
        return self.ready and not self.held


def readiness(s: Situation, incidents: Sequence[Incident] = ()) -> Readiness:
    """The whole judgement; `incidents` in any order, of this pair."""
    if unknown := NOBODY_KNOWS.get(analyze(s)):
        return Readiness(s.standby, because=(unknown,))
    because, report, primary = _against(s), s.report(s.standby), s.reports.get(s.primary)
    exited = _last([one for one in incidents if one.rule == "F5"])
    return Readiness(
        standby=s.standby,
        promotable=not because,
        because=because,
        held=_held(s),
        loss_transactions=_loss(s),
        loss_as_of_s=round(max(s.now - primary.first_seen, 0.0), 3) if primary else 0.0,
        backlog_transactions=report.backlog_transactions if report else 0,
        exited_ms=round(median(one.total_ms for one in exited), 1) if exited else None,
        silent_ms=round(1000 * s.lease(s.primary).timing.fence_wait_s + _takeover_ms(incidents), 1),
        measured=len(exited),
    )


def _against(s: Situation) -> tuple[str, ...]:
    """Everything that speaks against the standby's takeover; empty if it is promotable."""
    if s.cluster.phase not in (Phase.STEADY, Phase.REJOINING):
        return (f"the pair is {s.cluster.phase}",)
    found = obstacles(s.standby, s.cluster, s.policy, s.report(s.standby))
    if s.cannot_read(Record.POLICY):
        found += ("the policy cannot be read",)
    if not s.armed():
        found += ("commits do not wait for it",)
    if not found and certificate_broken(s):
        found = ("its certificate is about to be withdrawn",)
    return found


def _held(s: Situation) -> str:
    """What keeps a failover from beginning by itself; empty: nothing."""
    if s.paused:
        return "paused"
    if s.hold_down:
        return "hold-down"
    return "" if s.clear else "a record cannot be read"


def obstacles(node: NodeName, cluster: Cluster, policy: Policy, report: Report | None) -> tuple[str, ...]:
    """What speaks against the promotion of `node`, shortest words first. `report`: None if it is not heard."""
    if report is None:
        return ("not heard",)
    found: Mapping[str, object] = {
        "maintenance": node in policy.maintenance,
        "refused": report.refusals,
        "state directory": report.memory,
        "mysqld " + report.mysqld: report.mysqld is not Mysqld.RUNNING,
        f"{count(report.errant)} errant": report.errant,
        "applier error": report.applier_error,
        "differs from the primary": report.differing,
        "receiver " + receiver(report): not report.receiver_connected,
        "mode ASYNC": cluster.mode == "ASYNC",
        "not certified": cluster.promotable is None,
        "restarted since": cluster.promotable != Certified(node, report.incarnation),
    }
    return tuple(words for words, holds in found.items() if holds)


def receiver(report: Report) -> str:
    """Whether it receives: on, connecting or off."""
    if report.receiver_connected:
        return "on"
    return "connecting" if report.receiver_running else "off"


def count(gtid_set: str) -> int | None:
    """How many transactions; None if it is no set."""
    try:
        return len(GtidSet.parse(gtid_set))
    except ValueError:
        return None


def _loss(s: Situation) -> int | None:
    primary, standby = s.report(s.primary), s.report(s.standby)
    if standby is None:
        return None
    covered = s.armed() and s.sync(s.primary).standby == standby.incarnation and not standby.applier_error
    if covered:
        return 0  # a commit returned to its client only when this life of the standby had it
    if primary is None:
        return None
    try:
        there = GtidSet.parse(standby.executed)
        # An applier that stopped skips nothing: what it has only received is not served.
        there = there if standby.applier_error else there | GtidSet.parse(standby.received)
        return len(GtidSet.parse(primary.executed) - there)
    except ValueError:
        return None


def _last(incidents: Sequence[Incident]) -> list[Incident]:
    ended = [one for one in incidents if one.kind == "failover" and one.outcome == "ok"]
    return sorted(ended, key=lambda one: one.id)[-MEASURED_MAX:]


def _takeover_ms(incidents: Sequence[Incident]) -> float:
    """From the proven fence to the first write, as the last failovers measured it; 0 if there was none."""
    measured = [sum(step.duration_ms for step in one.steps if step.phase in TIMELINE) for one in _last(incidents)]
    return median(measured) if measured else 0.0
