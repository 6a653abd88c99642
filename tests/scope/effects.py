"""What each action of an agent does to the small pair. A step that fails raises StepFailed and ends the order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from agents.converge import Action
from orchestrator.core.errors import StepFailed
from orchestrator.core.model import LeaseState, Mode, Sync, SyncState
from tests.scope.state import Node, Order, State, connected, incarnation, text


class Broken(Exception):  # noqa: N818 - a promise is broken, nothing went wrong here
    """A promise of the protocol is broken in this state."""


def require(holds: object, what: str) -> None:
    if not holds:
        raise Broken(what)


def change(s: State, i: int, **fields: object) -> State:
    nodes = list(s.nodes)
    nodes[i] = nodes[i]._replace(**fields)
    return s._replace(nodes=(nodes[0], nodes[1]))


def act(s: State, i: int, action: Action) -> State:
    """The state after that action of node `i`, whose order is under way."""
    order = s.nodes[i].order
    assert order is not None
    return EFFECTS[action](s, i, order)


# --- records


def _reach(s: State, i: int) -> None:
    if s.nodes[i].cut:
        raise StepFailed("not connected")


def _unchanged(s: State, order: Order) -> None:
    if s.desired.seq != order.goal.seq:
        raise StepFailed("the record has changed")


def put_lease(s: State, i: int, **fields: object) -> State:
    leases = list(s.leases)
    leases[i] = (replace(leases[i][0], **fields), leases[i][1] + 1)
    return s._replace(leases=(leases[0], leases[1]))


def put_sync(s: State, i: int, sync: Sync) -> State:
    """Acknowledged to its writer, so that it leaves no doubt."""
    syncs = list(s.syncs)
    syncs[i] = (sync, syncs[i][1] + 1)
    return change(s._replace(syncs=(syncs[0], syncs[1])), i, doubt=False)


def _sync_as(s: State, i: int, order: Order, state: SyncState) -> State:
    return put_sync(s, i, Sync(state, order.goal.epoch, incarnation(i, s.nodes[i])))


def _take_lease(s: State, i: int, order: Order) -> State:
    _reach(s, i)
    _unchanged(s, order)
    sync = s.syncs[i][0]
    known = sync.state is SyncState.RELAXED and sync.epoch == order.goal.epoch and not s.nodes[i].doubt
    if order.goal.mode is Mode.ASYNC and not known:
        s = _sync_as(s, i, order, SyncState.RELAXED)
    held = {"state": LeaseState.HELD, "epoch": order.goal.epoch, "owner": "ab"[i], "gate_open": False, "why": ""}
    s = put_lease(s, i, incarnation=incarnation(i, s.nodes[i]), executed="", **held)
    return change(s, i, authority=True, renouncing=False)


def _record_relaxed(s: State, i: int, order: Order) -> State:
    _reach(s, i)
    _unchanged(s, order)
    return _sync_as(s, i, order, SyncState.RELAXED)


def _withdraw(s: State, i: int, order: Order) -> State:
    _reach(s, i)
    _unchanged(s, order)
    return _sync_as(s, i, order, SyncState.NONE)


def _record_degraded(s: State, i: int, order: Order) -> State:
    _reach(s, i)
    return _sync_as(s, i, order, SyncState.DEGRADED)


def _release(s: State, i: int, order: Order, *, handover: bool = False) -> State:
    s = shut(s, i)
    if handover and not s.nodes[i].running:
        raise StepFailed("no answer")
    _reach(s, i)
    node = s.nodes[i]
    require(not node.writable or not node.running, "a node says released while its mysqld is writable")
    executed = text(node.executed) if handover else ""
    why = "handover" if handover else order.why
    return put_lease(s, i, state=LeaseState.RELEASED, owner="ab"[i], gate_open=False, why=why, executed=executed)


def _say_open(s: State, i: int, order: Order) -> State:
    _reach(s, i)
    if s.leases[i][0].state is not LeaseState.HELD or not s.nodes[i].gate:
        raise StepFailed("the gate is not open under a lease of ours")
    return put_lease(s, i, gate_open=True)


# --- gate


def shut(s: State, i: int) -> State:
    return change(s, i, gate=False, authority=False, renouncing=True)


def _open_gate(s: State, i: int, order: Order) -> State:
    node = s.nodes[i]
    if not node.authority:
        raise StepFailed("no acknowledged renewal within the horizon")
    s = change(s, i, gate=True, opened=(order.goal.epoch, incarnation(i, node)))
    require(not s.nodes[1 - i].gate, "two answerers: both gates are open")
    require(not node.receiving, "I7: the gate opens beside a running receiver")
    require(node.received <= node.executed, "I4: the gate opens before all that was received is executed")
    lost = s.acknowledged - node.executed
    require(not lost, f"the gate opens without acknowledged transactions {sorted(lost)}")
    return s


# --- server


def _running(s: State, i: int) -> Node:
    node = s.nodes[i]
    if not node.running:
        raise StepFailed("mysqld does not run")
    return node


def set_on(s: State, i: int, order: Order, **fields: object) -> State:
    _running(s, i)
    return change(s, i, **fields)


def die(s: State, i: int) -> State:
    """Of mysqld: both ends of the channel notice by themselves."""
    return change(s, i, running=False, writable=False, receiving=False, applying=False, requires_ack=False)


def _kill(s: State, i: int, order: Order) -> State:
    return die(s, i)


def _force_read_only(s: State, i: int, order: Order) -> State:
    node = s.nodes[i]
    return die(s, i) if node.tail or not node.running else change(s, i, writable=False)


def _set_read_only(s: State, i: int, order: Order) -> State:
    if _running(s, i).tail:
        raise StepFailed("commits wait")
    return change(s, i, writable=False)


def _source_off(s: State, i: int, order: Order) -> State:
    if _running(s, i).tail:
        raise StepFailed("commits wait for an acknowledgement")
    return change(s, i, requires_ack=False)


def _drain(s: State, i: int, order: Order) -> State:
    node = _running(s, i)
    return change(s, i, executed=node.executed | node.received)


def _write_promotion(s: State, i: int, order: Order) -> State:
    node = _running(s, i)
    if not node.received <= node.executed:
        raise StepFailed("received transactions are still to be applied")
    return change(s, i, promoted=order.goal.epoch)


def _relax(s: State, i: int, order: Order) -> State:
    node = _running(s, i)
    require(s.syncs[i][0].state is SyncState.RELAXED, f"I5: relaxes while its record says {s.syncs[i][0].state}")
    s = change(s, i, requires_ack=False, executed=node.executed | node.tail, tail=frozenset())
    return tell(s, i, node.tail)


def _require_ack(s: State, i: int, order: Order) -> State:
    _running(s, i)
    if not connected(s, i):
        raise StepFailed("no client of semi-sync")
    return change(s, i, requires_ack=True)


def _certify(s: State, i: int, order: Order) -> State:
    """The set is read, then a commit returns: hence the other node has received all of it."""
    s = _require_ack(s, i, order)
    node, other = s.nodes[i], s.nodes[1 - i]
    executed = text(node.executed)
    s = change(s, 1 - i, received=other.received | node.executed | node.tail)
    _reach(s, i)
    token = f"t{order.goal.epoch}.{s.syncs[i][1]}"
    armed = Sync(SyncState.ARMED, order.goal.epoch, incarnation(i, node), token, order.standby, executed)
    return put_sync(s, i, armed)


def _probe_write(s: State, i: int, order: Order) -> State:
    if _running(s, i).requires_ack and not connected(s, i):
        raise StepFailed("the heartbeat commit has no answer")
    return s


def _set_writable(s: State, i: int, order: Order) -> State:
    require(not _running(s, i).receiving, "I3: made writable beside a running receiver")
    return change(s, i, writable=True)


def _start_mysqld(s: State, i: int, order: Order) -> State:
    """Recovery commits the binary log; relay logs that were not applied are gone."""
    node = s.nodes[i]
    executed = node.executed | node.tail
    return change(
        s, i, running=True, life=node.life + 1, executed=executed, tail=frozenset(), received=node.received & executed
    )


def _await_handover(s: State, i: int, order: Order) -> State:
    s = _drain(s, i, order)
    handed = {int(one) for one in order.handover.split(":")[1:]}
    if not handed <= s.nodes[i].executed:
        raise StepFailed("what was handed over is not here")
    return s


def tell(s: State, i: int, numbers: frozenset[int]) -> State:
    """Clients hear of commits of node `i`, as far as its gate lets the answer through."""
    if not (numbers and s.nodes[i].gate):
        return s
    desired, other = s.desired, s.nodes[1 - i]
    promotable = desired.promotable is not None and desired.promotable.incarnation == incarnation(1 - i, other)
    held = numbers <= other.received | other.executed
    require(held or not promotable, f"I2: {sorted(numbers)} acknowledged, and the promotable node lacks them")
    require(
        held or desired.primary == s_name(i) or desired.heir is None,
        f"{sorted(numbers)} acknowledged by a deposed primary, and its successor lacks them",
    )
    return s._replace(acknowledged=s.acknowledged | numbers)


def s_name(i: int) -> str:
    return ("db-a", "db-b")[i]


def _nothing(s: State, i: int, order: Order) -> State:
    return s


EFFECTS: dict[Action, Callable[[State, int, Order], State]] = {
    Action.SHUT_GATE: lambda s, i, order: shut(s, i),
    Action.RESET_CLIENTS: _nothing,
    Action.SET_OFFLINE: _nothing,
    Action.FORCE_READ_ONLY: _force_read_only,
    Action.SET_READ_ONLY: _set_read_only,
    Action.KILL_MYSQLD: _kill,
    Action.RELEASE: _release,
    Action.HAND_OVER: partial(_release, handover=True),
    Action.DROP_ADDRESS: _nothing,
    Action.SOURCE_OFF: _source_off,
    Action.STOP_RECEIVER: partial(set_on, receiving=False),
    Action.DRAIN: _drain,
    Action.STOP_APPLIER: partial(set_on, receiving=False, applying=False),
    Action.WRITE_PROMOTION: _write_promotion,
    Action.TAKE_LEASE: _take_lease,
    Action.RECORD_RELAXED: _record_relaxed,
    Action.RELAX: _relax,
    Action.REQUIRE_ACK: _require_ack,
    Action.CERTIFY: _certify,
    Action.RECORD_DEGRADED: _record_degraded,
    Action.WITHDRAW: _withdraw,
    Action.SET_WRITABLE: _set_writable,
    Action.ADD_ADDRESS: _nothing,
    Action.OPEN_GATE: _open_gate,
    Action.PROBE_WRITE: _probe_write,
    Action.SAY_OPEN: _say_open,
    Action.CAPTURE_TAIL: _nothing,
    Action.SWAP_DATA: _nothing,  # nobody returns by a copy here
    Action.START_MYSQLD: _start_mysqld,
    Action.CONFIGURE_CHANNEL: _nothing,
    Action.CHANGE_LOGIN: _nothing,  # nobody's login changes here
    Action.START_REPLICA: partial(set_on, receiving=True, applying=True),
    Action.SET_ONLINE: _nothing,
    Action.AWAIT_HANDOVER: _await_handover,
}
