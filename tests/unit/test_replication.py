"""Rows as 9.7.4 returned them -> facts."""

from __future__ import annotations

from typing import Any

import pytest

from agents import dialect
from agents.dialect import ChannelTls
from agents.replication import ServerFacts, arrival, facts_from

A = "baa586de-e92a-11f1-8033-02fc00000001"
VARIABLES = {
    "server_uuid": A,
    "version": "9.7.4-2",
    "offline_mode": "0",
    "read_only": "1",
    "super_read_only": "1",
    "gtid_executed": f"{A}:1-5",
    "sync_binlog": "1",
    "innodb_flush_log_at_trx_commit": "1",
    "rpl_semi_sync_source_enabled": "0",
    "rpl_semi_sync_source_timeout": "4294967295",
    "rpl_semi_sync_source_wait_no_replica": "1",
    "rpl_semi_sync_replica_enabled": "1",
}
STATUS = {
    "Rpl_semi_sync_source_status": "ON",
    "Rpl_semi_sync_source_clients": "1",
    "Rpl_semi_sync_source_wait_sessions": "2",
    "Rpl_semi_sync_source_no_tx": "3",
    "Rpl_semi_sync_replica_status": "ON",
    "Threads_connected": "4",
    "Com_commit": "10",
    "Com_insert": "20",
    "Com_update": "30",
    "Com_delete": "40",
}
CHANNEL = {
    "receiver_state": "ON",
    "received": f"{A}:1-7",
    "receiver_errno": "0",
    "receiver_error": "",
    "arrivals": "5 2026-11-25 23:51:11.095468  ",
    "host": "192.0.2.11",
    "port": "3306",
    "user": "kembar_repl",
    "ssl_allowed": "YES",
    "ssl_ca": "/tls/ca",
    "ssl_cert": "/tls/cert",
    "ssl_key": "/tls/key",
    "ssl_verify": "YES",
    "applier_state": "ON",
    "coordinator_errno": "0",
    "coordinator_error": "",
}


def facts(channel: Any = CHANNEL, errors: Any = (), **variables: Any) -> ServerFacts:
    return facts_from({**VARIABLES, **variables}, STATUS, channel, errors)


def test_numbers_and_switches() -> None:
    f = facts()
    assert (f.server_uuid, f.version, f.offline, f.read_only, f.super_read_only) == (A, "9.7.4-2", False, True, True)
    assert (f.semisync_clients, f.wait_sessions, f.no_tx, f.source_status_on) == (1, 2, 3, True)
    assert (f.source_on, f.source_timeout_ms, f.replica_side_on, f.replica_status_on) == (False, 4294967295, True, True)
    assert (f.connections, f.commits, f.channel_source) == (4, 100, ("192.0.2.11", 3306))


@pytest.mark.parametrize(
    ("state", "running", "connected"),
    [("ON", True, True), ("CONNECTING", True, False), ("OFF", False, False)],
)
def test_a_receiver_that_looks_for_its_source_runs_and_is_not_connected(
    state: str, running: bool, connected: bool
) -> None:
    f = facts({**CHANNEL, "receiver_state": state})
    assert (f.receiver_running, f.receiver_connected) == (running, connected)


@pytest.mark.parametrize("channel", [None, {**CHANNEL, "host": "", "receiver_state": "OFF"}], ids=["none", "no host"])
def test_a_channel_that_was_never_configured(channel: dict[str, str] | None) -> None:
    f = facts(channel)
    assert f.channel_source is None and not f.receiver_running and not f.applier_running
    assert (f.received, f.applier_error, f.receiver_error) == ("", "", "")


def test_the_workers_own_error_comes_before_the_coordinators() -> None:
    """The coordinator's only says that a worker failed."""
    stopped = {**CHANNEL, "coordinator_errno": "1032", "coordinator_error": "Coordinator stopped"}
    assert facts(stopped, [{"errno": "1032", "error": "Can't find record"}]).applier_error == "1032: Can't find record"
    assert facts(stopped).applier_error == "1032: Coordinator stopped"
    assert facts({**CHANNEL, "receiver_errno": "2003", "receiver_error": "no"}).receiver_error == "2003: no"


@pytest.mark.parametrize("broken", [{"sync_binlog": "0"}, {"innodb_flush_log_at_trx_commit": "2"}], ids=str)
def test_durability_needs_both_settings(broken: dict[str, str]) -> None:
    assert facts().durable and not facts(**broken).durable


@pytest.mark.parametrize("shut", ["offline_mode", "read_only", "super_read_only"])
def test_one_switch_is_enough_to_stop_writes(shut: str) -> None:
    open_ = {"offline_mode": "0", "read_only": "0", "super_read_only": "0"}
    assert facts(**open_).writable and not facts(**{**open_, shut: "1"}).writable


def test_with_a_timeout_of_zero_nothing_is_required() -> None:
    assert facts(rpl_semi_sync_source_enabled="1").requires_ack
    assert not facts(rpl_semi_sync_source_enabled="1", rpl_semi_sync_source_timeout="0").requires_ack
    assert not facts().requires_ack


