"""Bytes of a binary log file -> its events, each with its checksum verified. Pure; what is not understood is refused.

Layout (source, and measured on 9.7.4): magic `fe 62 69 6e`; then events: a header of 19 bytes `<IBIIIH` (time, type,
server id, size, next position, flags), a body, and the CRC32 of both. The CRC of FORMAT_DESCRIPTION is computed with
the in-use bit of its flags cleared, since mysqld clears that bit in place when it closes the file.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from mmap import mmap
from typing import NamedTuple

from agents.binlog.fields import Unreadable
from agents.binlog.ids import Gtid, earlier_ids, plain_id, tagged_id
from orchestrator.core.gtid import GtidSet

MAGIC, MAGIC_ENCRYPTED = b"\xfebin", b"\xfdbin"
Buffer = bytes | mmap
HEADER = struct.Struct("<IBIIIH")
CRC_BYTES = 4
IN_USE = 0x1  # header flag of FORMAT_DESCRIPTION: the file was not closed
HARMLESS = ("SAVEPOINT", "ROLLBACK TO")  # statements within a transaction of rows; what was rolled back is not there
_CRC = struct.Struct("<I")


class Kind(IntEnum):
    """The event types that are named here."""

    QUERY = 2
    STOP = 3
    ROTATE = 4
    FORMAT_DESCRIPTION = 15
    XID = 16
    TABLE_MAP = 19
    ROWS_QUERY = 29  # the statement, for people
    WRITE_ROWS = 30
    UPDATE_ROWS = 31
    DELETE_ROWS = 32
    GTID = 33
    ANONYMOUS_GTID = 34
    PREVIOUS_GTIDS = 35
    XA_PREPARE = 38
    PARTIAL_UPDATE_ROWS = 39
    TRANSACTION_PAYLOAD = 40
    TAGGED_GTID = 42


ROW_CHANGES = frozenset({Kind.WRITE_ROWS, Kind.UPDATE_ROWS, Kind.DELETE_ROWS, Kind.PARTIAL_UPDATE_ROWS})
ROW_TYPES = ROW_CHANGES | {Kind.TABLE_MAP, Kind.ROWS_QUERY}
# As plain numbers for the innermost loop: looking a member up and comparing it costs as much as a checksum.
FORMAT_DESCRIPTION, GTID = Kind.FORMAT_DESCRIPTION.value, Kind.GTID.value


class EncryptedLog(Unreadable):
    """Its events may be whole, but only the server has the key."""


class Event(NamedTuple):
    """One event: where it begins, its bytes with header and checksum, its type, and the id if it begins one."""

    position: int
    length: int
    kind: int
    gtid: Gtid | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """What a file says of itself: whether it was left open, all that was executed before it, where its events begin."""

    in_use: bool
    previous: GtidSet
    end: int


def head(data: Buffer) -> Head:
    """FORMAT_DESCRIPTION and PREVIOUS_GTIDS. Raises Unreadable, also for a file that ends before both are there."""
    if data[:4] == MAGIC_ENCRYPTED:
        raise EncryptedLog("the file is encrypted")
    if data[:4] != MAGIC:
        raise Unreadable("the file does not begin as a binary log does")
    described = _first(data, 4)
    if described is None or described.kind != Kind.FORMAT_DESCRIPTION:
        raise Unreadable("at 4: no FORMAT_DESCRIPTION event")
    if data[described.position + described.length - CRC_BYTES - 1 :][:1] != b"\x01":
        raise Unreadable("at 4: its events carry no CRC32")
    position = described.position + described.length
    previous = _first(data, position)
    if previous is None or previous.kind != Kind.PREVIOUS_GTIDS:
        raise Unreadable(f"at {position}: no PREVIOUS_GTIDS event")
    flags = HEADER.unpack(data[4 : 4 + HEADER.size])[5]
    try:
        earlier = earlier_ids(body(data, previous))
    except Unreadable as error:
        raise Unreadable(f"at {position}: {error}") from error
    return Head(bool(flags & IN_USE), earlier, position + previous.length)


def events(data: Buffer, position: int) -> Iterator[Event]:
    """The events from `position` on, up to the end or to a half-written last one. Raises Unreadable.

    Half-written means that it would end behind the file. An event that fits and has a wrong checksum is never skipped.
    """
    with memoryview(data) as view:  # a map cannot be closed while one is held
        while (event := _event(view, position)) is not None:
            yield event
            position += event.length


def statement(data: Buffer, event: Event) -> str:
    """The text of a QUERY event; bytes that are not UTF-8 are replaced."""
    try:
        return statement_of(body(data, event))
    except Unreadable as error:
        raise Unreadable(f"at {event.position}: {error}") from error


def statement_of(content: bytes) -> str:
    """As `statement`, of the body of a QUERY event."""
    try:
        _, _, schema, _, variables = struct.unpack_from("<IIBHH", content)
    except struct.error as error:
        raise Unreadable("a QUERY event that is too short") from error
    return content[13 + variables + schema + 1 :].decode(errors="replace")


def body(data: Buffer, event: Event) -> bytes:
    """What stands between an event's header and its checksum."""
    return data[event.position + HEADER.size : event.position + event.length - CRC_BYTES]


def framed(kind: int, content: bytes, position: int = 0, at_s: int = 0, server_id: int = 0, flags: int = 0) -> bytes:
    """`content` as an event at `position`, with header and checksum; `at_s` are seconds since 1970."""
    length = HEADER.size + len(content) + CRC_BYTES
    whole = HEADER.pack(at_s, kind, server_id, length, (position + length) % 2**32, flags) + content
    return whole + _CRC.pack(zlib.crc32(whole))


def _first(data: Buffer, position: int) -> Event | None:
    return next(events(data, position), None)


def _event(view: memoryview, position: int) -> Event | None:
    """The complete event at `position`, its checksum verified; None if the file ends before it does.

    Called for each of some millions of events while a node waits to return: hence no needless object.
    """
    if position + HEADER.size > len(view):
        return None
    _, kind, _, length, following, flags = HEADER.unpack_from(view, position)
    if length < HEADER.size + CRC_BYTES or following != (position + length) % 2**32:
        # Of a half-written event the header is there before the rest: a wrong one is damage, not an end.
        raise Unreadable(f"at {position}: an event of {length} bytes that says it is followed at {following}")
    end = position + length - CRC_BYTES
    if end + CRC_BYTES > len(view):
        return None
    whole: memoryview | bytes = view[position:end]
    if kind == FORMAT_DESCRIPTION:
        whole = b"".join((whole[:17], (flags & ~IN_USE).to_bytes(2, "little"), whole[HEADER.size :]))
    if zlib.crc32(whole) != _CRC.unpack_from(view, end)[0]:
        raise Unreadable(f"at {position}: wrong checksum of an event of type {kind}")
    if kind < GTID:
        return Event(position, length, kind)
    if kind == Kind.ANONYMOUS_GTID:
        raise Unreadable(f"at {position}: a transaction without an id")
    return Event(position, length, kind, _id(position, kind, view[position + HEADER.size : end]))


def _id(position: int, kind: int, content: memoryview) -> Gtid | None:
    try:
        if kind == GTID:
            return plain_id(content)
        return tagged_id(bytes(content)) if kind == Kind.TAGGED_GTID else None
    except Unreadable as error:
        raise Unreadable(f"at {position}: {error}") from error
