"""What of the local mysqld only a real pair has: settings, sessions, probes. The suite of all others is in ports/."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

import pytest

from agents import dialect, preflight, roles
from agents.evidence import Process, judge
from agents.mysql import Database
from agents.probes import Probes
from agents.semisync import AccountsLocked
from agents.session import Session
from orchestrator.core.errors import DatabaseUnavailable, KembarError, StepFailed
from orchestrator.core.model import Mysqld
from tests.contract.mysqlpair import CLOCK, Background, Pair, Server, eventually, replicating

pytestmark = pytest.mark.lab

INSERT = "INSERT INTO shop.t (v) VALUES (1)"
LATE_S = 2.0  # a busy machine; the frozen server would never answer


@pytest.fixture(scope="module")
def running() -> Iterator[Pair]:
    with replicating() as pair:
        yield pair


@pytest.fixture
def pair(running: Pair) -> Pair:
    running.reset()
    return running


@pytest.fixture
def app(pair: Pair) -> Iterator[Session]:
    """A client of the primary."""
    session = pair.primary.session("app")
    session.login(2)
    yield session
    session.close()


@pytest.fixture
def stalled(pair: Pair, app: Session) -> Iterator[Background]:
    """A client whose commit waits for a frozen standby."""
    pair.primary.database.semisync.require_ack()
    with pair.standby.frozen():
        commit = Background(lambda: app.ask(INSERT, within_s=60))
        eventually(lambda: pair.primary.database.facts().wait_sessions == 1, 20)
        yield commit
        pair.primary.database.semisync.relax()
        assert commit.ends_within(20)


# --- facts ------------------------------------------------------------------------------------


def test_the_labs_settings_pass_preflight(pair: Pair) -> None:
    database = pair.standby.database
    variables = database.variables(preflight.NAMES)
    assert preflight.refusals(variables, at_start=True, persisted=database.persisted()) == ()
    assert preflight.shared_identity(variables, pair.primary.database.variables(preflight.NAMES)) == ()


def test_a_persisted_setting_is_refused(pair: Pair) -> None:
    """It would be read after the option file and the command line that keep a starting server shut."""
    database = pair.standby.database
    pair.standby.sql("SET PERSIST_ONLY super_read_only = OFF")
    found = preflight.refusals(database.variables(preflight.NAMES), at_start=True, persisted=database.persisted())
    pair.standby.sql("RESET PERSIST super_read_only")
    assert found == ("super_read_only is persisted: RESET PERSIST super_read_only",)


# --- deadlines --------------------------------------------------------------------------------


def test_every_call_ends_by_its_deadline_when_the_server_is_frozen(pair: Pair) -> None:
    database = pair.primary.database
    calls = {
        database.facts: 2.0,
        database.executed: 1.5,
        lambda: database.heartbeat("db-a", 1): 1.5,
        lambda: database.set_offline(True): 1.5,
        lambda: database.await_executed(f"{'0' * 8}-0000-0000-0000-{'0' * 12}:1", 0.2): 1.5,
        lambda: database.set_read_only(kill_blockers=True): 2.0,
        database.channel.stop_receiver: 1.5,
        database.semisync.relax: 1.5,
        database.set_writable: 1.5,
    }
    with pair.primary.frozen():
        for call, limit_s in calls.items():
            with pytest.raises((DatabaseUnavailable, StepFailed)):
                call_took_s(call, limit_s)
    eventually(pair.primary.answers, 20)


def call_took_s(call: object, limit_s: float) -> None:
    assert callable(call)
    begun = CLOCK.holder_now()
    try:
        call()
    finally:
        assert CLOCK.holder_now() - begun < limit_s + LATE_S


def test_a_session_that_was_killed_is_opened_again(pair: Pair) -> None:
    database = pair.primary.database
    database.facts()
    victim = pair.primary.sql(
        "SELECT PROCESSLIST_ID FROM performance_schema.session_connect_attrs WHERE ATTR_VALUE = 'kembar_facts' LIMIT 1"
    )
    pair.primary.sql(f"KILL {victim}")
    eventually(lambda: f",{victim}," not in sessions(pair.primary), 20)
    assert database.facts().writable, "the end of a kept session must not cost a call"


def sessions(server: Server) -> str:
    return server.sql("SELECT CONCAT(',', GROUP_CONCAT(PROCESSLIST_ID), ',') FROM performance_schema.threads")


# --- power ------------------------------------------------------------------------------------


def test_offline_mode_ends_clients_and_not_the_agent(pair: Pair, app: Session) -> None:
    pair.primary.database.set_offline(True)
    with pytest.raises(KembarError):
        app.ask("SELECT 1", within_s=2)
    with pytest.raises(DatabaseUnavailable) as refused:
        pair.primary.session("app").login(2)
    assert refused.value.errno == 3032
    assert pair.primary.database.facts().offline


# --- old statements ---------------------------------------------------------------------------


def test_a_late_statement_of_an_earlier_agent_is_ended(pair: Pair, app: Session) -> None:
    """An old super_read_only=ON that still waits would take effect after the new agent has opened the server."""
    app.ask("LOCK TABLES shop.t WRITE", within_s=2)
    old = Session(pair.primary.access, dialect.ROLE_MARK)
    late = Background(lambda: old.ask("SET GLOBAL super_read_only = ON", within_s=30))
    eventually(lambda: "super_read_only" in statements(pair.primary), 20)
    pair.primary.database.clear_role_sessions()
    assert late.ends_within(10) and late.error is not None
    app.ask("UNLOCK TABLES", within_s=2)
    assert pair.primary.database.facts().writable


def statements(server: Server) -> str:
    return server.sql(
        "SELECT GROUP_CONCAT(PROCESSLIST_INFO) FROM performance_schema.threads WHERE PROCESSLIST_ID <> CONNECTION_ID()"
    )


def test_a_server_that_hides_connection_attributes_is_noticed(pair: Pair) -> None:
    """Without them an old statement of ours could not be found."""
    unmarked = Session(pair.primary.access, "somebody")
    broken = roles.Roles(pair.primary.access, CLOCK)
    broken._session = unmarked
    with pytest.raises(StepFailed, match="connection attributes"):
        broken.clear_others()
    broken.close()


# --- replication ------------------------------------------------------------------------------


def test_stopping_a_channel_that_was_never_configured_is_no_trouble(pair: Pair) -> None:
    pair.primary.database.channel.stop_receiver()
    pair.primary.database.channel.stop()


def test_an_applier_error_is_a_fact(pair: Pair) -> None:
    """A row that is missing on the standby stops its applier; the worker says why."""
    pair.standby.sql(
        "SET sql_log_bin = 0", "SET GLOBAL super_read_only = OFF", "DELETE FROM kembar.heartbeat",
        "SET GLOBAL super_read_only = ON",
    )  # fmt: skip
    pair.primary.sql("DELETE FROM shop.t", INSERT)
    row = pair.primary.sql("SELECT MAX(id) FROM shop.t")
    eventually(lambda: pair.standby.sql(f"SELECT COUNT(*) FROM shop.t WHERE id = {row}") == "1", 20)
    pair.standby.sql("SET sql_log_bin = 0", "SET GLOBAL super_read_only = OFF", f"DELETE FROM shop.t WHERE id = {row}")
    pair.primary.sql(f"DELETE FROM shop.t WHERE id = {row}")
    eventually(lambda: pair.standby.database.facts().applier_error.startswith("1032"), 20)
    eventually(lambda: not pair.standby.database.facts().applier_running, 20)  # the coordinator ends after its worker
    pair.standby.sql("SET sql_log_bin = 0", f"INSERT INTO shop.t VALUES ({row}, 1)", "SET GLOBAL super_read_only = ON")


# --- probes -----------------------------------------------------------------------------------


@pytest.fixture
def probes(pair: Pair) -> Iterator[Probes]:
    server = pair.primary
    made = Probes(server.access, CLOCK, "db-a", 0.05, [server.instance.datadir])
    made.start()
    made.write(True)
    eventually(lambda: seen(made, server)[0] is Mysqld.RUNNING and made.committed_after(0.0), 20)
    yield made
    made.stop()


def seen(probes: Probes, server: Server) -> tuple[Mysqld, tuple[str, ...]]:
    judgement = judge(probes.evidence(Process.ALIVE, server.supervisor.incarnation()), hang_s=1.0)
    return judgement.mysqld, judgement.troubles


def test_a_frozen_server_is_hung(pair: Pair, probes: Probes) -> None:
    with pair.primary.frozen():
        eventually(lambda: seen(probes, pair.primary)[0] is Mysqld.HUNG, 8)
    eventually(lambda: seen(probes, pair.primary) == (Mysqld.RUNNING, ()), 20)


def test_a_hang_is_seen_by_a_tick_that_hangs_itself(pair: Pair, probes: Probes) -> None:
    """The tick asks the same frozen server for facts, and so looks at the evidence rarely."""

    def tick() -> bool:
        with contextlib.suppress(DatabaseUnavailable):
            pair.primary.database.facts()
        return seen(probes, pair.primary)[0] is Mysqld.HUNG

    with pair.primary.frozen():
        eventually(tick, 8)


def test_a_stalled_commit_is_not_a_hung_server(pair: Pair, probes: Probes, stalled: Background) -> None:
    eventually(lambda: seen(probes, pair.primary) == (Mysqld.RUNNING, ("SYNC_STALLED",)), 20)
    assert probes.stalled_s() > 0.4


def test_an_account_statement_that_waits_hides_nothing_and_is_known(pair: Pair, probes: Probes) -> None:
    """It holds the lock under which rights are looked up: logins hang, and every statement outside one's database."""
    server = pair.primary
    server.database.semisync.require_ack()
    root = server.session("root")
    mark = "SELECT 1 FROM performance_schema.session_connect_attrs WHERE ATTR_VALUE = 'kembar_waits'"
    eventually(lambda: bool(root.ask(mark, within_s=5)), 20)  # logged in before there is anything to ask
    with pair.standby.frozen():
        create = Background(lambda: root.ask("CREATE USER waits@localhost", within_s=60))
        eventually(lambda: server.database.facts().wait_sessions >= 1, 20)
        eventually(lambda: seen(probes, server) == (Mysqld.RUNNING, ("SYNC_STALLED",)), 20)
        with pytest.raises(AccountsLocked):
            server.database.semisync.relax()
    assert create.ends_within(10)
    root.ask("DROP USER waits@localhost", within_s=10)
    root.close()


