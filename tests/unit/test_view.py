"""What people read of a pair: the worst comes first, and nothing old is ever shown as healthy."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pairs import DB_A, DB_B, HELD, PRIMARY, STANDBY, STEADY, aged, healthy, with_reports

from monitoring.blocks import own, whole
from monitoring.rendering import ICONS
from monitoring.view import MARKS, view
from orchestrator.core.model import Lease, LeaseState, Mode, Phase
from orchestrator.core.requests import Kind, Pause, Request

AT = "2026-11-21T18:59:04.120Z"
ASYNC = replace(STEADY, mode=Mode.ASYNC, promotable=None)
VERDICTS = {
    "all is well": (healthy(), "healthy", "writes OK on db-a (VIP 192.0.2.100), db-b is ready to take over"),
    "the standby is silent": (
        healthy(reports={DB_A: aged(PRIMARY), DB_B: aged(STANDBY, 12.0)}),
        "degraded",
        "writes OK on db-a (VIP 192.0.2.100), no standby (db-b: not heard)",
    ),
    "the standby holds errant transactions": (
        with_reports(standby={"errant": "22222222-1111-1111-1111-111111111111:1-3"}),
        "degraded",
        "writes OK on db-a (VIP 192.0.2.100), no standby (db-b: 3 errant)",
    ),
    "the standby restarted after it was certified": (
        with_reports(standby={"incarnation": "db-b/2"}),
        "degraded",
        "writes OK on db-a (VIP 192.0.2.100), no standby (db-b: restarted since)",
    ),
    "commits have no copy": (
        healthy(cluster=ASYNC),
        "degraded",
        "writes OK on db-a (VIP 192.0.2.100), no standby (db-b: mode ASYNC)",
    ),
    "commits wait": (
        healthy(finding="sync_stalled"),
        "degraded",
        "commits on db-a (VIP 192.0.2.100) wait for db-b",
    ),
    "a client's lock stops every commit": (
        with_reports(primary={"troubles": ("CLIENT_LOCK: the heartbeat commit has waited 0.9 s",)}),
        "degraded",
        "commits on db-a (VIP 192.0.2.100) wait for a client's lock",
    ),
    "the gate is shut": (
        healthy(leases={DB_A: aged(replace(HELD, gate_open=False))}),
        "no_primary",
        "no writes: db-a does not serve",
    ),
    "the lease is of an earlier epoch": (
        healthy(leases={DB_A: aged(replace(HELD, epoch=6))}),
        "no_primary",
        "no writes: db-a does not serve",
    ),
    "the lease has not moved for longer than it authorises": (
        healthy(leases={DB_A: aged(HELD, 1.6)}),
        "no_primary",
        "no writes: db-a does not serve",
    ),
    "the primary is read only": (
        with_reports(primary={"writable": False}),
        "no_primary",
        "no writes: db-a does not serve",
    ),
    "the primary's facts are old, although its lease moves": (
        healthy(reports={DB_A: aged(PRIMARY, 4.0), DB_B: aged(STANDBY)}),
        "unknown",
        "unknown: db-a holds the lease, but its facts are old",
    ),
    "a failover goes on": (
        healthy(cluster=replace(STEADY, phase=Phase.PROMOTING)),
        "failing_over",
        "failover from db-b to db-a is in progress, writes are stopped",
    ),
    "a switchover goes on": (
        healthy(cluster=replace(STEADY, phase=Phase.SWITCHING)),
        "failing_over",
        "switchover from db-a to db-b is in progress",
    ),
    "both say they take writes": (
        healthy(finding="two_writers"),
        "split_suspected",
        "db-a and db-b both report that they take writes",
    ),
    "nobody is heard": (healthy(finding="blind"), "blind", "no node is heard: nothing is changed until one is"),
    "ZooKeeper is gone": (
        healthy(connected=False, age_s=9.0),
        "unknown",
        "unknown since 18:58:55Z: no connection to ZooKeeper",
    ),
    "nothing was ever decided": (
        healthy(cluster=None),
        "unknown",
        "no desired record yet: nobody has been made primary",
    ),
}


@pytest.mark.parametrize(("snapshot", "state", "verdict"), VERDICTS.values(), ids=VERDICTS)
def test_the_verdict_is_a_sentence(snapshot, state, verdict):
    shown = view(snapshot, 0.0, AT)
    assert (shown["state"], shown["verdict"]) == (state, verdict)


def test_a_stopped_tick_is_never_green():
    """The snapshot itself says that all is well; only its age tells that this was long ago."""
    shown = view(healthy(), 30.0, AT)
    assert (shown["state"], shown["writes"], shown["data"]["stale"]) == ("unknown", "unknown", True)
    assert shown["risk"]["automatic"] is None


@given(
    elapsed_s=st.floats(0, 100),
    ages_s=st.tuples(*[st.floats(0, 100)] * 3),
    connected=st.booleans(),
)
def test_healthy_needs_every_fact_fresh(elapsed_s, ages_s, connected):
    lease_s, primary_s, standby_s = ages_s
    snapshot = healthy(
        connected=connected,
        leases={DB_A: aged(HELD, lease_s)},
        reports={DB_A: aged(PRIMARY, primary_s), DB_B: aged(STANDBY, standby_s)},
    )
    fresh = connected and lease_s + elapsed_s < 1.5 and max(primary_s, standby_s, 0.1) + elapsed_s <= 1.5
    assert (view(snapshot, elapsed_s, AT)["state"] == "healthy") == fresh


def test_who_holds_the_vip_by_both_sources():
    assert view(healthy(), 0.0, AT)["vip"] == {
        "address": "192.0.2.100",
        "holder": "db-a",
        "disputed": False,
        "agents": ["db-a"],
        "zookeeper": "db-a",
        "arp": {"hardware": "", "node": None, "foreign": False},
    }
    disputed = view(with_reports(standby={"has_address": True, "gate_open": True}), 0.0, AT)["vip"]
    assert (disputed["holder"], disputed["disputed"]) == (None, True)


def test_an_address_behind_a_shut_gate_is_no_holder():
    """The fenced node keeps the address for a while, so that clients get a reset."""
    shown = view(with_reports(standby={"has_address": True}), 0.0, AT)
    assert shown["vip"]["agents"] == ["db-a"]


RISKS = {
    "ready": (healthy(), True, "if db-a died now: db-b takes over by itself, no acknowledged transaction is lost"),
    "paused": (healthy(paused=True), False, "if db-a died now: no automatic failover (paused); db-b holds everything"),
    "no copy": (
        healthy(cluster=ASYNC),
        False,
        "if db-a died now: no automatic failover to db-b (mode ASYNC: commits have no copy); "
        "writes stop until db-a is back",
    ),
}


@pytest.mark.parametrize(("snapshot", "automatic", "text"), RISKS.values(), ids=RISKS)
def test_what_would_happen_if_the_primary_died_now(snapshot, automatic, text):
    assert view(snapshot, 0.0, AT)["risk"] == {"text": text, "automatic": automatic}


def test_the_next_step_names_the_most_urgent_thing():
    errant = {"errant": "22222222-1111-1111-1111-111111111111:7"}
    pause = {"paused": True, "pause": Pause(True, 60, "disk swap", "alice")}
    assert view(with_reports(standby=errant, **pause), 0.0, AT)["next"]["text"].startswith("db-b holds 1 transaction ")
    assert view(healthy(**pause), 0.0, AT)["next"] == {
        "text": "Automatic failover is paused by alice: disk swap",
        "command": "kembar resume",
        "runbook": "/runbooks/paused",
    }
    assert view(healthy(waiting="for db-b to return"), 0.0, AT)["next"]["text"] == "Waiting for db-b to return"
    assert view(healthy(), 0.0, AT)["next"] == {"text": "", "command": "", "runbook": ""}


def test_a_row_of_a_node():
    primary, standby = view(healthy(), 0.3, AT)["nodes"]
    facts = (
        "role",
        "mysqld",
        "writable",
        "gate_open",
        "receiver",
        "missing",
        "errant",
        "promotable",
        "seen_s",
        "stale",
    )
    assert [primary[k] for k in facts] == ["primary", "running", True, True, "off", 0, 0, None, 0.5, False]
    assert [standby[k] for k in facts] == ["standby", "running", False, False, "on", 2, 0, True, 0.5, False]


def test_a_node_that_never_reported_is_not_guessed_at():
    shown = view(healthy(reports={DB_A: aged(PRIMARY)}), 0.0, AT)["nodes"][1]
    assert [shown[k] for k in ("role", "told", "mysqld", "writable", "seen_s")] == [
        "unknown",
        "standby",
        None,
        None,
        None,
    ]


def test_a_report_that_is_no_gtid_set_does_not_break_the_page():
    shown = view(with_reports(standby={"executed": "nonsense", "errant": "nonsense"}), 0.0, AT)
    assert (shown["nodes"][1]["missing"], shown["nodes"][1]["errant"]) == (None, None)
    assert shown["nodes"][1]["promotable"] is False


def test_only_open_operations_are_shown():
    asked = Request("1", Kind.SWITCHOVER, DB_B, "patch", "alice", 7)
    shown = view(healthy(requests={"1": asked, "2": replace(asked, id="2", state="done")}), 0.0, AT)
    assert [one["id"] for one in shown["operations"]] == ["1"]


def test_every_state_has_a_mark_and_an_icon():
    assert set(MARKS) == set(ICONS)


EVERYTHING = {
    **{name: case[0] for name, case in VERDICTS.items()},
    "paused, with troubles and an operation": with_reports(
        standby={"troubles": ("OVERLOADED",), "refusals": ("gtid_mode=OFF, needed ON",), "applier_error": "1062"},
        paused=True,
        pause=Pause(True, 60, "disk swap", "alice"),
        pause_left_s=42.0,
        requests={"1": Request("1", Kind.SWITCHOVER, DB_B, "<b>patch</b>", "alice", 7)},
        leases={DB_A: aged(HELD), DB_B: aged(Lease(LeaseState.RELEASED))},
    ),
}


@pytest.mark.parametrize("snapshot", EVERYTHING.values(), ids=EVERYTHING)
def test_every_view_is_json_and_a_page(snapshot):
    """StrictUndefined: a key that the page uses and the view lacks fails here."""
    shown = view(snapshot, 0.0, AT)
    assert json.loads(json.dumps(shown)) == shown
    drawn = {node["name"]: "" for node in shown["nodes"]}
    text = "".join(whole(shown, drawn, own(shown, [], None)).values())
    assert shown["cluster"] in text
    assert "<b>patch" not in text, "what operators type is escaped"
    assert " style=" not in text, "the content security policy refuses it"
