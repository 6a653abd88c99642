"""`python -m lab.eventwriter CLUSTER COUNT HOST:PORT...`: events put into ZooKeeper as the leader does, one at a time.

One JSON line each: its `number`, and `began`, CLOCK_MONOTONIC before the write was sent.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from lab.viewers import TYPE
from orchestrator.connected import connected
from orchestrator.coordination.client import ZooKeeper
from orchestrator.coordination.paths import Paths
from orchestrator.coordination.records import readable
from orchestrator.core.errors import StaleWrite, StepFailed
from orchestrator.core.history import Event, Recent
from orchestrator.core.model import Cluster
from orchestrator.core.ports import SetData
from orchestrator.core.wire import encode

ANSWER_S = 2.0
SENTENCE = "event {} is written to see when it is shown"
PACE_S = 0.237  # shares no period with what looks at the records
TRIES = 20


def main(arguments: Sequence[str]) -> int:
    """0 once all are written."""
    cluster, count, *hosts = arguments
    with connected(hosts) as zookeeper:
        for _ in range(int(count)):
            number, began = _write(zookeeper, Paths(cluster))
            print(json.dumps({"number": number, "began": began}), flush=True)  # noqa: T201 - this is the result
            time.sleep(PACE_S)
    return 0


def _write(zookeeper: ZooKeeper, paths: Paths) -> tuple[int, float]:
    """Again if the leader wrote one of its own meanwhile. Raises StepFailed."""
    for _ in range(TRIES):
        stored, pair = zookeeper.read(paths.recent), readable(Cluster, zookeeper.read(paths.desired))
        recent = readable(Recent, stored)
        if stored is None or recent is None or pair is None:
            raise StepFailed(f"{paths.recent}: no events to add one to")
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        event = Event(TYPE, at, "info", "", pair.epoch, pair.seq, node=pair.primary)
        *before, last = recent.with_event(event).events
        more = replace(recent, events=(*before, replace(last, text=SENTENCE.format(last.place))))
        began = time.monotonic()
        try:
            zookeeper.submit((SetData(paths.recent, encode(more), stored.version),)).result(ANSWER_S)
        except StaleWrite:
            continue
        return last.place, began
    raise StepFailed(f"{paths.recent} is changed all the time")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
