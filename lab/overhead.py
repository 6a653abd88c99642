"""`kembar lab bench overhead`: what Kembar costs a pair that is well.

The same two servers take commits in turn with Kembar running and with its agents and orchestrators stopped, A B B A, so
that drift of the machine falls on both alike. Stopped agents leave a bare semi-sync pair, as mysqld goes on; only the
gate before the VIP shuts. Hence the client writes to the primary's own address in both. ZooKeeper goes on, with nothing
to write, so that no election falls into a stretch.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from lab import faults, processes
from lab.history import quantiles
from lab.metering import VALUES_PER_RUN
from lab.processes import Process
from lab.stand import Say, Stand
from lab.topology import Node
from orchestrator.core.errors import Refused, StepFailed

SEGMENT_S = 3.0
WARM_S = 3.0
IDLE_S = 5.0
SAMPLES = 300
TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Shares:
    """What the watched processes used of a core: seconds of processor and of the clock."""

    used_s: dict[str, float] = field(default_factory=dict)
    elapsed_s: float = 0.0

    def percent(self, name: str) -> float:
        return round(100 * self.used_s[name] / self.elapsed_s, 2)


@dataclass(frozen=True, slots=True)
class Rates:
    """Commits per second of the segments, in the order in which they were taken."""

    kembar: list[float]
    bare: list[float]

    @property
    def ratio(self) -> float:
        """Median of the ratios of neighbours: a slow moment of the machine spoils one pair, not the result."""
        return statistics.median(with_it / without for with_it, without in zip(self.kembar, self.bare, strict=True))


def run(stand: Stand, runs: int, profile: str, say: Say) -> dict[str, Any]:
    """Measure in a lab as it is, then with ZooKeeper's disks apart: one JSON object. Raises KembarError.

    `runs` pairs of segments each. The first lab has one disk for two mysqlds and three ZooKeeper servers, all of which
    wait for their own syncs; the profile `fast` is for ZooKeeper on a disk of its own.
    """
    found = _measure(stand, runs, profile, say, apart=False)
    say("again, with ZooKeeper's data apart from the disk of the two mysqlds")
    apart = _measure(stand, runs, profile, say, apart=True)
    found["zookeeper_apart"] = {key: apart[key] for key in ("commit_ratio", "commits_per_s", "segments")}
    return found


def _measure(stand: Stand, runs: int, profile: str, say: Say, *, apart: bool) -> dict[str, Any]:
    """Bring the lab up, measure, take it down."""
    with stand.lent(profile, say, zookeeper_apart=apart) as facts:
        shown = stand.snapshot()
        if shown is None:
            raise Refused("no orchestrator answers")
        primary, standby = (stand.topology.node(shown[role]) for role in ("primary", "standby"))
        # Stopping everything is no failover's business; it is recorded, so that a later leader knows it too.
        stand.ask("PUT", "pause", {"for": "1h", "reason": "overhead is measured"}, shown["epoch"])
        client = _Client(stand, primary)
        client.rate(WARM_S)
        watched = _watched(stand, primary, standby, str(shown["orchestrator"]["leader"]))
        idle, busy = Shares(), Shares()
        with _counted(watched, idle):
            time.sleep(IDLE_S)
        rates = _segments(stand, client, watched, busy, runs, say)
        memory = {name: _rss_mb(process) for name, process in watched.items()}
        seen_ms = client.visible_ms(standby)
        return _result(profile, runs, rates, seen_ms, idle, busy, memory, facts.mysql_version)


class _Client:
    """Runs `lab.commits` in the client's namespace; every segment has values of its own."""

    def __init__(self, stand: Stand, primary: Node) -> None:
        self._stand, self._primary = stand, primary
        self._numbers = count()

    def rate(self, seconds: float) -> float:
        return self._figures(["--seconds", str(seconds)])[0]

    def visible_ms(self, standby: Node) -> list[float]:
        return self._figures(["--seen-on", str(standby.address), "--samples", str(SAMPLES)])

    def _figures(self, more: list[str]) -> list[float]:
        password = self._stand.files.root / "secrets/app"
        first = ["--first-value", str(next(self._numbers) * VALUES_PER_RUN)]
        argv = [sys.executable, "-m", "lab.commits", str(self._primary.address), str(password), *first, *more]
        done = subprocess.run(self._stand.exec_argv("client", argv), capture_output=True, text=True, check=False)
        if done.returncode:
            raise StepFailed(f"the client ended with {done.returncode}: {done.stderr.strip()[-300:]}")
        return [float(line) for line in done.stdout.split()]


