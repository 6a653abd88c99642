"""The state machine: each rule fires when it should, and not when one thing is missing."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from orchestrator.cli.docs import LEADS_TO
from orchestrator.core.admission import admit
from orchestrator.core.analysis import Finding, analyze
from orchestrator.core.invariants import check_step
from orchestrator.core.model import (
    DEFAULT,
    FAST,
    Certified,
    Fence,
    Lease,
    LeaseState,
    Mode,
    Mysqld,
    Phase,
    Policy,
    Sync,
    SyncState,
)
from orchestrator.core.reconcile import Reconcile
from orchestrator.core.requests import Kind, RequestState
from orchestrator.core.returning import Rung, Stage
from orchestrator.core.rules import RULES, Decision, decide, waiting
from orchestrator.core.situation import Sighting, Situation
from orchestrator.core.transitions import Answer, LeaseAt, ReturnAt, Revoke, SyncAt
from tests.builders import (
    DB_A,
    DB_B,
    EPOCH,
    LEASE_VERSION,
    NOW,
    SYNC_VERSION,
    UUID_A,
    fencing,
    promoting,
    rejoining,
    request,
    seen,
    situation,
    switching,
)

W = DEFAULT.timing.fence_wait_s
SILENT = {"lease_age_s": 1.5, "report_age_s": 3.0}  # as long as A: F1 needs a second signal
DEAF_STANDBY = {"received_age_s": 1.0}  # which is one


def fires(s: Situation) -> str:
    """The id of the rule that applies, empty if none; its step must hold what every step must."""
    decision = decide(s)
    if decision.rule is None:
        assert decision == Decision(s.cluster, decision.finding)
        return ""
    check_step(s.cluster, decision.cluster)
    assert decision.cluster.term == s.term
    assert decision.cluster.phase == (LEADS_TO[decision.rule.id] or s.cluster.phase)
    return decision.rule.id


def released(why: str = "exited", **more: object) -> dict[str, object]:
    return {"lease": {"state": LeaseState.RELEASED, "why": why, "gate_open": False, **more}}


DEAD_PRIMARY = {**released(), "mysqld": Mysqld.DEAD, "incarnation": "", "writable": False, "gate_open": False}


def test_a_healthy_pair_is_left_alone():
    s = situation()
    assert fires(s) == "" and analyze(s) is Finding.HEALTHY and waiting(s) == ""


# --- F1


def test_a_silent_primary_is_fenced_on_a_second_signal():
    s = situation(seen(DB_A, **SILENT), seen(DB_B, **DEAF_STANDBY))
    decision = decide(s)
    assert fires(s) == "F1"
    cluster = decision.cluster
    assert (cluster.epoch, cluster.seq, cluster.primary, cluster.phase) == (8, 42, DB_B, Phase.FENCING)
    assert (cluster.mode, cluster.promotable, cluster.heir) == (Mode.SYNC, None, "db-b/1")
    assert cluster.fence == Fence(DB_A, LEASE_VERSION, "waited")


def test_f1_is_written_under_the_armed_record_and_revokes_exactly_the_version_seen():
    """C3: success proves that no renewal after that version was or can be acknowledged."""
    s = situation(seen(DB_A, **SILENT, lease={"timing": FAST.timing}), seen(DB_B, **DEAF_STANDBY))
    sync, revoke = decide(s).guards
    assert sync == SyncAt(DB_A, SYNC_VERSION)
    assert isinstance(revoke, Revoke)
    assert (revoke.node, revoke.version, revoke.lease.state) == (DB_A, LEASE_VERSION, LeaseState.REVOKED)
    # W is computed from the timings in the revoked record, so they must survive the revoke
    assert revoke.lease.timing == s.lease(DB_A).timing and revoke.lease.owner == s.lease(DB_A).owner


@pytest.mark.parametrize("standby", [{}, {"received_age_s": 0.74}], ids=["receives", "one heartbeat late"])
def test_a_lease_that_stopped_alone_waits_until_its_gate_has_closed_for_certain(standby):
    """Its primary may only be cut off from ZooKeeper: waiting longer than W would prolong the outage for nothing."""
    alone = [situation(seen(DB_A, lease_age_s=age_s), seen(DB_B, **standby)) for age_s in (1.5, W - 0.01, W + 0.001)]
    assert [fires(s) for s in alone] == ["", "", "F1"]
    assert analyze(alone[0]) is Finding.PRIMARY_CUT_OFF


def test_a_standby_without_a_connection_is_a_second_signal():
    assert fires(situation(seen(DB_A, lease_age_s=1.5), seen(DB_B, receiver_connected=False))) == "F1"


def test_the_fence_wait_of_the_second_signal_is_that_of_the_lease_itself():
    """A report or our policy may be older than the timings in use."""
    fast = {"timing": FAST.timing}
    early = situation(seen(DB_A, lease_age_s=0.59, lease=fast), seen(DB_B, **DEAF_STANDBY))
    assert fires(early) == "" and fires(
        situation(seen(DB_A, lease_age_s=0.601, lease=fast), seen(DB_B, **DEAF_STANDBY))
    )
    alone = [situation(seen(DB_A, lease_age_s=age_s, lease=fast)) for age_s in (1.20, 1.211)]
    assert [fires(s) for s in alone] == ["", "F1"]


NO_HEIR = {
    "the standby restarted: relay log recovery may have thrown away acknowledged rows": {"incarnation": "db-b/2"},
    "the standby is silent too": {"report_age_s": 2.1},
    "the standby's mysqld is dead": {"mysqld": Mysqld.DEAD},
    "the standby's mysqld hangs": {"mysqld": Mysqld.HUNG},
    "the standby was never heard": {"absent": ("report",)},
}
NO_CERTIFICATE = {
    "sync record degraded": {"sync": {"state": SyncState.DEGRADED}},
    "sync record relaxed": {"sync": {"state": SyncState.RELAXED}},
    "sync record withdrawn": {"sync": {"state": SyncState.NONE}},
    "armed in an earlier epoch": {"sync": {"epoch": EPOCH - 1}},
    "sync record not seen": {"absent": ("sync",)},
}


@pytest.mark.parametrize("standby", NO_HEIR.values(), ids=NO_HEIR)
def test_nobody_is_promoted_without_the_standby_that_was_certified(standby):
    silent = situation(seen(DB_A, lease_age_s=60.0, report_age_s=60.0), seen(DB_B, **{**DEAF_STANDBY, **standby}))
    exited = situation(seen(DB_A, **DEAD_PRIMARY), seen(DB_B, **standby))
    assert fires(silent) not in ("F1", "F5") and fires(exited) not in ("F1", "F5")


@pytest.mark.parametrize("primary", NO_CERTIFICATE.values(), ids=NO_CERTIFICATE)
def test_nobody_is_promoted_unless_the_primary_last_said_that_commits_wait(primary):
    assert fires(situation(seen(DB_A, **SILENT, **primary), seen(DB_B, **DEAF_STANDBY))) not in ("F1", "F5")
    assert fires(situation(seen(DB_A, **{**DEAD_PRIMARY, **primary}))) not in ("F1", "F5")


@pytest.mark.parametrize(
    "changes",
    [
        {"mode": Mode.ASYNC, "promotable": None},
        {"promotable": None},
        {"promotable": Certified(DB_B, "db-b/0")},
        {"policy": Policy(maintenance=("db-b",))},
    ],
    ids=["ASYNC", "nobody promotable", "another incarnation promotable", "standby in maintenance"],
)
def test_nobody_is_promoted_whom_the_record_does_not_name(changes):
    assert fires(situation(seen(DB_A, **SILENT), seen(DB_B, **DEAF_STANDBY), **changes)) not in ("F1", "F5")
    assert fires(situation(seen(DB_A, **DEAD_PRIMARY), **changes)) not in ("F1", "F5")


@pytest.mark.parametrize("hearing_since", [NOW - 0.4, math.inf], ids=["too short", "not connected"])
def test_silence_counts_only_while_we_could_hear(hearing_since):
    s = situation(seen(DB_A, **SILENT), seen(DB_B, **DEAF_STANDBY), hearing_since=hearing_since)
    assert fires(s) == "" and analyze(s) is Finding.BLIND and waiting(s)


def test_nobody_heard_at_all_changes_nothing():
    """A probe that fails everywhere at once is a failed probe."""
    s = situation(seen(DB_A, lease_age_s=60.0, report_age_s=60.0), seen(DB_B, report_age_s=60.0))
    assert fires(s) == "" and analyze(s) is Finding.BLIND


def test_a_primary_that_reports_but_holds_no_lease_is_not_silent():
    """It is starting, or waits for its restart in place: its lease does not move because it has none."""
    idle = seen(DB_A, lease=Lease(LeaseState.RELEASED, EPOCH, why="superseded"), lease_age_s=60.0)
    assert fires(situation(idle, seen(DB_B, **DEAF_STANDBY))) == ""


def test_a_primary_that_released_and_fell_silent_is_replaced():
    gone = seen(DB_A, lease=Lease(LeaseState.RELEASED, EPOCH, why="superseded"), lease_age_s=60.0, report_age_s=3.0)
    assert fires(situation(gone, seen(DB_B, **DEAF_STANDBY))) == "F1"


@pytest.mark.parametrize("held", [{"paused": True}, {"hold_down": True}], ids=str)
def test_pause_and_hold_down_stop_failovers_from_beginning_and_say_so(held):
    silent = situation(seen(DB_A, **SILENT), seen(DB_B, **DEAF_STANDBY), **held)
    exited = situation(seen(DB_A, **DEAD_PRIMARY), **held)
    assert fires(silent) == "" and waiting(silent).startswith("F1 would begin now")
    assert fires(exited) == "" and waiting(exited).startswith("F5 would begin now")


HELD = {"paused": True, "hold_down": True}


def test_pause_and_hold_down_stop_nothing_else():
    assert fires(fencing(fenced_age_s=W + 0.001, **HELD)) == "F2"
    assert fires(promoting(seen(DB_B, lease=Lease(LeaseState.HELD, 8, gate_open=True)), **HELD)) == "F3"
    assert fires(promoting(seen(DB_B, epoch=8, incarnation="db-b/2"), **HELD)) == "F4"
    assert fires(situation(seen(DB_A, stalled_s=3.0), **HELD)) == "U1"
    assert fires(situation(seen(DB_B, incarnation="db-b/2"), **HELD)) == "U3"
    assert fires(situation(requests=(request(),), **HELD)) == "S1"
    assert {rule.id for rule in RULES if rule.held} == {"F1", "F5"}


# --- F5


@pytest.mark.parametrize("why", ["exited", "hung"])
def test_an_attested_exit_needs_no_wait(why):
    s = situation(seen(DB_A, **{**DEAD_PRIMARY, **released(why)}))
    decision = decide(s)
    assert fires(s) == "F5"
    cluster = decision.cluster
    assert (cluster.epoch, cluster.primary, cluster.phase, cluster.mode) == (8, DB_B, Phase.PROMOTING, Mode.ASYNC)
    assert (cluster.promotable, cluster.heir) == (None, "db-b/1")
    assert cluster.fence == Fence(DB_A, LEASE_VERSION, "released")
    assert decision.guards == (LeaseAt(DB_A, LEASE_VERSION), SyncAt(DB_A, SYNC_VERSION))  # C4


@pytest.mark.parametrize(
    "lease",
    [
        released(epoch=EPOCH - 1),
        {"lease": {"state": LeaseState.REVOKED, "why": "exited"}},
        {"lease": {"state": LeaseState.HELD, "why": "exited"}},
    ],
    ids=["of an earlier epoch", "revoked", "still held"],
)
def test_only_a_release_of_this_epoch_attests_an_exit(lease):
    assert fires(situation(seen(DB_A, **{**DEAD_PRIMARY, **lease}))) == ""


@pytest.mark.parametrize("why", ["superseded", "handover"])
def test_a_release_for_another_reason_is_no_death_until_the_agent_says_so(why):
    lease = released(why)
    assert fires(situation(seen(DB_A, **{**DEAD_PRIMARY, **lease, "mysqld": Mysqld.RUNNING}))) == ""
    assert fires(situation(seen(DB_A, **{**DEAD_PRIMARY, **lease, "mysqld": Mysqld.DEAD}))) == "F5"


def test_a_report_of_death_alone_is_not_the_release():
    """The gate may still be open until the release says it is shut."""
    assert fires(situation(seen(DB_A, mysqld=Mysqld.DEAD))) == ""


# --- F2


def test_the_fence_is_proven_by_w_since_the_fenced_version_was_first_seen():
    assert fires(fencing(fenced_age_s=W - 0.01)) == ""
    s = fencing(fenced_age_s=W + 0.001)
    assert fires(s) == "F2"
    cluster = decide(s).cluster
    assert (cluster.epoch, cluster.phase, cluster.mode, cluster.promotable) == (8, Phase.PROMOTING, Mode.ASYNC, None)
    assert cluster.heir == "db-b/1" and cluster.primary == DB_B


def test_w_is_taken_from_the_timings_in_the_fenced_lease():
    fast = Lease(LeaseState.REVOKED, EPOCH, timing=FAST.timing)
    assert [fires(fencing(seen(DB_A, lease=fast), fenced_age_s=age_s)) for age_s in (1.20, 1.211)] == ["", "F2"]
    slow = replace(fast, timing=DEFAULT.timing)
    assert fires(fencing(seen(DB_A, lease=slow), fenced_age_s=1.211, policy=FAST)) == ""


def test_a_leader_that_has_not_seen_the_fenced_version_has_no_proof():
    assert fires(fencing(fence_seen=None)) == ""


def test_a_release_after_the_revoke_is_a_proof():
    later = seen(DB_A, lease={"state": LeaseState.RELEASED}, lease_version=LEASE_VERSION + 2)
    assert fires(fencing(later)) == "F2"


@pytest.mark.parametrize("version", [LEASE_VERSION, LEASE_VERSION + 1])
def test_a_release_before_the_revoke_is_no_proof(version):
    """The mirror may show an older record than the one F1 fenced."""
    earlier = seen(DB_A, lease={"state": LeaseState.RELEASED}, lease_version=version)
    assert fires(fencing(earlier)) == ""


@pytest.mark.parametrize("state", [LeaseState.REVOKED, LeaseState.HELD, LeaseState.IDLE])
def test_a_lease_that_moved_on_without_a_release_is_no_proof(state):
    assert fires(fencing(seen(DB_A, lease={"state": state}, lease_version=LEASE_VERSION + 5))) == ""


def test_the_standbys_own_release_proves_nothing_about_the_primary():
    other = seen(DB_B, epoch=8, lease=Lease(LeaseState.RELEASED, EPOCH), lease_version=LEASE_VERSION + 9)
    assert fires(fencing(other)) == ""


# --- F3


def test_the_new_primary_has_opened_when_its_lease_says_so():
    s = promoting(seen(DB_B, lease=Lease(LeaseState.HELD, 8, gate_open=True)))
    assert fires(s) == "F3"
    assert decide(s).cluster == replace(s.cluster, phase=Phase.REJOINING, seq=44, rule="F3")


@pytest.mark.parametrize(
    "lease",
    [
        Lease(LeaseState.HELD, 8, gate_open=False),
        Lease(LeaseState.HELD, EPOCH, gate_open=True),
        Lease(LeaseState.RELEASED, 8, gate_open=True),
    ],
    ids=["gate shut", "earlier epoch", "released"],
)
def test_a_lease_that_does_not_say_so_leaves_it_promoting(lease):
    assert fires(promoting(seen(DB_B, epoch=8, lease=lease))) == ""


# --- F4

UNABLE = {
    "it restarted": {"incarnation": "db-b/2"},
    "it says so": {"unable": "memory_failed"},
    "its mysqld is dead": {"mysqld": Mysqld.DEAD, "incarnation": ""},
    "its applier stopped: the drain cannot end": {"applier_error": "1062 duplicate entry"},
}


@pytest.mark.parametrize("phase", [Phase.FENCING, Phase.PROMOTING], ids=str)
@pytest.mark.parametrize("heir", UNABLE.values(), ids=UNABLE)
def test_power_comes_back_when_the_heir_cannot_take_over(heir, phase):
    s = (fencing if phase is Phase.FENCING else promoting)(seen(DB_B, epoch=8, **heir))
    decision = decide(s)
    assert fires(s) == "F4"
    cluster = decision.cluster
    assert (cluster.epoch, cluster.primary, cluster.phase, cluster.mode) == (9, DB_A, Phase.REJOINING, Mode.ASYNC)
    assert cluster.heir is None and cluster.promotable is None
    assert decision.guards == (LeaseAt(DB_B, LEASE_VERSION),)  # C7


@pytest.mark.parametrize("heir", UNABLE.values(), ids=UNABLE)
@pytest.mark.parametrize("state", LeaseState)
def test_power_never_comes_back_once_the_heir_held_the_lease(heir, state):
    """It may have acknowledged writes that the old primary lacks."""
    held = seen(DB_B, epoch=8, lease=Lease(state, 8), **heir)
    assert fires(promoting(held)) == "" and fires(fencing(held)) == ""


def test_power_does_not_come_back_while_the_heirs_lease_is_unknown():
    """A mirror that has not yet shown it proves nothing."""
    assert fires(promoting(seen(DB_B, epoch=8, incarnation="db-b/2", absent=("lease",)))) == ""


def test_an_old_complaint_is_not_about_this_epoch():
    assert fires(promoting(seen(DB_B, epoch=7, unable="memory_failed"))) == ""


def test_a_forced_failover_gives_nothing_back_unasked():
    assert fires(promoting(seen(DB_B, epoch=8, incarnation="db-b/2"), heir=None)) == ""


def test_a_silent_heir_is_given_two_seconds_while_the_old_primary_reports():
    def case(silence_s: float, **changes: object) -> str:
        nodes = (seen(DB_B, epoch=8, report_age_s=silence_s), seen(DB_A, lease={"state": LeaseState.REVOKED}))
        return fires(promoting(*nodes, **{"phase_since": 0.0, **changes}))

    assert case(2.1) == "F4"
    assert case(2.1, phase_since=NOW - 1.9) == ""
    assert case(2.1, hearing_since=NOW - 0.1) == ""
    assert fires(promoting(seen(DB_B, report_age_s=9.0), seen(DB_A, report_age_s=9.0), phase_since=0.0)) == ""


def test_a_heir_never_heard_since_the_epoch_began_is_silent_too():
    s = promoting(seen(DB_B, absent=("report",)), phase_since=NOW - 2.0)
    assert fires(s) == "F4"


# --- F6

FORCE = request(Kind.FAILOVER)
LOST = {"lease_age_s": 60.0, "report_age_s": 60.0}


@pytest.mark.parametrize("mode", Mode)
def test_a_forced_failover_never_skips_the_fence(mode):
    s = situation(seen(DB_A, **LOST), requests=(FORCE,), mode=mode, promotable=None)
    decision = decide(s)
    assert fires(s) == "F6"
    cluster = decision.cluster
    assert (cluster.epoch, cluster.primary, cluster.phase, cluster.mode) == (8, DB_B, Phase.FENCING, Mode.ASYNC)
    assert cluster.heir is None and cluster.promotable is None and cluster.cause == "r1"
    assert cluster.fence == Fence(DB_A, LEASE_VERSION, "waited")
    revoke, answer = decision.guards
    assert isinstance(revoke, Revoke) and (revoke.node, revoke.version) == (DB_A, LEASE_VERSION)
    assert answer == Answer(replace(FORCE, state=RequestState.RUNNING), 0)


def test_force_needs_no_certificate_and_no_rest():
    for s in (
        situation(seen(DB_A, **LOST), seen(DB_B, incarnation="db-b/9"), requests=(FORCE,), paused=True),
        situation(seen(DB_A, **LOST, sync={"state": SyncState.RELAXED}), requests=(FORCE,), hold_down=True),
    ):
        assert fires(s) == "F6"


@pytest.mark.parametrize(
    "asked",
    [
        replace(FORCE, epoch=EPOCH - 1),
        replace(FORCE, to=DB_A),
        replace(FORCE, state=RequestState.RUNNING),
        replace(FORCE, state=RequestState.REFUSED),
        replace(FORCE, kind=Kind.SWITCHOVER),
    ],
    ids=["another epoch", "to the primary", "already taken up", "already refused", "a switchover"],
)
def test_only_an_admitted_request_forces(asked):
    assert fires(situation(seen(DB_A, **LOST), requests=(asked,), promotable=None)) == ""


def test_a_node_whose_rows_are_changed_back_in_part_is_not_promoted_even_by_force():
    half = Reconcile(42, EPOCH, DB_B, Rung.REWIND, Stage.REWIND, changed=True)
    lost = situation(seen(DB_A, report_age_s=9.0), requests=(FORCE,), mode=Mode.ASYNC, promotable=None)
    assert admit(FORCE, replace(lost, reconcile=Sighting(replace(half, changed=False), 1, NOW))).admitted
    (refused,) = [
        check for check in admit(FORCE, replace(lost, reconcile=Sighting(half, 1, NOW))).checks if not check.passed
    ]
    assert refused.name == "repair"


def test_a_primary_that_serves_cannot_be_forced_away():
    assert fires(situation(requests=(FORCE,))) == ""


def test_force_waits_until_the_lease_to_be_revoked_is_known():
    assert fires(situation(seen(DB_A, **LOST, absent=("lease",)), requests=(FORCE,), promotable=None)) == ""


def test_a_forced_failover_fails_when_a_rewind_begins_meanwhile():
    s = situation(seen(DB_A, **LOST), requests=(FORCE,), promotable=None)
    not_yet = Reconcile(42, EPOCH, DB_B, Rung.REWIND, Stage.BUNDLE)
    assert decide(replace(s, reconcile=Sighting(not_yet, 17, NOW))).guards[-1] == ReturnAt(17)


# --- S1, S2, S3


def test_an_admitted_switchover_begins():
    s = situation(requests=(request(),))
    decision = decide(s)
    assert fires(s) == "S1"
    assert decision.cluster == replace(s.cluster, phase=Phase.SWITCHING, seq=42, rule="S1", cause="r1")
    assert decision.guards == (Answer(request(state=RequestState.RUNNING), 0),)


REFUSED_SWITCHES = {
    "the standby is not certified": situation(requests=(request(),), promotable=None, seq=40),
    "another epoch": situation(requests=(request(epoch=6),)),
    "to the primary": situation(requests=(request(to=DB_A),)),
    "the primary does not serve": situation(seen(DB_A, gate_open=False), requests=(request(),)),
    "the backlog is long": situation(seen(DB_B, backlog_transactions=1001), requests=(request(),)),
    "a transaction is old": situation(seen(DB_A, oldest_transaction_s=10.1), requests=(request(),)),
    "already taken up": situation(requests=(request(state=RequestState.RUNNING),)),
}


@pytest.mark.parametrize("s", REFUSED_SWITCHES.values(), ids=REFUSED_SWITCHES)
def test_a_switchover_does_not_begin(s):
    assert fires(s) != "S1"


def handed(executed: str = f"{UUID_A}:1-100", **more: object) -> dict[str, object]:
    return {**released("handover", executed=executed), "lease_age_s": 0.1, **more}


def test_the_standby_takes_over_once_it_has_executed_everything():
    s = switching(seen(DB_A, **handed()))
    decision = decide(s)
    assert fires(s) == "S2"
    cluster = decision.cluster
    assert (cluster.epoch, cluster.primary, cluster.phase, cluster.mode) == (8, DB_B, Phase.PROMOTING, Mode.ASYNC)
    assert (cluster.heir, cluster.cause, cluster.promotable) == ("db-b/1", "r1", None)
    assert cluster.fence == Fence(DB_A, LEASE_VERSION, "released")
    assert decision.guards == (LeaseAt(DB_A, LEASE_VERSION),)  # C4


NOT_HANDED = {
    "the standby has not executed all of it": (seen(DB_A, **handed(f"{UUID_A}:1-101")),),
    "it executed another server's transactions": (seen(DB_A, **handed("b" + UUID_A[1:] + ":1")),),
    "the release is of an earlier epoch": (seen(DB_A, **released("handover", epoch=EPOCH - 1)),),
    "the standby restarted": (seen(DB_A, **handed()), seen(DB_B, incarnation="db-b/2")),
    "the standby is silent": (seen(DB_A, **handed()), seen(DB_B, report_age_s=3.0)),
    "it is still held": (seen(DB_A),),
}


@pytest.mark.parametrize("nodes", NOT_HANDED.values(), ids=NOT_HANDED)
def test_nobody_takes_over_in_a_switchover_when(nodes):
    assert fires(switching(*nodes)) in ("", "U3")


def test_a_late_switchover_is_withdrawn_in_the_same_epoch():
    s = switching(phase_since=NOW - 10.1)
    assert fires(switching(phase_since=NOW - 9.9)) == "" and fires(s) == "S3"
    assert decide(s).cluster == replace(s.cluster, phase=Phase.STEADY, seq=43, rule="S3")


WITHDRAWN = {
    "released but not handed over": seen(DB_A, **released("exited")),
    "handed over 2 s ago, the standby did not follow": seen(DB_A, **handed(f"{UUID_A}:1-101", lease_age_s=2.1)),
    "refused by the primary": seen(DB_A, seq=42, unable="set_read_only: locked"),
    "silent": seen(DB_A, **SILENT),
}


@pytest.mark.parametrize("primary", WITHDRAWN.values(), ids=WITHDRAWN)
def test_a_switchover_is_withdrawn_at_once_when_the_primary_is(primary):
    assert fires(switching(primary)) == "S3"


def test_an_old_refusal_does_not_withdraw_a_new_switchover():
    assert fires(switching(seen(DB_A, seq=41, unable="set_read_only: locked"))) == ""


# --- U1, U2, U3


@pytest.mark.parametrize("field", ["stalled_s", "unheard_s"])
@pytest.mark.parametrize(
    "standby",
    [{"receiver_connected": False}, {"report_age_s": 2.1}, {"mysqld": Mysqld.DEAD, "incarnation": ""}],
    ids=["not connected", "silent", "dead"],
)
def test_commits_need_not_wait_for_a_lost_standby(standby, field):
    s = situation(seen(DB_A, **{field: 1.0}), seen(DB_B, **standby))
    assert fires(s) == "U1"
    assert decide(s).cluster == replace(s.cluster, mode=Mode.ASYNC, promotable=None, seq=42, rule="U1")
    assert fires(situation(seen(DB_A, **{field: 0.99}), seen(DB_B, **standby))) == ""


def test_without_a_second_signal_a_stall_counts_after_twice_the_time():
    assert [fires(situation(seen(DB_A, stalled_s=at))) for at in (1.0, 1.99, 2.0)] == ["", "", "U1"]


def test_a_lost_standby_alone_relaxes_nothing():
    assert fires(situation(seen(DB_B, receiver_connected=False))) == ""


@pytest.mark.parametrize(
    "nodes", [(seen(DB_A, stalled_s=2.0),), (seen(DB_A, unheard_s=1.0), seen(DB_B, mysqld=Mysqld.DEAD))]
)
def test_what_was_relaxed_is_not_certified_back_by_the_record_it_still_stands_on(nodes):
    """The primary records its relaxing only after U1, under the record that U1 wrote: U2 in between would refuse it."""
    s = situation(*nodes)
    assert fires(s) == "U1"
    assert fires(replace(s, cluster=decide(s).cluster)) == ""


def test_an_asynchronous_pair_is_not_relaxed_again():
    assert fires(rejoining(seen(DB_A, stalled_s=9.0, sync=Sync()), seen(DB_B, receiver_connected=False))) == ""


@pytest.mark.parametrize("phase", [Phase.FENCING, Phase.PROMOTING, Phase.SWITCHING], ids=str)
def test_nothing_is_relaxed_or_certified_while_power_moves(phase):
    stalled = situation(seen(DB_A, stalled_s=9.0), seen(DB_B, report_age_s=0.1), phase=phase)
    assert fires(stalled) != "U1"
    assert fires(situation(phase=phase, promotable=None)) != "U2"


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("phase", [Phase.STEADY, Phase.REJOINING], ids=str)
def test_a_complete_certificate_makes_the_standby_promotable(phase, mode):
    s = situation(phase=phase, mode=mode, promotable=None)
    assert fires(s) == "U2"
    cluster = decide(s).cluster
    assert (cluster.mode, cluster.promotable, cluster.epoch) == (Mode.SYNC, Certified(DB_B, "db-b/1"), EPOCH)
    assert decide(s).guards == (SyncAt(DB_A, SYNC_VERSION),)  # C6


INCOMPLETE = {
    "the standby has not said the token": (seen(DB_B, token=""),),
    "the standby said the token of an earlier try": (seen(DB_B, token="t0"),),
    "the record has no token": (seen(DB_A, sync={"token": ""}), seen(DB_B, token="")),
    "the standby restarted since": (seen(DB_B, incarnation="db-b/2"),),
    "the primary restarted since": (seen(DB_A, incarnation="db-a/2"),),
    "not armed": (seen(DB_A, sync={"state": SyncState.RELAXED}),),
    "degraded": (seen(DB_A, sync={"state": SyncState.DEGRADED}),),
    "armed in an earlier epoch": (seen(DB_A, sync={"epoch": EPOCH - 1}),),
    "the standby is silent": (seen(DB_B, report_age_s=2.1),),
    "the primary is silent": (seen(DB_A, report_age_s=2.1),),
    "the standby is not connected": (seen(DB_B, receiver_connected=False),),
    "the standby's mysqld is dead": (seen(DB_B, mysqld=Mysqld.DEAD),),
    "the standby does not apply": (seen(DB_B, applier_running=False),),
    "the standby is far behind": (seen(DB_B, backlog_transactions=1001),),
    "commits wait for it": (seen(DB_A, stalled_s=1.0),),
    "it has not connected to acknowledge": (seen(DB_A, unheard_s=1.0),),
}
AGAINST = {
    "errant transactions, as the primary sees them": (seen(DB_A, peer_errant=f"{UUID_A}:9"),),
    "errant transactions, as it says itself": (seen(DB_B, errant=f"{UUID_A}:9"),),
    "an applier error": (seen(DB_B, applier_error="1062"),),
    "the standby is not durable": (seen(DB_B, durable=False),),
    "the primary is not durable": (seen(DB_A, durable=False),),
}


@pytest.mark.parametrize("nodes", [*INCOMPLETE.values(), *AGAINST.values()], ids=[*INCOMPLETE, *AGAINST])
def test_an_incomplete_certificate_makes_nobody_promotable(nodes):
    assert fires(situation(*nodes, promotable=None, mode=Mode.ASYNC)) == ""


def test_a_node_in_maintenance_is_not_made_promotable():
    policy = Policy(maintenance=("db-b",))
    assert fires(situation(promotable=None, policy=policy)) == ""
    assert fires(situation(policy=policy)) == "U3"


BROKEN = {
    "semi-sync let a commit go": (seen(DB_A, sync={"state": SyncState.DEGRADED}),),
    "the primary withdrew it": (seen(DB_A, sync={"state": SyncState.NONE}),),
    "the primary relaxed": (seen(DB_A, sync={"state": SyncState.RELAXED}),),
    "the standby restarted": (seen(DB_B, incarnation="db-b/2"),),
    **AGAINST,
}


@pytest.mark.parametrize("nodes", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("phase", [Phase.STEADY, Phase.SWITCHING, Phase.REJOINING], ids=str)
def test_a_broken_certificate_takes_promotability_and_never_the_mode(nodes, phase):
    s = situation(*nodes, phase=phase, phase_since=NOW - 1)
    assert fires(s) == "U3"
    assert decide(s).cluster == replace(s.cluster, promotable=None, seq=42, rule="U3")


def test_a_standby_whose_mysqld_is_gone_has_not_yet_another_incarnation():
    """What it comes back as decides; meanwhile U1 lets commits go on."""
    assert fires(situation(seen(DB_B, mysqld=Mysqld.DEAD, incarnation=""))) == ""


# --- R1


def test_a_returned_node_that_replicates_ends_the_rejoining():
    s = rejoining()
    assert fires(s) == "R1"
    assert decide(s).cluster == replace(s.cluster, phase=Phase.STEADY, seq=42, rule="R1")


NOT_RETURNED = {
    "not connected": {"receiver_connected": False},
    "not applying": {"applier_running": False},
    "it follows an older epoch": {"epoch": EPOCH - 1},
    "silent": {"report_age_s": 2.1},
    "errant": {"errant": f"{UUID_A}:9"},
    "applier error": {"applier_error": "1032"},
}


@pytest.mark.parametrize("standby", NOT_RETURNED.values(), ids=NOT_RETURNED)
def test_a_returned_node_is_still_rejoining(standby):
    assert fires(rejoining(seen(DB_B, **{"token": "", **standby}))) == ""


# --- the table


def test_ids_are_unique_and_complete():
    ids = [rule.id for rule in RULES]
    assert len(ids) == len(set(ids))
    assert set(ids) == {"F1", "F2", "F3", "F4", "F5", "F6", "S1", "S2", "S3", "U1", "U2", "U3", "R1"}


def test_two_open_writable_nodes_are_the_most_alarming_of_all():
    s = situation(seen(DB_A, mysqld=Mysqld.RUNNING), seen(DB_B, writable=True, gate_open=True))
    assert analyze(s) is Finding.TWO_WRITERS


FINDINGS = {
    "mysqld of the primary exited": (situation(seen(DB_A, mysqld=Mysqld.EXITING)), Finding.PRIMARY_EXITED),
    "the primary has not opened yet": (situation(seen(DB_A, lease={"gate_open": False})), Finding.PRIMARY_CLOSED),
    "commits wait": (situation(seen(DB_A, stalled_s=1.0)), Finding.SYNC_STALLED),
    "the standby is silent": (situation(seen(DB_B, report_age_s=3.0)), Finding.STANDBY_LOST),
    "the standby is errant": (situation(seen(DB_A, peer_errant="x")), Finding.STANDBY_ERRANT),
    "the standby is not certified": (situation(promotable=None), Finding.NO_STANDBY),
    "the primary is silent": (situation(seen(DB_A, **SILENT), seen(DB_B, **DEAF_STANDBY)), Finding.PRIMARY_SILENT),
}


@pytest.mark.parametrize(("s", "finding"), FINDINGS.values(), ids=FINDINGS)
def test_what_is_wrong_has_one_name(s, finding):
    assert analyze(s) is finding


WAITS = [
    situation(
        seen(DB_A, **primary), seen(DB_B, **standby), phase=phase, mode=mode, promotable=promotable, policy=policy
    )
    for primary in ({}, SILENT, DEAD_PRIMARY, {"mysqld": Mysqld.DEAD}, {"lease": {"gate_open": False}}, LOST)
    for standby in ({}, {"report_age_s": 9.0}, {"receiver_connected": False}, {"incarnation": "x"}, {"errant": "x:1"})
    for phase in Phase
    for mode, promotable in (
        (Mode.SYNC, Certified(DB_B, "db-b/1")),
        (Mode.SYNC, None),
        (Mode.ASYNC, None),
    )
    for policy in (Policy(), Policy(maintenance=("db-b",)))
]


def test_every_situation_has_a_rule_or_a_named_reason_for_waiting():
    """I14: only a pair that is healthy in STEADY waits for nothing."""
    for s in WAITS:
        healthy = analyze(s) is Finding.HEALTHY and s.cluster.phase is Phase.STEADY
        assert fires(s) or waiting(s) or healthy, (analyze(s), s.cluster)
