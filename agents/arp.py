"""ARP on one interface: frames, and a socket that announces an address or asks who holds it; knows no gate and no
address of this host. A packet socket passes the ARP rules of nf_tables by: open the gate before announcing.
"""

from __future__ import annotations

import ctypes
import socket
import struct
import time
from contextlib import suppress
from ipaddress import IPv4Address
from typing import Final

ETHERTYPE: Final = 0x0806
BROADCAST: Final = b"\xff" * 6
REQUEST: Final = 1
REPLY: Final = 2

_NOBODY: Final = bytes(6)
_ETHERNET: Final = struct.Struct("!6s6sH")
_BODY: Final = struct.Struct("!HHBBH6s4s6s4s")
_UNSPECIFIED: Final = bytes(4)
_SENDER_AT: Final = 28
_FRAME_BYTES: Final = 128
_ATTACH_FILTER: Final = 26  # SO_ATTACH_FILTER


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


class ArpSocket:
    """One packet socket for the ARP of one address on one interface; for one thread.

    It is kept, and bound to nothing: closing or binding one waits for a grace period of RCU, 14 ms (measured), which a
    failover has no time for; and the interface may come later, or anew. The kernel hands it only frames whose sender
    claims the address, so that nothing piles up. Methods raise OSError if the interface is missing or down.
    """

    def __init__(self, interface: str, address: IPv4Address) -> None:
        self._interface, self._address = interface, address
        self._own_mac = _NOBODY
        protocol = socket.htons(ETHERTYPE)
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        _only_from(self._socket, address)

    def close(self) -> None:
        self._socket.close()

    def announce(self, mac: bytes) -> None:
        """One gratuitous request and one reply, as some devices heed only one of them."""
        for operation in (REQUEST, REPLY):
            self._send(gratuitous(operation, mac, self._address))

    def probe(self, own_mac: bytes) -> None:
        """Forget what was heard, and ask who holds the address."""
        self._socket.settimeout(0)
        with suppress(BlockingIOError):
            while True:
                self._socket.recv(_FRAME_BYTES)
        self._own_mac = own_mac
        self._send(probe(own_mac, self._address))

    def foreign_mac(self, wait_s: float = 0.0) -> str | None:
        """The MAC of another who has claimed the address since the probe, or does within `wait_s`; 0 does not block.

        It hands out each claim once.
        """
        deadline = time.monotonic() + wait_s
        while True:
            self._socket.settimeout(max(0.0, deadline - time.monotonic()))
            try:
                frame, (interface, *_) = self._socket.recvfrom(_FRAME_BYTES)
            except (BlockingIOError, TimeoutError):
                return None
            mac = holder(frame, self._address)
            if interface == self._interface and mac not in (None, self._own_mac):
                return mac.hex(":")

    def _send(self, frame: bytes) -> None:
        self._socket.sendto(frame, (self._interface, ETHERTYPE))


def _only_from(packets: socket.socket, address: IPv4Address) -> None:
    """A filter of three steps in the kernel: load the sender's address, is it this one, then all of the frame."""
    steps = ((0x20, 0, 0, _SENDER_AT), (0x15, 0, 1, int(address)), (0x06, 0, 0, _FRAME_BYTES), (0x06, 0, 0, 0))
    program = b"".join(struct.pack("=HBBI", *step) for step in steps)
    kept = ctypes.create_string_buffer(program, len(program))
    packets.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, struct.pack("@HP", len(steps), ctypes.addressof(kept)))
