"""Metrics: every name of the table with its labels, the same from every orchestrator, and nothing that is frozen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from carrier import Carrier
from pairs import DB_A, DB_B, FAILOVER, HELD, READY, STEADY, aged, healthy, with_reports
from prometheus_client import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from test_api import one, served
from told import OUTGOING, TOTALS, WALL_S, full, local, parsed, text, value

from monitoring.metric_table import LOCAL, METRICS, PAIR, printed
from monitoring.metrics import samples
from orchestrator.core.model import LeaseState, Mode, Mysqld, Phase, Sync, SyncState
from orchestrator.core.readiness import Readiness
from orchestrator.core.totals import Totals
from orchestrator.core.unreadable import Record, Unreadable

SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "gauge": ("",), "counter": ("",)}


def shown() -> str:
    return text(full(), outgoing=OUTGOING) + generate_latest(local()).decode()


def test_everything_in_the_table_is_told_and_nothing_else():
    assert set(parsed(shown())) == set(METRICS)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_kind_and_labels_are_those_of_the_table(metric):
    family = parsed(shown())[metric.name]
    assert family.type == metric.kind
    assert family.documentation == metric.help
    wanted = {"version", "python", "component"} if metric.name == "kembar_build_info" else set(metric.labels)
    for sample in family.samples:
        assert set(sample.labels) - {"le"} == wanted
        assert sample.name in [metric.name + suffix for suffix in SUFFIXES[metric.kind]]


def test_names_are_in_base_units_and_counters_say_so():
    for metric in METRICS.values():
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert not metric.name.endswith(("_ms", "_minutes", "_percent"))


def test_every_orchestrator_says_the_same_of_the_pair():
    pair = {metric.name.removeprefix("kembar_") for metric in PAIR}

    def of_pair(instance: str) -> list[object]:
        return [one for one in samples(full(instance=instance), 0.0, WALL_S) if one.metric in pair]

    assert of_pair("witness") == of_pair("db-b")
    assert value(text(full(instance="db-b")), "kembar_orchestrator_leader") == 0
    assert value(text(full()), "kembar_orchestrator_leader") == 1


STALE = {
    "a stopped tick": (full(), 30.0),
    "no connection to ZooKeeper": (full(connected=False), 0.0),
    "old data": (full(age_s=9.0), 0.0),
    "nothing was ever decided": (full(cluster=None), 0.0),
}


@pytest.mark.parametrize(("snapshot", "elapsed_s"), STALE.values(), ids=STALE)
def test_what_may_be_long_past_is_left_out(snapshot, elapsed_s):
    local_names = {metric.name for metric in LOCAL}
    assert set(parsed(text(snapshot, elapsed_s))) <= local_names
    assert value(text(snapshot, elapsed_s), "kembar_zookeeper_connected") == snapshot.connected


def test_a_healthy_pair():
    told = text(healthy(totals=TOTALS))
    assert value(told, "kembar_cluster_state", state="healthy") == 1
    assert value(told, "kembar_cluster_state", state="no_primary") == 0
    assert value(told, "kembar_mode", mode="sync") == 1
    assert value(told, "kembar_epoch") == 7
    assert [value(told, "kembar_promotable", node=node) for node in (DB_A, DB_B)] == [0, 1]
    assert [value(told, "kembar_vip_holder", node=node) for node in (DB_A, DB_B)] == [1, 0]
    assert [value(told, "kembar_semisync_active", node=node) for node in (DB_A, DB_B)] == [1, 0]
    assert value(told, "kembar_gtid_missing_transactions", node=DB_B) == 2
    assert value(told, "kembar_lease_margin_seconds", node=DB_A) == pytest.approx(1.45)
    assert value(told, "kembar_lease_margin_seconds", node=DB_B) is None, "it holds none"
    assert value(told, "kembar_replication_running", node=DB_B, thread="applier") == 1
    assert value(told, "kembar_pause_expires_timestamp_seconds") is None
    assert value(told, "kembar_incidents_open", severity="critical") == 0


STATES = {
    "two writers": (healthy(finding="two_writers"), "split_suspected"),
    "a closed gate": (healthy(leases={DB_A: aged(replace(HELD, gate_open=False))}), "no_primary"),
    "a failover": (healthy(cluster=replace(STEADY, phase=Phase.FENCING)), "failing_over"),
    "no standby": (with_reports(standby={"errant": "x:1"}), "degraded"),
    "nobody heard": (healthy(finding="blind"), "blind"),
}  # fmt: skip


@pytest.mark.parametrize(("snapshot", "state"), STATES.values(), ids=STATES)
def test_the_state_is_that_of_the_page(snapshot, state):
    assert value(text(snapshot), "kembar_cluster_state", state=state) == 1


def test_a_node_that_is_not_heard_is_not_shown_as_it_was():
    silent = healthy(reports={DB_A: healthy().reports[DB_A], DB_B: aged(healthy().reports[DB_B].value, 9.0)})
    told = text(silent)
    assert value(told, "kembar_mysql_up", node=DB_B) == 0
    assert value(told, "kembar_node_role", node=DB_B, role="unknown") == 1
    assert value(told, "kembar_node_silence_seconds", node=DB_B) == 9.0
    assert value(told, "kembar_replication_running", node=DB_B, thread="receiver") == 0
    never = text(healthy(reports={DB_A: healthy().reports[DB_A]}))
    assert value(never, "kembar_node_silence_seconds", node=DB_B) is None
    assert value(never, "kembar_mysql_up", node=DB_B) == 0


DETAILS = {
    "a mysqld that is down": (with_reports(primary={"mysqld": Mysqld.DEAD}), "mysql_up", {"node": "db-a"}, 0),
    "ASYNC": (healthy(cluster=replace(STEADY, mode=Mode.ASYNC)), "mode", {"mode": "async"}, 1),
    "commits that go by themselves": (
        healthy(syncs={DB_A: aged(Sync(SyncState.DEGRADED, 7))}), "semisync_active", {"node": "db-a"}, 0,
    ),
    "a certification of an earlier epoch": (
        healthy(syncs={DB_A: aged(Sync(SyncState.ARMED, 6))}), "semisync_active", {"node": "db-a"}, 0,
    ),
    "a lease that was let go": (
        healthy(leases={DB_A: aged(replace(HELD, state=LeaseState.RELEASED))}),
        "lease_margin_seconds", {}, None,
    ),
    "errant transactions": (with_reports(standby={"errant": "11111111-1111-1111-1111-111111111111:5-7"}),
                            "gtid_errant_transactions", {"node": "db-b"}, 3),
    "a pause": (full(), "pause_expires_timestamp_seconds", {}, WALL_S + 1200),
    "a pause without end": (full(pause_left_s=None), "pause_expires_timestamp_seconds", {}, None),
    "a record that cannot be read": (
        healthy(unreadable=(Unreadable(Record.LEADER, "/kembar/shop/leader", "no JSON"),)), "unreadable_records", {}, 1,
    ),
    "a failover that was given up": (
        healthy(incidents=(replace(FAILOVER, outcome="aborted"),), cluster=replace(STEADY, promotable=None)),
        "incidents_open", {"severity": "critical"}, 1,
    ),
    "one that was given up until there was a standby again": (
        healthy(incidents=(replace(FAILOVER, outcome="aborted"),)), "incidents_open", {"severity": "critical"}, 0,
    ),
    "one that goes on": (
        healthy(incidents=(replace(FAILOVER, outcome="running"),), cluster=replace(STEADY, phase=Phase.PROMOTING)),
        "incidents_open", {"severity": "critical"}, 1,
    ),
    "one whose leader died before its end": (
        healthy(incidents=(replace(FAILOVER, outcome="running"),)), "incidents_open", {"severity": "critical"}, 0,
    ),
    "a return": (full(), "reconcile_phase", {"phase": "bundle"}, 1),
    "its progress": (full(), "reconcile_progress_ratio", {"node": "db-b"}, 0.4),
    "an approval": (full(), "approval_waiting", {}, 1),
    "returns with something open": (full(), "reconciliations_open", {}, 2),
    "what is kept for a person": (full(), "quarantine_open", {}, 1),
    "a safe failover": (full(), "failover_ready", {}, 1),
    "its price": (full(readiness=Readiness("db-b", False, ("mode ASYNC",), loss_transactions=118)),
                  "failover_loss_transactions", {}, 118),
    "a price nobody knows": (full(readiness=replace(READY, loss_transactions=None)),
                             "failover_loss_transactions", {}, None),
    "its outage": (full(), "failover_predicted_seconds", {"cause": "exited"}, 0.096),
    "the share": (full(), "failover_ready_ratio", {}, 0.9),
    "counted failovers": (full(), "failovers_total", {"trigger": "auto", "outcome": "ok"}, 2),
    "those that never happened": (full(), "failovers_total", {"trigger": "manual", "outcome": "aborted"}, 0),
    "outages": (full(), "write_outage_seconds_bucket", {"le": "0.1", "kind": "failover"}, 1),
    "a new pair": (full(totals=Totals()), "acknowledged_transactions_lost_total", {}, 0),
    "counters that cannot be read": (full(totals=None), "acknowledged_transactions_lost_total", {}, None),
    "margins by tenths": (full(), "lease_renewal_margin_ratio_bucket", {"le": "0.2"}, 1),
}  # fmt: skip


@pytest.mark.parametrize(("snapshot", "name", "labels", "wanted"), DETAILS.values(), ids=DETAILS)
def test_details(snapshot, name, labels, wanted):
    assert value(text(snapshot), f"kembar_{name}", **labels) == wanted


def test_the_printed_table_is_not_stale():
    assert (Path(__file__).parents[2] / "docs/metrics.md").read_text() == printed(), "make docs"


# --- over HTTP


def test_metrics_need_a_viewer_unless_the_administrator_says_otherwise():
    assert one(Carrier(full()), "GET", "/metrics")[0] == 401
    status, headers, told = one(Carrier(full()), "GET", "/metrics", "vera")
    assert (status, headers["Content-Type"].split(";")[0]) == (200, "text/plain")
    assert value(told, "kembar_cluster_state", state="healthy") == 1
    assert value(told, "kembar_sse_clients") == 0
    open_to_all = Carrier(full(), anonymous_metrics=True)
    assert one(open_to_all, "GET", "/metrics")[0] == 200
    assert one(open_to_all, "GET", "/api/v1/clusters/shop")[0] == 401, "nothing else is opened by it"


def test_a_token_sees_its_own_clusters_only():
    carrier = Carrier(full())
    carrier.measured.ticked("shop", WALL_S, 0.002)
    told = one(carrier, "GET", "/metrics", "other")[2]
    assert "shop" not in told
    assert value(told, "kembar_build_info", component="orchestrator") == 1
    assert value(one(carrier, "GET", "/metrics", "vera")[2], "kembar_tick_duration_seconds_count") == 1


def test_the_age_of_the_data_counts_to_the_moment_of_asking():
    carrier = Carrier(full(), now_s=130.0)
    told = one(carrier, "GET", "/metrics", "vera")[2]
    assert value(told, "kembar_epoch") is None


def test_open_metrics_where_it_is_asked_for():
    async def talk(call):
        return await call("GET", "/metrics", "vera", Accept="application/openmetrics-text; version=1.0.0")

    status, headers, told = served(Carrier(full()), talk)
    assert (status, headers["Content-Type"].split(";")[0]) == (200, "application/openmetrics-text")
    names = {family.name for family in openmetrics(told)}
    assert "kembar_failovers" in names and "kembar_write_outage_seconds" in names


def test_a_version_that_is_none_is_answered_in_plain_text():
    async def talk(call):
        return await call("GET", "/metrics", "vera", Accept="application/openmetrics-text; version=\xff; q=x")

    status, headers, _ = served(Carrier(full()), talk)
    assert (status, headers["Content-Type"].split(";")[0]) == (200, "text/plain")
