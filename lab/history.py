"""What one client's history and one auditor's rounds say: outages, acknowledged values, double answers. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Attempt:
    """One line of the meter; times in seconds of CLOCK_MONOTONIC."""

    outcome: str  # ok, unknown, refused
    began: float
    ended: float
    value: int
    server: str


def parse(lines: Iterable[str]) -> list[Attempt]:
    """Complete lines of the meter's history. Raises ValueError for a line that is none of its."""
    found = []
    for line in lines:
        outcome, began, ended, value, server = line.split()
        found.append(Attempt(outcome, float(began), float(ended), int(value), server))
    return found


def acknowledged(history: Sequence[Attempt]) -> list[Attempt]:
    return [attempt for attempt in history if attempt.outcome == "ok"]


def outage_s(history: Sequence[Attempt], struck: float, until: float = float("inf")) -> float:
    """The longest time without an acknowledged write that ended after `struck` and began before `until`.

    Raises ValueError if no write was acknowledged before or none after: then nothing was measured.
    """
    ends = [attempt.ended for attempt in acknowledged(history)]
    gaps = [after - before for before, after in pairwise(ends) if after > struck and before < until]
    if not gaps or ends[0] > struck:
        raise ValueError("no acknowledged write before and after the fault")
    return max(gaps)


def lost(history: Sequence[Attempt], stored: Iterable[int]) -> list[int]:
    """Acknowledged values that are not stored."""
    there = set(stored)
    return [attempt.value for attempt in acknowledged(history) if attempt.value not in there]


def duplicates(stored: Sequence[int]) -> list[int]:
    """Values that are stored more than once."""
    seen: set[int] = set()
    return [value for value in stored if value in seen or seen.add(value)]  # type: ignore[func-returns-value]


def invented(history: Sequence[Attempt], stored: Iterable[int]) -> list[int]:
    """Stored values that nobody ever tried to write."""
    tried = {attempt.value for attempt in history}
    return [value for value in stored if value not in tried]


def double_answers(rounds: Iterable[str]) -> int:
    """Rounds of the auditor in which more than one MAC answered for the VIP."""
    return sum(len(line.split()) > 2 for line in rounds)


def quantiles(values: Sequence[float], decimals: int = 1) -> dict[str, float]:
    """p50, p95, p99 and max, each a value that was measured (nearest rank)."""
    ranked = sorted(values)

    def rank(share: float) -> float:
        return round(ranked[min(len(ranked) - 1, max(0, -(-int(share * 1000) * len(ranked) // 1000) - 1))], decimals)

    return {"p50": rank(0.5), "p95": rank(0.95), "p99": rank(0.99), "max": round(ranked[-1], decimals)}
