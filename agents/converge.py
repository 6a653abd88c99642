"""An agent's way to its goal: what takes power away comes before what gives it, the record before the server. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from orchestrator.core.model import Goal, Mode, Mysqld, Role


class Action(StrEnum):
    """One step of an agent. Each verifies its own post-condition; the executor stops at the first failure."""

    # power away
    SHUT_GATE = "shut_gate"
    RESET_CLIENTS = "reset_clients"
    SET_OFFLINE = "set_offline"
    FORCE_READ_ONLY = "force_read_only"  # offline too; by SIGKILL if the server will not
    SET_READ_ONLY = "set_read_only"  # never by force: planned switchover
    KILL_MYSQLD = "kill_mysqld"
    RELEASE = "release"
    HAND_OVER = "hand_over"  # shut, reset clients, and say what was committed, in one step of the keeper
    DROP_ADDRESS = "drop_address"
    SOURCE_OFF = "source_off"
    # take over
    STOP_RECEIVER = "stop_receiver"
    DRAIN = "drain"
    STOP_APPLIER = "stop_applier"
    WRITE_PROMOTION = "write_promotion"
    TAKE_LEASE = "take_lease"
    # semi-sync
    RECORD_RELAXED = "record_relaxed"
    RELAX = "relax"
    REQUIRE_ACK = "require_ack"
    CERTIFY = "certify"
    RECORD_DEGRADED = "record_degraded"
    WITHDRAW = "withdraw"
    # serve
    SET_WRITABLE = "set_writable"
    ADD_ADDRESS = "add_address"
    OPEN_GATE = "open_gate"
    PROBE_WRITE = "probe_write"
    SAY_OPEN = "say_open"
    # standby
    CAPTURE_TAIL = "capture_tail"
    SWAP_DATA = "swap_data"  # a copy of the primary in place of the data directory
    START_MYSQLD = "start_mysqld"
    CONFIGURE_CHANNEL = "configure_channel"
    CHANGE_LOGIN = "change_login"  # of the channel that leads to the peer
    START_REPLICA = "start_replica"
    SET_ONLINE = "set_online"
    AWAIT_HANDOVER = "await_handover"


LOG_IN = (Action.STOP_RECEIVER, Action.CHANGE_LOGIN)


@dataclass(frozen=True, slots=True)
class Local:
    """What the agent sees of its own host. The server's facts mean something only while mysqld is RUNNING."""

    mysqld: Mysqld
    incarnation: str = ""
    # power
    lease_held: bool = False  # held in the goal's epoch, and its last acknowledged renewal still authorises
    lease_open: bool = False  # our lease record says held or revoked: it waits for our word
    gate_open: bool = False
    said_open: bool = False
    has_address: bool = False
    # server
    offline: bool = True
    read_only: bool = True  # clients cannot write
    locked: bool = True  # super_read_only, seen just now: administrators cannot either
    fresh: bool = True  # the server's facts are of now; old ones only let power be taken
    receiving: bool = False
    applying: bool = False
    follows_peer: bool = False  # the channel leads to it
    login_due: bool = False  # and logs in there otherwise than it is to
    drained: bool = True
    source_on: bool = False  # the source side of semi-sync, whatever its timeout
    requires_ack: bool = False  # commits wait for the standby
    commits_waiting: bool = False
    # records and memory
    relaxed: bool = False  # the relaxed record of this epoch is written
    armed: bool = False  # the armed record of this epoch, mysqld and standby is written
    sync_unreadable: bool = False  # our own sync record cannot be read, so nothing is proven by it
    other_armed: bool = False  # it is written for an earlier mysqld of this host
    certifying: bool = False  # armed, and neither late nor stalled: U2 may still come
    degraded: bool = False  # semi-sync let a commit go since it was armed, or would
    promoted: bool = False  # promotion file of this epoch: all that was received has been executed
    opened: bool = False  # the gate was opened before this mysqld in this epoch
    was_primary: bool = False  # so was an earlier mysqld of this host, in this epoch
    restart_due: bool = False  # nobody will take over: mysqld of the primary is to be started in place
    standby_ready: bool = False  # the other node replicates, near, without errant transactions, not yet certified
    tail_pending: bool = False  # mysqld died as primary of an earlier epoch, and its binary log was not looked at yet
    primary_known: bool = False  # the primary of this epoch has said what it has executed
    errant: bool | None = None  # None: the primary's set is not known yet
    refused: bool = False  # the server lacks a setting that Kembar needs
    handing_over: bool = False  # the primary has handed over: nothing more will come from it
    repairing: bool = False  # what only this node has is being taken out of it: nothing else may touch its server
    unreturned: str = ""  # why a return keeps this node from any power
    awaited: bool = False  # and something of it is still to be executed, or to be stopped here
    copied: bool = False  # a copy of the primary is to take the place of the data directory, or half has


