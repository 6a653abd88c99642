"""The counters of a pair as samples. What was never counted is 0 from the start, so that the first one is a rise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from monitoring.sample import Bars, Sample
from orchestrator.core.outbox import Outgoing
from orchestrator.core.returning import Verdict
from orchestrator.core.totals import OUTAGE_S, STAGE_S, STEP_S, Histogram, Totals, share

OPERATIONS = {"failover": "failovers_total", "switchover": "switchovers_total"}
OUTCOMES = ("ok", "aborted")


def counters(totals: Totals) -> Iterator[Sample]:
    """All of them."""
    for kind, metric in OPERATIONS.items():
        for trigger in ("auto", "manual"):
            for outcome in OUTCOMES:
                number = totals.operations.get(f"{kind}/{trigger}/{outcome}", 0)
                yield Sample(metric, number, {"trigger": trigger, "outcome": outcome})
    yield from _histograms("write_outage_seconds", ("kind", "trigger"), totals.outages, OUTAGE_S)
    yield from _histograms("phase_duration_seconds", ("phase",), totals.steps, STEP_S)
    yield from _histograms("reconcile_phase_duration_seconds", ("phase",), totals.stages, STAGE_S)
    yield Sample("acknowledged_transactions_lost_total", totals.lost)
    for verdict in Verdict:
        yield Sample("reconciled_transactions_total", totals.reconciled.get(verdict, 0), {"decision": str(verdict)})
    for result in ("equal", "hot", "diverged"):
        yield Sample("verify_chunks_total", totals.chunks.get(result, 0), {"result": result})
    yield Sample("failover_ready_seconds_total", totals.ready_s)
    yield Sample("failover_watched_seconds_total", totals.watched_s)
    ready_share, _ = share(totals)
    if ready_share is not None:
        yield Sample("failover_ready_ratio", ready_share)


def of_channels(outgoing: Outgoing) -> Iterator[Sample]:
    """What became of the notices of each channel, and how many wait."""
    for queue in outgoing.channels:
        of_channel = {"channel": queue.route.name}
        yield Sample("alert_queue_length", len(queue.waiting), of_channel)
        for outcome, number in (("sent", queue.state.sent), ("given_up", queue.state.given_up)):
            yield Sample("alerts_sent_total", number, {**of_channel, "outcome": outcome})


def _histograms(
    metric: str, labels: Sequence[str], found: Mapping[str, Histogram], bounds: Sequence[float]
) -> Iterator[Sample]:
    for key, one in sorted(found.items()):
        names = dict(zip(labels, key.split("/"), strict=True))
        yield Sample(metric, Bars(bounds, one.counts, one.sum_s), names)
