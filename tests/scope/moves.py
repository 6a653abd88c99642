"""What may happen next in the small pair: what would happen by itself first, then what is late, then faults.

Agents follow the real converge(), orchestrators the real decide(), on views that may be old; every write of the desired
record has to pass C1 and the guards of its rule. Time that passes is a move: W only after what the inequality says.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from typing import NamedTuple

from agents.converge import Action, converge
from orchestrator.core.errors import InvariantBroken, StepFailed
from orchestrator.core.invariants import check_step, older
from orchestrator.core.model import LeaseState, Mysqld, SyncState
from orchestrator.core.requests import Kind, Request
from orchestrator.core.rules import Decision, decide
from orchestrator.core.situation import Sighting, Situation
from orchestrator.core.transitions import Answer, LeaseAt, Revoke, SyncAt
from tests.scope.effects import Broken, act, change, die, put_lease, require, tell
from tests.scope.state import (
    LONG_S,
    PAIR,
    POLICY,
    Bare,
    Numbers,
    Order,
    State,
    View,
    bare,
    connected,
    found,
    heard,
    incarnation,
    told,
)

TAKEOVERS = 1
FIRST_FREE = 1  # number of a transaction that nobody has
Move = tuple[str, State]
# Of these nobody else can see anything: they belong to the step before them.
SILENT = {
    Action.RESET_CLIENTS, Action.SET_OFFLINE, Action.SET_ONLINE, Action.ADD_ADDRESS, Action.DROP_ADDRESS,
    Action.CONFIGURE_CHANNEL, Action.CHANGE_LOGIN, Action.CAPTURE_TAIL,
}  # fmt: skip


def by_itself(s: State) -> Iterator[Move]:
    """What happens if nothing is late: the first of these comes next."""
    for i in (0, 1):
        yield from _agent(s, i, late=False)
    for i in (0, 1):
        yield from _channel(s, i)
        yield from _renew(s, i)
    for o in (0, 1):
        yield from _decides(s, o, Lateness())
        looked = _look(s, o)
        if s.terms[o] and looked != s:
            yield f"orchestrator {o} looks", looked


def in_time(s: State) -> Iterator[Move]:
    """What only time brings, once nothing else happens; at last the end of every trouble."""
    for i in (0, 1):
        yield from _lapse(s, i)
        yield from _agent(s, i, late=True)
    for o in (0, 1):
        still = (not _renews(s, 0), not _renews(s, 1))
        silent = (not heard(s.nodes[0]), not heard(s.nodes[1]))
        yield from _decides(s, o, Lateness(still, silent, phase=True))
    yield from _ends(s)


def faults(s: State) -> Iterator[Move]:
    """What is done to the pair, the ends of such troubles before their time, and what operators ask."""
    yield from _ends(s)
    for i, node in enumerate(s.nodes):
        name = PAIR[i]
        if node.running:
            yield f"mysqld of {name} dies", die(s, i)
        if node.agent:
            yield (
                f"agent of {name} dies",
                change(s, i, agent=False, paused=False, order=None, authority=False, renouncing=False),
            )
        if node.agent and not node.paused:
            yield f"agent of {name} is paused", change(s, i, paused=True)
        if not node.cut:
            yield f"{name} is cut off", change(s, i, cut=True)
        if node.order is not None and node.agent and not node.paused:
            yield from _unknown_outcome(s, i)
    if not s.asked:
        yield "a switchover is asked for", s._replace(asked=True)
    if s.takeovers < TAKEOVERS:
        for o in (0, 1):
            if s.terms[o] != s.term:
                terms = (s.term + 1, s.terms[1]) if o == 0 else (s.terms[0], s.term + 1)
                yield (
                    f"orchestrator {o} takes over",
                    _look(s._replace(term=s.term + 1, terms=terms, takeovers=s.takeovers + 1), o),
                )
    for o in (0, 1):  # a leader that takes anybody for silent
        yield from _decides(s, o, Lateness((True, True), (True, True), phase=True))


def _ends(s: State) -> Iterator[Move]:
    for i, node in enumerate(s.nodes):
        if node.paused:
            yield f"agent of {PAIR[i]} goes on", change(s, i, paused=False)
        if not node.agent:
            yield f"agent of {PAIR[i]} returns", change(s, i, agent=True)
        if node.cut:
            yield f"{PAIR[i]} is heard again", change(s, i, cut=False)


# --- agents


def _agent(s: State, i: int, *, late: bool) -> Iterator[Move]:
    node = s.nodes[i]
    if not node.agent or node.paused:
        return
    if node.order is None:
        if node.cut:
            return  # nothing is seen of the record, so nothing is begun
        s = _ordered(s, i, late=late)
        if s.nodes[i].order is None:
            return
    elif late:
        return
    order = s.nodes[i].order
    assert order is not None
    yield f"{PAIR[i]}: {order.actions[0]}", _go(s, i)


def _ordered(s: State, i: int, *, late: bool) -> State:
    """A look, and what converge makes of it; the record is remembered before anything is done for it."""
    record = (s.desired.epoch, s.desired.seq)
    if older(record, s.nodes[i].remembered):
        return s
    s = change(s, i, remembered=record)
    return change(s, i, order=_order(bare(s), i, late=late))


@lru_cache(200_000)
def _order(s: Bare, i: int, *, late: bool) -> Order | None:
    sight, local = found(s, i, late=late)
    actions = tuple(action for action in converge(sight.goal, local) if action not in SILENT)
    if not actions:
        return None
    peer = sight.peer.report
    why = {Mysqld.DEAD: "exited"}.get(sight.mysqld, "superseded")
    return Order(actions, sight.goal, peer.incarnation if peer else "", why, sight.peer.released_with)


def _go(s: State, i: int) -> State:
    """The first action of the order; one that fails ends it."""
    order = s.nodes[i].order
    assert order is not None
    left = order._replace(actions=order.actions[1:]) if len(order.actions) > 1 else None
    try:
        return change(act(s, i, order.actions[0]), i, order=left)
    except StepFailed:
        return change(s, i, order=None)


def _unknown_outcome(s: State, i: int) -> Iterator[Move]:
    """A write of the agent is done, and it does not hear of that."""
    order = s.nodes[i].order
    assert order is not None
    action = order.actions[0]
    if action not in (Action.TAKE_LEASE, Action.RECORD_RELAXED, Action.CERTIFY, Action.RELEASE, Action.HAND_OVER):
        return
    after = _go(s, i)
    if after.nodes[i].order is None and after.leases == s.leases and after.syncs == s.syncs:
        return
    authority = after.nodes[i].authority and action is not Action.TAKE_LEASE
    doubt = action in (Action.RECORD_RELAXED, Action.CERTIFY, Action.TAKE_LEASE)
    yield f"{PAIR[i]}: {action}, unheard", change(after, i, order=None, authority=authority, doubt=doubt)


def _renews(s: State, i: int) -> bool:
    node = s.nodes[i]
    return heard(node) and not node.renouncing and s.leases[i][0].state is LeaseState.HELD


def _renew(s: State, i: int) -> Iterator[Move]:
    """Only where it changes something: after the horizon was missed."""
    node = s.nodes[i]
    if _renews(s, i) and not node.authority:
        gate = node.gate and s.leases[i][0].gate_open
        yield f"{PAIR[i]} renews", change(put_lease(s, i, gate_open=gate), i, authority=True)


def _lapse(s: State, i: int) -> Iterator[Move]:
    """The horizon passes without a renewal: no authority, and the kernel has shut the gate."""
    node = s.nodes[i]
    if (node.gate or node.authority) and not _renews(s, i):
        yield f"the horizon of {PAIR[i]} passes", change(s, i, gate=False, authority=False)


# --- data


def _channel(s: State, source: int) -> Iterator[Move]:
    one, other = s.nodes[source], s.nodes[1 - source]
    if connected(s, source):
        sent = one.executed | one.tail
        if not sent <= other.received | other.executed:
            yield f"{PAIR[1 - source]} receives", change(s, 1 - source, received=other.received | sent)
    if one.running and one.tail and one.tail <= other.received | other.executed and connected(s, source):
        s_after = change(s, source, executed=one.executed | one.tail, tail=frozenset())
        yield f"commits of {PAIR[source]} are acknowledged", tell(s_after, source, one.tail)
    if one.running and one.applying and not one.received <= one.executed:
        yield f"{PAIR[source]} applies", change(s, source, executed=one.executed | one.received)


def writes(s: State) -> Iterator[Move]:
    for i, node in enumerate(s.nodes):
        if s.writes_left and node.gate and node.running and node.writable:
            number: Numbers = frozenset({FIRST_FREE + s.writes_left})
            wrote = s._replace(writes_left=s.writes_left - 1)
            if node.requires_ack:
                yield f"a write to {PAIR[i]}", change(wrote, i, tail=node.tail | number)
                continue
            require(s.syncs[i][0].state is SyncState.RELAXED, f"I5: {PAIR[i]} acknowledges alone, unrecorded")
            yield f"a write to {PAIR[i]}", tell(change(wrote, i, executed=node.executed | number), i, number)


# --- orchestrators


def _look(s: State, o: int) -> State:
    before = s.views[o]
    now = bare(s)
    reports = [told(now, 0), told(now, 1)]
    for i, node in enumerate(s.nodes):
        if before is not None and not heard(node):
            reports[i] = before.reports[i]
    view = View(s.desired, s.leases, s.syncs, (reports[0], reports[1]), s.asked)
    return s._replace(views=(view, s.views[1]) if o == 0 else (s.views[0], view))


class Lateness(NamedTuple):
    """What an orchestrator may take for late; what is not late may be judged so or not."""

    still: tuple[bool, bool] = (False, False)  # leases
    silent: tuple[bool, bool] = (False, False)  # reports
    phase: bool = False


def _decides(s: State, o: int, late: Lateness) -> Iterator[Move]:
    """On what it saw last, which may be old."""
    view = s.views[o]
    if not s.terms[o] or view is None:
        return
    fence = view.desired.fence
    over = late.phase and fence is not None and _fence_over(s, PAIR.index(fence.node))
    for decision in _decisions(view, s.terms[o], late, over=over):
        after = _written(s, o, view, decision)
        if after is not None:
            assert decision.rule is not None
            yield f"orchestrator {o} writes {decision.rule.id}", after


def _fence_over(s: State, fenced: int) -> bool:
    """W is longer than the horizon and what the kernel adds to it, however the holder was paused."""
    return not s.nodes[fenced].gate and not s.nodes[fenced].authority


@lru_cache(200_000)
def _decisions(view: View, term: int, late: Lateness, *, over: bool) -> tuple[Decision, ...]:
    """Every decision that some lateness leads to."""
    found: dict[str, Decision] = {}
    p = PAIR.index(view.desired.primary)
    choices = [(False, True) if may else (False,) for may in (late.still[p], late.silent[p], late.silent[1 - p])]
    for still, quiet, quiet_standby, phase in product(*choices, (False, True) if late.phase else (False,)):
        ages = {PAIR[p]: quiet, PAIR[1 - p]: quiet_standby}
        s = Situation(
            cluster=view.desired,
            pair=PAIR,
            policy=POLICY,
            now=LONG_S,
            phase_since=0.0 if phase else LONG_S,
            hearing_since=0.0,
            leases={
                node: Sighting(lease, version, 0.0 if still else LONG_S)
                for node, (lease, version) in zip(PAIR, view.leases, strict=True)
            },
            syncs={node: Sighting(sync, version, 0.0) for node, (sync, version) in zip(PAIR, view.syncs, strict=True)},
            reports={
                one.report.node: Sighting(one.report, 0, 0.0 if ages[one.report.node] else LONG_S)
                for one in view.reports
            },
            requests={"r1": Sighting(_request(view), 0, 0.0)} if view.asked else {},
            fence_seen=0.0 if over else LONG_S,
            term=term,
        )
        decision = decide(s)
        if decision.rule is not None:
            found.setdefault(f"{decision.rule.id} {decision.cluster} {decision.guards}", decision)
    return tuple(found.values())


def _request(view: View) -> Request:
    other = PAIR[1 - PAIR.index(view.desired.primary)]
    return Request("r1", Kind.SWITCHOVER, other, "a test", "olga", view.desired.epoch)


def _written(s: State, o: int, view: View, decision: Decision) -> State | None:
    """C1 and the guards of the rule, in one write; None if one of them fails."""
    if s.terms[o] != s.term or s.desired.seq != view.desired.seq:
        return None
    leases, asked = list(s.leases), s.asked
    for guard in decision.guards:
        match guard:
            case LeaseAt(node, version) if s.leases[PAIR.index(node)][1] == version:
                pass
            case SyncAt(node, version) if s.syncs[PAIR.index(node)][1] == version:
                pass
            case Revoke(node, version, lease) if s.leases[PAIR.index(node)][1] == version:
                leases[PAIR.index(node)] = (lease, version + 1)
            case Answer() if s.asked:
                asked = False
            case _:
                return None
    try:
        check_step(s.desired, decision.cluster)
    except InvariantBroken as error:
        raise Broken(str(error)) from None
    require(decision.cluster.term == s.term, "C1: written in a term that is over")
    if decision.rule is not None and decision.rule.id == "U2":
        _certified(s, decision)
    return s._replace(desired=decision.cluster, leases=(leases[0], leases[1]), asked=asked)


def _certified(s: State, decision: Decision) -> None:
    primary = PAIR.index(decision.cluster.primary)
    other = s.nodes[1 - primary]
    lost = s.acknowledged - other.executed - other.received
    here = decision.cluster.promotable is not None and (
        decision.cluster.promotable.incarnation == incarnation(1 - primary, other)
    )
    require(not (lost and here), f"C6: certified without acknowledged transactions {sorted(lost)}")
