"""The rows that a return touched, as texts that two servers can compare: read beside the set that was executed then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agents.binlog.contents import transactions
from agents.binlog.definition import difference
from agents.binlog.fields import Unreadable
from agents.binlog.ids import holds
from agents.binlog.images import row_changes, row_comparison
from agents.binlog.logs import contents, mapped
from agents.binlog.parse import head
from agents.binlog.rewind import Lasting
from agents.binlog.table import Table
from agents.binlog.values import comparison, qualified
from agents.reconcile.evidence import Folder
from agents.reconcile.judging import SKIPPED, Key, footprint
from agents.reconcile.tables import Tables
from orchestrator.core.errors import StepFailed
from orchestrator.core.gtid import GtidSet

STATEMENT_S = 30.0
TOGETHER = 50  # keys in one statement
SETTINGS = "SET SESSION time_zone = '+00:00', sql_mode = ''"


@dataclass(frozen=True, slots=True)
class Texts:
    """One text a key, None for a row that is not there; and what had been executed after they were read."""

    executed: str
    rows: tuple[str | None, ...]


def touched_keys(folder: Folder, errant: GtidSet) -> list[tuple[Table, str]]:
    """Every key that the transactions touch, with its table, in one order on both hosts. Raises StepFailed."""
    found: dict[Key, Table] = {}
    for path in folder.files():
        with mapped(path) as data:
            try:
                for one in transactions(data, head(data).end):
                    if one.complete and one.doubt is None and holds(errant, one.gtid):
                        with contents(data, one) as events:
                            for touched in footprint(row_changes(events, one)).touched.values():
                                found[touched.key] = touched.table
            except (Unreadable, OSError) as error:
                raise StepFailed(f"{path.name} of the evidence cannot be read: {error}") from error
    return [(found[key], key[1]) for key in sorted(found) if str(found[key]) not in SKIPPED]


def texts(session: Lasting, keys: Sequence[tuple[Table, str]]) -> Texts:
    """The rows of these keys here. Raises DatabaseUnavailable, StatementRefused."""
    session.ask(SETTINGS, within_s=STATEMENT_S)
    tables = Tables(session)
    rows = [row for begin in range(0, len(keys), TOGETHER) for row in _rows(session, tables, keys[begin:][:TOGETHER])]
    (state,) = session.ask("SELECT REPLACE(@@GLOBAL.gtid_executed, '\\n', '') AS executed", within_s=STATEMENT_S)
    return Texts(state["executed"], tuple(rows))


def _rows(session: Lasting, tables: Tables, keys: Sequence[tuple[Table, str]]) -> list[str | None]:
    """In one statement: its way there and back costs more than finding a row by its key."""
    selects = [_select(tables, table, condition, n) for n, (table, condition) in enumerate(keys)]
    asked = session.ask(" UNION ALL ".join(filter(None, selects)), within_s=STATEMENT_S) if any(selects) else ()
    found = {int(row["n"]): row["row_text"] for row in asked}
    return [found.get(n) for n in range(len(keys))]


def _select(tables: Tables, table: Table, condition: str, n: int) -> str:
    """By the columns of today where the table is another one than the log describes: a copy undoes DDL too.

    Empty if it has no such row for certain.
    """
    now = tables.definition(table)
    if now is None or not {table.columns[place].name for place in table.key} <= {name for name, _ in now.columns}:
        return ""
    if difference(table, now):
        found = tables.layout(table)
        if found is None or found.unfit:
            return ""
        text = f"CONCAT_WS(',', {', '.join(map(comparison, found.columns))})"
    else:
        text = row_comparison(table, tables.generated(table))
    name = qualified(table)
    return f"SELECT {n} AS n, HEX({text}) AS row_text FROM {name} WHERE {condition}"  # noqa: S608
