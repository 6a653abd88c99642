"""What an agent keeps of returns on its host's disk, which outlives agent, mysqld and power."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

from agents.reconcile.returner import RESET
from orchestrator.core.gtid import GtidSet
from orchestrator.core.reconcile import Reconcile
from orchestrator.core.returning import Returning
from tests.sim import strands
from tests.sim.mysqld import Txn


@dataclass(frozen=True)
class Archive:
    """Copies of binary logs: what they hold, and all that was executed when they were made."""

    held: GtidSet
    txns: tuple[Txn, ...]

    @property
    def sums(self) -> str:
        return f"{zlib.crc32(repr(self.txns).encode()):08x}"


@dataclass
class Kept:
    """`own` and `theirs` by the names of their folders; `entries` are the files of what a person has to decide."""

    note: Returning = field(default_factory=Returning)
    own: dict[str, Archive] = field(default_factory=dict)
    theirs: dict[str, Archive] = field(default_factory=dict)
    resets: dict[str, dict[str, str]] = field(default_factory=dict)
    entries: dict[tuple[str, int], int] = field(default_factory=dict)

    def read(self) -> Returning:
        return self.note

    def write(self, facts: Returning) -> None:
        strands.this_strand().boundary(strands.CHANGES)
        self.note = facts


def folder_of(record: Reconcile) -> str:
    return record.evidence or f"return-{record.id}"


class SimFolder:
    """As much of a folder of evidence as the returning node's part asks for."""

    def __init__(self, kept: Kept, name: str) -> None:
        self._kept, self._name = kept, name

    def sums(self) -> str:
        return self._kept.own[self._name].sums if self._name in self._kept.own else ""

    def noted(self, name: str) -> dict[str, str] | None:
        return self._kept.resets.get(self._name) if name == RESET else None

    def note(self, name: str, value: dict[str, str]) -> None:
        strands.this_strand().boundary(strands.CHANGES)
        self._kept.resets[self._name] = value
