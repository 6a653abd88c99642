"""The record of one return: what only the returning node has, how it is taken out, and what becomes of it. Pure.

`advance` is its only state machine. The leader writes what it gives; both agents work towards it and report facts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from orchestrator.core.gtid import Gtids, GtidSet
from orchestrator.core.mergepolicy import Automation, MergePolicy
from orchestrator.core.model import NodeName
from orchestrator.core.returning import STRAY, Merging, Returning, Rung, Stage


class Merge(StrEnum):
    """What the new primary does with the errant transactions."""

    UNKNOWN = "unknown"  # it has no evidence yet
    WAITING = "waiting"  # for a person: `waits` says why
    RUNNING = "running"
    DONE = "done"


STAGES: Mapping[Rung, tuple[Stage, ...]] = {
    Rung.TRUNCATE: (Stage.BUNDLE, Stage.REJOIN, Stage.VERIFY, Stage.CLOSED),
    Rung.REWIND: (Stage.DETECT, Stage.BUNDLE, Stage.REWIND, Stage.REJOIN, Stage.VERIFY, Stage.CLOSED),
    Rung.CLONE: (Stage.DETECT, Stage.BUNDLE, Stage.CLONE, Stage.REJOIN, Stage.VERIFY, Stage.CLOSED),
}


@dataclass(frozen=True, slots=True)
class Settled:
    """What a person chose for one kept transaction of a return, and what became of it; `at_ms` by ZooKeeper's clock."""

    gtid: str
    choice: str
    actor: str
    reason: str
    ended: str
    answer: str = ""
    at_ms: int = 0


@dataclass(frozen=True, slots=True)
class Reconcile:
    """One return. `id` is no lower than the desired record's seq when it was opened, and never used twice."""

    id: int
    epoch: int
    node: NodeName
    rung: Rung
    stage: Stage
    merge: Merge = Merge.UNKNOWN
    errant: Gtids = ""
    acknowledged: bool = False  # whether a client may have been told that these are safe
    reasons: tuple[str, ...] = ()  # why not the rungs above
    sums: str = ""
    transactions: int = 0
    rows: int = 0
    log_mib: int = 0
    approved: bool = False
    waits: str = ""  # why the merge waits for a person
    stopped: str = ""
    verdicts: Mapping[str, int] = field(default_factory=dict, hash=False)
    server: str = ""  # uuid of the node's server when it was opened: another one was made from the primary since
    evidence: str = ""  # the folder of what was kept before a record was open; empty: one of this record's own
    changed: bool = False  # some of the node's rows may be changed back and others not
    attempt: int = 0  # a person lets one that stopped go on: the next
    began_ms: Mapping[str, int] = field(default_factory=dict, hash=False)  # Stage -> ZooKeeper's time of its record
    settled: tuple[Settled, ...] = ()

    @property
    def open(self) -> bool:
        return self.stage is not Stage.CLOSED


@dataclass(frozen=True, slots=True)
class Facts:
    """What `advance` looks at: the desired record's epoch, and what the two agents last said (None: silent)."""

    epoch: int
    returning: Returning | None
    merging: Merging | None
    replicates: bool  # the returning node follows the primary of this epoch
    executed: GtidSet  # by the returning node
    nothing_errant: bool  # as its own agent sees it now
    policy: MergePolicy
    server: str = ""  # uuid of the returning node's server
    errant: str = ""  # what it has now that the primary never saw, while it does not follow it


def advance(record: Reconcile, facts: Facts) -> Reconcile:
    """The record one step further, or unchanged while somebody has to move first."""
    if record.epoch != facts.epoch:
        return replace(record, stage=Stage.CLOSED, stopped="another epoch began: a new record is opened")
    if record.stage is Stage.CLOSED:
        return record
    returning = _said_of(record, facts.returning)
    merging = facts.merging if facts.merging and facts.merging.id == record.id else None
    if record.stage in (Stage.DETECT, Stage.BUNDLE):
        record = replace(record, server=record.server or facts.server)  # nothing has been replaced yet
    record = _merge(_learned(record, returning, merging), merging, facts.policy)
    if record.stage is Stage.STOPPED:
        return replace(record, stage=Stage.CLOSED, changed=False) if _rebuilt(record, facts) else record
    if returning is None:
        return record
    if record.stage is Stage.DETECT and returning.reached is Stage.DETECT and not returning.errant:
        return replace(record, stage=Stage.CLOSED, stopped="nothing is errant any more: it was looked at too late")
    if facts.errant and record.stage in (Stage.REJOIN, Stage.VERIFY) and record.merge is Merge.DONE:
        return replace(record, stage=Stage.CLOSED, stopped=f"somebody wrote there meanwhile: {facts.errant}")
    if returning.refusal and returning.rung is record.rung:
        return _next_rung(record, returning, facts.policy)
    if held(record, facts.policy) or not _reached(record, returning, merging, facts):
        return record
    return _onward(record)


