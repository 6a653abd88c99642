"""`python -m tests.scope --turns 3 --writes 0`: the states of the small pair, and the way to a broken promise.

Ends with 0 if all were seen and no promise is broken.
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.scope.search import search


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--turns", type=int, default=3, help="how many things may happen out of turn")
    parser.add_argument("--writes", type=int, default=0)
    parser.add_argument("--states", type=int, default=2_000_000, help="stop after so many")
    options = parser.parse_args()
    began = time.process_time()
    found = search(options.turns, options.writes, options.states)
    for step in found.way:
        print(step)
    print(
        f"up to {options.turns} things out of turn, {options.writes} writes: {found.line()}; "
        f"{time.process_time() - began:.0f} s of CPU"
    )
    if not found.complete:
        print(f"stopped before its end, which proves nothing of the rest: --states {2 * options.states} goes further")
    return bool(found.broken) or not found.complete


if __name__ == "__main__":
    sys.exit(main())
