"""One row of the fault matrix, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from lab.matrix.trial import BACK_S, Trial


class Priority(StrEnum):
    """When a row runs: with every test, nightly, before a release."""

    P0 = "P0"
    P1 = "P1"
    P2 = "P2"


class Outcome(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    NOT_RUN = "not run"


@dataclass(frozen=True, slots=True)
class Row:
    """One fault. `run` injects it under load and judges what only this row can know; the runner judges the rest:
    nothing lost, nothing twice, one answerer, one line of history, a healthy pair afterwards.
    """

    number: int  # of the fault; its variants are rows that share it
    name: str  # its own, among all rows
    priority: Priority
    injected: str
    expected: str
    run: Callable[[Trial], None]
    injects: str = ""  # the violation that is the fault itself, as its checker begins to word it
    back_s: float = BACK_S  # until the pair is healthy after the fault is undone


@dataclass(frozen=True, slots=True)
class NotRun:
    """A row that this lab or this version cannot do, with the reason. Never counted as passed."""

    number: int
    name: str
    priority: Priority
    expected: str
    reason: str


@dataclass(slots=True)
class Scenario:
    """What came of one row."""

    number: int
    name: str
    priority: Priority
    outcome: Outcome
    injected: str = ""
    expected: str = ""
    seen: str = ""
    outage_ms: float | None = None
    acknowledged: int = 0
    lost: int = 0
    duplicates: int = 0
    two_answerers: int = 0
    took_s: float = 0.0
    violations: list[str] = field(default_factory=list)

    def shown(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        names = self.__dataclass_fields__
        return {name: str(value) if isinstance(value := getattr(self, name), StrEnum) else value for name in names}
