"""The changes of a transaction made on the primary, in their order: as they were, or as a policy wants them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from agents.binlog.contents import Change, Transaction
from agents.binlog.images import Operation, RowChange
from agents.binlog.parse import Buffer
from agents.binlog.rewind import Lasting, binlog_statement
from agents.binlog.rows import Row
from agents.binlog.table import Table
from agents.binlog.values import qualified
from agents.reconcile.children import Children
from agents.reconcile.cutting import Opened
from agents.reconcile.judging import Footprint, Key, Touched, ends
from agents.reconcile.planning import Plan, Wish
from agents.reconcile.tables import Tables
from agents.reconcile.weighing import STRICT, Deed
from agents.session import StatementRefused
from orchestrator.core.conflicts import Conflict

STATEMENT_S = 30.0
DUPLICATE, CHILDREN, PARENT_MISSING, LOCK_WAIT, DEADLOCK = 1062, 1451, 1452, 1205, 1213
SPEAKS = {
    DUPLICATE: Conflict.UNIQUE_EXISTS,
    CHILDREN: Conflict.FK_CHILDREN_EXIST,
    PARENT_MISSING: Conflict.FK_PARENT_MISSING,
}
LATER = frozenset({LOCK_WAIT, DEADLOCK})  # another try may do better
Changed = tuple[Row, RowChange]


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the server refused to change: `keys` of the one row, or none if it may be any of several."""

    conflict: Conflict
    detail: str
    table: Table
    keys: frozenset[Key] = frozenset()
    change: Change | None = None
    final: bool = False  # no policy settles it


@dataclass(frozen=True, slots=True)
class Changing:
    """Used within one transaction. `singly`: changes whose rows are made one by one, as one of them was refused."""

    session: Lasting
    tables: Tables
    one: Transaction
    events: Buffer
    found: Footprint
    singly: Set[Change]

    def make(self, wanted: Plan, deeds: Mapping[Key, Deed]) -> Refusal | None:
        """Make the changes, in their order, but of the keys that are left as they are; or what was refused."""
        left = {key: self.found.touched[key].changes for key in deeds}
        for change in self.one.changes:
            opened, run = Opened.of(self.events, change), list[Changed]()
            for place, row in opened.rows:
                keys = self._keys(row, wanted, deeds)
                if keys is None:
                    run.append((place, row))
                    continue
                for key in keys & deeds.keys():
                    left[key] -= 1
                    if left[key] or not (deeds[key].whole or deeds[key].assignments):
                        continue
                    refusal = self._flush(opened, change, run)
                    run = []
                    if refusal := refusal or self._do(opened, place, wanted.wishes[key], deeds[key]):
                        return refusal
            if refusal := self._flush(opened, change, run):
                return refusal
        return None

    def _keys(self, row: RowChange, wanted: Plan, deeds: Mapping[Key, Deed]) -> frozenset[Key] | None:
        """The keys of a row that is not simply changed; None if it is."""
        if not (deeds or wanted.left or wanted.unkeyed):
            return None  # names of keys may cost a statement each
        keys = frozenset(key for _, _, key in ends(row, self.tables.key_name) if key is not None)
        if not keys and str(row.table) in wanted.unkeyed and row.operation is not Operation.INSERT:
            return keys
        return keys if any(key in deeds or key in wanted.left for key in keys) else None

    def _flush(self, opened: Opened, change: Change, run: Sequence[Changed]) -> Refusal | None:
        """Rows that follow one another in one event, as they were; one by one where one of them was refused before."""
        if not run:
            return None
        if change in self.singly and len(run) > 1:
            return next((found for one in run if (found := self._flush(opened, change, [one]))), None)
        table = run[0][1].table
        if parent := next((row for _, row in run if self._children.left_by(row)), None):
            return Refusal(Conflict.FK_CHILDREN_EXIST, f"of {table}", table, self._names(parent))
        keys = self._names(run[0][1]) if len(run) == 1 else frozenset()
        return self._apply(opened.events(place for place, _ in run), table, keys, change)

    def _do(self, opened: Opened, place: Row, wish: Wish, deed: Deed) -> Refusal | None:
        touched = wish.ruling.touched
        keys = frozenset({touched.key})
        if self._children.left_by_policy(touched, deed):
            return Refusal(Conflict.FK_CHILDREN_EXIST, f"of {touched.table}, by {wish.text}", touched.table, keys)
        if deed.whole:
            there = wish.conflict is not Conflict.UPDATE_MISSING
            return self._apply(opened.instead(place, there=there), touched.table, keys)
        try:
            self._update(touched, deed)
        except StatementRefused as error:
            if error.errno in LATER:
                raise
            conflict = SPEAKS.get(error.errno)
            detail = f"{wish.text}: {error}"
            return Refusal(conflict or wish.conflict, detail, touched.table, keys, final=conflict is None)
        return None

    def _apply(self, events: bytes, table: Table, keys: frozenset[Key], change: Change | None = None) -> Refusal | None:
        try:
            self.session.ask(binlog_statement(events), within_s=STATEMENT_S)
        except StatementRefused as error:
            if error.errno not in SPEAKS:
                raise
            return Refusal(SPEAKS[error.errno], str(error), table, keys, change)
        return None

    def _update(self, touched: Touched, deed: Deed) -> None:
        name = qualified(touched.table)
        changes = ", ".join(deed.assignments)
        self.session.ask(f"UPDATE {STRICT} {name} SET {changes} WHERE {touched.condition}", within_s=STATEMENT_S)  # noqa: S608

    def _names(self, row: RowChange) -> frozenset[Key]:
        return frozenset(key for _, _, key in ends(row, self.tables.key_name) if key is not None)

    @property
    def _children(self) -> Children:
        return Children(self.session, self.tables)
