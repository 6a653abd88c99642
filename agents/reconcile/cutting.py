"""A change of an errant transaction as the events by which a server makes it: as it was, or by another way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from agents.binlog.contents import Change
from agents.binlog.images import RowChange, changes_of
from agents.binlog.invert import packed_bytes
from agents.binlog.parse import CRC_BYTES, HEADER, Buffer, Kind, framed
from agents.binlog.rows import STATEMENT_END, Row, Rows, Splitter, rows
from agents.binlog.table import table

FLAGS_AT, FLAGS_BYTES = 6, 2  # in the body of a ROWS event
NO_EXTRA = (2).to_bytes(2, "little")  # the length of what is extra counts itself


@dataclass(frozen=True, slots=True)
class Opened:
    """One change: its TABLE_MAP, its ROWS event, and its rows as places in that and as images."""

    mapping: bytes
    event: Rows
    at_s: int
    server_id: int
    rows: tuple[tuple[Row, RowChange], ...]

    @classmethod
    def of(cls, data: Buffer, change: Change) -> Opened:
        """Raises Unreadable."""
        mapping = bytes(data[change.map_position : change.map_position + change.map_length])
        described = table(mapping[HEADER.size : -CRC_BYTES])
        event = rows(change.kind, data[change.position + HEADER.size : change.position + change.length - CRC_BYTES])
        pairs = tuple(zip(Splitter(described).split(event), changes_of(described, event), strict=True))
        at_s, _, server_id, _, _, _ = HEADER.unpack_from(data, change.position)
        return cls(mapping, event, at_s, server_id, pairs)

    def events(self, wanted: Iterable[Row]) -> bytes:
        """The map and the event with these rows alone: a statement of its own, whatever followed it in the log."""
        head = bytearray(self.event.content[: self.event.begin])
        head[FLAGS_AT : FLAGS_AT + FLAGS_BYTES] = (self.event.flags | STATEMENT_END).to_bytes(FLAGS_BYTES, "little")
        parts = (self.event.content[row.before[0] : row.after[1]] for row in wanted)
        return self._framed(self.event.kind, bytes(head) + b"".join(parts))

    def instead(self, row: Row, *, there: bool) -> bytes:
        """The events that make a server's row what this row became, whatever it is there: found by its key alone."""
        content = self.event.content
        gone = row.after[0] == row.after[1]
        image = content[slice(*(row.before if gone else row.after))]
        if gone:
            return self._whole(Kind.DELETE_ROWS, image)
        return self._whole(Kind.UPDATE_ROWS, image + image) if there else self._whole(Kind.WRITE_ROWS, image)

    def _whole(self, kind: Kind, images: bytes) -> bytes:
        """An event of another type, in which each image holds every column."""
        event = self.event
        packed = event.content[event.begin - len(event.before) - len(event.after) - packed_bytes(event.columns) :]
        bitmap = event.after or event.before
        body = b"".join(
            (
                event.table.to_bytes(6, "little"),
                (event.flags | STATEMENT_END).to_bytes(FLAGS_BYTES, "little"),
                NO_EXTRA,
                packed[: packed_bytes(event.columns)],
                bitmap * (2 if kind is Kind.UPDATE_ROWS else 1),
                images,
            )
        )
        return self._framed(kind, body)

    def _framed(self, kind: int, content: bytes) -> bytes:
        return self.mapping + framed(kind, content, 0, self.at_s, self.server_id)
