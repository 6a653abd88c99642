"""What operators ask for, as records, and the pre-checks that admit or refuse it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from orchestrator.core.kept import Edits
from orchestrator.core.model import NodeName
from orchestrator.core.verifying import Verifying


class Kind(StrEnum):
    SWITCHOVER = "switchover"
    FAILOVER = "failover"  # forced, with possible loss
    ADOPT = "adopt"  # the running roles, after ZooKeeper lost its data
    ACKNOWLEDGE = "acknowledge"  # of the failovers so far: ends a hold-down
    VERIFY = "verify"  # the standby's data is compared with the primary's
    RECONCILE_APPLY = "reconcile_apply"  # a kept transaction, as it was or with other values
    RECONCILE_DISCARD = "reconcile_discard"  # the primary's rows stay
    RECONCILE_APPROVE = "reconcile_approve"  # a merge beyond the limits goes on
    REJOIN = "rejoin"  # a return that stopped goes on, or a standby is made anew from the primary
    NOTE = "note"  # `reason` becomes an event: what is done beside the pair


CHOICES = frozenset({Kind.RECONCILE_APPLY, Kind.RECONCILE_DISCARD})
# No rule takes these up, and nothing waits for them; nor for a note.
OF_RETURNS = CHOICES | {Kind.RECONCILE_APPROVE, Kind.REJOIN}


class RejoinPath(StrEnum):
    """From which rung on a node is brought back."""

    AUTO = "auto"  # where it stopped
    CLONE = "clone"


class RequestState(StrEnum):
    REQUESTED = "requested"
    RUNNING = "running"
    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Request:
    """One request of an operator, and its answer: at requests/<id>, made by the API, answered by the leader."""

    id: str
    kind: Kind
    to: NodeName
    reason: str
    actor: str
    epoch: int  # the epoch that the operator saw; another one by the time it is read refuses it
    state: RequestState = RequestState.REQUESTED
    answer: str = ""  # why refused or failed, or what was done
    failed_checks: tuple[str, ...] = ()
    returning: int = 0  # id of the return that it is about
    gtid: str = ""  # of the kept transaction
    seen: str = ""  # the version of the primary's rows that the operator saw
    edits: Edits = field(default_factory=dict, hash=False)
    path: RejoinPath = RejoinPath.AUTO
    severity: str = ""  # of a note: info or warning
    tables: tuple[str, ...] = ()  # to be verified, as schema.table; empty: everything
    verified: Verifying | None = None  # how a verification ended


@dataclass(frozen=True, slots=True)
class Pause:
    """No automatic failover begins until `for_s` after the record's ZooKeeper time; 0: until resumed."""

    active: bool = False
    for_s: float = 3600.0
    reason: str = ""
    actor: str = ""


@dataclass(frozen=True, slots=True)
class PreCheck:
    """One condition of a request: passed, or why not and what unblocks it."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Admission:
    """The outcome of all pre-checks; `admitted` only if every one passed."""

    checks: tuple[PreCheck, ...]

    @property
    def admitted(self) -> bool:
        return all(check.passed for check in self.checks)

    @property
    def failed(self) -> tuple[str, ...]:
        return tuple(f"{check.name}: {check.detail}" for check in self.checks if not check.passed)
