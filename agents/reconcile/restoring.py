"""The rows of a kept transaction made on the primary as it left them, whatever is there now, within a transaction.

Each key gets its last image, by raw bytes: a row that is not there is inserted, one that is there is changed to it or
deleted. The server finds it by the primary key alone and no trigger fires; what triggers did is in the images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agents.binlog.catalog import Child
from agents.binlog.contents import Transaction
from agents.binlog.images import Image, changes_of
from agents.binlog.parse import CRC_BYTES, HEADER, Buffer, Kind, framed
from agents.binlog.rewind import Lasting, binlog_statement
from agents.binlog.rows import CASCADES_LOGGED, STATEMENT_END, Splitter, rows
from agents.binlog.table import BINARY, Column, Table, Type, table
from agents.binlog.values import compared, comparison, qualified, quoted
from agents.reconcile.judging import Footprint, Key, Touched, ends
from agents.reconcile.kept import Present
from agents.reconcile.tables import Tables
from orchestrator.core.errors import Refused
from orchestrator.core.kept import Edits

STATEMENT_S = 30.0
_BYTES = frozenset({Type.GEOMETRY, Type.VECTOR})
_TEXTS = frozenset({Type.VARCHAR, Type.STRING, Type.BLOB})


@dataclass(frozen=True, slots=True)
class _Last:
    """The last image of one key: of the row as it became, or, where it went, as it was."""

    mapping: bytes  # the TABLE_MAP event
    image: bytes
    becomes: Image | None
    flags: int
    at_s: int
    server_id: int

    def event(self, described: Table, kind: Kind, images: bytes) -> bytes:
        """TABLE_MAP and ROWS event, of full images."""
        columns = len(described.columns)
        bitmap = ((1 << columns) - 1).to_bytes((columns + 7) // 8, "little")
        head = (
            described.number.to_bytes(6, "little"),
            (self.flags & CASCADES_LOGGED | STATEMENT_END).to_bytes(2, "little"),
            (2).to_bytes(2, "little"),  # nothing extra: partitions are found anew
            bytes([columns]) if columns < 0xFB else b"\xfc" + columns.to_bytes(2, "little"),
            bitmap * (2 if kind is Kind.UPDATE_ROWS else 1),
        )
        return self.mapping + framed(kind, b"".join(head) + images, 0, self.at_s, self.server_id)


def restore(
    session: Lasting, tables: Tables, data: Buffer, one: Transaction, found: Footprint, there: Mapping[Key, Present]
) -> None:
    """`data` is where the positions of its changes are; `there` are the rows of all its keys, locked.

    In the order in which it changed them last. Raises Refused (a child would go with its parent), StatementRefused
    (another row holds a value, or the parent is missing), DatabaseUnavailable, Unreadable.
    """
    for key, last in _last_images(data, one, tables).items():
        touched, present = found.touched[key], there[key]
        if last.becomes is None and present.text is None:
            continue
        if present.text is None:
            kind, images = Kind.WRITE_ROWS, last.image
        else:
            _refuse_orphans(session, tables, touched, last.becomes)
            gone = last.becomes is None
            kind, images = (Kind.DELETE_ROWS, last.image) if gone else (Kind.UPDATE_ROWS, last.image * 2)
        session.ask(binlog_statement(last.event(touched.table, kind, images)), within_s=STATEMENT_S)


def edit(session: Lasting, tables: Tables, found: Footprint, edits: Edits) -> None:
    """Other values for some columns of its rows, by their numbers from 1, which are there by now.

    Raises Refused for what has no such column or cannot take it, StatementRefused with the server's words.
    """
    ordered = found.ordered()
    for number, values in edits.items():
        if not (number.isdecimal() and 1 <= int(number) <= len(ordered)):
            raise Refused(f"row {number!r}: the transaction has rows 1 to {len(ordered)}")
        touched = ordered[int(number) - 1]
        if touched.left is None:
            raise Refused(f"row {number}: it was deleted there, so that there is nothing to edit")
        sets = [_set(number, name, value, touched.table, tables) for name, value in values.items()]
        if sets:
            place, which = _literal(qualified(touched.table)), _literal(touched.condition)
            sql = f"UPDATE {place} SET {', '.join(sql for sql, _ in sets)} WHERE {which}"  # noqa: S608 - names quoted
            session.ask(sql, tuple(value for _, value in sets), within_s=STATEMENT_S)


def _set(number: str, name: str, value: str | None, table: Table, tables: Tables) -> tuple[str, str | None]:
    place = next((n for n, column in enumerate(table.columns) if column.name == name), None)
    if place is None:
        raise Refused(f"row {number}: {table} has no column {name!r}, but {', '.join(c.name for c in table.columns)}")
    if place in table.key:
        raise Refused(f"row {number}: {name} is of the primary key: another key is another row, which you insert")
    if name in tables.generated(table):
        raise Refused(f"row {number}: {name} follows from other columns")
    column = table.columns[place]
    target = _literal(quoted(name))
    if value is not None and value.startswith("0x") and _is_bytes(column):
        return f"{target} = UNHEX(%s)", value[2:]
    return f"{target} = CAST(%s AS UNSIGNED)" if column.type is Type.BIT else f"{target} = %s", value


def _literal(sql: str) -> str:
    """Beside values a percent sign, as in a name, is written twice."""
    return sql.replace("%", "%%")


def _is_bytes(column: Column) -> bool:
    return column.type in _BYTES or (column.type in _TEXTS and column.collation == BINARY)


def _last_images(data: Buffer, one: Transaction, tables: Tables) -> dict[Key, _Last]:
    found: dict[Key, _Last] = {}
    for change in one.changes:
        mapping = bytes(data[change.map_position : change.map_position + change.map_length])
        described = table(mapping[HEADER.size : -CRC_BYTES])
        content = data[change.position + HEADER.size : change.position + change.length - CRC_BYTES]
        event = rows(change.kind, content)
        at_s, _, server_id, _, _, _ = HEADER.unpack_from(data, change.position)
        pairs = zip(Splitter(described).split(event), changes_of(described, event), strict=True)
        for row, whole in pairs:
            for _, becomes, key in ends(whole, tables.key_name):
                begin, end = row.before if becomes is None else row.after
                if key is not None:
                    found.pop(key, None)  # its place is that of its last change
                    found[key] = _Last(mapping, content[begin:end], becomes, event.flags, at_s, server_id)
    return found


def _refuse_orphans(session: Lasting, tables: Tables, touched: Touched, becomes: Image | None) -> None:
    """A parent that goes, or gets another key, would take its children with it, silently."""
    for child in tables.children(touched.table):
        if becomes is not None and _keeps(session, touched, becomes, child):
            continue
        own = ", ".join(quoted(column) for column, _ in child.columns)
        parent = ", ".join(quoted(column) for _, column in child.columns)
        parents = f"SELECT {parent} FROM {qualified(touched.table)} WHERE {touched.condition}"  # noqa: S608 - names quoted
        there = qualified(child)
        sql = f"SELECT 1 AS child FROM {there} WHERE ({own}) IN ({parents}) LIMIT 1 FOR SHARE"  # noqa: S608
        if session.ask(sql, within_s=STATEMENT_S):
            raise Refused(f"{child.schema}.{child.name} has children of {touched.table}, {touched.condition}")


def _keeps(session: Lasting, touched: Touched, becomes: Image, child: Child) -> bool:
    """Whether what the children refer to stays as it is."""
    referred = {column for _, column in child.columns}
    pairs = [
        (column, raw) for column, raw in zip(becomes.table.columns, becomes.raw, strict=True) if column.name in referred
    ]
    text = f"HEX(CONCAT_WS(',', {', '.join(comparison(column) for column, _ in pairs)}))"
    sql = f"SELECT {text} AS referred FROM {qualified(touched.table)} WHERE {touched.condition}"  # noqa: S608 - names quoted
    (row,) = session.ask(sql, within_s=STATEMENT_S)
    return bytes.fromhex(row["referred"]) == b",".join(compared(column, raw) for column, raw in pairs)
