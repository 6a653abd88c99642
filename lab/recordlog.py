"""`python -m lab.recordlog FILE CLUSTER RECORD HOST:PORT...`: every version of a record that ZooKeeper shows.

RECORD is `desired`, or `returning` for that of a return. One JSON object a line, as it is written: `at`
(CLOCK_MONOTONIC), `version`, and the record. A watch may skip a version that was replaced at once; the numbers tell.
Run where ZooKeeper is reached, until SIGTERM.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, TextIO

from lab.tail import Tail
from orchestrator.coordination.client import ZooKeeper
from orchestrator.coordination.mirror import WatchedMirror
from orchestrator.coordination.paths import Paths
from orchestrator.core.ports import Seen
from orchestrator.process import threads
from orchestrator.process.clock import HostClock

LOOK_S = 0.5  # if a wake-up is lost


class RecordLog:
    """What was written down so far, read again and again by whoever judges."""

    def __init__(self, file: Path) -> None:
        self._tail = Tail(file)
        self._read: list[dict[str, Any]] = []

    def records(self) -> list[dict[str, Any]]:
        """Every record seen until now, oldest first."""
        self._read += [json.loads(line) for line in self._tail.lines()]
        return self._read


def broken_lines_of_history(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Where the record went back, or named another primary in the same epoch (invariant I1)."""
    found = []
    for before, after in pairwise(records):
        if (after["epoch"], after["seq"]) <= (before["epoch"], before["seq"]):
            found.append(f"{before['epoch']}.{before['seq']} was followed by {after['epoch']}.{after['seq']}")
        elif after["epoch"] == before["epoch"] and after["primary"] != before["primary"]:
            found.append(f"epoch {after['epoch']} had two primaries: {before['primary']}, {after['primary']}")
    return found


def rules(
    records: Sequence[Mapping[str, Any]], since: int, events: Callable[[], Sequence[Mapping[str, Any]]]
) -> list[str]:
    """Every rule by which the record changed after its number `since`, as these records and events tell, in order.

    `events` is asked only if a record is missing: one that another replaced at once was perhaps seen by nobody.
    """
    found = {int(record["seq"]): str(record["rule"]) for record in records}
    missed = set(range(since + 1, max(found, default=since))) - found.keys()
    if missed:
        found |= {int(one["seq"]): str(one["rule"]) for one in events() if one["rule"] and one["seq"] in missed}
    return [found[seq] for seq in sorted(found)]


def watch(hosts: Sequence[str], path: str, file: TextIO, stop: threading.Event) -> None:
    """Write down each version until `stop`."""
    changed = threading.Event()
    client = ZooKeeper(hosts, HostClock(), threads.start)
    mirror = WatchedMirror(client, HostClock(), [path], wake=changed.set)
    client.start()
    last = -1
    try:
        while not stop.is_set():
            changed.wait(LOOK_S)
            changed.clear()
            found = mirror.snapshot().get(path)
            if found is not None and found.stored.version > last and found.stored.data:
                last = found.stored.version
                file.write(_line(found))
    finally:
        client.close()


def _line(found: Seen) -> str:
    record = json.loads(found.stored.data)
    return json.dumps({"at": time.monotonic(), "version": found.stored.version, **record}) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Until SIGTERM."""
    file, cluster, record, *hosts = arguments
    path = {"desired": Paths(cluster).desired, "returning": Paths(cluster).returning}[record]
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with Path(file).open("w", buffering=1) as output:
        watch(hosts, path, output, stop)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
