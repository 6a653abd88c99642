"""Each fault of the lab as a pair: inject it, and heal what it broke. Processes are ended by their recorded ids."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lab import namespaces, processes
from lab.processes import Process
from lab.stand import Stand, wait_for
from lab.topology import Node
from orchestrator.core.errors import Refused

ENDED_S = 60.0  # after a SIGKILL, of what may wait for its disk


@dataclass(frozen=True, slots=True)
class Fault:
    """`inject` takes the node it is about; `heal` undoes it, and may be called when there is nothing to undo."""

    name: str
    about: str  # primary, standby, leader, follower: where it strikes unless a node is named
    what: str
    inject: Callable[[Stand, Node], None]


def inject(stand: Stand, name: str, node: str | None) -> tuple[Node, float]:
    """Inject a fault; the node it struck, and CLOCK_MONOTONIC just before. Raises Refused for an unknown name."""
    fault = FAULTS.get(name)
    if fault is None:
        raise Refused(f"no fault {name!r}; there are {', '.join(FAULTS)}")
    target = stand.topology.node(node) if node else where(stand, fault.about)
    began = time.monotonic()
    fault.inject(stand, target)
    return target, began


def heal(stand: Stand) -> None:
    """Every link up and unblocked, every frozen process running, every ended daemon started again."""
    namespaces.unblock_all(stand.name)
    for node in stand.topology.nodes:
        namespaces.link_up(stand.name, node.name)
    for name in processes.recorded(stand.files.root):
        processes.thaw(stand.files.root, name)
    for process in _mysqlds(stand):
        processes.send(process, signal.SIGCONT)
    for node in stand.topology.nodes:
        boot(stand, node)


def boot(stand: Stand, node: Node) -> None:
    """Start what a host runs and what does not run."""
    root = stand.files.root
    if "zookeeper" in node.groups and not processes.alive(root, f"zookeeper-{node.name}"):
        stand.start_zookeeper(node)
    if node in stand.topology.pair and not processes.alive(root, f"agent-{node.name}"):
        stand.start_agent(node)
    if "orchestrator" in node.groups:
        stand.keep_orchestrator(node)


def where(stand: Stand, about: str) -> Node:
    """The node that is now the primary, the standby, or hosts the leading ZooKeeper or a following one."""
    if about in ("leader", "follower"):
        return _zookeeper(stand, about)
    found = stand.snapshot()
    if found is None:
        raise Refused("no orchestrator answers, so nobody says who is primary: name the node")
    if about == "orchestrator":
        return stand.topology.node(str(found["orchestrator"]["leader"]))
    return stand.topology.node(str(found[about]))


def mysqld_process(stand: Stand, node: Node) -> Process | None:
    """The mysqld of a node, by its own pid file."""
    try:
        return Process.of(int(stand.files.instance(node).pid_file.read_text()))
    except (FileNotFoundError, ValueError):
        return None


def worker(stand: Stand, node: Node) -> Process | None:
    """The agent's worker, which holds the power; its parent only waits to replace it."""
    parent = processes.recorded(stand.files.root).get(f"agent-{node.name}")
    children = processes.descendants(parent.pid) if parent and parent.lives() else []
    mysqld = mysqld_process(stand, node)
    found = [child for child in children if mysqld is None or child.pid != mysqld.pid]
    return found[0] if found else None


def _mysqld_crash(stand: Stand, node: Node) -> None:
    _send(mysqld_process(stand, node), signal.SIGKILL, f"mysqld of {node.name}")


def _mysqld_hang(stand: Stand, node: Node) -> None:
    _send(mysqld_process(stand, node), signal.SIGSTOP, f"mysqld of {node.name}")


def _agent_kill(stand: Stand, node: Node) -> None:
    _send(worker(stand, node), signal.SIGKILL, f"the agent of {node.name}")


def _agent_tree_kill(stand: Stand, node: Node) -> None:
    """Parent and worker, as an administrator's restart: a new interpreter has to start."""
    found = worker(stand, node)
    processes.kill(stand.files.root, f"agent-{node.name}")
    _send(found, signal.SIGKILL, f"the agent of {node.name}")
    stand.start_agent(node)


