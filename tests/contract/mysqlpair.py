"""Two real servers on loopback ports, started by the supervisor under test; the second replicates from the first."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from agents.mysql import Database
from agents.mysqld import DirectChild
from agents.session import Access, Row, Session
from lab.mysqld import Instance, MysqldBinary, Passwords, command, find_mysqld, initialise, my_cnf
from orchestrator.core.errors import DatabaseUnavailable, KembarError
from orchestrator.process.clock import HostClock

START_S = 60.0
CLOCK = HostClock()


@dataclass(frozen=True)
class Server:
    """One mysqld with its supervisor and its agent's database."""

    instance: Instance
    passwords: Passwords
    supervisor: DirectChild
    access: Access
    database: Database

    @property
    def pid(self) -> int:
        incarnation = self.supervisor.incarnation()
        assert incarnation is not None
        return int(incarnation.split("/")[1])

    def session(self, user: str) -> Session:
        """A session of root, app or kembar_agent, through the socket."""
        password = {"root": self.passwords.root, "app": self.passwords.app, "kembar_agent": self.passwords.agent}
        return Session(replace(self.access, user=user, password=password[user]), f"test_{user}")

    def sql(self, *statements: str) -> str:
        """Run them as root; the first value of the last one."""
        session = self.session("root")
        rows: tuple[Row, ...] = ()
        try:
            for statement in statements:
                rows = session.ask(statement, within_s=10)
        finally:
            session.close()
        return next(iter(rows[0].values())) if rows else ""

    def start(self) -> None:
        self.supervisor.start()
        eventually(self.answers, START_S)

    def answers(self) -> bool:
        try:
            return self.database.facts().version != ""
        except DatabaseUnavailable:
            return False

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stopped as by SIGSTOP, and let go on at the end."""
        pid = self.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            eventually(lambda: _stopped(pid), 5)
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def end(self) -> None:
        self.database.close()
        self.supervisor.kill()
        eventually(lambda: self.supervisor.incarnation() is None, 10)


@dataclass(frozen=True)
class Pair:
    primary: Server
    standby: Server

    def reset(self) -> None:
        """Semi-sync off, the primary writable, the standby replicating: where every test begins."""
        self.primary.database.semisync.relax()
        eventually(self._settled, 15)
        self.primary.sql("SET GLOBAL rpl_semi_sync_source_timeout = 4294967295")

    def _settled(self) -> bool:
        try:
            self.primary.database.set_writable()
            if self.primary.database.facts().source_on:
                self.primary.database.semisync.source_off()
            facts = self.standby.database.facts()
            if not (facts.receiver_connected and facts.applier_running):
                self.standby.database.channel.start()
            clients = self.primary.database.facts().semisync_clients
        except KembarError:
            return False
        return facts.receiver_connected and facts.applier_running and clients == 1


def _stopped(pid: int) -> bool:
    """A thread runs on until it is next scheduled: on a busy machine it may still answer."""
    states = [(task / "stat").read_text().rpartition(")")[2].split()[0] for task in Path(f"/proc/{pid}/task").iterdir()]
    return set(states) == {"T"}


def eventually(is_so: Callable[[], bool], within_s: float) -> None:
    """Wait until it is so; fail if it is not in time."""
    end = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < end, f"not within {within_s} s"
        time.sleep(0.01)


def took_s(action: Callable[[], object]) -> float:
    begun = time.monotonic()
    action()
    return time.monotonic() - begun


class Background:
    """A call in a thread, as of a client that waits."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call
        self.error: KembarError | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> bool:
        return self._thread.is_alive()

    def ends_within(self, seconds: float) -> bool:
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._call()
        except KembarError as error:
            self.error = error


@contextmanager
def servers(count: int) -> Iterator[list[Server]]:
    """So many servers, initialised and not started, in a short path: a socket's may have 107 characters."""
    binary, passwords = find_mysqld(), Passwords.random()
    root = Path(tempfile.mkdtemp(prefix="kembar-pair-", dir="/var/tmp"))
    made: list[Server] = []
    try:
        folders = [root / str(number) for number in range(1, count + 1)]
        for folder in folders:
            folder.mkdir()
        initialise(binary, [folder / "data" for folder in folders], passwords)
        made += [_server(binary, passwords, folder) for folder in folders]
        yield made
    finally:
        for server in made:
            server.end()
        shutil.rmtree(root)


@contextmanager
def replicating() -> Iterator[Pair]:
    """A running pair; a failed test may leave it anyhow: `reset` first."""
    with servers(2) as (primary, standby):
        for server in (primary, standby):
            server.supervisor.start()
        for server in (primary, standby):
            eventually(server.answers, START_S)
        primary.database.set_writable()
        port = primary.instance.port
        standby.database.channel.configure("127.0.0.1", port, "kembar_repl", primary.passwords.repl, None)
        standby.database.channel.start()
        primary.sql("CREATE TABLE shop.t (id INT AUTO_INCREMENT PRIMARY KEY, v INT)")
        eventually(lambda: standby.database.executed() == primary.database.executed(), 10)
        yield Pair(primary, standby)


def _server(binary: MysqldBinary, passwords: Passwords, folder: Path) -> Server:
    number = int(folder.name)
    port, admin_port = _free_ports(2)
    instance = Instance(
        datadir=folder / "data",
        socket=folder / "sock",
        pid_file=folder / "pid",
        log_error=folder / "log",
        address="127.0.0.1",
        server_id=number,
        auto_increment_offset=number,
        port=port,
        admin_port=admin_port,
    )
    option_file = folder / "my.cnf"
    option_file.write_text(my_cnf(binary, instance) + "max_connections = 20\n")
    access = Access(instance.socket, "kembar_agent", passwords.agent, admin_port)
    supervisor = DirectChild(command(binary, option_file), instance.pid_file)
    return Server(instance, passwords, supervisor, access, Database(access, CLOCK))


def _free_ports(count: int) -> list[int]:
    """Ports that nobody used a moment ago, all asked for at once so that they differ."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [made.getsockname()[1] for made in sockets]
    for made in sockets:
        made.close()
    return ports
