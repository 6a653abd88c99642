"""The pre-checks of what a person asks about a return: a choice, an approval, a node to be brought back. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from orchestrator.core.kept import KeptTransaction
from orchestrator.core.model import Phase
from orchestrator.core.reconcile import waits_for_approval
from orchestrator.core.requests import CHOICES, Kind, PreCheck, RejoinPath, Request, RequestState
from orchestrator.core.returning import Stage
from orchestrator.core.situation import Situation


def _settled_phase(s: Situation) -> PreCheck:
    settled = s.cluster.phase in (Phase.STEADY, Phase.REJOINING)
    return PreCheck("phase", settled, f"the pair is {s.cluster.phase}: wait until it is STEADY or REJOINING")


def _choice(request: Request, s: Situation) -> tuple[PreCheck, ...]:
    """About one kept transaction, by what the operator saw of it; the primary's agent looks at the rows themselves."""
    kept, primary = s.kept.one(request.returning, request.gtid), s.report(s.primary)
    rival = _rival(request, s)
    checks = [
        PreCheck(
            "open",
            kept is not None,
            f"return {request.returning} has no open transaction {request.gtid!r}: see kembar reconcile list",
        ),
        PreCheck(
            "undecided",
            rival is None,
            f"{rival.actor if rival else ''} has decided it already: see kembar reconcile show {request.returning}",
        ),
        _settled_phase(s),
        PreCheck(
            "primary",
            primary is not None and primary.gate_open and primary.writable,
            f"{s.primary} does not serve, so that nothing can be decided there: see kembar status",
        ),
    ]
    return (*checks, *_of_kept(request, kept)) if kept else tuple(checks)


def _rival(request: Request, s: Situation) -> Request | None:
    """Another's choice about the same transaction, which is being carried out."""
    same = (
        one.value
        for one in s.requests.values()
        if (one.value.returning, one.value.gtid) == (request.returning, request.gtid) and one.value.id != request.id
    )
    return next((one for one in same if one.kind in CHOICES and one.state is RequestState.RUNNING), None)


def _of_kept(request: Request, kept: KeptTransaction) -> tuple[PreCheck, ...]:
    applies = request.kind is Kind.RECONCILE_APPLY
    wrong = _wrong_edits(request, kept)
    return (
        PreCheck(
            "version",
            request.seen == kept.seen,
            "its rows are shown with other values since you looked: kembar reconcile show "
            f"{request.returning}, then decide again",
        ),
        PreCheck("order", not kept.after, f"it changed the same rows after {', '.join(kept.after)}: decide that first"),
        PreCheck("applicable", not (applies and kept.bar), f"{kept.bar}: do what is needed by hand, then discard it"),
        PreCheck("edits", not wrong, wrong),
    )


def _wrong_edits(request: Request, kept: KeptTransaction) -> str:
    for number, values in request.edits.items():
        if not (number.isdecimal() and 1 <= int(number) <= kept.row_count):
            return f"row {number!r}: the transaction has rows 1 to {kept.row_count}"
        left = kept.rows[int(number) - 1].left if int(number) <= len(kept.rows) else {}
        if left is None:
            return f"row {number}: it was deleted there, so that there is nothing to edit"
        unknown = [name for name in values if left and name not in left]
        if unknown:
            return f"row {number}: there is no column {unknown[0]!r}, but {', '.join(left)}"
    return ""


def _approve(request: Request, s: Situation) -> tuple[PreCheck, ...]:
    record = s.reconcile.value if s.reconcile else None
    named = record is not None and record.open and record.id == request.returning
    return (
        PreCheck("return", named, f"return {request.returning} is not under way: see kembar reconcile list"),
        PreCheck(
            "waiting",
            record is not None and waits_for_approval(record, s.policy.reconcile),
            f"return {request.returning} does not wait for anybody's consent",
        ),
        _settled_phase(s),
    )


def _rejoin(request: Request, s: Situation) -> tuple[PreCheck, ...]:
    record = s.reconcile.value if s.reconcile else None
    stopped = record is not None and record.stage is Stage.STOPPED and record.node == request.to
    idle = record is None or not record.open
    anew = request.path is RejoinPath.CLONE and idle
    target = s.report(request.to) if request.to in s.pair else None
    return (
        PreCheck("target", request.to == s.standby, f"{request.to!r} is not the node beside the primary, {s.standby}"),
        PreCheck("heard", target is not None, f"{request.to} is not heard: start its agent"),
        _settled_phase(s),
        PreCheck(
            "return",
            stopped or anew,
            f"return {record.id} is under way and has not stopped: wait for it"
            if record is not None and not idle
            else "no return of it stopped: it comes back by itself, or give --path clone",
        ),
        PreCheck(
            "allowed",
            s.policy.reconcile.clone.allowed,
            "reconcile.clone.allowed is false: kembar config set --file FILE --reason TEXT",
        ),
        PreCheck(
            "certified",
            not s.standby_certified(),
            f"{request.to} is certified: it is proven to hold everything, and nothing is rebuilt",
        ),
    )


RETURN_CHECKS: Mapping[Kind, Callable[[Request, Situation], tuple[PreCheck, ...]]] = {
    Kind.RECONCILE_APPLY: _choice,
    Kind.RECONCILE_DISCARD: _choice,
    Kind.RECONCILE_APPROVE: _approve,
    Kind.REJOIN: _rejoin,
}
