"""`kembar lab bench rejoin-*`: the old primary comes back again and again, and what its repair took.

A return begins when the kernel starts the returning mysqld, and ends with the record by which the node may take over.
Both are seen from outside: in /proc, and in ZooKeeper.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, field
from typing import Any

import pymysql

from lab import faults, namespaces, returns
from lab.comparison import differences, sets_equal
from lab.diverging import (
    Client,
    asking,
    await_alone,
    await_mysqld,
    await_waiting,
    clients,
    come_back,
    cut_replication,
    drop,
    force,
    roles,
    writing,
)
from lab.history import quantiles
from lab.recordlog import RecordLog
from lab.sessions import Session
from lab.stand import Say, Stand, wait_for
from lab.topology import Node
from lab.watching import DESIRED, RETURNING, watch
from orchestrator.core.errors import Refused, StepFailed

REST_S = 1.0
MOVED_S = 20.0
CERTIFIED_S, CERTIFIED_S_PER_MB = 120.0, 0.2
WAITING_MAX = 150  # commits that wait need a session each
CONFLICT_EVERY = 20  # of so many rows one is written on the new primary too: 5 %
TABLE = "CREATE TABLE IF NOT EXISTS rejoin (id BIGINT PRIMARY KEY, v BIGINT NOT NULL, note VARCHAR(64) NOT NULL)"


@dataclass(slots=True)
class Scene:
    """One return under way: who was primary, who is now, and what the old one alone told its clients."""

    stand: Stand
    old: Node
    new: Node
    run: int
    transactions: int
    acknowledged: dict[int, str] = field(default_factory=dict)  # row -> what was told as written there
    conflicting: int = 0
    began: float = 0.0  # of the return


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of one return; durations in seconds."""

    seconds: float
    rung: str
    phases: Mapping[str, float]
    verdicts: Mapping[str, int]
    unaccounted: int  # told to a client, and neither merged nor kept with its value
    differences: Sequence[str]
    gtid_sets_equal: bool


def run(stand: Stand, name: str, size: Mapping[str, int], runs: int, profile: str, say: Say) -> dict[str, Any]:
    """Bring a lab up, let the old primary return `runs` times, take it down: one JSON object. Raises KembarError.

    `size`: transactions, database_mb.
    """
    if name == TRUNCATE and not 0 < size["transactions"] <= WAITING_MAX:
        raise Refused(f"--transactions {size['transactions']}: {name} takes 1 to {WAITING_MAX}, one session for each")
    measured: list[Measured] = []
    with stand.lent(profile, say, ballast_mb=size["database_mb"]) as facts:
        desired, returning = watch(stand, DESIRED), watch(stand, RETURNING)
        _prepare(stand, size["transactions"])
        for number in range(runs):
            scene = Scene(stand, *roles(stand), number, size["transactions"])
            measured.append(_measure(scene, BENCHES[name], (desired, returning), size["database_mb"]))
            say(_told(number, measured[-1]))
        conflicting = scene.conflicting
        return {
            "bench": name,
            "profile": profile,
            "runs": runs,
            **size,
            "conflicting": conflicting,
            "seconds": {key: quantiles([one.seconds for one in measured], 3)[key] for key in ("p50", "max")},
            "phases": _medians([one.phases for one in measured]),
            "merged": sum(one.verdicts.get("merged", 0) for one in measured),
            "quarantined": sum(one.verdicts.get("quarantined", 0) for one in measured),
            "unaccounted": sum(one.unaccounted for one in measured),
            "checksums_equal": not any(one.differences for one in measured),
            "gtid_sets_equal": all(one.gtid_sets_equal for one in measured),
            "each": [asdict(one) for one in measured],
            "mysql_version": facts.mysql_version,
        }


def _measure(
    scene: Scene, come_apart: Callable[[Scene], None], logs: tuple[RecordLog, RecordLog], size_mb: int
) -> Measured:
    stand = scene.stand
    desired, returning = logs
    time.sleep(REST_S)
    struck = time.monotonic()
    come_apart(scene)

    def certified() -> float | None:
        stopped = returns.last_return(returning.records(), struck)
        if stopped and stopped[-1]["stage"] == returns.STOPPED:
            raise StepFailed(f"the return of {scene.old.name} stopped: {stopped[-1]['stopped']}")
        return _since(desired, scene.began, lambda record: (record["promotable"] or {}).get("node") == scene.old.name)

    wait_for(
        lambda: certified() is not None,
        CERTIFIED_S + size_mb * CERTIFIED_S_PER_MB,
        lambda: f"{scene.old.name} is not certified: {(stand.snapshot() or {}).get('waiting')}",
        every_s=0.1,
    )
    ended = certified() or 0.0
    versions = returns.last_return(returning.records(), struck)
    replicates = _since(desired, scene.began, lambda record: record["rule"] == "R1") or ended
    stand.wait_healthy()
    return Measured(
        seconds=round(ended - scene.began, 3),
        rung=versions[-1]["rung"] if versions else "clean",
        phases=returns.durations(versions, scene.began, replicates, ended),
        verdicts=returns.verdicts(versions),
        unaccounted=unaccounted(stand, scene.new, scene.acknowledged),
        differences=differences(stand),
        gtid_sets_equal=sets_equal(stand),
    )


def _since(log: RecordLog, instant: float, holds: Callable[[Mapping[str, Any]], object]) -> float | None:
    """When a record of which it is true was first seen after that instant."""
    return next((record["at"] for record in log.records() if record["at"] >= instant and holds(record)), None)


