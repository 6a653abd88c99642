"""What waits for a person: errant transactions that were not merged, and what was said about them. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

Version = Mapping[str, str | None] | None  # column -> text or NULL; None: there is no such row
Edits = Mapping[str, Mapping[str, str | None]]  # number of the row, from 1 -> column -> the value that it is to have


@dataclass(frozen=True, slots=True)
class KeptRow:
    """One row of a kept transaction: as the change expected it, as it left it, and as the primary has it."""

    table: str
    operation: str
    conflict: str
    key: str  # the SQL that finds it
    base: Version = None
    left: Version = None
    present: Version = None


@dataclass(frozen=True, slots=True)
class KeptTransaction:
    """One that nobody has settled yet. Long values, and rows beyond the first, are cut; `row_count` tells of all."""

    id: int  # of the return
    gtid: str
    why: str
    detail: str = ""
    seen: str = ""  # what `present` of all rows amounts to; empty if they cannot be compared
    after: tuple[str, ...] = ()  # open ones of the same rows that were earlier: they come first
    bar: str = ""  # why it cannot be applied, so that a person does by hand what is needed, and discards it
    row_count: int = 0
    rows: tuple[KeptRow, ...] = field(default=(), hash=False)


@dataclass(frozen=True, slots=True)
class Open:
    """All that is open: the first ones, in order of return and number; `total` counts the others too."""

    total: int = 0
    transactions: tuple[KeptTransaction, ...] = ()

    def of(self, id: int) -> tuple[KeptTransaction, ...]:
        return tuple(one for one in self.transactions if one.id == id)

    def one(self, id: int, gtid: str) -> KeptTransaction | None:
        return next((one for one in self.of(id) if one.gtid == gtid), None)


class Choice(StrEnum):
    """What a person chose for one kept transaction."""

    APPLY = "apply"  # the version of the returned node, or values of the person's own
    DISCARD = "discard"  # the primary's version stays


@dataclass(frozen=True, slots=True)
class Settlement:
    """A choice that was admitted, for the primary's agent to carry out. `request` is its name everywhere."""

    request: str
    choice: Choice
    id: int
    gtid: str
    seen: str
    actor: str
    reason: str
    edits: Edits = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Settlements:
    """Every one that nobody has answered yet."""

    pending: tuple[Settlement, ...] = ()
