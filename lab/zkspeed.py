"""`python -m lab.zkspeed HOST:PORT...`: median milliseconds of a conditional write, for comparison beside a bench."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Sequence

from orchestrator.connected import connected
from orchestrator.core.errors import StaleWrite
from orchestrator.core.ports import Create, SetData

PATH = "/kembar-lab-speed"
WRITES = 50
PACE_S = 0.02


def main(hosts: Sequence[str]) -> int:
    with connected(hosts) as client:
        try:
            client.submit((Create(PATH, b""),)).result(2.0)
        except StaleWrite:
            sys.stderr.write("the node is there already\n")
        stored = client.read(PATH)
        version = stored.version if stored else 0
        took = []
        for number in range(WRITES):
            began = time.monotonic()
            client.submit((SetData(PATH, b"x" * 200, version + number),)).result(2.0)
            took.append(1000 * (time.monotonic() - began))
            time.sleep(PACE_S)
    print(round(statistics.median(took), 2))  # noqa: T201 - this is the command's result
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
