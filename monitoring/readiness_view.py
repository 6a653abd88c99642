"""What a failover would cost now, in words: as page, status and API show it."""

from __future__ import annotations

from typing import Any

from monitoring.node_view import blind
from orchestrator.core.readiness import Readiness
from orchestrator.core.snapshot import Snapshot
from orchestrator.core.totals import Totals, share
from orchestrator.core.wire import plain


def readiness_view(s: Snapshot, elapsed_s: float) -> dict[str, Any]:
    """The judgement as plain values with `text`; `share` is of the last day (0 to 1), None while nothing was counted.

    `elapsed_s`: since the snapshot was taken. What may be long past is not known.
    """
    one = Readiness(s.readiness.standby, because=("no fresh data",)) if blind(s, elapsed_s) else s.readiness
    ready_share, watched_s = share(s.totals or Totals())
    shown: dict[str, Any] = plain(one)
    return {
        **shown,
        "loss_as_of_s": round(one.loss_as_of_s + elapsed_s, 3),
        "ready": one.ready,
        "automatic": one.automatic,
        "share": None if ready_share is None else round(ready_share, 6),
        "share_of_s": round(watched_s, 1),
        "text": "; ".join([_judged(one, elapsed_s), *_shared(ready_share, watched_s)]),
    }


def _judged(one: Readiness, elapsed_s: float) -> str:
    if one.promotable is None:
        return f"not known: {', '.join(one.because)}"
    if not one.promotable:
        return f"no, {one.standby} is not promotable: {', '.join(one.because)}; {_loss(one, elapsed_s)}"
    held = f", but {one.held}: it would not begin by itself" if one.held else ""
    backlog = f", after {_transactions(one.backlog_transactions)} of backlog" if one.backlog_transactions else ""
    return f"yes, {one.standby} is promotable{held}; {_loss(one, elapsed_s)}; writes out {_outage(one)}{backlog}"


def _loss(one: Readiness, elapsed_s: float) -> str:
    if one.loss_transactions is None:
        return "what would be lost is not known"
    if one.loss_transactions == 0 and one.promotable:
        return "no acknowledged transaction would be lost"
    age_s = one.loss_as_of_s + elapsed_s
    return f"forced, it would lose {_transactions(one.loss_transactions)} and what came in the last {age_s:.1f} s"


def _outage(one: Readiness) -> str:
    silent = "" if one.silent_ms is None else f"{one.silent_ms / 1000:.1f} s if its host falls silent"
    if one.exited_ms is None:
        return f"about {silent}"
    times = f"the last {one.measured}" if one.measured > 1 else "the last one"
    return f"about {one.exited_ms:.0f} ms if mysqld exits ({times}), {silent}"


def _transactions(number: int) -> str:
    return f"{number} transaction{'' if number == 1 else 's'}"


def _shared(ready_share: float | None, watched_s: float) -> list[str]:
    if ready_share is None:
        return []
    hours = f"{watched_s / 3600:.1f} h" if watched_s >= 3600 else f"{watched_s / 60:.0f} min"
    return [f"safe in {100 * ready_share:.2f} % of the {hours} watched in the last day"]
