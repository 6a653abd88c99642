"""A pair with something of everything, so that each metric has a value; and what /metrics says of it."""

from __future__ import annotations

from dataclasses import replace

from pairs import DB_A, DB_B, FAILOVER, HELD, PRIMARY, STANDBY, aged, healthy
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from monitoring.counted import of_channels
from monitoring.measured import Measured
from monitoring.metrics import families, samples
from monitoring.sample import Sample
from orchestrator.core.kept import KeptTransaction, Open
from orchestrator.core.lease import Margins, Timing
from orchestrator.core.outbox import ChannelState, Outgoing, Queue, Route
from orchestrator.core.reconcile import Merge, Reconcile
from orchestrator.core.requests import Pause
from orchestrator.core.returning import Returning, Rung, Stage
from orchestrator.core.snapshot import Snapshot
from orchestrator.core.totals import OUTAGE_S, STAGE_S, STEP_S, Histogram, Totals, watched

WALL_S = 1_795_546_744.0
SECOND = Histogram().noting(0.096, OUTAGE_S)
TOTALS = replace(
    watched(Totals(), 498762, 3600.0, 3240.0),
    incident=7,
    operations={"failover/auto/ok": 2, "failover/auto/aborted": 1},
    outages={"failover/auto": SECOND},
    steps={"promote": Histogram().noting(0.021, STEP_S)},
    stages={"rewind": Histogram().noting(12.0, STAGE_S)},
    reconciled={"merged": 5, "quarantined": 1},
    lost=0,
    chunks={"equal": 30, "hot": 2},
)
OPS = Queue(Route("ops", "webhook"), ("0000000007", "0000000008"), ChannelState(sent=6, given_up=1))
OUTGOING = Outgoing((), (OPS,))
RETURN = Reconcile(7, 7, DB_B, Rung.REWIND, Stage.BUNDLE, Merge.WAITING, waits="over the limits")


def full(**changes: object) -> Snapshot:
    """Healthy by its verdict, with a return under way, a pause, and counters of the past."""
    margins = Margins().noting(1.4, Timing()).noting(0.2, Timing())
    primary = replace(PRIMARY, margins=margins, wall_s=1.0)
    standby = replace(STANDBY, returning=Returning(id=7, percent=40.0))
    told = {
        "leases": {DB_A: aged(HELD, 0.05)},
        "reports": {DB_A: aged(primary), DB_B: aged(standby)},
        "returning": RETURN,
        "kept": Open(1, (KeptTransaction(6, "g:1", "conflict"),)),
        "paused": True,
        "pause": Pause(active=True, for_s=1800.0, actor="olga", reason="disk"),
        "pause_left_s": 1200.0,
        "incidents": (replace(FAILOVER, at_ms=1_795_546_500_000),),
        "clock_offsets_s": {DB_A: -0.004, DB_B: 0.1},
        "totals": TOTALS,
    }
    return healthy(**{**told, **changes})


class _Families(Collector):
    def __init__(self, found: list[Family]) -> None:
        self._found = found

    def collect(self):
        return iter(self._found)


def text(snapshot: Snapshot, elapsed_s: float = 0.0, outgoing: Outgoing | None = None) -> str:
    """What Prometheus is told of the pair."""
    told = [*samples(snapshot, elapsed_s, WALL_S), *of_channels(outgoing or Outgoing((), ()))]
    told.append(Sample("sse_clients", 2))
    return generate_latest(_Families(list(families((snapshot.name, one) for one in told)))).decode()


def local() -> CollectorRegistry:
    """The instruments of a process in which everything has happened once."""
    measured = Measured()
    measured.ticked("shop", WALL_S, 0.002)
    measured.asked("shop", "write", 0.004)
    return measured.registry


def parsed(shown: str) -> dict[str, Family]:
    """By the name under which the samples of a family are asked for, counters with their _total."""
    found = {}
    for family in text_string_to_metric_families(shown):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        found[name] = family
    return found


def value(shown: str, name: str, **labels: str) -> float | None:
    """The only sample of that name with these labels; None if there is none."""
    found = [
        sample.value
        for family in text_string_to_metric_families(shown)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    assert len(found) <= 1, (name, labels, found)
    return found[0] if found else None
