"""What only the returning server has, taken into the new primary: merged exactly once, or kept with both versions."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import pytest

from agents.binlog.contents import transactions
from agents.binlog.images import row_changes
from agents.binlog.logs import contents, mapped
from agents.binlog.parse import head
from agents.binlog.rewind import binlog_statement, description
from agents.dialect import ROLE_MARK
from agents.reconcile.cloning import Cloner
from agents.reconcile.evidence import Folder
from agents.reconcile.judging import footprint
from agents.reconcile.replay import Replay
from agents.reconcile.reset import silence
from agents.reconcile.returner import Place, Returner
from agents.reconcile.swap import Swap
from agents.reconcile.tables import Tables
from agents.reconcile.tombstones import bury
from agents.session import Access, Row, Session
from orchestrator.core.errors import DatabaseUnavailable, StepFailed
from orchestrator.core.gtid import GtidSet
from orchestrator.core.reconcile import Merge, Reconcile
from orchestrator.core.returning import Returning, Rung, Stage
from tests.contract.mysqlpair import eventually
from tests.contract.returning import Divergence, Two, rejoin_session, two_servers

pytestmark = pytest.mark.lab

ACCOUNTS = "acct (id INT PRIMARY KEY, bal INT, note VARCHAR(20))"
FILLED = "INSERT INTO acct VALUES (1, 100, NULL), (2, 200, ''), (3, 300, 'x')"


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    with two_servers(tmp_path_factory.mktemp("return")) as made:
        yield made


@pytest.fixture
def accounts(two: Two) -> Two:
    two.alike(f"CREATE TABLE {ACCOUNTS}", FILLED)
    return two


def test_a_statement_that_may_still_start_replication_is_ended_before_rows_are_changed_back(two: Two) -> None:
    """Whoever sent it has given up, and the server has not begun with it."""
    instance, passwords = two.old.server.instance, two.old.server.passwords
    with (
        closing(Session(Access(instance.socket, "kembar_agent", passwords.agent), ROLE_MARK, once=True)) as role,
        closing(Session(Access(instance.socket, "kembar_agent", passwords.agent), "status", once=True)) as other,
        closing(rejoin_session(two.old)) as repair,
        ThreadPoolExecutor() as pool,
    ):
        other.ask("SELECT 1", within_s=5.0)
        late = pool.submit(role.ask, "SELECT SLEEP(60)", within_s=90.0)
        sleeping = "SELECT 1 FROM information_schema.processlist WHERE info = 'SELECT SLEEP(60)'"
        eventually(lambda: bool(two.old.ask(sleeping)), 10.0)
        silence(repair)
        with pytest.raises(DatabaseUnavailable):
            late.result()
        other.ask("SELECT 1", within_s=5.0)
        silence(repair)  # there is nobody any more


def used(two: Two, record_errant: str) -> bool:
    return GtidSet.parse(record_errant) <= two.new.executed()


def test_what_does_not_conflict_is_merged_under_its_own_number_once(accounts: Two) -> None:
    two = accounts
    made = two.diverged(
        "INSERT INTO acct VALUES (10, 1, 'new')",
        "UPDATE acct SET bal = bal + 7 WHERE id = 1",
        "DELETE FROM acct WHERE id = 3",
    )
    two.new.do("INSERT INTO acct VALUES (11, 1, 'theirs')")
    assert made.merge() == {"merged": 3}
    merged = two.rows("acct")
    assert merged == [("1", "107", None), ("10", "1", "new"), ("11", "1", "theirs"), ("2", "200", "")]
    assert used(two, made.record.errant)
    at = two.new.executed()
    made.restart()
    assert made.merge() == {"merged": 3}
    assert (two.rows("acct"), two.new.executed()) == (merged, at)


KEPT = {
    "insert_exists": ("INSERT INTO acct VALUES (9, 1, 'a')", "INSERT INTO acct VALUES (9, 2, NULL)"),
    "update_differs": ("UPDATE acct SET bal = 207 WHERE id = 2", "UPDATE acct SET bal = 150 WHERE id = 2"),
    "update_missing": ("UPDATE acct SET bal = 207 WHERE id = 2", "DELETE FROM acct WHERE id = 2"),
    "delete_differs": ("DELETE FROM acct WHERE id = 2", "UPDATE acct SET note = NULL WHERE id = 2"),
}


@pytest.mark.parametrize("why", KEPT)
def test_a_conflict_is_kept_with_both_versions_and_changes_nothing(accounts: Two, why: str) -> None:
    two, (here, there) = accounts, KEPT[why]
    made = two.diverged(here)
    two.new.do(there)
    before = two.rows("acct")
    assert made.merge() == {"quarantined": 1}
    assert two.rows("acct") == before
    assert used(two, made.record.errant)
    ((_, reason, conflicts, _),) = made.entries()
    assert (reason, json.loads(conflicts)) == (why, [why])
    made.restart()
    assert made.merge() == {"quarantined": 1}


def test_the_versions_of_a_kept_row_tell_null_from_the_empty_text(accounts: Two) -> None:
    made = accounts.diverged("UPDATE acct SET note = 'a' WHERE id IN (1, 2)")
    accounts.new.do("UPDATE acct SET bal = bal + 1")
    assert made.merge() == {"quarantined": 1}
    ((_, _, _, present),) = made.entries()
    assert json.loads(present) == [
        {"id": "1", "bal": "101", "note": None},
        {"id": "2", "bal": "201", "note": ""},
    ]


def test_what_a_transaction_had_changed_before_its_conflict_is_not_shown_as_the_primarys(two: Two) -> None:
    two.alike("CREATE TABLE k (id INT PRIMARY KEY, u INT UNIQUE, n INT)", "INSERT INTO k VALUES (1, 1, 0), (2, 2, 0)")
    made = two.diverged("BEGIN", "UPDATE k SET n = 9 WHERE id = 1", "INSERT INTO k VALUES (5, 55, 0)", "COMMIT")
    two.new.do("INSERT INTO k VALUES (6, 55, 0)")
    assert made.merge() == {"quarantined": 1}
    ((_, why, _, present),) = made.entries()
    assert why == "unique_exists"
    assert json.loads(present)[0] == {"id": "1", "u": "1", "n": "0"}
    assert two.rows("k") == [("1", "1", "0"), ("2", "2", "0"), ("6", "55", "0")]


def test_rows_that_are_so_already_are_left_and_the_others_changed(accounts: Two) -> None:
    two = accounts
    made = two.diverged(
        "BEGIN",
        "UPDATE acct SET bal = bal + 1",
        "DELETE FROM acct WHERE id = 3",
        "INSERT INTO acct VALUES (4, 4, 'd')",
        "COMMIT",
        "UPDATE acct SET note = 'n' WHERE id = 2",
        "DELETE FROM acct WHERE id = 4",
    )
    two.new.do("UPDATE acct SET bal = 101 WHERE id = 1", "DELETE FROM acct WHERE id = 3")
    assert made.merge() == {"merged": 3}
    assert two.rows("acct") == two.rows("acct", two.old)


def test_what_is_there_already_is_identical_also_in_the_next_life(accounts: Two) -> None:
    two = accounts
    made = two.diverged(
        "UPDATE acct SET bal = 5 WHERE id = 1",
        "DELETE FROM acct WHERE id = 2",
        "BEGIN",
        "UPDATE acct SET bal = bal",
        "COMMIT",
    )
    two.new.do("UPDATE acct SET bal = 5 WHERE id = 1", "DELETE FROM acct WHERE id = 2")
    assert made.merge() == {"identical": 2}
    made.restart()
    assert made.merge() == {"identical": 2}


def test_half_of_a_row_that_went_to_another_key_is_not_there_already(accounts: Two) -> None:
    made = accounts.diverged("UPDATE acct SET id = 9 WHERE id = 1")
    accounts.new.do("DELETE FROM acct WHERE id = 1")
    assert made.merge() == {"quarantined": 1}
    assert made.reasons() == ["update_differs"]


def test_later_transactions_depend_on_what_is_kept(accounts: Two) -> None:
    two = accounts
    made = two.diverged(
        "BEGIN", "UPDATE acct SET bal = 201 WHERE id = 2", "UPDATE acct SET bal = 301 WHERE id = 3", "COMMIT",
        "UPDATE acct SET bal = 302 WHERE id = 3",
        "UPDATE acct SET bal = 300 WHERE id = 3",
        "UPDATE acct SET bal = 101 WHERE id = 1",
    )  # fmt: skip
    two.new.do("UPDATE acct SET bal = 0 WHERE id = 2")
    assert made.merge() == {"quarantined": 3, "merged": 1}
    assert made.reasons() == ["update_differs", "depends_on_quarantined", "depends_on_quarantined"]
    assert two.rows("acct") == [("1", "101", None), ("2", "0", ""), ("3", "300", "x")]


def test_they_still_depend_after_a_restart_in_between(accounts: Two) -> None:
    two = accounts
    made = two.diverged(
        "BEGIN", "UPDATE acct SET bal = 201 WHERE id = 2", "UPDATE acct SET bal = 301 WHERE id = 3", "COMMIT",
        "UPDATE acct SET bal = 300 WHERE id = 3",
    )  # fmt: skip
    two.new.do("UPDATE acct SET bal = 0 WHERE id = 2")
    answers = iter([True, False])
    made.serves = lambda: next(answers)
    with pytest.raises(StepFailed, match="no longer serves"):
        made.merge()
    assert made.reasons() == ["update_differs"]
    made.serves = lambda: True
    made.restart()
    assert made.merge() == {"quarantined": 2}
    assert made.reasons() == ["update_differs", "depends_on_quarantined"]


FAMILY = (
    "CREATE TABLE parent (id INT PRIMARY KEY, code INT UNIQUE)",
    "CREATE TABLE child (id INT PRIMARY KEY, code INT, FOREIGN KEY (code) REFERENCES parent (code)"
    " ON DELETE CASCADE ON UPDATE CASCADE)",
    "INSERT INTO parent VALUES (1, 10), (2, 20), (3, 30)",
    "INSERT INTO child VALUES (1, 10)",
)


def test_a_parent_that_is_gone(two: Two) -> None:
    two.alike(*FAMILY)
    made = two.diverged("INSERT INTO child VALUES (5, 20)")
    two.new.do("DELETE FROM parent WHERE id = 2")
    assert made.merge() == {"quarantined": 1}
    assert made.reasons() == ["fk_parent_missing"]


@pytest.mark.parametrize("change", ["DELETE FROM parent WHERE id = 2", "UPDATE parent SET code = 21 WHERE id = 2"])
def test_a_newer_child_does_not_go_with_its_parent(two: Two, change: str) -> None:
    two.alike(*FAMILY)
    made = two.diverged(change)
    two.new.do("INSERT INTO child VALUES (7, 20)")
    assert made.merge() == {"quarantined": 1}
    assert made.reasons() == ["fk_children_exist"]
    assert two.rows("child") == [("1", "10"), ("7", "20")]


def test_children_that_went_before_their_parent_do_not_hold_it_back(two: Two) -> None:
    two.alike(*FAMILY)
    made = two.diverged(
        "BEGIN", "DELETE FROM child WHERE id = 1", "DELETE FROM parent WHERE id = 1", "COMMIT",
        "UPDATE parent SET id = 33 WHERE id = 3",
    )  # fmt: skip
    assert made.merge() == {"merged": 2}
    assert (two.rows("parent"), two.rows("child")) == ([("2", "20"), ("33", "30")], [])


@pytest.mark.parametrize(
    "change", ["ALTER TABLE acct ADD COLUMN more INT", "DROP TABLE acct", "ALTER TABLE acct MODIFY note VARCHAR(30)"]
)
def test_a_table_that_is_another_there(accounts: Two, change: str) -> None:
    made = accounts.diverged("UPDATE acct SET bal = 5 WHERE id = 1")
    accounts.new.do(change)
    assert made.merge() == {"quarantined": 1}
    ((_, why, conflicts, _),) = made.entries()
    assert (why, json.loads(conflicts)) == ("schema_differs", ["schema_differs"])


def test_a_table_that_is_altered_in_the_middle_of_a_merge(two: Two) -> None:
    """The server takes the columns of an event by their places, so that they would be others."""
    two.alike("CREATE TABLE pair (id INT PRIMARY KEY, a INT, b INT)")
    made = two.diverged("INSERT INTO pair VALUES (1, 10, 20)", "INSERT INTO pair VALUES (2, 30, 40)")
    asked = count()

    def serves() -> bool:
        if next(asked) == 1:
            two.new.do("ALTER TABLE pair ADD COLUMN more INT AFTER id")
        return True

    made.serves = serves
    with pytest.raises(StepFailed, match=r"shop\.pair was altered"):
        made.merge()
    assert made.merge() == {"merged": 1, "quarantined": 1}
    assert made.reasons() == ["schema_differs"]
    assert two.rows("pair") == [("1", None, "10", "20")]


def test_statements_and_switched_off_checks_are_for_a_person(accounts: Two) -> None:
    made = accounts.diverged(
        "CREATE TABLE other (id INT PRIMARY KEY)",
        "SET foreign_key_checks = OFF",
        "UPDATE acct SET bal = 5 WHERE id = 1",
        "SET foreign_key_checks = ON",
    )
    assert made.merge() == {"quarantined": 2}
    assert made.reasons() == ["not_by_rows", "checks_were_off"]


def test_rows_without_a_key_are_merged_if_they_are_new_and_kept_else(two: Two) -> None:
    two.alike("CREATE TABLE bare (a INT, b INT)", "INSERT INTO bare VALUES (1, 1)")
    made = two.diverged(
        "INSERT INTO bare VALUES (2, 2), (2, 2)", "DELETE FROM bare WHERE a = 1", "INSERT INTO bare VALUES (3, 3)"
    )
    assert made.merge() == {"merged": 1, "quarantined": 2}
    assert made.reasons() == ["no_primary_key", "depends_on_quarantined"]
    assert two.rows("bare") == [("1", "1"), ("2", "2"), ("2", "2")]


@pytest.mark.parametrize("collation", ["utf8mb4_0900_ai_ci", "utf8mb4_general_ci", "latin1_swedish_ci", "utf8mb4_bin"])
def test_keys_are_the_same_where_the_server_says_so(two: Two, collation: str) -> None:
    charset = collation.split("_")[0]
    two.alike(
        f"CREATE TABLE words (w VARCHAR(20) CHARACTER SET {charset} COLLATE {collation} PRIMARY KEY, n INT)",
        "INSERT INTO words VALUES ('abc', 1), ('other', 2), ('space', 3)",
    )
    made = two.diverged(
        "UPDATE words SET w = 'ABC' WHERE w = 'abc'",
        "BEGIN", "DELETE FROM words WHERE w = 'other'", "INSERT INTO words VALUES ('Other', 3)", "COMMIT",
        "UPDATE words SET w = 'space ' WHERE w = 'space'",
    )  # fmt: skip
    assert made.merge() == {"merged": 3}
    assert two.rows("words") == two.rows("words", two.old)


def test_a_dependency_is_found_through_another_spelling_of_its_key(two: Two) -> None:
    two.alike("CREATE TABLE words (w VARCHAR(20) PRIMARY KEY, n INT)", "INSERT INTO words VALUES ('held', 1)")
    made = two.diverged(
        "BEGIN", "INSERT INTO words VALUES ('abc', 1)", "UPDATE words SET n = 2 WHERE w = 'held'", "COMMIT",
        "DELETE FROM words WHERE w = 'abc'",
        "INSERT INTO words VALUES ('ABC', 3)",
    )  # fmt: skip
    two.new.do("UPDATE words SET n = 9")
    assert made.merge() == {"quarantined": 3}
    assert made.reasons() == ["update_differs", "depends_on_quarantined", "depends_on_quarantined"]


def test_heartbeats_are_discarded_and_decisions_of_before_are_not(accounts: Two) -> None:
    two = accounts
    entry = "INSERT INTO kembar.quarantine VALUES (990000, 'x:1', 'open', '{}')"
    made = two.diverged("REPLACE INTO kembar.heartbeat VALUES ('db-a', 1, NOW(6))", entry, "BEGIN", "COMMIT")
    assert made.merge() == {"discarded": 1, "merged": 1}
    assert two.new.ask("SELECT state FROM kembar.quarantine WHERE reconcile_id = 990000") == [("open",)]
    assert two.new.ask("SELECT COUNT(*) FROM kembar.heartbeat WHERE node = 'db-a'") == [("0",)]


def test_what_nobody_was_told_is_not_merged(accounts: Two) -> None:
    made = accounts.diverged("UPDATE acct SET bal = 5 WHERE id = 1", acknowledged=False)
    before = accounts.rows("acct")
    assert made.merge() == {"discarded": 1}
    assert accounts.rows("acct") == before and used(accounts, made.record.errant)


def test_one_statement_of_many_events(two: Two) -> None:
    two.alike("CREATE TABLE big (id INT PRIMARY KEY, v VARCHAR(500))")
    values = ", ".join(f"({n}, REPEAT('v', 500))" for n in range(300))
    made = two.diverged(
        f"INSERT INTO big VALUES {values}", "UPDATE big SET id = id + 1000", "DELETE FROM big WHERE id % 2"
    )
    assert made.merge() == {"merged": 3}
    assert two.rows("big") == two.rows("big", two.old)


def test_each_of_many_rows_is_locked_and_compared(two: Two) -> None:
    """More of them than one statement asks for, and the one that matters is not among the first."""
    values = ", ".join(f"({n}, 0)" for n in range(130))
    two.alike("CREATE TABLE many (id INT PRIMARY KEY, v INT)", f"INSERT INTO many VALUES {values}")
    made = two.diverged("UPDATE many SET v = 1")
    two.new.do("BEGIN", "SELECT * FROM many WHERE id = 120 FOR UPDATE")
    with pytest.raises(StepFailed, match="rows stayed locked"):
        made.merge()
    two.new.do("UPDATE many SET v = 7 WHERE id = 120", "COMMIT")
    assert made.merge() == {"quarantined": 1}
    assert {row for row in two.rows("many") if row[1] != "0"} == {("120", "7")}


def test_a_row_that_somebody_holds_is_waited_for(accounts: Two) -> None:
    made = accounts.diverged("UPDATE acct SET bal = 5 WHERE id = 1")
    accounts.new.do("BEGIN", "SELECT * FROM acct WHERE id = 1 FOR UPDATE")
    try:
        with pytest.raises(StepFailed, match="rows stayed locked"):
            made.merge()
    finally:
        accounts.new.do("ROLLBACK")
    assert made.merge() == {"merged": 1}


def test_a_number_that_was_used_meanwhile_changes_nothing_again(accounts: Two) -> None:
    """Under it the server skips every statement: a row would look absent, and a conflict would be kept for nothing."""
    two = accounts
    made = two.diverged("UPDATE acct SET bal = 5 WHERE id = 1")
    (path,) = Folder.of(made.home / "old", made.record).files()
    with mapped(path) as data, closing(rejoin_session(two.new)) as session:
        session.ask(binlog_statement(description(data)), within_s=10)
        session.ask("SET SESSION gtid_next = 'AUTOMATIC'", within_s=10)
        (one,) = [
            one
            for one in transactions(data, head(data).end)
            if GtidSet.parse(str(one.gtid)) <= GtidSet.parse(made.record.errant)
        ]
        with contents(data, one) as events:
            tables = Tables(session)
            found = footprint(row_changes(events, one), tables.key_name)
            tables.definition(found.ordered()[0].table)
            bury(session, str(one.gtid))
            with pytest.raises(StepFailed, match="executed meanwhile"):
                Replay(session, tables, one, events, found).run()
    assert two.rows("acct")[0] == ("1", "100", None)


def test_evidence_that_lacks_a_transaction_is_not_the_end_of_a_merge(accounts: Two) -> None:
    made = accounts.diverged("UPDATE acct SET bal = 5 WHERE id = 1")
    lacking = made.record.errant.rpartition(":")[0] + ":900000"
    made.record = replace(made.record, errant=str(GtidSet.parse(f"{made.record.errant},{lacking}")))
    with pytest.raises(StepFailed, match=lacking):
        made.merge()
    assert not made.merger.facts.done


class Mortal:
    """A session of an agent that dies before one of its statements."""

    def __init__(self, session: Session, life: Life) -> None:
        self._session, self._life = session, life

    def ask(self, sql: str, arguments: Sequence[object] = (), *, within_s: float | None) -> tuple[Row, ...]:
        if not self._life.left:
            self.close()
            raise DatabaseUnavailable("the agent was killed")
        self._life.left -= 1
        return self._session.ask(sql, arguments, within_s=within_s)

    def close(self) -> None:
        self._session.close()


@dataclass
class Life:
    left: int  # statements


@dataclass
class Return:
    """The returning node's part, in one life of its agent after the other."""

    two: Two
    made: Divergence
    record: Reconcile
    common: GtidSet
    facts: Returning = field(default_factory=Returning)
    meanwhile: tuple[str, ...] = ()  # done on the new primary before it answers

    def until(self, stage: Stage, first: int) -> int:
        """Reach it; each life has one statement more than the one before. How many lives it took."""
        self.record = replace(self.record, stage=stage)
        for lives, left in enumerate(range(first, 500), 1):
            life = Life(left)
            place = Place(self.two.old.datadir, self.made.home / "returner")
            sessions = lambda life=life: Mortal(rejoin_session(self.two.old), life)  # noqa: E731
            swap = Swap(place.datadir, self.made.home)
            cloner = Cloner(swap, place.evidence, None, sessions, self._asked, lambda record: True)
            returner = Returner(place, sessions, self._asked, cloner)
            try:
                returner.work(self.record, self.common)
            except (DatabaseUnavailable, StepFailed):
                assert not returner.facts.refusal, returner.facts.refusal
                continue
            if returner.facts.reached is stage:
                self.facts = returner.facts
                return lives
        raise AssertionError(f"{stage} is never reached")

    def _asked(self, question: str, what: Mapping[str, Any]) -> Mapping[str, Any]:
        assert question == "touched"
        self.two.new.do(*self.meanwhile)
        answered = self.made.merger.touched(what)
        return {**answered, "executed": ""}  # the two do not replicate here: what is compared is what is there


