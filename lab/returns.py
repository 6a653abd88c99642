"""What the records of one return say, version by version as ZooKeeper showed them: durations and verdicts. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Version = Mapping[str, Any]  # of the record of a return, with `at`: CLOCK_MONOTONIC when it was seen
CLOSED, STOPPED = "closed", "stopped"


def last_return(versions: Sequence[Version], since: float) -> list[Version]:
    """The versions of the newest return that was opened later than that; empty if there was none."""
    later = [version for version in versions if version["at"] >= since]
    return [version for version in later if version["id"] == later[-1]["id"]]


def durations(versions: Sequence[Version], began: float, replicates: float, certified: float) -> dict[str, float]:
    """Seconds of each stage, in their order; `merge` runs beside them.

    `began`: the returning mysqld was started; `replicates`: the pair was seen whole, which counts where no record was
    needed; `certified`: the node may take over.
    """
    marks = [(version["at"], str(version["stage"])) for version in versions]
    changes = [mark for before, mark in zip([(began, ""), *marks], marks, strict=False) if mark[1] != before[1]]
    if not changes:
        changes = [(replicates, CLOSED)]
    found = {"start": changes[0][0] - began}
    for (at, stage), (end, _) in zip(changes, [*changes[1:], (certified, "")], strict=True):
        name = "certify" if stage == CLOSED else stage
        found[name] = found.get(name, 0.0) + max(end, began) - max(at, began)
    if merging := _merging(versions):
        found["merge"] = merging
    return {name: round(max(seconds, 0.0), 3) for name, seconds in found.items()}


def verdicts(versions: Sequence[Version]) -> dict[str, int]:
    """How many transactions became what, as the last version says."""
    return dict(versions[-1]["verdicts"]) if versions else {}


def _merging(versions: Sequence[Version]) -> float:
    running = [version["at"] for version in versions if version["merge"] == "running"]
    done = [version["at"] for version in versions if version["merge"] == "done"]
    return done[0] - running[0] if running and done else 0.0
