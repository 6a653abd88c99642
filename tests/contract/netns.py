"""Three hosts on one bridge, each a network namespace of its own, for contracts with the real kernel.

A socket belongs to the namespace in which it was made, so an adapter made inside `Host.entered()` works from anywhere.
"""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from agents.arp import ArpSocket
from lab.programs import libnftables
from lab.sessions import entered

VIP = IPv4Address("192.0.2.100")
INTERFACE = "eth0"
PORT = 3306

_serial = itertools.count()


@dataclass(frozen=True)
class Host:
    """A namespace with the interface `eth0`."""

    namespace: str
    address: IPv4Address

    def ip(self, *arguments: str) -> str:
        """What `ip` says inside."""
        return _run("ip", "-n", self.namespace, *arguments)

    def entered(self) -> AbstractContextManager[None]:
        """This thread's new sockets belong to the host until the end of the block."""
        return entered(Path("/run/netns") / self.namespace)

    @property
    def mac(self) -> str:
        return self.ip("-br", "link", "show", INTERFACE).split()[2]

    def neighbour(self, address: object) -> str:
        """The MAC this host believes `address` to be at, empty if it knows none."""
        words = self.ip("neigh", "show", str(address), "dev", INTERFACE).split()
        return words[words.index("lladdr") + 1] if "lladdr" in words else ""

    def listen(self, family: socket.AddressFamily = socket.AF_INET) -> socket.socket:
        """A listener on every address of the host; with AF_INET6 for both families, as mysqld's is."""
        with self.entered():
            return socket.create_server(("", PORT), family=family, dualstack_ipv6=family == socket.AF_INET6)

    def connect(self, timeout_s: float = 2.0) -> socket.socket:
        """A connection to the VIP that has a deadline for each call."""
        with self.entered():
            return socket.create_connection((str(VIP), PORT), timeout=timeout_s)


@dataclass(frozen=True)
class Network:
    """`server` is under test, `peer` the other database host, `client` has no privileges but its neighbour table."""

    server: Host
    peer: Host
    client: Host


@contextmanager
def network() -> Iterator[Network]:
    """The bridge and its hosts, removed at the end whatever happens."""
    libnftables()  # fetched, if need be, before anybody is inside, where no package registry is reached
    prefix = f"kembar-t-{os.getpid()}-{next(_serial)}"
    switch = f"{prefix}-switch"
    names = ("server", "peer", "client")
    hosts = [Host(f"{prefix}-{name}", IPv4Address(f"192.0.2.{10 + at}")) for at, name in enumerate(names)]
    try:
        _run("ip", "netns", "add", switch)
        _run("ip", "-n", switch, "link", "add", "bridge", "type", "bridge")
        _run("ip", "-n", switch, "link", "set", "bridge", "up")
        for port, host in enumerate(hosts):
            _plug(switch, f"port{port}", host)
        for host in hosts[:-1]:
            eventually(lambda host=host: answering(hosts[-1], host.address) == host.mac, within_s=10)
        yield Network(*hosts)
    finally:
        for namespace in (switch, *(host.namespace for host in hosts)):
            subprocess.run(["ip", "netns", "delete", namespace], check=False, capture_output=True, timeout=10)


def _plug(switch: str, port: str, host: Host) -> None:
    _run("ip", "netns", "add", host.namespace)
    _run("ip", "-n", switch, "link", "add", port, "type", "veth", "peer", INTERFACE, "netns", host.namespace)
    _run("ip", "-n", switch, "link", "set", port, "master", "bridge", "up")
    host.ip("link", "set", "lo", "up")
    host.ip("address", "add", f"{host.address}/24", "dev", INTERFACE)
    host.ip("link", "set", INTERFACE, "up")
    set_arp_announce(host, 2)


def set_arp_announce(host: Host, value: int) -> None:
    setting = f"net.ipv4.conf.{INTERFACE}.arp_announce={value}"
    _run("ip", "netns", "exec", host.namespace, "sysctl", "-qw", setting)


def eventually(fact: Callable[[], bool], within_s: float) -> float:
    """Seconds until `fact` was true. Raises AssertionError after `within_s`."""
    start = time.monotonic()
    while not fact():
        assert time.monotonic() - start < within_s, f"not true within {within_s} s"
        time.sleep(0.002)
    return time.monotonic() - start


def answering(asker: Host, address: IPv4Address, wait_s: float = 0.3) -> str | None:
    """The MAC that answers an ARP request of `asker`'s, by a frame that leaves its neighbour table alone."""
    with asker.entered():
        asking = ArpSocket(INTERFACE, address)
    try:
        asking.probe(bytes.fromhex(asker.mac.replace(":", "")))
        return asking.foreign_mac(wait_s)
    finally:
        asking.close()


def refused(connect: Callable[[], socket.socket]) -> bool:
    """Whether a new connection is answered with a reset; false if it is made. Silence raises TimeoutError."""
    with suppress(ConnectionRefusedError):
        connect().close()
        return False
    return True


def reset(connection: socket.socket) -> bool:
    """Whether an open connection is answered with a reset at its next packet, by its deadline."""
    with suppress(ConnectionResetError, BrokenPipeError):
        connection.sendall(b"still there?")
        connection.recv(1)
        return False
    return True


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout
