"""When each rule applies: one question a rule, in the order of docs/state-machine.md. Transitions says what follows."""

from __future__ import annotations

from orchestrator.core.admission import admit
from orchestrator.core.analysis import primary_silent, second_signal, stalled_s, standby_lost
from orchestrator.core.gtid import GtidSet
from orchestrator.core.model import LeaseState, Mode, SyncState
from orchestrator.core.reconciling import unsettled
from orchestrator.core.requests import Kind, Request, RequestState
from orchestrator.core.situation import Sighting, Situation
from orchestrator.core.unreadable import Record

UNABLE_SILENCE_S = 2.0  # a heir that is silent for so long, while the old primary reports, does not take over
HANDOVER_WAIT_S = 2.0  # from the release of a planned switchover until the standby has executed everything


def primary_lost(s: Situation) -> bool:
    """F1: the lease stopped, and a second signal or the fence wait itself says so too; a certified standby is ready."""
    if not primary_silent(s) or not _may_take_over(s):
        return False
    wait_over = s.lease_age_s(s.primary) >= s.lease(s.primary).timing.fence_wait_s
    return second_signal(s) or wait_over


def primary_exited(s: Situation) -> bool:
    """F5: the primary's agent lives, has released, and attests that its mysqld can commit nothing more."""
    report = s.report(s.primary)
    attested = s.lease(s.primary).why in ("exited", "hung") or (report is not None and report.mysqld.ended)
    return s.released(s.primary) and attested and _may_take_over(s)


def fence_proven(s: Situation) -> bool:
    """F2: W has passed since the fenced lease version was first seen, or its holder released after the revoke."""
    fence = s.cluster.fence
    if fence is None:
        return False
    sighting = s.leases.get(fence.node)
    released = (
        sighting is not None
        and sighting.value.state is LeaseState.RELEASED
        and sighting.version > fence.lease_version + 1  # the revoke itself is lease_version + 1
    )
    return released or s.fence_wait_over()


def primary_opened(s: Situation) -> bool:
    """F3: the new primary says in its lease that its gate is open and that a write went through."""
    lease = s.lease(s.primary)
    return lease.state is LeaseState.HELD and lease.epoch == s.cluster.epoch and lease.gate_open


def heir_cannot(s: Situation) -> bool:
    """F4: the node that is to take over cannot, and never held the lease in this epoch: which must have been seen."""
    if s.cluster.heir is None or s.primary not in s.leases or s.lease(s.primary).epoch == s.cluster.epoch:
        return False
    if s.cannot_read(Record.REPORT, s.primary):
        return False
    report = s.report(s.primary)
    if report is not None:
        # A stopped applier ends the drain: nothing is ever skipped.
        unable = bool(report.unable or report.applier_error) and report.epoch == s.cluster.epoch
        return unable or (bool(report.incarnation) and report.incarnation != s.cluster.heir) or report.mysqld.ended
    sighting = s.reports.get(s.primary)
    silence_s = s.now - max(s.phase_since, sighting.first_seen if sighting else s.phase_since)
    return s.hearing and silence_s >= UNABLE_SILENCE_S and s.report(s.standby) is not None


def forced(s: Situation) -> Sighting[Request] | None:
    """F6: a forced failover or an adoption that is admitted, once the lease that it revokes is known."""
    request = _admitted(s, Kind.FAILOVER) or _admitted(s, Kind.ADOPT)
    return request if request is not None and s.other(request.value.to) in s.leases else None


def asked_to_switch(s: Situation) -> Sighting[Request] | None:
    """S1: a planned switchover that is admitted."""
    return _admitted(s, Kind.SWITCHOVER)


def handed_over(s: Situation) -> bool:
    """S2: the primary released with everything it ever committed, and the standby has executed it all."""
    lease, report = s.lease(s.primary), s.report(s.standby)
    if not s.released(s.primary) or lease.why != "handover" or report is None or not s.standby_certified():
        return False
    return GtidSet.parse(lease.executed) <= GtidSet.parse(report.executed)


def switch_late(s: Situation) -> bool:
    """S3: a step of the switchover is late or impossible; the primary is silent, or released without handing over."""
    age_s = s.now - s.phase_since
    if s.released(s.primary):
        lease = s.leases[s.primary]
        return lease.value.why != "handover" or s.now - lease.first_seen > HANDOVER_WAIT_S
    report = s.report(s.primary)
    refused = report is not None and bool(report.unable) and report.seq == s.cluster.seq
    return refused or age_s > s.policy.switchover_s or primary_silent(s)


def relax_needed(s: Situation) -> bool:
    """U1: commits are stalled and the standby is surely lost; without that second signal after twice the time."""
    if s.cluster.mode is not Mode.SYNC:
        return False
    stall_s = stalled_s(s)
    return (stall_s >= s.policy.stall_s and standby_lost(s)) or stall_s >= 2 * s.policy.stall_s


def certificate_complete(s: Situation) -> bool:
    """U2: the armed primary and the standby name the same certification, and nothing speaks against the standby."""
    if s.cannot_read(Record.POLICY) or s.cannot_read(Record.RETURN):
        return False  # it may say that the standby is in maintenance
    sync, primary, standby = s.sync(s.primary), s.report(s.primary), s.report(s.standby)
    if s.cluster.promotable is not None or primary is None or standby is None or not s.armed():
        return False
    return (
        sync.incarnation == primary.incarnation
        and bool(sync.token)
        and standby.token == sync.token
        and standby.incarnation == sync.standby
        # While U1 would fire, or has just fired and the primary is about to record it, nothing is certified back.
        and not standby_lost(s)
        and stalled_s(s) < s.policy.stall_s
        and standby.applier_running
        and standby.backlog_transactions <= s.policy.backlog_transactions_max
        and not unsettled(s.reconcile.value if s.reconcile else None, standby, primary.executed)
        and not standby.differing
        and not _speaks_against_standby(s)
    )


def certificate_broken(s: Situation) -> bool:
    """U3: what the certificate rests on is gone. Only promotability is taken, never the mode."""
    promotable = s.cluster.promotable
    if promotable is None:
        return False
    standby = s.report(s.standby)
    restarted = standby is not None and bool(standby.incarnation) and standby.incarnation != promotable.incarnation
    disarmed = s.sync(s.primary).state is not SyncState.ARMED and not s.cannot_read(Record.SYNC, s.primary)
    maintained = s.standby in s.policy.maintenance  # also of a node that is not heard: it must not be found certified
    return (
        maintained
        or restarted
        or disarmed
        or (standby is not None and (bool(standby.differing) or _speaks_against_standby(s)))
    )


def standby_returned(s: Situation) -> bool:
    """R1: the other node replicates from the primary again, without errant transactions."""
    standby = s.report(s.standby)
    return (
        standby is not None
        and standby.epoch == s.cluster.epoch
        and standby.receiver_connected
        and standby.applier_running
        and not _speaks_against_standby(s)
    )


def _may_take_over(s: Situation) -> bool:
    return s.standby_certified() and s.armed()


def _speaks_against_standby(s: Situation) -> bool:
    primary, standby = s.report(s.primary), s.report(s.standby)
    return (
        s.standby in s.policy.maintenance
        or (primary is not None and (bool(primary.peer_errant) or not primary.durable))
        or (standby is not None and bool(standby.errant or standby.applier_error or standby.memory))
        or (standby is not None and not standby.durable)
    )


def _admitted(s: Situation, kind: Kind) -> Sighting[Request] | None:
    for request in s.requests.values():
        waiting = request.value.kind is kind and request.value.state is RequestState.REQUESTED
        if waiting and admit(request.value, s).admitted:
            return request
    return None