def converge(goal: Goal, local: Local) -> tuple[Action, ...]:
    """The next actions, in order; none when the goal is reached or somebody else has to move first."""
    if local.mysqld is Mysqld.HUNG:
        return (*_close(local), Action.KILL_MYSQLD, *_release(local))
    if goal.role is not Role.HANDOVER and goal.role is not Role.PRIMARY:
        demotion = _demote(local)
        if demotion:
            return demotion
    match goal.role:
        case Role.PRIMARY:
            return _primary(goal, local)
        case Role.HANDOVER:
            return _hand_over(local)
        case Role.PREPARE:
            return _prepare(goal, local)
        case Role.FENCED:
            return (Action.STOP_RECEIVER,) if _alive(local) and local.receiving else ()
        case Role.STANDBY | Role.RETURNING:
            return _follow(local)


def unable(goal: Goal, local: Local) -> str:
    """Why this node cannot take over as its goal says; empty if it can, or need not."""
    if goal.role not in (Role.PREPARE, Role.PRIMARY):
        return ""
    if local.unreturned and not (local.opened or local.was_primary):
        return f"returned: {local.unreturned}"
    if goal.heir is None or goal.settled:
        return ""  # once it has opened its data is the history, though its own agent may have lost its memory of it
    if local.promoted or local.was_primary:
        return ""  # what was received is executed and on disk: a restart loses nothing of it
    if local.incarnation and local.incarnation != goal.heir:  # unknown, or dead: the leader sees that by itself
        return f"incarnation: certified was {goal.heir}, running is {local.incarnation}"
    return ""


def _may_take_over(goal: Goal, local: Local) -> bool:
    """Not before it is known which life is running, if only one of them may."""
    known = bool(local.incarnation) or goal.heir is None or goal.settled or local.promoted or local.was_primary
    return known and not unable(goal, local)


def _alive(local: Local) -> bool:
    return local.mysqld is Mysqld.RUNNING


def _close(local: Local) -> tuple[Action, ...]:
    """Sockets are destroyed while the address is still there, so that clients get a reset at once."""
    return (Action.SHUT_GATE, Action.RESET_CLIENTS) if local.gate_open else ()


def _release(local: Local) -> tuple[Action, ...]:
    return (Action.RELEASE,) if local.lease_open else ()


def _demote(local: Local) -> tuple[Action, ...]:
    if local.mysqld is Mysqld.STARTING:
        return _close(local)  # perhaps found running and writable by a new agent: released is said once it answers
    powerful = local.gate_open or local.lease_open
    opened_for_repair = local.repairing and local.offline and not powerful  # super_read_only would refuse the repair
    writable = _alive(local) and not local.locked and (local.fresh or powerful) and not opened_for_repair
    if not (powerful or writable):
        return ()
    if writable and local.commits_waiting:
        # super_read_only would wait behind the stalled commits, and releasing them would acknowledge them.
        return (*_close(local), Action.KILL_MYSQLD, *_release(local))
    # A refused server is not ours to change, unless it holds power: a release attests that it cannot write.
    server = (Action.FORCE_READ_ONLY,) if writable and (powerful or not local.refused) else ()
    return (*_close(local), *server, *_release(local))


def _primary(goal: Goal, local: Local) -> tuple[Action, ...]:
    if local.mysqld is Mysqld.STARTING:
        return ()  # an open gate here is that of a server that a new agent has just found and not heard yet
    if not _alive(local):
        return _primary_without_mysqld(local)
    if not _may_take_over(goal, local) or (local.refused and not local.opened):
        return ()
    if not (local.opened or local.was_primary or _ready(local)):
        # In one go: each step proves its own effect, so nothing has to be looked at between drain and open gate.
        drained = replace(local, receiving=False, drained=True, promoted=True)
        return (*_take_what_was_received(), *_primary(goal, drained))
    if local.receiving:
        return (Action.STOP_RECEIVER, Action.STOP_APPLIER)
    if local.other_armed or local.sync_unreadable:
        return (Action.WITHDRAW,)
    if local.armed and local.degraded:
        return (Action.RECORD_DEGRADED,)  # before it is put right, which would hide that a commit went by itself
    if not local.lease_held:
        return (Action.TAKE_LEASE, *_open(goal, local))
    return _open(goal, local) or _stop_idle_applier(local) or _certify(goal, local)


def _primary_without_mysqld(local: Local) -> tuple[Action, ...]:
    if local.gate_open or local.lease_open:
        return (*_close(local), *_release(local))
    if local.mysqld is Mysqld.DEAD and local.restart_due:
        return (Action.WITHDRAW, *_swap(local), Action.START_MYSQLD)
    return ()


def _ready(local: Local) -> bool:
    """Promised by the promotion file, and still so: a receiver that was started again may have brought more."""
    return local.promoted and not local.receiving and local.drained


def _take_what_was_received() -> tuple[Action, ...]:
    """The write fence and the drain, proven by the promotion file."""
    return (Action.STOP_RECEIVER, Action.DRAIN, Action.WRITE_PROMOTION)


