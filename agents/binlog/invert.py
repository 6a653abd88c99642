"""A ROWS event -> the events that undo it, byte for byte: rows reversed, images exchanged. Pure.

What is inserted is deleted, what is deleted is inserted, and an update goes back. The server finds a row by its primary
key alone, whatever else the image says (measured): that it is the row that we mean, others must have seen to.
"""

from __future__ import annotations

from collections.abc import Iterator

from agents.binlog.fields import Unreadable
from agents.binlog.parse import Kind
from agents.binlog.rows import NO_FOREIGN_KEYS, STATEMENT_END, Row, Rows, Splitter
from agents.binlog.table import Table, Type

_OPPOSITE = {
    Kind.WRITE_ROWS: Kind.DELETE_ROWS,
    Kind.DELETE_ROWS: Kind.WRITE_ROWS,
    Kind.UPDATE_ROWS: Kind.UPDATE_ROWS,
    Kind.PARTIAL_UPDATE_ROWS: Kind.UPDATE_ROWS,
}
_PARTITIONS, _PARTITIONS_OF_UPDATE = 1, 5  # first byte of the extra part, and its length with an old and a new one


def inverse(table: Table, splitter: Splitter, event: Rows, rows_bytes: int) -> Iterator[tuple[int, bytes]]:
    """Type and body of the events that undo `event`, to be applied in this order, each with its TABLE_MAP before it.

    Of each, the rows have `rows_bytes` at most, or it has a single row. Raises Unreadable.
    """
    found = list(splitter.split(event))
    if any(row.partial for row in found):
        lookup, images = _without_json(table, splitter, event, found)
    else:
        lookup, images = event.after, [(_cut(event, row.after), _cut(event, row.before)) for row in found]
    kind = _OPPOSITE[Kind(event.kind)]
    head = _head(event, lookup)
    for group in _groups(images, rows_bytes):
        yield kind, head + b"".join(group)


def _head(event: Rows, lookup: bytes) -> bytes:
    """What stands before the rows. The foreign keys held before; on the way back they need not at every step."""
    flags = event.flags | STATEMENT_END | NO_FOREIGN_KEYS
    extra = event.extra
    if extra[:1] == bytes([_PARTITIONS]) and len(extra) == _PARTITIONS_OF_UPDATE:
        extra = extra[:1] + extra[3:5] + extra[1:3]
    count = event.content[event.begin - len(event.before) - len(event.after) - packed_bytes(event.columns) :]
    return b"".join(
        (
            event.table.to_bytes(6, "little"),
            flags.to_bytes(2, "little"),
            (len(extra) + 2).to_bytes(2, "little"),
            extra,
            count[: packed_bytes(event.columns)],
            lookup,
            event.before,
        )
    )


def packed_bytes(count: int) -> int:
    """How long the number of a table's columns is as MySQL packs it: one byte up to 250, three beyond."""
    return 1 if count < 0xFB else 3


def _cut(event: Rows, image: tuple[int, int]) -> bytes:
    return event.content[image[0] : image[1]]


def _groups(images: list[tuple[bytes, bytes]], rows_bytes: int) -> Iterator[list[bytes]]:
    """The last row first, in groups of which each becomes one event.

    A statement may have changed a row twice: without a key too the server finds what the same event has just made
    (measured on 9.7.4, chains of five).
    """
    group: list[bytes] = []
    size = 0
    for lookup, after in reversed(images):
        more = len(lookup) + len(after)
        if group and size + more > rows_bytes:
            yield group
            group, size = [], 0
        group += (lookup, after)
        size += more
    if group:
        yield group


def _without_json(
    table: Table, splitter: Splitter, event: Rows, found: list[Row]
) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """Bitmap and images to look for without the JSON columns, of which the event has only the change."""
    if not table.key:
        raise Unreadable(f"a change within JSON of {table}, which has no primary key to find the row by")
    kept = [n for n, column in enumerate(table.columns) if column.type is not Type.JSON]
    bitmap = sum(1 << n for n in kept).to_bytes(len(event.before), "little")
    data, images = event.content, []
    for row in found:
        pieces = list(splitter.pieces(event, row.after))
        nulls = sum(1 << place for place, n in enumerate(kept) if pieces[n] is None)
        values = (data[piece.whole : piece.end] for n in kept if (piece := pieces[n]) is not None)
        images.append((nulls.to_bytes((len(kept) + 7) // 8, "little") + b"".join(values), _cut(event, row.before)))
    return bitmap, images
