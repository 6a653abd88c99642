"""Events and incidents: what happened, why, who started it, its timeline. Written after the fact, never decided on."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.core.model import NodeName


@dataclass(frozen=True, slots=True)
class Step:
    """One phase of a timeline: detect, fence, drain, promote, vip or verify."""

    phase: str
    offset_ms: float  # since the incident began, by the leader's clock
    duration_ms: float


@dataclass(frozen=True, slots=True)
class Incident:
    """One failover or switchover, stored at history/incidents/<id>."""

    id: int
    kind: str  # failover, switchover, give-back
    trigger: str  # auto or manual
    actor: str
    reason: str
    rule: str
    epoch: int
    origin: NodeName  # the primary before
    target: NodeName  # the primary after
    began: str  # UTC, ISO 8601 with milliseconds, for people
    outcome: str = "running"  # running, ok, aborted
    total_ms: float = 0.0
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the event log, at history/events/<n>; `type` as in CloudEvents, without the leading `kembar.`."""

    type: str
    at: str
    severity: str  # info, warning, critical
    text: str
    epoch: int
    seq: int
    rule: str = ""
    node: str = ""
    incident: int = 0
