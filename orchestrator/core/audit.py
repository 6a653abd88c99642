"""What was asked of a cluster, by whom and from where, and what became of it: the record of each action and refusal."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.core.requests import Request, RequestState

ENDED = (RequestState.DONE, RequestState.REFUSED, RequestState.FAILED)
TEXT_MAX = 500  # characters of what a caller may choose


@dataclass(frozen=True, slots=True)
class Entry:
    """One action, or the end of an operation, which names the same `operation`."""

    at: str  # UTC
    actor: str  # name of the token; "-": nobody known
    role: str
    origin: str  # address of the caller; empty: the leader carried it out
    instance: str  # orchestrator
    action: str
    reason: str = ""
    epoch: int | None = None  # before
    epoch_after: int | None = None  # None: not known yet
    result: str = (
        ""  # done, accepted, replayed, refused, failed, not-carried-out, unknown-outcome, or the name of the problem
    )
    detail: str = ""
    operation: str = ""


def ended(request: Request, epoch: int, at: str, instance: str) -> Entry:
    """What became of an operation that was accepted before; `epoch` is that of the cluster now."""
    return Entry(
        at=at,
        actor=request.actor,
        role="",
        origin="",
        instance=instance,
        action=str(request.kind),
        reason=request.reason,
        epoch=request.epoch,
        epoch_after=epoch,
        result=str(request.state),
        detail="; ".join((request.answer, *request.failed_checks))[:TEXT_MAX],
        operation=request.id,
    )
