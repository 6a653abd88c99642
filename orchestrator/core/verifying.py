"""What the standby's agent says of a comparison with the primary: how far it is, and what differs. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

ACCOUNT = "account"
TOLD_MAX = 10  # differences that a report carries


class Outcome(StrEnum):
    """How a comparison stands or ended."""

    NONE = "none"  # there was no comparison
    RUNNING = "running"
    EQUAL = "equal"
    DIFFERS = "differs"
    FAILED = "failed"  # `why`

    @property
    def ended(self) -> bool:
        return self not in (Outcome.NONE, Outcome.RUNNING)


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not the same on both: both versions of it, cut; `absent` where it is not there."""

    what: str  # row, table, view, trigger, function, procedure, event, account, transactions
    name: str  # schema.table of a row
    key: str = ""
    primary: str = ""
    standby: str = ""

    def __str__(self) -> str:
        place = f"{self.what} {self.name}{f' ({self.key})' if self.key else ''}"
        return f"{place}: {self.primary} on the primary, {self.standby} on the standby"


@dataclass(frozen=True, slots=True)
class Verifying:
    """One comparison, under way or ended. Counts are of chunks, but where they say what else."""

    id: str = ""  # of the request, or return-N for the one after a return; empty: none
    epoch: int = 0
    actor: str = ""
    asked: tuple[str, ...] = ()  # tables, as schema.table; empty: everything
    outcome: Outcome = Outcome.NONE
    why: str = ""
    began: str = ""  # UTC, for people
    ended: str = ""
    doing: str = ""  # the table, or what is waited for
    percent: float = 0.0
    tables: int = 0  # that are to be compared
    tables_done: int = 0
    equal: int = 0
    hot: int = 0  # changed while it was compared, and compared again in parts
    diverged: int = 0
    rows: int = 0
    rows_per_s: float = 0.0  # with all pauses
    eta_s: float = 0.0
    differing: int = 0
    differences: tuple[Difference, ...] = ()
    skipped: tuple[str, ...] = ()  # what could not be compared, and why

    @property
    def share_percent(self) -> float:
        """How many of the tables were compared."""
        return round(100 * max(self.tables - len(self.skipped), 0) / self.tables, 1) if self.tables else 0.0


def summary(one: Verifying) -> str:
    """One that has ended, in a sentence."""
    if one.outcome is Outcome.FAILED:
        return one.why
    scope = f"{one.tables - len(one.skipped)} of {one.tables} tables, {one.rows} rows"
    found = "equal" if one.outcome is Outcome.EQUAL else f"{one.differing} differences: {one.differences[0]}"
    left = f"; not compared: {'; '.join(one.skipped)}" if one.skipped else ""
    return f"{scope}: {found}{left}"


def against(differences: tuple[Difference, ...]) -> tuple[Difference, ...]:
    """Those that speak against a takeover.

    An account is no data: one that each server was given by its own CREATE USER means the same and has another salt.
    """
    return tuple(one for one in differences if one.what != ACCOUNT)
