"""From a situation to the record of a return: when one is opened, and what it becomes. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from orchestrator.core.gtid import GtidSet
from orchestrator.core.model import Phase, Report
from orchestrator.core.reconcile import Facts, Merge, Reconcile, advance
from orchestrator.core.returning import Returning, Rung, Stage
from orchestrator.core.situation import Situation
from orchestrator.core.unreadable import Record

SETTLED = (Phase.STEADY, Phase.REJOINING)


def wanted(s: Situation) -> Reconcile | None:
    """The record to want; None while there is none and none is needed. It may depend on a policy: one that was read."""
    present = s.reconcile.value if s.reconcile else None
    if s.cannot_read(Record.POLICY):
        return present
    if present is not None and present.open:
        if present.node == s.primary and s.cluster.phase not in SETTLED:
            return present  # power was given to it by force: until it has opened that may be taken back
        present = _carried_over(s, present)
        return advance(present, _facts(s, present))
    return _opened(s) or present


def _carried_over(s: Situation, record: Reconcile) -> Reconcile:
    """Into the present epoch, once the primary may have begun with it and while its node is still the one that returns.

    A new record would not be opened for what is half done: errant transactions whose numbers are used up on the
    primary show in no set any more, and their rows may still be there. Before that, one is: with all that there is now.
    """
    begun = record.merge is not Merge.UNKNOWN
    return replace(record, epoch=s.cluster.epoch) if begun and record.node == s.standby else record


def rebuilt(s: Situation, why: str) -> Reconcile:
    """The record of a standby that a person has made anew from the primary, whatever it has."""
    report, primary = s.report(s.standby), s.report(s.primary)
    errant = (report.errant if report else "") or (primary.peer_errant if primary else "")
    return replace(_new(s, Rung.CLONE, Stage.BUNDLE, errant), reasons=(f"rewind: {why}",))


def unsettled(record: Reconcile | None, standby: Report, executed: str) -> bool:
    """Whether the standby may not be certified yet; `executed` by the primary.

    Its return is under way, by the record or by what the node itself keeps of one; or the numbers of what was cut off
    its log are still free: as a primary it would use them again for other transactions.
    """
    under_way = standby.returning.owed or (record is not None and record.open and record.node == standby.node)
    return under_way or (bool(standby.cut) and not GtidSet.parse(standby.cut) <= GtidSet.parse(executed))


def _opened(s: Situation) -> Reconcile | None:
    """Once the new primary is open and the other node, still or again, has what it never saw."""
    report = s.report(s.standby)
    if s.cluster.phase not in SETTLED or report is None or report.epoch != s.cluster.epoch:
        return None
    primary = s.report(s.primary)
    if report.returning.owed and not (_alone(s, report, primary) and _ended(s, report.returning)):
        return _reopened(s, report.returning)
    # A standby that replicates is judged by the primary, who samples in the order that shows no false ones.
    if errant := _alone(s, report, primary):
        return _committed(s, report, errant) or _new(s, Rung.REWIND, Stage.DETECT, errant)
    # Until its server says what it has executed nobody knows that what was cut is not there.
    if primary is not None and report.executed and unsettled(None, report, primary.executed):
        return replace(_new(s, Rung.TRUNCATE, Stage.BUNDLE, report.cut), evidence=str(report.cut_in))
    return None


def _committed(s: Situation, report: Report, errant: str) -> Reconcile | None:
    """A cut that should not have been: somebody let these commits go, so their rows are there and no log has them."""
    cut = GtidSet.parse(report.cut)
    if GtidSet.parse(errant) - cut == GtidSet.parse(errant):
        return None
    why = "truncate: transactions were committed that had been cut off its log; rewind: its log no longer has them"
    record = _new(s, Rung.CLONE, Stage.BUNDLE, str(GtidSet.parse(errant) | cut))
    return replace(record, acknowledged=True, reasons=(why,), evidence=str(report.cut_in))


def _new(s: Situation, rung: Rung, stage: Stage, errant: str) -> Reconcile:
    # Only what a fenced primary in SYNC left behind was surely told to nobody.
    never_told = s.cluster.phase is Phase.REJOINING and s.cluster.heir is not None
    # Facts, journal and evidence go by this number, so that no two returns may have the same.
    number = max(s.cluster.seq, *(one + 1 for one in _used(s)))
    return Reconcile(
        number,
        s.cluster.epoch,
        s.standby,
        rung,
        stage,
        errant=errant,
        acknowledged=not never_told,
        server=_server(s.report(s.standby)),
    )


def _ended(s: Situation, said: Returning) -> bool:
    """Whether a new return may see to all that there is now: nothing was begun with, or all is settled of the first."""
    record = s.reconcile.value if s.reconcile else None
    if record is None or record.id != said.id:
        return False
    return record.merge is Merge.DONE or (record.merge is Merge.UNKNOWN and not said.rewinding)


def _reopened(s: Situation, said: Returning) -> Reconcile:
    """The record of what the node has begun: ZooKeeper lost it, or another leader closed it and never knew."""
    return Reconcile(
        said.id,
        s.cluster.epoch,
        s.standby,
        said.rung,
        Stage.BUNDLE,
        errant=said.errant,
        acknowledged=said.acknowledged,
        reasons=said.reasons,
        sums=said.sums,
        transactions=said.transactions,
        rows=said.rows,
        log_mib=said.log_mib,
        server=said.server,
        attempt=said.attempt,
        evidence=said.evidence,
    )


def _used(s: Situation) -> Iterator[int]:
    """Numbers of returns that somebody knows of: ZooKeeper may have lost the last ones."""
    yield s.reconcile.value.id if s.reconcile else 0
    for sighting in s.reports.values():
        yield sighting.value.returning.id
        yield sighting.value.merging.id


def _facts(s: Situation, record: Reconcile) -> Facts:
    report, primary = s.report(record.node), s.report(s.other(record.node))
    return Facts(
        epoch=s.cluster.epoch,
        returning=report.returning if report else None,
        merging=primary.merging if primary else None,
        replicates=report is not None and report.receiver_connected and report.applier_running,
        executed=GtidSet.parse(report.executed) if report else GtidSet(),
        nothing_errant=_nothing_errant(report, primary),
        policy=s.policy.reconcile,
        server=_server(report),
        errant=_alone(s, report, primary) if report else "",
    )


def _alone(s: Situation, report: Report, primary: Report | None) -> str:
    """What the primary never saw, by its own judgement too: it may be older than what it has taken in since.

    Nor is it errant what the primary gave the number to itself: its last report may be older than what came from it.
    """
    errant = GtidSet.parse(report.errant)
    if primary is not None:
        errant = (errant | GtidSet.parse(primary.peer_errant)) - GtidSet.parse(primary.executed)
    return str(errant - errant.given_by(_server(primary)) - _taken_in(s))


def _taken_in(s: Situation) -> GtidSet:
    """By the primary of this epoch: the report in which it says so may name a set from before."""
    record = s.reconcile.value if s.reconcile else None
    if record is None or record.merge is not Merge.DONE or (record.node, record.epoch) != (s.standby, s.cluster.epoch):
        return GtidSet()
    return GtidSet.parse(record.errant)


def _server(report: Report | None) -> str:
    """The uuid of the node's server; empty while it is not known."""
    return report.identity.get("server_uuid", "") if report is not None else ""


def _nothing_errant(report: Report | None, primary: Report | None) -> bool:
    """Both are heard, the node's server answers, and it has executed nothing that the primary has not."""
    if report is None or primary is None or not report.executed:
        return False
    return GtidSet.parse(report.executed) <= GtidSet.parse(primary.executed)
