"""ARP on one interface: frames, and a probe that listens for who else holds an address; knows no gate and no address
of this host. A packet socket passes the ARP rules of nf_tables by: whoever announces must have opened the gate before.
"""

from __future__ import annotations

import socket
import struct
import time
from ipaddress import IPv4Address
from typing import Final, Self

ETHERTYPE: Final = 0x0806
BROADCAST: Final = b"\xff" * 6
REQUEST: Final = 1
REPLY: Final = 2

_NOBODY: Final = bytes(6)
_ETHERNET: Final = struct.Struct("!6s6sH")
_BODY: Final = struct.Struct("!HHBBH6s4s6s4s")
_UNSPECIFIED: Final = bytes(4)


def gratuitous(operation: int, mac: bytes, address: IPv4Address) -> bytes:
    """A broadcast frame of 42 bytes that tells all neighbours: `address` is at `mac`."""
    target = mac if operation == REPLY else _NOBODY
    return _frame(operation, mac, address.packed, target, address.packed)


def probe(mac: bytes, address: IPv4Address) -> bytes:
    """RFC 5227: a request without a sender's address, which changes nobody's neighbour table."""
    return _frame(REQUEST, mac, _UNSPECIFIED, _NOBODY, address.packed)


def holder(frame: bytes, address: IPv4Address) -> bytes | None:
    """The MAC that claims `address` by this frame, request or reply; None if it claims another one, or none."""
    if len(frame) < _ETHERNET.size + _BODY.size:
        return None
    *kinds, mac, sender, _, _ = _BODY.unpack_from(frame, _ETHERNET.size)
    return mac if kinds[:4] == [1, 0x0800, 6, 4] and sender == address.packed else None


def _frame(operation: int, mac: bytes, sender: bytes, target_mac: bytes, target: bytes) -> bytes:
    body = _BODY.pack(1, 0x0800, 6, 4, operation, mac, sender, target_mac, target)
    return _ETHERNET.pack(BROADCAST, mac, ETHERTYPE) + body


class Probe:
    """A question who holds `address`, sent when it is made; answers are collected until `close`.

    Opens one packet socket. Raises OSError if the interface is missing or down.
    """

    def __init__(self, interface: str, mac: bytes, address: IPv4Address) -> None:
        self._mac, self._address = mac, address
        self._found: str | None = None
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        try:
            # Bound before the protocol is heard of, else it would hear every interface's ARP for a moment.
            self._socket.bind((interface, ETHERTYPE))
            self._socket.send(probe(mac, address))
        except OSError:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def foreign_mac(self, wait_s: float = 0.0) -> str | None:
        """The MAC of another who has claimed the address so far, or does within `wait_s`; 0 does not block."""
        deadline = time.monotonic() + wait_s
        while self._found is None:
            self._socket.settimeout(max(0.0, deadline - time.monotonic()))
            try:
                mac = holder(self._socket.recv(128), self._address)
            except (BlockingIOError, TimeoutError):
                return None
            if mac is not None and mac != self._mac:
                self._found = mac.hex(":")
        return self._found
