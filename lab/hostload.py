"""A stretch on booted hosts: a client writes through the VIP while a playbook runs, and its history is judged."""

from __future__ import annotations

import secrets
import signal
import subprocess
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from lab.history import acknowledged, double_answers, duplicates, invented, lost, parse
from lab.hosts import Hosts
from lab.metering import FLOWING, VALUES_PER_RUN
from lab.stand import wait_for
from orchestrator.core.errors import StepFailed

FLOW_S = 20.0
END_S = 15.0
LOOK_UPS = 50
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
        wait_for(lambda: self._acknowledged() >= FLOWING, FLOW_S, f"the client does not get through: {log.name}")

    def stop(self) -> None:
        """End it; a commit that still waits is given its time."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(END_S)

    def verdict(self) -> Stretch:
        """Every acknowledged value looked up through the VIP. Raises StepFailed if nobody answers there."""
        history, stored = parse(self._history.read_text().splitlines()), self._stored()
        ends = [attempt.ended for attempt in acknowledged(history)]
        return Stretch(
            outage_ms=round(1000 * max(after - before for before, after in pairwise(ends)), 1),
            acknowledged=len(ends),
            lost=len(lost(history, stored)),
            duplicates=len(duplicates(stored)) + len(invented(history, stored)),
            two_answerers=double_answers(self._history.with_suffix(".arp").read_text().splitlines()),
        )

    def _acknowledged(self) -> int:
        lines = self._history.read_text().rpartition("\n")[0].splitlines() if self._history.exists() else []
        return len(acknowledged(parse(lines)))

    def _stored(self) -> list[int]:
        """The values of this stretch; tried again, as the VIP may just have moved."""
        for _ in range(LOOK_UPS):
            done = subprocess.run(self._command("--look-up"), capture_output=True, text=True, check=False)
            if done.returncode == 0:
                bound = (self._number + 1) * VALUES_PER_RUN
                return [value for value in map(int, done.stdout.split()) if value <= bound]
        raise StepFailed(f"the values cannot be looked up through the VIP: {done.stderr.strip()[-300:]}")

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
