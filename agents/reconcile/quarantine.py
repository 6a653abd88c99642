"""What a person has to decide: both versions of each row, on disk and as replicated rows, before a number is used."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.binlog.archive import make_folder, write_synced
from agents.binlog.images import Image
from agents.binlog.rewind import Lasting
from agents.binlog.values import Value
from agents.reconcile.judging import Footprint, Ruling
from orchestrator.core.conflicts import Conflict
from orchestrator.core.errors import StepFailed

STATEMENT_S = 10.0
SUMMARY_CHARACTERS, SUMMARY_ROWS = 64, 200  # of a value, and in all, in the replicated summary; the file has all of it
_OPEN = (
    "INSERT INTO kembar.quarantine (reconcile_id, gtid, state, summary) VALUES (%s, %s, 'open', %s)"
    " ON DUPLICATE KEY UPDATE summary = VALUES(summary)"
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One errant transaction that was not merged: why, and its rows as far as they are known."""

    gtid: str
    why: str  # a Conflict
    detail: str
    rulings: Sequence[Ruling]
    present: Sequence[dict[str, str | None] | None]  # the rows on the primary at that moment, beside the rulings

    @classmethod
    def unseen(cls, gtid: str, why: Conflict, detail: str, found: Footprint) -> Entry:
        """Of rows that cannot be looked for on the primary."""
        rulings = [Ruling(touched, why) for touched in found.ordered()]
        return cls(gtid, why, detail, rulings, [None] * len(rulings))

    def plain(self) -> dict[str, Any]:
        """As JSON: for each key the row that the change expected, the one it left, and the one of the primary."""
        rows = [
            {
                "table": str(ruling.touched.table),
                "operation": ruling.touched.operation,
                "conflict": ruling.conflict,
                "key": ruling.touched.condition,
                "base": _shown(ruling.touched.base),
                "left": _shown(ruling.touched.left),
                "primary": present,
            }
            for ruling, present in zip(self.rulings, self.present, strict=True)
        ]
        return {"gtid": self.gtid, "why": self.why, "detail": self.detail, "rows": rows}


def keep(session: Lasting, folder: Path, reconcile_id: int, entry: Entry) -> None:
    """File first, synced; then the row, in an ordinary transaction, so that it survives the next failover.

    Repeatable. Raises StepFailed, DatabaseUnavailable, StatementRefused.
    """
    whole = entry.plain()
    try:
        make_folder(folder)
        write_synced(folder / f"{entry.gtid.replace(':', '_')}.json", json.dumps(whole, indent=1).encode())
    except OSError as error:
        raise StepFailed(f"{folder}: the quarantined transaction {entry.gtid} cannot be kept: {error}") from error
    told = {**cut({**whole, "rows": whole["rows"][:SUMMARY_ROWS]}), "row_count": len(whole["rows"])}
    summary = json.dumps({**told, "evidence": folder.parent.name})  # where its binary log is, on both hosts
    session.ask(_OPEN, (reconcile_id, entry.gtid, summary), within_s=STATEMENT_S)


def _shown(image: Image | None) -> dict[str, str | None] | None:
    if image is None:
        return None
    return {name: _text(value) for name, value in image.shown().items()}


def _text(value: Value) -> str | None:
    return f"0x{value.hex()}" if isinstance(value, bytes) else value


def cut(value: Any) -> Any:
    """As it fits into the summary: long texts in it end early."""
    if isinstance(value, dict):
        return {key: cut(one) for key, one in value.items()}
    if isinstance(value, list):
        return [cut(one) for one in value]
    if isinstance(value, str) and len(value) > SUMMARY_CHARACTERS:
        return value[:SUMMARY_CHARACTERS] + "..."
    return value
