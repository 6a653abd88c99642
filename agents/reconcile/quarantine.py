"""What a person has to decide, or a policy has: both versions of each row, kept before a number is used up."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
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
SUMMARY_BYTES = 4 << 20  # far below what one statement may have
_OPEN = (
    "INSERT INTO kembar.quarantine (reconcile_id, gtid, state, summary) VALUES (%s, %s, 'open', %s)"
    " ON DUPLICATE KEY UPDATE summary = VALUES(summary)"
)


class State(StrEnum):
    """What has become of a transaction with an entry."""

    OPEN = "open"  # a person decides
    BY_POLICY = "by_policy"  # each row in conflict says which, and what was done
    DISCARDED = "discarded"  # by a policy


@dataclass(frozen=True, slots=True)
class Entry:
    """One errant transaction that was not simply merged: why, and its rows as far as they are known."""

    gtid: str
    why: str  # a Conflict
    detail: str
    rulings: Sequence[Ruling]
    present: Sequence[dict[str, str | None] | None]  # the rows on the primary at that moment, beside the rulings
    state: State = State.OPEN

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
                "policy": ruling.policy,
                "outcome": ruling.outcome,
                "key": ruling.touched.condition,
                "base": _shown(ruling.touched.base),
                "left": _shown(ruling.touched.left),
                "primary": present,
            }
            for ruling, present in zip(self.rulings, self.present, strict=True)
        ]
        return {"gtid": self.gtid, "state": self.state, "why": self.why, "detail": self.detail, "rows": rows}


def keep(session: Lasting, folder: Path, reconcile_id: int, entry: Entry) -> None:
    """File first, synced; then the row, in an ordinary transaction, so that it survives the next failover.

    Repeatable. Raises StepFailed, DatabaseUnavailable, StatementRefused.
    """
    whole = record(folder, entry)
    told = {**cut({**whole, "rows": whole["rows"][:SUMMARY_ROWS]}), "row_count": len(whole["rows"])}
    told["evidence"] = folder.parent.name  # where its binary log is, on both hosts
    while len(summary := json.dumps(told)) > SUMMARY_BYTES and len(told["rows"]) > 1:
        told["rows"] = told["rows"][: len(told["rows"]) // 2]
    session.ask(_OPEN, (reconcile_id, entry.gtid, summary), within_s=STATEMENT_S)


def record(folder: Path, entry: Entry) -> dict[str, Any]:
    """The file alone, synced; what is in it. Raises StepFailed."""
    whole = entry.plain()
    try:
        make_folder(folder)
        write_synced(_file(folder, entry.gtid), json.dumps(whole, indent=1).encode())
    except OSError as error:
        raise StepFailed(f"{folder}: the entry of {entry.gtid} cannot be kept: {error}") from error
    return whole


def recorded(folder: Path, gtid: str) -> State | None:
    """What the file of that transaction says; None if it has none. Raises StepFailed."""
    try:
        return State(json.loads(_file(folder, gtid).read_bytes()).get("state", State.OPEN))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StepFailed(f"{_file(folder, gtid)} cannot be read: {error}") from error


def forget(folder: Path, gtid: str) -> None:
    """Of a try that was not committed. Raises StepFailed."""
    try:
        _file(folder, gtid).unlink(missing_ok=True)
    except OSError as error:
        raise StepFailed(f"{_file(folder, gtid)} cannot be removed: {error}") from error


def _file(folder: Path, gtid: str) -> Path:
    return folder / f"{gtid.replace(':', '_')}.json"


def _shown(image: Image | None) -> dict[str, str | None] | None:
    if image is None:
        return None
    return {name: _text(value) for name, value in image.shown().items()}


def _text(value: Value) -> str | None:
    return f"0x{value.hex()}" if isinstance(value, bytes) else value


def cut(value: Any, characters: int = SUMMARY_CHARACTERS) -> Any:
    """As it fits into the summary: long texts in it end early."""
    if isinstance(value, dict):
        return {key: cut(one, characters) for key, one in value.items()}
    if isinstance(value, list):
        return [cut(one, characters) for one in value]
    if isinstance(value, str) and len(value) > characters:
        return value[:characters] + "..."
    return value
