"""Rows about what crashes at the statements of a return: agents, servers, orchestrators, and the new primary itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial

from lab import faults
from lab.diverging import asking
from lab.matrix.crashes import Crashes, MysqldCrashes
from lab.matrix.parting import BACK_S, Parting
from lab.matrix.rejoins import ACCOUNTS, some_updates, update
from lab.matrix.row import Priority, Row
from lab.matrix.trial import MOVED_S, Trial
from lab.stand import wait_for
from lab.topology import Node

REWIND = ("begin", "journal", "rows", "commit")
RESET = ("forget", "reset", "purged")
MERGE = ("number", "begin", "rows", "commit", "rollback", "keep")
COPY = ("copy", "unfollow")
SWAP = ("kill_mysqld", "swap_data", "start_mysqld")
DDL = "CREATE TABLE only_behind (id INT PRIMARY KEY)"  # which rows cannot undo
# Each crash costs a start, and what clients wrote all the while has to be applied too.
CRASHED_S = 2 * BACK_S
STAGES = ("detect", "bundle", "rewind", "rejoin", "verify", "closed")
Crashing = Callable[[Trial, dict[Node, list[str]]], AbstractContextManager[Crashes]]


def places(names: Sequence[str]) -> list[str]:
    return [f"repair.{side}.{name}" for name in names for side in ("before", "after")]


def returning_node_crashes(t: Trial, names: Sequence[str], crashing: Crashing) -> None:
    parting = _left_behind(t)
    with crashing(t, {parting.old: places(names)}):
        parting.back()
        parting.ended(CRASHED_S)
    parting.returned()


def copied_node_crashes(t: Trial, crashing: Crashing) -> None:
    parting = _left_behind(t, DDL)
    swapping = [f"agent.{side}.{name}" for name in SWAP for side in ("before", "after")]
    with crashing(t, {parting.old: [*places(COPY), *swapping]}):
        parting.back()
        parting.ended(CRASHED_S)
    t.check(parting.returned()["rung"] == "clone", "it came back by another rung")


def donor_gone(t: Trial) -> None:
    """The new primary's server dies while it is copied, and is started in place: the copy is begun again."""
    parting = _left_behind(t, DDL)
    parting.back()
    parting.seen("bundle")
    with asking(t.stand, parting.old) as cursor:
        cursor.execute("SET GLOBAL clone_max_data_bandwidth = 1")  # MiB/s: it takes a minute

        def copying() -> bool:
            cursor.execute("SELECT 1 FROM performance_schema.clone_status WHERE STATE = 'In Progress'")
            return bool(cursor.fetchall())

        wait_for(copying, BACK_S, f"{parting.old.name} does not copy", every_s=0.1)
        faults.inject(t.stand, "mysqld-crash", parting.new.name)
        cursor.execute("SET GLOBAL clone_max_data_bandwidth = 0")
    parting.ended(BACK_S)
    t.check(parting.returned()["rung"] == "clone", "it came back by another rung")


def merging_node_crashes(t: Trial, names: Sequence[str], crashing: Crashing) -> None:
    parting = _left_behind(t)
    with crashing(t, {parting.new: places(names)}):
        parting.back()
        parting.ended(CRASHED_S)
    parting.returned()


def orchestrators_crash(t: Trial, where: str) -> None:
    parting = _left_behind(t)
    armed = [f"orchestrator.{where}.return_{stage}" for stage in STAGES]
    with Crashes(t, dict.fromkeys(t.stand.topology.members("orchestrator"), armed)):
        parting.back()
        parting.ended(BACK_S)
    parting.returned()


def primary_lost_during_the_merge(t: Trial) -> None:
    """Between two merged transactions. The old one is rewound by then, and has their numbers to give away: refused."""
    parting = _left_behind(t)
    t.arm(parting.new, ["repair.after.commit"], "stop")
    merging = t.agent(parting.new)
    parting.back()
    t.await_state(merging, "T", BACK_S)
    parting.seen("rejoin")
    faults.end_database(t.stand, parting.new)
    _refused(t, parting, "returned")
    faults.boot(t.stand, parting.new)
    parting.returned()