def test_a_return_goes_on_wherever_its_agent_was_killed(accounts: Two) -> None:
    two = accounts
    before, rows = two.old.executed(), two.rows("acct", two.old)
    made = two.diverged(
        "BEGIN", "UPDATE acct SET bal = bal + 1", "INSERT INTO acct VALUES (4, 4, 'd')", "COMMIT",
        "FLUSH BINARY LOGS",
        "DELETE FROM acct WHERE id = 2",
    )  # fmt: skip
    back = Return(two, made, replace(made.record, stage=Stage.DETECT, sums="", errant=""), before)
    assert back.until(Stage.DETECT, 0) > 1
    assert (back.facts.rung, back.facts.transactions, back.facts.rows) == (Rung.REWIND, 2, 5)
    assert GtidSet.parse(back.facts.errant) == GtidSet.parse(made.record.errant)
    back.record = replace(back.record, errant=back.facts.errant)
    assert back.until(Stage.BUNDLE, 0) > 1
    assert back.facts.sums == made.record.sums  # as the one that was kept at once
    two.old.do("SET GLOBAL read_only = ON, GLOBAL offline_mode = ON")
    try:
        assert back.until(Stage.REWIND, 0) > 10
    finally:
        two.old.do("SET GLOBAL super_read_only = OFF, GLOBAL read_only = OFF, GLOBAL offline_mode = OFF")
    assert two.rows("acct", two.old) == rows
    assert two.old.executed() == before
    assert two.old.ask("SELECT COUNT(*) FROM kembar.reconcile_journal") == [("0",)]
    back.record = replace(back.record, sums=made.record.sums)
    assert back.until(Stage.REWIND, 100) == 1  # once more: nothing is done twice
    assert (two.rows("acct", two.old), two.old.executed()) == (rows, before)


