"""`python -m tests.sim.run --seeds 100`: seeds, simulated hours, faults, rules, violations, in one line."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from orchestrator.core.rules import RULES
from tests.sim.world import Result, play


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--storm", type=float, default=60.0)
    parser.add_argument("--show", type=int, help="play one seed and print its timeline")
    parser.add_argument("--keep-going", action="store_true")
    options = parser.parse_args()
    if options.show is not None:
        result = play(options.show, options.storm)
        print(result.timeline())
        print(result.violation or "no violation", result.diverged, f"recovered in {result.recovered_s:.1f} s")
        return bool(result.violation)
    return batch(range(options.first, options.first + options.seeds), options.storm, options.keep_going)


def batch(seeds: range, storm_s: float, keep_going: bool) -> int:
    began = time.process_time()
    results: list[Result] = []
    for seed in seeds:
        result = play(seed, storm_s)
        result.trace = []
        results.append(result)
        if result.violation:
            print(f"seed {seed}: {result.violation}", flush=True)
            if not keep_going:
                break
        elif result.diverged:
            after = "after a forced failover" if "F6" in result.rules else "though nobody forced anything"
            print(f"seed {seed}: a person is needed {after}: {result.diverged}", flush=True)
    print(line(results, time.process_time() - began))
    return bool(sum(bool(result.violation) for result in results))


def line(results: list[Result], cpu_s: float) -> str:
    simulated_s = sum(result.simulated_s for result in results)
    faults, rules = Counter[str](), Counter[str]()
    for result in results:
        faults.update(result.faults)
        rules.update(result.rules)
    missing = sorted({rule.id for rule in RULES} - set(rules))
    writes = sum(result.ok for result in results)
    without = f" without {','.join(missing)}" if missing else ""
    return (
        f"{len(results)} seeds, {simulated_s / 3600:.2f} simulated hours, "
        f"{faults.total()} faults of {len(faults)} kinds, rules {len(rules)} of {len(RULES)}{without} "
        f"({', '.join(f'{rule} {n}' for rule, n in sorted(rules.items()))}), {writes} acknowledged writes, "
        f"{sum(bool(result.diverged) for result in results)} diverged, "
        f"{sum(bool(result.violation) for result in results)} violations; "
        f"{simulated_s / max(cpu_s, 0.001):.0f} simulated s per CPU s"
    )


if __name__ == "__main__":
    sys.exit(main())
