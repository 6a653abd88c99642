"""`kembar lab bench NAME`: a fault again and again under a writing client, and what the client felt of it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from lab import faults
from lab.history import acknowledged, outage_s, quantiles
from lab.metering import Metering
from lab.stand import Say, Stand, wait_for
from lab.views import view
from orchestrator.core.errors import Refused, StepFailed

OBSERVE_S = 3.0  # after a fault that nobody should feel
REST_S = 1.0  # a pair at rest is struck, not one that has just come together
SETTLE_S = 0.5
ASKED_MAX = 5
LOOK_S = 0.2  # at what is measured: looking costs it time on the cores
TAKEN_OVER = 20  # acknowledged writes by another server that show the takeover
RETURN_S = 25.0  # for a lost node to be back and certified; one with errant transactions never is


@dataclass(frozen=True, slots=True)
class Bench:
    """One fault and how its end is recognised."""

    name: str
    fault: str
    over: Callable[[Stand, Metering, float, str], bool]
    moves: bool = True  # whether a failover is what should happen


@dataclass(slots=True)
class Tally:
    """What all runs of one bench add up to."""

    outage_ms: list[float] = field(default_factory=list)
    server_ms: list[float] = field(default_factory=list)
    acknowledged: int = 0
    lost: int = 0
    duplicates: int = 0
    two_answerers: int = 0
    failovers: int = 0
    rebuilt: int = 0
    timelines: list[dict[str, float]] = field(default_factory=list)


def run(stand: Stand, name: str, runs: int, profile: str, say: Say) -> dict[str, Any]:
    """Bring the lab up, strike `runs` times, take it down: one JSON object. KembarError if nothing was measured."""
    bench = BENCHES[name]
    tally = Tally()
    with stand.lent(profile, say) as facts:
        zookeeper_ms = zookeeper_write_ms(stand)
        for number in range(runs):
            _strike(stand, bench, number, tally, say)
            if number + 1 < runs:
                _restore(stand, profile, tally, say)
        return _result(bench, profile, runs, tally, zookeeper_ms, facts.mysql_version)


def zookeeper_write_ms(stand: Stand) -> float:
    """Median of a conditional write from the witness, with the lab at rest."""
    hosts = [f"{node.address}:2181" for node in stand.topology.members("zookeeper")]
    argv = stand.exec_argv("witness", [sys.executable, "-m", "lab.zkspeed", *hosts])
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StepFailed(f"ZooKeeper's writes cannot be timed: {done.stderr.strip()[-300:]}")
    return float(done.stdout)


def _strike(stand: Stand, bench: Bench, number: int, tally: Tally, say: Say) -> None:
    metering = Metering(stand, number)
    metering.start()
    time.sleep(REST_S)
    before = view(stand)
    server = acknowledged(metering.attempts())[-1].server
    if bench.fault == "switchover":
        struck = switchover(stand)
    else:
        _, struck = faults.inject(stand, bench.fault, None)
    over = partial(bench.over, stand, metering, struck, server)
    wait_for(over, 60.0, f"run {number}: the end is not reached", every_s=LOOK_S)
    time.sleep(SETTLE_S)
    metering.stop()
    verdict = metering.verdict()
    outage_ms = 1000 * outage_s(verdict.history, struck)
    tally.outage_ms.append(outage_ms)
    tally.acknowledged += verdict.acknowledged
    tally.lost += verdict.lost
    tally.duplicates += verdict.duplicates
    tally.two_answerers += verdict.two_answerers
    _note_incident(stand, before, tally)
    say(f"run {number + 1}: {outage_ms:.1f} ms without a write, {verdict.acknowledged} written, {verdict.lost} lost")


def _note_incident(stand: Stand, before: Mapping[str, Any], tally: Tally) -> None:
    """The failover as the orchestrator recorded it, once its timeline is in."""
    after = view(stand)
    moved = int(after["epoch"]) - int(before["epoch"])
    tally.failovers += moved
    if not moved:
        return

    def complete() -> bool:
        last = (stand.snapshot() or {}).get("last_incident")
        return bool(last and last["steps"])

    wait_for(complete, 10.0, "the incident has no timeline")
    last = (stand.snapshot() or {})["last_incident"]
    tally.server_ms.append(last["total_ms"])
    tally.timelines.append({step["phase"]: step["duration_ms"] for step in last["steps"]})


def switchover(stand: Stand) -> float:
    """Ask for a planned move; CLOCK_MONOTONIC before the asking. Raises Refused with the failed checks.

    Asked again, as a person is told to, when the record changed while it was asked.
    """
    for left in reversed(range(ASKED_MAX)):
        found = view(stand)
        began = time.monotonic()
        body: dict[str, object] = {"kind": "switchover", "to": found["standby"], "reason": "bench"}
        try:
            stand.ask("POST", "operations", body, found["epoch"])
        except Refused as error:
            if left and "stale-epoch" in str(error):
                continue
            raise
        return began
    raise AssertionError("the last try either returns or raises")


def _restore(stand: Stand, profile: str, tally: Tally, say: Say) -> None:
    """Heal and wait for a certified pair; a node that came back with errant transactions needs a new lab."""
    faults.heal(stand)
    try:
        stand.wait_healthy(RETURN_S)
    except StepFailed as error:
        if not _errant(stand):
            raise
        say(f"the old primary has errant transactions and stays fenced, a new lab is made ({error})")
        tally.rebuilt += 1
        stand.renew(profile, say)


def _errant(stand: Stand) -> bool:
    found = stand.snapshot()
    return found is not None and any(node["errant"] for node in found["nodes"])


def _moved(stand: Stand, metering: Metering, struck: float, server: str) -> bool:
    """Another server has acknowledged enough."""
    others = [one for one in acknowledged(metering.attempts()) if one.ended > struck and one.server != server]
    return len(others) >= TAKEN_OVER


def _observed(stand: Stand, metering: Metering, struck: float, server: str) -> bool:
    """Some time has passed, and writes go on."""
    ends = [one.ended for one in acknowledged(metering.attempts())]
    return ends[-1] > struck + OBSERVE_S


def _relaxed(stand: Stand, metering: Metering, struck: float, server: str) -> bool:
    """ASYNC is recorded, and writes go on."""
    found = stand.snapshot()
    return found is not None and found["mode"] == "ASYNC" and _observed(stand, metering, struck, server)


def _result(
    bench: Bench, profile: str, runs: int, tally: Tally, zookeeper_ms: float, mysql_version: str
) -> dict[str, Any]:
    result: dict[str, Any] = {
        "fault": bench.name,
        "profile": profile,
        "runs": runs,
        "write_outage_ms": quantiles(tally.outage_ms),
        "server_side_ms": {"p50": quantiles(tally.server_ms)["p50"] if tally.server_ms else None},
        "zookeeper_write_ms": {"p50": zookeeper_ms},
        "acknowledged": tally.acknowledged,
        "lost": tally.lost,
        "duplicates": tally.duplicates,
        "two_answerers": tally.two_answerers,
        "failovers": tally.failovers,
        "phases_ms": _phases(tally.timelines),
        "rebuilt": tally.rebuilt,
        "outages_ms": [round(one, 1) for one in tally.outage_ms],
        "mysql_version": mysql_version,
    }
    return result


def _phases(timelines: list[dict[str, float]]) -> dict[str, float]:
    """The median duration of each phase of the timelines."""
    names = list(dict.fromkeys(name for one in timelines for name in one))
    return {name: quantiles([one[name] for one in timelines if name in one])["p50"] for name in names}


BENCHES: Mapping[str, Bench] = {
    bench.name: bench
    for bench in (
        Bench("mysqld-crash", "mysqld-crash", _moved),
        Bench("host-loss", "host-loss", _moved),
        Bench("link-loss", "link-loss", _moved),
        Bench("switchover", "switchover", _moved),
        Bench("standby-loss", "standby-loss", _relaxed, moves=False),
        Bench("orchestrator-kill", "orchestrator-kill", _observed, moves=False),
        Bench("agent-kill", "agent-kill", _observed, moves=False),
        Bench("agent-restart", "agent-restart", _observed, moves=False),
        Bench("zookeeper-kill", "zookeeper-kill", _observed, moves=False),
        Bench("zookeeper-leader-kill", "zookeeper-leader-kill", _observed, moves=False),
    )
}
