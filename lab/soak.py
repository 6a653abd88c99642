"""`kembar lab soak`: a pair under load without any fault, for as long as one likes, and what grew meanwhile.

The load runs in stretches, each judged by its own end, so that neither its history nor its table grows without end.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab import faults, processes
from lab.growth import Sample, growth
from lab.loading import Workload
from lab.processes import Process
from lab.provenance import provenance
from lab.stand import Say, Stand
from lab.views import view

SAMPLE_S = 5.0
STRETCH_S = 120.0
COUNTS = ("lost", "duplicates", "two_answerers", "acknowledged", "unknown")
FAILS = ("failovers", "lost", "duplicates", "two_answerers", "violations", "ended")


@dataclass(slots=True)
class Soaked:
    """What all stretches add up to."""

    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    gap_ms: float = 0.0
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)


def run(stand: Stand, minutes: float, profile: str, say: Say) -> dict[str, Any]:
    """Bring a lab up, load it, take it down: one JSON object. Raises KembarError if nothing was measured."""
    soaked, told = Soaked(), provenance()
    with stand.lent(profile, say) as facts:
        before, watched = view(stand), watched_processes(stand)
        end, number = time.monotonic() + 60 * minutes, 0
        while (left_s := end - time.monotonic()) > SAMPLE_S or not number:
            _stretch(stand, number, min(left_s, STRETCH_S), watched, soaked)
            number += 1
            say(f"{number}: {soaked.counts['acknowledged']} written, {soaked.counts['lost']} lost, {left_s:.0f} s left")
        after = view(stand)
        failovers = int(after["epoch"]) - int(before["epoch"])
        return {
            **told,
            "minutes": minutes,
            "profile": profile,
            "failovers": failovers,
            **{name: soaked.counts[name] for name in COUNTS},
            "violations": soaked.violations,
            "write_gap_max_ms": round(soaked.gap_ms, 1),
            "ended": sorted(soaked.ended),
            "processes": {name: growth(samples) for name, samples in soaked.samples.items()},
            "lease_margins": {row["name"]: row["lease_margins"] for row in after["nodes"]},
            "mysql_version": facts.mysql_version,
        }


def failed(found: Mapping[str, Any]) -> bool:
    """Whether something happened that must not without a fault."""
    return any(found[key] for key in FAILS)


def watched_processes(stand: Stand) -> dict[str, Process]:
    """Workers of agents and orchestrators, by the name of what they are."""
    recorded = processes.recorded(stand.files.root)
    found = {name: process for name, process in recorded.items() if name.startswith("orchestrator-")}
    for node in stand.topology.pair:
        worker = faults.worker(stand, node)
        if worker is not None:
            found[f"agent-{node.name}"] = worker
    return found


def sample(process: Process) -> Sample | None:
    """Memory, descriptors and threads of a process; None if it has ended."""
    if not process.lives():
        return None
    folder = Path(f"/proc/{process.pid}")
    lines = (folder / "status").read_text().splitlines()
    status = dict(line.split(":", 1) for line in lines if line.startswith(("VmRSS:", "Threads:")))
    rss_mb = int(status["VmRSS"].split()[0]) / 1024
    return Sample(time.monotonic(), round(rss_mb, 2), len(list((folder / "fd").iterdir())), int(status["Threads"]))


def _stretch(stand: Stand, number: int, seconds: float, watched: Mapping[str, Process], soaked: Soaked) -> None:
    load = Workload(stand, number)
    load.start()
    began = time.monotonic()
    while True:
        _sample_all(watched, soaked)
        left_s = began + seconds - time.monotonic()
        if left_s <= 0:
            break
        time.sleep(min(left_s, SAMPLE_S))
    load.stop()
    verdict = load.verdict()
    for name in COUNTS:
        soaked.counts[name] += getattr(verdict, name)
    soaked.violations += verdict.violations
    soaked.gap_ms = max(soaked.gap_ms, verdict.outage_ms(began))


def _sample_all(watched: Mapping[str, Process], soaked: Soaked) -> None:
    for name, process in watched.items():
        found = sample(process)
        if found is None:
            soaked.ended.add(name)
        else:
            soaked.samples.setdefault(name, []).append(found)


def text(found: Mapping[str, Any]) -> list[str]:
    """The result for people."""
    counts = ("failovers", "lost", "duplicates", "two_answerers", "acknowledged")
    lines = ["  ".join(f"{name} {found[name]}" for name in counts)]
    lines.append(f"longest gap between two writes {found['write_gap_max_ms']} ms")
    for name, one in found["processes"].items():
        rss, others = one["rss_mb"], f"descriptors {one['fds']['growth']:+}, threads {one['threads']['growth']:+}"
        per_hour = f"{rss['growth_percent']:+} %, {rss['per_hour']:+} MB an hour"
        lines.append(f"{name}: {rss['first']} MB, {rss['growth']:+} MB ({per_hour}), {others}")
    for name, one in found["lease_margins"].items():
        if one["renewals"]:
            lines.append(f"lease of {name}: at least {one['smallest_ms']} ms were left in {one['renewals']} renewals")
            lines.append(f"  by tenths of what a renewal authorises: {' '.join(map(str, one['tenths']))}")
    return [*lines, *found["violations"]]
