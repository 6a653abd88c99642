"""A return that is broken off at any statement, by a kill of the agent or of mysqld, ends as one that was not.

A test run kills mysqld at few of them; `make kills RUNS=n` at each, and breaks the merge off n times at random.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pymysql
import pytest

from agents.binlog.contents import transactions
from agents.binlog.images import row_changes
from agents.binlog.logs import contents, files_after, mapped
from agents.binlog.parse import head
from agents.dialect import NO_SUCH_THREAD
from agents.reconcile.evidence import Folder
from agents.reconcile.merger import Merger
from orchestrator.core.errors import DatabaseUnavailable, StepFailed
from orchestrator.core.gtid import GtidSet
from orchestrator.core.mergepolicy import MergePolicy
from orchestrator.core.reconcile import Facts, Reconcile, advance
from orchestrator.core.returning import Merging, Rung, Stage
from tests.contract.breaking import Breaking, killed, revived, until
from tests.contract.returning import (
    NODE,
    NUMBERS,
    SCHEMA,
    Divergence,
    Two,
    rejoin_session,
    returner,
    two_servers,
    unasked,
)
from tests.contract.rewinding import Undoer

pytestmark = pytest.mark.lab
RUNS = int(os.environ.get("KEMBAR_KILL_RUNS", "0"))
SEED = int(os.environ.get("KEMBAR_KILL_SEED", "1"))
FEWER = 4  # statements, before and after, by which two undisturbed runs differ: what was asked for of a table is kept
State = dict[str, Any]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    with two_servers(tmp_path_factory.mktemp("killed")) as made:
        yield made


TABLES = (
    "CREATE TABLE acct (id INT PRIMARY KEY, bal INT, note VARCHAR(20))",
    "CREATE TABLE bare (v INT)",
    "CREATE TABLE uniq (id INT PRIMARY KEY, u INT UNIQUE)",
    "INSERT INTO acct VALUES (1, 100, NULL), (2, 200, ''), (3, 300, 'x'), (4, 400, 'y'), (5, 500, NULL)",
    "INSERT INTO bare VALUES (6), (6), (NULL)",
    "INSERT INTO uniq VALUES (1, 1)",
)
ERRANT = (
    "UPDATE acct SET bal = bal + 7 WHERE id = 1",
    "REPLACE INTO kembar.heartbeat VALUES ('db-a', 1, NOW(6))",
    "UPDATE acct SET bal = 207 WHERE id = 2",  # which the other changes too
    "BEGIN", "INSERT INTO acct VALUES (6, 6, 'f')", "UPDATE acct SET note = 'mine' WHERE id = 2", "COMMIT",
    "FLUSH BINARY LOGS",
    "DELETE FROM acct WHERE id = 3",  # which the other deletes too
    "SET SESSION binlog_transaction_compression = ON",
    "BEGIN", "INSERT INTO acct VALUES (7, 7, 'g')", "INSERT INTO bare VALUES (8), (8)", "COMMIT",
    "SET SESSION binlog_transaction_compression = OFF",
    "INSERT INTO uniq VALUES (2, 77)",  # a value that another row of the other has
    "UPDATE acct SET bal = bal + 1 WHERE id IN (4, 5)",
)  # fmt: skip
MEANWHILE = (
    "UPDATE acct SET bal = 150 WHERE id = 2",
    "DELETE FROM acct WHERE id = 3",
    "INSERT INTO uniq VALUES (3, 77)",
    "INSERT INTO acct VALUES (8, 8, 'theirs')",
)


def digest(one: Undoer) -> dict[str, str]:
    """SHA-256 of the rows of each table."""
    found = {}
    for (name,) in one.ask(f"SHOW TABLES FROM {SCHEMA}"):
        rows = sorted(one.ask(f"SELECT * FROM {SCHEMA}.{name}"), key=repr)
        found[name] = hashlib.sha256(repr(rows).encode()).hexdigest()
    return found


@dataclass
class Back:
    """The returning node's part, from the first look to the reset of its GTIDs, over any number of lives."""

    two: Two
    home: Path
    before: GtidSet
    record: Reconcile

    @classmethod
    def begun(cls, two: Two) -> Back:
        two.alike(*TABLES)
        number, before = next(NUMBERS), two.old.executed()
        two.old.do(*ERRANT)
        record = Reconcile(number, 1, NODE, Rung.REWIND, Stage.DETECT, acknowledged=True)
        return cls(two, two.home / f"back-{number}", before, record)

    def live(self, sessions: Callable[[], Any]) -> None:
        """One life of the agent, as long as it lasts. The record is the leader's, and outlives it."""
        agent = returner(self.two.old, self.home, sessions, unasked)
        while self.record.stage is not Stage.REJOIN:
            agent.work(self.record, self.before)
            assert not agent.facts.refusal, agent.facts.refusal
            confirmed = Merging(self.record.id, sums=agent.facts.sums)
            facts = Facts(1, agent.facts, confirmed, False, GtidSet(), False, MergePolicy())
            self.record = advance(self.record, facts)

    def state(self) -> State:
        old = self.two.old
        folder = Folder.of(self.home, self.record)
        listed = [line.split("  ") for line in (folder.logs / "SHA256SUMS").read_text().splitlines()]
        return {
            "rows": digest(old),
            "executed": old.executed() - self.before,
            "missing": self.before - old.executed(),
            "purged": GtidSet.parse(old.ask("SELECT @@GLOBAL.gtid_purged")[0][0]) - self.before,
            "journal": old.ask("SELECT COUNT(*) FROM kembar.reconcile_journal"),
            "errant": (self.record.transactions, self.record.rows, len(GtidSet.parse(self.record.errant))),
            "evidence": (
                all(hashlib.sha256((folder.logs / name).read_bytes()).hexdigest() == sum_ for sum_, name in listed),
                hashlib.sha256((folder.logs / "SHA256SUMS").read_bytes()).hexdigest() == self.record.sums,
                len(gtids_in(folder.files()) - self.before),
            ),
        }


