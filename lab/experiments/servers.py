"""Real servers on loopback for one experiment: started by the agent's own supervisor, the second replicates.

Nothing of them stays behind. Nobody judges here; an experiment strikes and looks.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from agents.dialect import ChannelTls
from agents.mysql import Database
from agents.mysqld import DirectChild
from agents.session import Access, Row, Session, StatementRefused
from lab.accounts import Passwords
from lab.certificates import identity, issue
from lab.mysqld import Instance, MysqldBinary, command, find_mysqld, initialise, my_cnf
from orchestrator.core.errors import DatabaseUnavailable, KembarError, StepFailed
from orchestrator.process.clock import HostClock

START_S = 180.0
POLL_S = 0.002
CLOCK = HostClock()
Say = Callable[[str], None]  # progress, for people
EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
SMALL = {"innodb_buffer_pool_size": "32M", "max_connections": 60}


@dataclass(frozen=True)
class Setup:
    """How one server differs from the lab's: options of its own, and words before its command (nsenter, env)."""

    options: Mapping[str, object] = field(default_factory=dict)
    before: tuple[str, ...] = ()


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
        if incarnation is None:
            raise StepFailed(f"mysqld of {self.instance.datadir} does not run")
        return int(incarnation.split("/")[1])

    @property
    def running(self) -> bool:
        return self.supervisor.incarnation() is not None

    def session(self, user: str) -> Session:
        """A session of root, app or kembar_agent, through the socket."""
        password = {"root": self.passwords.root, "app": self.passwords.app, "kembar_agent": self.passwords.agent}
        return Session(replace(self.access, user=user, password=password[user]), f"experiment_{user}")

    def rows(self, *statements: str, within_s: float = 10.0) -> tuple[Row, ...]:
        """Run them as root in a session of their own; the rows of the last one."""
        session = self.session("root")
        try:
            return [session.ask(statement, within_s=within_s) for statement in statements][-1]
        finally:
            session.close()

    def sql(self, *statements: str, within_s: float = 10.0) -> str:
        """As `rows`, the first value of the first row; empty without one."""
        rows = self.rows(*statements, within_s=within_s)
        return next(iter(rows[0].values())) if rows else ""

    def status(self, name: str) -> str:
        rows = self.rows(f"SHOW GLOBAL STATUS LIKE '{name}'")
        return rows[0]["Value"] if rows else ""

    def start(self) -> None:
        """Start it, fenced, and wait until it answers."""
        self.supervisor.start()
        eventually(self.answers, START_S, f"an answer of mysqld, see {self.instance.log_error}")

    def answers(self) -> bool:
        with suppress(DatabaseUnavailable):
            return self.database.facts().version != ""
        return False

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.supervisor.kill()
        eventually(lambda: not self.running, 20, "the end of a killed mysqld")

    @property
    def tls(self) -> ChannelTls:
        """How it proves itself at another server's."""
        own = self.instance.identity
        return ChannelTls(str(own.authority), str(own.certificate), str(own.key))

    def follow(self, port: int) -> None:
        """Point its channel at the server behind that port."""
        self.database.channel.configure("127.0.0.1", port, "kembar_repl", self.passwords.repl, self.tls)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stopped as by SIGSTOP, and let go on at the end."""
        pid = self.pid
        os.kill(pid, signal.SIGSTOP)
        # One thread takes the signal and stops the others: on a busy machine one may answer meanwhile.
        eventually(lambda: _stopped(pid), 20, "every thread stopped")
        try:
            yield
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def end(self) -> None:
        self.database.close()
        self.kill()


@dataclass(frozen=True)
class Pair:
    primary: Server
    standby: Server

    def relaxed(self) -> None:
        """Semi-sync off, the primary writable, the standby replicating: where every run begins."""
        eventually(self._settled, 30, "a pair at rest")
        self.primary.sql("SET GLOBAL rpl_semi_sync_source_timeout = 4294967295")

    def armed(self) -> None:
        """As `relaxed`, and each commit of the primary waits for the standby."""
        self.relaxed()
        self.primary.database.semisync.require_ack()

    def _settled(self) -> bool:
        with suppress(KembarError):
            self.primary.database.set_writable()
            if self.primary.database.facts().source_on:
                self.primary.database.semisync.source_off()
            facts = self.standby.database.facts()
            if not (facts.receiver_connected and facts.applier_running):
                self.standby.database.channel.start()
            clients = self.primary.database.facts().semisync_clients
            return facts.receiver_connected and facts.applier_running and clients == 1
        return False


class Call:
    """A call in a thread, as of a client that waits: its outcome, and when it ended (CLOCK_MONOTONIC)."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.outcome = "waiting"
        self.ended_s = float("inf")
        self._call = call
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def ended(self, within_s: float) -> bool:
        self._thread.join(within_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        outcome = "ok"
        try:
            self._call()
        except StatementRefused as error:
            outcome = f"error {error.errno}"
        except DatabaseUnavailable:
            outcome = "connection lost"
        self.ended_s, self.outcome = time.monotonic(), outcome


def eventually(fact: Callable[[], bool], within_s: float, what: str, every_s: float = POLL_S) -> float:
    """Seconds until it was so. Raises StepFailed with `what` if it is not in time."""
    began = time.monotonic()
    while not fact():
        if time.monotonic() - began > within_s:
            raise StepFailed(f"not within {within_s} s: {what}")
        time.sleep(every_s)
    return time.monotonic() - began


@contextmanager
def servers(setups: Sequence[Setup]) -> Iterator[list[Server]]:
    """So many servers, initialised and not started, in a short path: a socket's may have 107 characters."""
    binary, passwords = find_mysqld(), Passwords.random()
    root = Path(tempfile.mkdtemp(prefix="kembar-exp-", dir="/var/tmp"))
    made: list[Server] = []
    try:
        folders = [root / str(number) for number in range(1, len(setups) + 1)]
        for folder in folders:
            folder.mkdir()
        initialise(binary, [folder / "data" for folder in folders], passwords)
        issue(root / "tls", {folder.name: "127.0.0.1" for folder in folders})
        ports = iter(free_ports(2 * len(folders)))
        made += [
            _server(binary, passwords, folder, setup, next(ports), next(ports))
            for folder, setup in zip(folders, setups, strict=True)
        ]
        yield made
    finally:
        for server in made:
            server.end()
        shutil.rmtree(root)


@contextmanager
def replicating(primary: Setup | None = None, standby: Setup | None = None, port: int | None = None) -> Iterator[Pair]:
    """A running pair with the table shop.t (id, v); `port` is where the standby finds its source, if not directly."""
    with servers((primary or Setup(), standby or Setup())) as (first, second):
        for server in (first, second):
            server.supervisor.start()
        for server in (first, second):
            eventually(server.answers, START_S, f"an answer of mysqld, see {server.instance.log_error}")
        pair = Pair(first, second)
        eventually(lambda: _writable(first), START_S, "a writable primary")  # a busy machine misses a deadline
        second.follow(port or first.instance.port)
        first.sql("CREATE TABLE shop.t (id BIGINT AUTO_INCREMENT PRIMARY KEY, v BIGINT)")
        pair.relaxed()
        yield pair


def _writable(server: Server) -> bool:
    with suppress(KembarError):
        server.database.set_writable()
        return True
    return False


def free_ports(count: int) -> list[int]:
    """Ports that nobody uses now, nor is given by the kernel to whoever wants any: those may be taken at any moment."""
    kept_by_kernel = int(EPHEMERAL.read_text().split()[0])
    found: set[int] = set()
    while len(found) < count:
        port = secrets.choice(range(kept_by_kernel // 2, kept_by_kernel))
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.add(port)
    return list(found)


def _stopped(pid: int) -> bool:
    """Whether every thread of the process is stopped."""
    stats = []
    for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that was ending when it was to stop
            stats.append(stat.read_text())
    return all(stat.rpartition(")")[2].split()[0] == "T" for stat in stats)


def _server(
    binary: MysqldBinary, passwords: Passwords, folder: Path, setup: Setup, port: int, admin_port: int
) -> Server:
    number = int(folder.name)
    instance = Instance(
        datadir=folder / "data",
        socket=folder / "sock",
        pid_file=folder / "pid",
        log_error=folder / "log",
        address="127.0.0.1",
        server_id=number,
        auto_increment_offset=number,
        identity=identity(folder.parent / "tls", folder.name),
        port=port,
        admin_port=admin_port,
    )
    option_file = folder / "my.cnf"
    options = {**SMALL, **setup.options}
    option_file.write_text(my_cnf(binary, instance) + "".join(f"{key} = {value}\n" for key, value in options.items()))
    access = Access(instance.socket, "kembar_agent", passwords.agent, admin_port)
    supervisor = DirectChild([*setup.before, *command(binary, option_file)], instance.pid_file)
    return Server(instance, passwords, supervisor, access, Database(access, CLOCK))
