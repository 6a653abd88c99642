"""What differs, as people see it: both versions, cut to what fits into a report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestrator.core.verifying import Difference

SHOWN_MAX, COLUMNS_MAX = 64, 5
ABSENT = "absent"


def of_row(table: str, key: Sequence[str], theirs: Sequence[Any] | None, ours: Sequence[Any] | None) -> Difference:
    """Its key, and the columns that differ.

    A side is the name of each column with its value as text, the same columns in the same order on both; None is a row
    that is not there.
    """
    values = dict(theirs or ours or ())
    shown = ", ".join(f"{name}={cut(values.get(name))}" for name in key)
    if theirs is None or ours is None:
        return Difference("row", table, shown, _columns(theirs), _columns(ours))
    pairs = [(one, other) for one, other in zip(theirs, ours, strict=True) if one != other]
    if not pairs:
        return Difference("row", table, shown, *["a value that is shown alike and is another"] * 2)
    return Difference("row", table, shown, *(_columns(side) for side in zip(*pairs, strict=True)))


def digest(one: str | None) -> str:
    """What is too long to be shown."""
    return f"digest {one[:12]}" if one else ABSENT


def cut(value: str | None) -> str:
    """At SHOWN_MAX characters; NULL for None."""
    if value is None:
        return "NULL"
    return value if len(value) <= SHOWN_MAX else f"{value[:SHOWN_MAX]}..."


def _columns(columns: Sequence[Any] | None) -> str:
    if columns is None:
        return ABSENT
    left = f", {len(columns) - COLUMNS_MAX} more" if len(columns) > COLUMNS_MAX else ""
    return ", ".join(f"{name}={cut(value)}" for name, value in columns[:COLUMNS_MAX]) + left
