"""What each action does to a host, and what must hold before it may: the agent's side of the small world.

Used where converge is run without servers. An order that docs/safety.md forbids is an AssertionError here.
"""

from __future__ import annotations

from dataclasses import replace

from agents.converge import Action, Local, converge, unable
from agents.invariants import check_plan
from orchestrator.core.model import Goal, Mode, Mysqld, Role

NO_SERVER = {
    "offline": True,
    "read_only": True,
    "locked": True,
    "receiving": False,
    "applying": False,
    "source_on": False,
    "requires_ack": False,
    "commits_waiting": False,
    "incarnation": "",
    "opened": False,
    "armed": False,
    "certifying": False,
    "degraded": False,
}
GIVES_POWER = (Action.SET_WRITABLE, Action.ADD_ADDRESS, Action.OPEN_GATE, Action.SAY_OPEN)


def run(goal: Goal, local: Local, *, rounds: int = 8) -> tuple[Local, list[Action]]:
    """All actions until the goal is reached or others must move first; more rounds than an agent has are a failure."""
    done: list[Action] = []
    for _ in range(rounds):
        actions = converge(goal, local)
        if not actions:
            return local, done
        check_plan(goal, local, actions)
        for action in actions:
            may(goal, local, action)
            local = after(goal, local, action)
            done.append(action)
    raise AssertionError(f"{goal} is not reached in {rounds} rounds: {done}, {local}")


def after(goal: Goal, local: Local, action: Action) -> Local:
    """The host when the action has done what it promises."""
    match action:
        case Action.SHUT_GATE:
            return replace(local, gate_open=False, lease_held=False)  # it forgets its authority
        case Action.SET_OFFLINE | Action.SET_ONLINE:
            return replace(local, offline=action is Action.SET_OFFLINE)
        case Action.FORCE_READ_ONLY:
            return replace(local, offline=True, read_only=True, locked=True)
        case Action.SET_READ_ONLY:
            return replace(local, read_only=True, locked=True)
        case Action.KILL_MYSQLD:
            return replace(local, mysqld=Mysqld.DEAD, **NO_SERVER)
        case Action.RELEASE | Action.HAND_OVER:
            return replace(local, lease_open=False, lease_held=False, gate_open=False, said_open=False)
        case Action.DROP_ADDRESS | Action.ADD_ADDRESS:
            return replace(local, has_address=action is Action.ADD_ADDRESS)
        case Action.SOURCE_OFF | Action.RELAX:
            return replace(local, source_on=False, requires_ack=False, commits_waiting=False)
        case Action.STOP_RECEIVER:
            return replace(local, receiving=False)
        case Action.DRAIN:
            return replace(local, drained=True)
        case Action.STOP_APPLIER:
            return replace(local, applying=False)
        case Action.WRITE_PROMOTION:
            return replace(local, promoted=True)
        case Action.TAKE_LEASE:
            held = replace(local, lease_held=True, lease_open=True, said_open=False)
            return relaxed(held) if goal.mode is Mode.ASYNC else held
        case Action.RECORD_RELAXED:
            return relaxed(local)
        case Action.REQUIRE_ACK:
            return replace(local, source_on=True, requires_ack=True)
        case Action.CERTIFY:
            return replace(
                local, source_on=True, requires_ack=True, armed=True, certifying=True, degraded=False, relaxed=False
            )
        case Action.RECORD_DEGRADED | Action.WITHDRAW:
            return replace(
                local, armed=False, other_armed=False, sync_unreadable=False, certifying=False, relaxed=False
            )
        case Action.SET_WRITABLE:
            return replace(local, offline=False, read_only=False, locked=False)
        case Action.OPEN_GATE:
            return replace(local, gate_open=True, opened=True, was_primary=True)
        case Action.SAY_OPEN:
            return replace(local, said_open=True)
        case Action.SWAP_DATA:
            return replace(local, copied=False, tail_pending=False)
        case Action.START_MYSQLD:
            return replace(local, **{**NO_SERVER, "mysqld": Mysqld.RUNNING, "incarnation": "another"})
        case Action.CONFIGURE_CHANNEL:
            return replace(
                local, follows_peer=True, login_due=False, receiving=False, applying=False, incarnation="another"
            )
        case Action.CHANGE_LOGIN:
            return replace(local, login_due=False)
        case Action.START_REPLICA:
            return replace(local, receiving=True, applying=True)
        case Action.AWAIT_HANDOVER:
            return replace(local, awaited=False)
        case Action.CAPTURE_TAIL:
            return replace(local, tail_pending=False)
        case Action.RESET_CLIENTS | Action.PROBE_WRITE:
            return local


