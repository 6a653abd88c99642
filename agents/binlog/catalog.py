"""What a server says of its tables today: asked before their rows are changed back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from agents.binlog.contents import Reason
from agents.binlog.definition import Definition, difference, shape_now
from agents.binlog.parse import Kind
from agents.binlog.undo import Refusal, Touched, Undo
from agents.session import Row

ASK_S = 30.0
_COLUMNS = (
    "SELECT column_name AS column_name, column_type AS column_type, data_type AS data_type, is_nullable AS is_nullable,"
    " collation_name AS collation_name, character_octet_length AS character_octet_length,"
    " generation_expression AS expression"
    " FROM information_schema.columns WHERE table_schema = %s AND table_name = %s ORDER BY ordinal_position"
)
_KEY = (
    "SELECT column_name AS name FROM information_schema.statistics"
    " WHERE table_schema = %s AND table_name = %s AND index_name = 'PRIMARY' ORDER BY seq_in_index"
)
_CHILDREN = (
    "SELECT SUM(delete_rule IN ('CASCADE', 'SET NULL', 'SET DEFAULT')) AS on_delete,"
    " SUM(update_rule IN ('CASCADE', 'SET NULL', 'SET DEFAULT')) AS on_update"
    " FROM information_schema.referential_constraints"
    " WHERE unique_constraint_schema = %s AND referenced_table_name = %s"
)


_FOREIGN_KEYS = (
    "SELECT table_schema AS `schema`, table_name AS name, constraint_name AS `key`, column_name AS own,"
    " referenced_column_name AS parent FROM information_schema.key_column_usage"
    " WHERE referenced_table_schema = %s AND referenced_table_name = %s ORDER BY 1, 2, 3, ordinal_position"
)


@dataclass(frozen=True, slots=True)
class Child:
    """A table with a foreign key, and the columns of both sides."""

    schema: str
    name: str
    columns: tuple[tuple[str, str], ...]  # its own, the parent's


class Asks(Protocol):
    """A session: rows of one statement. Raises DatabaseUnavailable, StatementRefused."""

    def ask(self, sql: str, arguments: tuple[object, ...] = ..., *, within_s: float | None) -> tuple[Row, ...]: ...


def unfit(session: Asks, undo: Undo) -> Refusal | None:
    """The first table that cannot take its rows back: missing, changed since, of another engine, or with cascades that
    nobody logged."""
    known = collations(session)
    return next((found for one in undo.touched if (found := _unfit(session, one, known)) is not None), None)


def collations(session: Asks) -> dict[str, int]:
    """The server's collations, by name."""
    rows = session.ask("SELECT collation_name AS name, id AS id FROM information_schema.collations", within_s=ASK_S)
    return {row["name"]: int(row["id"]) for row in rows}


def children(session: Asks, schema: str, name: str) -> tuple[Child, ...]:
    """The tables whose foreign keys point to this one."""
    found: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
    for row in session.ask(_FOREIGN_KEYS, (schema, name), within_s=ASK_S):
        found.setdefault((row["schema"], row["name"], row["key"]), []).append((row["own"], row["parent"]))
    return tuple(Child(place[0], place[1], tuple(columns)) for place, columns in found.items())


def definition(session: Asks, schema: str, name: str, collations: dict[str, int]) -> Definition | None:
    """The table of that name as it is; None if there is none, or none that the account may see."""
    place = (schema, name)
    tables = session.ask(
        "SELECT engine AS engine FROM information_schema.tables WHERE table_schema = %s AND table_name = %s",
        place,
        within_s=ASK_S,
    )
    if not tables:
        return None
    columns = session.ask(_COLUMNS, place, within_s=ASK_S)
    (children,) = session.ask(_CHILDREN, place, within_s=ASK_S)
    return Definition(
        tables[0]["engine"],
        tuple((row["column_name"], shape_now(row, collations)) for row in columns),
        tuple(row["name"] for row in session.ask(_KEY, place, within_s=ASK_S)),
        frozenset(row["column_name"] for row in columns if row["expression"]),
        on_delete=int(children["on_delete"] or 0) > 0,
        on_update=int(children["on_update"] or 0) > 0,
    )


def _unfit(session: Asks, one: Touched, collations: dict[str, int]) -> Refusal | None:
    table = one.table
    now = definition(session, table.schema, table.name, collations)
    if now is None:
        return Refusal(Reason.TABLE_MISSING, one.first, f"changes {table}, which is not there")
    if now.engine != "InnoDB":
        return Refusal(Reason.NON_INNODB, one.first, f"changes {table} of the engine {now.engine or 'none'}")
    if changed := difference(table, now):
        return Refusal(Reason.TABLE_CHANGED, one.first, f"changes {table}, which was changed since: {changed}")
    if (now.on_delete and Kind.DELETE_ROWS in one.silent) or (
        now.on_update and one.silent & {Kind.UPDATE_ROWS, Kind.PARTIAL_UPDATE_ROWS}
    ):
        why = f"changes {table}, whose children changed with it and are not in the log (innodb_native_foreign_keys)"
        return Refusal(Reason.UNLOGGED_CASCADE, one.first, why)
    return None
