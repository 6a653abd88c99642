"""What `kembar lab bench pairs` brings up: real ZooKeeper and orchestrators on the lab's hosts, simulated agents."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import Any

from lab import namespaces
from lab.simagents import cluster_name, node_names
from lab.stand import KEMBAR, QUORUM_S, Say, Stand, listen, wait_for
from lab.topology import Node
from lab.zookeeper import CLIENT_PORT, find_zookeeper
from orchestrator.core.errors import StepFailed

NETWORK = IPv4Network("198.18.0.0/15")  # kept free for benchmarks by RFC 2544; nothing is ever sent there
BITS = 3  # of the subnet of one pair: two hosts and a VIP
PAIRS_MAX = NETWORK.num_addresses >> BITS
END_S = 5.0


@contextmanager
def ensemble(stand: Stand, say: Say) -> Iterator[None]:
    """Networks and ZooKeeper for as long as the block lasts. Raises Refused, StepFailed."""
    with stand.claimed(say):
        try:
            stand.files.root.mkdir(parents=True, exist_ok=True)
            namespaces.up(stand.topology, stand.name)
            for node in stand.topology.members("zookeeper"):
                stand.start_zookeeper(node)
            wait_for(lambda: "-" not in stand.zookeeper_modes().values(), QUORUM_S, "ZooKeeper has no quorum")
            say(f"ZooKeeper {find_zookeeper().version}: three servers")
            yield
        finally:
            stand.down()


def start_orchestrators(stand: Stand, pairs: int, profile: str) -> None:
    """One on each host that has one, for all pairs, with the page on one free port."""
    with listen(0) as listening:
        for node in stand.topology.members("orchestrator"):
            config = stand.files.orchestrator_config(node)
            config.parent.mkdir(parents=True, exist_ok=True)
            config.write_text(orchestrator_yaml(stand, node, pairs, profile))
            argv = [*KEMBAR, "orchestrator", "-c", str(config)]
            stand.spawn(f"orchestrator-{node.name}", node, argv, pass_fds=(listening.fileno(),))


def orchestrator_yaml(stand: Stand, node: Node, pairs: int, profile: str) -> str:
    """The file of one orchestrator with `pairs` clusters."""
    clusters = "".join(map(_cluster_yaml, range(pairs), [profile] * pairs))
    hosts = ", ".join(f"'{host}'" for host in zookeeper_hosts(stand))
    return f"""name: {node.name}
listen: inherited
zookeeper: {{hosts: [{hosts}], session_timeout_s: 1.0}}
anonymous_viewers: true
anonymous_metrics: true
clusters:
{clusters}"""


def _cluster_yaml(number: int, profile: str) -> str:
    first, second = node_names(number)
    subnet = IPv4Network((int(NETWORK.network_address) + (number << BITS), 32 - BITS))
    return f"""  - name: {cluster_name(number)}
    nodes: [{{name: {first}, address: {subnet[1]}}}, {{name: {second}, address: {subnet[2]}}}]
    vip: {{address: {subnet[3]}, subnet: {subnet}}}
    profile: {profile}
"""


def zookeeper_hosts(stand: Stand) -> list[str]:
    """`ADDRESS:PORT` of each server."""
    return [f"{node.address}:{CLIENT_PORT}" for node in stand.topology.members("zookeeper")]


@contextmanager
def simulated(stand: Stand, pairs: int, profile: str) -> Iterator[Agents]:
    """The process of the simulated agents, which ends with the block."""
    argv = [sys.executable, "-m", "lab.simagents", profile, str(pairs), *zookeeper_hosts(stand)]
    with subprocess.Popen(
        stand.exec_argv("client", argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        agents = Agents(process)
        threading.Thread(target=agents.read, name="simulated agents", daemon=True).start()
        try:
            yield agents
        finally:
            process.kill()


@dataclass(slots=True)
class Agents:
    """Talks to that process in lines."""

    process: subprocess.Popen[str]
    _lines: queue.SimpleQueue[str] = field(default_factory=queue.SimpleQueue)

    def read(self) -> None:
        """Everything it says, until it ends."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.strip())
        self._lines.put("")

    def wait(self, word: str, within_s: float) -> None:
        """Until it says just that. Raises StepFailed."""
        said = self._next(word, within_s)
        if said != word:
            raise StepFailed(f"the simulated agents said {said[:200]!r}, expected {word!r}")

    def asked(self, command: str, within_s: float) -> dict[str, Any]:
        """Its answer to a command. Raises StepFailed."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{command}\n")
        self.process.stdin.flush()
        said = self._next(f"an answer to {command!r}", within_s)
        try:
            found: dict[str, Any] = json.loads(said)
        except ValueError:
            raise StepFailed(f"the simulated agents answered {command!r} by {said[:200]!r}") from None
        return found

    def _next(self, what: str, within_s: float) -> str:
        try:
            return self._lines.get(timeout=within_s)
        except queue.Empty:
            raise StepFailed(f"the simulated agents have not said {what} within {within_s:g} s") from None
