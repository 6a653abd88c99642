"""Whether the rows of an errant transaction may be changed on the primary, and what speaks against it. Pure.

A row may be changed if it is there as the errant change found it. Rows are compared as the text of `row_comparison`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field

from agents.binlog.images import Image, Operation, RowChange
from agents.binlog.rows import NO_FOREIGN_KEYS, NO_UNIQUE_KEYS
from agents.binlog.table import Table
from orchestrator.core.conflicts import HARMLESS, Conflict

SKIPPED = frozenset({"kembar.heartbeat", "kembar.reconcile_journal"})  # these are each node's own
Key = tuple[str, str]  # table, and what is the same for all spellings of one primary key
Naming = Callable[[Image], str | None]  # that name; None where equality does not find a row for certain


@dataclass(slots=True)
class Touched:
    """One key that a transaction touches: the row as it found it, and as it left it (None: absent)."""

    key: Key
    table: Table
    condition: str  # SQL
    base: Image | None
    left: Image | None
    operation: Operation  # of the first change of it
    changes: int = 1

    @property
    def place(self) -> tuple[str, str]:
        return self.table.schema, self.table.name


@dataclass(frozen=True, slots=True)
class Ruling:
    """What is to be done about one key, and why if it is not simply changed; by which policy, and what came of it."""

    touched: Touched
    conflict: Conflict | None = None
    policy: str = ""
    outcome: str = ""


@dataclass(slots=True)
class Footprint:
    """All keys that one transaction touches, and what speaks against it as a whole.

    `moves`: keys between which a row went; `unnamed`: tables of which it touches rows that no key tells, and
    `strangers` these rows; `keyless`: it inserts into tables without a key; `doubts`: with the tables they are about.
    """

    touched: dict[Key, Touched] = field(default_factory=dict)
    moves: list[tuple[Key, Key]] = field(default_factory=list)
    unnamed: set[str] = field(default_factory=set)
    strangers: list[Touched] = field(default_factory=list)
    keyless: bool = False
    doubts: dict[Conflict, dict[str, Table]] = field(default_factory=dict)

    @property
    def against(self) -> Conflict | None:
        return next(iter(self.doubts), None)

    def ordered(self) -> list[Touched]:
        """In one order for everybody who locks."""
        return [self.touched[key] for key in sorted(self.touched)]

    def _doubt(self, why: Conflict, table: Table) -> None:
        self.doubts.setdefault(why, {}).setdefault(str(table), table)

    def _take(self, change: RowChange, naming: Naming) -> None:
        if change.flags & (NO_FOREIGN_KEYS | NO_UNIQUE_KEYS):
            self._doubt(Conflict.CHECKS_WERE_OFF, change.table)
        keys = []
        for image, becomes, key in ends(change, naming):
            condition = image.condition()
            if key is None or condition is None:
                self._unnamed(change)
                continue
            keys.append(key)
            known = self.touched.get(key)
            if known is None:
                base = image if image is change.before else None
                self.touched[key] = Touched(key, change.table, condition, base, becomes, change.operation)
            else:
                known.left = becomes
                known.changes += 1
        if len(keys) == 2:
            self.moves.append((keys[0], keys[1]))

    def _unnamed(self, change: RowChange) -> None:
        table, keyless = change.table, not change.table.key
        if keyless and change.operation is Operation.INSERT:
            self.keyless = True
            return
        self.unnamed.add(str(table))
        self._doubt(Conflict.NO_PRIMARY_KEY if keyless else Conflict.KEY_NOT_COMPARABLE, table)
        self.strangers.append(Touched((str(table), ""), table, "", change.before, change.after, change.operation))


def footprint(changes: Iterable[RowChange], naming: Naming = Image.condition) -> Footprint:
    """Fold the changes of a transaction by key: the first image before, the last after. Raises Unreadable."""
    found = Footprint()
    for change in changes:
        found._take(change, naming)
    return found


def rule(touched: Touched, present: bytes | None, generated: Collection[str]) -> Ruling:
    """`present`: the row's text on the primary, locked; None if there is no such row. Raises Unreadable."""
    base = _text(touched.base, generated)
    left = _text(touched.left, generated)
    if base is UNKNOWN or left is UNKNOWN:
        return Ruling(touched, Conflict.UNDECODABLE)
    if present == base:
        return Ruling(touched)
    if present == left:
        missing = touched.left is None
        return Ruling(touched, Conflict.DELETE_MISSING if missing else Conflict.IDENTICAL)
    return Ruling(touched, _conflict(touched, present))


def verdict_of(rulings: Collection[Ruling], moves: Iterable[tuple[Key, Key]] = ()) -> Conflict | None:
    """The worst of a transaction: None if its rows may be changed but for `settled`, IDENTICAL if none needs to be.

    A row that went from one key to another is changed whole or not at all.
    """
    conflicts = [ruling.conflict for ruling in rulings]
    serious = [conflict for conflict in conflicts if conflict is not None and conflict not in HARMLESS]
    if serious:
        return serious[0]
    left = settled(rulings)
    if left and len(left) == len(rulings):
        return Conflict.IDENTICAL
    halves = any((one in left) != (other in left) for one, other in moves)
    return Conflict.UPDATE_DIFFERS if halves else None


def settled(rulings: Iterable[Ruling]) -> frozenset[Key]:
    """The keys whose rows are already as the transaction leaves them."""
    return frozenset(ruling.touched.key for ruling in rulings if ruling.conflict in HARMLESS)


@dataclass(slots=True)
class Kept:
    """What the transactions touch that were not merged: key, or table where no key tells, and by which one."""

    keys: dict[Key, str] = field(default_factory=dict)
    tables: dict[str, str] = field(default_factory=dict)

    def add(self, gtid: str, found: Footprint) -> None:
        self.keys.update(dict.fromkeys(found.touched, gtid))
        self.tables.update(dict.fromkeys(found.unnamed, gtid))

    def add_tables(self, gtid: str, tables: Iterable[Table]) -> None:
        self.tables.update((str(table), gtid) for table in tables)

    def before(self, found: Footprint, tables: Iterable[Table]) -> str:
        """The GTID of one on which this transaction depends; empty if there is none."""
        by_key = (self.keys[key] for key in found.touched if key in self.keys)
        by_table = (self.tables[str(table)] for table in tables if str(table) in self.tables)
        return next(by_key, "") or next(by_table, "")


class _Unknown(bytes):
    """The text of an image of which a column is not known."""


UNKNOWN = _Unknown()


def _text(image: Image | None, generated: Collection[str]) -> bytes | None:
    if image is None:
        return None
    text = image.compared(generated)
    return UNKNOWN if text is None else text


def ends(change: RowChange, naming: Naming) -> Iterator[tuple[Image, Image | None, Key | None]]:
    """Each key's image, what becomes of that key's row, and the key. An update of the key moves the row to another."""
    before, after = change.before, change.after
    gone, made = _key(change.table, before, naming), _key(change.table, after, naming)
    if before is not None and after is not None and gone == made:
        yield before, after, gone
        return
    if before is not None:
        yield before, None, gone
    if after is not None:
        yield after, after, made


def _key(table: Table, image: Image | None, naming: Naming) -> Key | None:
    name = None if image is None else naming(image)
    return None if name is None else (str(table), name)


def _conflict(touched: Touched, present: bytes | None) -> Conflict:
    if touched.base is None:
        return Conflict.INSERT_EXISTS
    if touched.left is None:
        return Conflict.DELETE_DIFFERS
    return Conflict.UPDATE_MISSING if present is None else Conflict.UPDATE_DIFFERS
