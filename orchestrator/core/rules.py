"""The state machine is a table. Ids never change; docs/state-machine.md is printed from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from orchestrator.core import conditions, transitions
from orchestrator.core.analysis import Finding, analyze, record_old
from orchestrator.core.model import Cluster, Phase
from orchestrator.core.situation import Situation
from orchestrator.core.transitions import Guard
from orchestrator.core.unreadable import Record
from orchestrator.core.waiting import reason


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: in these phases, when `when` holds, the record becomes what `then` gives, under its guards."""

    id: str
    phases: tuple[Phase, ...]
    when: Callable[[Situation], object]
    then: Callable[[Situation], tuple[Cluster, tuple[Guard, ...]]]
    why: str
    held: bool = False  # pause, hold-down and a record that is old or cannot be read stop it from beginning
    moves: bool = (
        False  # gives power by what the present record says: an old one stops it, as nothing proves it the last
    )


@dataclass(frozen=True, slots=True)
class Decision:
    """The record to want, what is wrong, and by which rule; without a rule the record stays as it is."""

    cluster: Cluster
    finding: Finding
    rule: Rule | None = None
    guards: tuple[Guard, ...] = ()


SETTLED = (Phase.STEADY, Phase.REJOINING)
ANY = tuple(Phase)

RULES: tuple[Rule, ...] = (
    Rule("F6", ANY, conditions.forced, transitions.force, "an operator forces a failover and accepts loss"),
    Rule(
        "F5",
        SETTLED,
        conditions.primary_exited,
        transitions.take_over,
        "mysqld of the primary has exited, its agent has released: nobody has to wait",
        held=True,
    ),
    Rule(
        "F1",
        SETTLED,
        conditions.primary_lost,
        transitions.fence,
        "the primary is lost and a certified standby is ready",
        held=True,
    ),
    Rule(
        "F2",
        (Phase.FENCING,),
        conditions.fence_proven,
        transitions.promote,
        "the old primary can serve nobody",
        moves=True,
    ),
    Rule("F3", (Phase.PROMOTING,), conditions.primary_opened, transitions.rejoin, "the new primary takes writes"),
    Rule(
        "F4",
        (Phase.FENCING, Phase.PROMOTING),
        conditions.heir_cannot,
        transitions.give_back,
        "the standby may not take over; the old primary may",
        moves=True,
    ),
    Rule(
        "S2",
        (Phase.SWITCHING,),
        conditions.handed_over,
        transitions.hand_over,
        "the standby holds all that was written",
        moves=True,
    ),
    Rule(
        "S3",
        (Phase.SWITCHING,),
        conditions.switch_late,
        transitions.withdraw,
        "the switchover is late or refused",
        moves=True,
    ),
    Rule(
        "U3",
        ANY,
        conditions.certificate_broken,
        transitions.uncertify,
        "the standby is no longer proven to hold everything",
    ),
    Rule(
        "U1", SETTLED, conditions.relax_needed, transitions.relax, "the standby is lost: commits need not wait for it"
    ),
    Rule("U2", SETTLED, conditions.certificate_complete, transitions.certify, "the standby holds everything again"),
    Rule("R1", (Phase.REJOINING,), conditions.standby_returned, transitions.settle, "the returned node replicates"),
    Rule("S1", (Phase.STEADY,), conditions.asked_to_switch, transitions.switch, "an operator asked for a switchover"),
)

_OF_PHASE = {phase: tuple(rule for rule in RULES if phase in rule.phases) for phase in Phase}


def decide(s: Situation) -> Decision:
    """The first rule of the table that applies, as the record to want; none on a record that cannot be read. Pure."""
    finding = analyze(s)
    for rule in () if s.cannot_read(Record.DESIRED) else _OF_PHASE[s.cluster.phase]:
        if not _stopped(rule, s) and rule.when(s):
            wanted, guards = rule.then(s)
            return Decision(replace(wanted, seq=s.cluster.seq + 1, rule=rule.id, term=s.term), finding, rule, guards)
    return Decision(s.cluster, finding)


def waiting(s: Situation) -> str:
    """The named reason for waiting when no rule applies, and what ends the wait; empty in a healthy pair."""
    return reason(s, held=_held_rule(s))


def _stopped(rule: Rule, s: Situation) -> bool:
    return (rule.held and _holding(s)) or (rule.moves and record_old(s))


def _holding(s: Situation) -> bool:
    return s.paused or s.hold_down or not s.clear or record_old(s)


def _held_rule(s: Situation) -> str:
    """The id of a rule that would begin now, were it not held."""
    if not _holding(s) or s.cannot_read(Record.DESIRED):
        return ""
    return next((r.id for r in RULES if r.held and s.cluster.phase in r.phases and r.when(s)), "")