def unaccounted(stand: Stand, primary: Node, acknowledged: Mapping[int, str]) -> int:
    """How many of these values of `rejoin` are neither in their row nor in an entry of the quarantine."""
    with asking(stand, primary) as cursor:
        cursor.execute("SELECT id, note FROM shop.rejoin")
        notes = dict(cursor.fetchall())
        cursor.execute("SELECT summary FROM kembar.quarantine")
        kept = "\n".join(str(summary) for (summary,) in cursor.fetchall())
    return sum(notes.get(row) != note and f'"{note}"' not in kept for row, note in acknowledged.items())


# --- how they come apart, up to the moment in which the old primary's mysqld is started again


def clean(scene: Scene) -> None:
    """Its mysqld is killed while nobody writes; it is started once the other serves."""
    faults.inject(scene.stand, "mysqld-crash", scene.old.name)
    _await_moved(scene)
    scene.began = await_mysqld(scene.stand, scene.old)


def truncate(scene: Scene) -> None:
    """Killed while commits wait for the standby, which never hears of them."""
    stand = scene.stand
    sessions = clients(stand, scene.transactions)
    try:
        cut_replication(stand)
        with asking(stand, scene.old) as looking, ThreadPoolExecutor(len(sessions)) as pool:
            told = [pool.submit(_commit, session, n + 1, scene.run) for n, session in enumerate(sessions)]
            await_waiting(looking, scene.transactions)
            faults.inject(stand, "mysqld-crash", scene.old.name)
        if any(one.result() for one in told):
            raise StepFailed("a commit that waited for the standby was acknowledged")
    finally:
        for session in sessions:
            drop(session)
    _await_moved(scene)
    namespaces.unblock_all(stand.name)
    scene.began = await_mysqld(stand, scene.old)


def rewind(scene: Scene) -> None:
    """The old primary writes alone, in ASYNC, and is lost; the other is promoted by force, and written to."""
    _left_behind(scene, ())


def clone(scene: Scene) -> None:
    """As for a rewind, with a new table in the middle, which rows cannot undo.

    A change of the table itself would keep every later transaction of it for a person.
    """
    _left_behind(scene, (f"CREATE TABLE IF NOT EXISTS only_old_{scene.run} (id BIGINT PRIMARY KEY)",))


def _left_behind(scene: Scene, between: Sequence[str]) -> None:
    stand = scene.stand
    cut_replication(stand)
    await_alone(stand)
    with closing(Client(stand)) as client:
        for row in range(1, scene.transactions + 1):
            note = f"old-{scene.run}-{row}"
            client.execute("UPDATE rejoin SET v = v + 1, note = %s WHERE id = %s", note, row)
            scene.acknowledged[row] = note
            if row == scene.transactions // 2:
                for statement in between:
                    client.execute(statement)
    faults.end_database(stand, scene.old)
    namespaces.unblock_all(stand.name)
    force(stand, scene.new)
    with closing(Client(stand)) as client:
        client.execute(
            "UPDATE rejoin SET note = %s WHERE MOD(id, %s) = 0 AND id <= %s",
            f"new-{scene.run}", CONFLICT_EVERY, scene.transactions,
        )  # fmt: skip
    scene.conflicting = scene.transactions // CONFLICT_EVERY
    scene.began = come_back(stand, scene.old)


def _commit(session: Session, row: int, run: int) -> bool:
    """Whether it was acknowledged: the server is killed first."""
    try:
        with session.cursor() as cursor:
            cursor.execute("UPDATE rejoin SET v = v + 1, note = %s WHERE id = %s", (f"tail-{run}-{row}", row))
    except (pymysql.err.Error, OSError):
        return False
    return True


def _await_moved(scene: Scene) -> None:
    def moved() -> bool:
        shown = scene.stand.snapshot()
        return shown is not None and shown["primary"] == scene.new.name and shown["writes"] == "ok"

    wait_for(moved, MOVED_S, f"{scene.new.name} does not take over")


def _prepare(stand: Stand, transactions: int) -> None:
    """A row for each transaction."""
    rows = [(row, 0, "") for row in range(1, transactions + 1)]
    with writing(stand) as cursor:
        cursor.execute(TABLE)
        for begin in range(0, len(rows), 1000):
            cursor.executemany("INSERT INTO rejoin (id, v, note) VALUES (%s, %s, %s)", rows[begin : begin + 1000])


def _medians(each: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = list(dict.fromkeys(name for one in each for name in one))
    return {name: quantiles([one[name] for one in each if name in one], 3)["p50"] for name in names}


def _told(number: int, one: Measured) -> str:
    parts = ", ".join(f"{name} {seconds:.2f}" for name, seconds in one.phases.items())
    equal = "equal" if not one.differences else f"different: {', '.join(one.differences)}"
    verdicts = ", ".join(f"{count} {what}" for what, count in one.verdicts.items()) or "nothing errant"
    return f"run {number + 1}: {one.rung}, {one.seconds:.2f} s to certified ({parts}); {verdicts}; {equal}"


TRUNCATE = "rejoin-truncate"
BENCHES: Mapping[str, Callable[[Scene], None]] = {
    "rejoin-clean": clean,
    TRUNCATE: truncate,
    "rejoin-rewind": rewind,
    "rejoin-clone": clone,
}
DEFAULT_TRANSACTIONS = {"rejoin-clean": 0, TRUNCATE: 20, "rejoin-rewind": 1000, "rejoin-clone": 1000}
