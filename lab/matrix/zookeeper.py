"""Rows about ZooKeeper: servers killed and frozen, quorum lost, sessions ended."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from lab import processes
from lab.matrix.leading import await_orchestrators, await_zookeeper_leader, orchestrator_leader, zookeeper_leader
from lab.matrix.row import Priority, Row
from lab.matrix.trial import Trial
from lab.topology import Node
from lab.zookeeper import CLIENT_PORT

EXPIRES_S = 4.0  # an orchestrator's session of 1 s has ended by then


def follower_killed(t: Trial) -> None:
    t.strike("zookeeper-kill")
    t.writes_go_on()
    t.stays(lambda: not t.rules(), 2.0, "the loss of a follower led to a decision")


def leader_killed(t: Trial) -> None:
    t.strike("zookeeper-leader-kill")
    t.writes_go_on()
    t.unmoved()


def leader_frozen(t: Trial) -> None:
    leader = zookeeper_leader(t)
    t.struck = time.monotonic()
    _freeze(t, leader)
    await_zookeeper_leader(t, other_than=leader)
    t.writes_go_on()
    t.unmoved()


def quorum_lost(t: Trial, for_s: float) -> None:
    """Two of three frozen: nobody may be promoted, and nobody serves without a lease."""
    leader = zookeeper_leader(t)
    follower = next(node for node in t.stand.topology.members("zookeeper") if node != leader)
    t.struck = time.monotonic()
    for node in (leader, follower):
        _freeze(t, node)
    time.sleep(for_s)
    t.unmoved()
    for node in (leader, follower):
        processes.thaw(t.stand.files.root, f"zookeeper-{node.name}")
    t.writes_go_on()
    t.unmoved()


def all_restarted(t: Trial) -> None:
    t.struck = time.monotonic()
    servers = t.stand.topology.members("zookeeper")
    for node in servers:
        processes.kill(t.stand.files.root, f"zookeeper-{node.name}")
    t.await_ended(*(f"zookeeper-{node.name}" for node in servers))
    for node in servers:
        t.boot(node)
    t.writes_go_on()
    t.unmoved()


def leading_session_ended(t: Trial) -> None:
    """Frozen for longer than its session lives; what it decides when it goes on must not be written."""
    leader = orchestrator_leader(t)
    process = processes.recorded(t.stand.files.root)[f"orchestrator-{leader.name}"]
    t.struck = time.monotonic()
    t.signal(process, signal.SIGSTOP, "the leading orchestrator")
    t.undo.callback(t.thaw, process)
    t.until(lambda shown: shown["orchestrator"]["leader"] not in (None, leader.name), "nobody leads in its place")
    time.sleep(max(0.0, t.struck + EXPIRES_S - time.monotonic()))
    t.thaw(process)

    def led_by_another(shown: Mapping[str, Any]) -> bool:
        return shown["orchestrator"]["leader"] not in (None, leader.name)

    await_orchestrators(t, 2, led_by_another)  # one that goes on says for a moment what it was when it was stopped
    t.check(orchestrator_leader(t) != leader, "it leads again without an election")
    t.writes_go_on()
    t.unmoved()


def clients_moved_between_servers(t: Trial) -> None:
    """Every connection to every server reset, three times."""
    t.struck = time.monotonic()
    hosts = [node for node in t.stand.topology.nodes if node.groups & {"db", "orchestrator"}]
    for _ in range(3):
        for node in hosts:
            t.run(node.name, "ss", "-K", "-t", "dport", "=", f":{CLIENT_PORT}")
        time.sleep(0.5)
    t.writes_go_on()
    t.unmoved()


def _freeze(t: Trial, node: Node) -> None:
    name = f"zookeeper-{node.name}"
    processes.freeze(t.stand.files.root, name)
    t.undo.callback(processes.thaw, t.stand.files.root, name)


def _quorum_row(for_s: float, priority: Priority) -> Row:
    run: Callable[[Trial], None] = partial(quorum_lost, for_s=for_s)
    return Row(
        22,
        f"ZooKeeper's quorum lost for {for_s:g} s",
        priority,
        "SIGSTOP of the leader and a follower, SIGCONT",
        "no promotion; the gate shuts if it lasts longer than A, and opens again by itself",
        run,
    )


ROWS = (
    Row(
        22,
        "a following ZooKeeper server killed",
        Priority.P0,
        "kill -9",
        "not felt, nothing decided",
        follower_killed,
    ),
    Row(
        22,
        "ZooKeeper's leader killed",
        Priority.P0,
        "kill -9",
        "no outage if the election is shorter than A, else the gate shuts and opens again; nothing moves",
        leader_killed,
    ),
    Row(
        22,
        "ZooKeeper's leader frozen",
        Priority.P0,
        "SIGSTOP, as of a host that is lost; SIGCONT",
        "as when it is killed, after its colleagues have noticed",
        leader_frozen,
    ),
    _quorum_row(1.0, Priority.P0),
    _quorum_row(10.0, Priority.P0),
    _quorum_row(60.0, Priority.P1),
    Row(
        22,
        "all ZooKeeper servers restarted",
        Priority.P0,
        "kill -9 of all three, started again",
        "the gate shuts and opens again; nothing moves",
        all_restarted,
    ),
    Row(
        23,
        "the leading orchestrator's session ended",
        Priority.P0,
        f"SIGSTOP for {EXPIRES_S:g} s, SIGCONT: a session cannot be closed by its id alone",
        "another leads in a new term; the lease is not affected",
        leading_session_ended,
    ),
    Row(
        23,
        "clients moved between ZooKeeper servers",
        Priority.P0,
        "every connection to port 2181 destroyed, three times",
        "the leases are not affected, nothing moves",
        clients_moved_between_servers,
    ),
)