def _stop_idle_applier(local: Local) -> tuple[Action, ...]:
    """Without a receiver it gets nothing more, and a client need not wait until it has ended."""
    return (Action.STOP_APPLIER,) if local.applying else ()


def _open(goal: Goal, local: Local) -> tuple[Action, ...]:
    """From a held lease to an open gate. In ASYNC the record comes before the relaxed server."""
    actions: list[Action] = []
    if goal.mode is Mode.ASYNC and not local.certifying:
        if not local.relaxed:
            actions.append(Action.RECORD_RELAXED)
        if local.requires_ack:
            actions.append(Action.RELAX)
    if goal.mode is Mode.SYNC and not local.requires_ack:
        if local.offline:
            actions.append(Action.SET_ONLINE)  # behind the shut gate: the standby must be able to connect
        actions.append(Action.REQUIRE_ACK)
    if local.read_only or local.offline:
        actions.append(Action.SET_WRITABLE)
    if not local.gate_open and _may_open(goal, local):
        actions += [Action.ADD_ADDRESS, Action.OPEN_GATE]
    if not local.said_open and (local.gate_open or _may_open(goal, local)):
        actions += [Action.PROBE_WRITE, Action.SAY_OPEN]
    return tuple(actions)


def _may_open(goal: Goal, local: Local) -> bool:
    """In SYNC only what the standby holds is shown: this mysqld, perhaps with a recovered tail, must be certified.

    The record alone may still name a certificate of the mysqld before.
    """
    return goal.mode is Mode.ASYNC or (goal.promotable is not None and local.armed)


def _certify(goal: Goal, local: Local) -> tuple[Action, ...]:
    due = goal.promotable is None and local.standby_ready and not local.armed
    return (Action.CERTIFY,) if due else ()


def _hand_over(local: Local) -> tuple[Action, ...]:
    if local.mysqld is Mysqld.STARTING:
        return ()
    if not _alive(local):
        return (*_close(local), *_release(local))
    if not local.lease_open:
        return ()
    return (Action.HAND_OVER,) if local.locked else (Action.SET_READ_ONLY, Action.HAND_OVER)


def _prepare(goal: Goal, local: Local) -> tuple[Action, ...]:
    if not _alive(local) or not _may_take_over(goal, local) or _ready(local):
        return ()
    return _take_what_was_received()


def _follow(local: Local) -> tuple[Action, ...]:
    """Standby or returning: the new primary is open, so the address goes; data before replication."""
    if local.has_address:
        return (Action.DROP_ADDRESS,)
    if local.mysqld is Mysqld.DEAD:
        return _start(local)
    if not _alive(local) or local.refused:
        return ()
    if local.sync_unreadable:
        return (Action.WITHDRAW,)
    if local.repairing:
        return _hold_still(local)
    if local.source_on:
        # With sessions waiting, switching it off would release them as acknowledged.
        return (Action.KILL_MYSQLD,) if local.commits_waiting else (Action.SOURCE_OFF,)
    if local.handing_over:
        # Everything is executed before the receiver stops, and both before the record names us: it saves their time.
        return (Action.AWAIT_HANDOVER, Action.STOP_RECEIVER, Action.STOP_APPLIER) if local.awaited else ()
    if local.receiving and local.applying and local.follows_peer:
        if local.login_due:  # whom it follows stays the same: nothing is to be compared, and readers stay
            return (*LOG_IN, Action.START_REPLICA)
        return (Action.SET_ONLINE,) if local.offline else ()
    if local.receiving and not local.follows_peer:
        return (Action.STOP_RECEIVER,)  # what it has executed is compared at rest: reports are older than the stream
    if local.errant is not False:
        return () if local.offline else (Action.SET_OFFLINE,)
    if not local.follows_peer:
        return (Action.CONFIGURE_CHANNEL, Action.START_REPLICA)
    # Only a running applier keeps the relay logs: what they hold is executed first.
    return (*(LOG_IN if local.login_due and local.drained else ()), Action.START_REPLICA)


def _hold_still(local: Local) -> tuple[Action, ...]:
    """Nothing comes in and nobody reads while rows are changed back."""
    if local.copied:
        return (Action.KILL_MYSQLD,)  # never a clean stop; what it had is evidence
    if local.receiving:
        return (Action.STOP_RECEIVER, Action.STOP_APPLIER)
    if local.applying:
        return (Action.STOP_APPLIER,)
    return () if local.offline else (Action.SET_OFFLINE,)


def _start(local: Local) -> tuple[Action, ...]:
    """Recovery commits what the binary log holds, so its unacknowledged end is taken off before mysqld starts."""
    if local.copied or not local.tail_pending:
        return (*_swap(local), Action.START_MYSQLD)
    return (Action.CAPTURE_TAIL, Action.START_MYSQLD) if local.primary_known else ()


def _swap(local: Local) -> tuple[Action, ...]:
    """Whoever starts mysqld does this first: between the two renames there is no data directory."""
    return (Action.SWAP_DATA,) if local.copied else ()
