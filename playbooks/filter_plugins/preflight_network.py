"""What stands against a cluster on these addresses and ports, all of it at once. Pure: facts in, lines out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError
from typing import Any

EXCHANGE_PORT = 7306
ZOOKEEPER_PORT, QUORUM_PORTS = 2281, (2888, 3888)
PAGE_PORT = 8080
EVERY = ("*", "[::]", str(IPv4Address(0)))  # as `ss` has it

Spec = Mapping[str, Any]


def preflight_network_problems(spec: Spec) -> list[str]:
    """Lines as those of `preflight_problems`, about addresses and ports.

    `spec` is the same; `mysql_ports` are those of clients and of the agent, `pages` what each orchestrator listens on
    (ADDRESS:PORT by name, empty where it is not said), `ports` what the module preflight_ports found on each host, None
    if it could not.
    """
    found = [*_shared(spec["addresses"]), *_virtual(spec)]
    unreadable = [(name, page) for name, page in sorted(spec["pages"].items()) if page and not _port(page).isdecimal()]
    if unreadable:
        shown = (f"{name}: kembar_orchestrator_listen is {page!r}  hint: ADDRESS:PORT" for name, page in unreadable)
        return [*found, *shown]
    for name in sorted(spec["ports"]):
        if spec["ports"][name] is not None:
            found += [f"{name}: {line}" for line in (*_taken(name, spec), *_unreached(name, spec))]
        elif spec["hosts"][name] is not None:
            found.append(f"{name}: cannot tell its ports  hint: apt-get install iproute2, whose ss tells them")
    return found


def preflight_asks(spec: Spec, name: str) -> list[str]:
    """ADDRESS:PORT of what that host must reach on the others."""
    return [f"{spec['addresses'][other]}:{port}" for other, port in _asks(spec, name)]


def _asks(spec: Spec, name: str) -> Iterator[tuple[str, int]]:
    groups = spec["groups"]
    if name in groups.get("db", ()):
        yield from _of(groups["db"], name, (spec["mysql_ports"][0], EXCHANGE_PORT))
    yield from _of(groups.get("zookeeper", ()), name, (ZOOKEEPER_PORT,))
    if name in groups.get("zookeeper", ()):
        yield from _of(groups["zookeeper"], name, QUORUM_PORTS)


def _of(others: Sequence[str], name: str, ports: Sequence[int]) -> Iterator[tuple[str, int]]:
    return ((other, port) for other in others if other != name for port in ports)


def _shared(addresses: Mapping[str, str]) -> Iterator[str]:
    for address in sorted(set(addresses.values())):
        names = sorted(name for name, own in addresses.items() if own == address)
        if len(names) > 1:
            yield f"{', '.join(names)}: have one kembar_address {address}  hint: each host its own"


def _virtual(spec: Spec) -> Iterator[str]:
    """Where it is an address of its network at all, nobody may have it already."""
    vip = spec["vip"]
    for name in sorted(name for name, own in spec["addresses"].items() if own == vip):
        yield f"{name}: kembar_vip {vip} is its kembar_address  hint: take an address that no host has"
    try:
        network = IPv4Network(spec["subnet"])
        kept = {network.network_address: "the network's own", network.broadcast_address: "the broadcast"}
        kind = kept.get(IPv4Address(vip)) if network.prefixlen < 31 else None
    except (AddressValueError, NetmaskValueError, ValueError):
        return  # which the judge of the inventory names
    if kind:
        yield f"inventory: kembar_vip {vip} is {kind} address of {network}  hint: take one that a host could have"


def _taken(name: str, spec: Spec) -> Iterator[str]:
    for address, port, unit in _own(name, spec):
        for one in spec["ports"][name]["listening"]:
            if one["port"] == port and one["unit"] != unit and _meet(address, one["address"]):
                who = " of ".join(filter(None, (one["program"], one["unit"]))) or "another program"
                yield f"port {port} is taken by {who}  hint: end it, or move it: {unit} listens there"


def _meet(one: str, other: str) -> bool:
    """Whether two programs cannot listen at these: who has every address is in everybody's way."""
    return one == other or one in EVERY or other in EVERY


def _own(name: str, spec: Spec) -> Iterator[tuple[str, int, str]]:
    """Where the units of that host will listen."""
    groups, address = spec["groups"], spec["addresses"][name]
    if name in groups.get("db", ()):
        clients, agent = spec["mysql_ports"]
        yield from (("*", clients, "mysql.service"), ("127.0.0.1", agent, "mysql.service"))
        yield address, EXCHANGE_PORT, "kembar-agent.service"
    if name in groups.get("zookeeper", ()):
        yield from ((address, port, "zookeeper.service") for port in (ZOOKEEPER_PORT, *QUORUM_PORTS))
    if name in groups.get("orchestrator", ()):
        page = spec["pages"].get(name) or f"{address}:{PAGE_PORT}"
        yield page.rpartition(":")[0], int(_port(page)), "kembar-orchestrator.service"


def _port(page: str) -> str:
    return page.rpartition(":")[2]


def _unreached(name: str, spec: Spec) -> Iterator[str]:
    """A host that has Kembar's firewall lets a new one in only once it is set up: nothing is to be told of it."""
    for other, port in _asks(spec, name):
        theirs, asked = spec["ports"].get(other), f"{spec['addresses'][other]}:{port}"
        if theirs is not None and not theirs["firewall"] and asked in spec["ports"][name]["unreached"]:
            yield f"does not reach {other} at {asked}  hint: let TCP port {port} through, on both hosts and between"


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Any]:
        return {"preflight_network_problems": preflight_network_problems, "preflight_asks": preflight_asks}