def test_what_somebody_writes_before_the_evidence_is_kept_is_errant_too(accounts: Two) -> None:
    """It is changed back with the rest, so that it would be gone unseen."""
    two = accounts
    before, rows = two.old.executed(), two.rows("acct", two.old)
    made = two.diverged("UPDATE acct SET bal = bal + 1 WHERE id = 1")
    back = Return(two, made, replace(made.record, stage=Stage.DETECT, sums="", errant=""), before)
    back.until(Stage.DETECT, 100)
    back.record = replace(back.record, errant=back.facts.errant)
    two.old.do("DELETE FROM acct WHERE id = 2")
    back.until(Stage.BUNDLE, 100)
    assert (GtidSet.parse(back.facts.errant), back.facts.transactions) == (two.old.executed() - before, 2)
    back.record = replace(back.record, errant=back.facts.errant)
    two.old.do("SET GLOBAL read_only = ON, GLOBAL offline_mode = ON")
    try:
        back.until(Stage.REWIND, 100)
    finally:
        two.old.do("SET GLOBAL super_read_only = OFF, GLOBAL read_only = OFF, GLOBAL offline_mode = OFF")
    assert (two.rows("acct", two.old), two.old.executed()) == (rows, before)


def test_rows_that_were_touched_are_compared_once_the_merge_is_done(accounts: Two) -> None:
    two = accounts
    made = two.diverged("UPDATE acct SET bal = bal + 1 WHERE id = 1", "DELETE FROM acct WHERE id = 2")
    made.merger.work(replace(made.record, merge=Merge.WAITING), GtidSet())
    back = Return(two, made, made.record, GtidSet())
    shutil.copytree(made.home / "old", made.home / "returner")
    back.record = replace(made.record, merge=Merge.RUNNING)
    with pytest.raises(AssertionError, match="never reached"):
        back.until(Stage.VERIFY, 490)
    back.record = replace(made.record, merge=Merge.DONE)
    with pytest.raises(AssertionError, match="never reached"):
        back.until(Stage.VERIFY, 490)  # they differ
    made.merge()
    assert back.until(Stage.VERIFY, 100) == 1


