"""What the policy says of a transaction on the primary: which of its rows it settles, or why none is changed. Pure.

A transaction is changed whole or not at all: one row for a person keeps all of it for a person.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from agents.reconcile.judging import SKIPPED, Footprint, Key, Ruling, settled, verdict_of
from orchestrator.core.conflicts import BOTH_THERE, HARMLESS, Conflict, How
from orchestrator.core.mergepolicy import OWN, MergePolicy
from orchestrator.core.tablerules import Resolved, RowPolicy

WHOLE = frozenset({How.SKIP, How.APPLY, How.LATEST_WINS})  # of a row; the others are about the columns that they name
MOVED = "it went to another key, and is changed whole or not at all"


@dataclass(frozen=True, slots=True)
class Stop:
    """Why nothing of the transaction is changed."""

    how: How  # QUARANTINE or DISCARD
    conflict: Conflict
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Wish:
    """A row in conflict, and what is to become of it; `columns` have policies of their own.

    `said`: a rule speaks of the row, so that what it does not settle is for a person whatever the primary's row is.
    """

    ruling: Ruling
    policy: RowPolicy
    columns: Mapping[str, RowPolicy] = field(default_factory=dict)
    said: bool = True

    @property
    def conflict(self) -> Conflict:
        """One end of a row that went to another key may have none of its own."""
        return self.ruling.conflict or Conflict.UPDATE_DIFFERS

    @property
    def text(self) -> str:
        """All of it, as people read it."""
        own = [f"{name}: {policy}" for name, policy in self.columns.items()]
        return ", ".join([*own, str(self.policy)] if self.policy.how is not How.QUARANTINE else own)

    @property
    def by_columns(self) -> bool:
        return bool(self.columns) or self.policy.how not in WHOLE

    def of(self, column: str) -> RowPolicy | None:
        """What is to become of one column that the errant change changed; None if nothing is said of it."""
        own = self.columns.get(column.lower())
        if own is not None:
            return own
        if self.policy.how is How.QUARANTINE:
            return self.policy if self.said else None
        covered = self.policy.how in WHOLE or self.policy.names(column)
        return self.policy if covered else None


@dataclass(frozen=True, slots=True)
class Plan:
    """`left`: keys whose rows stay as they are and concern nobody. `unkeyed`: tables of which rows without a key stay.

    `named`: what else is done by a policy. `identical`: nothing is left to do.
    """

    stop: Stop | None = None
    wishes: Mapping[Key, Wish] = field(default_factory=dict)
    left: frozenset[Key] = frozenset()
    unkeyed: frozenset[str] = frozenset()
    named: tuple[str, ...] = ()
    identical: bool = False


def plan(
    rulings: Collection[Ruling], found: Footprint, policy: MergePolicy, refused: Mapping[Key, Conflict] | None = None
) -> Plan:
    """`refused`: keys whose change the server has refused, and why."""
    rulings = [_refused(ruling, refused or {}) for ruling in rulings]
    own = frozenset(ruling.touched.key for ruling in rulings if _own(ruling))
    stops, unkeyed, named = _doubts(found, policy)
    wishes: dict[Key, Wish] = {}
    for ruling in rulings:
        if ruling.conflict is None or ruling.conflict in HARMLESS or ruling.touched.key in own:
            continue
        asked = _asked(ruling, ruling.conflict, policy)
        if isinstance(asked, Stop):
            stops.append(asked)
        else:
            wishes[ruling.touched.key] = asked
    stops += _moved(found.moves, wishes, {ruling.touched.key: ruling for ruling in rulings})
    rest = [ruling for ruling in rulings if ruling.touched.key not in wishes and ruling.touched.key not in own]
    verdict = verdict_of(rest, found.moves)
    if verdict not in (None, Conflict.IDENTICAL) and not stops:
        stops.append(Stop(How.QUARANTINE, verdict, MOVED))
    if stops:
        return Plan(next((stop for stop in stops if stop.how is How.QUARANTINE), stops[0]))
    left = settled(rest) | own
    others = bool(wishes) or found.keyless or bool(found.strangers)
    return Plan(
        None, wishes, left, unkeyed, named, identical=bool(rulings) and len(left) == len(rulings) and not others
    )


def _refused(ruling: Ruling, refused: Mapping[Key, Conflict]) -> Ruling:
    conflict = refused.get(ruling.touched.key)
    return ruling if conflict is None else Ruling(ruling.touched, conflict)


def _own(ruling: Ruling) -> bool:
    schema, name = ruling.touched.place
    return schema == OWN and (ruling.conflict is not None or f"{schema}.{name}" in SKIPPED)


def _doubts(found: Footprint, policy: MergePolicy) -> tuple[list[Stop], frozenset[str], tuple[str, ...]]:
    """What speaks against the whole of it; tables of which rows without a key stay as they are; what that rests on."""
    stops, unkeyed, named = [], set(), []
    for conflict, tables in found.doubts.items():
        for name, table in tables.items():
            resolved = policy.for_row(table.schema, table.name, conflict)
            if resolved.policy.how in (How.QUARANTINE, How.DISCARD):
                stops.append(Stop(resolved.policy.how, conflict, resolved.why))
                continue
            named.append(f"{conflict} of {name}: {resolved.policy}")
            if conflict is Conflict.NO_PRIMARY_KEY:
                unkeyed.add(name)
    return stops, frozenset(unkeyed), tuple(named)


def _asked(ruling: Ruling, conflict: Conflict, policy: MergePolicy) -> Wish | Stop:
    """Each column goes by its own policy if it has one, the others by the row's."""
    schema, name = ruling.touched.place
    row = policy.for_row(schema, name, conflict)
    columns = _columns(ruling, conflict, policy) if conflict in BOTH_THERE else {}
    for one in columns.values():
        if one.policy.how is How.QUARANTINE:
            return Stop(How.QUARANTINE, conflict, one.why or f"{one.match}: {one.policy}")
    if not columns or any(column.lower() not in columns for column in changed_columns(ruling)):
        if row.why or (row.policy.how is How.QUARANTINE and not columns):
            return Stop(How.QUARANTINE, conflict, row.why)
        if row.policy.how is How.DISCARD:
            return Stop(How.DISCARD, conflict, f"{row.match}: {row.policy}")
    own = {column: one.policy for column, one in columns.items()}
    touched = ruling.touched
    if touched.base is None and touched.left is None and row.policy.how is not How.SKIP:
        return Stop(How.QUARANTINE, conflict, f"{row.policy}: it inserted the row and deleted it again")
    return Wish(ruling, row.policy, own, said=bool(row.match))


