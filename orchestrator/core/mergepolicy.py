"""The section `reconcile` of the policy: what a return may do by itself, and how conflicts are settled. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import StrEnum

from orchestrator.core.conflicts import Conflict
from orchestrator.core.tablerules import Resolved, TableRule, resolve

COUNT_MAX = 2**53
PERCENT_MAX = 100
DAYS_MAX = 36500
JUDGED_MIN = 20  # before that many were judged, a share of them says nothing
OWN = "kembar"  # the schema of which no row is a conflict to anybody
FOR_A_PERSON = frozenset({"mysql", "sys"})  # schemas of which nothing is merged


class Automation(StrEnum):
    """How far a return goes by itself."""

    AUTO = "auto"
    PLAN_ONLY = "plan_only"  # until the evidence is on both hosts
    OFF = "off"  # nothing is done


class Approval(StrEnum):
    """When the merge waits for a person."""

    OVER_LIMITS = "over_limits"
    ALWAYS = "always"
    NEVER = "never"


class Merged(StrEnum):
    """Which errant transactions are merged."""

    CONFLICT_FREE = "conflict_free"  # and those whose conflicts a policy settles
    OFF = "off"  # none: each is kept for a person


class Unacknowledged(StrEnum):
    """What becomes of transactions that no client was told of."""

    DISCARD = "discard"
    MERGE = "merge"


@dataclass(frozen=True, slots=True)
class Limits:
    """Up to which nobody has to approve."""

    transactions: int = 10_000
    rows: int = 1_000_000
    binlog_mib: int = 1024
    quarantine_percent: int = 10

    def __post_init__(self) -> None:
        for one in fields(self):
            most = PERCENT_MAX if one.name.endswith("_percent") else COUNT_MAX
            _within(one.name, getattr(self, one.name), most)

    def exceeded(self, transactions: int, rows: int, binlog_mib: int) -> str:
        """The first that is, in words; empty if none is."""
        found = (
            (transactions, self.transactions, "transactions"),
            (rows, self.rows, "rows"),
            (binlog_mib, self.binlog_mib, "MiB of binary log"),
        )
        return next((f"{count} {what} are more than the limit of {limit}" for count, limit, what in found
                     if count > limit), "")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cloning:
    """Whether a node may be copied from the primary when nothing less helps."""

    allowed: bool = True


@dataclass(frozen=True, slots=True)
class Keeping:
    """How long the evidence of a return is kept at least; Kembar itself deletes none of it."""

    keep_days: int = 365

    def __post_init__(self) -> None:
        _within("keep_days", self.keep_days, DAYS_MAX)


@dataclass(frozen=True, slots=True)
class Changed:
    """Who changed the section last, and why; empty as `kembar init` made it."""

    actor: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class MergePolicy:
    """The whole section."""

    mode: Automation = Automation.AUTO
    approval: Approval = Approval.OVER_LIMITS
    merge: Merged = Merged.CONFLICT_FREE
    unacknowledged: Unacknowledged = Unacknowledged.DISCARD
    limits: Limits = field(default_factory=Limits)
    clone: Cloning = field(default_factory=Cloning)
    evidence: Keeping = field(default_factory=Keeping)
    tables: tuple[TableRule, ...] = ()

    def __post_init__(self) -> None:
        said: dict[tuple[str, Conflict | None, bool], int] = {}
        for n, rule in enumerate(self.tables):
            first = said.setdefault((rule.match, rule.type, rule.always_quarantine), n)
            if first != n:
                raise ValueError(f"tables[{n}]: match={rule.match!r}: expected once, it is in tables[{first}] too")

    def for_row(self, schema: str, table: str, conflict: Conflict) -> Resolved:
        """For a row of that table."""
        return resolve(self.tables, schema, table, conflict) or Resolved()

    def for_column(self, schema: str, table: str, column: str, conflict: Conflict) -> Resolved | None:
        """For that column of a row, if it has a policy of its own."""
        return resolve(self.tables, schema, table, conflict, column)

    def keeps(self, schema: str, table: str) -> str:
        """Why nothing that touches this table is merged, in words; empty if it may be."""
        if schema == OWN:
            return ""
        if self.merge is Merged.OFF:
            return "reconcile.merge is off"
        if schema in FOR_A_PERSON:
            return f"nothing of the schema {schema} is merged"
        flagged = (rule for rule in self.tables if rule.always_quarantine and rule.covers(schema, table))
        return next((f"{rule.match} has always_quarantine" for rule in flagged), "")

    def waits(self, transactions: int, rows: int, binlog_mib: int) -> str:
        """Why a merge of that size waits for a person before it begins; empty if it need not."""
        match self.approval:
            case Approval.NEVER:
                return ""
            case Approval.ALWAYS:
                return "reconcile.approval is always"
            case Approval.OVER_LIMITS:
                return self.limits.exceeded(transactions, rows, binlog_mib)

    def tripped(self, quarantined: int, judged: int) -> str:
        """Why a merge stops for a person in the middle; empty if it goes on."""
        limit = self.limits.quarantine_percent
        if self.approval is Approval.NEVER or judged < JUDGED_MIN or 100 * quarantined <= limit * judged:
            return ""
        return f"{quarantined} of {judged} transactions are quarantined, more than {limit} %"


def _within(name: str, value: int, most: int) -> None:
    if not 0 <= value <= most:
        raise ValueError(f"{name}={value}: expected 0 to {most}")
