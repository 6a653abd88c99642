"""Three real ZooKeeper servers on loopback for one experiment; nothing of them stays behind.

Each has its own 127.x.y.z, so that ports never collide.
"""

from __future__ import annotations

import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lab.experiments.servers import Say, eventually
from lab.zookeeper import (
    CLIENT_PORT,
    Ensemble,
    ZookeeperProgram,
    command,
    find_zookeeper,
    four_letters,
    mode,
    prepare,
)
from orchestrator.core.errors import CoordinatorUnavailable, Refused, StepFailed

START_S = 40.0
# None is the host's own release; the others are later releases of the same distribution.
SUITES = (None, "trixie", "unstable")


class Voters:
    """Three servers by address; one may be killed, frozen and started again."""

    def __init__(self, folder: Path, program: ZookeeperProgram, sync_limit: int) -> None:
        net = f"127.{1 + secrets.randbelow(254)}.{secrets.randbelow(256)}"
        ensemble = Ensemble({number: f"{net}.{number}" for number in (1, 2, 3)}, sync_limit=sync_limit)
        self.folder = folder
        self._commands = {
            address: command(program, prepare(ensemble, number, folder / str(number)))
            for number, address in ensemble.servers.items()
        }
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        for address in self._commands:
            self.start(address)

    @property
    def addresses(self) -> list[str]:
        return list(self._commands)

    @property
    def hosts(self) -> list[str]:
        return [f"{address}:{CLIENT_PORT}" for address in self._commands]

    def start(self, address: str) -> None:
        with (self.folder / f"{address}.log").open("ab") as log:
            self._processes[address] = subprocess.Popen(self._commands[address], stdout=log, stderr=log)

    def wait_serving(self, within_s: float = START_S) -> float:
        """Seconds until all three serve. Raises StepFailed."""
        return eventually(lambda: all(map(self.mode, self._commands)), within_s, f"three servers, see {self.folder}")

    def mode(self, address: str) -> str | None:
        with suppress(CoordinatorUnavailable):
            return mode(four_letters(address, "srvr"))
        return None

    def leader(self) -> str:
        for address in self._commands:
            if self.mode(address) == "leader":
                return address
        raise StepFailed(f"no ZooKeeper server leads, see {self.folder}")

    def kill(self, address: str) -> None:
        self._processes[address].kill()
        self._processes[address].wait(10)

    def signal(self, address: str, number: signal.Signals) -> None:
        self._processes[address].send_signal(number)

    def end(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait(10)


def versions(say: Say) -> dict[str, str | None]:
    """The suite by the version of ZooKeeper that it has; what cannot be had is said and left out."""
    found: dict[str, str | None] = {}
    for suite in SUITES:
        try:
            found[find_zookeeper(suite).version] = suite
        except Refused as error:
            say(f"ZooKeeper of {suite} is left out: {error}")
    return found


@contextmanager
def ensemble(suite: str | None = None, sync_limit: int = 3) -> Iterator[Voters]:
    """Three servers that serve, of the host's release or of another suite."""
    program = find_zookeeper(suite)
    folder = Path(tempfile.mkdtemp(prefix="kembar-exp-", dir="/var/tmp"))
    voters = Voters(folder, program, sync_limit)
    try:
        voters.wait_serving()
        yield voters
    finally:
        voters.end()
        shutil.rmtree(folder)