def gtids_in(files: tuple[Path, ...]) -> GtidSet:
    found = []
    for path in files:
        with mapped(path) as data:
            found += [str(one.gtid) for one in transactions(data, head(data).end)]
    return GtidSet.parse(",".join(found))


def gone_back(two: Two, at: int, lose: Callable[[], None], *, after: bool) -> tuple[State, Breaking]:
    """A return of the old server that breaks at that statement, and is gone on with by another life."""
    back = Back.begun(two)
    two.old.do("SET GLOBAL super_read_only = ON, GLOBAL offline_mode = ON")
    life = Breaking(lambda: rejoin_session(two.old), at, lose, after=after)
    try:
        with suppress(DatabaseUnavailable):
            back.live(life)
        if two.old.server.supervisor.incarnation() is None:
            revived(two.old, SCHEMA)
        back.live(lambda: rejoin_session(two.old))
        return back.state(), life
    finally:
        two.old.server.database.set_writable()


def nothing() -> None:
    """The agent alone dies."""


def test_a_rewind_that_is_killed_at_any_statement_ends_as_one_that_is_not(two: Two) -> None:
    undisturbed, life = gone_back(two, 0, nothing, after=False)
    assert undisturbed["errant"][2] == 8 and not undisturbed["executed"] and not undisturbed["missing"]
    assert {"RESET BINARY LOGS AND", "SET GLOBAL gtid_purged =", "COMMIT", "INSERT INTO kembar.reconcile_journal"} <= {
        *life.asked
    }
    reached = 0
    for at, after in places(life.asked):
        state, broken = gone_back(two, at, nothing, after=after)
        assert state == undisturbed, (at, after, broken.asked[-1])
        reached += broken.ended
    assert reached >= len(places(life.asked)) - FEWER


def places(asked: list[str], *chosen: str) -> list[tuple[int, bool]]:
    """Before and after each statement if that was asked for; else after the first of each kind, or of those chosen."""
    if RUNS:
        return [(at, after) for at in range(1, len(asked) + 1) for after in (False, True)]
    return [(asked.index(one) + 1, True) for one in chosen or dict.fromkeys(asked)]


def test_so_it_does_if_mysqld_is_killed(two: Two) -> None:
    undisturbed, life = gone_back(two, 0, nothing, after=False)
    for at, after in places(life.asked, "COMMIT", "RESET BINARY LOGS AND"):
        state, broken = gone_back(two, at, lambda: killed(two.old), after=after)
        assert state == undisturbed, (at, after, broken.asked[-1])