def held(record: Reconcile, policy: MergePolicy) -> str:
    """The setting by which the return goes no further than its evidence; empty if none holds it.

    Beyond that it goes on whatever is set: a node that is half repaired must be repaired.
    """
    if record.stage is Stage.DETECT and policy.mode is Automation.OFF:
        return "reconcile.mode is off"
    if record.stage is not Stage.BUNDLE:
        return ""
    if policy.mode is Automation.OFF or (policy.mode is Automation.PLAN_ONLY and not record.approved):
        return f"reconcile.mode is {policy.mode}"
    return "reconcile.clone.allowed is false" if record.rung is Rung.CLONE and not policy.clone.allowed else ""


def waits_for_approval(record: Reconcile, policy: MergePolicy) -> bool:
    """Whether a person's consent would let it go on."""
    if not record.open or record.approved:
        return False
    stands = bool(held(record, policy)) and not held(replace(record, approved=True), policy)
    return stands or record.merge is Merge.WAITING


def _said_of(record: Reconcile, returning: Returning | None) -> Returning | None:
    own = returning is not None and (returning.id, returning.attempt) == (record.id, record.attempt)
    return returning if own else None


def _learned(record: Reconcile, returning: Returning | None, merging: Merging | None) -> Reconcile:
    if returning is not None and returning.reached is not None:
        record = replace(
            record,
            errant=returning.errant or record.errant,
            sums=returning.sums or record.sums,
            transactions=returning.transactions or record.transactions,
            rows=returning.rows or record.rows,
            log_mib=returning.log_mib or record.log_mib,
        )
        if record.stage is Stage.DETECT:
            record = replace(record, rung=returning.rung, reasons=returning.reasons)
    if merging is not None and record.merge is not Merge.DONE:  # after that its agent may have begun a new life
        record = replace(record, verdicts=merging.verdicts)
    return record


def _merge(record: Reconcile, merging: Merging | None, policy: MergePolicy) -> Reconcile:
    """The second track: it begins once the evidence is on both hosts, beside whatever the returning node does."""
    if record.merge is Merge.DONE or merging is None or merging.sums != record.sums or not record.sums:
        return record
    if merging.done:
        return replace(record, merge=Merge.DONE, waits="")
    why = _waits(record, merging, policy)
    return replace(record, merge=Merge.WAITING if why else Merge.RUNNING, waits=why)


def _waits(record: Reconcile, merging: Merging, policy: MergePolicy) -> str:
    if policy.mode is Automation.OFF:
        return "reconcile.mode is off"
    if record.approved:
        return ""
    if policy.mode is Automation.PLAN_ONLY:
        return "reconcile.mode is plan_only"
    return policy.waits(record.transactions, record.rows, record.log_mib) or merging.refusal


def _next_rung(record: Reconcile, returning: Returning, policy: MergePolicy) -> Reconcile:
    """The evidence is kept whatever fails, so the next rung needs no other than what is on both hosts."""
    if record.rung is Rung.CLONE or returning.refusal.startswith(STRAY):
        return replace(record, stage=Stage.STOPPED, stopped=returning.refusal)
    stage = Stage.CLONE if record.sums and policy.clone.allowed else Stage.BUNDLE
    return replace(
        record, rung=Rung.CLONE, stage=stage, reasons=(*record.reasons, f"{record.rung}: {returning.refusal}")
    )


def _reached(record: Reconcile, returning: Returning, merging: Merging | None, facts: Facts) -> bool:
    order = STAGES[record.rung]
    done = returning.reached in order and order.index(returning.reached) >= order.index(record.stage)
    match record.stage:
        case Stage.BUNDLE:
            # Once the merge was spoken of the primary has confirmed its copy: it may be lost now.
            confirmed = merging is not None and merging.sums == record.sums
            return done and (confirmed or record.merge is not Merge.UNKNOWN)
        case Stage.REJOIN:
            return facts.replicates
        case Stage.VERIFY:
            # Its next commits as a primary would take the numbers of errant ones that are nowhere.
            return done and record.merge is Merge.DONE and GtidSet.parse(record.errant) <= facts.executed
        case _:
            return done


def _rebuilt(record: Reconcile, facts: Facts) -> bool:
    """By hand, from the primary, and nothing of the evidence is still to be taken in.

    Once their numbers are used up on the primary, errant transactions no longer show in the sets of the two: a server
    that has them, and is the one that it was, holds their rows too.
    """
    settled = record.merge is Merge.DONE or not record.sums
    errant = GtidSet.parse(record.errant)
    without = errant - facts.executed == errant
    another = bool(record.server and facts.server) and facts.server != record.server
    return settled and facts.nothing_errant and (another or without)


def _onward(record: Reconcile) -> Reconcile:
    order = STAGES[record.rung]
    stage = order[order.index(record.stage) + 1]
    changed = stage is Stage.REWIND or (record.changed and stage is Stage.CLONE)
    return replace(record, stage=stage, changed=changed)
