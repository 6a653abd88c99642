"""What to answer to operators' requests: refused with every failed check, done, or failed. Written after the fact."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.core.admission import admit
from orchestrator.core.model import Phase
from orchestrator.core.requests import OF_RETURNS, Kind, Request, RequestState
from orchestrator.core.situation import Situation
from orchestrator.core.transitions import Answer
from orchestrator.core.verification import followed, taken_up


def answers(s: Situation) -> tuple[Answer, ...]:
    """One answer for each request that the situation settles; those about a return are answered beside (`settling`)."""
    found = []
    for sighting in s.requests.values():
        if sighting.value.kind in OF_RETURNS:
            continue
        request = _answered(sighting.value, s)
        if request != sighting.value:
            found.append(Answer(request, sighting.version))
    return tuple(found)


def _answered(request: Request, s: Situation) -> Request:
    if request.state is RequestState.REQUESTED and request.kind is Kind.NOTE:
        return replace(request, state=RequestState.DONE, answer="it is in the event log")  # of whatever epoch
    if request.state is RequestState.REQUESTED:
        admission = admit(request, s)
        if admission.admitted and request.kind is Kind.ACKNOWLEDGE:
            return replace(request, state=RequestState.DONE, answer="the failovers so far count no more")
        if admission.admitted and request.kind is Kind.VERIFY:
            return taken_up(request)
        if admission.admitted:
            return request  # a rule takes it up
        return replace(
            request, state=RequestState.REFUSED, answer="refused by a pre-check", failed_checks=admission.failed
        )
    if request.state is RequestState.RUNNING:
        return followed(request, s) if request.kind is Kind.VERIFY else _running(request, s)
    return request


def _running(request: Request, s: Situation) -> Request:
    settled = s.cluster.phase in (Phase.STEADY, Phase.REJOINING)
    # In the request's own epoch another cause means only that the mirror has not shown the record yet.
    overtaken = s.cluster.cause != request.id
    if overtaken and s.cluster.epoch == request.epoch:
        return request
    if overtaken or (settled and s.cluster.primary != request.to):
        return replace(request, state=RequestState.FAILED, answer=f"{s.cluster.primary} is primary: see kembar history")
    if settled:
        return replace(request, state=RequestState.DONE, answer=f"{request.to} is primary in epoch {s.cluster.epoch}")
    return request
