"""Where ZooKeeper and the orchestrators lead from, and how a row has it elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lab import faults
from lab.matrix.trial import MOVED_S, Trial
from lab.stand import wait_for
from lab.topology import Node
from lab.zookeeper import CLIENT_PORT
from orchestrator.core.errors import StepFailed

TRIES = 20  # elections go as they like


def zookeeper_leader(t: Trial) -> Node:
    """Where ZooKeeper's leader runs. Raises Refused if no server says that it leads."""
    return faults.where(t.stand, "leader")


def lead_zookeeper_on_the_pair(t: Trial, *, yes: bool) -> None:
    """Have the ZooKeeper leader on a host of the pair, or apart from it."""
    leader = zookeeper_leader(t)
    if (leader in t.stand.topology.pair) is not yes:
        # Of servers with the same writes the highest number wins.
        highest = max(t.stand.topology.pair, key=lambda node: node.number)
        lead_zookeeper_on(t, highest if yes else t.stand.topology.node("witness"))


def lead_zookeeper_on(t: Trial, node: Node) -> None:
    """Have the ZooKeeper leader there. Raises StepFailed if the elections will not have it."""
    for _ in range(TRIES):
        leader = zookeeper_leader(t)
        if leader == node:
            t.begin()
            return
        faults.inject(t.stand, "zookeeper-kill", leader.name)
        await_zookeeper_leader(t, other_than=leader)
        faults.boot(t.stand, leader)
        t.stand.wait_healthy()
    raise StepFailed(f"ZooKeeper's leader is on {zookeeper_leader(t).name} and not on {node.name}")


def await_zookeeper_leader(t: Trial, *, other_than: Node) -> None:
    """Another of its servers leads. Raises StepFailed."""

    def elected() -> bool:
        modes = t.stand.zookeeper_modes()
        return any(mode == "leader" and address != str(other_than.address) for address, mode in modes.items())

    wait_for(elected, MOVED_S, f"no ZooKeeper server leads in the place of the one on {other_than.name}")


def ask_another_zookeeper(t: Trial, node: Node, server: Node) -> None:
    """Whoever on a node has a session with that server has it with another one from now on. Raises StepFailed."""
    there = ("dst", f"{server.address}:{CLIENT_PORT}")

    def elsewhere() -> bool:
        listed = t.run(node.name, "ss", "-H", "-t", "-n", *there)
        if listed:
            t.run(node.name, "ss", "-K", "-t", *there)  # it goes on to the next server, not to this one again
        return not listed

    wait_for(elsewhere, MOVED_S, f"clients on {node.name} stay with the ZooKeeper of {server.name}", every_s=0.5)
    t.stand.wait_healthy()


def await_orchestrators(t: Trial, count: int, holds: Callable[[Mapping[str, Any]], bool] = lambda shown: True) -> None:
    """So many of them reach ZooKeeper and show the pair, each so that it is true. Raises StepFailed."""
    found: set[str] = set()

    def all_answer() -> bool:
        shown = t.stand.snapshot()
        if shown is not None and not shown["data"]["stale"] and holds(shown):
            found.add(shown["orchestrator"]["instance"])
        return len(found) >= count

    wait_for(all_answer, MOVED_S, lambda: f"only {sorted(found)} answer")


def orchestrator_leader(t: Trial) -> Node:
    """Where the leading orchestrator runs. Raises StepFailed if nobody leads."""
    shown = t.until(lambda shown: shown["orchestrator"]["leader"], "no orchestrator leads")
    return t.stand.topology.node(shown["orchestrator"]["leader"])
