"""A channel that is to log in otherwise than it does, on a real pair whose primary takes writes all the time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from agents.converge import LOG_IN, Action
from agents.dialect import channel_login
from agents.steps import Source
from tests.contract.following import ADDRESS, Follower
from tests.contract.mysqlpair import Pair, eventually, replicating

pytestmark = pytest.mark.lab

ANEW = (*LOG_IN, Action.START_REPLICA)


@pytest.fixture(scope="module")
def running() -> Iterator[Pair]:
    with replicating() as pair:
        pair.primary.sql(
            "CREATE USER renamed IDENTIFIED BY 'pa' REQUIRE X509", "GRANT REPLICATION SLAVE ON *.* TO renamed"
        )
        yield pair


@pytest.fixture
def pair(running: Pair) -> Pair:
    running.primary.database.semisync.relax()
    password(running, "pa")
    running.standby.database.channel.stop()
    running.standby.follow(running.primary.instance.port)
    running.reset()
    running.standby.database.set_offline(False)
    running.primary.database.semisync.require_ack()
    return running


def source(pair: Pair) -> Source:
    """As agent.yaml has it: what the channel is configured with."""
    primary = pair.primary
    return Source(ADDRESS, primary.instance.port, "kembar_repl", primary.passwords.repl, pair.standby.tls)


def password(pair: Pair, new: str) -> None:
    """Of the account, on both servers."""
    pair.primary.sql(f"ALTER USER renamed IDENTIFIED BY '{new}'")


def agent(pair: Pair, home: Path, password: str) -> Follower:
    return Follower(pair, home, replace(source(pair), user="renamed", password=password))


def cut_off(pair: Pair) -> None:
    """The channel has to log in again."""
    sessions = "SELECT PROCESSLIST_ID AS id FROM performance_schema.threads WHERE PROCESSLIST_USER = 'renamed'"
    for row in pair.primary.rows(sessions):
        pair.primary.sql(f"KILL {row['id']}")


def replicates(pair: Pair) -> bool:
    return pair.standby.database.facts().receiver_connected


def refused(pair: Pair) -> bool:
    return pair.standby.database.facts().login_refused


class Writer:
    """A client that writes one row after another, each acknowledged by the standby."""

    def __init__(self, pair: Pair) -> None:
        self._pair, self.written, self._enough = pair, 0, threading.Event()

    def _write(self, rows: int) -> None:
        session = self._pair.primary.session("app")
        try:
            for _ in range(rows):
                session.ask("INSERT INTO shop.t (v) VALUES (1)", within_s=30)
                self.written += 1
                if self._enough.is_set():
                    return
        finally:
            session.close()

    def _begin(self, rows: int) -> threading.Thread:
        client = threading.Thread(target=self._write, args=(rows,), daemon=True)
        client.start()
        return client

    @contextmanager
    def writing(self) -> Iterator[Writer]:
        client = self._begin(1_000_000)
        try:
            self.goes_on()
            yield self
        finally:
            self._enough.set()
            client.join(40)

    def goes_on(self) -> None:
        """Several writes more are acknowledged. What arrived just before the channel broke is acknowledged with the
        next transaction only (measured on 9.7.4): there is always another, as an agent's heartbeat is."""
        wanted = self.written + 20
        for _ in range(80):
            self._begin(1)
            self._enough.wait(0.25)
            if self.written >= wanted:
                return
        raise AssertionError("writes do not go on")


def test_a_login_is_changed_under_writes_and_readers_stay(pair: Pair, tmp_path: Path) -> None:
    """No relay log is lost, so what was certified stays so."""
    standby = pair.standby.database
    with agent(pair, tmp_path, "pa") as own:
        counter = own.memory.relay_counter()
        with Writer(pair).writing() as writer:
            done = [own.tick()]
            writer.goes_on()
            while done[-1]:
                assert not standby.facts().offline
                done.append(own.tick())
        assert [plan for plan in done if plan] == [ANEW] and own.memory.relay_counter() == counter
    facts = standby.facts()
    assert facts.channel_login == channel_login("renamed", pair.standby.tls) and facts.receiver_connected
    assert standby.await_executed(pair.primary.database.executed(), 10)
    assert pair.primary.sql("SELECT COUNT(*) FROM shop.t") == pair.standby.sql("SELECT COUNT(*) FROM shop.t")


def test_what_is_received_and_not_applied_outlives_a_change_of_the_login(pair: Pair, tmp_path: Path) -> None:
    """The applier waits for a lock of somebody who reads. It may end meanwhile, hence the other incarnation (I12)."""
    standby = pair.standby.database
    assert standby.await_executed(pair.primary.database.executed(), 10)
    reader = pair.standby.session("root")
    try:
        reader.ask("LOCK TABLES shop.t READ", within_s=5)
        pair.primary.sql("INSERT INTO shop.t (v) VALUES (7)")
        held = standby.facts().held
        with agent(pair, tmp_path, "pa") as own:
            counter = own.memory.relay_counter()
            assert own.tick() == ANEW and own.memory.relay_counter() == counter + 1
        facts = standby.facts()
        assert facts.backlog and held <= facts.held and facts.applier_running
    finally:
        reader.close()
    assert standby.await_executed(str(held), 10)


def test_a_password_that_the_agent_has_first_is_used_once_the_old_one_is_refused(pair: Pair, tmp_path: Path) -> None:
    """Until then the channel stands, also over a broken connection. No client is told of a failure."""
    with agent(pair, tmp_path, "pa") as before:
        assert before.tick() == ANEW
    with agent(pair, tmp_path, "new") as own, Writer(pair).writing() as writer:
        assert own.tick() == ()
        cut_off(pair)
        writer.goes_on()
        assert own.tick() == ()
        password(pair, "new")
        writer.goes_on()
        assert own.tick() == ()
        cut_off(pair)
        eventually(lambda: refused(pair), 20)
        assert own.tick() == ANEW
        writer.goes_on()
        assert own.tick() == () and not pair.standby.database.facts().offline
    with agent(pair, tmp_path, "new") as after:
        assert after.tick() == ()


def test_a_password_that_the_account_has_first_waits_for_the_agent_that_knows_it(pair: Pair, tmp_path: Path) -> None:
    """Meanwhile the one that does not tries once, not in each of its looks."""
    with agent(pair, tmp_path, "pa") as before:
        assert before.tick() == ANEW
    eventually(lambda: replicates(pair), 20)
    with agent(pair, tmp_path, "pa") as own:
        password(pair, "new")
        cut_off(pair)
        eventually(lambda: refused(pair), 20)
        assert own.tick() == ANEW
        for _ in range(20):
            eventually(lambda: refused(pair), 20)
            assert own.tick() == ()
    with agent(pair, tmp_path, "new") as after:
        assert after.tick() == ANEW
        eventually(lambda: replicates(pair), 20)
        assert after.tick() == ()
