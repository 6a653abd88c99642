"""Takes errant transactions out of a server: their rows are changed back, newest first, and none of it is logged.

The journal `kembar.reconcile_journal` tells what is done. Its row and the rows that it stands for commit together, so
that after a kill at any statement a transaction is undone or is not: the next call goes on with those that are not in
the journal. The server must take writes from this session only (read_only and offline_mode on, super_read_only off).
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

from agents.binlog.catalog import Asks, unfit
from agents.binlog.contents import Reason
from agents.binlog.fields import Unreadable
from agents.binlog.logs import contents, mapped
from agents.binlog.parse import IN_USE, MAGIC, Buffer, events
from agents.binlog.undo import ROWS_BYTES, Place, Refusal, Undo, transaction_at, undoing
from agents.session import StatementRefused
from orchestrator.core.errors import StepFailed

STATEMENT_S = 60.0
TOGETHER = 500  # one commit for so many is 3 times as fast as one for each (measured)
TOGETHER_BYTES = 8 << 20  # of the log
ROW_BYTES = 1  # so that each row is an event of its own
DUPLICATE = 1062
# Disk or table full, read only, interrupted: nothing is wrong with the row, and nothing of the commit is there.
PASSING = frozenset({1021, 1114, 1290, 1317, 1836})
STATEMENT_BYTES = 64  # around an encoded event


class Mismatch(StepFailed):
    """A row was not as the log says that it was left: this server cannot be rewound any more. `gtid`: by which one."""

    def __init__(self, gtid: str, why: str) -> None:
        super().__init__(f"rewind_mismatch at {gtid}: {why}; take the next rung")
        self.gtid = gtid


@dataclass(frozen=True, slots=True)
class Progress:
    """Transactions that are undone, of how many."""

    done: int
    total: int


class Lasting(Asks, Protocol):
    """A session that is not opened again once it was lost: what was set in it would be gone (`Session(once=True)`)."""

    def close(self) -> None: ...


def check(session: Asks, undo: Undo) -> Refusal | None:
    """Whether the server can take it: its packets large enough, its tables as they were. Changes nothing."""
    (row,) = session.ask("SELECT @@GLOBAL.max_allowed_packet AS bytes", within_s=STATEMENT_S)
    needed = undo.largest_bytes * 4 // 3 + STATEMENT_BYTES
    if needed > int(row["bytes"]):
        why = f"needs statements of {needed} bytes; max_allowed_packet is {row['bytes']}, make it larger"
        return Refusal(Reason.EVENT_TOO_BIG, "", why)
    return unfit(session, undo)


def rewind(
    sessions: Callable[[], Lasting], reconcile_id: int, undo: Undo, together: int = TOGETHER
) -> Iterator[Progress]:
    """Undo what is not in the journal, newest first; after each commit say how far it is. Call again after any error.

    Up to `together` transactions are one commit; fewer if they are large.

    Each session may read information_schema, write the journal and all tables, and SET sql_log_bin and gtid_next.
    `check` has passed. Raises Mismatch, DatabaseUnavailable, StatementRefused, OSError.
    """
    done = _journal(sessions, reconcile_id)
    left = [place for place in reversed(undo.places) if place.gtid not in done]
    yield Progress(len(undo.places) - len(left), len(undo.places))
    for path, places in groupby(left, lambda place: place.file):
        with mapped(path) as data, closing(sessions()) as session:
            _prepare(session, data)
            for batch in _batches(places, together):
                _undo(session, reconcile_id, data, batch)
                left = left[len(batch) :]
                yield Progress(len(undo.places) - len(left), len(undo.places))


def _journal(sessions: Callable[[], Lasting], reconcile_id: int) -> set[str]:
    with closing(sessions()) as session:
        rows = session.ask(
            "SELECT gtid FROM kembar.reconcile_journal WHERE reconcile_id = %s", (reconcile_id,), within_s=STATEMENT_S
        )
    return {row["gtid"] for row in rows}


def _prepare(session: Lasting, data: Buffer) -> None:
    """After the first BINLOG the session would want an id for each transaction (1782), if it were not set once more."""
    session.ask("SET SESSION sql_log_bin = 0", within_s=STATEMENT_S)
    session.ask(binlog_statement(description(data)), within_s=STATEMENT_S)
    session.ask("SET SESSION gtid_next = 'AUTOMATIC'", within_s=STATEMENT_S)


def _undo(session: Lasting, reconcile_id: int, data: Buffer, batch: Sequence[Place]) -> None:
    """One commit: the rows of some transactions, and their names in the journal.

    Without a primary key the server changes the rows of one event in the order in which it meets them (measured): a
    unique value that has gone from row to row is then a duplicate. Row by row it goes back as it came.
    """
    try:
        _commit(session, reconcile_id, data, batch, ROWS_BYTES)
    except Mismatch as mismatch:
        if not isinstance(mismatch.__cause__, StatementRefused) or mismatch.__cause__.errno != DUPLICATE:
            raise
        session.ask("ROLLBACK", within_s=STATEMENT_S)
        _commit(session, reconcile_id, data, batch, ROW_BYTES)


def _commit(session: Lasting, reconcile_id: int, data: Buffer, batch: Sequence[Place], rows_bytes: int) -> None:
    session.ask("BEGIN", within_s=STATEMENT_S)
    values = ", ".join(["(%s, %s)"] * len(batch))
    names = [argument for place in batch for argument in (reconcile_id, place.gtid)]
    session.ask(
        f"INSERT INTO kembar.reconcile_journal (reconcile_id, gtid) VALUES {values}",  # noqa: S608 - no value in it
        tuple(names),
        within_s=STATEMENT_S,
    )
    for place in batch:
        try:
            one = transaction_at(data, place)
            with contents(data, one) as changes:
                for event in undoing(changes, one, rows_bytes):
                    session.ask(binlog_statement(event), within_s=STATEMENT_S)
        except (StatementRefused, Unreadable) as error:
            if isinstance(error, StatementRefused) and error.errno in PASSING:
                raise
            raise Mismatch(place.gtid, str(error)) from error
    session.ask("COMMIT", within_s=STATEMENT_S)


def _batches(places: Iterator[Place], together: int) -> Iterator[list[Place]]:
    batch: list[Place] = []
    size = 0
    for place in places:
        if batch and (len(batch) >= together or size + place.length > TOGETHER_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(place)
        size += place.length
    if batch:
        yield batch


def binlog_statement(events: bytes) -> str:
    """The statement that has a server apply events; one for their file's description comes first in each session."""
    return f"BINLOG '{b64encode(events).decode()}'"


def description(data: Buffer) -> bytes:
    """The file's own FORMAT_DESCRIPTION, by which the server reads its events; its checksum is of a closed file."""
    first = next(events(data, len(MAGIC)))
    described = bytearray(data[first.position : first.position + first.length])
    described[17] &= ~IN_USE & 0xFF
    return bytes(described)
