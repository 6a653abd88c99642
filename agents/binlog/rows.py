"""One ROWS event: its header, and its rows, each with its images as ranges of bytes. Pure.

Layout: table number 6, flags 2, length of what is extra 2 (counts itself), extra, count of columns, a bitmap of the
columns that the images hold (an update has two), rows. A partial update has options before each after-image, and then a
bitmap of the JSON columns whose change alone is there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from agents.binlog.fields import Fields, Unreadable
from agents.binlog.layout import Layout, Piece
from agents.binlog.parse import Kind
from agents.binlog.table import Table, Type

STATEMENT_END, NO_FOREIGN_KEYS, NO_UNIQUE_KEYS, CASCADES_LOGGED = 0x1, 0x2, 0x4, 0x10
HAS_BEFORE = frozenset({Kind.UPDATE_ROWS, Kind.DELETE_ROWS, Kind.PARTIAL_UPDATE_ROWS})
HAS_AFTER = frozenset({Kind.WRITE_ROWS, Kind.UPDATE_ROWS, Kind.PARTIAL_UPDATE_ROWS})
_PARTIAL_JSON = 0x1


class Row(NamedTuple):
    """Where the images of one row are: begin and end of each, equal if it has none.

    `partial` has a bit for each JSON column of the table, set where the after-image has only its change.
    """

    before: tuple[int, int]
    after: tuple[int, int]
    partial: int = 0


@dataclass(frozen=True, slots=True)
class Rows:
    """One event. Bitmaps have their lowest bit first; one that the event does not have is empty."""

    kind: int
    table: int
    flags: int
    extra: bytes
    columns: int
    before: bytes
    after: bytes
    content: bytes  # the whole body
    begin: int  # of the first row in it

    def full(self) -> bool:
        """Whether every image holds every column (binlog_row_image=FULL)."""
        every = (1 << self.columns) - 1
        return all(int.from_bytes(one, "little") & every == every for one in (self.before, self.after) if one)


def rows(kind: int, body: bytes) -> Rows:
    """The header of a ROWS event. Raises Unreadable."""
    fields = Fields(body)
    number, flags, extra = fields.number(6), fields.number(2), fields.take(fields.number(2) - 2)
    columns = fields.packed()
    bitmap = (columns + 7) // 8
    before = fields.take(bitmap) if kind in HAS_BEFORE else b""
    after = fields.take(bitmap) if kind in HAS_AFTER else b""
    return Rows(kind, number, flags, extra, columns, before, after, body, fields.at)


class Splitter:
    """Splits the events of one table whose images are full; its walks are kept from event to event."""

    def __init__(self, table: Table) -> None:
        self._layout = Layout(table.columns)
        self._columns = len(table.columns)
        self._partial_bytes = (sum(column.type is Type.JSON for column in table.columns) + 7) // 8

    def split(self, event: Rows) -> Iterator[Row]:
        """Its rows in their order. Raises Unreadable if they do not end where the event does."""
        if event.columns != self._columns or not event.full():
            raise Unreadable(f"a ROWS event of {event.columns} columns for a map of {self._columns}, or in part")
        data, at, end = event.content, event.begin, self._layout.end
        has_before, has_after = event.kind in HAS_BEFORE, event.kind in HAS_AFTER
        partial = event.kind == Kind.PARTIAL_UPDATE_ROWS
        size = len(data)
        while at < size:
            middle = end(data, at) if has_before else at
            begin, diff = self._after_options(data, middle) if partial else (middle, 0)
            last = end(data, begin) if has_after else begin
            yield Row((at, middle), (begin, last), diff)
            at = last

    def values(self, event: Rows, image: tuple[int, int]) -> tuple[bytes | None, ...]:
        """The bytes of each value of one image; of a partial one, JSON values may be changes."""
        data = event.content
        pieces = self._layout.pieces(data, image[0])
        return tuple(None if piece is None else data[piece.value : piece.end] for piece in pieces)

    def pieces(self, event: Rows, image: tuple[int, int]) -> Iterator[Piece | None]:
        """Where each value of one image is."""
        return self._layout.pieces(event.content, image[0])

    def _after_options(self, data: bytes, at: int) -> tuple[int, int]:
        """Where an after-image begins behind its options, and which JSON values in it are only a change."""
        fields = Fields(data, at)
        partial = fields.take(self._partial_bytes) if fields.packed() & _PARTIAL_JSON else b""
        return fields.at, int.from_bytes(partial, "little")
