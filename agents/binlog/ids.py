"""Ids of transactions in the binary log, with and without tags: of one transaction, and the set before a file. Pure.

A tag (8.3 and later) makes `uuid:tag` a source of its own. The encodings with tags (measured on 9.7.4) are another type
of event and, in PREVIOUS_GTIDS, another first number; a server that has ever executed a tagged id writes the second
until it is started again.
"""

from __future__ import annotations

import struct
import uuid
from bisect import bisect_right
from functools import lru_cache
from typing import NamedTuple

from agents.binlog.fields import Fields, Unreadable
from orchestrator.core.gtid import GtidSet

_GTID = struct.Struct("<B16sQBqq")  # flags, uuid, number, type code of the logical clock, last committed, sequence
_CLOCK = 2  # the type code
_TAGGED_FORMAT = 1
_FIELDS_UNTIL_SEQUENCE = 6  # flags, uuid, number, tag, last committed, sequence: numbered from 0


class Gtid(NamedTuple):
    """The id of one transaction, and its number in the commit order of its file."""

    source: str  # the server's uuid, or `uuid:tag`
    number: int
    sequence: int

    def __str__(self) -> str:
        return f"{self.source}:{self.number}"


def holds(known: GtidSet, gtid: Gtid) -> bool:
    """Whether one id is in the set; asked for each transaction of a file, hence no set is made of it."""
    intervals = known.intervals.get(gtid.source, ())
    at = bisect_right(intervals, (gtid.number, 2**63)) - 1
    return at >= 0 and gtid.number <= intervals[at][1]


def plain_id(body: memoryview) -> Gtid:
    """Of the body of a GTID event. Raises Unreadable."""
    if len(body) < _GTID.size:
        raise Unreadable(f"a GTID event of {len(body)} bytes")
    _, source, number, clock, _, sequence = _GTID.unpack_from(body)
    if clock != _CLOCK or number < 1:
        raise Unreadable(f"a GTID event with number {number} and clock type {clock}")
    return Gtid(_spelled(source), number, sequence)


def tagged_id(body: bytes) -> Gtid:
    """Of the body of a tagged GTID event: version, size, last needed field; then fields, each after its number.

    Raises Unreadable, also for a version other than 1.
    """
    fields = Fields(body)
    version, size = fields.variable(), fields.variable()
    fields.variable()
    if version != 1 or size != len(body):
        raise Unreadable(f"a tagged GTID event of {len(body)} bytes that says version {version}, {size} bytes")
    source, number, tag, sequence = b"", 0, b"", 0
    for expected in range(_FIELDS_UNTIL_SEQUENCE):
        found = fields.variable()
        if found != expected:
            raise Unreadable(f"a tagged GTID event with field {found} where {expected} belongs")
        match expected:
            case 1:
                source = bytes(fields.variable() & 0xFF for _ in range(16))
            case 2:
                number = fields.signed()
            case 3:
                tag = fields.take(fields.variable())
            case 0:
                fields.variable()
            case _:
                sequence = fields.signed()
    if number < 1:
        raise Unreadable(f"a tagged GTID event with number {number}")
    return Gtid(_source(source, tag), number, sequence)


def earlier_ids(body: bytes) -> GtidSet:
    """Of the body of PREVIOUS_GTIDS: sources, each with its intervals, whose ends are exclusive. Raises Unreadable."""
    fields, parts = Fields(body), []
    first = fields.number(8)
    tagged = first >> 56 == _TAGGED_FORMAT
    sources = first >> 8 & (1 << 48) - 1 if tagged else first
    if sources > len(body):
        raise Unreadable(f"PREVIOUS_GTIDS with {sources} sources in {len(body)} bytes")
    try:
        for _ in range(sources):
            source = fields.take(16)
            tag = fields.take(fields.variable()) if tagged else b""
            for _ in range(fields.number(8)):
                begin, end = fields.number(8), fields.number(8)
                parts.append(f"{_source(source, tag)}:{begin}-{end - 1}")
        if fields or (tagged and first & 0xFF != _TAGGED_FORMAT):
            raise Unreadable("PREVIOUS_GTIDS in an encoding that is not read here")
        return GtidSet.parse(",".join(parts))
    except ValueError as error:
        raise Unreadable(f"PREVIOUS_GTIDS: {error}") from error


def _source(source: bytes, tag: bytes) -> str:
    return f"{_spelled(source)}:{tag.decode('ascii', 'replace')}" if tag else _spelled(source)


@lru_cache(maxsize=16)
def _spelled(source: bytes) -> str:
    return str(uuid.UUID(bytes=source))
