"""What must hold of returns: no number twice, nobody half-rewound with power, nothing errant that disappears unseen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from orchestrator.core.errors import InvariantBroken
from orchestrator.core.gtid import GtidSet
from orchestrator.core.invariants import check_return
from orchestrator.core.reconcile import Reconcile
from orchestrator.core.returning import Rung, Stage
from tests.sim.kept import Archive
from tests.sim.mysqld import NOTHING, Server, Txn, values

if TYPE_CHECKING:
    from tests.sim.checkers import Checker
    from tests.sim.node import Node

Key = tuple[str, int]


class Returns:
    """Told of each transaction that is logged, of each step of a repair, and by the checker of who gets power."""

    def __init__(self, checker: Checker) -> None:
        self._checker = checker
        self.first: dict[Key, Txn] = {}  # the first transaction that had this number
        self.record: Reconcile | None = None
        self.never: Rung | None = None  # for stories
        self.lost: set[int] = set()  # values that a person gave up with a data directory
        self.kept: set[Key] = set()  # what was found to be in conflict, and must not be used up without an entry
        self.steps: list[tuple[str, str]] = []  # node, name
        self.when_step: dict[int, Callable[[Node], None]] = {}  # for stories: at the n-th of them
        self.when_named: dict[str, Callable[[Node], None]] = {}

    def logged(self, server: Server, txn: Txn) -> None:
        """An empty transaction may use a number up, or its own come in the place of an empty one; nothing else."""
        if server.disk.emptied:
            return  # by hand, between the reset and the GTIDs: an administrator's write that nothing can hold back
        known = self.first.setdefault((txn.uuid, txn.number), txn)
        if known.value != txn.value and NOTHING not in (known.value, txn.value):
            self._checker.fail(f"{server.node} gives {txn.uuid}:{txn.number} to {txn.value}, which {known.value} had")

    def written(self, record: Reconcile | None, *, going_back: bool) -> None:
        """I16, of what is there, whoever wrote it with what in his hands."""
        old, self.record = self.record, record
        if going_back or record is None:
            return
        if record.rung is self.never:
            self._checker.fail(f"{record.node} returns by {record.rung}, and need not")
        if old is not None and _again(old, record):
            self._checker.fail(f"{record.node} returns under the number {record.id} once more, which is over")
        try:
            check_return(old, record)
        except InvariantBroken as error:
            self._checker.fail(str(error))

    def step(self, node: Node, name: str) -> None:
        self.steps.append((node.name, name))
        for told in (self.when_step.pop(len(self.steps), None), self.when_named.pop(name, None)):
            if told is not None:
                told(node)

    def whole(self, node: Node, what: str) -> None:
        """I15, by what is on its disk."""
        if node.server.half_rewound:
            self._checker.fail(f"I15: {node.name} {what} half-rewound: {sorted(node.server.disk.undone)[:3]}")

    def certified(self, node: Node) -> None:
        self.whole(node, "is certified")
        note = node.kept.note
        if note.owed and note.server == node.server.uuid and not self._served_since(node):
            self._checker.fail(f"{node.name} is certified while its return {note.id} is open")

    def _served_since(self, node: Node) -> bool:
        opened = node.memory.opened()
        return opened is not None and opened[0] > node.kept.note.epoch

    def merges(self, node: Node, begun: float) -> None:
        """The gate may shut between a look at it and the commit, which semi-sync or read only then holds back."""
        if not node.kernel.was_open(begun):
            self._checker.fail(f"{node.name} merges without the power to")

    def undoes(self, node: Node, name: str, record: Reconcile, txns: Sequence[Txn]) -> None:
        """Evidence before change, and on both hosts; and nothing goes that the primary is not told to take in."""
        own, copy = node.kept.own.get(name), node.peer.kept.theirs.get(name)
        if own is None or copy is None or own.sums != copy.sums:
            self._checker.fail(f"{node.name} changes rows back, and {node.peer.name} has no copy of the evidence")
        theirs = node.peer.server
        there = {(commit.txn.uuid, commit.txn.number) for commit in theirs.pipeline}
        for uuid, number in ((txn.uuid, txn.number) for txn in txns):
            known = theirs.disk.executed.has(uuid, number) or (uuid, number) in there
            if not known and GtidSet.parse(f"{uuid}:{number}") - GtidSet.parse(record.errant):
                self._checker.fail(f"{node.name} changes {uuid}:{number} back, unknown to its return {record.id}")

    def given_up(self, node: Node) -> None:
        """A person replaces its data directory."""
        self.lost |= {txn.value for txn in node.server.content_to_be()}

    def final(self, primary: Node) -> None:
        """What a client was told and loss was accepted of is there again, or kept: by an entry, or on both hosts."""
        kept, others = primary.kept, primary.peer.kept
        there = values(primary.server) | set(kept.entries.values()) | set(others.entries.values()) | self.lost
        there |= _both(kept.theirs, others.own) | _both(others.theirs, kept.own)
        gone = (self._checker.forgiven & set(self._checker.world.meter.ok)) - there
        if gone:
            self._checker.fail(f"acknowledged values {sorted(gone)[:5]} have disappeared, and nobody has evidence")
        self._used_up(primary)

    def _used_up(self, primary: Node) -> None:
        """Whatever was in conflict has an entry where its number was used up."""
        entries = set(primary.kept.entries) | set(primary.peer.kept.entries)
        empty = {(txn.uuid, txn.number) for txn in primary.server.disk.binlog if txn.value == NOTHING}
        if unseen := (self.kept & empty) - entries:
            self._checker.fail(f"{sorted(unseen)[:3]} were in conflict, and were used up without an entry")


def _again(old: Reconcile, new: Reconcile) -> bool:
    """A number that is over begins anew; what goes on because its record was lost has evidence already."""
    same = (old.id, old.attempt) == (new.id, new.attempt)
    return same and not old.open and new.stage is Stage.DETECT


def _both(copies: dict[str, Archive], own: dict[str, Archive]) -> set[int]:
    """Values of which both hosts have evidence."""
    same = (name for name in copies if name in own and copies[name].sums == own[name].sums)
    return {txn.value for name in same for txn in copies[name].txns}
