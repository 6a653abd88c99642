"""An agent's way to its goal: small spaces in full, then the stories that matter one by one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from itertools import product
from random import Random
from typing import Any

import pytest

from agents.converge import LOG_IN, Action, Local, converge, unable
from agents.invariants import check_plan
from orchestrator.core.model import ROLES, Certified, Goal, Mode, Mysqld, Phase, Role
from tests.builders import DB_A, DB_B
from tests.hands import NO_SERVER, after, may, run

ME = "me"
PRIMARIES = (
    {"mode": Mode.ASYNC, "promotable": None},
    {"mode": Mode.SYNC, "promotable": None},
    {"mode": Mode.SYNC, "promotable": Certified(DB_B, "db-b/1")},
)


def goal(role: Role, mode: Mode = Mode.ASYNC, *, heir: str | None = None, promotable: Certified | None = None) -> Goal:
    return Goal(role, mode, 8, 42, DB_A, heir, promotable)


def serving(**changes: Any) -> Local:
    """A primary in SYNC with an open gate, that lacks nothing."""
    base = Local(
        Mysqld.RUNNING,
        incarnation=ME,
        lease_held=True,
        lease_open=True,
        gate_open=True,
        said_open=True,
        has_address=True,
        offline=False,
        read_only=False,
        locked=False,
        source_on=True,
        requires_ack=True,
        armed=True,
        certifying=True,
        opened=True,
        was_primary=True,
    )
    return replace(base, **changes)


def following(**changes: Any) -> Local:
    """A standby that replicates and serves nobody."""
    base = Local(
        Mysqld.RUNNING,
        incarnation=ME,
        offline=False,
        receiving=True,
        applying=True,
        follows_peer=True,
        errant=False,
    )
    return replace(base, **changes)


def boxes(**choices: tuple[dict[str, Any], ...]) -> Iterator[dict[str, Any]]:
    """Every combination, one dict each."""
    for combination in product(*choices.values()):
        merged: dict[str, Any] = {}
        for one in combination:
            merged |= one
        yield merged


def flag(name: str, **also: Any) -> tuple[dict[str, Any], ...]:
    return ({name: False}, {name: True, **also})


LEASE = (
    {},
    {"lease_open": True},
    {"lease_open": True, "lease_held": True},
)
GATE = ({}, {"gate_open": True, "has_address": True}, {"gate_open": True, "said_open": True, "has_address": True})
WRITABLE = (
    {},  # locked and offline
    {"offline": False},
    {"offline": False, "read_only": False, "locked": False},
    {"read_only": True, "locked": False},  # a statement of three went through
)
ACK = ({}, {"source_on": True}, {"source_on": True, "requires_ack": True})
SYNC = ({}, {"relaxed": True}, {"armed": True}, {"armed": True, "certifying": True}, {"armed": True, "degraded": True})
LIFE = ({}, {"promoted": True}, {"opened": True, "was_primary": True}, {"was_primary": True})
RECEIVER = ({}, {"receiving": True, "applying": True}, {"applying": True}, {"receiving": True, "drained": False})
FOLLOWS = ({}, {"follows_peer": True}, {"follows_peer": True, "login_due": True})
ERRANT = ({"errant": None}, {"errant": True}, {"errant": False})


def up(box: dict[str, Any]) -> Local:
    return Local(Mysqld.RUNNING, **{"incarnation": ME, **box})


def test_every_way_to_a_serving_primary_is_safe_and_ends_in_service():
    for settings in PRIMARIES:
        wanted = goal(Role.PRIMARY, heir=ME, **settings)
        receiver = RECEIVER[::3]
        for box in boxes(a=LEASE, b=GATE, c=WRITABLE, d=ACK, e=SYNC, f=LIFE, g=receiver, h=flag("standby_ready")):
            if box.get("gate_open") and not box.get("opened"):
                continue  # nothing opens before it was writable
            if box.get("armed") and not box.get("requires_ack"):
                box["degraded"] = True  # as it is seen: somebody switched it off
            local, _ = run(wanted, up(box))
            serves = local.gate_open and local.said_open and not local.read_only and local.lease_held
            waits = wanted.mode is Mode.SYNC and not (wanted.promotable and local.armed)
            assert serves or (waits and not box.get("gate_open")), (wanted, box, local)
            assert not (local.receiving or local.applying)
            assert local.requires_ack == (wanted.mode is Mode.SYNC or local.certifying)


def test_a_heir_of_another_incarnation_takes_nothing():
    """A restart may have thrown away relay logs that a client was told are safe."""
    for role in (Role.PREPARE, Role.PRIMARY):
        wanted = goal(role, Mode.SYNC, heir="another")
        for box in boxes(a=ACK, b=SYNC, c=RECEIVER, d=flag("offline")):
            assert converge(wanted, up(box)) == () and unable(wanted, up(box))


@pytest.mark.parametrize("role", [Role.PREPARE, Role.FENCED, Role.STANDBY, Role.RETURNING], ids=str)
def test_whoever_is_not_to_serve_gives_all_power_away(role):
    wanted = goal(role)
    spaces = boxes(
        a=LEASE, b=GATE[:2], c=WRITABLE, d=ACK, e=RECEIVER[:3], f=FOLLOWS, g=ERRANT, h=flag("commits_waiting")
    )
    for box in spaces:
        local, done = run(wanted, up(box))
        assert not (local.gate_open or local.lease_open or local.lease_held)
        assert local.locked or local.mysqld is not Mysqld.RUNNING
        if box.get("gate_open"):
            assert done[:2] == [Action.SHUT_GATE, Action.RESET_CLIENTS]


def test_a_follower_replicates_in_the_end_unless_it_holds_what_the_primary_never_saw():
    for role, box in product(
        (Role.STANDBY, Role.RETURNING), boxes(a=WRITABLE, b=ACK, c=RECEIVER, d=FOLLOWS, e=ERRANT, f=flag("has_address"))
    ):
        local, _ = run(goal(role), up(box))
        replicates = local.receiving and local.applying and local.follows_peer
        already = box.get("receiving") and box.get("applying") and box.get("follows_peer")
        assert replicates == bool(already or box["errant"] is False), box
        assert local.offline == (not replicates)
        assert not (replicates and local.login_due)
        assert not local.source_on and not local.has_address


def test_a_server_that_is_refused_is_not_led_to_replicate():
    for box in boxes(a=ACK, b=RECEIVER, c=FOLLOWS, d=ERRANT):
        assert run(goal(Role.STANDBY), up({**box, "refused": True}))[1] == []
        assert converge(goal(Role.PRIMARY), up({**box, "refused": True})) == ()


@pytest.mark.parametrize("role", [Role.FENCED, Role.PREPARE, Role.STANDBY], ids=str)
def test_a_server_that_is_refused_is_fenced_all_the_same_once_it_held_power(role):
    """A release attests that nothing local can write; a server that never held power is left as it is."""
    assert Action.FORCE_READ_ONLY in converge(goal(role), serving(refused=True))
    alone = {"lease_open": False, "lease_held": False, "gate_open": False}
    assert Action.FORCE_READ_ONLY not in converge(goal(role), serving(refused=True, has_address=False, **alone))


def test_a_server_that_has_not_answered_yet_attests_nothing():
    """A new agent may have found it running and writable."""
    found = Local(Mysqld.STARTING, lease_open=True, gate_open=True)
    assert converge(goal(Role.FENCED), found) == (Action.SHUT_GATE, Action.RESET_CLIENTS)
    assert converge(goal(Role.PRIMARY), found) == converge(goal(Role.HANDOVER), found) == ()


def test_a_tail_that_nobody_may_have_acknowledged_is_taken_off_before_the_start():
    """Crash recovery would commit it. What may stay is known once the new primary has said what it executed."""
    dead = Local(Mysqld.DEAD, tail_pending=True)
    for role in (Role.STANDBY, Role.RETURNING):
        assert converge(goal(role), dead) == ()
        assert converge(goal(role), replace(dead, primary_known=True)) == (Action.CAPTURE_TAIL, Action.START_MYSQLD)


@pytest.mark.parametrize("role", Role, ids=str)
@pytest.mark.parametrize("mysqld", [one for one in Mysqld if one is not Mysqld.RUNNING], ids=str)
def test_without_a_running_server_power_goes_and_none_is_given(role, mysqld):
    for settings, box in product(
        PRIMARIES,
        boxes(a=LEASE, b=GATE, c=flag("restart_due"), d=({}, {"was_primary": True}), e=({}, {"relaxed": True})),
    ):
        local = Local(mysqld, **box)
        found, done = run(goal(role, **settings), local)
        if Action.START_MYSQLD not in done and mysqld is not Mysqld.STARTING:
            assert not (found.gate_open or found.lease_open)
        if mysqld is Mysqld.HUNG:
            assert done[: 3 if local.gate_open else 1][-1] is Action.KILL_MYSQLD
        if mysqld in (Mysqld.EXITING, Mysqld.STARTING):
            assert Action.KILL_MYSQLD not in done and Action.START_MYSQLD not in done


@pytest.mark.parametrize("mode", Mode)
def test_a_handover_becomes_read_only_first_and_is_never_forced(mode):
    for box in boxes(a=LEASE[1:], b=GATE, c=WRITABLE, d=ACK, e=flag("commits_waiting")):
        local, done = run(goal(Role.HANDOVER, mode), up({**box, "opened": True, "was_primary": True}))
        assert not local.gate_open and not local.lease_open and local.locked
        assert not {Action.KILL_MYSQLD, Action.FORCE_READ_ONLY, Action.SET_OFFLINE} & set(done)
        assert done[-1] is Action.HAND_OVER
        assert Action.SET_READ_ONLY not in done or done[0] is Action.SET_READ_ONLY


def test_a_heir_that_crashes_between_lease_and_gate_goes_on_in_place():
    """F4 is gone with the lease; all that it received is executed, as its promotion file proves."""
    wanted = goal(Role.PRIMARY, heir=ME)
    crashed = Local(Mysqld.DEAD, promoted=True, restart_due=True, lease_open=True, relaxed=True)
    local, done = run(wanted, crashed)
    assert done[0] is Action.RELEASE and Action.START_MYSQLD in done and local.gate_open


def test_a_primary_that_lost_its_state_directory_serves_again_in_its_epoch():
    """Its incarnation is new, and it remembers neither a promotion nor that it opened."""
    wanted = replace(goal(Role.PRIMARY, heir="certified before"), settled=True)
    local, _ = run(wanted, up({"offline": True, "read_only": True}))
    assert local.gate_open


def test_nothing_is_taken_over_before_it_is_known_which_life_runs():
    """Relay logs were thrown away, and the disk did not take the new incarnation yet."""
    torn = following(incarnation="", errant=None)
    assert [converge(goal(role, heir=ME), torn) for role in (Role.PREPARE, Role.PRIMARY)] == [(), ()]


@pytest.mark.parametrize("heir", [None, ME, "another"])
def test_a_node_that_is_half_rewound_takes_nothing_and_says_why(heir):
    half = following(unreturned="return 7 has changed rows back", receiving=False, applying=False)
    for wanted in (goal(Role.PREPARE, heir=heir), goal(Role.PRIMARY, heir=heir)):
        assert converge(wanted, half) == ()
        assert unable(wanted, half).startswith("returned: return 7")


def test_every_plan_holds_the_invariants():
    """Also in combinations that no story has: a plan that is refused ends the agent, again and again."""
    chance = Random(7)
    flags = [f.name for f in fields(Local) if f.type == "bool"]
    for _ in range(20_000):
        settings = {**chance.choice(PRIMARIES), "heir": chance.choice((ME, "another", None))}
        wanted = replace(goal(chance.choice(list(Role)), **settings), settled=chance.random() < 0.5)
        local = Local(
            chance.choice(list(Mysqld)),
            chance.choice((ME, "")),
            errant=chance.choice((None, True, False)),
            unreturned=chance.choice(("", "half-rewound")),
            **{name: chance.random() < 0.5 for name in flags},
        )
        check_plan(wanted, local, converge(wanted, local))


def test_every_role_that_a_phase_assigns_is_one_that_converge_knows():
    assert {role for pair in ROLES.values() for role in pair} == set(Role)
    assert set(ROLES) == set(Phase)


def test_every_action_has_its_effect_and_its_hand():
    """An action that no goal ever leads to is a leftover."""
    reached: set[Action] = set()
    for role, settings, local in product(
        Role,
        PRIMARIES,
        (
            serving(),
            serving(degraded=True),
            serving(armed=False, certifying=False, requires_ack=False, source_on=False, standby_ready=True),
            serving(commits_waiting=True),
            serving(gate_open=False, said_open=False, lease_held=False, relaxed=False, armed=False, certifying=False),
            following(),
            following(offline=True),
            following(handing_over=True, awaited=True),
            Local(Mysqld.DEAD, tail_pending=True, primary_known=True),
            Local(Mysqld.DEAD, copied=True),
            following(follows_peer=False),
            following(login_due=True),
            following(source_on=True),
            following(source_on=True, commits_waiting=True),
            following(has_address=True),
            Local(Mysqld.DEAD, restart_due=True),
            Local(Mysqld.HUNG, lease_open=True),
            following(errant=True, applying=False),
        ),
    ):
        reached |= set(run(goal(role, **settings), local)[1])
    assert reached == set(Action)
    for action in Action:
        assert isinstance(after(goal(Role.PRIMARY), serving(), action), Local)
    assert set(NO_SERVER) <= {f.name for f in fields(Local)}


# --- single stories


def test_a_complete_copy_takes_the_place_of_the_data_directory_while_mysqld_is_dead():
    local = following(receiving=False, applying=False, errant=True, offline=True, repairing=True, copied=True)
    wanted, done = goal(Role.STANDBY), []
    for _ in range(3):
        for action in converge(wanted, local):
            may(wanted, local, action)
            local = after(wanted, local, action)
            done.append(action)
    assert done[:3] == [Action.KILL_MYSQLD, Action.SWAP_DATA, Action.START_MYSQLD]
    assert not local.copied and Action.START_REPLICA not in done


def test_nobody_starts_a_mysqld_whose_data_directory_is_on_its_way():
    dead = Local(Mysqld.DEAD, copied=True, tail_pending=True, restart_due=True)
    assert converge(goal(Role.RETURNING), dead) == (Action.SWAP_DATA, Action.START_MYSQLD)
    assert converge(goal(Role.PRIMARY), dead) == (Action.WITHDRAW, Action.SWAP_DATA, Action.START_MYSQLD)
    assert converge(goal(Role.FENCED), dead) == ()


def test_a_serving_primary_has_nothing_to_do():
    assert converge(goal(Role.PRIMARY, Mode.SYNC, promotable=Certified(DB_B, "x")), serving()) == ()


def test_a_standby_that_replicates_has_nothing_to_do():
    assert converge(goal(Role.STANDBY, Mode.SYNC), following()) == ()


def test_stalled_commits_are_killed_before_the_server_is_made_read_only():
    """super_read_only would wait behind them, and to release them would acknowledge them."""
    assert converge(goal(Role.FENCED), serving(commits_waiting=True)) == (
        Action.SHUT_GATE, Action.RESET_CLIENTS, Action.KILL_MYSQLD, Action.RELEASE,
    )  # fmt: skip


def test_a_superseded_primary_shuts_before_it_asks_the_server():
    assert converge(goal(Role.FENCED), serving()) == (
        Action.SHUT_GATE, Action.RESET_CLIENTS, Action.FORCE_READ_ONLY, Action.RELEASE,
    )  # fmt: skip


def test_old_facts_attest_nothing():
    """Read-only was seen before it was made writable; the server is silent since."""
    silent = Local(Mysqld.RUNNING, incarnation=ME, lease_open=True, locked=False, fresh=False)
    assert converge(goal(Role.FENCED), silent) == (Action.FORCE_READ_ONLY, Action.RELEASE)


def test_a_silent_server_without_power_is_left_alone():
    silent = Local(Mysqld.RUNNING, incarnation=ME, locked=False, fresh=False)
    assert converge(goal(Role.FENCED), silent) == ()


def test_what_came_after_the_promotion_file_is_drained_too():
    """Somebody started the receiver again while the old primary was alive: it has acknowledged more."""
    refilled = Local(Mysqld.RUNNING, incarnation=ME, promoted=True, receiving=True, drained=False)
    assert converge(goal(Role.PRIMARY, heir=ME), refilled)[:2] == (Action.STOP_RECEIVER, Action.DRAIN)


def test_a_record_armed_for_an_earlier_mysqld_is_withdrawn():
    other = serving(other_armed=True, armed=False)
    assert converge(goal(Role.PRIMARY, mode=Mode.SYNC), other) == (Action.WITHDRAW,)


def test_a_revoke_is_answered_though_all_power_is_gone():
    """The leader waits for our word or for W."""
    revoked = Local(Mysqld.RUNNING, incarnation=ME, lease_open=True)
    assert converge(goal(Role.FENCED), revoked) == (Action.RELEASE,)


def test_a_server_that_administrators_can_write_to_is_not_fenced():
    """Between SET super_read_only=OFF and SET read_only=OFF a server calls itself read-only."""
    half = Local(Mysqld.RUNNING, incarnation=ME, read_only=True, locked=False, offline=False)
    assert Action.FORCE_READ_ONLY in converge(goal(Role.FENCED), half)


def test_a_server_that_is_open_for_its_repair_is_locked_all_the_same_while_it_has_power():
    """Its repair writes under offline_mode, which stops no client that the gate lets in and that may administer."""
    alone = {"lease_open": False, "lease_held": False, "gate_open": False, "said_open": False, "has_address": False}
    mending = serving(repairing=True, offline=True)
    assert Action.FORCE_READ_ONLY in converge(goal(Role.RETURNING), mending)
    assert Action.FORCE_READ_ONLY not in converge(goal(Role.RETURNING), replace(mending, **alone))


def test_a_fenced_node_keeps_its_address():
    """It refuses, so that a client gets a reset at once; the new primary adds the address when it opens."""
    fenced = Local(Mysqld.RUNNING, incarnation=ME, has_address=True)
    assert converge(goal(Role.FENCED), fenced) == ()
    assert converge(goal(Role.RETURNING), fenced) == (Action.DROP_ADDRESS,)


def test_the_heir_drains_while_the_fence_wait_runs_and_takes_no_power():
    local, done = run(goal(Role.PREPARE, Mode.SYNC, heir=ME), following(drained=False))
    assert done == [Action.STOP_RECEIVER, Action.DRAIN, Action.WRITE_PROMOTION]
    assert local.locked and not local.lease_held and not local.gate_open


def test_promotion_takes_the_lease_before_the_server_and_the_server_before_the_address():
    ready = Local(Mysqld.RUNNING, incarnation=ME, promoted=True)
    assert converge(goal(Role.PRIMARY, heir=ME), ready) == (
        Action.TAKE_LEASE,
        Action.RECORD_RELAXED,
        Action.SET_WRITABLE,
        Action.ADD_ADDRESS,
        Action.OPEN_GATE,
        Action.PROBE_WRITE,
        Action.SAY_OPEN,
    )


def test_relaxing_is_recorded_first():
    stalled = serving(commits_waiting=True, certifying=False)
    assert converge(goal(Role.PRIMARY), stalled) == (Action.RECORD_RELAXED, Action.RELAX)


def test_a_certification_under_way_is_not_undone_by_the_mode_it_began_in():
    assert converge(goal(Role.PRIMARY), serving(relaxed=False, certifying=True)) == ()


def test_a_ready_standby_is_certified_only_while_the_primary_serves():
    ready = {"standby_ready": True, "armed": False, "certifying": False, "relaxed": True, "requires_ack": False}
    assert converge(goal(Role.PRIMARY), serving(**ready)) == (Action.CERTIFY,)
    assert converge(goal(Role.PRIMARY), serving(**{**ready, "standby_ready": False})) == ()
    assert Action.CERTIFY not in converge(goal(Role.PRIMARY), serving(**{**ready, "gate_open": False}))


def test_a_commit_that_semi_sync_let_go_is_recorded():
    certified = goal(Role.PRIMARY, Mode.SYNC, promotable=Certified(DB_B, "x"))
    for seen in (serving(degraded=True), serving(degraded=True, requires_ack=False, source_on=False)):
        assert converge(certified, seen) == (Action.RECORD_DEGRADED,), "before it is put right, which would hide it"


def test_a_restart_in_place_shows_no_recovered_tail():
    """Crash recovery commits what was logged and never acknowledged: clients may read it once the standby holds it."""
    wanted = goal(Role.PRIMARY, Mode.SYNC)
    local, done = run(wanted, Local(Mysqld.DEAD, was_primary=True, restart_due=True, armed=True))
    assert done[:2] == [Action.WITHDRAW, Action.START_MYSQLD]
    assert not (local.locked or local.offline or local.gate_open) and Action.OPEN_GATE not in done
    assert done.index(Action.SET_ONLINE) < done.index(Action.REQUIRE_ACK) < done.index(Action.SET_WRITABLE)
    local, done = run(wanted, replace(local, standby_ready=True))
    assert done == [Action.CERTIFY] and not local.gate_open
    certified = replace(wanted, promotable=Certified(DB_B, "x"))
    assert run(certified, local)[0].gate_open  # after U2
    relaxed = run(replace(wanted, mode=Mode.ASYNC), replace(local, certifying=False))
    assert relaxed[0].gate_open and relaxed[1][0] is Action.RECORD_RELAXED  # or after U1 and C5


def test_a_certificate_of_the_mysqld_before_does_not_open_the_one_after():
    """The record may still name the standby: the leader that would take it away (U3) may be down."""
    stale = goal(Role.PRIMARY, Mode.SYNC, promotable=Certified(DB_B, "x"))
    assert not run(stale, Local(Mysqld.DEAD, was_primary=True, restart_due=True))[0].gate_open


def test_mysqld_of_the_primary_is_started_only_when_nobody_takes_over():
    gone = Local(Mysqld.DEAD, was_primary=True)
    assert converge(goal(Role.PRIMARY, Mode.SYNC), gone) == ()
    assert converge(goal(Role.PRIMARY), replace(gone, restart_due=True)) == (Action.WITHDRAW, Action.START_MYSQLD)


def test_a_gate_lost_to_a_stall_is_reopened_under_a_new_lease_write():
    certified = goal(Role.PRIMARY, Mode.SYNC, promotable=Certified(DB_B, "x"))
    shut = serving(gate_open=False, lease_held=False, said_open=False)
    assert converge(certified, shut)[0] is Action.TAKE_LEASE
    assert run(certified, shut)[0].gate_open


def test_a_withdrawn_handover_serves_again_in_the_same_epoch():
    given = serving(lease_open=False, lease_held=False, gate_open=False, said_open=False, read_only=True, locked=True)
    certified = goal(Role.PRIMARY, Mode.SYNC, promotable=Certified(DB_B, "x"))
    local, done = run(certified, given)
    assert local.gate_open and not local.locked
    assert not {Action.RECORD_RELAXED, Action.RELAX} & set(done), "still SYNC: without C5"


def test_a_handover_whose_server_died_releases_without_it():
    assert converge(goal(Role.HANDOVER), Local(Mysqld.EXITING, lease_open=True, gate_open=True)) == (
        Action.SHUT_GATE, Action.RESET_CLIENTS, Action.RELEASE,
    )  # fmt: skip


def test_a_source_side_with_waiting_sessions_is_killed_not_switched_off():
    """Switched off, it would tell clients that their commits are safe."""
    assert converge(goal(Role.RETURNING), following(source_on=True, commits_waiting=True)) == (Action.KILL_MYSQLD,)
    assert converge(goal(Role.RETURNING), following(source_on=True)) == (Action.SOURCE_OFF,)


@pytest.mark.parametrize("errant", [None, True, False])
def test_a_channel_that_is_to_log_in_otherwise_is_changed_while_writes_go_on(errant):
    """Under them what a standby has executed is always ahead of the primary's last report. Readers stay."""
    other = following(login_due=True, errant=errant)
    assert converge(goal(Role.STANDBY, Mode.SYNC), other) == (*LOG_IN, Action.START_REPLICA)
    local, done = run(goal(Role.STANDBY, Mode.SYNC), other)
    assert local == following(errant=errant) and Action.SET_OFFLINE not in done


