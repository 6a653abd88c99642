"""A verification that an operator asks for: whether it may begin, and what its end is. Pure.

No rule takes it up and nothing is decided by it: the request says RUNNING, which the standby's agent obeys.
"""

from __future__ import annotations

from dataclasses import replace

from orchestrator.core.requests import PreCheck, Request, RequestState
from orchestrator.core.situation import Situation
from orchestrator.core.verifying import Outcome, summary

TABLES_MAX = 100


def checks(request: Request, s: Situation) -> tuple[PreCheck, ...]:
    """Its own pre-checks."""
    standby, record = s.report(s.standby), s.reconcile.value if s.reconcile else None
    returning = record is not None and record.open
    others = [
        one.value
        for one in s.requests.values()
        if one.value.kind is request.kind and one.value.state is RequestState.RUNNING and one.value.id != request.id
    ]
    return (
        PreCheck("target", request.to == s.standby, f"{request.to!r} is not the standby, which is {s.standby}"),
        PreCheck(
            "replicates",
            standby is not None and standby.receiver_connected and standby.applier_running,
            f"{s.standby} does not follow {s.primary}: see kembar status",
        ),
        PreCheck("return", not returning, f"the return of {record.node if record else ''} is under way: wait for it"),
        PreCheck("alone", not others, "a verification is running: wait until it has ended"),
        PreCheck(
            "tables",
            len(request.tables) <= TABLES_MAX and all("." in table for table in request.tables),
            f"expected up to {TABLES_MAX} names like shop.customer, got {', '.join(request.tables)[:200]}",
        ),
    )


def taken_up(request: Request) -> Request:
    """One that is admitted."""
    return replace(request, state=RequestState.RUNNING)


def followed(request: Request, s: Situation) -> Request:
    """One that runs: as it is, or with its end. It outlives leaders and agents, and no change of the epoch."""
    if s.cluster.epoch != request.epoch:
        why = f"{s.primary} became primary in epoch {s.cluster.epoch} before it had ended: kembar verify begins anew"
        return replace(request, state=RequestState.FAILED, answer=why)
    sighting = s.reports.get(request.to)
    found = sighting.value.verified if sighting else None
    if found is None or found.id != request.id:
        return request
    state = RequestState.FAILED if found.outcome is Outcome.FAILED else RequestState.DONE
    return replace(request, state=state, answer=summary(found), verified=found)