def _agent_freeze(stand: Stand, node: Node) -> None:
    _send(worker(stand, node), signal.SIGSTOP, f"the agent of {node.name}")


def _host_loss(stand: Stand, node: Node) -> None:
    """The cable first, so that no dying process can say goodbye. Over when all are gone: else `boot` sees them live."""
    namespaces.link_down(stand.name, node.name)
    roots = [one for name, one in processes.recorded(stand.files.root).items() if name.endswith(f"-{node.name}")]
    ended = [one for root in roots for one in (root, *processes.descendants(root.pid))]
    mysqld = mysqld_process(stand, node)
    ended += [mysqld] if mysqld else []
    for one in ended:
        processes.send(one, signal.SIGKILL)
    wait_for(lambda: not any(one.lives() for one in ended), ENDED_S, f"processes of {node.name} outlive a SIGKILL")


def end_database(stand: Stand, node: Node) -> None:
    """kill -9 of agent and mysqld, not of ZooKeeper and orchestrator; over when they are gone. `boot` starts them."""
    agent, mysqld = processes.recorded(stand.files.root).get(f"agent-{node.name}"), mysqld_process(stand, node)
    ended = [agent, *processes.descendants(agent.pid)] if agent else []
    ended += [mysqld] if mysqld else []
    for one in ended:
        processes.send(one, signal.SIGKILL)
    wait_for(lambda: not any(one.lives() for one in ended), ENDED_S, f"agent and mysqld of {node.name} do not end")


def _link_loss(stand: Stand, node: Node) -> None:
    namespaces.link_down(stand.name, node.name)


def _partition(stand: Stand, node: Node) -> None:
    """The node is cut from every other, clients included, in both directions."""
    namespaces.cut(stand.name, node.name, [other.name for other in stand.topology.nodes if other != node])


def _orchestrator_kill(stand: Stand, node: Node) -> None:
    _send(processes.recorded(stand.files.root).get(f"orchestrator-{node.name}"), signal.SIGKILL, "the orchestrator")


def _zookeeper_kill(stand: Stand, node: Node) -> None:
    _send(processes.recorded(stand.files.root).get(f"zookeeper-{node.name}"), signal.SIGKILL, "ZooKeeper")


FAULTS: Mapping[str, Fault] = {
    fault.name: fault
    for fault in (
        Fault("mysqld-crash", "primary", "kill -9 of mysqld", _mysqld_crash),
        Fault("mysqld-hang", "primary", "SIGSTOP of mysqld", _mysqld_hang),
        Fault("host-loss", "primary", "cable out and every process of the host killed", _host_loss),
        Fault("database-loss", "primary", "kill -9 of agent and mysqld, nobody starts them", end_database),
        Fault("link-loss", "primary", "cable out, every process goes on", _link_loss),
        Fault("partition", "primary", "cut from every other host", _partition),
        Fault("standby-loss", "standby", "cable of the standby out", _link_loss),
        Fault("agent-kill", "primary", "kill -9 of the agent's worker", _agent_kill),
        Fault("agent-restart", "primary", "kill -9 of the agent with its parent", _agent_tree_kill),
        Fault("agent-freeze", "primary", "SIGSTOP of the agent", _agent_freeze),
        Fault("orchestrator-kill", "orchestrator", "kill -9 of the leading orchestrator", _orchestrator_kill),
        Fault("zookeeper-kill", "follower", "kill -9 of a following ZooKeeper server", _zookeeper_kill),
        Fault("zookeeper-leader-kill", "leader", "kill -9 of the leading ZooKeeper server", _zookeeper_kill),
    )
}


def _send(process: Process | None, number: int, what: str) -> None:
    if process is None or not processes.send(process, number):
        raise Refused(f"{what} does not run")


def _mysqlds(stand: Stand) -> list[Process]:
    return [process for node in stand.topology.pair if (process := mysqld_process(stand, node))]


def _zookeeper(stand: Stand, mode: str) -> Node:
    modes = stand.zookeeper_modes()
    for node in stand.topology.members("zookeeper"):
        if modes.get(str(node.address)) == mode:
            return node
    raise Refused(f"no ZooKeeper server says that it is a {mode}: {modes}")
