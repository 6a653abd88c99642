"""What a policy comes to for one row of the primary: its values are compared and added by the server, never here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from agents.binlog.images import Image
from agents.binlog.literals import added, literal, ordered
from agents.binlog.rewind import Lasting
from agents.binlog.table import Column, Type
from agents.binlog.values import compared, comparison, qualified, quoted
from agents.reconcile.judging import Touched
from agents.reconcile.planning import Wish
from agents.reconcile.tables import Tables
from agents.session import Row
from orchestrator.core.conflicts import How
from orchestrator.core.tablerules import RowPolicy

STATEMENT_S = 30.0
STAYS, SKIPPED, APPLIED = "the primary's row stays", "skipped", "applied"
# Without it the server cuts what does not fit, silently.
STRICT = "/*+ SET_VAR(sql_mode = 'STRICT_ALL_TABLES,ALLOW_INVALID_DATES') */"
_STAMPED = frozenset({Type.TIMESTAMP2, Type.DATETIME2})  # which may change by themselves with any other column


@dataclass(frozen=True, slots=True)
class Deed:
    """What is done about one row. `whole`: it becomes the errant change's; else the assignments are made, if any."""

    outcome: str
    whole: bool = False
    assignments: tuple[str, ...] = ()


class Undecided(Exception):  # noqa: N818 - no error: what a policy cannot settle, in words
    """The policy does not settle this row; it is for a person."""


class Weighing:
    """Used within one transaction, once the rows are locked, and before any is changed."""

    def __init__(self, session: Lasting, tables: Tables) -> None:
        self._session, self._tables = session, tables

    def deed(self, wish: Wish) -> Deed:
        """Raises Undecided, DatabaseUnavailable, StatementRefused, Unreadable."""
        touched, policy = wish.ruling.touched, wish.policy
        if wish.by_columns:
            return self._by_columns(wish, touched)
        if policy.how is How.SKIP:
            return Deed(SKIPPED)
        if policy.how is How.APPLY:
            return Deed(APPLIED, whole=True)
        return Deed(APPLIED, whole=True) if self._later(touched, policy) else Deed(STAYS)

    def _by_columns(self, wish: Wish, touched: Touched) -> Deed:
        assert touched.left is not None
        found: dict[str, str] = {}
        for column, old, new in self._changed(touched):
            policy = wish.of(column.name)
            value = (
                self._undisputed(wish, touched, column, old, new)
                if policy is None
                else self._value(policy, touched, column, old, new)
            )
            if value is not None:
                found[column.name] = value
        if not found:
            return Deed(STAYS)
        if fires := self._tables.may_fire(touched.table):
            raise Undecided(f"{wish.text} of {touched.table}: {fires}")
        kept = (c.name for c in touched.table.columns if c.type in _STAMPED and c.name not in found)
        generated = self._tables.generated(touched.table)
        same = {name: quoted(name) for name in kept if name not in generated}
        assignments = tuple(f"{quoted(name)} = {value}" for name, value in {**same, **found}.items())
        return Deed(f"set {', '.join(found)}", assignments=assignments)

    def _changed(self, touched: Touched) -> Iterator[tuple[Column, bytes | None, bytes | None]]:
        """Columns with their values before and after; of an inserted row those that the primary's has otherwise."""
        base, left, generated = touched.base, touched.left, self._tables.generated(touched.table)
        assert left is not None
        for n, column in enumerate(touched.table.columns):
            if column.name in generated:
                continue
            if base is not None and base.raw[n] == left.raw[n]:
                continue
            if base is None and (n in touched.table.key or self._is(touched, column, left.raw[n])):
                continue  # of a key that is spelled in two ways the primary's stays
            yield column, base.raw[n] if base else None, left.raw[n]

    def _value(
        self, policy: RowPolicy, touched: Touched, column: Column, old: bytes | None, new: bytes | None
    ) -> str | None:
        """SQL that the column is set to; None if it stays."""
        match policy.how:
            case How.SKIP:
                return None
            case How.APPLY:
                return self._literal(column, new)
            case How.DELTA:
                return self._sum(policy, touched, column, old, new)
            case How.MAX:
                return self._literal(column, new) if self._order(touched, column.name) > 0 else None
            case How.MIN:
                return self._literal(column, new) if self._order(touched, column.name) < 0 else None
            case How.LATEST_WINS:
                return self._literal(column, new) if self._later(touched, policy) else None
            case _:
                raise Undecided(f"{column.name}: {policy}")

    def _undisputed(
        self, wish: Wish, touched: Touched, column: Column, old: bytes | None, new: bytes | None
    ) -> str | None:
        """Of a column of which nothing is said, what the primary has not changed either is taken over."""
        if self._is(touched, column, new):
            return None
        if touched.base is None or not self._is(touched, column, old):
            raise Undecided(f"{wish.text} says nothing of {column.name}, in which the rows differ")
        return self._literal(column, new)

    def _sum(self, policy: RowPolicy, touched: Touched, column: Column, old: bytes | None, new: bytes | None) -> str:
        value = added(column, old, new)
        if value is None:
            raise Undecided(f"{policy}: nothing can be added to {column.name}")
        (row,) = self._ask(touched, f"{quoted(column.name)} IS NULL AS missing")
        if old is None or new is None or row["missing"] == "1":
            raise Undecided(f"{policy}: {column.name} is NULL in one of the rows")
        return value

    def _later(self, touched: Touched, policy: RowPolicy) -> bool:
        order = self._order(touched, policy.columns[0])
        if not order:
            raise Undecided(f"{policy}: {policy.columns[0]} is the same in both rows")
        return order > 0

    def _order(self, touched: Touched, name: str) -> int:
        """Of a column in the errant change's row: above 0 if it is greater than in the primary's, below if it is less.

        By the column's own collation. NULL has no order.
        """
        left = touched.left
        assert left is not None
        column, raw = _value(left, name)
        here, there = ordered(column), literal(column, raw)
        if here is None or there is None:
            raise Undecided(f"{name}: values of its type have no order")
        (row,) = self._ask(touched, f"{there} > {here} AS greater, {there} < {here} AS less")
        if not row["greater"]:
            raise Undecided(f"{name} is NULL in one of the rows")
        return int(row["greater"]) - int(row["less"])

    def _is(self, touched: Touched, column: Column, raw: bytes | None) -> bool:
        """Whether the primary's row has exactly this value."""
        (row,) = self._ask(touched, f"HEX({comparison(column)}) AS value_text")
        return bytes.fromhex(row["value_text"]) == compared(column, raw)

    def _literal(self, column: Column, raw: bytes | None) -> str:
        found = literal(column, raw)
        if found is None:
            raise Undecided(f"{column.name}: a value of its type cannot be set alone")
        return found

    def _ask(self, touched: Touched, what: str) -> tuple[Row, ...]:
        place = qualified(touched.table)
        return self._session.ask(f"SELECT {what} FROM {place} WHERE {touched.condition}", within_s=STATEMENT_S)  # noqa: S608


def _value(image: Image, name: str) -> tuple[Column, bytes | None]:
    for column, raw in zip(image.table.columns, image.raw, strict=True):
        if column.name.lower() == name.lower():
            return column, raw
    raise Undecided(f"{image.table} has no column {name}")
