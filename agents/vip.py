"""The virtual address on this host: add with a lifetime, drop, announce, look for another holder, end its connections.

It knows no gate: the order of the two is the caller's (converge). All of it is done by netlink and packet
sockets in this process: 0.05-0.2 ms a call, against 2.5 ms for a spawned `ip`, which are 5-8 ms (p99 14-21) beside busy
cores (measured).
"""

from __future__ import annotations

import errno
import socket
import struct
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final, NamedTuple

from agents import arp
from agents.netlink import (
    ACK,
    CREATE,
    DUMP,
    NETLINK_ROUTE,
    NETLINK_SOCK_DIAG,
    REPLACE,
    Message,
    NetlinkSocket,
    attribute,
    attributes,
    text,
)
from agents.sockdiag import destroy_connections
from orchestrator.core.errors import Refused, StepFailed

_GET_LINK: Final = 18
_NEW_ADDRESS: Final = 20
_DELETE_ADDRESS: Final = 21
_GET_ADDRESS: Final = 22
_LINK_HEADER: Final = struct.Struct("=BxHiII")
_ADDRESS_HEADER: Final = struct.Struct("=BBBBI")
_LINK_MAC, _LINK_NAME = 1, 3
_PEER, _LOCAL, _LIFETIMES = 1, 2, 6
_UP: Final = 0x1
_ARP_ANNOUNCE: Final = 2


class _Link(NamedTuple):
    number: int
    up: bool
    mac: bytes


def require_interface(name: str) -> None:
    """Raises Refused if this host has no interface of that name: it would show only when the address is needed."""
    there = [known for _, known in socket.if_nameindex()]
    if name not in there:
        raise Refused(f"vip.interface: {name}: this host has no such interface, only {', '.join(sorted(there))}")


