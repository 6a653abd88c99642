"""What must hold of every plan that an agent carries out, whoever made it: the same function in production, simulator
and tests. It asks nothing of the way in which converge arrived at the plan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from agents.converge import Action, Local
from orchestrator.core.errors import InvariantBroken
from orchestrator.core.model import Goal, Mode, Mysqld, Role

Before = frozenset[Action]  # what the plan has done when this step's turn comes
POWER = (Action.TAKE_LEASE, Action.SET_WRITABLE, Action.OPEN_GATE)


def check_plan(goal: Goal, local: Local, actions: tuple[Action, ...]) -> None:
    """Raises InvariantBroken naming the invariant, the step, and what it rested on."""
    done: set[Action] = set()
    for action in actions:
        for name, holds in _statements(action, goal, local, frozenset(done)):
            if not holds:
                raise InvariantBroken(f"{name}: {action} of {actions} for {goal} with {local}")
        done.add(action)


def _statements(action: Action, goal: Goal, local: Local, done: Before) -> Iterator[tuple[str, bool]]:
    for actions, check in CHECKS:
        if action in actions:
            yield from check(goal, local, done)


def _power(goal: Goal, local: Local, done: Before) -> Iterator[tuple[str, bool]]:
    yield "I1: only the primary of the record takes power", goal.role is Role.PRIMARY
    yield "I3: the receiver has stopped", not local.receiving or Action.STOP_RECEIVER in done
    yield "I4: everything received is executed", _drained(local, done)
    yield "I12: the life that was certified", _certified_life(goal, local)
    yield "I15: no data that is nobody's, no number twice", not local.unreturned or local.opened or local.was_primary


def _open(goal: Goal, local: Local, done: Before) -> Iterator[tuple[str, bool]]:
    yield "I6: the lease comes first", local.lease_held or Action.TAKE_LEASE in done
    yield "I7: a primary writes", not (local.read_only or local.offline) or Action.SET_WRITABLE in done
    shown = goal.mode is Mode.ASYNC or (goal.promotable is not None and local.armed)
    yield "I2: in SYNC nothing is shown that the standby may lack", shown


def _relax(goal: Goal, local: Local, done: Before) -> Iterator[tuple[str, bool]]:
    recorded = local.relaxed or bool(done & {Action.RECORD_RELAXED, Action.TAKE_LEASE})
    yield "I5: the record comes first", goal.role is Role.PRIMARY and goal.mode is Mode.ASYNC and recorded


def _source_off(goal: Goal, local: Local, done: Before) -> Iterator[tuple[str, bool]]:
    yield "I11: no fencing path acknowledges what waits", not local.commits_waiting


def _replicate(goal: Goal, local: Local, done: Before) -> Iterator[tuple[str, bool]]:
    yield "I7: who has power receives nothing", not (local.gate_open or local.lease_open)
    yield "I7: only a follower receives", goal.role in (Role.STANDBY, Role.RETURNING)
    follows_on = local.receiving and local.applying and local.follows_peer  # it may be ahead of the primary's report
    yield "I8: nothing errant", local.errant is False or (follows_on and Action.CHANGE_LOGIN in done)
    yield "I15: nothing comes in while rows are changed back", not local.repairing


def _swap(goal: Goal, local: Local, done: Before) -> Iterator[tuple[str, bool]]:
    yield "I8: no directory is exchanged under a running server", local.mysqld is Mysqld.DEAD


def _release(goal: Goal, local: Local, done: Before) -> Iterator[tuple[str, bool]]:
    """What a release attests."""
    closed = not local.gate_open or Action.SHUT_GATE in done
    ended = local.mysqld.ended or bool(done & {Action.FORCE_READ_ONLY, Action.KILL_MYSQLD})
    yield "I6: shut before it is said", closed
    yield "I11: nothing local can write any more", ended or local.locked


def _drained(local: Local, done: Before) -> bool:
    kept = local.promoted and not local.receiving and local.drained
    return kept or local.opened or local.was_primary or Action.WRITE_PROMOTION in done


def _certified_life(goal: Goal, local: Local) -> bool:
    """A restart after the promotion file was written loses nothing of what was drained; once the primary of this epoch
    has opened its data is the history, though its own agent may have lost its memory of it."""
    return goal.settled or goal.heir in (None, local.incarnation) or local.promoted or local.was_primary


CHECKS: tuple[tuple[tuple[Action, ...], Callable[[Goal, Local, Before], Iterator[tuple[str, bool]]]], ...] = (
    (POWER, _power),
    ((Action.OPEN_GATE,), _open),
    ((Action.RELAX,), _relax),
    ((Action.SOURCE_OFF,), _source_off),
    ((Action.START_REPLICA, Action.CONFIGURE_CHANNEL), _replicate),
    ((Action.SWAP_DATA,), _swap),
    ((Action.RELEASE,), _release),
)
