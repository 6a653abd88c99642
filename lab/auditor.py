"""Asks the network again and again who has the VIP, and writes down every round: two answers in one are a split."""

from __future__ import annotations

import fcntl
import socket
import struct
import threading
import time
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path

ROUND_S = 0.01
ETHERTYPE_ARP = 0x0806
REQUEST, REPLY = 1, 2
FRAME = struct.Struct("!6s6sHHHBBH6s4s6s4s")
BROADCAST, NOBODY = b"\xff" * 6, b"\0" * 6


def audit(vip: str, interface: str, answers: Path, stop: threading.Event) -> None:
    """One line a round that was answered: `AT MAC [MAC ...]`, CLOCK_MONOTONIC, every distinct answer."""
    wanted = IPv4Address(vip).packed
    with (
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERTYPE_ARP)) as link,
        answers.open("w", buffering=1) as found,
    ):
        link.bind((interface, ETHERTYPE_ARP))
        own = link.getsockname()[4]
        question = FRAME.pack(
            BROADCAST, own, ETHERTYPE_ARP, 1, 0x0800, 6, 4, REQUEST, own, _address(interface), NOBODY, wanted
        )
        while not stop.is_set():
            began = time.monotonic()
            try:
                _drop_late(link)
                link.send(question)
                macs = _answers(link, wanted, began + ROUND_S)
            except OSError:  # the client's own link is down: nobody can answer it
                macs = set()
                stop.wait(ROUND_S)
            if macs:
                found.write(f"{began:.6f} {' '.join(sorted(macs))}\n")


def _drop_late(link: socket.socket) -> None:
    """What came between two rounds, or while we were paused."""
    link.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            link.recv(64)


def _answers(link: socket.socket, wanted: bytes, until: float) -> set[str]:
    """Everybody who answers for the address in time; announcements count too."""
    macs: set[str] = set()
    while (left := until - time.monotonic()) > 0:
        link.settimeout(left)
        try:
            frame = link.recv(64)
        except TimeoutError:
            break
        if time.monotonic() > until:
            break  # we were paused meanwhile: whoever said it, and when, is not known
        if len(frame) < FRAME.size:
            continue
        _, _, _, _, _, _, _, operation, mac, address, _, _ = FRAME.unpack(frame[: FRAME.size])
        if operation == REPLY and address == wanted:
            macs.add(mac.hex(":"))
    return macs


def _address(interface: str) -> bytes:
    """Our own first address on the interface, as the asker."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        packed = fcntl.ioctl(any_socket.fileno(), 0x8915, struct.pack("256s", interface.encode()[:15]))  # SIOCGIFADDR
    return packed[20:24]
