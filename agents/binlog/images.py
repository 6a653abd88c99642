"""The changes of a transaction row by row, with both images: what is judged, shown and compared. Pure.

An image keeps the bytes of its values and reads them when it is asked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum

from agents.binlog.contents import Transaction
from agents.binlog.parse import CRC_BYTES, HEADER, Buffer, Kind
from agents.binlog.rows import Rows, Splitter, rows
from agents.binlog.table import Column, Table, Type, table
from agents.binlog.values import Value, compared, comparison, condition, shown


class Operation(StrEnum):
    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"


_OPERATIONS = {
    Kind.WRITE_ROWS: Operation.INSERT,
    Kind.UPDATE_ROWS: Operation.UPDATE,
    Kind.PARTIAL_UPDATE_ROWS: Operation.UPDATE,
    Kind.DELETE_ROWS: Operation.DELETE,
}


@dataclass(frozen=True, slots=True)
class Image:
    """One row of `table` as it was or became. `unknown`: places of JSON columns of which only the change is known."""

    table: Table
    raw: tuple[bytes | None, ...]
    unknown: frozenset[int] = frozenset()

    def shown(self) -> dict[str, Value]:
        """Name -> value, without what is unknown. Raises Unreadable."""
        return {column.name: shown(column, raw) for column, raw in self._known()}

    def key(self) -> tuple[Value, ...]:
        """The values of the primary key; empty without one."""
        return tuple(shown(self.table.columns[n], self.raw[n]) for n in self.table.key)

    def condition(self) -> str | None:
        """SQL that finds the row of this primary key; None without one, or if equality does not find it for certain."""
        if self.table.key_of_parts or not self.table.key:
            return None
        found = []
        for n in self.table.key:
            raw = self.raw[n]
            one = None if raw is None else condition(self.table.columns[n], raw)
            if one is None:
                return None
            found.append(one)
        return " AND ".join(found)

    def compared(self, generated: Collection[str] = ()) -> bytes | None:
        """The text of `row_comparison` for this row; None if a column of it is unknown. Raises Unreadable."""
        if self.unknown:
            return None
        return b",".join(compared(column, raw) for column, raw in self._known() if column.name not in generated)

    def _known(self) -> Iterator[tuple[Column, bytes | None]]:
        pairs = zip(self.table.columns, self.raw, strict=True)
        return (pair for n, pair in enumerate(pairs) if n not in self.unknown)


@dataclass(frozen=True, slots=True)
class RowChange:
    """What happened to one row; an insert has no image before, a delete none after."""

    table: Table
    operation: Operation
    flags: int
    before: Image | None
    after: Image | None


def row_comparison(described: Table, generated: Collection[str] = ()) -> str:
    """SQL of one row's text in comparisons, of all columns but the generated ones, which follow from the others."""
    return f"CONCAT_WS(',', {', '.join(comparison(c) for c in described.columns if c.name not in generated)})"


def row_changes(data: Buffer, one: Transaction) -> Iterator[RowChange]:
    """Every row of a transaction in its order. `data` is where the positions of its changes are (`logs.contents`).

    Raises Unreadable.
    """
    for change in one.changes:
        described = table(data[change.map_position + HEADER.size : change.map_position + change.map_length - CRC_BYTES])
        content = data[change.position + HEADER.size : change.position + change.length - CRC_BYTES]
        yield from changes_of(described, rows(change.kind, content))


def changes_of(described: Table, event: Rows) -> Iterator[RowChange]:
    """Every row of one event, in its order. Raises Unreadable."""
    splitter = Splitter(described)
    documents = [n for n, column in enumerate(described.columns) if column.type is Type.JSON]
    for row in splitter.split(event):
        before, after = (
            Image(described, splitter.values(event, image)) if image[0] < image[1] else None
            for image in (row.before, row.after)
        )
        if before is not None and after is not None and row.partial:
            after = _partial(before, after, [n for place, n in enumerate(documents) if row.partial >> place & 1])
        yield RowChange(described, _OPERATIONS[Kind(event.kind)], event.flags, before, after)


def _partial(before: Image, after: Image, changed: list[int]) -> Image:
    """An after-image with only the change of some JSON columns; no change leaves what was before."""
    raw = list(after.raw)
    for n in changed:
        if not raw[n]:
            raw[n] = before.raw[n]
    return Image(after.table, tuple(raw), frozenset(n for n in changed if after.raw[n]))
