"""Answers what a comparison asks of one server: sums, keys and rows of a range, definitions, accounts. Changes nothing.

A question is plain JSON and holds no SQL: names that the server itself must know, and keys as texts that their columns
must allow. Every answer about data says what had been executed after it was read, so that the other side can wait for
as much. No statement lasts longer than `EXECUTION_S`, none locks a row, and each is a snapshot of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any

from agents.binlog.catalog import collations
from agents.binlog.rewind import Lasting
from agents.binlog.values import told
from agents.reconcile import chunks
from agents.reconcile.chunks import Key, Layout, Range
from agents.reconcile.layouts import hidden, layout, shape_of, tables
from agents.reconcile.objects import accounts, objects
from agents.session import Row, StatementRefused
from orchestrator.core.errors import StepFailed

EXECUTION_S = 10.0
STATEMENT_S = EXECUTION_S + 2.0
SETTINGS = (
    "SET SESSION time_zone = '+00:00', sql_mode = '', transaction_isolation = 'READ-COMMITTED',"
    f" lock_wait_timeout = 2, max_execution_time = {EXECUTION_S * 1000:.0f}, group_concat_max_len = 1048576"
)
TOO_LONG, LOCKED = 3024, 1205
DENIED = frozenset({1044, 1142, 1143, 1227, 1370})
LISTED_MAX = 4 * chunks.ROWS_LISTED
THREADS_RUNNING = "SHOW GLOBAL STATUS LIKE 'Threads_running'"
_STATE = (
    "SELECT REPLACE(@@GLOBAL.gtid_executed, '\\n', '') AS executed, @@GLOBAL.server_uuid AS uuid"  # after what was read
)
Question = Mapping[str, Any]
Answered = dict[str, Any]


class Answering:
    """For any thread: each question has a session of its own."""

    def __init__(self, sessions: Callable[[], Lasting], serves: Callable[[], bool]) -> None:
        """`serves`: whether this node may be asked now."""
        self._sessions, self._serves = sessions, serves
        self._known: dict[tuple[str, str], Layout] = {}  # as last asked for; the shape says whether it is still so

    def answer(self, asked: Question) -> Answered:
        """`what`: tables, layout, chunk, sums, middle, rows, rows_at, versions, objects, accounts or state.

        Instead of what was asked for: `moved`, if the table is not (or no more) as the question says by its `shape`;
        `busy`, if more threads run here than `threads_max`; `late`, if it takes longer than a statement may; `refused`,
        if the account may not read it, or not without a warning. Raises StepFailed, DatabaseUnavailable.
        """
        if not self._serves():
            raise StepFailed("this node does not serve now: there is nothing to compare with")
        with closing(self._sessions()) as session:
            session.ask(SETTINGS, within_s=STATEMENT_S)
            try:
                return self._of_server(session, asked) or self._of_table(session, asked)
            except StatementRefused as error:
                if error.errno in (TOO_LONG, LOCKED):
                    return {"late": True}
                if error.errno in DENIED:
                    return {"refused": str(error)}
                raise
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise StepFailed(f"a question that cannot be answered: {type(error).__name__} {error}") from error

    def _of_server(self, session: Lasting, asked: Question) -> Answered | None:
        match asked["what"]:
            case "tables":
                found: Answered = {"tables": [list(one) for one in tables(session)], "hidden": hidden(session)}
            case "objects":
                found = {"objects": objects(session)}
            case "accounts":
                found = {"objects": accounts(session)}
            case "state":
                found = {}
            case _:
                return None
        return found | _state(session)

    def _of_table(self, session: Lasting, asked: Question) -> Answered:
        schema, name = asked["table"]
        if running := _running(session, asked):
            return {"busy": running}
        now = self._layout(session, schema, name)
        shape = now.shape if now else ""
        if asked["what"] == "layout":
            key = [column.name for column in now.key] if now else []
            return {"shape": shape, "key": key, "unfit": now.unfit if now else "", **_state(session)}
        if now is None or shape != asked["shape"]:
            return {"moved": True, **_state(session)}
        answered = _TABLE[asked["what"]](session, now, asked)
        if warning := _warning(session):
            return {"refused": f"its rows cannot be read without a warning: {warning}"}
        return answered | _state(session)

    def _layout(self, session: Lasting, schema: str, name: str) -> Layout | None:
        """A definition is read again with each question; what follows from it, only if it is another."""
        known = self._known.get((schema, name))
        if known is not None and known.shape == shape_of(session, schema, name):
            return known
        found = layout(session, schema, name, collations(session))
        if found is not None:
            self._known = {(schema, name): found}  # one table is compared at a time
        return found


def _sums(session: Lasting, now: Layout, asked: Question) -> Answered:
    where = Range(_key(asked.get("after")), _key(asked.get("to")))
    began = time.monotonic()
    (row,) = session.ask(chunks.sums(now, where), within_s=STATEMENT_S)
    return {"sums": [row["n"], row["x"], row["s"]], "to": asked.get("to"), "took_s": time.monotonic() - began}


def _chunk(session: Lasting, now: Layout, asked: Question) -> Answered:
    """The next one, of about so many rows."""
    after = _key(asked.get("after"))
    to = _bound(session, now, Range(after), asked["rows"]) if now.key else None
    return _sums(session, now, {"after": after, "to": to})


def _middle(session: Lasting, now: Layout, asked: Question) -> Answered:
    where = Range(_key(asked.get("after")), _key(asked.get("to")))
    return {"middle": _bound(session, now, where, asked["rows"])}


def _rows(session: Lasting, now: Layout, asked: Question) -> Answered:
    where = Range(_key(asked.get("after")), _key(asked.get("to")))
    return _listed(now, session.ask(chunks.rows(now, where, LISTED_MAX), within_s=STATEMENT_S))


def _rows_at(session: Lasting, now: Layout, asked: Question) -> Answered:
    keys = [key for key in map(_key, asked["keys"]) if key is not None]
    return _listed(now, session.ask(chunks.rows_at(now, keys), within_s=STATEMENT_S))


def _versions(session: Lasting, now: Layout, asked: Question) -> Answered:
    found = []
    for key in asked["keys"]:
        read = session.ask(chunks.version(now, _key(key) or ()), within_s=STATEMENT_S)
        found.append([[c.name, told(read[0][f"c{n}"])] for n, c in enumerate(now.columns)] if read else None)
    return {"versions": found}


_TABLE = {
    "chunk": _chunk, "sums": _sums, "middle": _middle, "rows": _rows, "rows_at": _rows_at, "versions": _versions
}  # fmt: skip


def _bound(session: Lasting, now: Layout, where: Range, rows: int) -> Key | None:
    if not 1 <= rows <= chunks.ROWS_MAX:
        raise ValueError(f"rows={rows}: expected 1 to {chunks.ROWS_MAX}")
    found = session.ask(chunks.bound(now, where, rows), within_s=STATEMENT_S)
    return chunks.key_of(now, found[0].__getitem__) if found else None


def _listed(now: Layout, read: tuple[Row, ...]) -> Answered:
    return {"rows": [[*chunks.key_of(now, row.__getitem__), row["h"]] for row in read]}


def _key(given: Any) -> Key | None:
    return None if given is None else tuple(str(part) for part in given)


def _running(session: Lasting, asked: Question) -> int:
    """How many threads run here, if these are too many to be asked anything now."""
    if "threads_max" not in asked:
        return 0
    (row,) = session.ask(THREADS_RUNNING, within_s=STATEMENT_S)
    return int(row["Value"]) if int(row["Value"]) > asked["threads_max"] else 0


def _warning(session: Lasting) -> str:
    """Of the last statement: a value that was cut would be compared by what is left of it."""
    (count,) = session.ask("SHOW COUNT(*) WARNINGS", within_s=STATEMENT_S)
    if not int(next(iter(count.values()))):
        return ""
    first = session.ask("SHOW WARNINGS LIMIT 1", within_s=STATEMENT_S)
    return first[0]["Message"] if first else "unknown"


def _state(session: Lasting) -> Answered:
    (row,) = session.ask(_STATE, within_s=STATEMENT_S)
    return dict(row)
