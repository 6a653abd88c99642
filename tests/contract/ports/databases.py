"""A primary, its standby and a client: two real servers, or the simulator's."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

from agents.dialect import ChannelTls, channel_login
from orchestrator.core.errors import DatabaseUnavailable, StepFailed
from tests.contract import mysqlpair
from tests.contract.ports.pace import Pace, RealPace, VirtualPace, eventually
from tests.sim.database import SimDatabase
from tests.sim.health import SimSupervisor
from tests.sim.mysqld import Commit
from tests.sim.mysqld import Server as SimServer
from tests.sim.network import Network as SimNetwork
from tests.sim.replication import Receiver
from tests.sim.strands import Event
from tests.sim.world import UUIDS

START_S = 180.0
ERRANT = 1_000_000  # rows of the standby alone have a higher id


class Server(Protocol):
    """One mysqld: `database` and `supervisor` are under test, the rest is what others do to it."""

    database: Any
    supervisor: Any

    def insert(self, value: int) -> None:
        """By an ordinary client, which waits at most 30 s. Raises KembarError unless it was told of success."""

    def insert_errant(self, value: int) -> None:
        """By an administrator, past read only."""

    def values(self) -> set[int]:
        """What an administrator sees, committed."""

    def set_timeout_0(self) -> None:
        """`timeout=0` alone, by an administrator."""

    def set_source_on(self) -> None: ...

    def stop_applier(self) -> None: ...

    def freeze(self) -> None:
        """For good: it ends by a kill only."""

    def frozen(self) -> AbstractContextManager[None]: ...

    def locked(self) -> AbstractContextManager[None]:
        """A client holds the lock that every write needs."""


@dataclass
class Pair:
    """The primary is writable and requires no acknowledgement, the standby replicates and has everything."""

    pace: Pace
    primary: Server
    standby: Server
    follow: Callable[[Server], None]  # configure the channel of the standby again, as it is
    login: tuple[str, str, ChannelTls | None]  # how it logs in: user, password, certificates

    def restart(self, server: Server) -> None:
        server.supervisor.kill()
        eventually(self.pace, lambda: server.supervisor.incarnation() is None)
        server.supervisor.start()
        eventually(self.pace, lambda: answers(server), START_S)


def answers(server: Server) -> bool:
    try:
        return bool(server.database.facts().version)
    except (DatabaseUnavailable, StepFailed):
        return False


class RealServer:
    def __init__(self, server: mysqlpair.Server) -> None:
        self._server = server
        self.database, self.supervisor = server.database, server.supervisor
        self.frozen = server.frozen

    def insert(self, value: int) -> None:
        session = self._server.session("app")
        try:
            session.login(2)
            session.ask(f"INSERT INTO shop.t (v) VALUES ({value})", within_s=30)
        finally:
            session.close()

    def insert_errant(self, value: int) -> None:
        self._server.sql(
            "SET GLOBAL super_read_only = OFF",
            f"INSERT INTO shop.t (id, v) VALUES ({ERRANT + 1 + value}, {value})",
            "SET GLOBAL super_read_only = ON",
        )

    def values(self) -> set[int]:
        return {int(one) for one in self._server.sql("SELECT GROUP_CONCAT(v) FROM shop.t").split(",") if one}

    def set_timeout_0(self) -> None:
        self._server.sql("SET GLOBAL rpl_semi_sync_source_timeout = 0")

    def set_source_on(self) -> None:
        self._server.sql("SET GLOBAL rpl_semi_sync_source_enabled = ON")

    def stop_applier(self) -> None:
        self._server.sql("STOP REPLICA SQL_THREAD")

    def freeze(self) -> None:
        os.kill(self._server.pid, signal.SIGSTOP)

    @contextmanager
    def locked(self) -> Iterator[None]:
        session = self._server.session("app")
        session.login(2)
        session.ask("LOCK TABLES shop.t WRITE", within_s=2)
        try:
            yield
        finally:
            session.close()


def real_pair(running: mysqlpair.Pair) -> Pair:
    running.reset()
    primary = running.primary
    primary.sql("DELETE FROM shop.t")
    # On a pair that has just been made the table itself is still on its way.
    assert running.standby.database.await_executed(primary.database.executed(), 30)
    running.standby.sql(
        "SET sql_log_bin = 0", "SET GLOBAL super_read_only = OFF", f"DELETE FROM shop.t WHERE id > {ERRANT}",
        "SET GLOBAL super_read_only = ON",
    )  # fmt: skip

    def follow(server: Server) -> None:
        running.standby.follow(primary.instance.port)

    login = ("kembar_repl", primary.passwords.repl, running.standby.tls)
    return Pair(RealPace(), RealServer(primary), RealServer(running.standby), follow, login)


class SimulatedServer:
    def __init__(self, pace: VirtualPace, server: SimServer) -> None:
        self._pace, self._server = pace, server
        self.database, self.supervisor = SimDatabase(server, server.rng, 0.0), SimSupervisor(server)

    def insert(self, value: int) -> None:
        if self._server.offline or not self._server.answers:
            raise DatabaseUnavailable("no login")
        answered, outcome = Event(), list[str]()

        def done(result: str, commit: Commit) -> None:
            outcome.append(result)
            answered.set()

        if not self._server.commit(value, done):
            raise StepFailed("1290: read only")
        if not outcome:
            answered.wait(30)
        if outcome != ["ok"]:
            raise DatabaseUnavailable("the connection broke")

    def insert_errant(self, value: int) -> None:
        self._server.write_by_hand(value)
        self._pace.sleep(2 * self._server.sync_s)

    def values(self) -> set[int]:
        disk = self._server.disk
        return {txn.value for txn in disk.binlog if disk.executed.has(txn.uuid, txn.number) and txn.value >= 0}

    def set_timeout_0(self) -> None:
        self._server.waits_for_ever = False

    def set_source_on(self) -> None:
        self._server.switch_source(True)

    def stop_applier(self) -> None:
        self._server.receiver.applying = False

    def freeze(self) -> None:
        self._server.freeze()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        self._server.freeze()
        try:
            yield
        finally:
            self._server.thaw()

    @contextmanager
    def locked(self) -> Iterator[None]:
        self._server.locked_until = self._pace.now_s() + 1000
        try:
            yield
        finally:
            self._server.locked_until = 0.0


def simulated_pair(seed: int) -> Pair:
    pace, rng = VirtualPace(), Random(seed)
    network = SimNetwork(pace.time, rng, 0.001, 0.0)
    one, other = (SimServer(pace.time, network, rng, name, uuid) for name, uuid in UUIDS.items())
    for server, peer in ((one, other), (other, one)):
        server.peer = peer
        Receiver(server)
        server.start()
    pace.time.run(5.0)
    one.set_offline(False)
    one.read_only = one.super_read_only = False
    other.receiver.configure("db-a", channel_login("kembar_repl", None), "")
    other.receiver.start()
    pace.time.run(10.0)

    def follow(server: Server) -> None:
        server.database.channel.configure("db-a", 3306, "kembar_repl", "", None)

    login = ("kembar_repl", "", None)
    return Pair(pace, SimulatedServer(pace, one), SimulatedServer(pace, other), follow, login)