def half_rewound_is_not_promoted(t: Trial) -> None:
    """Not even by force: its rows are neither what it had nor what the new primary had."""
    parting = _left_behind(t)
    t.arm(parting.old, ["repair.after.journal"], "stop")
    parting.back()
    t.until_false(lambda: bool(t.armed(parting.old)), "it never began to change rows back")
    faults.end_database(t.stand, parting.new)
    faults.end_database(t.stand, parting.old)
    faults.boot(t.stand, parting.old)
    _refused(t, parting, "repair", "returned")  # its agent goes on alone: soon its rows are whole, its numbers free
    faults.boot(t.stand, parting.new)
    parting.returned()


def _refused(t: Trial, parting: Parting, *checks: str) -> None:
    """A forced failover to the old primary, by one of these alone once the new one has been silent for a while."""
    name = parting.old.name
    arguments = ("failover", "--to", name, "--accept-data-loss", "--confirm", name, "--reason", "in the middle")
    failed: list[str] = []

    def by_that_alone() -> bool:
        _, answer = t.kembar(*arguments)
        asked = answer.get("checks", ()) if isinstance(answer, dict) else ()
        failed[:] = [one["name"] for one in asked if not one["passed"]]
        return len(failed) == 1 and failed[0] in checks

    wait_for(by_that_alone, MOVED_S, lambda: f"not refused by {checks}, but by {failed or 'nothing'}", every_s=0.2)
    t.note(f"a forced failover is refused: {failed[0]}")


def _left_behind(t: Trial, *more: str) -> Parting:
    """Enough for several commits on either side; one in fifty conflicts."""
    parting = Parting(t)
    parting.alone(*ACCOUNTS)
    some_updates(parting, "behind", range(1, 51))
    parting.client(*more)
    parting.lost()
    parting.client(update(7, "ahead-7"))
    return parting


def _row(number: int, name: str, injected: str, run: Callable[[Trial], None]) -> Row:
    expected = "it goes on from what is on disk; both equal, nothing twice"
    return Row(number, name, Priority.P1, injected, expected, run, back_s=BACK_S)


def _of(who: str, run: Callable[..., None], names: Sequence[str], what: str) -> list[Row]:
    ways: list[tuple[str, Crashing]] = [("agent", Crashes), ("mysqld", MysqldCrashes)]
    return [
        _row(
            62,
            f"return, {what}: {victim} of {who} killed at each statement",
            f"failpoints before and after {', '.join(names)}: kill -9 of {victim}",
            partial(run, names=names, crashing=crashing),
        )
        for victim, crashing in ways
    ]


ROWS = (
    *(
        Row(
            39,
            f"return by a copy: {victim} killed at each step",
            Priority.P1,
            f"failpoints before and after {', '.join((*COPY, *SWAP))}: kill -9 of {victim}",
            "a copy is begun again, a swap is finished; both equal",
            partial(copied_node_crashes, crashing=crashing),
            back_s=BACK_S,
        )
        for victim, crashing in (("agent", Crashes), ("mysqld", MysqldCrashes))
    ),
    Row(
        39,
        "return by a copy: the donor is gone half-way",
        Priority.P1,
        "kill -9 of the new primary's mysqld while it is copied",
        "never promotable meanwhile; the copy is begun again; both equal",
        donor_gone,
        back_s=BACK_S,
    ),
    *_of("the returning node", returning_node_crashes, (*REWIND, *RESET), "rewind and reset"),
    *_of("the new primary", merging_node_crashes, MERGE, "merge"),
    *(
        _row(
            63,
            f"return: orchestrator killed {word} each stage",
            f"failpoints at {', '.join(STAGES)}: the leader kills itself",
            partial(orchestrators_crash, where=where),
        )
        for where, word in (("before", "before"), ("sent", "while it writes"), ("after", "after"))
    ),
    _row(
        64,
        "return: the new primary lost during the merge",
        "kill -9 of its agent and mysqld between two merged transactions; a forced failover back is asked for",
        primary_lost_during_the_merge,
    ),
    _row(
        65,
        "return: a half-rewound node is not promoted",
        "the new primary is lost while the other one is rewound; a forced failover is asked for",
        half_rewound_is_not_promoted,
    ),
)
