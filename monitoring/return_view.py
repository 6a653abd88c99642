"""Returns of old primaries in words: where one is, what waits for a person, and with which command. From a snapshot."""

from __future__ import annotations

from collections import Counter
from typing import Any

from orchestrator.core.kept import KeptTransaction
from orchestrator.core.reconcile import Reconcile, waits_for_approval
from orchestrator.core.returning import Stage
from orchestrator.core.runbooks import of_alert, of_return, of_returns, path_of
from orchestrator.core.snapshot import Snapshot
from orchestrator.core.wire import plain

ROWS_SHOWN = 3  # of one transaction, unless all are asked for
TOLD = {
    True: "these writes may have been acknowledged to clients",
    False: "never acknowledged to any client: whoever wrote them saw a lost connection",
}


def returns_view(s: Snapshot) -> dict[str, Any]:
    """What page and status show: the return that is under way, and everything that waits for a person."""
    record = s.returning
    under_way = record is not None and record.open
    return {
        "present": return_view(s, record) if record is not None and under_way else None,
        "open": s.kept.total,
        "transactions": [transaction_view(one) for one in s.kept.transactions],
        "waits": persons_turn(s),
    }


def return_view(s: Snapshot, record: Reconcile) -> dict[str, Any]:
    """One return, without its transactions."""
    kept = s.kept.of(record.id)
    return {
        "id": record.id,
        "node": record.node,
        "epoch": record.epoch,
        "open": record.open,
        "rung": str(record.rung),
        "stage": str(record.stage),
        "merge": str(record.merge),
        "acknowledged": record.acknowledged,
        "why_errant": TOLD[record.acknowledged],
        "errant": record.errant,
        "transactions": record.transactions,
        "rows": record.rows,
        "log_mib": record.log_mib,
        "reasons": list(record.reasons),
        "stopped": record.stopped,
        "waits": record.waits,
        "waits_for_approval": waits_for_approval(record, s.policy.reconcile),
        "verdicts": dict(record.verdicts),
        "sums": record.sums,
        "undecided": len(kept),
        "runbooks": _runbooks(record),
        "stages": _stages(record),
        "settled": [plain(one) for one in record.settled],
        "next": _next(s, record, kept),
    }


def transaction_view(one: KeptTransaction, *, whole: bool = False) -> dict[str, Any]:
    """One kept transaction with the versions of its rows, and the commands that settle it."""
    rows = [plain(row) | {"number": n} for n, row in enumerate(one.rows, 1)]
    settle = f"{one.id} --gtid {one.gtid} --reason TEXT"
    commands = [f"kembar reconcile discard {settle}", *([] if one.bar else [f"kembar reconcile apply {settle}"])]
    return {
        **{name: value for name, value in plain(one).items() if name != "rows"},
        "rows": rows if whole else rows[:ROWS_SHOWN],
        "commands": [] if one.after else commands,
    }


def persons_turn(s: Snapshot) -> list[dict[str, str]]:
    """One line for each thing that only a person can end, with the command."""
    found, record, decide = [], s.returning, of_alert("decision_needed")
    if record is not None and record.open and record.stage is Stage.STOPPED:
        text = f"reconcile #{record.id}: the return of {record.node} stopped: {record.stopped}"
        found.append(_turn(text, f"kembar rejoin {record.node} --reason TEXT", of_return(record.stopped)))
    if record is not None and waits_for_approval(record, s.policy.reconcile):
        why = record.waits or f"it goes no further than {record.stage}"
        text = f"reconcile #{record.id}: {_count(record.transactions)} of {record.node}, not merged yet: {why}"
        found.append(_turn(text, f"kembar reconcile apply {record.id} --reason TEXT", of_alert("approval_waiting")))
    counts = Counter(one.id for one in s.kept.transactions)
    for id, count in sorted(counts.items()):
        text = f"reconcile #{id}: {_count(count)} kept, each with two versions"
        found.append(_turn(text, f"kembar reconcile show {id}", decide))
    if s.kept.total > len(s.kept.transactions):
        more = s.kept.total - len(s.kept.transactions)
        found.append(_turn(f"{_count(more)} more, shown once these are decided", "", decide))
    return found


def _turn(text: str, command: str, runbook: str) -> dict[str, str]:
    return {"text": text, "command": command, "runbook": path_of(runbook)}


def _next(s: Snapshot, record: Reconcile, kept: tuple[KeptTransaction, ...]) -> str:
    """The exact next command; empty if nothing is left to decide."""
    if record.open and record.stage is Stage.STOPPED:
        return f"kembar rejoin {record.node} --reason TEXT"
    if waits_for_approval(record, s.policy.reconcile):
        return f"kembar reconcile apply {record.id} --reason TEXT"
    first = next((one for one in kept if not one.after), None)
    return transaction_view(first)["commands"][0] if first else ""


def _runbooks(record: Reconcile) -> list[str]:
    """Of why it stopped, if it did, and of why it took no cheaper rung."""
    stopped = [record.stopped] if record.stage is Stage.STOPPED else []
    return [path_of(one) for one in of_returns((*stopped, *record.reasons))]


def _stages(record: Reconcile) -> list[dict[str, Any]]:
    """In their order: since when (ZooKeeper's time), and how long; the last has no end yet."""
    began = sorted(record.began_ms.items(), key=lambda one: one[1])
    ends = [at_ms for _, at_ms in began[1:]]
    return [
        {"stage": stage, "at_ms": at_ms, "took_s": round((ends[n] - at_ms) / 1000, 3) if n < len(ends) else None}
        for n, (stage, at_ms) in enumerate(began)
    ]


def _count(number: int) -> str:
    return f"{number} transaction{'' if number == 1 else 's'}"
