"""What the old primary alone told its clients: each value is on the new one, or kept for a person. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator


def check(told: Collection[str], stored: Collection[str], entries: str, evidence: Collection[str]) -> Iterator[str]:
    """Violations. `stored`: values in rows; `entries`: text of the quarantine; `evidence`: values on both hosts' disks.

    Evidence counts only beside an entry: of what has no row images an entry names the transaction alone.
    """
    for value in sorted(set(told) - set(stored)):
        if f'"{value}"' in entries or (entries and value in evidence):
            continue
        yield f"lost: {value!r} was acknowledged, and is neither merged nor kept"
