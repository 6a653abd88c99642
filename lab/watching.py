"""Logs of records that ZooKeeper shows, kept by processes of the lab on the witness."""

from __future__ import annotations

import sys

from lab import processes
from lab.recordlog import RecordLog
from lab.stand import Stand, wait_for

SEEN_S = 60.0
DESIRED, RETURNING = "desired", "returning"


def name_of(record: str) -> str:
    """Of the process that logs it."""
    return f"recordlog-of-{record}"


def watch(stand: Stand, record: str = DESIRED) -> RecordLog:
    """Start the log of a record, and wait until it has begun if there is such a record yet. Raises StepFailed."""
    name = name_of(record)
    file = stand.files.root / f"{name}.jsonl"
    file.unlink(missing_ok=True)
    hosts = [f"{node.address}:2181" for node in stand.topology.members("zookeeper")]
    argv = [sys.executable, "-m", "lab.recordlog", str(file), stand.topology.cluster, record, *hosts]
    stand.spawn(name, stand.topology.node("witness"), argv)
    log = RecordLog(file)
    if record == DESIRED:
        wait_for(lambda: bool(log.records()), SEEN_S, f"the record is not seen: {stand.files.log(name)}")
    return log


def watched(stand: Stand, record: str = DESIRED) -> bool:
    """Whether the log is still kept."""
    return processes.alive(stand.files.root, name_of(record))
