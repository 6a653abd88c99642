"""`python -m lab.recordwatch CLUSTER FILE HOST:PORT...`: the desired record, one line each PERIOD_S.

See lab.checkers.sightings.Record. A read may be old; a check of its version, which the ensemble must agree to, is not.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from orchestrator.coordination.client import ZooKeeper
from orchestrator.coordination.paths import Paths
from orchestrator.core.errors import CoordinatorUnavailable, StaleWrite, UnknownOutcome
from orchestrator.core.ports import Check, Stored
from orchestrator.process import threads
from orchestrator.process.clock import HostClock

PERIOD_S = 0.2
ANSWER_S = 2.0
SHOWN = ("epoch", "seq", "primary", "mode", "phase")


def main(arguments: Sequence[str]) -> int:
    """Until it is ended."""
    cluster, file, *servers = arguments
    path, client = Paths(cluster).desired, ZooKeeper(servers, HostClock(), threads.start)
    client.start()
    stored: Stored | None = None
    with Path(file).open("w", buffering=1) as sightings:
        while True:
            began = time.monotonic()
            stored = _now(client, path, stored)
            if stored is not None and stored.data:
                record = json.loads(stored.data)
                seen = {"began": began, "ended": time.monotonic(), **{name: record[name] for name in SHOWN}}
                sightings.write(json.dumps(seen) + "\n")
            time.sleep(max(0.0, began + PERIOD_S - time.monotonic()))


def _now(client: ZooKeeper, path: str, known: Stored | None) -> Stored | None:
    """The record as it surely is between call and return; None if nobody can say."""
    try:
        for _ in range(10):
            known = known or client.read(path, ANSWER_S)
            if known is None:
                return None
            try:
                client.submit((Check(path, known.version),)).result(ANSWER_S)
            except StaleWrite:
                known = None
            else:
                return known
    except (CoordinatorUnavailable, UnknownOutcome):
        return None
    return None


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
