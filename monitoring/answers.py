"""The shapes of what API v1 answers about actions and who may begin them, for its description."""

from __future__ import annotations

from typing import Any

from monitoring.shapes import Shape
from orchestrator.core.audit import Entry
from orchestrator.core.history import Step
from orchestrator.core.mergepolicy import Changed, MergePolicy


class Check(Shape):
    """One pre-check: passed, or why not, and where to read what to do."""

    name: str
    passed: bool
    detail: str
    runbook: str


class OperationView(Shape):
    """A request, and how far it is."""

    id: str
    kind: str
    to: str
    reason: str
    actor: str
    epoch: int
    state: str  # requested, running, done, refused, failed
    answer: str
    failed_checks: list[str]
    ended: bool
    phases: list[Step]
    progress: dict[str, Any] | None


class Operations(Shape):
    """In no order."""

    operations: list[OperationView]


class Checked(Shape):
    """The pre-checks of a dry run."""

    dry_run: bool
    kind: str
    to: str
    epoch: int
    admitted: bool
    checks: list[Check]
    last_three_ms: list[float]


class Action(Shape):
    """One that may be asked for, and why not now."""

    kind: str
    to: str
    epoch: int
    role: str
    enabled: bool
    disabled_reasons: list[str]
    checks: list[Check]
    last_three_ms: list[float]


class Actions(Shape):
    """Those that are about the whole pair."""

    actions: list[Action]


class PauseView(Shape):
    """As it is now."""

    active: bool
    for_s: float  # 0: until resumed
    reason: str
    actor: str


class MaintenanceView(Shape):
    """Of one node."""

    node: str
    active: bool
    in_force: bool  # nothing promotes it from now on
    actor: str
    reason: str


class PolicyView(Shape):
    """The section, and who changed it last."""

    reconcile: MergePolicy
    changed: Changed


class Channel(Shape):
    """Where notices go, and what waits there."""

    name: str
    waiting: list[Any]


class Alerts(Shape):
    """What is open, and who is told of it."""

    raised: list[dict[str, Any]]
    channels: list[Channel]


class Trial(Shape):
    """A test message that is on its way."""

    channel: str
    name: str
    id: str


class SettingsView(Shape):
    """What may be changed of the policy; `fixed` stands in the files of every daemon alike."""

    preferred: str
    failovers_per_hour_max: int
    backlog_transactions_max: int
    reconcile: MergePolicy
    changed: Changed
    fixed: dict[str, Any]


class TokenRow(Shape):
    """One token, never its secret."""

    name: str
    role: str
    fingerprint: str
    expires: str | None
    valid: bool
    made: str | None
    made_by: str
    source: str  # cluster, file


class TokenRows(Shape):
    """Those that are good for the cluster."""

    tokens: list[TokenRow]


class TokenMade(TokenRow):
    """The only answer with the secret."""

    token: str


class Revoked(Shape):
    """Whose token it was."""

    revoked: str


class Audit(Shape):
    """Newest first."""

    audit: list[Entry]
