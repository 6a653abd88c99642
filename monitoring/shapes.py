"""The shapes of what API v1 shows, for its description; those of actions are in `answers`.

Each names what is promised; more may stand beside it.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.core.history import Event, Step


class Shape(BaseModel):
    """Of an answer."""

    model_config = ConfigDict(extra="allow")


class State(Shape):
    """Of the process."""

    status: str


class Freshness(Shape):
    """How old what is shown is."""

    age_s: float
    stale: bool


class ClusterRow(Shape):
    """One cluster in the list."""

    cluster: str
    state: str  # split_suspected, no_primary, failing_over, blind, unknown, degraded, healthy
    mark: str
    verdict: str
    primary: str | None
    mode: str | None
    epoch: int | None
    data: Freshness


class Clusters(Shape):
    """Worst first."""

    clusters: list[ClusterRow]


class Vip(Shape):
    """Who holds it, by the agents, by ZooKeeper, and by who answers for it where this orchestrator is."""

    address: str
    holder: str | None
    disputed: bool
    agents: list[str]
    zookeeper: str | None
    arp: dict[str, Any]  # hardware: empty if not known; node: whose it is; foreign: neither node's


class ClusterView(ClusterRow):
    """Everything that is shown of one cluster."""

    at: str
    writes: str  # ok, stalled, no, unknown
    standby: str | None
    phase: str | None
    seq: int | None
    vip: Vip
    auto_failover: str
    finding: dict[str, str]
    waiting: str
    risk: Any
    nodes: list[dict[str, Any]]
    operations: list[dict[str, Any]]
    events: list[dict[str, Any]]


class ReadinessView(Shape):
    """What a failover would cost now."""

    ready: bool | None
    automatic: bool | None
    share: float | None  # of the last day, 0 to 1
    text: str


class IncidentRow(Shape):
    """One failover or switchover."""

    id: int
    kind: str
    trigger: str
    actor: str
    reason: str
    rule: str
    epoch: int
    origin: str
    target: str
    began: str
    outcome: str  # running, ok, aborted
    total_ms: float
    steps: list[Step]
    text: str


class Incidents(Shape):
    """Newest first."""

    incidents: list[IncidentRow]


class Envelope(Shape):
    """A CloudEvent 1.0."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str = ""
    time: str
    datacontenttype: str
    data: dict[str, Any] = Field(description=f"cluster, and of the event: {', '.join(Event.__dataclass_fields__)}")


class Events(Shape):
    """Oldest first."""

    events: list[Envelope]


class Outage(Shape):
    """How long no client could write; as much as `uncertainty_ms` may lie before it."""

    ms: float
    uncertainty_ms: float


class IncidentView(IncidentRow):
    """One of them with its events, and what came of it."""

    cluster: str
    vip: str
    rule_text: str
    loss: str
    fence: str
    write_outage: Outage
    events: list[Envelope]
    around: list[Envelope] = Field(description="other events within five minutes")
    return_: dict[str, Any] | None = Field(alias="return")
    todo: list[dict[str, str]]
    settings: dict[str, Any]


class ReturnRow(Shape):
    """One return of an old primary."""

    id: int
    node: str
    open: bool
    rung: str
    stage: str
    undecided: int


class Returns(Shape):
    """Newest first; `open` transactions wait for a person."""

    returns: list[ReturnRow]
    open: int


class ReturnView(ReturnRow):
    """One return with what is kept of it."""

    kept: list[dict[str, Any]]


class FieldProblem(Shape):
    """One mistake, and where it is: a JSON pointer, or ?NAME of the query."""

    pointer: str
    detail: str


class ProblemDocument(Shape):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    hint: str = ""
    errors: list[FieldProblem] = []
    failed_checks: list[str] = []
    epoch: int | None = None


class ProblemKind(Shape):
    """What a `type` means."""

    type: str
    status: int
    title: str
    meaning: str


class Description(Shape):
    """OpenAPI 3.1."""

    openapi: str
    info: dict[str, str]
    paths: dict[str, Any]
    components: dict[str, Any]
