"""The lab's topology: the parsed `vagrant/lab.yml` as values. Reads no file; the caller parses the YAML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import cast

from orchestrator.core.errors import ConfigWrong

GROUPS = frozenset({"client", "db", "monitoring", "orchestrator", "zookeeper"})


@dataclass(frozen=True, slots=True)
class Node:
    """One host of the lab; `number` is the last part of its address and identifies it (server_id, myid)."""

    name: str
    number: int
    address: IPv4Address
    groups: frozenset[str]
    memory_mib: int
    cpus: int


@dataclass(frozen=True, slots=True)
class Topology:
    """One cluster on one network. The VIP is an address of that network which no node owns."""

    cluster: str
    network: IPv4Network
    vip: IPv4Address
    nodes: tuple[Node, ...]

    def node(self, name: str) -> Node:
        """The node of that name. Raises KeyError."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)

    def members(self, group: str) -> tuple[Node, ...]:
        """The nodes of a group, in the order of the file."""
        return tuple(node for node in self.nodes if group in node.groups)

    @property
    def pair(self) -> tuple[Node, Node]:
        """The two database hosts."""
        first, second = self.members("db")
        return first, second

    def interface(self, node: Node) -> str:
        """Address with prefix length, as `ip address add` wants it."""
        return f"{node.address}/{self.network.prefixlen}"


def topology(document: object, network: str = "namespaces") -> Topology:
    """The topology on one of the networks of `networks` (namespaces, libvirt, virtualbox).

    `document` is what the YAML parser returned. Raises ConfigWrong with one line per mistake.
    """
    problems: list[str] = []
    if not isinstance(document, Mapping):
        raise ConfigWrong(("the topology must be a mapping with cluster, networks, vip and nodes",))
    known = {"cluster", "networks", "vip", "nodes"}
    problems += [f"{key}: unknown key" for key in document if key not in known]
    problems += [f"{key}: missing" for key in sorted(known) if key not in document]
    if problems:
        raise ConfigWrong(tuple(problems))
    try:
        net = IPv4Network(cast("Mapping[str, str]", document["networks"])[network])
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigWrong((f"networks.{network}: no usable IPv4 network ({error})",)) from error
    rows = cast("Sequence[Mapping[str, object]]", document["nodes"])
    nodes = tuple(node for row in rows if (node := _node(row, net, problems)) is not None)
    vip = _address(net, document["vip"], "vip", problems)
    if not problems:
        problems += _problems_between(nodes, vip)
    if problems or vip is None:
        raise ConfigWrong(tuple(problems))
    return Topology(str(document["cluster"]), net, vip, nodes)


def _node(row: Mapping[str, object], network: IPv4Network, problems: list[str]) -> Node | None:
    name = row.get("name")
    if not isinstance(name, str) or not name:
        problems.append(f"nodes: {row!r} has no name")
        return None
    groups = frozenset(cast("Sequence[str]", row.get("groups", ())))
    problems += [f"nodes.{name}.groups: unknown group {group!r}" for group in sorted(groups - GROUPS)]
    address = _address(network, row.get("host"), f"nodes.{name}.host", problems)
    memory_mib, cpus = row.get("mem", 512), row.get("cpus", 1)
    if not isinstance(memory_mib, int) or not isinstance(cpus, int):
        problems.append(f"nodes.{name}: mem (MiB) and cpus must be whole numbers")
        return None
    if address is None:
        return None
    return Node(name, int(address) - int(network.network_address), address, groups, memory_mib, cpus)


def _address(network: IPv4Network, number: object, path: str, problems: list[str]) -> IPv4Address | None:
    """Network plus host number; the network's own address and its broadcast address are no hosts."""
    if not isinstance(number, int) or not 0 < number < network.num_addresses - 1:
        problems.append(f"{path}: {number!r} is no host number of {network}")
        return None
    return network.network_address + number


def _problems_between(nodes: Sequence[Node], vip: IPv4Address | None) -> list[str]:
    problems = []
    if len({node.name for node in nodes}) != len(nodes):
        problems.append("nodes: names must differ")
    if len({node.address for node in nodes} | {vip}) != len(nodes) + 1:
        problems.append("nodes: host numbers must differ, and none may be the vip's")
    if len([node for node in nodes if "db" in node.groups]) != 2:
        problems.append("nodes: exactly two must be in the group db")
    if len([node for node in nodes if "zookeeper" in node.groups]) % 2 == 0:
        problems.append("nodes: an odd number must be in the group zookeeper")
    return problems
