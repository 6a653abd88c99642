"""What the transactions of a binary log file consist of, and why one cannot be undone by its rows. Pure.

Of a transaction only the places of its events are kept, so that one of any size costs some bytes per event.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from agents.binlog.fields import Unreadable
from agents.binlog.ids import Gtid
from agents.binlog.parse import (
    CRC_BYTES,
    HARMLESS,
    HEADER,
    ROW_CHANGES,
    Buffer,
    Event,
    Kind,
    body,
    events,
    statement_of,
)
from agents.binlog.payload import unpacked
from agents.binlog.rows import CASCADES_LOGGED, NO_FOREIGN_KEYS, STATEMENT_END, Rows, rows
from agents.binlog.table import Table, table

_SECONDS = struct.Struct("<I")
_STATEMENT_EVENTS = frozenset({5, 9, 13, 14, 17, 18})  # values that a statement used, files that it loaded
_COMMENT = re.compile(r"\s*/\*(?!!).*?\*/", re.DOTALL)
_DML = frozenset({"INSERT", "UPDATE", "DELETE", "REPLACE", "LOAD", "CALL", "WITH", "SELECT", "DO"})
_ACCOUNT_VERBS = frozenset({"GRANT", "REVOKE"})
_ACCOUNTS = re.compile(r"(CREATE|ALTER|DROP|RENAME)\s+(USER|ROLE)\b|SET\s+(PASSWORD|DEFAULT\s+ROLE)\b")


class Reason(StrEnum):
    """Why a transaction cannot be undone by its rows; the codes that reports show."""

    DDL = "ddl"
    ACCOUNT_STATEMENT = "account_statement"
    XA = "xa"
    STATEMENT_EVENT = "statement_event"
    NON_INNODB = "non_innodb"
    UNKNOWN_EVENT = "unknown_event"
    ROW_IMAGE_NOT_FULL = "row_image_not_full"
    METADATA_NOT_FULL = "metadata_not_full"
    PARTIAL_JSON = "partial_json_without_key"
    UNLOGGED_CASCADE = "unlogged_cascade"
    TABLE_MISSING = "table_missing"
    TABLE_CHANGED = "table_changed"
    EVENT_TOO_BIG = "event_too_big"
    BINLOG_MISSING = "binlog_missing"
    ENCRYPTED = "encrypted"
    BAD_CRC = "bad_crc"  # or anything else in a file that cannot be read
    INCOMPLETE = "incomplete"


class Doubt(NamedTuple):
    """A reason and a sentence that names the thing."""

    reason: Reason
    why: str


class Change(NamedTuple):
    """One ROWS event and the map that it needs: positions in the file, or in what the payload unpacks to."""

    kind: int
    position: int
    length: int
    map_position: int
    map_length: int


@dataclass(slots=True)
class Transaction:
    """One transaction as far as it was read. `packed` is the event that holds all others, if it is compressed.

    `changes` are in the order of the file; a map without rows is no change. `tables` are those that have changes, by
    their number; `silent` are number and event type where cascades to other tables would not be in the log.
    """

    gtid: Gtid
    position: int
    at_s: int  # when its first event was written, seconds since 1970
    end: int = 0
    complete: bool = False
    doubt: Doubt | None = None
    packed: Event | None = None
    changes: list[Change] = field(default_factory=list)
    tables: dict[int, Table] = field(default_factory=dict)
    silent: set[tuple[int, int]] = field(default_factory=set)


def transactions(data: Buffer, position: int) -> Iterator[Transaction]:
    """The transactions from `position` on; only the last may be incomplete. Raises Unreadable."""
    reader: _Reader | None = None
    for event in events(data, position):
        if event.gtid is not None:
            if reader is not None:
                raise Unreadable(f"at {event.position}: a transaction begins within {reader.found.gtid}")
            (at_s,) = _SECONDS.unpack_from(data, event.position)
            reader = _Reader(Transaction(event.gtid, event.position, at_s))
        elif reader is not None:
            reader.take_packed(event, data) if event.kind == Kind.TRANSACTION_PAYLOAD else reader.take(
                event.kind, event.position, body(data, event)
            )
            if reader.found.complete:
                reader.found.end = event.position + event.length
                yield reader.found
                reader = None
        elif event.kind not in (Kind.ROTATE, Kind.STOP):
            raise Unreadable(f"at {event.position}: an event of type {event.kind} outside of a transaction")
    if reader is not None:
        yield reader.found


class _Reader:
    """The transaction that has begun, the maps that its next rows may name, and whether more than one event is its."""

    def __init__(self, found: Transaction) -> None:
        self.found = found
        self._maps: dict[int, tuple[int, int, Table]] = {}
        self._grouped = False

    def take_packed(self, event: Event, data: Buffer) -> None:
        self.found.packed = event
        position = 0
        try:
            for inner in unpacked(body(data, event)):
                _, kind, _, length, _, _ = HEADER.unpack_from(inner)
                self.take(kind, position, inner[HEADER.size : length - CRC_BYTES])
                position += length
        except Unreadable as error:
            raise Unreadable(f"at {event.position}: {error}") from error
        if not self.found.complete:
            raise Unreadable(f"at {event.position}: a compressed transaction without its end")

    def take(self, kind: int, position: int, content: bytes) -> None:
        """One more event, of which `content` is the body."""
        try:
            self._take(kind, position, content)
        except Unreadable as error:
            raise Unreadable(f"at {position}: {error}") from error

    def _take(self, kind: int, position: int, content: bytes) -> None:
        if kind == Kind.TABLE_MAP:
            described = table(content)
            self._maps[described.number] = position, HEADER.size + len(content) + CRC_BYTES, described
        elif kind in ROW_CHANGES:
            self._change(rows(kind, content), position)
        elif kind == Kind.XID:
            self.found.complete = True
        elif kind == Kind.XA_PREPARE:
            self.found.complete = True
            self._doubt(Reason.XA, "is prepared for an XA commit")
        elif kind == Kind.QUERY:
            self._statement(statement_of(content))
        elif kind in _STATEMENT_EVENTS:
            self._doubt(Reason.STATEMENT_EVENT, f"holds an event of type {kind}, which belongs to a statement")
        elif kind != Kind.ROWS_QUERY:
            self._doubt(Reason.UNKNOWN_EVENT, f"holds an event of type {kind}, which is not known here")

    def _change(self, event: Rows, position: int) -> None:
        if event.table not in self._maps:
            raise Unreadable(f"rows of a table numbered {event.table}, of which there is no map")
        map_position, map_length, described = self._maps[event.table]
        length = HEADER.size + len(event.content) + CRC_BYTES
        self.found.changes.append(Change(event.kind, position, length, map_position, map_length))
        self.found.tables[event.table] = described
        if not event.full():
            self._doubt(Reason.ROW_IMAGE_NOT_FULL, f"changes {described} with rows in part (binlog_row_image)")
        if not described.named:
            self._doubt(Reason.METADATA_NOT_FULL, f"changes {described} without the names of its columns")
        if event.kind == Kind.PARTIAL_UPDATE_ROWS and not described.key:
            self._doubt(Reason.PARTIAL_JSON, f"changes a part of JSON in {described}, which has no primary key")
        if not event.flags & (CASCADES_LOGGED | NO_FOREIGN_KEYS):
            self.found.silent.add((event.table, event.kind))
        if event.flags & STATEMENT_END:
            self._maps.clear()

    def _statement(self, text: str) -> None:
        words = " ".join(_COMMENT.sub(" ", text).split()[:2]).upper()
        verb = words.split()[0] if words else ""
        if text == "BEGIN":
            self._grouped = True
        elif text == "COMMIT":
            # Of another engine than InnoDB, which its tables will tell; or nothing is left behind a savepoint.
            self.found.complete = True
        elif not words.startswith(HARMLESS):
            self._doubt(_reason(verb, text), f"is a statement ({words})")
            if words in ("XA START", "XA END"):
                self._grouped = True
            elif not self._grouped:
                self.found.complete = True

    def _doubt(self, reason: Reason, why: str) -> None:
        if self.found.doubt is None:
            self.found.doubt = Doubt(reason, why)


def _reason(verb: str, text: str) -> Reason:
    if verb == "XA":
        return Reason.XA
    if verb in _DML:
        return Reason.STATEMENT_EVENT
    if verb in _ACCOUNT_VERBS or _ACCOUNTS.match(_COMMENT.sub(" ", text).strip().upper()):
        return Reason.ACCOUNT_STATEMENT
    return Reason.DDL