# --- the merge


@dataclass
class Into:
    """The new primary's part, over any number of lives."""

    made: Divergence
    numbers: list[str] = field(init=False)
    lives: int = 0

    def __post_init__(self) -> None:
        self.numbers = singles(GtidSet.parse(self.made.record.errant))

    @classmethod
    def begun(cls, two: Two) -> Into:
        two.alike(*TABLES)
        made = two.diverged(*ERRANT)
        two.new.do(*MEANWHILE)
        return cls(made)

    def live(self, sessions: Callable[[], Any]) -> Merger:
        self.lives += 1
        merger = Merger(self.made.home / "new", self.made._fetch, sessions, lambda: True, MergePolicy)
        merger.work(self.made.record, GtidSet())
        assert merger.facts.done
        return merger

    def state(self, merger: Merger) -> State:
        new, record = self.made.two.new, self.made.record
        return {
            "rows": digest(new),
            "missing": GtidSet.parse(record.errant) - new.executed(),
            "entries": [(entry[1], entry[2]) for entry in self.made.entries()],
            "verdicts": dict(merger.facts.verdicts),
            "evidence": Folder(self.made.home / "new" / f"return-{record.id}-of-{NODE}").sums() == record.sums,
            "files": len(list((self.made.home / "new").glob("*/quarantine/*.json"))),
        }


def singles(gtids: GtidSet) -> list[str]:
    return [
        f"{source}:{number}"
        for source, intervals in gtids.intervals.items()
        for first, last in intervals
        for number in range(first, last + 1)
    ]


def alive(two: Two) -> None:
    if two.new.server.supervisor.incarnation() is None:
        revived(two.new, SCHEMA)
        two.new.server.database.set_writable()


def taken_in(two: Two, at: int, lose: Callable[[], None], *, after: bool) -> tuple[State, Breaking]:
    into = Into.begun(two)
    life = Breaking(lambda: rejoin_session(two.new), at, lose, after=after)
    try:
        with suppress(DatabaseUnavailable):
            into.live(life)
    finally:
        alive(two)
    merger = into.live(lambda: rejoin_session(two.new))
    return into.state(merger), life


def test_a_merge_that_is_killed_at_any_statement_ends_as_one_that_is_not(two: Two) -> None:
    undisturbed, life = taken_in(two, 0, nothing, after=False)
    assert undisturbed["verdicts"] == {"merged": 3, "quarantined": 3, "identical": 1, "discarded": 1}
    assert not undisturbed["missing"] and undisturbed["files"] == 3
    reached = 0
    for at, after in places(life.asked):
        state, broken = taken_in(two, at, nothing, after=after)
        assert state == undisturbed, (at, after, broken.asked[-1])
        reached += broken.ended
    assert reached >= len(places(life.asked)) - FEWER


def test_so_it_does_if_mysqld_of_the_new_primary_is_killed(two: Two) -> None:
    undisturbed, life = taken_in(two, 0, nothing, after=False)
    for at, after in places(life.asked, "COMMIT", "INSERT INTO kembar.quarantine"):
        state, broken = taken_in(two, at, lambda: killed(two.new), after=after)
        assert state == undisturbed, (at, after, broken.asked[-1])


def test_what_was_kept_once_is_not_merged_because_its_conflict_has_gone(two: Two) -> None:
    """Recorded, and killed before its number was used: a person has been told, and may decide on it already."""
    two.alike(*TABLES)
    made = two.diverged("UPDATE acct SET bal = 207 WHERE id = 2")
    two.new.do("UPDATE acct SET bal = 150 WHERE id = 2")
    into = Into(made)
    probe = Breaking(lambda: rejoin_session(two.new))
    with suppress(DatabaseUnavailable):
        into.live(until(probe, "INSERT INTO kembar.quarantine"))
    assert made.reasons() == ["update_differs"]
    two.new.do("UPDATE acct SET bal = 200 WHERE id = 2")
    merger = into.live(lambda: rejoin_session(two.new))
    assert dict(merger.facts.verdicts) == {"quarantined": 1}
    assert two.rows("acct")[1] == ("2", "200", "")


# --- at random


