"""The whole lab up and down: networks, ZooKeeper, data directories, agents, orchestrators, each as processes."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from lab import namespaces, processes, programs, zookeeper
from lab.accounts import Passwords
from lab.files import Facts, Files, state_home
from lab.mysqld import MysqldBinary, find_mysqld, initialise
from lab.topology import Node, Topology, topology
from orchestrator.core.errors import Refused, StepFailed
from orchestrator.process.failpoints import VARIABLE as FAILPOINTS

PORT = 8080
ASKED_MAX = 6
QUORUM_S, HEALTHY_S = 90.0, 120.0  # on a machine that is slow or has other work
KEMBAR = (str(Path(sys.executable).with_name("kembar")),)

Say = Callable[[str], None]


def lab_topology() -> Topology:
    """The namespaces' view of vagrant/lab.yml."""
    return topology(yaml.safe_load((Path(__file__).parent.parent / "vagrant/lab.yml").read_text()))


class Stand:
    """One lab by its name. Every method may be called from another process than the one that brought it up."""

    def __init__(self, name: str, agent: Sequence[str] = (*KEMBAR, "agent")) -> None:
        """`agent` is the command of the agents that this process starts, another than the product's in tests."""
        self.name = name
        self._agent = agent
        self.topology = lab_topology()
        self.files = Files(state_home() / name, self.topology)
        self._keeping = threading.Lock()
        self._memory = Path(f"/dev/shm/kembar-{os.getuid()}-{name}")  # noqa: S108 - a disk that no other server uses

    # up and down

    def up(
        self, profile: str, say: Say, *, port: int = PORT, zookeeper_apart: bool = False, ballast_mb: int = 0
    ) -> Facts:
        """Everything started and the pair certified. Raises Refused (something is missing) or StepFailed.

        `port` 0, or one that is taken, is replaced by a free one. `zookeeper_apart` keeps ZooKeeper's data in memory,
        as if each server had a disk of its own: in a lab three of them share the one that both mysqlds wait for.
        `ballast_mb`: a table of that size is there from the beginning.
        """
        with self.claimed(say):
            return self._up(profile, say, port, zookeeper_apart=zookeeper_apart, ballast_mb=ballast_mb)

    def _up(self, profile: str, say: Say, port: int, *, zookeeper_apart: bool, ballast_mb: int) -> Facts:
        mysqld, java = find_programs()
        with listen(port) as listening:
            facts = Facts(
                name=self.name,
                profile=profile,
                port=listening.getsockname()[1],
                token=secrets.token_urlsafe(32),
                passwords=Passwords.random(),
                mysql_version=mysqld.version,
                zookeeper_version=java.version,
            )
            self.files.root.mkdir(parents=True, exist_ok=True)
            self.files.write_facts(facts)
            if zookeeper_apart:
                self._put_zookeeper_apart()
            say(f"MySQL {mysqld.version}, ZooKeeper {java.version}, profile {profile}")
            namespaces.up(self.topology, self.name)
            with ThreadPoolExecutor() as pool:
                datadirs = pool.submit(self._initialise, facts, ballast_mb)
                self.files.write_configuration(facts, mysqld)
                for node in self.topology.members("zookeeper"):
                    self.start_zookeeper(node)
                self._wait_quorum()
                self._provision(facts)
                say("ZooKeeper: three servers, the cluster's records are made")
                datadirs.result()
            for node in self.topology.pair:
                self.start_agent(node)
            # The witness first: a leader that shares no host with the pair survives the loss of either.
            for node in sorted(self.topology.members("orchestrator"), key=lambda node: node in self.topology.pair):
                self._start_orchestrator(node, listening)
        say(f"agents and orchestrators started, page on {facts.url}")
        self.wait_healthy()
        return facts

    @contextmanager
    def lent(self, profile: str, say: Say, *, zookeeper_apart: bool = False, ballast_mb: int = 0) -> Iterator[Facts]:
        """The lab for as long as the block lasts, then down, also if it did not come up. Raises as `up` does."""
        with self.claimed(say):
            try:
                yield self._up(profile, say, 0, zookeeper_apart=zookeeper_apart, ballast_mb=ballast_mb)
            finally:
                self.down()

    def renew(self, profile: str, say: Say) -> Facts:
        """Another lab in the place of a lent one, whose name is held already. Raises as `up` does."""
        self.down()
        return self._up(profile, say, 0, zookeeper_apart=False, ballast_mb=0)

    @contextmanager
    def claimed(self, say: Say) -> Iterator[None]:
        """The name for as long as the block lasts, after what an interrupted run left of it has been cleared away.

        Raises Refused if a process of a lab of that name lives, or somebody else has claimed it: a lab that is just
        begun looks as one that was interrupted.
        """
        if os.geteuid() != 0:
            raise Refused("the lab makes network namespaces: run it as root, or with sudo")
        with socket.socket(socket.AF_UNIX) as held:
            try:
                held.bind(f"\0kembar-lab-{self.name}")  # no file: it ends with the process that holds it
            except OSError:
                raise Refused(f"another command is at work on lab {self.name}: wait until it has ended") from None
            self._clear(say)
            yield

    def _clear(self, say: Say) -> None:
        if self.files.read_facts() is None and not namespaces.existing(self.name):
            return
        if self._members() or namespaces.inhabited(self.name):
            raise Refused(
                f"lab {self.name} stands already: kembar lab status, or KEMBAR_LAB={self.name} kembar lab down"
            )
        say(f"clearing what is left of an earlier lab {self.name}, in which no process runs any more")
        self.down()

    def down(self) -> int:
        """End every process, remove every namespace and file of this lab; how many processes there were."""
        ended = 0
        if self.files.root.exists():
            ended = processes.end_all(self.files.root, self._pid_files())
        namespaces.down(self.name)
        shutil.rmtree(self.files.root, ignore_errors=True)
        shutil.rmtree(self._memory, ignore_errors=True)
        return ended

    def _members(self) -> list[processes.Process]:
        return processes.members(self.files.root, self._pid_files())

    def _pid_files(self) -> list[Path]:
        return [self.files.instance(node).pid_file for node in self.topology.pair]

    def facts(self) -> Facts:
        """Raises Refused if this lab does not stand."""
        facts = self.files.read_facts()
        if facts is None:
            raise Refused(f"lab {self.name} does not stand: kembar lab up")
        return facts

    # one process

    def start_zookeeper(self, node: Node) -> None:
        config = zookeeper.prepare(self.files.ensemble(), node.number, self.files.zookeeper(node))
        self.spawn(f"zookeeper-{node.name}", node, zookeeper.command(zookeeper.find_zookeeper(), config))

    def start_agent(self, node: Node) -> None:
        self.spawn(f"agent-{node.name}", node, [*self._agent, "-c", str(self.files.agent_config(node))])

    def start_orchestrator(self, node: Node) -> None:
        """Start one again, on the port that its colleague still listens on."""
        with listen(self.facts().port, exactly=True) as listening:
            self._start_orchestrator(node, listening)

    def keep_orchestrator(self, node: Node) -> None:
        """Start one again if it has ended; threads that find it so at the same time start one between them."""
        with self._keeping:
            if not processes.alive(self.files.root, f"orchestrator-{node.name}"):
                self.start_orchestrator(node)

    def _start_orchestrator(self, node: Node, listening: socket.socket) -> None:
        argv = [*KEMBAR, "orchestrator", "-c", str(self.files.orchestrator_config(node))]
        self.spawn(f"orchestrator-{node.name}", node, argv, pass_fds=(listening.fileno(),))

    def spawn(self, name: str, node: Node, argv: list[str], pass_fds: tuple[int, ...] = ()) -> None:
        """Start a process of the lab on a node, with what it needs of fetched programs and libraries."""
        armed = self.files.failpoints(node)
        armed.mkdir(parents=True, exist_ok=True)
        environment = {
            **os.environ,
            "PATH": programs.search_path(),
            "PYTHONUNBUFFERED": "1",
            **programs.libnftables().environment(),
            FAILPOINTS: str(armed),
        }
        processes.spawn(
            argv,
            lab_dir=self.files.root,
            name=name,
            log_path=self.files.log(name),
            netns=namespaces.path(self.name, node.name),
            env=environment,
            pass_fds=pass_fds,
        )

    # what it takes to be up

    def _initialise(self, facts: Facts, ballast_mb: int) -> None:
        datadirs = [self.files.instance(node).datadir for node in self.topology.pair]
        initialise(find_mysqld(), datadirs, facts.passwords, self.topology.cluster, ballast_mb)

    def _put_zookeeper_apart(self) -> None:
        for node in self.topology.members("zookeeper"):
            place, link = self._memory / node.name, self.files.zookeeper(node) / "data"
            place.mkdir(mode=0o700, parents=True)
            link.parent.mkdir(parents=True)
            link.symlink_to(place)

    def _wait_quorum(self) -> None:
        wait_for(
            lambda: "-" not in self.zookeeper_modes().values(),
            QUORUM_S,
            f"ZooKeeper has no quorum: see {self.files.root / 'log'}",
        )

    def _provision(self, facts: Facts) -> None:
        first, second = self.topology.pair
        hosts = [f"{node.address}:{zookeeper.CLIENT_PORT}" for node in self.topology.members("zookeeper")]
        argv = [
            sys.executable,
            "-m",
            "lab.provision",
            self.topology.cluster,
            facts.profile,
            first.name,
            second.name,
            *hosts,
        ]
        done = subprocess.run(self.exec_argv("witness", argv), capture_output=True, text=True, check=False)
        if done.returncode:
            raise StepFailed(f"the cluster's records could not be made: {done.stderr.strip()}")

    def zookeeper_modes(self) -> dict[str, str]:
        """What each ZooKeeper server says it is: leader, follower, or `-` for no answer."""
        addresses = [str(node.address) for node in self.topology.members("zookeeper")]
        argv = self.exec_argv("witness", [sys.executable, "-m", "lab.zookeeper", *addresses])
        said = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
        return dict(line.split() for line in said.splitlines())

    def exec_argv(self, node: str, argv: list[str]) -> list[str]:
        """The command that runs `argv` on a node of this lab."""
        return namespaces.exec_argv(self.name, node, argv)

    def snapshot(self) -> dict[str, Any] | None:
        """What the orchestrators show of the pair; None while none answers.

        They share one port: one that is cut off answers too, with what it knew last, so several are asked.
        """
        last: dict[str, Any] | None = None
        for _ in range(ASKED_MAX):
            found = self._answer()
            last = found or last
            if found is not None and found["zookeeper"]["connected"]:
                break
        return last

    def _answer(self) -> dict[str, Any] | None:
        try:
            url = f"{self.facts().url}/api/v1/clusters/{self.topology.cluster}"
            with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own loopback
                found: dict[str, Any] = json.load(answer)
        except (OSError, ValueError):
            return None
        return found

    def ask(self, method: str, part: str, body: dict[str, object], epoch: int) -> None:
        """A changing call of the API, below the cluster's path. Raises Refused with what was answered."""
        facts = self.facts()
        request = urllib.request.Request(  # noqa: S310 - our own loopback
            f"{facts.url}/api/v1/clusters/{self.topology.cluster}/{part}",
            data=json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {facts.token}",
                "Content-Type": "application/json",
                "If-Match": f'"{epoch}"',
                "Idempotency-Key": f"lab-{time.time_ns()}",
            },
            method=method,
        )
        try:
            urllib.request.urlopen(request, timeout=5).close()  # noqa: S310
        except urllib.error.HTTPError as error:
            raise Refused(f"{method} {part}: {error.read().decode()}") from None
        except OSError as error:
            raise Refused(f"{method} {part}: no orchestrator answers: {error}") from None

    def healthy(self) -> bool:
        """Whether somebody could take over now, and nothing is in progress."""
        found = self.snapshot()
        return found is not None and found["state"] == "healthy"

    def wait_healthy(self, within_s: float = HEALTHY_S) -> None:
        """The pair certified and every ZooKeeper server serving. Raises StepFailed with what is waited for."""
        wait_for(self.healthy, within_s, lambda: f"the pair is not healthy: {excerpt(self.snapshot())}")
        self._wait_quorum()


