"""Snapshots of a pair after a return, for the tests of view, page, API and CLI: one conflict, one that follows it."""

from __future__ import annotations

from typing import Any

from pairs import DB_B, UUID, healthy

from orchestrator.core.kept import KeptRow, KeptTransaction, Open
from orchestrator.core.reconcile import Merge, Reconcile, Settled
from orchestrator.core.returning import Rung, Stage
from orchestrator.core.snapshot import Snapshot

FIRST, SECOND, STATEMENT = (f"{UUID}:{number}" for number in (34, 37, 40))
ROW = KeptRow(
    "shop.acct",
    "update",
    "update_differs",
    "`id` = 2",
    {"id": "2", "bal": "200.00", "note": None},
    {"id": "2", "bal": "207.00", "note": ""},
    {"id": "2", "bal": "150.00", "note": None},
)
KEPT = Open(
    3,
    (
        KeptTransaction(7, FIRST, "update_differs", seen="v1", row_count=1, rows=(ROW,)),
        KeptTransaction(7, SECOND, "depends_on_quarantined", seen="v2", after=(FIRST,), row_count=5, rows=(ROW,) * 5),
        KeptTransaction(7, STATEMENT, "not_by_rows", bar="it is a statement (CREATE TABLE)"),
    ),
)
OVER = Reconcile(
    7,
    7,
    DB_B,
    Rung.REWIND,
    Stage.CLOSED,
    Merge.DONE,
    errant=f"{UUID}:33-40",
    acknowledged=True,
    reasons=("truncate: mysqld has been started since",),
    sums="5f2c",
    transactions=8,
    rows=9,
    verdicts={"merged": 5, "quarantined": 3},
    began_ms={"detect": 1795546700000, "bundle": 1795546700250, "closed": 1795546704000},
    settled=(Settled(f"{UUID}:39", "discard", "adam", "known", "done", "it is discarded", 1795546710000),),
)


def returned(record: Reconcile = OVER, **changes: Any) -> Snapshot:
    return healthy(**{"returning": record, "kept": KEPT, **changes})
