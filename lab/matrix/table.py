"""All rows, in the order in which they run."""

from __future__ import annotations

from collections.abc import Collection

from lab.matrix import agent, hosts, mysqld, network
from lab.matrix.row import NotRun, Row

ROWS: tuple[Row, ...] = (*mysqld.ROWS, *agent.ROWS, *hosts.ROWS, *network.ROWS)
NOT_RUN: tuple[NotRun, ...] = ()


def chosen(priority: str | None, only: Collection[int]) -> tuple[list[Row], list[NotRun]]:
    """The rows of that priority (all if None) and of those numbers (all if empty), those that spend a lab last."""

    def wanted(row: Row | NotRun) -> bool:
        return priority in (None, row.priority) and (not only or row.number in only)

    return sorted(filter(wanted, ROWS), key=lambda row: bool(row.spent)), list(filter(wanted, NOT_RUN))
