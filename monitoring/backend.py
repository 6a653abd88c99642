"""What page and API need of the orchestrator that carries them; the composition root gives it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from monitoring.measured import Measured
from monitoring.node_view import blind
from monitoring.view import view
from orchestrator.core.access import Token, Tokens
from orchestrator.core.audit import Entry
from orchestrator.core.model import Instant, Policy
from orchestrator.core.outbox import Notice, Outgoing, Route
from orchestrator.core.reconcile import Reconcile
from orchestrator.core.requests import Admission, Pause, Request
from orchestrator.core.snapshot import Snapshot


class Desk(Protocol):
    """The outbox of one cluster. Both methods block and raise CoordinatorUnavailable."""

    @property
    def routes(self) -> Sequence[Route]: ...

    def outgoing(self) -> Outgoing: ...

    def try_out(self, channel: str, key: str, actor: str, reason: str) -> Notice:
        """Queue a test message, once for each `key`. Raises StaleWrite if the channel has no queue, UnknownOutcome."""


@dataclass(frozen=True, slots=True)
class Backend:
    """The read side is the last snapshots, never a wait; the write side may block and runs in worker threads."""

    instance: str  # this orchestrator's name
    snapshots: Callable[[], Mapping[str, Snapshot]]  # the last of every cluster; never blocks
    now: Callable[[], Instant]  # the clock of `Snapshot.taken`
    wall_s: Callable[[], float]
    dry_run: Callable[[str, Request], Admission]  # cluster, request: every pre-check; never blocks
    # Puts the request if the desired record is still in its epoch and the id is new. Raises StaleWrite,
    # CoordinatorUnavailable, UnknownOutcome.
    submit: Callable[[str, Request], None]
    read_request: Callable[[str, str], Request | None]  # cluster, id. Raises CoordinatorUnavailable
    put_pause: Callable[[str, Pause], None]  # raises like submit
    read_policy: Callable[[str], tuple[Policy, int]]  # with its version. Raises CoordinatorUnavailable, Refused
    put_policy: Callable[[str, Policy, int], None]  # at that version; raises like submit
    return_ids: Callable[[str], tuple[int, ...]]  # of every report of a return. Raises CoordinatorUnavailable
    read_return: Callable[[str, int], Reconcile | None]  # cluster, id. Raises CoordinatorUnavailable
    kept_tokens: Callable[[], tuple[Token, ...]]  # of every cluster, as last seen; never blocks
    read_tokens: Callable[[str], tuple[Tokens, int]]  # with its version. Raises CoordinatorUnavailable, Refused
    put_tokens: Callable[[str, Tokens, int], None]  # at that version; raises like submit
    audit: Callable[[str, Entry], None]  # of that cluster; never blocks
    read_audit: Callable[[str, int], tuple[Entry, ...]]  # newest first, so many. Raises CoordinatorUnavailable, Refused
    session_key: bytes  # signs the sessions of browsers
    tokens: tuple[Token, ...] = ()  # of the file
    anonymous_viewers: bool = False
    anonymous_metrics: bool = False
    measured: Measured = field(default_factory=Measured)
    desks: Mapping[str, Desk] = field(default_factory=dict)  # cluster -> its outbox
    hardware: Callable[[str], str] = lambda _: ""  # address -> who answers for it here, empty: not known; never blocks

    def all_tokens(self) -> tuple[Token, ...]:
        """Of the file and of every cluster."""
        return (*self.tokens, *self.kept_tokens())

    def elapsed_s(self, snapshot: Snapshot) -> float:
        """How long ago the snapshot was taken."""
        return max(self.now() - snapshot.taken, 0.0)

    def ready(self) -> bool:
        """Whether the data of a cluster is fresh; one that is not says nothing of the others."""
        return any(not blind(one, self.elapsed_s(one)) for one in self.snapshots().values())

    def view(self, snapshot: Snapshot) -> dict[str, Any]:
        """The snapshot in words, as of now."""
        return view(snapshot, self.elapsed_s(snapshot), utc(self.wall_s()), self.hardware(snapshot.vip))


def utc(wall_s: float) -> str:
    """As people read it: 2026-11-21T18:55:00.412Z."""
    return datetime.fromtimestamp(wall_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