class LinuxVirtualIp:
    """Port VirtualIp on `interface`, in the network namespace of the thread that made it.

    For one thread: two that use one would take each other's answers; let each make its own. Keeps three sockets and
    opens no other. Every method raises StepFailed if the kernel refuses.
    """

    def __init__(self, vip: IPv4Address, interface: str) -> None:
        self._vip, self._interface = vip, interface
        self._routes = NetlinkSocket(NETLINK_ROUTE)
        self._sockets = NetlinkSocket(NETLINK_SOCK_DIAG)
        self._arp = arp.ArpSocket(interface, vip)

    def close(self) -> None:
        """Give the sockets back; the address stays until its lifetime ends."""
        for kept in (self._routes, self._sockets, self._arp):
            kept.close()

    def present(self) -> bool:
        """Whether the address is configured on any interface of this host, with any prefix length."""
        return bool(self._placements())

    def add(self, lifetime_s: int) -> None:
        """Add the /32 with a lifetime in whole seconds, or refresh the lifetime of one that is there.

        It ends by itself up to 0.31 s late, up to 1.0 s beside another address with a lifetime; a refresh that comes
        late re-creates an expired one (measured): refresh only right after an accepted renewal, or while refusing.
        """
        if lifetime_s < 1:
            raise ValueError(f"vip: a lifetime of {lifetime_s} s is none")
        body = _ADDRESS_HEADER.pack(socket.AF_INET, self._vip.max_prefixlen, 0, 0, self._link().number)
        body += attribute(_LOCAL, self._vip.packed) + attribute(_PEER, self._vip.packed)
        body += attribute(_LIFETIMES, struct.pack("=IIII", lifetime_s, lifetime_s, 0, 0))
        try:
            self._routes.transact((Message(_NEW_ADDRESS, CREATE | REPLACE | ACK, body),))
        except OSError as error:
            raise self._failed("add the address", error) from error

    def drop(self) -> None:
        """Remove the address from every interface of this host. Open connections only go silent: reset them before."""
        for placement in self._placements():
            body = placement + attribute(_LOCAL, self._vip.packed)
            try:
                self._routes.transact((Message(_DELETE_ADDRESS, ACK, body),))
            except OSError as error:
                if error.errno != errno.EADDRNOTAVAIL:  # its lifetime has just ended
                    raise self._failed("drop the address", error) from error

    def reset_clients(self) -> None:
        """Destroy every TCP connection whose local address is the VIP: the clients get a reset. Call it before `drop`.

        The rule of the gate that lets resets out must be loaded, or no gate at all. Takes 0.5 ms without connections,
        0.8 ms with 20, 7 ms with 400; `ss -K` 2.9, 4.4 and 14 ms (measured).
        """
        try:
            destroy_connections(self._sockets, self._vip)
        except OSError as error:
            raise self._failed("destroy its connections (CONFIG_INET_DIAG_DESTROY?)", error) from error

    def announce(self) -> None:
        """Send one gratuitous ARP request and one reply, past the ARP rules: call it only with the gate open.

        Without one a client with an old neighbour entry did not reach the VIP until that was flushed (measured).
        """
        mac = self._link().mac
        try:
            self._arp.announce(mac)
        except OSError as error:
            raise self._failed("announce the address", error) from error

    def probe(self) -> None:
        """Forget what was heard and ask the network who holds the VIP; `foreign_mac` will have the answer."""
        mac = self._link().mac
        try:
            self._arp.probe(mac)
        except OSError as error:
            raise self._failed("send an ARP probe", error) from error

    def foreign_mac(self, wait_s: float = 0.0) -> str | None:
        """The MAC of another who has claimed the VIP since the last probe, or does within `wait_s`; 0 does not block.

        Each claim is handed out once.
        """
        try:
            return self._arp.foreign_mac(wait_s)
        except OSError as error:
            raise self._failed("listen for ARP", error) from error

    def claimed_by(self, wait_s: float) -> str | None:
        """RFC 5227 probe: the foreign MAC that answers for the VIP within `wait_s`, or None."""
        self.probe()
        return self.foreign_mac(wait_s)

    def problems(self) -> tuple[str, ...]:
        """What of this host's network would break a failover, in sentences; empty if all is well."""
        try:
            link = self._link()
        except StepFailed as error:
            return (str(error),)
        found = []
        if not link.up:
            found.append(f"interface {self._interface} is down: ip link set {self._interface} up")
        if len(link.mac) != 6:
            found.append(f"interface {self._interface} has no Ethernet address: the VIP cannot be announced on it")
        announce = max(_arp_announce("all"), _arp_announce(self._interface))  # the kernel takes the larger (source)
        if announce != _ARP_ANNOUNCE:
            # With 0 the node asks for a client's MAC with the VIP as sender, the ARP rule of a shut gate drops that,
            # and the reset is never sent: 3 s until a client gives up against 1.4 ms (measured).
            name = f"net.ipv4.conf.{self._interface}.arp_announce"
            found.append(f"{name} is {announce}: a shut node could not refuse its clients: sysctl -w {name}=2")
        return tuple(found)

    def _link(self) -> _Link:
        body = _LINK_HEADER.pack(socket.AF_UNSPEC, 0, 0, 0, 0) + text(_LINK_NAME, self._interface)
        try:
            (answer,) = self._routes.ask((Message(_GET_LINK, 0, body),))
        except OSError as error:
            raise self._failed("find the interface; is its name in agent.yaml right?", error) from error
        _, _, number, flags, _ = _LINK_HEADER.unpack_from(answer.body)
        mac = attributes(answer.body, _LINK_HEADER.size).get(_LINK_MAC, b"")
        return _Link(number, bool(flags & _UP), mac)

    def _placements(self) -> list[bytes]:
        """The header of each place where the address is configured: prefix length, interface."""
        body = _ADDRESS_HEADER.pack(socket.AF_INET, 0, 0, 0, 0)
        try:
            answers = self._routes.dump(Message(_GET_ADDRESS, DUMP, body))
        except OSError as error:
            raise self._failed("list the addresses", error) from error
        size = _ADDRESS_HEADER.size
        return [a.body[:size] for a in answers if attributes(a.body, size).get(_LOCAL) == self._vip.packed]

    def _failed(self, what: str, error: OSError) -> StepFailed:
        return StepFailed(f"vip {self._vip} on {self._interface}: cannot {what}: {error.strerror}")


def _arp_announce(interface: str) -> int:
    return int(Path(f"/proc/sys/net/ipv4/conf/{interface}/arp_announce").read_text())
