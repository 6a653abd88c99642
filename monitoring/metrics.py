"""Prometheus metrics of the pairs: pure functions of snapshots, so that every orchestrator says the same.

While a snapshot may be long past nothing of its pair is told: a frozen value would look healthy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family

from monitoring.counted import counters
from monitoring.metric_table import COUNTER, GAUGE, METRICS, Metric
from monitoring.node_view import blind
from monitoring.sample import Bars, Sample, one_of
from monitoring.view import STATES, view
from orchestrator.core.history import Incident
from orchestrator.core.lease import Margins
from orchestrator.core.model import LeaseState, Mode, Phase, Report, Role, SyncState
from orchestrator.core.reconcile import waits_for_approval
from orchestrator.core.snapshot import Snapshot

ROLES = (*Role, "unknown")


def samples(s: Snapshot, elapsed_s: float, wall_s: float) -> Iterator[Sample]:
    """Everything that is told of one pair. `elapsed_s`: since the snapshot was taken; `wall_s`: UTC now."""
    yield Sample("orchestrator_leader", s.leader == s.instance and s.connected)
    yield Sample("zookeeper_connected", s.connected)
    if blind(s, elapsed_s) or s.cluster is None:
        return
    shown = view(s, elapsed_s, "")
    yield from _pair(s, shown, elapsed_s, wall_s)
    yield from _readiness(s)
    yield from _return(s, shown)
    for row in shown["nodes"]:
        yield Sample("vip_holder", row["name"] in shown["vip"]["agents"], {"node": row["name"]})
        yield from _node(s, row, elapsed_s)
    if s.totals is not None:
        yield from counters(s.totals)


def families(told: Iterable[tuple[str, Sample]]) -> Iterator[Family]:
    """Samples with the cluster of each, as families that the library renders; every name must be in the table."""
    ordered = sorted(told, key=lambda one: one[1].metric)
    for name, group in groupby(ordered, key=lambda one: one[1].metric):
        metric = METRICS[f"kembar_{name}"]
        yield _family(metric, [(_labels(metric, cluster, sample), sample.value) for cluster, sample in group])


def _labels(metric: Metric, cluster: str, sample: Sample) -> list[str]:
    found = {"cluster": cluster, **sample.labels}
    return [found[name] for name in metric.labels]


def _family(metric: Metric, told: list[tuple[list[str], float | Bars]]) -> Family:
    if metric.kind == GAUGE:
        gauge = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
        for labels, value in told:
            assert not isinstance(value, Bars), metric.name
            gauge.add_metric(labels, value)
        return gauge
    if metric.kind == COUNTER:
        counter = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
        for labels, value in told:
            assert not isinstance(value, Bars), metric.name
            counter.add_metric(labels, value)
        return counter
    histogram = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, value in told:
        assert isinstance(value, Bars), metric.name
        histogram.add_metric(labels, value.cumulated(), value.sum_value)
    return histogram


def _pair(s: Snapshot, shown: dict[str, Any], elapsed_s: float, wall_s: float) -> Iterator[Sample]:
    assert s.cluster is not None
    yield from one_of("cluster_state", "state", STATES, shown["state"])
    yield Sample("vip_conflict", shown["vip"]["disputed"])
    yield Sample("epoch", s.cluster.epoch)
    yield from one_of("mode", "mode", [mode.lower() for mode in Mode], s.cluster.mode.lower())
    yield Sample("paused", s.paused)
    if s.paused and s.pause_left_s is not None:
        yield Sample("pause_expires_timestamp_seconds", wall_s - elapsed_s + s.pause_left_s)
    yield Sample("hold_down", s.hold_down)
    yield Sample("unreadable_records", len(s.unreadable))
    last = next((one for one in s.incidents if one.kind == "failover"), None)
    if last is not None and last.at_ms:
        yield Sample("last_failover_timestamp_seconds", last.at_ms / 1000)
    opened = [_severity(s.incident)] if s.incident is not None and _open(s, s.incident) else []
    for severity in ("critical", "warning"):
        yield Sample("incidents_open", opened.count(severity), {"severity": severity})


def _open(s: Snapshot, incident: Incident) -> bool:
    """Until it has ended well or there is a standby again; one that its leader left running is over once settled."""
    assert s.cluster is not None
    if incident.outcome == "aborted":
        return s.cluster.promotable is None
    return incident.outcome == "running" and s.cluster.phase not in (Phase.STEADY, Phase.REJOINING)


def _severity(incident: Incident) -> str:
    return "critical" if incident.kind == "failover" else "warning"


def _readiness(s: Snapshot) -> Iterator[Sample]:
    one = s.readiness
    yield Sample("failover_ready", one.ready)
    if one.loss_transactions is not None:
        yield Sample("failover_loss_transactions", one.loss_transactions)
    for cause, outage_ms in (("exited", one.exited_ms), ("silent", one.silent_ms)):
        if outage_ms is not None:
            yield Sample("failover_predicted_seconds", outage_ms / 1000, {"cause": cause})


def _return(s: Snapshot, shown: dict[str, Any]) -> Iterator[Sample]:
    record = s.returning if s.returning is not None and s.returning.open else None
    open_ids = {one.id for one in s.kept.transactions} | ({record.id} if record else set())
    yield Sample("reconciliations_open", len(open_ids))
    yield Sample("decisions_waiting", len(shown["returns"]["waits"]))
    yield Sample("approval_waiting", record is not None and waits_for_approval(record, s.policy.reconcile))
    yield Sample("quarantine_open", s.kept.total)
    if record is not None:
        yield Sample("reconcile_phase", True, {"phase": str(record.stage)})
        report = s.reports[record.node].value if record.node in s.reports else Report(record.node)
        if report.returning.id == record.id:
            yield Sample("reconcile_progress_ratio", report.returning.percent / 100, {"node": record.node})


def _node(s: Snapshot, row: dict[str, Any], elapsed_s: float) -> Iterator[Sample]:
    """One node; of what nobody has heard there is no sample."""
    node = row["name"]
    of_node = {"node": node}
    yield from one_of("node_role", "role", ROLES, row["role"], of_node)
    yield Sample("promotable", bool(row["promotable"]), of_node)
    lease = s.leases.get(node)
    if lease is not None and lease.value.state is LeaseState.HELD:
        horizon_s = lease.value.timing.authorised_s
        yield Sample("lease_margin_seconds", max(horizon_s - lease.age_s - elapsed_s, 0.0), of_node)
        yield Sample("lease_horizon_seconds", horizon_s, of_node)
    primary = s.cluster is not None and node == s.cluster.primary
    yield Sample("semisync_active", primary and _armed(s, node), of_node)
    yield Sample("mysql_up", not row["stale"] and row["mysqld"] == "running", of_node)
    if node not in s.reports:
        return
    report = s.reports[node].value
    yield Sample("node_silence_seconds", row["seen_s"], of_node)
    yield Sample("gate_open", bool(row["gate_open"]), of_node)
    yield Sample("gtid_errant_transactions", row["errant"] or 0, of_node)
    yield Sample("commits_total", report.host.commits, of_node)
    yield Sample("commit_stalled_seconds", report.stalled_s, of_node)
    if node in s.clock_offsets_s:
        yield Sample("clock_offset_seconds", s.clock_offsets_s[node], of_node)
    if report.margins.renewals:
        yield Sample("lease_renewal_margin_ratio", _tenths(report.margins), of_node)
    if not primary:
        yield from _standby(row, report, of_node)


def _standby(row: dict[str, Any], report: Report, of_node: dict[str, str]) -> Iterator[Sample]:
    if row["missing"] is not None:
        yield Sample("gtid_missing_transactions", row["missing"], of_node)
    yield Sample("apply_backlog_transactions", report.backlog_transactions, of_node)
    yield Sample("differences", len(report.differing), of_node)
    if row["received_age_s"] is not None:
        yield Sample("replication_lag_seconds", row["received_age_s"], of_node)
    running = {"receiver": report.receiver_connected, "applier": report.applier_running}
    for thread, runs in running.items():
        yield Sample("replication_running", runs and not row["stale"], {**of_node, "thread": thread})


def _armed(s: Snapshot, node: str) -> bool:
    found = next((sync.value for name, sync in s.syncs.items() if name == node), None)
    return (
        found is not None
        and s.cluster is not None
        and found.state is SyncState.ARMED
        and found.epoch == s.cluster.epoch
    )


def _tenths(margins: Margins) -> Bars:
    return Bars(tuple((n + 1) / 10 for n in range(len(margins.tenths) - 1)), margins.tenths, None)
