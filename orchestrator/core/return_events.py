"""What the history says of a return and of what persons decide about it; what its report keeps of that. Pure."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate

from orchestrator.core.history import Event
from orchestrator.core.reconcile import Reconcile, Settled
from orchestrator.core.requests import Kind, Request, RequestState
from orchestrator.core.returning import Stage
from orchestrator.core.situation import Situation
from orchestrator.core.wire import encode

SETTLED_MAX, SETTLED_BYTES = 200, 128 << 10  # in one report: the row in kembar.quarantine keeps each one for good
TEXT_MAX = 300  # characters of what a person wrote, or of an answer
ACTOR = "orchestrator"


def of_record(record: Reconcile, before: Reconcile | None, s: Situation) -> Event | None:
    """An event if the record came to where people look: opened, planned, stopped, closed."""
    if before is None or before.id != record.id:
        text = f"{record.node} has transactions that {s.primary} never saw: {record.errant or 'none'}"
        return _event("reconcile.opened", "warning", f"return {record.id}: {text}", record, s)
    if before.stage is record.stage:
        return None
    if before.stage is Stage.DETECT:
        why = f" ({'; '.join(record.reasons)})" if record.reasons else ""
        text = f"return {record.id}: rung {record.rung}{why}, {record.transactions} transactions, {record.rows} rows"
        return _event("reconcile.planned", "info", text, record, s)
    if record.stage is Stage.STOPPED:
        return _event("reconcile.stopped", "critical", f"return {record.id} stopped: {record.stopped}", record, s)
    if record.stage is Stage.CLOSED:
        counts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(record.verdicts.items()))
        text = record.stopped or counts or "nothing was to be merged"
        return _event("reconcile.closed", "info", f"return {record.id} of {record.node} is over: {text}", record, s)
    return None


def of_request(request: Request, s: Situation) -> Event:
    """An event of each answer to a person: taken up, carried out, refused."""
    about = f"{request.gtid} of return {request.returning}" if request.gtid else f"return {request.returning}"
    what = f"rejoin {request.to}" if request.kind is Kind.REJOIN else f"{_verb(request)} {about}"
    said = "; ".join(request.failed_checks) or request.answer
    match request.state:
        case RequestState.RUNNING:
            type, severity, text = "reconcile.decided", "info", f"{what}: {request.reason}"
        case RequestState.DONE:
            chosen = request.kind in (Kind.RECONCILE_APPLY, Kind.RECONCILE_DISCARD)
            type, severity = "reconcile.applied" if chosen else "reconcile.decided", "info"
            text = f"{what}: {said}"
        case _:
            type, severity, text = "reconcile.refused", "warning", f"{what} is {request.state}: {said}"
    return Event(
        type=type,
        at="",
        severity=severity,
        text=text[: 2 * TEXT_MAX],
        epoch=s.cluster.epoch,
        seq=s.cluster.seq,
        node=request.to or s.primary,
        trigger="manual",
        actor=request.actor,
        reason=request.reason[:TEXT_MAX],
    )


def with_choice(record: Reconcile, request: Request, at_ms: int) -> Reconcile:
    """The report with one more choice of a person and its outcome."""
    made = Settled(
        gtid=request.gtid,
        choice=_verb(request),
        actor=request.actor,
        reason=request.reason[:TEXT_MAX],
        ended=request.state,
        answer=request.answer[:TEXT_MAX],
        at_ms=at_ms,
    )
    return replace(record, settled=_newest((*record.settled, made)[-SETTLED_MAX:]))


def _newest(settled: tuple[Settled, ...]) -> tuple[Settled, ...]:
    """As many as there is room for: nobody could read a report that is too large."""
    sizes = accumulate(len(encode(one)) for one in reversed(settled))
    return settled[-sum(size <= SETTLED_BYTES for size in sizes) :]


def _verb(request: Request) -> str:
    return "edit" if request.edits else request.kind.removeprefix("reconcile_")


def _event(type: str, severity: str, text: str, record: Reconcile, s: Situation) -> Event:
    return Event(
        type=type,
        at="",
        severity=severity,
        text=text[: 2 * TEXT_MAX],
        epoch=s.cluster.epoch,
        seq=s.cluster.seq,
        node=record.node,
        trigger="auto",
        actor=ACTOR,
        reason="; ".join(record.reasons)[:TEXT_MAX],
    )
