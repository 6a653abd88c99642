"""A stretch on booted hosts: a client writes through the VIP while a playbook runs, and its history is judged."""

from __future__ import annotations

import secrets
import signal
import subprocess
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from lab.history import Attempt, acknowledged, parse
from lab.hosts import Hosts
from lab.metering import FLOWING, VALUES_PER_RUN, judged, stored_values
from lab.stand import wait_for

FLOW_S = 20.0
END_S = 15.0
MAKE_APPLICATION = """
import pymysql
with pymysql.connect(unix_socket="/run/mysqld/mysqld.sock", user="root", password={root!r}) as root:
    with root.cursor() as cursor:
        cursor.execute("CREATE USER IF NOT EXISTS 'app'@'%' IDENTIFIED BY '{password}'")
        cursor.execute("GRANT SELECT, INSERT, CREATE ON {database}.* TO 'app'@'%'")
"""


@dataclass(frozen=True, slots=True)
class Stretch:
    """What one stretch proved; `outage_ms` is the longest time from one acknowledged write to the next."""

    outage_ms: float
    acknowledged: int
    lost: int
    duplicates: int
    two_answerers: int


def make_application(hosts: Hosts, primary: str, root_password: str) -> None:
    """The account of the client, made where writes go, and the file of its password. Raises StepFailed."""
    password = secrets.token_hex(16)
    file = _password_file(hosts)
    file.touch(mode=0o600)
    file.write_text(password)
    script = MAKE_APPLICATION.format(root=root_password, password=password, database=hosts.topology.cluster)
    hosts.run(primary, "/opt/kembar/bin/python3", "-", given=script)


class HostLoad:
    """The client of one stretch; numbers keep the values of different stretches apart."""

    def __init__(self, hosts: Hosts, number: int) -> None:
        self._hosts, self._number = hosts, number
        self._history = hosts.place / f"meter-{number}.history"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until writes flow. Raises StepFailed."""
        with (self._hosts.place / "meter.log").open("ab") as log:
            self._process = subprocess.Popen(self._command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(
            lambda: len(acknowledged(self._attempts())) >= FLOWING,
            FLOW_S,
            f"the client does not get through: {log.name}",
        )

    def stop(self) -> None:
        """End it; a commit that still waits is given its time."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(END_S)

    def verdict(self) -> Stretch:
        """Every acknowledged value looked up through the VIP. Raises StepFailed if nobody answers there."""
        answers = self._history.with_suffix(".arp").read_text().splitlines()
        found = judged(self._attempts(), stored_values(self._command("--look-up"), self._number), answers)
        ends = [attempt.ended for attempt in acknowledged(found.history)]
        longest_s = max(after - before for before, after in pairwise(ends))
        return Stretch(
            round(1000 * longest_s, 1), found.acknowledged, found.lost, found.duplicates, found.two_answerers
        )

    def _attempts(self) -> list[Attempt]:
        """Without a line that is not complete."""
        lines = self._history.read_text().rpartition("\n")[0].splitlines() if self._history.exists() else []
        return parse(lines)

    def _command(self, *more: str) -> list[str]:
        return self._hosts.command(
            [
                *(sys.executable, "-m", "lab.meter", str(self._hosts.topology.vip), str(self._history)),
                *(str(_password_file(self._hosts)), "--database", self._hosts.topology.cluster),
                *("--first-value", str(self._number * VALUES_PER_RUN), *more),
            ]
        )


def _password_file(hosts: Hosts) -> Path:
    return hosts.place / "app"
