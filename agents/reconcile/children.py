"""Children of rows that a merge changes: a parent that goes would take its newer ones with it. Changes nothing."""

from __future__ import annotations

from dataclasses import dataclass

from agents.binlog.catalog import Child
from agents.binlog.images import Image, RowChange
from agents.binlog.literals import literal
from agents.binlog.rewind import Lasting
from agents.binlog.table import Table
from agents.binlog.values import qualified, quoted
from agents.reconcile.judging import Touched
from agents.reconcile.tables import Tables
from agents.reconcile.weighing import Deed

STATEMENT_S = 30.0


@dataclass(frozen=True, slots=True)
class Children:
    """Used within one transaction."""

    session: Lasting
    tables: Tables

    def left_by(self, row: RowChange) -> bool:
        """Whether a change of the errant transaction leaves some behind (measured: silently); its own went before."""
        before = row.before
        if before is None or not (children := self.tables.children(row.table)):
            return False
        condition = before.condition()
        return condition is not None and any(
            self._left_behind(row.table, condition, child)
            for child in children
            if row.after is None or _values(before, child) != _values(row.after, child)
        )

    def left_by_policy(self, touched: Touched, deed: Deed) -> bool:
        """Whether what a policy makes of the primary's row does."""
        for child in self.tables.children(touched.table):
            condition = touched.condition
            if deed.whole and touched.left is not None:
                condition += f" AND NOT ({_same(touched.left, child)})"
            elif not deed.whole and not _assigned(deed, child):
                continue
            if self._left_behind(touched.table, condition, child):
                return True
        return False

    def _left_behind(self, table: Table, condition: str, child: Child) -> bool:
        own = ", ".join(quoted(column) for column, _ in child.columns)
        parent = ", ".join(quoted(column) for _, column in child.columns)
        parents = f"SELECT {parent} FROM {qualified(table)} WHERE {condition}"  # noqa: S608 - names quoted
        there = qualified(child)
        found = self.session.ask(
            f"SELECT 1 AS child FROM {there} WHERE ({own}) IN ({parents}) LIMIT 1 FOR SHARE",  # noqa: S608
            within_s=STATEMENT_S,
        )
        return bool(found)


def _values(image: Image, child: Child) -> list[bytes | None]:
    """What the child refers to in its parent."""
    referred = {column for _, column in child.columns}
    return [raw for column, raw in zip(image.table.columns, image.raw, strict=True) if column.name in referred]


def _same(image: Image, child: Child) -> str:
    """SQL: the row has in these columns what the image has."""
    referred = {column for _, column in child.columns}
    pairs = zip(image.table.columns, image.raw, strict=True)
    found = [(column, literal(column, raw)) for column, raw in pairs if column.name in referred]
    return " AND ".join(f"{quoted(column.name)} <=> {value}" if value else "FALSE" for column, value in found)


def _assigned(deed: Deed, child: Child) -> bool:
    return any(one.startswith(f"{quoted(column)} = ") for one in deed.assignments for _, column in child.columns)
