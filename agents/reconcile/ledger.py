"""The rows of `kembar.quarantine`: what was kept, how it is shown, and what became of it. Replicated, so that whoever
is primary knows it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from agents.binlog.rewind import Lasting
from agents.reconcile.kept import View
from agents.reconcile.quarantine import SUMMARY_ROWS, cut
from orchestrator.core.kept import Choice, KeptRow, KeptTransaction, Open, Settlement
from orchestrator.core.wire import encode

STATEMENT_S = 10.0
OPEN, STATES = "open", {Choice.APPLY: "applied", Choice.DISCARD: "discarded"}
SHOWN_MAX = 200  # transactions in the record of what is open
SHOWN_BYTES, EACH_BYTES = 192 << 10, 24 << 10  # of that record, and of one transaction with several rows in it
SHORTER = (16, 4)  # characters of a value in a row that would fill the record alone
_ORDER = "reconcile_id, SUBSTRING_INDEX(gtid, ':', 1), SUBSTRING_INDEX(gtid, ':', -1) + 0"
_FIRST = (
    f"SELECT reconcile_id, gtid, state, summary FROM kembar.quarantine WHERE state = 'open' ORDER BY {_ORDER} LIMIT %s"  # noqa: S608
)
_COUNT = "SELECT COUNT(*) AS open FROM kembar.quarantine WHERE state = 'open'"
_ONE = "SELECT reconcile_id, gtid, state, summary FROM kembar.quarantine WHERE reconcile_id = %s AND gtid = %s"
_OF_RETURN = f"SELECT gtid, state FROM kembar.quarantine WHERE reconcile_id = %s ORDER BY {_ORDER}"  # noqa: S608
_SHOW = "UPDATE kembar.quarantine SET summary = %s WHERE reconcile_id = %s AND gtid = %s AND state = 'open'"
_SETTLE = (
    "UPDATE kembar.quarantine SET state = %s, summary = JSON_SET(summary, '$.decision', CAST(%s AS JSON), "
    "'$.decision.at', DATE_FORMAT(UTC_TIMESTAMP(3), '%%Y-%%m-%%dT%%H:%%i:%%s.%%fZ'))"
    " WHERE reconcile_id = %s AND gtid = %s AND state = 'open'"
)


@dataclass(frozen=True, slots=True)
class Kept:
    """One row."""

    id: int
    gtid: str
    state: str
    summary: Mapping[str, Any]

    @property
    def viewed(self) -> bool:
        """Whether the primary's rows have been looked at for a person."""
        return "seen" in self.summary

    @property
    def evidence(self) -> str:
        return str(self.summary.get("evidence", ""))

    @property
    def bar(self) -> str:
        return str(self.summary.get("bar", ""))

    def barred(self, why: str) -> Kept:
        """As it is shown while nobody can tell what its rows are."""
        return replace(self, summary={**self.summary, "bar": why, "seen": self.summary.get("seen", "")})

    @property
    def decision(self) -> Mapping[str, str]:
        """{request, choice, actor, reason, at}; empty while it is open."""
        found: Mapping[str, str] = self.summary.get("decision", {})
        return found

    @property
    def ended(self) -> str:
        """What became of it, by whom."""
        made = self.decision
        by = f" by {made['actor']} at {made['at']}: {made['reason']}" if made else ""
        return f"it was {self.state}{by}"


def first(session: Lasting) -> list[Kept]:
    """The open ones that are shown, in their order. Raises DatabaseUnavailable, StatementRefused."""
    return [_kept(row) for row in session.ask(_FIRST, (SHOWN_MAX,), within_s=STATEMENT_S)]


def one(session: Lasting, id: int, gtid: str, *, locked: bool = False) -> Kept | None:
    """None if nothing was kept of it. `locked`: until the transaction ends. Raises as `first`."""
    rows = session.ask(_ONE + (" FOR UPDATE" if locked else ""), (id, gtid), within_s=STATEMENT_S)
    return _kept(rows[0]) if rows else None


def states(session: Lasting, id: int) -> dict[str, str]:
    """Of everything that was kept of one return: number -> state."""
    return {row["gtid"]: row["state"] for row in session.ask(_OF_RETURN, (id,), within_s=STATEMENT_S)}


def show(session: Lasting, kept: Kept, view: View) -> Kept:
    """Note how it is shown from now on. An ordinary transaction."""
    rows = [dict(row) for row in kept.summary.get("rows", [])]
    for row, present in zip(rows, view.present[:SUMMARY_ROWS], strict=False):  # both end where the summary does
        row["primary"] = cut(present)
    summary = {**kept.summary, "rows": rows, "seen": view.seen, "after": list(view.after), "bar": view.bar}
    session.ask(_SHOW, (json.dumps(summary), kept.id, kept.gtid), within_s=STATEMENT_S)
    return replace(kept, summary=summary)


def settle(session: Lasting, made: Settlement) -> None:
    """Note what became of it, in the transaction that does it."""
    decision = {"request": made.request, "choice": made.choice, "actor": made.actor, "reason": made.reason}
    if made.edits:
        decision["choice"] = "edit"
    arguments = (STATES[made.choice], json.dumps(decision), made.id, made.gtid)
    session.ask(_SETTLE, arguments, within_s=STATEMENT_S)


def shown(session: Lasting, kept: list[Kept]) -> Open:
    """The record of what is open, as far as it has room."""
    (count,) = session.ask(_COUNT, within_s=STATEMENT_S)
    still = {(one.id, one.gtid) for one in kept}
    made, left = [], SHOWN_BYTES
    for one in kept:
        transaction = _fitting(_transaction(one, still))
        left -= len(encode(transaction))
        if left < 0:
            break
        made.append(transaction)
    return Open(int(count["open"]), tuple(made))


def _kept(row: Mapping[str, str]) -> Kept:
    return Kept(int(row["reconcile_id"]), row["gtid"], row["state"], json.loads(row["summary"]))


def _transaction(one: Kept, still: set[tuple[int, str]]) -> KeptTransaction:
    summary = one.summary
    rows = summary.get("rows", [])
    return KeptTransaction(
        id=one.id,
        gtid=one.gtid,
        why=summary.get("why", ""),
        detail=summary.get("detail", ""),
        seen=summary.get("seen", ""),
        after=tuple(gtid for gtid in summary.get("after", ()) if (one.id, gtid) in still),
        bar=summary.get("bar", ""),
        row_count=summary.get("row_count", len(rows)),
        rows=tuple(_row(row) for row in rows),
    )


def _row(row: Mapping[str, Any]) -> KeptRow:
    return KeptRow(
        table=row["table"],
        operation=row["operation"],
        conflict=row["conflict"] or "",
        key=row["key"],
        base=row["base"],
        left=row["left"],
        present=row["primary"],
    )


def _fitting(transaction: KeptTransaction) -> KeptTransaction:
    """With as many of its rows as one transaction has room for: none may keep itself, and what follows, from sight."""
    while len(transaction.rows) > 1 and len(encode(transaction)) > EACH_BYTES:
        transaction = replace(transaction, rows=transaction.rows[: len(transaction.rows) // 2])
    for characters in SHORTER:
        if len(encode(transaction)) > SHOWN_BYTES:
            transaction = replace(transaction, rows=tuple(_shorter(row, characters) for row in transaction.rows))
    return transaction if len(encode(transaction)) <= SHOWN_BYTES else replace(transaction, rows=())


def _shorter(row: KeptRow, characters: int) -> KeptRow:
    versions = [cut(version, characters) for version in (row.base, row.left, row.present)]
    return replace(row, base=versions[0], left=versions[1], present=versions[2])
