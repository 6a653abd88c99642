"""Rows about the primary's mysqld: killed, hung, silent in parts."""

from __future__ import annotations

from lab.matrix.row import Priority, Row
from lab.matrix.trial import Trial


def killed_under_load(t: Trial) -> None:
    t.strike("mysqld-crash", t.primary)
    t.moved()
    t.check("F5" in t.rules(), f"an attested exit needs no fence wait, yet by {t.rules()}")


def hung(t: Trial) -> None:
    t.strike("mysqld-hang", t.primary)
    t.moved()
    t.check(t.mysqld(t.primary) is None or "F1" in t.rules(), "the hung mysqld was not killed")


ROWS = (
    Row(
        1,
        "mysqld killed under load",
        Priority.P0,
        "kill -9 of the primary's mysqld",
        "its agent attests the exit, F5: the standby serves without a fence wait",
        killed_under_load,
    ),
    Row(
        2,
        "mysqld hung",
        Priority.P0,
        "SIGSTOP of the primary's mysqld, SIGCONT afterwards",
        "two kinds of probe; gate, SIGKILL, failover; it never answers again",
        hung,
    ),
)
