"""Every metric: name, kind, labels, meaning. Names are promised; docs/metrics.md is printed from here."""

from __future__ import annotations

from dataclasses import dataclass

GAUGE, COUNTER, HISTOGRAM = "gauge", "counter", "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One family. Those that are `local` speak of one process, all others of the pair, the same from everywhere."""

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str
    local: bool = False


def _of(kind: str, name: str, labels: str, text: str, *, local: bool = False) -> Metric:
    return Metric(f"kembar_{name}", kind, ("cluster", *labels.split()) if labels != "-" else (), text, local)


PAIR = (
    _of(GAUGE, "cluster_state", "state", "1 for the state that the pair is in, as status and page call it"),
    _of(GAUGE, "node_role", "node role", "1 for what the node is told to be; unknown while it is not heard"),
    _of(GAUGE, "node_silence_seconds", "node", "since the last report of its agent"),
    _of(GAUGE, "mysql_up", "node", "1 if its agent is heard and says that mysqld runs"),
    _of(GAUGE, "vip_holder", "node", "1 if it has the virtual IP and its gate lets clients through"),
    _of(GAUGE, "vip_conflict", "", "1 if both nodes have the virtual IP behind an open gate"),
    _of(GAUGE, "gate_open", "node", "1 if the gate before the virtual IP lets clients through"),
    _of(GAUGE, "promotable", "node", "1 if it is the standby and may take over"),
    _of(GAUGE, "semisync_active", "node", "1 on the primary while commits wait for the standby"),
    _of(GAUGE, "epoch", "", "of the desired record; grows whenever the right to write is taken or given"),
    _of(GAUGE, "mode", "mode", "1 for the recorded mode: sync, async"),
    _of(COUNTER, "failovers_total", "trigger outcome", "unplanned changes of primary that ended: ok, aborted"),
    _of(COUNTER, "switchovers_total", "trigger outcome", "planned changes of primary that ended: ok, aborted"),
    _of(HISTOGRAM, "write_outage_seconds", "kind trigger", "of completed failovers and switchovers"),
    _of(HISTOGRAM, "phase_duration_seconds", "phase", "of their phases: detect, fence, drain, promote, vip, verify"),
    _of(GAUGE, "last_failover_timestamp_seconds", "", "when the last one began, by ZooKeeper's clock"),
    _of(GAUGE, "incidents_open", "severity", "under way, or given up and no standby since"),
    _of(
        COUNTER,
        "acknowledged_transactions_lost_total",
        "",
        "of returned nodes: a client may have been told that they are safe, and they were discarded",
    ),
    _of(GAUGE, "gtid_missing_transactions", "node", "that the primary has executed and the node has not"),
    _of(GAUGE, "gtid_errant_transactions", "node", "that the node has and the primary never saw"),
    _of(GAUGE, "apply_backlog_transactions", "node", "received and not executed yet: they are executed in a failover"),
    _of(COUNTER, "commits_total", "node", "committing statements since its mysqld started: rate() is writes/s"),
    _of(GAUGE, "clock_offset_seconds", "node", "its clock at its last report, less ZooKeeper's clock when it came"),
    _of(GAUGE, "reconciliations_open", "", "returns that are under way or have something left to decide"),
    _of(GAUGE, "decisions_waiting", "", "things that only a person can end, as listed by kembar status"),
    _of(GAUGE, "approval_waiting", "", "1 if a return waits for kembar reconcile apply"),
    _of(COUNTER, "reconciled_transactions_total", "decision", "errant transactions by what became of them"),
    _of(HISTOGRAM, "reconcile_phase_duration_seconds", "phase", "of the stages of returns that are closed"),
    _of(GAUGE, "reconcile_phase", "phase", "1 for the stage of the return that is under way"),
    _of(GAUGE, "reconcile_progress_ratio", "node", "of that stage, 0 to 1, as the returning node says"),
    _of(GAUGE, "quarantine_open", "", "errant transactions that were kept for a person"),
    _of(COUNTER, "verify_chunks_total", "result", "of comparisons that ended: equal, hot, diverged"),
    _of(GAUGE, "differences", "node", "things known not to be as on the primary; they speak against a takeover"),
    _of(GAUGE, "failover_ready", "", "1 if a failover now would lose nothing acknowledged and end with a primary"),
    _of(GAUGE, "failover_loss_transactions", "", "that a failover now would lose at least; absent if nobody can say"),
    _of(GAUGE, "failover_predicted_seconds", "cause", "writes out if now mysqld exited, or its host fell silent"),
    _of(COUNTER, "failover_ready_seconds_total", "", "in which a failover would have been safe"),
    _of(COUNTER, "failover_watched_seconds_total", "", "in which that was looked at"),
    _of(GAUGE, "failover_ready_ratio", "", "share of the watched time of the last day that was safe, 0 to 1"),
    _of(GAUGE, "replication_lag_seconds", "node", "since anything, a heartbeat included, came from the primary"),
    _of(GAUGE, "replication_running", "node thread", "1 if receiver, or applier, of the standby runs"),
    _of(GAUGE, "commit_stalled_seconds", "node", "how long the primary's heartbeat commit waits for the standby"),
    _of(GAUGE, "lease_margin_seconds", "node", "what is left of the authority of the lease that it holds"),
    _of(GAUGE, "lease_horizon_seconds", "node", "how long one renewal of it gives authority"),
    _of(HISTOGRAM, "lease_renewal_margin_ratio", "node", "part of the authority that was left at each renewal"),
    _of(GAUGE, "paused", "", "1 if no automatic failover begins because a person said so"),
    _of(GAUGE, "pause_expires_timestamp_seconds", "", "when the pause ends; absent if it has no end"),
    _of(GAUGE, "hold_down", "", "1 if no automatic failover begins because there were too many within an hour"),
    _of(COUNTER, "alerts_sent_total", "channel outcome", "notices by their end: sent, given_up"),
    _of(GAUGE, "alert_queue_length", "channel", "notices that wait to be sent"),
    _of(GAUGE, "unreadable_records", "", "records in ZooKeeper that cannot be read"),
)
LOCAL = (
    _of(GAUGE, "build_info", "-", "1, with version, python, component", local=True),
    _of(GAUGE, "sse_clients", "-", "who listens to the stream of events of this orchestrator now", local=True),
    _of(GAUGE, "orchestrator_leader", "", "1 if this orchestrator decides for the pair", local=True),
    _of(GAUGE, "zookeeper_connected", "", "1 if this orchestrator sees the records of the pair", local=True),
    _of(HISTOGRAM, "zookeeper_op_duration_seconds", "op", "of reads and writes of this orchestrator", local=True),
    _of(GAUGE, "tick_last_run_timestamp_seconds", "component", "when the loop last ran", local=True),
    _of(HISTOGRAM, "tick_duration_seconds", "component", "of one pass of the loop, writes included", local=True),
)
METRICS = {metric.name: metric for metric in (*PAIR, *LOCAL)}
HEAD = """# Metrics
Printed from `monitoring/metric_table.py` by `make docs`; `make check` fails if it is stale. Do not edit.

`GET /metrics` of every orchestrator, leader or not, in the Prometheus text format (OpenMetrics if it is asked for).
It needs a token of role viewer, unless `anonymous_metrics` or `anonymous_viewers` is set in `orchestrator.yaml`; only
the clusters of the token are in it.

Metrics of the pair are the same from every orchestrator: take `max by (cluster, ...)`. While an orchestrator has no
fresh data it leaves them out, so that nothing frozen looks healthy. Counters and histograms of the pair are kept in
ZooKeeper, survive a change of leader, and count each thing once. Those marked "local" speak of one process.

`monitoring/alerts.yml` holds the alert rules, `monitoring/grafana/` a dashboard.
"""


def printed() -> str:
    """docs/metrics.md."""
    rows = [
        f"| `{one.name}`{' (local)' if one.local else ''} | {one.kind} | {', '.join(one.labels) or '-'} | {one.help} |"
        for one in METRICS.values()
    ]
    return "\n".join([HEAD, "| metric | kind | labels | meaning |", "|---|---|---|---|", *rows, ""])
