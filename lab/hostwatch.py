"""`python -m lab.hostwatch`, run on a database host: what it is to its clients, one line each PERIOD_S.

See lab.checkers.sightings.Host. It asks kernel and mysqld itself, and nothing of ours.
"""

from __future__ import annotations

import argparse
import json
import socket
import time
from collections.abc import Mapping
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pymysql

from agents.nftables import Nftables

PERIOD_S = 0.1
ANSWER_S = 0.5
TABLE = "inet kembar"
RULES = 2  # that stand before the address on its way in
STATE = """
SELECT @@server_uuid, @@read_only, @@super_read_only, @@offline_mode, @@rpl_semi_sync_source_enabled,
  @@rpl_semi_sync_source_timeout, (SELECT MAX(SERVICE_STATE) FROM performance_schema.replication_connection_status)
"""


class Server:
    """What mysqld says of itself, on one kept connection."""

    def __init__(self, path: Path, password: str) -> None:
        self._path, self._password = path, password
        self._connection: pymysql.Connection[pymysql.cursors.Cursor] | None = None

    def state(self) -> Mapping[str, Any]:
        """Empty if it does not answer."""
        try:
            row = self._ask()
        except (pymysql.err.MySQLError, OSError):
            if self._connection is not None and self._connection.open:
                self._connection._force_close()  # type: ignore[attr-defined] # as in lab.meter
            self._connection = None
            return {}
        server, read_only, super_read_only, offline, source_on, waits_ms, receiver = row
        return {
            "server": server,
            "read_only": bool(read_only),
            "super_read_only": bool(super_read_only),
            "offline": bool(offline),
            "source_on": bool(source_on),
            "waits_ms": int(waits_ms),
            "receiver": receiver or "OFF",
        }

    def _ask(self) -> tuple[Any, ...]:
        if self._connection is None:
            self._connection = pymysql.connect(
                unix_socket=str(self._path),
                user="kembar_agent",
                password=self._password,
                connect_timeout=ANSWER_S,
                read_timeout=ANSWER_S,
                write_timeout=ANSWER_S,
                autocommit=True,
            )
        with self._connection.cursor() as cursor:
            cursor.execute(STATE)
            row = cursor.fetchone()
        assert row is not None
        return row


def gate_open(nft: Nftables, vip: IPv4Address) -> bool:
    """Whether packets to the address get through: its element lives, or the rules are not there."""
    listed = nft.listed(TABLE)
    rules = [one["rule"] for one in listed if "rule" in one and one["rule"]["chain"] == "in"]
    leases = [one["set"].get("elem", []) for one in listed if "set" in one and one["set"]["name"] == "lease"]
    return len(rules) < RULES or any(str(vip) == element["elem"]["val"] for lease in leases for element in lease)


def has_address(vip: IPv4Address) -> bool:
    """Whether the kernel of this namespace takes the address for one of its own."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as any_socket:
        try:
            any_socket.bind((str(vip), 0))
        except OSError:
            return False
    return True


def main() -> int:
    """Until it is ended."""
    parser = argparse.ArgumentParser(prog="python -m lab.hostwatch")
    parser.add_argument("node")
    parser.add_argument("vip", type=IPv4Address)
    parser.add_argument("sightings", type=Path)
    parser.add_argument("socket", type=Path)
    parser.add_argument("password_file", type=Path)
    given = parser.parse_args()
    nft, server = Nftables(), Server(given.socket, given.password_file.read_text().strip())
    with given.sightings.open("w", buffering=1) as file:
        while True:
            began = time.monotonic()
            open_before, there = gate_open(nft, given.vip), has_address(given.vip)
            state = server.state()
            # Asked on both sides of mysqld's answer: what is true before and after was true with it.
            gate = open_before and gate_open(nft, given.vip)
            seen = {"node": given.node, "began": began, "ended": time.monotonic(), "gate_open": gate}
            file.write(json.dumps({**seen, "has_address": there, **state}) + "\n")
            time.sleep(max(0.0, began + PERIOD_S - time.monotonic()))


if __name__ == "__main__":
    raise SystemExit(main())
