"""A change of an errant transaction as the events by which a server makes it, without the rows that are so already."""

from __future__ import annotations

from collections.abc import Callable

from agents.binlog.contents import Change
from agents.binlog.images import RowChange, changes_of
from agents.binlog.parse import CRC_BYTES, HEADER, Buffer, framed
from agents.binlog.rows import STATEMENT_END, Splitter, rows
from agents.binlog.table import table

FLAGS_AT, FLAGS_BYTES = 6, 2  # in the body of a ROWS event


def events_of(data: Buffer, change: Change, wanted: Callable[[RowChange], bool]) -> tuple[bytes, list[RowChange]]:
    """Its TABLE_MAP and its ROWS event with the rows that are wanted, and these; nothing if none is.

    It is a statement of its own, whatever followed it in the log. Raises Unreadable.
    """
    mapping = bytes(data[change.map_position : change.map_position + change.map_length])
    described = table(mapping[HEADER.size : -CRC_BYTES])
    event = rows(change.kind, data[change.position + HEADER.size : change.position + change.length - CRC_BYTES])
    pairs = zip(Splitter(described).split(event), changes_of(described, event), strict=True)
    kept = [(event.content[row.before[0] : row.after[1]], whole) for row, whole in pairs if wanted(whole)]
    if not kept:
        return b"", []
    head = bytearray(event.content[: event.begin])
    head[FLAGS_AT : FLAGS_AT + FLAGS_BYTES] = (event.flags | STATEMENT_END).to_bytes(FLAGS_BYTES, "little")
    at_s, _, server_id, _, _, _ = HEADER.unpack_from(data, change.position)
    content = bytes(head) + b"".join(part for part, _ in kept)
    return mapping + framed(change.kind, content, 0, at_s, server_id), [whole for _, whole in kept]