def test_a_row_that_is_written_all_the_while_does_not_keep_the_node_away(accounts: Two) -> None:
    """Its whole image comes with each write, so that here it is as there after the next one."""
    two = accounts
    made = two.diverged("UPDATE acct SET bal = bal + 1 WHERE id = 1", "UPDATE acct SET bal = bal + 1 WHERE id = 2")
    made.merge()
    back = Return(two, made, replace(made.record, merge=Merge.DONE), GtidSet())
    shutil.copytree(made.home / "old", made.home / "returner")
    back.meanwhile = ("UPDATE acct SET bal = bal + 1 WHERE id = 1",)
    two.new.do("UPDATE acct SET bal = bal + 1 WHERE id = 2")
    with pytest.raises(AssertionError, match="never reached"):
        back.until(Stage.VERIFY, 490)  # one that differs and is at rest
    two.new.do("UPDATE acct SET bal = bal - 1 WHERE id = 2")
    assert back.until(Stage.VERIFY, 100) == 1


def test_what_a_log_does_not_allow_is_said_when_it_is_looked_at(accounts: Two) -> None:
    before = accounts.old.executed()
    made = accounts.diverged("CREATE TABLE more (id INT PRIMARY KEY)")
    back = Return(accounts, made, made.record, before)
    back.until(Stage.DETECT, 100)
    assert back.facts.rung is Rung.CLONE
    assert any("(ddl)" in reason for reason in back.facts.reasons)
