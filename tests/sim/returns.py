"""What must hold of returns: no number twice, nobody half-rewound with power, nothing errant that disappears unseen."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

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
        self.lost: set[int] = set()  # values that a person gave up with a data directory
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

    def merges(self, node: Node) -> None:
        desired = self._checker.desired
        if desired is None or desired.primary != node.name or not node.kernel.is_open:
            self._checker.fail(f"{node.name} merges without the power to")

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
        """Whose number an empty transaction has used up was in conflict, unwanted, or is kept."""
        entries = set(primary.kept.entries) | set(primary.peer.kept.entries)
        for txn in primary.server.disk.binlog:
            first = self.first[txn.uuid, txn.number]
            if txn.value != NOTHING or first.value == NOTHING or (txn.uuid, txn.number) in entries:
                continue
            if (
                first.value >= 0
                and first.value in self._checker.world.meter.ok
                and first.value in self._checker.forgiven
            ):
                evidence = _both(primary.kept.theirs, primary.peer.kept.own)
                if first.value not in evidence | _both(primary.peer.kept.theirs, primary.kept.own) | self.lost:
                    self._checker.fail(f"{first} was used up without an entry")


def _both(copies: dict[str, Archive], own: dict[str, Archive]) -> set[int]:
    """Values of which both hosts have evidence."""
    same = (name for name in copies if name in own and copies[name].sums == own[name].sums)
    return {txn.value for name in same for txn in copies[name].txns}
