"""`python -m tests.sim.run --seeds 100`: what stories and seeds add up to; `--show` and `--shrink` look at one seed."""

from __future__ import annotations

import argparse
import json
import os
import sys
from functools import partial
from pathlib import Path

from lab.provenance import provenance
from tests.sim.batch import total
from tests.sim.faults import plan
from tests.sim.shrink import shrink
from tests.sim.stories import STORIES
from tests.sim.swarm import Swarm
from tests.sim.world import Result, play


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--storm", type=float, default=60.0, help="simulated seconds of faults")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--show", type=int, metavar="SEED", help="play one seed and print its timeline")
    parser.add_argument("--shrink", type=int, metavar="SEED", help="leave out of a violating seed what is not needed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the totals there too")
    options = parser.parse_args()
    if options.show is not None:
        return show(play(options.show, options.storm))
    if options.shrink is not None:
        return shrunk(options.shrink, options.storm)
    return many(range(options.first, options.first + options.seeds), options.storm, options.processes, options.json)


def show(result: Result) -> int:
    print(result.timeline())
    print(result.violation or "no violation", result.diverged, f"recovered in {result.recovered_s:.1f} s")
    return bool(result.violation)


def shrunk(seed: int, storm_s: float) -> int:
    faults = plan(Swarm.draw(seed, storm_s))
    try:
        dropped, result = shrink(len(faults), partial(play, seed, storm_s))
    except ValueError as error:
        print(error)
        return 0
    print(result.timeline())
    print(f"{result.violation}\nneeds {len(faults) - len(dropped)} of {len(faults)} faults: ", end="")
    print(", ".join(f"{fault.number} {fault.kind}" for fault in faults if fault.number not in dropped) or "none")
    return 1


def many(seeds: range, storm_s: float, processes: int, file: Path | None) -> int:
    def told(name: int | str, result: Result) -> None:
        called, again = f"seed {name}", f"python -m tests.sim.run --storm {storm_s:g} --show {name}"
        if isinstance(name, str):
            called, again = f"story {name!r}", "pytest tests/sim/test_stories.py"
        if result.violation:
            print(f"{called}: {result.violation}; timeline: {again}", flush=True)
        elif result.diverged:
            after = "after a forced failover" if "F6" in result.rules else "after a write by hand"
            print(f"{called}: a person is needed {after}: {result.diverged}", flush=True)

    found = total(seeds, storm_s, processes, told, STORIES)
    if found.failed() and not found.violations:
        print(f"never met: {'; '.join(found.missing())}")
    print(found.line())
    if file is not None:
        totals = {"seeds": found.seeds, "violations": len(found.violations), "line": found.line()}
        file.write_text(json.dumps(provenance() | totals))
    return found.failed()


if __name__ == "__main__":
    sys.exit(main())
