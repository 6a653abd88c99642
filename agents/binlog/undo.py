"""What is to be undone: the transactions from the first errant one to the end of the log, each with its place.

`plan_undo` reads the files once and refuses, with the transaction and the reason, what its rows cannot undo.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from agents.binlog.contents import Change, Doubt, Reason, Transaction, transactions
from agents.binlog.fields import Unreadable
from agents.binlog.ids import holds
from agents.binlog.invert import inverse
from agents.binlog.logs import contents, mapped
from agents.binlog.parse import CRC_BYTES, HEADER, Buffer, EncryptedLog, framed, head
from agents.binlog.rows import Splitter, rows
from agents.binlog.table import Table, table
from orchestrator.core.errors import StepFailed
from orchestrator.core.gtid import GtidSet

ROWS_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Refusal:
    """Nothing was changed. `gtid` is the transaction, empty where the reason is not one of them."""

    reason: Reason
    gtid: str
    why: str

    def __str__(self) -> str:
        return f"{self.gtid or 'the binary log'} {self.why} ({self.reason})"


@dataclass(frozen=True, slots=True)
class Place:
    """Where one transaction is, and how many bytes it takes there."""

    file: Path
    position: int
    length: int
    gtid: str


@dataclass(slots=True)
class Touched:
    """One table that is to be changed back, and the first transaction that changed it."""

    table: Table
    first: str
    silent: set[int] = field(default_factory=set)  # types of events whose cascades are not in the log


@dataclass(frozen=True, slots=True)
class Undo:
    """All that is to be undone, oldest first. `largest_bytes`: its largest event, split if it can be, and the map."""

    places: tuple[Place, ...]
    gtids: GtidSet
    touched: tuple[Touched, ...]
    largest_bytes: int


def plan_undo(files: Sequence[Path], errant: GtidSet) -> Undo | Refusal:
    """Of `files`, oldest first, all from the first member of `errant` on. Raises OSError.

    What follows an errant transaction is undone with it, also what the primary holds: it is fetched again. A last
    transaction without an end was never committed.
    """
    places: list[Place] = []
    touched: dict[str, Touched] = {}
    largest = 0
    for path in files:
        try:
            with mapped(path) as data:
                for one in transactions(data, head(data).end):
                    if not places and not holds(errant, one.gtid):
                        continue
                    if not one.complete and path == files[-1]:
                        break
                    doubt = one.doubt if one.complete else Doubt(Reason.INCOMPLETE, f"has no end in {path.name}")
                    if doubt is None:
                        doubt = _note(touched, one)
                    if doubt is not None:
                        return Refusal(doubt.reason, str(one.gtid), doubt.why)
                    places.append(Place(path, one.position, one.end - one.position, str(one.gtid)))
                    largest = max(largest, _largest(data, one))
        except EncryptedLog as error:
            return Refusal(Reason.ENCRYPTED, "", f"cannot be read: {path.name} {error}")
        except Unreadable as error:
            return Refusal(Reason.BAD_CRC, "", f"cannot be read: {path.name} {error}")
    gtids = GtidSet.parse(",".join(place.gtid for place in places))
    if errant - gtids:
        return Refusal(Reason.BINLOG_MISSING, "", f"does not hold {errant - gtids}")
    return Undo(tuple(places), gtids, tuple(touched.values()), largest)


def held(files: Sequence[Path]) -> GtidSet:
    """All that was executed when the last of these files, oldest first, ended. Raises StepFailed, OSError."""
    found = GtidSet()
    for path in files:
        try:
            with mapped(path) as data:
                begin = head(data)
                names = [str(one.gtid) for one in transactions(data, begin.end) if one.complete]
                found |= begin.previous | GtidSet.parse(",".join(names))
        except Unreadable as error:
            raise StepFailed(f"{path} cannot be read: {error}") from error
    return found


def row_count(undo: Undo) -> int:
    """How many rows are to be changed back. Raises Unreadable, OSError."""
    found = 0
    for path, places in groupby(undo.places, lambda place: place.file):
        with mapped(path) as data:
            for place in places:
                one = transaction_at(data, place)
                with contents(data, one) as changes:
                    found += sum(_row_count(changes, change) for change in one.changes)
    return found


def transaction_at(data: Buffer, place: Place) -> Transaction:
    """The transaction of a plan, read again. Raises Unreadable."""
    return next(transactions(data, place.position))


def undoing(data: Buffer, one: Transaction, rows_bytes: int = ROWS_BYTES) -> Iterator[bytes]:
    """The events that undo a transaction, in their order: each a TABLE_MAP and a ROWS event, as bytes.

    `data` is where the positions of its changes are (`logs.contents`). One of more than `rows_bytes` has a single row.
    """
    splitters: dict[int, tuple[Table, Splitter]] = {}
    for change in reversed(one.changes):
        mapping = data[change.map_position : change.map_position + change.map_length]
        described = table(mapping[HEADER.size : -CRC_BYTES])
        if splitters.get(described.number, (None,))[0] is not described:
            splitters[described.number] = described, Splitter(described)
        at_s, _, server_id, _, _, _ = HEADER.unpack_from(data, change.position)
        content = data[change.position + HEADER.size : change.position + change.length - CRC_BYTES]
        splitter = splitters[described.number][1]
        for kind, reverse in inverse(described, splitter, rows(change.kind, content), rows_bytes):
            yield mapping + framed(kind, reverse, 0, at_s, server_id)


def _row_count(data: Buffer, change: Change) -> int:
    described = table(data[change.map_position + HEADER.size : change.map_position + change.map_length - CRC_BYTES])
    content = data[change.position + HEADER.size : change.position + change.length - CRC_BYTES]
    return sum(1 for _ in Splitter(described).split(rows(change.kind, content)))


def _largest(data: Buffer, one: Transaction) -> int:
    """Bytes of its largest event once those of more than ROWS_BYTES are split into rows."""
    if not any(change.length > ROWS_BYTES for change in one.changes):
        return max((change.map_length + change.length for change in one.changes), default=0)
    with contents(data, one) as events:
        return max(len(event) for event in undoing(events, one))


def _note(touched: dict[str, Touched], one: Transaction) -> Doubt | None:
    """Remember its tables; a doubt if one is described otherwise than before, with no statement that changed it."""
    for number, described in one.tables.items():
        known = touched.setdefault(str(described), Touched(described, str(one.gtid)))
        known.silent |= {kind for silent, kind in one.silent if silent == number}
        if (known.table.columns, known.table.key) != (described.columns, described.key):
            return Doubt(Reason.TABLE_CHANGED, f"changes {described}, which {known.first} describes otherwise")
    return None
