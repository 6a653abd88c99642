"""What persons ask about a return: which of it is admitted, given to the primary's agent, answered. Pure.

Beside the rules, never among them: no failover waits for any of it, and none of it waits for a failover's end but by
being refused or carried out by whoever is primary then.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from orchestrator.core.admission import admit
from orchestrator.core.kept import Choice, Settlement, Settlements
from orchestrator.core.reconcile import Reconcile
from orchestrator.core.reconciling import rebuilt
from orchestrator.core.requests import CHOICES, OF_RETURNS, Kind, Request, RequestState
from orchestrator.core.returning import Outcome, Rung, Stage
from orchestrator.core.situation import Situation
from orchestrator.core.transitions import Answer
from orchestrator.core.unreadable import Record
from orchestrator.core.wire import encode

TOGETHER = 20  # requests in one write
PENDING_BYTES = 224 << 10  # of all choices that are being carried out, in one record; one alone is always less


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be written together; None stays as it is."""

    answers: tuple[Answer, ...] = ()
    settlements: Settlements | None = None
    record: Reconcile | None = None

    @property
    def empty(self) -> bool:
        return not self.answers and self.settlements is None and self.record is None


def step(s: Situation) -> Step:
    """The requests about returns that the situation moves on, and the records that follow from them."""
    present = s.reconcile.value if s.reconcile else None
    record = present
    answers: list[Answer] = []
    after: dict[str, Request] = {}
    left = PENDING_BYTES - sum(_size(one.value) for one in s.requests.values() if _is_pending(one.value))
    for name, sighting in s.requests.items():
        request = sighting.value
        if request.kind not in OF_RETURNS:
            continue
        after[name] = request
        if len(answers) == TOGETHER or (moved := _moved(request, s)) == request:
            continue
        if moved.state is RequestState.DONE and record is not present:
            continue  # one change of the record at a time: the next looks at what came of it
        if _is_pending(moved) and (left := left - _size(moved)) < 0:
            continue  # it waits until others are answered: nobody could read a record that is too large
        after[name] = moved
        answers.append(Answer(moved, sighting.version))
        record = _changed(moved, s, record)
    wanted = Settlements(tuple(_settlement(one) for one in after.values() if _is_pending(one)))
    known = s.settlements.value if s.settlements else Settlements()
    same = wanted == known and not s.cannot_read(Record.DECISIONS)
    return Step(
        tuple(answers),
        settlements=None if same else wanted,
        record=None if record == present else record,
    )


def _moved(request: Request, s: Situation) -> Request:
    if request.state is RequestState.REQUESTED:
        admission = admit(request, s)
        if not admission.admitted:
            return replace(
                request, state=RequestState.REFUSED, answer="refused by a pre-check", failed_checks=admission.failed
            )
        if request.kind in CHOICES:
            return replace(request, state=RequestState.RUNNING)
        return replace(request, state=RequestState.DONE, answer=_done(request, s))
    outcome = _outcome(request, s) if _is_pending(request) else None
    return replace(request, state=RequestState(outcome.ended.value), answer=outcome.answer) if outcome else request


def _is_pending(request: Request) -> bool:
    return request.kind in CHOICES and request.state is RequestState.RUNNING


def _size(choice: Request) -> int:
    return len(encode(_settlement(choice)))


def _outcome(request: Request, s: Situation) -> Outcome | None:
    """Only the primary of this epoch can say it: what an earlier one did may not have come over."""
    report = s.report(s.primary)
    if report is None or report.epoch != s.cluster.epoch:
        return None
    return next((one for one in report.settled if one.request == request.id), None)


def _settlement(request: Request) -> Settlement:
    choice = Choice.APPLY if request.kind is Kind.RECONCILE_APPLY else Choice.DISCARD
    return Settlement(
        request.id, choice, request.returning, request.gtid, request.seen, request.actor, request.reason, request.edits
    )


def _done(request: Request, s: Situation) -> str:
    if request.kind is Kind.RECONCILE_APPROVE:
        return f"the merge of return {request.returning} goes on"
    record = s.reconcile.value if s.reconcile else None
    goes_on = record is not None and record.stage is Stage.STOPPED
    what = f"return {record.id} goes on" if record and goes_on else "a return is opened"
    return f"{what} with the rung {Rung.CLONE}: see kembar reconcile list"


def _changed(request: Request, s: Situation, record: Reconcile | None) -> Reconcile | None:
    """The record of the return after this answer."""
    if request.state is not RequestState.DONE:
        return record
    if request.kind is Kind.RECONCILE_APPROVE and record is not None:
        return replace(record, approved=True)
    if request.kind is not Kind.REJOIN:
        return record
    if record is not None and record.stage is Stage.STOPPED:
        # The rungs above have said why not; what they left is taken up by the last one, with the evidence that is kept.
        stage = Stage.CLONE if record.sums else Stage.BUNDLE
        return replace(record, rung=Rung.CLONE, stage=stage, stopped="", attempt=record.attempt + 1)
    return rebuilt(s, f"{request.actor} asked for it: {request.reason}")