@pytest.mark.parametrize(("receiving", "applying"), [(False, True), (True, False), (False, False)])
def test_a_channel_that_does_not_replicate_logs_in_anew_once_all_that_it_has_is_executed(receiving, applying):
    """Without a running applier its relay logs are deleted, with what only they may hold."""
    half, wanted = following(login_due=True, receiving=receiving, applying=applying), goal(Role.STANDBY)
    assert converge(wanted, replace(half, errant=True)) == (Action.SET_OFFLINE,)
    assert converge(wanted, replace(half, drained=False)) == (Action.START_REPLICA,)
    assert converge(wanted, half) == (*LOG_IN, Action.START_REPLICA)


@pytest.mark.parametrize("errant", [None, True, False])
def test_a_channel_that_leads_elsewhere_is_stopped_before_anything_is_compared(errant):
    """What it goes on to apply would look errant as long as its source takes writes."""
    assert converge(goal(Role.STANDBY), following(follows_peer=False, errant=errant)) == (Action.STOP_RECEIVER,)
    still = following(follows_peer=False, receiving=False)
    assert converge(goal(Role.STANDBY), still) == (Action.CONFIGURE_CHANNEL, Action.START_REPLICA)


@pytest.mark.parametrize("errant", [None, True])
def test_a_node_that_may_hold_too_much_serves_no_reads(errant):
    assert converge(goal(Role.RETURNING), following(receiving=False, errant=errant)) == (Action.SET_OFFLINE,)


def test_the_standby_answers_a_handover():
    """Everything is executed before the receiver stops, both before the record names the new primary."""
    handed = following(handing_over=True, awaited=True)
    assert converge(goal(Role.STANDBY), handed) == (Action.AWAIT_HANDOVER, Action.STOP_RECEIVER, Action.STOP_APPLIER)
    assert converge(goal(Role.STANDBY), replace(handed, awaited=False)) == ()


def test_a_heir_that_was_opened_in_this_epoch_may_restart_in_place():
    """Its writes are the truth by then."""
    wanted = goal(Role.PRIMARY, heir="before")
    assert unable(wanted, Local(Mysqld.RUNNING, incarnation="after", was_primary=True)) == ""
    assert unable(wanted, Local(Mysqld.RUNNING, incarnation="after", promoted=True)) == ""
    assert unable(wanted, Local(Mysqld.RUNNING, incarnation="after"))
    assert unable(wanted, Local(Mysqld.DEAD)) == ""  # the leader sees that by itself, and unknown is not dead
    assert unable(goal(Role.STANDBY, heir="before"), Local(Mysqld.DEAD)) == ""
