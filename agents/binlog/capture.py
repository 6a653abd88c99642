"""One dead mysqld's tail: looked at, kept as evidence, cut or left. Paths in, outcome out; whoever owns them may call.

On a host the data directory is closed to the agent: a one-shot unit of mysqld's own user calls the same function.
"""

from __future__ import annotations

import mmap
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
    gtids: str = ""  # what was cut


def capture(
    datadir: Path, folder: Path, index: Path, epoch: int, primary: GtidSet, own: str, doubt: str = ""
) -> Outcome:
    """Cut what the new primary lacks off the last file of `index`, or say why not. Raises StepFailed; then call again.

    `datadir` is mysqld's, to which names in the index are relative; evidence and plan go to `folder`/`epoch`, the epoch
    of the takeover. `own` is the uuid of the dead server. Only without a mysqld that was started since. With a `doubt`
    whether its every commit waited (`truncate.doubt`) no cut begins, as one may in a later epoch; one that has begun is
    finished. A kill at any step leaves the rest to the next call.
    """
    evidence = folder / str(epoch)
    plan = evidence / PLAN
    if plan.exists():
        done = cut(datadir, plan)
        return Outcome(TailState.CUT, "an interrupted cut was finished", done.gtids)
    if doubt:
        return Outcome(TailState.KEPT, doubt)
    try:
        name = _last(index)
        decided = _planned(datadir, name, primary, own)
    except (OSError, ValueError) as error:  # of an index that is damaged too
        raise StepFailed(f"the binary log of {index} cannot be read: {error}") from error
    if isinstance(decided, Clean):
        return Outcome(TailState.CLEAN)
    archive((datadir / name, index), evidence / "binlog")
    if isinstance(decided, Refusal):
        return Outcome(TailState.KEPT, decided.why)
    write_plan(plan, decided)
    cut(datadir, plan)
    return Outcome(TailState.CUT, f"{decided.gtids} cut off {name} at {decided.position}", decided.gtids)


def _last(index: Path) -> str:
    """The newest file as the index names it."""
    names = [line for line in index.read_text().split("\n") if line]
    if not names:
        raise StepFailed(f"{index} names no file")
    return str(Path(names[-1]))


def _planned(datadir: Path, name: str, primary: GtidSet, own: str) -> Cut | Clean | Refusal:
    with (datadir / name).open("rb") as file:
        if not file.seek(0, 2):
            return Refusal(f"{name} is empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return plan_cut(name, data, primary, own)