def effects(files: list[Path], wanted: GtidSet) -> dict[str, list[tuple[Any, ...]]]:
    """For each of these numbers, each time that it stands in a binary log: the rows that it changed."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    for path in files:
        with mapped(path) as data:
            for one in transactions(data, head(data).end):
                if GtidSet.parse(str(one.gtid)) <= wanted:
                    with contents(data, one) as events:
                        rows = tuple(
                            (str(change.table), change.operation, _raw(change.before), _raw(change.after))
                            for change in row_changes(events, one)
                        )
                    found.setdefault(str(one.gtid), []).append(rows)
    return found


def _raw(image: Any) -> Any:
    return None if image is None else tuple(image.raw)


@dataclass
class Troubles:
    """Breaks merges off at random; the same seed breaks the same."""

    two: Two
    rng: Random
    left: int
    kinds: Counter[str] = field(default_factory=Counter)

    def life(self) -> Callable[[], Any]:
        if not self.left:
            return lambda: rejoin_session(self.two.new)
        self.left -= 1
        kind = self.rng.choices(["agent", "session", "mysqld"], [12, 6, 2 if RUNS else 1])[0]
        self.kinds[kind] += 1
        lose = {"agent": nothing, "session": self._no_sessions, "mysqld": lambda: killed(self.two.new)}[kind]
        at, after = self.rng.randint(1, 60), self.rng.random() < 0.5
        return Breaking(lambda: rejoin_session(self.two.new), at, lose, after=after)

    def _no_sessions(self) -> None:
        """The server ends them itself, in the middle of whatever they do."""
        user = "SELECT processlist_id FROM performance_schema.threads WHERE processlist_user = 'kembar_rejoin'"
        for (number,) in self.two.new.ask(user):
            try:
                self.two.new.do(f"KILL {number}")
            except pymysql.err.OperationalError as error:
                if error.args[0] != NO_SUCH_THREAD:  # it may have ended by itself meanwhile
                    raise


def client_writes(two: Two, rng: Random) -> None:
    """Of an application that is served meanwhile, on other rows and on the same."""
    for _ in range(rng.randint(0, 2)):
        row = rng.choice((5, 8, 20 + rng.randint(0, 5)))
        two.new.do(
            f"INSERT INTO acct VALUES ({row}, {rng.randint(0, 99)}, 'client') ON DUPLICATE KEY UPDATE bal = bal + 10"
        )


def test_a_merge_that_is_interrupted_at_random_has_one_effect_for_each_number(two: Two) -> None:
    """Over both binary logs: what is merged is what was errant, what is kept is empty, and no number is used twice."""
    rng = Random(SEED)
    troubles = Troubles(two, rng, RUNS or 24)
    while troubles.left:
        into = Into.begun(two)
        began = two.new.executed()
        merger = None
        while merger is None:
            try:
                merger = into.live(troubles.life())
            except (DatabaseUnavailable, StepFailed) as error:
                assert "locked" not in str(error)
                alive(two)
                client_writes(two, rng)
        check_effects(into, began, merger)
    print(f"interrupted: {dict(troubles.kinds)}, seed {SEED}")


def check_effects(into: Into, began: GtidSet, merger: Merger) -> None:
    new, made = into.made.two.new, into.made
    wanted = GtidSet.parse(made.record.errant)
    assert wanted <= new.executed()
    there = effects(list(Folder.of(made.home / "old", made.record).files()), wanted)
    here = effects(files_after(new.datadir, new.datadir / "binlog.index", began), wanted)
    kept = {row[0] for row in new.ask(f"SELECT gtid FROM kembar.quarantine WHERE reconcile_id = {made.record.id}")}
    assert set(there) == set(here) == set(into.numbers)
    found = Counter[str]()
    for number, times in here.items():
        assert len(times) == 1, f"{number} was used {len(times)} times"
        if number in kept:
            assert times == [()], f"{number} is kept for a person, and was merged"
            found["quarantined"] += 1
        elif times != [()]:
            assert times[0] == there[number][0], f"{number} is another transaction here"
            found["merged"] += 1
    verdicts = merger.facts.verdicts
    assert {name: count for name, count in verdicts.items() if name in ("merged", "quarantined")} == dict(found)
    assert sum(verdicts.values()) == len(into.numbers)
