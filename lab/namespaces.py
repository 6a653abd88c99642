"""The lab's network: a namespace per node, and one for the switch between them. Nothing of it is in the host's own.

Every node has `eth0`; the other end is the port `p-NODE` of the bridge in the switch. Faults of links are made at the
switch, so that a node's own addresses, routes and rules are never touched. Works inside a user namespace as well
(`unshare -Urnm` with a tmpfs on /run), as it needs power over its own network only.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from lab.programs import program
from lab.topology import Topology
from orchestrator.core.errors import Refused, StepFailed

NETNS_DIR = Path("/run/netns")
INTERFACE = "eth0"
BRIDGE = "br0"
SWITCH = "switch"
TABLE = "bridge kembar_lab"
COMMAND_S = 20


def namespace(lab: str, node: str) -> str:
    """The name of a node's namespace: `kembar-LAB-NODE`. Raises Refused for a name of a lab that could be mistaken."""
    if not re.fullmatch(r"[a-z0-9_]{1,32}", lab):
        # A dash would make the names of lab "demo" a prefix of those of lab "demo-2".
        raise Refused(f"lab name {lab!r}: use 1 to 32 of a-z, 0-9 and _")
    return f"kembar-{lab}-{node}"


def path(lab: str, node: str) -> Path:
    """The file that `nsenter --net=` takes."""
    return NETNS_DIR / namespace(lab, node)


def up(topology: Topology, lab: str) -> None:
    """Create the namespaces, the bridge, and one link and address per node. Raises Refused if the lab's network exists.

    A failure leaves nothing behind. Raises StepFailed with what `ip` said.
    """
    if existing(lab):
        raise Refused(f"the network of lab {lab} exists already; take it down first: kembar lab down")
    names = [node.name for node in topology.nodes]
    try:
        _batch(None, [f"netns add {namespace(lab, name)}" for name in (SWITCH, *names)])
        _batch(namespace(lab, SWITCH), _switch_commands(lab, names))
        for node in topology.nodes:
            _sysctls(lab, node.name)
            _batch(
                namespace(lab, node.name),
                (
                    "link set lo up",
                    f"address add {topology.interface(node)} dev {INTERFACE}",
                    f"link set {INTERFACE} up",
                ),
            )
    except StepFailed:
        down(lab)
        raise


def down(lab: str) -> None:
    """Remove the lab's network; it need not exist or be complete. A process left in it keeps an empty network."""
    names = existing(lab)
    if namespace(lab, SWITCH) in names:
        # The other ends go with the ports, also those in a namespace that a process still holds.
        _batch(namespace(lab, SWITCH), [f"link delete {port}" for port in _ports(lab)])
    _batch(None, [f"netns delete {name}" for name in names])


def existing(lab: str) -> list[str]:
    """The namespaces of that lab which exist now."""
    return sorted(entry.name for entry in NETNS_DIR.glob(f"{namespace(lab, '')}*"))


def inhabited(lab: str) -> bool:
    """Whether a process lives in any of that lab's namespaces, whoever started it."""
    return any(_run([str(program("ip")), "netns", "pids", name], "").split() for name in existing(lab))


def exec_argv(lab: str, node: str, argv: Sequence[str]) -> list[str]:
    """The command that becomes `argv` in the namespace of a node; the pid stays, so it can be signalled directly."""
    return [str(program("nsenter")), f"--net={path(lab, node)}", "--", *argv]


def link_down(lab: str, node: str) -> None:
    """Pull the cable at the switch: the node's eth0 loses its carrier and keeps its addresses. Raises StepFailed."""
    _batch(namespace(lab, SWITCH), [f"link set {port(node)} down"])


def link_up(lab: str, node: str) -> None:
    """Plug the cable in again. Raises StepFailed."""
    _batch(namespace(lab, SWITCH), [f"link set {port(node)} up"])


def carrier(lab: str, node: str) -> bool:
    """Whether the node's cable is in. Raises StepFailed."""
    said = _run(exec_argv(lab, node, [str(program("ip")), "-brief", "link", "show", INTERFACE]), "")
    return "LOWER_UP" in said


def block(lab: str, source: str, target: str) -> None:
    """Drop every frame from one node to another at the switch, ARP included; the other direction is untouched.

    Blocks add up until `unblock_all`. Raises StepFailed.
    """
    drop(lab, _frames(source, target))


