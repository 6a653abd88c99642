"""An orchestrator in memory: what carries page and API in the tests of both and of the command line."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from pairs import DB_A, DB_B, STEADY, healthy

from monitoring.backend import Backend, utc
from monitoring.measured import Measured
from orchestrator.core.access import AccessRole, Token, Tokens
from orchestrator.core.audit import Entry
from orchestrator.core.errors import CoordinatorUnavailable, StaleWrite
from orchestrator.core.history import Incident, Step, of_note
from orchestrator.core.kept import Open
from orchestrator.core.model import Policy
from orchestrator.core.reconcile import Reconcile
from orchestrator.core.requests import OF_RETURNS, Admission, Kind, Pause, PreCheck, Request, RequestState
from orchestrator.core.snapshot import Snapshot

WALL_S = 1795546744.120  # 2026-11-24T18:59:04.120Z


def token(name: str, role: AccessRole, **more: object) -> Token:
    """A token whose secret is `<name>-secret`."""
    return Token(name, role, hashlib.sha256(f"{name}-secret".encode()).hexdigest(), **more)


TOKENS = (
    token("vera", AccessRole.VIEWER),
    token("olga", AccessRole.OPERATOR),
    token("adam", AccessRole.ADMIN),
    token("other", AccessRole.ADMIN, clusters=("other",)),
    token("gone", AccessRole.ADMIN, expires_s=WALL_S - 1),
)


@dataclass
class Carrier:
    """One cluster whose leader, when asked to, carries a switchover out at once."""

    snapshot: Snapshot = field(default_factory=healthy)
    now_s: float = 100.0
    wall_s: float = WALL_S
    tick_s: float = 0.0  # how far the clock moves with each reading
    obedient: bool = False
    reachable: bool = True
    refusals: tuple[PreCheck, ...] = ()
    anonymous: bool = False
    anonymous_metrics: bool = False
    measured: Measured = field(default_factory=Measured)
    lose_answer: type[Exception] | None = None  # the write happens, its answer is this
    before_submit: Callable[[], None] = lambda: None
    submitted: list[Request] = field(default_factory=list)
    policy_version: int = 3
    pauses: list[Pause] = field(default_factory=list)
    kept_tokens: Tokens = field(default_factory=Tokens)
    tokens_version: int = 0
    audit: list[Entry] = field(default_factory=list)
    reports: dict[int, Reconcile] = field(default_factory=dict)  # of returns that are over
    answers_for: str = ""  # the hardware address that answers for the VIP

    def backend(self) -> Backend:
        return Backend(
            instance="witness",
            snapshots=lambda: {self.snapshot.name: self.snapshot},
            now=self.now,
            wall_s=lambda: self.wall_s,
            dry_run=self.dry_run,
            submit=self.submit,
            read_request=lambda _, key: self.snapshot.requests.get(key),
            put_pause=self.put_pause,
            read_policy=lambda _: (self.snapshot.policy, self.policy_version),
            put_policy=self.put_policy,
            return_ids=lambda _: tuple(self.reports),
            read_return=lambda _, id: self.reports.get(id),
            kept_tokens=lambda: self.kept_tokens.of(self.snapshot.name),
            read_tokens=lambda _: (self.kept_tokens, self.tokens_version),
            put_tokens=self.put_tokens,
            audit=lambda _, entry: self.audit.append(entry),
            read_audit=lambda _, limit: tuple(reversed(self.audit[-limit:])),
            session_key=b"k" * 32,
            tokens=TOKENS,
            anonymous_viewers=self.anonymous,
            anonymous_metrics=self.anonymous_metrics,
            measured=self.measured,
            hardware=lambda _: self.answers_for,
        )

    def now(self) -> float:
        self.now_s += self.tick_s
        return self.now_s

    def dry_run(self, cluster: str, request: Request) -> Admission:
        named = request.to == DB_B or request.kind in OF_RETURNS
        target = PreCheck("target", named, f"{request.to!r} is not the standby, which is db-b")
        return Admission((target, *self.refusals))

    def submit(self, cluster: str, request: Request) -> None:
        self._reach()
        self.before_submit()
        if request.id in self.snapshot.requests or request.epoch != self.snapshot.cluster.epoch:
            raise StaleWrite("another was first")
        self.submitted.append(request)
        self.put(request)
        if self.obedient:
            self.carry_out(request)
        if self.lose_answer:
            raise self.lose_answer("the answer never came")

    def put(self, request: Request) -> None:
        """As its record stands now."""
        self.snapshot = replace(self.snapshot, requests={**self.snapshot.requests, request.id: request})

    def carry_out(self, request: Request, state: RequestState = RequestState.DONE) -> None:
        """What the leader leaves behind: the answered request, the incident, the next epoch."""
        steps = (Step("fence", 0.0, 9.0), Step("drain", 9.0, 22.0), Step("promote", 31.0, 21.0), Step("vip", 52.0, 8.0))
        if request.kind in OF_RETURNS:
            self.settle(request, state)
            return
        if request.kind is Kind.NOTE:
            number = max(self.snapshot.events, default=0) + 1
            event = replace(of_note(request, self.snapshot.cluster, utc(self.wall_s)), number=number)
            self.put(replace(request, state=state, answer="it is in the event log"))
            self.snapshot = replace(self.snapshot, events={**self.snapshot.events, number: event})
            return
        incident = Incident(
            id=8,
            kind="switchover",
            trigger="manual",
            cause=request.id,
            actor=request.actor,
            reason=request.reason,
            rule="S2",
            epoch=8,
            origin=DB_A,
            target=DB_B,
            began="2026-11-24T18:59:04.130Z",
            outcome="ok",
            total_ms=71.0,
            steps=steps,
        )
        self.put(replace(request, state=state, answer="db-b serves"))
        self.snapshot = replace(
            self.snapshot,
            cluster=replace(STEADY, epoch=8, seq=43, primary=DB_B, promotable=None),
            incidents=(incident, *self.snapshot.incidents),
        )

    def settle(self, request: Request, state: RequestState) -> None:
        """What the primary's agent and the leader leave behind of a choice."""
        self.put(replace(request, state=state, answer=f"{request.gtid or request.to} is settled"))
        left = tuple(one for one in self.snapshot.kept.transactions if one.gtid != request.gtid)
        left = tuple(replace(one, after=tuple(gtid for gtid in one.after if gtid != request.gtid)) for one in left)
        self.snapshot = replace(self.snapshot, kept=Open(len(left), left))

    def put_pause(self, cluster: str, pause: Pause) -> None:
        self._reach()
        self.pauses.append(pause)
        self.snapshot = replace(self.snapshot, paused=pause.active, pause=pause, pause_left_s=pause.for_s or None)

    def put_policy(self, cluster: str, policy: Policy, version: int) -> None:
        self._reach()
        self.before_submit()
        if version != self.policy_version:
            raise StaleWrite(f"version {version} is not {self.policy_version}")
        self.policy_version += 1
        self.snapshot = replace(self.snapshot, policy=policy)

    def put_tokens(self, cluster: str, tokens: Tokens, version: int) -> None:
        self._reach()
        self.before_submit()
        if version != self.tokens_version:
            raise StaleWrite(f"version {version} is not {self.tokens_version}")
        self.kept_tokens, self.tokens_version = tokens, version + 1

    def _reach(self) -> None:
        if not self.reachable:
            raise CoordinatorUnavailable("not connected to ZooKeeper: nothing was sent")
