"""`kembar lab bench pairs`: what many pairs cost one set of orchestrators, and how soon it decides in each of them.

ZooKeeper and orchestrators are real processes on the lab's hosts; the agents of all pairs are simulated by one process
(`lab.simagents`), which writes what real ones write, as often.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab import processes
from lab.bench import zookeeper_write_ms
from lab.history import quantiles
from lab.pairstand import Agents, ensemble, simulated, start_orchestrators
from lab.processes import Process
from lab.provenance import provenance
from lab.stand import Say, Stand
from lab.zookeeper import find_zookeeper
from orchestrator.core.errors import StepFailed

CALM_S = 10.0
MADE_S, HEALTHY_S, ANSWER_S = 60.0, 90.0, 60.0
MORE_S = 1.0  # for each pair
PACE_S = 0.237  # between two deaths: shares no period with what looks at the records
TELL_EVERY = 10
SEGMENTS = ("told_ms", "decided_ms", "heard_ms")
ZXID = re.compile(r"^Zxid: 0x([0-9a-f]+)$", re.MULTILINE)
COUNTED = 0xFFFFFFFF  # of a zxid: the rest is the epoch of the leading server
TICKS = os.sysconf("SC_CLK_TCK")


def run(stand: Stand, pairs: int, runs: int, profile: str, say: Say) -> dict[str, Any]:
    """Bring ZooKeeper and orchestrators up, let `runs` primaries die, take all down: one JSON object.

    Raises KembarError if the pairs do not become healthy, or one of them does not react.
    """
    told = provenance()
    with ensemble(stand, say), simulated(stand, pairs, profile) as agents:
        agents.wait("made", MADE_S + MORE_S * pairs)
        say(f"records of {pairs} pairs are made")
        zookeeper_ms = zookeeper_write_ms(stand)
        start_orchestrators(stand, pairs, profile)
        agents.wait("healthy", HEALTHY_S + MORE_S * pairs)
        say(f"{pairs} pairs are ready to fail over; {CALM_S:g} s without any fault follow")
        calm = _calm(stand, agents)
        reactions = [_strike(agents, number, runs, say) for number in range(runs)]
        ended = agents.asked("end", ANSWER_S)
    return {
        **told,
        "bench": "pairs",
        "profile": profile,
        "pairs": pairs,
        "runs": runs,
        **_costs(calm["processes"], pairs),
        "zookeeper_writes_per_s": calm["zookeeper_writes_per_s"],
        **_reactions(reactions),
        "unasked": ended["unasked"],
        "leaders": ended["leaders"],
        "processes": calm["processes"],
        "zookeeper_write_ms": {"p50": zookeeper_ms},
        "zookeeper_version": find_zookeeper().version,
    }


def failed(found: Mapping[str, Any]) -> bool:
    """Whether a decision was another than it should be, nobody had asked for it, or a pair has no leader."""
    return bool(found["wrong"] or found["unasked"] or "" in found["leaders"])


def _costs(costs: Mapping[str, Mapping[str, float]], pairs: int) -> dict[str, float]:
    """Of the orchestrator that costs most: each of them carries all pairs."""
    carrying = [one for name, one in costs.items() if name.startswith("orchestrator-")]
    return {
        "cpu_percent_per_pair": round(max(one["cpu_percent"] for one in carrying) / pairs, 3),
        "rss_mb_per_pair": round(max(one["rss_mb"] for one in carrying) / pairs, 3),
    }


def _reactions(found: list[dict[str, Any]]) -> dict[str, Any]:
    reaction = quantiles([one["reaction_ms"] for one in found])
    return {
        "reaction_ms": {"p50": reaction["p50"], "p99": reaction["p99"]},
        "segments_ms": {name: quantiles([one[name] for one in found])["p50"] for name in SEGMENTS},
        "wrong": sum(not one["right"] for one in found),
        "reactions_ms": [round(one["reaction_ms"], 1) for one in found],
    }


def _strike(agents: Agents, number: int, runs: int, say: Say) -> dict[str, Any]:
    time.sleep(PACE_S)
    found = agents.asked("strike", ANSWER_S)
    if not found["right"] or (number + 1) % TELL_EVERY == 0 or number + 1 == runs:
        say(f"death {number + 1} of {runs}, in {found['pair']}: {found['reaction_ms']:.1f} ms, rule {found['rule']}")
    return found


# what it costs while nothing happens


def _calm(stand: Stand, agents: Agents) -> dict[str, Any]:
    """Of CALM_S: percent of one core and memory of each process, writes that ZooKeeper ordered."""
    watched = _watched(stand, agents)
    began, used, zxid = time.monotonic(), {name: cpu_s(one) for name, one in watched.items()}, _zxid(stand)
    time.sleep(CALM_S)
    passed_s = time.monotonic() - began
    return {
        "zookeeper_writes_per_s": round((_zxid(stand) - zxid) / passed_s, 1),
        "processes": {
            name: {
                "cpu_percent": round(100 * (cpu_s(one) - used[name]) / passed_s, 1),
                **memory(one),
            }
            for name, one in watched.items()
        },
    }


def _watched(stand: Stand, agents: Agents) -> dict[str, Process]:
    """Servers, orchestrators, and the simulated agents, by name. Raises StepFailed."""
    found: dict[str, Process | None] = dict(processes.recorded(stand.files.root))
    found["simulated-agents"] = Process.of(agents.process.pid)
    ended = [name for name, one in found.items() if one is None or not one.lives()]
    if ended:
        raise StepFailed(f"{', '.join(ended)} ended: see {stand.files.root / 'log'}")
    return {name: one for name, one in found.items() if one is not None}


def cpu_s(process: Process) -> float:
    """Seconds of processor that it has used. Raises StepFailed if it has ended."""
    try:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    except OSError as error:
        raise StepFailed(f"process {process.pid} ended meanwhile: {error}") from None
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory(process: Process) -> dict[str, float]:
    """Keys `rss_mb`, `threads`."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    status = dict(line.split(":", 1) for line in lines if line.startswith(("VmRSS:", "Threads:")))
    return {"rss_mb": round(int(status["VmRSS"].split()[0]) / 1024, 1), "threads": int(status["Threads"])}


def _zxid(stand: Stand) -> int:
    """How many writes ZooKeeper has ordered since its leading server was elected. Raises StepFailed."""
    address = str(stand.topology.members("zookeeper")[0].address)
    code = "import sys; from lab.zookeeper import four_letters; print(four_letters(sys.argv[1], 'srvr', 5.0))"
    argv = stand.exec_argv("witness", [sys.executable, "-c", code, address])
    said = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
    if (found := ZXID.search(said)) is None:
        raise StepFailed(f"ZooKeeper at {address} does not tell its last write: {said[:200]!r}")
    return int(found[1], 16) & COUNTED