def relaxed(local: Local) -> Local:
    return replace(local, relaxed=True, armed=False, certifying=False, degraded=False)


def may(goal: Goal, local: Local, action: Action) -> None:
    """What docs/safety.md demands before an action."""
    running = local.mysqld is Mysqld.RUNNING
    serves = goal.role is Role.PRIMARY
    if action in GIVES_POWER:
        assert serves and local.lease_held and running, "power needs a lease of this epoch (I6)"
        assert not local.receiving, "a primary runs no receiver (I7)"
        assert local.promoted or local.was_primary, "fence and drain before write (I3, I4)"
    match action:
        case Action.DRAIN:
            assert not local.receiving
        case Action.STOP_APPLIER | Action.WRITE_PROMOTION:
            assert not local.receiving
            # What comes in after the promotion file is somebody's START REPLICA on a primary: it is not waited for.
            assert local.drained or local.promoted or local.was_primary, "drain before write (I4)"
        case Action.TAKE_LEASE:
            assert serves and running and not local.receiving and not unable(goal, local)
            assert local.promoted or local.was_primary
        case Action.RECORD_RELAXED:
            assert serves and goal.mode is Mode.ASYNC and local.lease_held
        case Action.RELAX:
            assert serves and local.relaxed and goal.mode is Mode.ASYNC, "record before relax (I5)"
        case Action.REQUIRE_ACK:
            assert serves and not local.offline, "the standby must be able to connect"
            assert not (local.armed and local.degraded), "recorded before it is put right"
        case Action.CERTIFY:
            assert serves and local.lease_held and local.standby_ready and not local.locked
        case Action.OPEN_GATE:
            assert not local.locked and not local.offline and local.has_address
            assert goal.mode is Mode.ASYNC or local.requires_ack
            assert local.relaxed or local.certifying or goal.mode is Mode.SYNC
            assert goal.mode is Mode.ASYNC or (goal.promotable and local.armed), "a recovered tail is not shown (L8)"
        case Action.SAY_OPEN:
            assert local.gate_open and not local.locked
        case Action.SOURCE_OFF:
            assert not local.commits_waiting, "fencing never acknowledges (I11)"
        case Action.FORCE_READ_ONLY | Action.SET_OFFLINE if local.commits_waiting:
            assert action is Action.SET_OFFLINE, "it would wait behind the stalled commits"
        case Action.SET_READ_ONLY:
            assert goal.role is Role.HANDOVER
        case Action.KILL_MYSQLD:
            assert local.mysqld is Mysqld.HUNG or goal.role not in (Role.PRIMARY, Role.HANDOVER)
            assert not local.gate_open, "the gate comes first"
        case Action.RELEASE | Action.HAND_OVER:
            assert not running or local.locked, "it attests that nothing local can write"
            assert action is Action.HAND_OVER or not local.gate_open
        case Action.DROP_ADDRESS:
            assert not local.gate_open, "resets need the address"
        case Action.SWAP_DATA:
            assert local.mysqld is Mysqld.DEAD and local.copied, "no directory is exchanged under a running server"
        case Action.START_MYSQLD:
            assert not local.copied, "there may be no data directory"
            assert local.mysqld is Mysqld.DEAD and not local.gate_open and not local.lease_open
            assert not serves or (local.restart_due and not local.armed), "disarmed before a tail can be recovered"
            assert serves or not local.tail_pending, "an unacknowledged tail is taken off first"
        case Action.CAPTURE_TAIL:
            assert local.mysqld is Mysqld.DEAD and local.primary_known and not serves
        case Action.CONFIGURE_CHANNEL | Action.CHANGE_LOGIN | Action.START_REPLICA:
            assert goal.role in (Role.STANDBY, Role.RETURNING)
            assert running and local.locked and not local.source_on
            assert local.errant is False or (local.applying and local.follows_peer)
            assert action is not Action.CHANGE_LOGIN or not local.receiving
            assert action is Action.CONFIGURE_CHANNEL or local.follows_peer, "only from the primary of this epoch (I3)"
        case Action.SET_ONLINE:
            assert serves or (local.receiving and local.applying and local.follows_peer)
