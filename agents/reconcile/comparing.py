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
from agents.binlog.values import comparison
from agents.reconcile.evidence import Folder
from agents.reconcile.judging import SKIPPED, Key, footprint
from agents.reconcile.tables import Tables
from agents.reconcile.together import Sought, texts_of
from orchestrator.core.errors import StepFailed
from orchestrator.core.gtid import GtidSet

STATEMENT_S = 30.0
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
    rows = tuple(texts_of(session, (_sought(tables, table, condition) for table, condition in keys)))
    (state,) = session.ask("SELECT REPLACE(@@GLOBAL.gtid_executed, '\\n', '') AS executed", within_s=STATEMENT_S)
    return Texts(state["executed"], rows)


def _sought(tables: Tables, table: Table, condition: str) -> Sought | None:
    """By the columns of today where the table is another one than the log describes: a copy undoes DDL too.

    None if it has no such row for certain.
    """
    now = tables.definition(table)
    if now is None or not {table.columns[place].name for place in table.key} <= {name for name, _ in now.columns}:
        return None
    if not difference(table, now):
        return Sought(table, condition, row_comparison(table, tables.generated(table)))
    found = tables.layout(table)
    if found is None or found.unfit:
        return None
    return Sought(table, condition, f"CONCAT_WS(',', {', '.join(map(comparison, found.columns))})")
