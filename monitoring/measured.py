"""What one orchestrator measures of itself, in the library's own instruments: cheap enough for the tick's thread."""

from __future__ import annotations

import platform
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Gauge, Histogram, disable_created_metrics

from monitoring.metric_table import METRICS
from orchestrator.core.totals import STEP_S

COMPONENT = "orchestrator"


class Measured:
    """Counts since the start of this process. Every method may be called from any thread and never blocks."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a series beside each histogram that nobody asks for
        self.registry = CollectorRegistry()
        build = self._gauge("kembar_build_info", "version", "python", "component")
        build.labels(version("kembar"), platform.python_version(), COMPONENT).set(1)
        self._last_tick = self._gauge("kembar_tick_last_run_timestamp_seconds", "cluster", "component")
        self._tick = self._histogram("kembar_tick_duration_seconds", "cluster", "component")
        self._operation = self._histogram("kembar_zookeeper_op_duration_seconds", "cluster", "op")

    def ticked(self, cluster: str, wall_s: float, took_s: float) -> None:
        """One pass of a loop ended at `wall_s` (UTC)."""
        self._last_tick.labels(cluster, COMPONENT).set(wall_s)
        self._tick.labels(cluster, COMPONENT).observe(took_s)

    def asked(self, cluster: str, op: str, took_s: float) -> None:
        """ZooKeeper answered one `op`: read or write."""
        self._operation.labels(cluster, op).observe(took_s)

    def _gauge(self, name: str, *labels: str) -> Gauge:
        return Gauge(name, METRICS[name].help, labels, registry=self.registry)

    def _histogram(self, name: str, *labels: str) -> Histogram:
        return Histogram(name, METRICS[name].help, labels, registry=self.registry, buckets=STEP_S)
