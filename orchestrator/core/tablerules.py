"""Which policy settles a conflict in which table or column: rules, of which the most specific wins. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from orchestrator.core.conflicts import Conflict, How, allowed

RESERVED = frozenset({"kembar", "mysql", "sys"})  # schemas of which no rule may speak
ANY = "*"
MATCHES = "schema.table, schema.*, *.* or schema.table.column"
_POLICY = re.compile(r"([a-z_]+)(?:\(([^()]*)\))?")
_MANY = 2**10
_COLUMNS: Mapping[How, int] = {How.LATEST_WINS: 1, How.MAX: 1, How.MIN: 1, How.DELTA: _MANY}  # how many at most
_FORMS = "quarantine, discard, skip, apply, latest_wins(COLUMN), max(COLUMN), min(COLUMN) or delta(COLUMN, ...)"


@dataclass(frozen=True, slots=True)
class RowPolicy:
    """A policy with the columns that it is about."""

    how: How = How.QUARANTINE
    columns: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> RowPolicy:
        """Raises ValueError with what was expected."""
        found = _POLICY.fullmatch(text)
        if found is None or found[1] not in list(How):
            raise ValueError(f"policy={text!r}: expected {_FORMS}")
        how = How(found[1])
        named = tuple(name.strip() for name in (found[2] or "").split(",")) if found[2] is not None else ()
        at_most = _COLUMNS.get(how, 0)
        if len(named) > at_most or (at_most and not (named and all(named))):
            raise ValueError(f"policy={text!r}: expected {_FORMS}")
        if len({name.lower() for name in named}) != len(named):
            raise ValueError(f"policy={text!r}: expected each column once")
        return cls(how, named)

    def names(self, column: str) -> bool:
        """Names of columns have no case."""
        return column.lower() in {name.lower() for name in self.columns}

    def __str__(self) -> str:
        return f"{self.how}({', '.join(self.columns)})" if self.columns else str(self.how)


@dataclass(frozen=True, slots=True)
class TableRule:
    """One item of `tables`. With `always_quarantine` it has no policy: rows alone cannot show what must hold there."""

    match: str
    type: Conflict | None = None  # this conflict alone
    policy: str = ""
    always_quarantine: bool = False

    def __post_init__(self) -> None:
        parts = self.match.split(".")
        whole = parts == [ANY, ANY]
        named = parts[:1] if parts[1:] == [ANY] else parts
        if not whole and (len(parts) not in (2, 3) or ANY in named or not all(named)):
            raise ValueError(f"match={self.match!r}: expected {MATCHES}")
        if parts[0] in RESERVED:
            raise ValueError(f"match={self.match!r}: expected another schema: what becomes of this one is fixed")
        if self.always_quarantine:
            self._check_flag()
        else:
            self._check_policy()

    def _check_flag(self) -> None:
        if self.policy or self.type is not None or self.column:
            raise ValueError(
                f"match={self.match!r}: expected always_quarantine alone, for a whole table: no policy, type or column"
            )

    def _check_policy(self) -> None:
        parsed = RowPolicy.parse(self.policy)
        if self.type is not None and parsed.how not in allowed(self.type):
            raise ValueError(
                f"match={self.match!r}: policy={self.policy!r} settles no {self.type}: expected "
                f"{', '.join(sorted(allowed(self.type)))}"
            )
        if self.column and parsed.how is How.DISCARD:
            raise ValueError(f"match={self.match!r}: expected a policy for one column, discard is for the whole row")
        if self.column and parsed.how in (How.DELTA, How.MAX, How.MIN) and not parsed.names(self.column):
            raise ValueError(f"match={self.match!r}: policy={self.policy!r}: expected the column {self.column}")

    @property
    def parsed(self) -> RowPolicy:
        return RowPolicy.parse(self.policy) if self.policy else RowPolicy()

    @property
    def column(self) -> str:
        return self.match.split(".")[2] if self.match.count(".") == 2 else ""

    def covers(self, schema: str, table: str) -> bool:
        here = self.match.split(".")
        return here[0] in (ANY, schema) and here[1] in (ANY, table)

    @property
    def rank(self) -> tuple[int, bool]:
        """Greater is more specific: the place first, then whether it is about one conflict."""
        here = self.match.split(".")
        return sum(part != ANY for part in here), self.type is not None


@dataclass(frozen=True, slots=True)
class Resolved:
    """The policy for one conflict; `match` is of the rule that gave it, empty if none did.

    `why`: the rule asked for what is not allowed for that conflict, so that it is for a person.
    """

    policy: RowPolicy = RowPolicy()
    match: str = ""
    why: str = ""


def resolve(
    rules: Iterable[TableRule], schema: str, table: str, conflict: Conflict, column: str = ""
) -> Resolved | None:
    """By the most specific rule; with `column` by one about that column alone. None if no rule speaks of it."""
    found = [
        rule
        for rule in rules
        if not rule.always_quarantine
        and rule.type in (None, conflict)
        and rule.column.lower() == column.lower()
        and rule.covers(schema, table)
    ]
    if not found:
        return None
    rule = max(found, key=lambda one: one.rank)
    if rule.parsed.how in allowed(conflict):
        return Resolved(rule.parsed, rule.match)
    return Resolved(match=rule.match, why=f"{rule.parsed} of {rule.match} settles no {conflict}")
