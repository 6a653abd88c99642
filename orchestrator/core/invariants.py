"""What must hold of the desired record, and of who obeys it: the same functions in production, simulator and tests.

What must hold of an agent's steps is in agents.invariants, of the lease's arithmetic in core.lease.
"""

from __future__ import annotations

from orchestrator.core.errors import InvariantBroken
from orchestrator.core.gtid import GtidSet
from orchestrator.core.model import Cluster, Mode, Phase
from orchestrator.core.reconcile import STAGES, Merge, Reconcile
from orchestrator.core.returning import Returning, Rung


def check_step(old: Cluster, new: Cluster) -> None:
    """Raises InvariantBroken naming the rule and both records."""
    for name, holds in _statements(old, new):
        if not holds:
            raise InvariantBroken(f"{name}: from {old} to {new}")


def check_return(old: Reconcile | None, new: Reconcile) -> None:
    """I16: raises InvariantBroken naming the statement and both records of returns; `old` None: the first one."""
    for name, holds in _of_returns(old, new) if old is not None else ():
        if not holds:
            raise InvariantBroken(f"{name}: from {old} to {new}")


def contradiction(record: Cluster) -> str:
    """What a desired record says against itself; empty if nothing."""
    return next((name for name, holds in _alone(record) if not holds), "")


def rival(known: Cluster, record: Cluster) -> str:
    """I1: why a record cannot be of the line of history that is known; empty if it can."""
    if record.epoch != known.epoch or record.primary == known.primary:
        return ""
    return f"I1: epoch {known.epoch} has {known.primary} as its primary, this record names {record.primary}"


def older(record: tuple[int, int], remembered: tuple[int, int]) -> bool:
    """I10: whether a record's (epoch, seq) lies before one that was followed, so that it may not be obeyed."""
    return record < remembered


def lacking(certified: GtidSet, held: GtidSet) -> GtidSet:
    """I2: what a standby was certified to hold and does not; it may not be promoted unless this is empty.

    All that was acknowledged before the certificate is in it; whatever came later was acknowledged by this standby.
    """
    return certified - held


def unreturned(returning: Returning, cut: str, executed: str, uuid: str) -> str:
    """I15 and I16: why a node has no power, not even by force; empty if nothing of a return stands against it.

    `cut`: what was cut off its log, `executed` and `uuid` of its server.
    """
    if returning.rewinding:
        return (
            f"return {returning.id} has changed rows back, and their GTIDs are still there: wait until it is through, "
            "which needs nothing of the other node"
        )
    taken_out = GtidSet.parse(cut) | GtidSet.parse(returning.errant if returning.owed else "")
    free = taken_out - GtidSet.parse(executed)
    if not free.given_by(uuid):
        return ""
    return (
        f"it would give the numbers {free} to other transactions, which were taken out of it and are kept as evidence: "
        "wait until they are back from the other node; if that is lost, stop mysqld, move auto.cnf of its data "
        "directory away, and let it start with a new server_uuid"
    )


def _statements(old: Cluster, new: Cluster) -> tuple[tuple[str, bool], ...]:
    moved = new.primary != old.primary
    promoted = moved and new.rule in ("F1", "F5", "S2")
    return (
        ("I1: seq grows by one", new.seq == old.seq + 1),
        ("I1: epoch grows by one at most, by force above all that is remembered", _grows(old, new)),
        ("I1: another primary needs another epoch", not moved or new.epoch > old.epoch),
        ("I1: the term never goes back", new.term >= old.term),
        *_alone(new),
        ("I5: automatic promotion needs SYNC and a certificate", not promoted or _certified(old, new)),
        ("I6: another primary needs a fence", not moved or (new.fence is not None and new.fence.node == old.primary)),
        ("I6: opening needs the fence to be proven", not _opens(old, new) or new.fence is not None),
    )


def _alone(record: Cluster) -> tuple[tuple[str, bool], ...]:
    promotable = record.promotable
    return (
        ("I5: nobody is promotable in ASYNC", record.mode is Mode.SYNC or promotable is None),
        ("I5: the primary is not its own heir", promotable is None or promotable.node != record.primary),
    )


def _of_returns(old: Reconcile, new: Reconcile) -> tuple[tuple[str, bool], ...]:
    same = new.id == old.id and new.attempt == old.attempt and old.open
    begun = same and bool(old.sums)
    return (
        ("I16: numbers of returns only grow", new.id >= old.id),
        ("I16: a return ends before another begins", new.id == old.id or not old.open),
        ("I16: no stage comes again", not same or new.rung is not old.rung or not _before(new, old)),
        ("I16: no rung comes again", not same or order(new.rung) >= order(old.rung)),
        ("I16: what is kept as evidence stays what it was", not begun or new.sums == old.sums),
        ("I16: what the evidence is of stays what it was", not begun or new.errant == old.errant),
        ("I16: a merge that is done stays done", not same or old.merge is not Merge.DONE or new.merge is Merge.DONE),
    )


def _before(new: Reconcile, old: Reconcile) -> bool:
    stages = STAGES[old.rung]
    return new.stage in stages and old.stage in stages and stages.index(new.stage) < stages.index(old.stage)


def order(rung: Rung) -> int:
    """Each rung costs more than the ones before."""
    return list(Rung).index(rung)


def _grows(old: Cluster, new: Cluster) -> bool:
    return new.epoch in (old.epoch, old.epoch + 1) or (new.rule == "F6" and new.epoch > old.epoch)


def _certified(old: Cluster, new: Cluster) -> bool:
    promotable = old.promotable
    return (
        old.mode is Mode.SYNC
        and promotable is not None
        and promotable.node == new.primary
        and promotable.incarnation == new.heir
    )


def _opens(old: Cluster, new: Cluster) -> bool:
    return new.phase is Phase.PROMOTING and old.phase is not Phase.PROMOTING
