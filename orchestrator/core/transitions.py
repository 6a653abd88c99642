"""What each rule makes of the desired record, and what must be unchanged for that write to count."""

from __future__ import annotations

from dataclasses import dataclass, replace

from orchestrator.core import conditions
from orchestrator.core.adoption import next_epoch
from orchestrator.core.model import Certified, Cluster, Fence, Lease, LeaseState, Mode, NodeName, Phase
from orchestrator.core.requests import Request, RequestState
from orchestrator.core.situation import Sighting, Situation


@dataclass(frozen=True, slots=True)
class LeaseAt:
    """The lease of `node` is still at `version`."""

    node: NodeName
    version: int


@dataclass(frozen=True, slots=True)
class SyncAt:
    """The sync record of `node` is still at `version`."""

    node: NodeName
    version: int


@dataclass(frozen=True, slots=True)
class Revoke:
    """The lease of `node`, still at `version`, becomes `lease` (revoked) in the same write."""

    node: NodeName
    version: int
    lease: Lease


@dataclass(frozen=True, slots=True)
class ReturnAt:
    """The record of the return is still at `version`."""

    version: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The request node, still at `version`, takes the answer in the same write."""

    request: Request
    version: int


Guard = LeaseAt | SyncAt | ReturnAt | Revoke | Answer
Outcome = tuple[Cluster, tuple[Guard, ...]]


def fence(s: Situation) -> Outcome:
    """F1 by C3: power is taken from the silent primary; no renewal after the fence's version can be acknowledged."""
    promotable = _promotable(s)
    wanted = replace(
        s.cluster,
        epoch=s.cluster.epoch + 1,
        primary=s.standby,
        phase=Phase.FENCING,
        promotable=None,
        fence=Fence(s.primary, s.leases[s.primary].version, "waited"),
        heir=promotable.incarnation,
        cause="",
    )
    return wanted, (_sync_at(s), _revoke(s, s.primary, f"epoch {wanted.epoch}"))


def take_over(s: Situation) -> Outcome:
    """F5 by C4: F1 and F2 in one write, because the primary's own agent has shut the gate and says so."""
    promotable = _promotable(s)
    wanted = _promoting(s, heir=promotable.incarnation, how="released", cause="")
    return wanted, (LeaseAt(s.primary, s.leases[s.primary].version), _sync_at(s))


def promote(s: Situation) -> Outcome:
    """F2: the fence is proven; the new primary opens in ASYNC, as nobody can acknowledge yet."""
    return replace(s.cluster, phase=Phase.PROMOTING, mode=Mode.ASYNC, promotable=None), ()


def rejoin(s: Situation) -> Outcome:
    """F3: nothing but the phase."""
    return replace(s.cluster, phase=Phase.REJOINING), ()


def give_back(s: Situation) -> Outcome:
    """F4 by C7: the lease version shows that the heir never held power in this epoch."""
    wanted = replace(
        s.cluster,
        epoch=s.cluster.epoch + 1,
        primary=s.standby,
        phase=Phase.REJOINING,
        mode=Mode.ASYNC,
        promotable=None,
        fence=Fence(s.primary, s.leases[s.primary].version, "none"),
        heir=None,
    )
    return wanted, (LeaseAt(s.primary, s.leases[s.primary].version),)


def force(s: Situation) -> Outcome:
    """F6: an operator accepts loss, or roles that ZooKeeper forgot. The fence is never skipped: W counts anew."""
    request = conditions.forced(s)
    assert request is not None
    other = s.other(request.value.to)
    wanted = replace(
        s.cluster,
        epoch=next_epoch(s.cluster, [sighting.value for sighting in s.reports.values()]),
        primary=request.value.to,
        phase=Phase.FENCING,
        mode=Mode.ASYNC,
        promotable=None,
        fence=Fence(other, s.leases[other].version, "waited"),
        heir=None,
        cause=request.value.id,
    )
    # Its rows may begin to be changed back at any moment, and then it is too late.
    still = (ReturnAt(s.reconcile.version),) if s.reconcile and s.reconcile.value.open else ()
    return wanted, (_revoke(s, other, f"epoch {wanted.epoch}, forced"), _running(request), *still)


def switch(s: Situation) -> Outcome:
    """S1: the phase, and the request that it rests on."""
    request = conditions.asked_to_switch(s)
    assert request is not None
    return replace(s.cluster, phase=Phase.SWITCHING, cause=request.value.id), (_running(request),)


def hand_over(s: Situation) -> Outcome:
    """S2 by C4: as F5, with everything executed."""
    promotable = _promotable(s)
    wanted = _promoting(s, heir=promotable.incarnation, how="released", cause=s.cluster.cause)
    return wanted, (LeaseAt(s.primary, s.leases[s.primary].version),)


def withdraw(s: Situation) -> Outcome:
    """S3: the primary opens again in the same epoch, still in SYNC."""
    return replace(s.cluster, phase=Phase.STEADY), ()


def relax(s: Situation) -> Outcome:
    """U1: recorded before any commit is released without a copy."""
    return replace(s.cluster, mode=Mode.ASYNC, promotable=None), ()


def certify(s: Situation) -> Outcome:
    """U2 by C6: excludes a relaxing write of the primary, whichever comes first makes the other fail."""
    standby = s.report(s.standby)
    assert standby is not None
    promotable = Certified(s.standby, standby.incarnation)
    return replace(s.cluster, mode=Mode.SYNC, promotable=promotable), (_sync_at(s),)


def uncertify(s: Situation) -> Outcome:
    """U3: nobody is promotable; the mode stays."""
    return replace(s.cluster, promotable=None), ()


def settle(s: Situation) -> Outcome:
    """R1: nothing but the phase."""
    return replace(s.cluster, phase=Phase.STEADY), ()


def _promoting(s: Situation, *, heir: str, how: str, cause: str) -> Cluster:
    return replace(
        s.cluster,
        epoch=s.cluster.epoch + 1,
        primary=s.standby,
        phase=Phase.PROMOTING,
        mode=Mode.ASYNC,
        promotable=None,
        fence=Fence(s.primary, s.leases[s.primary].version, how),
        heir=heir,
        cause=cause,
    )


def _promotable(s: Situation) -> Certified:
    assert s.cluster.promotable is not None  # the condition of every caller asks for a certified standby
    return s.cluster.promotable


def _sync_at(s: Situation) -> SyncAt:
    return SyncAt(s.primary, s.syncs[s.primary].version)


def _revoke(s: Situation, node: NodeName, why: str) -> Revoke:
    sighting = s.leases[node]
    return Revoke(node, sighting.version, replace(sighting.value, state=LeaseState.REVOKED, why=why, executed=""))


def _running(request: Sighting[Request]) -> Answer:
    return Answer(replace(request.value, state=RequestState.RUNNING), request.version)
