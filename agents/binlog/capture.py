"""One dead mysqld's tail: looked at, kept as evidence, cut or left. Paths in, outcome out; whoever owns them may call.

On a host the data directory is closed to the agent: a one-shot unit of mysqld's own user calls the same function.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from agents.binlog.archive import archive
from agents.binlog.truncate import Clean, Cut, Refusal, cut, plan_cut, write_plan
from orchestrator.core.errors import StepFailed
from orchestrator.core.gtid import GtidSet

PLAN = "cut.json"


class TailState(StrEnum):
    """What became of the tail of one incarnation; only an armed one may be cut."""

    ARMED = "armed"  # its commits wait for the standby
    GIVEN_UP = "given_up"  # it, or a later one, may have committed what was never acknowledged
    CLEAN = "clean"
    CUT = "cut"
    KEPT = "kept"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done, and a sentence of it."""

    state: TailState
    why: str = ""


def capture(index: Path, evidence: Path, primary: GtidSet, own: str) -> Outcome:
    """Cut what the new primary lacks off the last file of `index`, or say why not. Raises StepFailed; then call again.

    `evidence` is a folder of this takeover alone: `binlog/` with the copies, and the plan of the cut. Without a mysqld,
    and only for a primary whose every commit waited (`truncate.doubt`). A kill at any step leaves it to the next call.
    """
    plan = evidence / PLAN
    if plan.exists():
        cut(index.parent, plan)
        return Outcome(TailState.CUT, "an interrupted cut was finished")
    try:
        last = _files(index)[-1]
        decided = _planned(last, primary, own)
    except OSError as error:
        raise StepFailed(f"the binary log of {index} cannot be read: {error}") from error
    if isinstance(decided, Clean):
        return Outcome(TailState.CLEAN)
    archive((last, index), evidence / "binlog")
    if isinstance(decided, Refusal):
        return Outcome(TailState.KEPT, decided.why)
    write_plan(plan, decided)
    cut(last.parent, plan)
    return Outcome(TailState.CUT, f"{decided.gtids} cut off {decided.file} at {decided.position}")


def _files(index: Path) -> Sequence[Path]:
    """The files in the order of the index; relative names are relative to its folder."""
    names = index.read_text().split("\n")
    files = [index.parent / name for name in names if name]
    if not files:
        raise StepFailed(f"{index} names no file")
    return files


def _planned(last: Path, primary: GtidSet, own: str) -> Cut | Clean | Refusal:
    with last.open("rb") as file:
        if not file.seek(0, 2):
            return Refusal(f"{last.name} is empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return plan_cut(last.name, data, primary, own)
