"""Rows found by their keys, many in one statement: its way there and back costs more than finding a row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from agents.binlog.rewind import Lasting
from agents.binlog.table import Table
from agents.binlog.values import qualified

STATEMENT_S = 30.0
LOCK_S = 3.0  # innodb_lock_wait_timeout of a merge: for each row, so that it is the server that gives up
TOGETHER = 50


@dataclass(frozen=True, slots=True)
class Sought:
    """One row: its table, the SQL that finds it, and the SQL of its text."""

    table: Table
    condition: str
    text: str


def texts_of(session: Lasting, sought: Iterable[Sought | None], lock: str = "") -> Iterator[str | None]:
    """One text for each, in hexadecimal; None where there is no such row or none was sought.

    `lock` is SQL; the rows are locked in their order. Raises DatabaseUnavailable, StatementRefused.
    """
    rest = iter(sought)
    while together := list(islice(rest, TOGETHER)):
        selects = [f"({_select(one, n)} {lock})" for n, one in enumerate(together) if one]
        within_s = STATEMENT_S + (LOCK_S * len(selects) if lock else 0.0)
        asked = session.ask(" UNION ALL ".join(selects), within_s=within_s) if selects else ()
        found = {int(row["n"]): row["row_text"] for row in asked}
        yield from (found.get(n) for n in range(len(together)))


def _select(one: Sought, n: int) -> str:
    return f"SELECT {n} AS n, HEX({one.text}) AS row_text FROM {qualified(one.table)} WHERE {one.condition}"  # noqa: S608