def block_ports(lab: str, node: str, ports: Iterable[int]) -> None:
    """Drop what goes to or comes from these TCP ports over a node's cable, whoever serves them. Raises StepFailed."""
    numbers = f"{{ {', '.join(map(str, ports))} }}"
    ways = [f'{side} "{port(node)}" ether type ip tcp' for side in ("iifname", "oifname")]
    drop(lab, *(f"{way} {end} {numbers}" for way in ways for end in ("dport", "sport")))


def block_between(lab: str, one: str, other: str, number: int) -> None:
    """Drop what two nodes say to each other by this TCP port, whichever of them serves it. Raises StepFailed."""
    ways = [f"{_frames(source, target)} ether type ip tcp" for source, target in ((one, other), (other, one))]
    drop(lab, *(f"{way} {end} {number}" for way in ways for end in ("dport", "sport")))


def cut(lab: str, node: str, others: Iterable[str]) -> None:
    """Drop every frame between a node and these others, from one moment on. Raises StepFailed.

    One link after the other, whoever loses the first has time to act before it loses the last.
    """
    drop(lab, *(_frames(*ends) for other in others for ends in ((node, other), (other, node))))


def drop(lab: str, *matches: str) -> None:
    """Drop the frames that one of these nftables expressions of the bridge family matches, at the switch, all at once.

    Raises StepFailed.
    """
    rules = "".join(f"add rule {TABLE} forward {match} drop\n" for match in matches)
    _nft(
        lab,
        f"add table {TABLE}\n"
        f"add chain {TABLE} forward {{ type filter hook forward priority 0; policy accept; }}\n"
        f"{rules}",
    )


def unblock_all(lab: str) -> None:
    """Let every frame pass again; links that are down stay down. Raises StepFailed."""
    _nft(lab, f"add table {TABLE}\ndelete table {TABLE}\n")


def port(node: str) -> str:
    """The name of a node's port at the switch."""
    name = f"p-{node}"
    if len(name) > 15:
        raise Refused(f"node name {node!r}: 13 characters at most, as an interface is named after it")
    return name


def _frames(source: str, target: str) -> str:
    return f'iifname "{port(source)}" oifname "{port(target)}"'


def _ports(lab: str) -> list[str]:
    listed = _run(
        [str(program("ip")), "-netns", namespace(lab, SWITCH), "-brief", "link", "show", "master", BRIDGE], ""
    )
    return [line.split()[0].split("@")[0] for line in listed.splitlines()]


def _switch_commands(lab: str, names: Iterable[str]) -> list[str]:
    # Without learning delay and multicast snooping: a port forwards as soon as it is up.
    commands = [f"link add {BRIDGE} type bridge forward_delay 0 mcast_snooping 0", f"link set {BRIDGE} up"]
    for name in names:
        commands += [
            f"link add {port(name)} type veth peer name {INTERFACE} netns {namespace(lab, name)}",
            f"link set {port(name)} master {BRIDGE}",
            f"link set {port(name)} up",
        ]
    return commands


def _sysctls(lab: str, node: str) -> None:
    """As provisioning sets them on a real host: never ask for a neighbour with the VIP as sender."""
    conf = f"/proc/sys/net/ipv4/conf/{INTERFACE}"
    script = (
        f"echo 2 > {conf}/arp_announce; echo 1 > {conf}/arp_ignore; "
        f"[ ! -e /proc/sys/net/ipv6 ] || echo 1 > /proc/sys/net/ipv6/conf/{INTERFACE}/disable_ipv6"
    )
    _run(exec_argv(lab, node, ["sh", "-ec", script]), "")


def _batch(netns: str | None, commands: Iterable[str]) -> None:
    """Run several `ip` commands in one process, inside a namespace if one is given."""
    text = "".join(f"{command}\n" for command in commands)
    if text:
        inside = () if netns is None else ("-netns", netns)
        _run([str(program("ip")), *inside, "-batch", "-"], text)


def _nft(lab: str, transaction: str) -> None:
    _run(exec_argv(lab, SWITCH, [str(program("nft")), "-f", "-"]), transaction)


def _run(argv: Sequence[str], text: str) -> str:
    done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=COMMAND_S, check=False)
    if done.returncode != 0:
        raise StepFailed(f"{' '.join(argv)}: {done.stderr.strip()}\n{text}".rstrip())
    return done.stdout