def _columns(ruling: Ruling, conflict: Conflict, policy: MergePolicy) -> dict[str, Resolved]:
    """Policies of columns that the errant change changed, by their names in lower case."""
    schema, name = ruling.touched.place
    found = ((column, policy.for_column(schema, name, column, conflict)) for column in changed_columns(ruling))
    return {column.lower(): resolved for column, resolved in found if resolved is not None}


def changed_columns(ruling: Ruling) -> list[str]:
    """Names of the columns that the errant change gave another value; of a row that it inserted all but the key's."""
    base, left = ruling.touched.base, ruling.touched.left
    if left is None:
        return []
    key, columns = left.table.key, left.table.columns
    if base is None:
        return [column.name for n, column in enumerate(columns) if n not in key]
    return [column.name for column, new, old in zip(columns, left.raw, base.raw, strict=True) if new != old]


def _moved(moves: Iterable[tuple[Key, Key]], wishes: dict[Key, Wish], rulings: Mapping[Key, Ruling]) -> list[Stop]:
    """Both ends of a row that went to another key are skipped with one another, or it is for a person."""
    stops, pairs, grown = [], list(moves), True
    while grown:
        grown = False
        for ends in pairs:
            asked = [wishes[key] for key in ends if key in wishes]
            odd = next((wish for wish in asked if wish.policy.how is not How.SKIP or wish.columns), None)
            if odd is not None:
                stops.append(Stop(How.QUARANTINE, odd.conflict, f"{odd.text}: {MOVED}"))
                return stops
            for key in ends if asked else ():
                if key not in wishes:
                    wishes[key] = Wish(rulings[key], asked[0].policy)
                    grown = True
    return stops