@pytest.mark.parametrize("requires_ack", [False, True])
def test_a_client_that_locks_everything_is_named(pair: Pair, probes: Probes, requires_ack: bool) -> None:
    """Also while semi-sync is on, whose own thread always waits for acknowledgements."""
    if requires_ack:
        pair.primary.database.semisync.require_ack()
    root = pair.primary.session("root")
    root.ask("FLUSH TABLES WITH READ LOCK", within_s=5)
    eventually(lambda: seen(probes, pair.primary) == (Mysqld.RUNNING, ("CLIENT_LOCK",)), 20)
    root.ask("UNLOCK TABLES", within_s=5)
    eventually(lambda: seen(probes, pair.primary) == (Mysqld.RUNNING, ()), 20)
    root.close()


def test_a_wrong_password_is_unknown(pair: Pair) -> None:
    access = replace(pair.primary.access, password="wrong")
    with pytest.raises(DatabaseUnavailable) as refused:
        Database(access, CLOCK).facts()
    assert refused.value.errno == 1045
    probes = Probes(access, CLOCK, "db-a", 0.05, [])
    probes.start()
    eventually(lambda: seen(probes, pair.primary)[1] == ("UNKNOWN",), 20)
    probes.stop()


def test_too_many_connections_are_overload_while_kept_sessions_live(pair: Pair) -> None:
    """The socket says 1040, the admin port still lets the agent in; what was open before goes on."""
    server = pair.primary
    server.database.facts()
    clients = [server.session("app") for _ in range(25)]
    root = server.session("root")  # the one place beyond max_connections
    try:
        with pytest.raises(DatabaseUnavailable):
            for client in clients:
                client.login(2)
        root.login(2)
        with pytest.raises(DatabaseUnavailable) as refused:
            Session(replace(server.access, admin_port=None), "test").login(2)
        assert refused.value.errno == 1040
        assert server.database.facts().writable
        probes = Probes(server.access, CLOCK, "db-a", 0.05, [])
        probes.start()
        eventually(lambda: seen(probes, server) == (Mysqld.RUNNING, ("OVERLOADED",)), 20)
        probes.stop()
    finally:
        for client in (*clients, root):
            client.close()