def _segments(
    stand: Stand, client: _Client, watched: Mapping[str, Process], busy: Shares, runs: int, say: Say
) -> Rates:
    rates = Rates([], [])
    for number in range(runs):
        for with_kembar in (True, False) if number % 2 == 0 else (False, True):
            if with_kembar:
                with _counted(watched, busy):
                    rates.kembar.append(client.rate(SEGMENT_S))
            else:
                with _stopped(stand):
                    rates.bare.append(client.rate(SEGMENT_S))
        say(f"pair {number + 1}: {rates.kembar[-1]:.0f} commits/s with Kembar, {rates.bare[-1]:.0f} without")
    return rates


@contextmanager
def _stopped(stand: Stand) -> Iterator[None]:
    """Everything of Kembar stands still; afterwards the pair is certified again."""
    found = _kembar(stand)
    for process in found:
        processes.send(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in reversed(found):  # an orchestrator that goes on first would find everybody silent
            processes.send(process, signal.SIGCONT)
        stand.wait_healthy()


def _kembar(stand: Stand) -> list[Process]:
    """Orchestrators, then agents with their workers, as they are stopped. No mysqld."""
    recorded = processes.recorded(stand.files.root)
    found = [process for name, process in recorded.items() if name.startswith("orchestrator-")]
    for node in stand.topology.pair:
        worker = faults.worker(stand, node)
        found += [recorded[f"agent-{node.name}"], *([worker] if worker else [])]
    return found


def _watched(stand: Stand, primary: Node, standby: Node, leader: str) -> dict[str, Process]:
    """The processes whose cost is told, by their name in the result."""
    recorded = processes.recorded(stand.files.root)
    found = {
        "agent": faults.worker(stand, primary),
        "standby_agent": faults.worker(stand, standby),
        "agent_parent": recorded[f"agent-{primary.name}"],
        "orchestrator": recorded[f"orchestrator-{leader}"],
    }
    missing = [name for name, process in found.items() if process is None or not process.lives()]
    if missing:
        raise StepFailed(f"not running: {', '.join(missing)}")
    return {name: process for name, process in found.items() if process is not None}


@contextmanager
def _counted(watched: Mapping[str, Process], shares: Shares) -> Iterator[None]:
    before = {name: _used_s(process) for name, process in watched.items()}
    began = time.monotonic()
    yield
    shares.elapsed_s += time.monotonic() - began
    for name, process in watched.items():
        shares.used_s[name] = shares.used_s.get(name, 0.0) + _used_s(process) - before[name]


def _used_s(process: Process) -> float:
    """User and system time of a process so far. Raises StepFailed if it is not the one that was watched."""
    if not process.lives():
        raise StepFailed(f"process {process.pid} ended while it was measured")
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def _rss_mb(process: Process) -> float:
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return round(int(line.split()[1]) / 1024, 1)
    raise StepFailed(f"process {process.pid} has no memory")


def _result(
    profile: str,
    runs: int,
    rates: Rates,
    seen_ms: list[float],
    idle: Shares,
    busy: Shares,
    memory: Mapping[str, float],
    mysql_version: str,
) -> dict[str, Any]:
    def cost(name: str) -> dict[str, float]:
        return {"cpu_percent": busy.percent(name), "idle_cpu_percent": idle.percent(name), "rss_mb": memory[name]}

    return {
        "bench": "overhead",
        "profile": profile,
        "runs": runs,
        "commit_ratio": round(rates.ratio, 4),
        "commits_per_s": {
            "kembar": round(statistics.median(rates.kembar)),
            "bare": round(statistics.median(rates.bare)),
        },
        "visibility_ms": quantiles(seen_ms, 2),
        "agent": cost("agent"),
        "standby_agent": cost("standby_agent"),
        "agent_tree_rss_mb": round(memory["agent"] + memory["agent_parent"], 1),
        "orchestrator": cost("orchestrator"),
        "segments": {"kembar": [round(one) for one in rates.kembar], "bare": [round(one) for one in rates.bare]},
        "mysql_version": mysql_version,
    }
