"""Prints docs/state-machine.md from the table of rules: `make docs`. Decides nothing, reads nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import click

from orchestrator.core.model import ROLES, Phase
from orchestrator.core.rules import RULES, Rule

# Where each rule leads; None: the phase stays. The cases of tests/unit/test_rules.py hold every decision against it.
LEADS_TO: Mapping[str, Phase | None] = {
    "F1": Phase.FENCING,
    "F2": Phase.PROMOTING,
    "F3": Phase.REJOINING,
    "F4": Phase.REJOINING,
    "F5": Phase.PROMOTING,
    "F6": Phase.FENCING,
    "S1": Phase.SWITCHING,
    "S2": Phase.PROMOTING,
    "S3": Phase.STEADY,
    "U1": None,
    "U2": None,
    "U3": None,
    "R1": Phase.STEADY,
}
HEAD = """# The state machine
Printed from `orchestrator/core/rules.py` by `make docs`; `make check` fails if it is stale. Do not edit.

The first rule of the table that applies in the present phase is written, as one compare-and-set of the desired record
under its guards; the next look decides again. No rule that applies: nothing is written, and `kembar status` says why.
"""


def state_machine() -> str:
    """The whole document."""
    return "\n".join([HEAD, *_rules(), "", *_graph(), "", *_roles(), ""])


def _rules() -> Iterator[str]:
    yield "## Rules, in the order in which they are asked"
    yield "| id | phase | when | then | leads to | why |"
    yield "|---|---|---|---|---|---|"
    for rule in RULES:
        held = " Held by pause and hold-down." if rule.held else ""
        cells = (rule.id, _phases(rule), _says(rule.when, rule.id) + held, _says(rule.then, rule.id), _target(rule))
        yield f"| {' | '.join(cells)} | {rule.why} |"


def _graph() -> Iterator[str]:
    yield "## Phases"
    yield "```"
    for phase in Phase:
        leaving = [rule for rule in RULES if phase in rule.phases and LEADS_TO[rule.id] not in (None, phase)]
        staying = [rule.id for rule in RULES if phase in rule.phases and rule not in leaving]
        moves = ", ".join(f"{rule.id} -> {LEADS_TO[rule.id]}" for rule in leaving)
        yield f"{phase:<10} {moves}; stays: {' '.join(staying)}"
    yield "```"


def _roles() -> Iterator[str]:
    yield "## What each phase tells the two nodes to be"
    yield "| phase | the node named primary | the other node |"
    yield "|---|---|---|"
    for phase, (leading, other) in ROLES.items():
        yield f"| {phase} | {leading} | {other} |"


def _phases(rule: Rule) -> str:
    return "any" if set(rule.phases) == set(Phase) else ", ".join(rule.phases)


def _target(rule: Rule) -> str:
    return LEADS_TO[rule.id] or "the same"


def _says(function: object, rule: str) -> str:
    """The first paragraph of its docstring, which is about this rule alone."""
    text = " ".join((function.__doc__ or "").partition("\n\n")[0].split())
    return text.removeprefix(rule).removeprefix(":").strip()


if __name__ == "__main__":
    click.echo(state_machine(), nl=False)
