"""The second half of the demo: acknowledged writes that one server alone has, and what its return makes of them."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from lab import faults, namespaces, returns
from lab.comparison import differences
from lab.diverging import asking, await_alone, come_back, cut_replication, force, roles, writing
from lab.recordlog import RecordLog
from lab.stand import Stand, wait_for
from lab.teller import BOLD, CYAN, GREEN, RED, Teller
from lab.watching import RETURNING, watch
from orchestrator.core.errors import StepFailed

RETURNED_S = 180.0
BEFORE, BEHIND, AHEAD = 100, 150, 70
TABLE = "CREATE TABLE IF NOT EXISTS account (id INT PRIMARY KEY, balance INT NOT NULL)"
PUT = "REPLACE INTO account VALUES (%s, %s)"
SET = "UPDATE account SET balance = %s WHERE id = %s"


class LeftBehind:
    """One telling, on a pair that is certified; leaves it certified."""

    def __init__(self, stand: Stand, teller: Teller, kembar: str) -> None:
        self._stand, self._teller, self._kembar = stand, teller, kembar
        self._old, self._new = roles(stand)

    def tell(self) -> bool:
        """Whether everything went as it should. Raises KembarError."""
        log = watch(self._stand, RETURNING)
        began = time.monotonic()
        self._write_alone()
        self._lose_and_force()
        self._teller.step(f"{self._old.name} comes back, with transactions that {self._new.name} never saw")
        come_back(self._stand, self._old)
        return self._await_return(log, began) and self._report(returns.last_return(log.records(), began)[-1])

    def _write_alone(self) -> None:
        tell, old, new = self._teller, self._old.name, self._new.name
        with writing(self._stand) as cursor:
            cursor.execute(TABLE)
            cursor.executemany(PUT, [(1, BEFORE), (2, BEFORE)])
        self._stand.wait_healthy()
        tell.step(f"Now what nobody hopes for: writes that only one server has. {old} is the primary.")
        cut_replication(self._stand)
        await_alone(self._stand)
        tell.more(f"{new} no longer hears it. {old} goes on alone, which is recorded first: mode ASYNC.")
        with writing(self._stand) as cursor:
            cursor.executemany(SET, [(BEHIND, 1), (BEHIND, 2)])
        tell.more(f"A client is told that two deposits are committed, accounts 1 and 2: {BEFORE} -> {BEHIND}")

    def _lose_and_force(self) -> None:
        tell, old, new = self._teller, self._old.name, self._new.name
        tell.step(f"kill -9: mysqld and agent of {old} are gone, and the two deposits with them", RED)
        faults.end_database(self._stand, self._old)
        namespaces.unblock_all(self._stand.name)
        tell.more(f"{new} is not promoted by itself, as it is not proven to hold everything. A person decides:")
        tell.more(tell.painted(f"  {self._kembar} failover --to {new} --accept-data-loss --reason '...'", CYAN))
        force(self._stand, self._new)
        with writing(self._stand) as cursor:
            cursor.execute(SET, (AHEAD, 2))
        tell.step(f"{new} serves, without the deposits. There a client changes account 2: {BEFORE} -> {AHEAD}", GREEN)

    def _await_return(self, log: RecordLog, began: float) -> bool:
        """The live line shows the stage."""

        def over() -> bool:
            found = returns.last_return(log.records(), began)
            if not found:
                return False
            self._teller.live(f"{found[-1]['rung']}: {found[-1]['stage']}")
            stage = found[-1]["stage"]
            return stage == returns.STOPPED or (stage == returns.CLOSED and self._stand.healthy())

        try:
            wait_for(over, RETURNED_S, "")
        except StepFailed:
            why = (self._stand.snapshot() or {}).get("waiting", "no orchestrator answers")
            self._teller.step(f"{self._old.name} is not a standby again after {RETURNED_S:g} s: {why}", RED)
            return False
        return True

    def _report(self, record: Mapping[str, Any]) -> bool:
        tell, old, new = self._teller, self._old.name, self._new.name
        if record["stage"] == returns.STOPPED:
            tell.step(f"the return of {old} was refused: {record['stopped']}", RED)
            return False
        tell.step(f"{old} is a standby again, certified: it could take over now", GREEN)
        counts = record["verdicts"]
        kept, merged = counts.get("quarantined", 0), counts.get("merged", 0)
        tell.more(
            f"Return {record['id']}, by {record['rung']}: its rows were changed back, the rest was fetched.", BOLD
        )
        tell.more(f"Of {record['transactions']} transactions that only {old} had, heartbeats of its agent included,")
        tell.more(f"{merged} merged into {new} and {kept} kept for a person:")
        with asking(self._stand, self._new) as cursor:
            cursor.execute("SELECT balance FROM shop.account WHERE id = 1")
            (balance,) = cursor.fetchone() or (None,)
            cursor.execute("SELECT summary FROM kembar.quarantine WHERE reconcile_id = %s", (record["id"],))
            summaries = [json.loads(summary) for (summary,) in cursor.fetchall()]
        rows = [row for summary in summaries for row in summary["rows"]]
        tell.more(f"  account 1  {balance}: nobody else had changed it, so the deposit is on both servers now")
        for row in rows:
            versions = ", ".join(f"{who} {_balance(row[what])}" for who, what in self._versions())
            tell.more(f"  account 2  {versions}: both changed it, so a person decides ({row['conflict']})")
        different = differences(self._stand)
        tell.more(f"Compared row by row: {', '.join(different) or 'both servers hold the same'}.")
        tell.more(f"More of it, and what a person may choose: {self._shown(record)}")
        return not different and balance == BEHIND and len(rows) == kept == merged == 1

    def _shown(self, record: Mapping[str, Any]) -> str:
        return self._teller.painted(f"{self._kembar} reconcile show {record['id']}", CYAN)

    def _versions(self) -> tuple[tuple[str, str], ...]:
        return ("before", "base"), (f"{self._old.name} left", "left"), (f"{self._new.name} has", "primary")


def _balance(row: Mapping[str, Any] | None) -> str:
    return str(row["balance"]) if row else "no row"
