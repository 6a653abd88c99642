"""Rows about orchestrators and agents that crash at each step of each procedure."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from agents.converge import Action
from lab import namespaces
from lab.bench import switchover
from lab.matrix.crashes import Crashes
from lab.matrix.network import ZOOKEEPER_PORTS
from lab.matrix.row import Priority, Row
from lab.matrix.trial import Trial
from orchestrator.core.errors import StepFailed

BACK_S = 240.0  # each crash costs a session and a new interpreter
BEGUN_S = 90.0


@dataclass(frozen=True, slots=True)
class Procedure:
    """How it is begun, and what it passes on its way; `origin` is the primary's agent, `target` the standby's."""

    name: str
    begin: Callable[[Trial], None]
    rules: tuple[str, ...]
    origin: tuple[Action, ...] = ()
    target: tuple[Action, ...] = ()


def _crash(t: Trial) -> None:
    t.strike("mysqld-crash", t.primary)
    t.await_rule("F3", within_s=BEGUN_S)


def _silence(t: Trial) -> None:
    """Its cable is in again as soon as another serves, so that its return is part of the procedure."""
    t.strike("link-loss", t.primary)
    t.await_rule("F3", within_s=BEGUN_S)
    namespaces.link_up(t.stand.name, t.primary.name)


def _cut_off(t: Trial) -> None:
    t.struck = time.monotonic()
    namespaces.block_ports(t.stand.name, t.primary.name, ZOOKEEPER_PORTS)
    t.await_rule("F3", within_s=BEGUN_S)
    t.heal_network()


def _switch(t: Trial) -> None:
    t.struck = switchover(t.stand)
    t.await_rule("S2", "S3", within_s=BEGUN_S)


def _standby_away(t: Trial) -> None:
    mysqld = t.mysqld(t.standby)
    t.strike("mysqld-hang", t.standby)
    t.undo.callback(t.thaw, mysqld)
    t.await_rule("U1", within_s=BEGUN_S)
    t.writes_go_on(BEGUN_S)
    t.signal(mysqld, signal.SIGCONT, "the standby's mysqld")


def _in_place(t: Trial) -> None:
    """Nobody is promotable: the primary's mysqld is started where it was."""
    t.strike("mysqld-crash", t.standby)
    t.await_rule("U1", "U3", within_s=BEGUN_S)
    t.strike("mysqld-crash", t.primary)
    t.writes_go_on(BEGUN_S)


TAKE_OVER = (
    Action.STOP_RECEIVER,
    Action.DRAIN,
    Action.WRITE_PROMOTION,
    Action.TAKE_LEASE,
    Action.SET_WRITABLE,
    Action.ADD_ADDRESS,
    Action.OPEN_GATE,
    Action.PROBE_WRITE,
    Action.SAY_OPEN,
    Action.STOP_APPLIER,
    Action.CERTIFY,
)
RETURN = (Action.DROP_ADDRESS, Action.SET_ONLINE, Action.CONFIGURE_CHANNEL, Action.START_REPLICA)
DEMOTE = (Action.SHUT_GATE, Action.RESET_CLIENTS, Action.FORCE_READ_ONLY, Action.RELEASE, Action.SOURCE_OFF)
RESTART = (Action.CAPTURE_TAIL, Action.START_MYSQLD)
# Its own row: an agent that dies here has the switchover withdrawn, and nothing after it is reached.
HANDING_OVER = Procedure(
    "switchover, the side that hands over", _switch, (), (Action.SET_READ_ONLY, Action.HAND_OVER, *RETURN)
)
CRASH = Procedure("failover after a crash", _crash, ("F5", "F3", "R1", "U2"), (*RESTART, *RETURN), TAKE_OVER)
SILENCE = Procedure("failover after silence", _silence, ("F1", "F2", "F3", "R1", "U2"), (*DEMOTE, *RETURN), TAKE_OVER)
CUT_OFF = Procedure("failover of one cut off", _cut_off, ("F1", "F2", "F3"), (*DEMOTE, *RESTART, *RETURN))
SWITCH = Procedure("switchover", _switch, ("S1", "S2", "F3", "R1", "U2"), target=(Action.AWAIT_HANDOVER, *TAKE_OVER))
STANDBY = Procedure(
    "standby lost and back",
    _standby_away,
    ("U1", "U2"),
    (Action.RECORD_RELAXED, Action.RELAX, Action.CERTIFY, Action.REQUIRE_ACK),
)
IN_PLACE = Procedure(
    "restart in place",
    _in_place,
    ("U1", "U3", "U2"),
    (
        Action.WITHDRAW,
        Action.START_MYSQLD,
        Action.TAKE_LEASE,
        Action.SET_ONLINE,
        Action.REQUIRE_ACK,
        Action.CERTIFY,
        Action.SET_WRITABLE,
        Action.OPEN_GATE,
        Action.SAY_OPEN,
    ),
)
PROCEDURES = (CRASH, SILENCE, CUT_OFF, SWITCH, STANDBY, IN_PLACE)


