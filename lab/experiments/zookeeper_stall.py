"""For how long no write is acknowledged when the leader is killed or frozen, with other writes to the disk beside."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

from lab.experiments.ensemble import Voters, ensemble, versions
from lab.experiments.servers import Say, eventually
from lab.history import quantiles
from orchestrator.connected import connected
from orchestrator.coordination.client import ZooKeeper
from orchestrator.core.errors import CoordinatorUnavailable, KembarError, StepFailed
from orchestrator.core.ports import Create, SetData

PATH = "/kembar-experiment"
PACE_S = 0.02
BEFORE_S, OVER_S = 0.5, 20.0
SYNC_BYTES = 64 * 1024


class Writes:
    """Conditional writes, one in flight, as a lease is renewed; the longest time between two acknowledged ones."""

    def __init__(self, client: ZooKeeper, path: str = PATH) -> None:
        self._path = path
        self.acknowledged: list[float] = []
        self._client = client
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._ending.set()
        self._thread.join()

    def stall_s(self, struck: float) -> float:
        """The longest gap that was not over when it was struck. Raises StepFailed if none was seen."""
        before = [at for at in self.acknowledged if at <= struck]
        after = [at for at in self.acknowledged if at > struck]
        if not before or not after:
            raise StepFailed("no write was acknowledged before or after the leader was struck")
        ends = [before[-1], *after]
        return max(later - earlier for earlier, later in pairwise(ends))

    def _run(self) -> None:
        version = None
        while not self._ending.is_set():
            try:
                if version is None:
                    stored = self._client.read(self._path, 1.0)
                    version = stored.version if stored else None
                else:
                    self._client.submit((SetData(self._path, b"x" * 200, version),)).result(2.0)
                    self.acknowledged.append(time.monotonic())
                    version += 1
            except KembarError:  # lost, refused or unknown: its version is read again
                version = None
            time.sleep(PACE_S)


@contextmanager
def disk_load(folder: Path) -> Iterator[None]:
    """Somebody else appends and syncs on the same disk, without a pause."""
    ending = threading.Event()

    def write() -> None:
        handle = os.open(folder / "load", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        while not ending.is_set():
            os.pwrite(handle, bytes(SYNC_BYTES), 0)
            os.fsync(handle)
        os.close(handle)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()


@contextmanager
def no_load(folder: Path) -> Iterator[None]:
    yield


def _kill(voters: Voters, leader: str) -> None:
    voters.kill(leader)


def _freeze(voters: Voters, leader: str) -> None:
    voters.signal(leader, signal.SIGSTOP)


STRIKES = {"killed": _kill, "frozen": _freeze}
LOADS = {"quiet": no_load, "fsync load": disk_load}


def run(runs: int, say: Say) -> dict[str, Any]:
    """`runs` leaders killed and as many frozen for each version of ZooKeeper, half of each with fsync load."""
    return {"sync_limit": 3, "stall_ms": {name: _stalls(suite, runs, say) for name, suite in versions(say).items()}}


def _stalls(suite: str | None, runs: int, say: Say) -> dict[str, dict[str, float]]:
    stalls: dict[str, list[float]] = {f"{strike}, {load}": [] for strike in STRIKES for load in LOADS}
    with ensemble(suite) as voters:
        with connected(voters.hosts) as client:
            client.submit((Create(PATH, b""),)).result(2.0)
        for number in range(runs):
            load = list(LOADS)[number % len(LOADS)]
            for strike in STRIKES:
                with LOADS[load](voters.folder):
                    stalls[f"{strike}, {load}"].append(_strike(voters, strike))
            say(f"{number + 1} of {runs}: " + ", ".join(f"{k} {v[-1]:.0f}" for k, v in stalls.items() if v))
    return {name: {"n": len(all_), **quantiles(all_)} for name, all_ in stalls.items() if all_}


def _strike(voters: Voters, strike: str) -> float:
    """One stall in milliseconds, as a client of one of the others feels it; all three serve again at the end."""
    leader = voters.leader()
    hosts = [host for host in voters.hosts if not host.startswith(f"{leader}:")]
    with connected(hosts) as client:
        writes = Writes(client)
        time.sleep(BEFORE_S)
        struck = time.monotonic()
        STRIKES[strike](voters, leader)
        with suppress(CoordinatorUnavailable):
            eventually(lambda: _over(writes, struck), OVER_S, "writes that are acknowledged again")
        writes.end()
    # A thawed leader steps down by itself; killed and started anew both returns take the same way.
    voters.kill(leader)
    voters.start(leader)
    voters.wait_serving()
    return 1000 * writes.stall_s(struck)


def _over(writes: Writes, struck: float) -> bool:
    """Twenty writes in a row, none of which was sent before it struck."""
    ends = [at for at in writes.acknowledged if at > struck]
    return len(ends) > 20 and ends[-1] - struck > 0.5 and all(b - a < 0.3 for a, b in pairwise(ends[-20:]))
