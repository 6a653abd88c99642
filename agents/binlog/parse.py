"""Bytes of a binary log file -> its events, each with its checksum verified. Pure; what is not understood is refused.

Layout (source, and measured on 9.7.4): magic `fe 62 69 6e`; then events: a header of 19 bytes `<IBIIIH` (time, type,
server id, size, next position, flags), a body, and the CRC32 of both. The CRC of FORMAT_DESCRIPTION is computed with
the in-use bit of its flags cleared, since mysqld clears that bit in place when it closes the file.
"""

from __future__ import annotations

import struct
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from mmap import mmap
from typing import NamedTuple

from orchestrator.core.errors import KembarError
from orchestrator.core.gtid import GtidSet

MAGIC, MAGIC_ENCRYPTED = b"\xfebin", b"\xfdbin"
Buffer = bytes | mmap
HEADER = struct.Struct("<IBIIIH")
CRC_BYTES = 4
IN_USE = 0x1  # header flag of FORMAT_DESCRIPTION: the file was not closed
ROW_TYPES = frozenset({19, 29, 30, 31, 32, 39})  # map, query text for people, write, update, delete, partial update
_GTID = struct.Struct("<B16sQBqq")  # flags, uuid, number, type code of the logical clock, last committed, sequence
_CRC = struct.Struct("<I")
_CLOCK = 2  # the type code


class Kind(IntEnum):
    """The event types that are named here."""

    QUERY = 2
    STOP = 3
    ROTATE = 4
    FORMAT_DESCRIPTION = 15
    XID = 16
    GTID = 33
    ANONYMOUS_GTID = 34
    PREVIOUS_GTIDS = 35
    XA_PREPARE = 38
    TAGGED_GTID = 42


# As plain numbers for the innermost loop: looking a member up and comparing it costs as much as a checksum.
FORMAT_DESCRIPTION, GTID = Kind.FORMAT_DESCRIPTION.value, Kind.GTID.value


class Unreadable(KembarError):  # noqa: N818 - as in core.errors
    """Not a binary log that we understand: position and why."""


class Gtid(NamedTuple):
    """The id of one transaction, and its number in the commit order of its file."""

    source: str  # the server's uuid
    number: int
    sequence: int

    def __str__(self) -> str:
        return f"{self.source}:{self.number}"


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
        raise Unreadable("the file is encrypted")
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
    return Head(bool(flags & IN_USE), _previous(data, previous), position + previous.length)


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
    body = _body(data, event)
    try:
        _, _, schema, _, variables = struct.unpack_from("<IIBHH", body)
    except struct.error as error:
        raise Unreadable(f"at {event.position}: a QUERY event that is too short") from error
    return body[13 + variables + schema + 1 :].decode(errors="replace")


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
    body: memoryview | bytes = view[position:end]
    if kind == FORMAT_DESCRIPTION:
        body = b"".join((body[:17], (flags & ~IN_USE).to_bytes(2, "little"), body[HEADER.size :]))
    if zlib.crc32(body) != _CRC.unpack_from(view, end)[0]:
        raise Unreadable(f"at {position}: wrong checksum of an event of type {kind}")
    if kind < GTID:
        return Event(position, length, kind)
    if kind == Kind.TAGGED_GTID:
        raise Unreadable(f"at {position}: a tagged transaction id, whose encoding is not read here")
    if kind == Kind.ANONYMOUS_GTID:
        raise Unreadable(f"at {position}: a transaction without an id")
    gtid = _gtid(position, view[position + HEADER.size : end]) if kind == GTID else None
    return Event(position, length, kind, gtid)


def _body(data: Buffer, event: Event) -> bytes:
    return data[event.position + HEADER.size : event.position + event.length - CRC_BYTES]


def _gtid(position: int, body: memoryview) -> Gtid:
    if len(body) < _GTID.size:
        raise Unreadable(f"at {position}: a GTID event of {len(body)} bytes")
    _, source, number, clock, _, sequence = _GTID.unpack_from(body)
    if clock != _CLOCK or number < 1:
        raise Unreadable(f"at {position}: a GTID event with number {number} and clock type {clock}")
    return Gtid(_spelled(source), number, sequence)


@lru_cache(maxsize=16)
def _spelled(source: bytes) -> str:
    return str(uuid.UUID(bytes=source))


def _previous(data: Buffer, event: Event) -> GtidSet:
    """Sources, each with its intervals; ends are exclusive. With tags the first number is coded otherwise: refused."""
    body = _body(data, event)
    try:
        (sources,), at, parts = struct.unpack_from("<Q", body), 8, []
        if sources > len(body):
            raise Unreadable(f"at {event.position}: PREVIOUS_GTIDS with tags, whose encoding is not read here")
        for _ in range(sources):
            source, intervals = struct.unpack_from("<16sQ", body, at)
            at += 24
            for _ in range(intervals):
                first, end = struct.unpack_from("<QQ", body, at)
                at += 16
                parts.append(f"{uuid.UUID(bytes=source)}:{first}-{end - 1}")
        return GtidSet.parse(",".join(parts))
    except (struct.error, ValueError) as error:
        raise Unreadable(f"at {event.position}: PREVIOUS_GTIDS cannot be read: {error}") from error
