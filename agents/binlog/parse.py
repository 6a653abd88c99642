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
from typing import Protocol

from orchestrator.core.errors import KembarError
from orchestrator.core.gtid import GtidSet

MAGIC, MAGIC_ENCRYPTED = b"\xfebin", b"\xfdbin"
HEADER = struct.Struct("<IBIIIH")
CRC_BYTES = 4
IN_USE = 0x1  # header flag of FORMAT_DESCRIPTION: the file was not closed
ROW_TYPES = frozenset({19, 29, 30, 31, 32, 39})  # map, query text for people, write, update, delete, partial update
_GTID = struct.Struct("<B16sQBqq")  # flags, uuid, number, type code of the logical clock, last committed, sequence
_CLOCK = 2  # the type code


class Buffer(Protocol):
    """bytes or mmap: only slices are taken."""

    def __len__(self) -> int: ...

    def __getitem__(self, at: slice, /) -> bytes: ...


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


class Unreadable(KembarError):  # noqa: N818 - as in core.errors
    """Not a binary log that we understand: position and why."""


@dataclass(frozen=True, slots=True)
class Gtid:
    """The id of one transaction, and its number in the commit order of its file."""

    source: str  # the server's uuid
    number: int
    sequence: int

    def __str__(self) -> str:
        return f"{self.source}:{self.number}"


@dataclass(frozen=True, slots=True)
class Event:
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
    described = _event(data, 4)
    if described is None or described.kind != Kind.FORMAT_DESCRIPTION:
        raise Unreadable("at 4: no FORMAT_DESCRIPTION event")
    if data[described.position + described.length - CRC_BYTES - 1 :][:1] != b"\x01":
        raise Unreadable("at 4: its events carry no CRC32")
    position = described.position + described.length
    previous = _event(data, position)
    if previous is None or previous.kind != Kind.PREVIOUS_GTIDS:
        raise Unreadable(f"at {position}: no PREVIOUS_GTIDS event")
    flags = HEADER.unpack(data[4 : 4 + HEADER.size])[5]
    return Head(bool(flags & IN_USE), _previous(data, previous), position + previous.length)


def events(data: Buffer, position: int) -> Iterator[Event]:
    """The events from `position` on, up to the end or to a half-written last one. Raises Unreadable.

    Half-written means that it would end behind the file. An event that fits and has a wrong checksum is never skipped.
    """
    while (event := _event(data, position)) is not None:
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


def _event(data: Buffer, position: int) -> Event | None:
    """The complete event at `position`, its checksum verified; None if the file ends before it does."""
    header = data[position : position + HEADER.size]
    if len(header) < HEADER.size:
        return None
    _, kind, _, length, following, flags = HEADER.unpack(header)
    if length < HEADER.size + CRC_BYTES or following != (position + length) % 2**32:
        # Of a half-written event the header is there before the rest: a wrong one is damage, not an end.
        raise Unreadable(f"at {position}: an event of {length} bytes that says it is followed at {following}")
    if position + length > len(data):
        return None
    whole = data[position : position + length]
    if kind == Kind.FORMAT_DESCRIPTION:
        whole = HEADER.pack(*HEADER.unpack(header)[:5], flags & ~IN_USE) + whole[HEADER.size :]
    if zlib.crc32(whole[:-CRC_BYTES]) != int.from_bytes(whole[-CRC_BYTES:], "little"):
        raise Unreadable(f"at {position}: wrong checksum of an event of type {kind}")
    if kind == Kind.TAGGED_GTID:
        raise Unreadable(f"at {position}: a tagged transaction id, whose encoding is not read here")
    if kind == Kind.ANONYMOUS_GTID:
        raise Unreadable(f"at {position}: a transaction without an id")
    gtid = _gtid(position, whole[HEADER.size : -CRC_BYTES]) if kind == Kind.GTID else None
    return Event(position, length, kind, gtid)


def _body(data: Buffer, event: Event) -> bytes:
    return data[event.position + HEADER.size : event.position + event.length - CRC_BYTES]


def _gtid(position: int, body: bytes) -> Gtid:
    if len(body) < _GTID.size:
        raise Unreadable(f"at {position}: a GTID event of {len(body)} bytes")
    _, source, number, clock, _, sequence = _GTID.unpack_from(body)
    if clock != _CLOCK or number < 1:
        raise Unreadable(f"at {position}: a GTID event with number {number} and clock type {clock}")
    return Gtid(str(uuid.UUID(bytes=source)), number, sequence)


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
