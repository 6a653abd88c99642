"""Who answers for an address, as this host's kernel knows it: a view of the VIP that comes from no agent."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from orchestrator.core.model import Instant

TABLE = Path("/proc/net/arp")
NOBODY = "00:00:00:00:00:00"
COMPLETE = 0x2  # of the column Flags: somebody has answered
ASK_EVERY_S = 1.0
DISCARD_PORT = 9


class Neighbours:
    """Asks by an empty datagram, which makes the kernel look for the neighbour, and reads its table. Never blocks."""

    def __init__(self, now: Callable[[], Instant], table: Path = TABLE) -> None:
        self._now, self._table = now, table
        self._found: dict[str, tuple[Instant, str]] = {}

    def hardware(self, address: str) -> str:
        """The hardware address that answered for it; empty: nobody, or it cannot be seen from this host.

        A host that has the address itself asks nobody: what its table still says is of the time before.
        """
        asked, found = self._found.get(address, (float("-inf"), ""))
        now = self._now()
        if now - asked >= ASK_EVERY_S:
            found = self._look(address)
            self._found[address] = (now, found)
            _ask(address)
        return found

    def _look(self, address: str) -> str:
        if _own(address) or not self._table.is_file():
            return ""
        return answerer(self._table.read_text("ascii"), address)


def _own(address: str) -> bool:
    return any(one.address == address for found in psutil.net_if_addrs().values() for one in found)


def _ask(address: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, suppress(OSError):
        sock.setblocking(False)
        sock.sendto(b"", (address, DISCARD_PORT))  # where there is no way to it, the table says nothing either


def answerer(table: str, address: str) -> str:
    """What `/proc/net/arp` holds for an address; empty if nobody has answered."""
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) >= 4 and fields[0] == address and int(fields[2], 16) & COMPLETE and fields[3] != NOBODY:
            return fields[3].lower()
    return ""
