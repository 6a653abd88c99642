"""Rows about the agent of the primary: killed, stopped, stopped between two steps."""

from __future__ import annotations

from lab.matrix.row import Priority, Row
from lab.matrix.trial import Trial


def killed(t: Trial) -> None:
    old, mysqld = t.agent(t.primary), t.mysqld(t.primary)
    t.strike("agent-kill", t.primary)
    t.writes_go_on()
    t.until(lambda shown: t.row(t.primary, shown)["gate_open"], "the gate did not open again")
    t.check(old is not None and not old.lives(), "the agent was not killed")
    t.check(t.mysqld(t.primary) == mysqld, "mysqld did not survive its agent")
    t.unmoved()


ROWS = (
    Row(
        4,
        "agent killed",
        Priority.P0,
        "kill -9 of the worker of the primary's agent",
        "its successor renews in time, or the gate shuts alone and opens again; nothing moves",
        killed,
    ),
)