def orchestrators_crash(t: Trial, procedure: Procedure, where: str, how: str) -> None:
    """Whoever leads dies at each rule of the procedure; the next one goes on from the record."""
    places = [f"orchestrator.{where}.{rule}" for rule in procedure.rules]
    with Crashes(t, dict.fromkeys(t.stand.topology.members("orchestrator"), places), how):
        _through(t, procedure)


def agents_crash(t: Trial, procedure: Procedure, where: str) -> None:
    """The agents of both nodes die at each step that the procedure takes there."""
    places = {
        node: [f"agent.{where}.{action}" for action in actions]
        for node, actions in ((t.primary, procedure.origin), (t.standby, procedure.target))
    }
    with Crashes(t, places):
        _through(t, procedure)


def _through(t: Trial, procedure: Procedure) -> None:
    try:
        procedure.begin(t)
    except StepFailed as error:
        t.note(f"another way than the usual: {error}")
    t.settle(BACK_S)


def _of_orchestrators(where: str, how: str, priority: Priority, among: Sequence[Procedure] = PROCEDURES) -> list[Row]:
    word = "killed" if how == "kill" else "stopped"
    return [
        Row(
            20,
            f"orchestrator {word} {WHERE[where]} each rule: {one.name}",
            priority,
            f"failpoints at {', '.join(one.rules)}: the leader {'kills' if how == 'kill' else 'stops'} itself",
            "the next orchestrator goes on from the record; a stale write is refused",
            partial(orchestrators_crash, procedure=one, where=where, how=how),
            back_s=BACK_S,
        )
        for one in among
    ]


def _of_agents(where: str, priority: Priority, among: Sequence[Procedure]) -> list[Row]:
    return [
        Row(
            21,
            f"agent killed {WHERE[where]} each step: {one.name}",
            priority,
            "failpoints at " + ", ".join(dict.fromkeys((*one.origin, *one.target))),
            "its successor goes on; a heir that cannot gives the power back (F4)",
            partial(agents_crash, procedure=one, where=where),
            back_s=BACK_S,
        )
        for one in among
    ]


WHERE = {"before": "before", "sent": "while it writes", "after": "after"}
ROWS = (
    *_of_orchestrators("before", "kill", Priority.P0, (CRASH, SILENCE, SWITCH, STANDBY)),
    *_of_orchestrators("before", "kill", Priority.P1, (CUT_OFF, IN_PLACE)),
    *_of_orchestrators("sent", "kill", Priority.P1),
    *_of_orchestrators("after", "kill", Priority.P1),
    *_of_orchestrators("before", "stop", Priority.P1),
    *_of_orchestrators("sent", "stop", Priority.P1),
    *_of_agents("before", Priority.P0, (CRASH, SILENCE, SWITCH, HANDING_OVER, STANDBY, IN_PLACE)),
    *_of_agents("before", Priority.P1, (CUT_OFF,)),
    *_of_agents("after", Priority.P1, (*PROCEDURES, HANDING_OVER)),
)
