"""All rows, in the order in which they run."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from lab.matrix import (
    agent,
    disks,
    hosts,
    impaired,
    kernel,
    mysqld,
    network,
    notrun,
    operators,
    preflight,
    procedures,
    rejoincrashes,
    rejoins,
    zookeeper,
)
from lab.matrix.row import NotRun, Row
from orchestrator.core.errors import Refused

ROWS: tuple[Row, ...] = (
    *mysqld.ROWS,
    *agent.ROWS,
    *hosts.ROWS,
    *network.ROWS,
    *impaired.ROWS,
    *kernel.ROWS,
    *zookeeper.ROWS,
    *operators.ROWS,
    *preflight.ROWS,
    *disks.ROWS,
    *procedures.ROWS,
    *rejoins.ROWS,
    *rejoincrashes.ROWS,
)
NOT_RUN: tuple[NotRun, ...] = notrun.ROWS
# Names that stand for the numbers of several rows.
GROUPS: Mapping[str, frozenset[int]] = {"rejoin": frozenset(row.number for row in (*rejoins.ROWS, *rejoincrashes.ROWS))}


def chosen(priority: str | None, only: Collection[int]) -> tuple[list[Row], list[NotRun]]:
    """The rows of that priority (all if None) and of those numbers (all if empty). Raises Refused if there is none."""

    def wanted(row: Row | NotRun) -> bool:
        return priority in (None, row.priority) and (not only or row.number in only)

    rows, not_run = list(filter(wanted, ROWS)), list(filter(wanted, NOT_RUN))
    if not rows and not not_run:
        known = ", ".join(map(str, sorted({row.number for row in ROWS} | {row.number for row in NOT_RUN})))
        raise Refused(f"no row {','.join(map(str, sorted(only)))} of priority {priority or 'any'}: there are {known}")
    return rows, not_run