def wait_for(
    condition: Callable[[], bool], within_s: float, failure: str | Callable[[], str], *, every_s: float = 0.02
) -> None:
    """Look until it holds. Raises StepFailed with `failure` after `within_s`."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            text = failure if isinstance(failure, str) else failure()
            raise StepFailed(f"{text} (after {within_s:g} s)")
        time.sleep(every_s)


def excerpt(snapshot: dict[str, Any] | None) -> str:
    """What tells why something that was waited for did not come."""
    if snapshot is None:
        return "no orchestrator answers"
    keys = ("verdict", "finding", "waiting", "phase", "mode", "epoch", "rule")
    return json.dumps({key: snapshot.get(key) for key in keys})


def find_programs() -> tuple[MysqldBinary, zookeeper.ZookeeperProgram]:
    """Everything that a lab runs, found or fetched; needs the network only if something is missing. Raises Refused."""
    found = find_mysqld(), zookeeper.find_zookeeper()
    for name in ("nft", "ss", "ip", "nsenter"):
        programs.program(name)
    programs.libnftables()
    return found


def listen(port: int, *, exactly: bool = False) -> socket.socket:
    """A socket on the host's loopback, shared by the orchestrators; one that is started again opens its own."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        if exactly:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.bind(("127.0.0.1", port))
    except OSError:
        if exactly:
            raise
        listening.bind(("127.0.0.1", 0))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listening.listen(128)
    return listening