def test_whatever_lets_a_commit_go_without_the_standby_is_seen() -> None:
    """A timeout of some seconds requires an acknowledgement, but not for ever."""
    assert not facts(rpl_semi_sync_source_enabled="1").may_let_go
    assert facts(rpl_semi_sync_source_enabled="0").may_let_go
    for name, value in (("timeout", "10000"), ("timeout", "0"), ("wait_no_replica", "0")):
        assert facts(rpl_semi_sync_source_enabled="1", **{f"rpl_semi_sync_source_{name}": value}).may_let_go
    by_itself = {**STATUS, "Rpl_semi_sync_source_status": "OFF"}
    assert facts_from({**VARIABLES, "rpl_semi_sync_source_enabled": "1"}, by_itself, CHANNEL, ()).may_let_go


def test_backlog_and_what_is_held() -> None:
    """MySQL breaks the lines of a long set, and after a purge of relay logs executed may be ahead of received."""
    f = facts({**CHANNEL, "received": f"{A}:4-5:\n7-9"})
    assert str(f.backlog) == f"{A}:7-9"
    assert str(f.held) == f"{A}:1-5:7-9"


def test_without_the_plugins_semi_sync_reads_as_off() -> None:
    plain = {name: value for name, value in VARIABLES.items() if not name.startswith("rpl_")}
    f = facts_from(plain, {}, None, ())
    assert (f.source_on, f.replica_side_on, f.semisync_clients, f.requires_ack) == (False, False, 0, False)


def test_an_arrival_is_dated_by_our_own_clock() -> None:
    """The server's timestamps are wall time, which may step."""
    first = arrival(None, facts(), 10.0)
    assert arrival(first, facts(), 11.0) is first
    assert first.age_s(11.5) == 1.5
    assert arrival(first, facts({**CHANNEL, "arrivals": "6"}), 12.0).since == 12.0


def test_the_set_of_executed_transactions_is_read_last() -> None:
    """Else a transaction that was applied between the two readings would count as backlog."""
    query = dialect.facts_query(semisync=True)
    assert query.index("RECEIVED_TRANSACTION_SET") < query.index("gtid_executed")


def test_without_the_plugins_their_variables_are_not_asked_for() -> None:
    """The server would answer with error 1193 and nothing else."""
    assert "@@GLOBAL.rpl_semi_sync_source_enabled" in dialect.facts_query(semisync=True)
    assert "@@GLOBAL.rpl_" not in dialect.facts_query(semisync=False)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("9.7.4-2", (9, 7, 4)),
        ("8.0.26", (8, 0, 26)),
        ("8.4.0-commercial", (8, 4, 0)),
        ("2027.1", (2027, 1)),
        ("x", (0,)),
    ],
)
def test_versions_are_numbers(text: str, version: tuple[int, ...]) -> None:
    assert dialect.version_of(text) == version


@pytest.mark.parametrize(
    ("tls", "places", "said"),
    [
        (None, 4, "SOURCE_SSL = 0"),
        (ChannelTls(), 7, "SOURCE_SSL_VERIFY_SERVER_CERT = 0"),
        (ChannelTls("ca", "cert", "key"), 7, "SOURCE_SSL_VERIFY_SERVER_CERT = 1"),
    ],
)
def test_a_channel_without_an_authority_cannot_verify(tls: ChannelTls | None, places: int, said: str) -> None:
    statement = dialect.configure_channel(tls)
    assert statement.count("%s") == places and said in statement


@pytest.mark.parametrize(
    ("text", "certificate", "asked"),
    [
        ("Error connecting to source: Lost connection during query", "/cert", True),
        ("Error connecting to source: Lost connection during query", "", False),
        ("Error connecting to source: Lost connection at 'reading initial communication packet'", "/cert", False),
        ("Error reading packet from server: Lost connection during query", "/cert", False),
    ],
)
def test_a_source_that_hangs_up_before_the_login_may_not_know_our_authority(
    text: str, certificate: str, asked: bool
) -> None:
    """It does not say so."""
    found = facts({**CHANNEL, "receiver_errno": "2013", "receiver_error": text, "ssl_cert": certificate})
    assert found.receiver_error.startswith(f"2013: {text}")
    assert ("is /cert by an authority that the source trusts?" in found.receiver_error) is asked


@pytest.mark.parametrize(("errno", "refused"), [("1045", True), ("0", False), ("2003", False), ("13120", False)])
def test_a_login_is_refused_by_its_number(errno: str, refused: bool) -> None:
    """13120 is told of a missing right, and quotes 1045 in its text."""
    assert facts({**CHANNEL, "receiver_errno": errno, "receiver_error": "(Errno: 1045)"}).login_refused is refused


def test_a_channel_shows_how_it_logs_in() -> None:
    """As it was configured, so that one that was configured otherwise is written again."""
    for tls in (ChannelTls(), ChannelTls("/ca", "/cert", "/key"), None):
        shown = {
            **CHANNEL,
            "ssl_allowed": "NO" if tls is None else "YES",
            "ssl_verify": "YES" if tls and tls.ca else "NO",
        }
        files = {} if tls is None else {"ssl_ca": tls.ca, "ssl_cert": tls.cert, "ssl_key": tls.key}
        assert facts({**shown, **files}).channel_login == dialect.channel_login("kembar_repl", tls)
    assert facts(None).channel_login == ()
