"""What a person chose for a kept transaction, on real servers: made as chosen, once, or refused and nothing done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

import pytest

from agents.reconcile.deciding import Quarantine
from agents.session import Row, Session, StatementRefused
from orchestrator.core.errors import DatabaseUnavailable, UnknownOutcome
from orchestrator.core.kept import Choice, Edits, KeptTransaction, Open, Settlement, Settlements
from orchestrator.core.returning import Ended, Outcome
from tests.contract.returning import Divergence, Two, rejoin_session, two_servers
from tests.contract.test_return import ACCOUNTS, FILLED, Life, Mortal

pytestmark = pytest.mark.lab
REQUESTS = count(1)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    with two_servers(tmp_path_factory.mktemp("deciding")) as made:
        yield made


@pytest.fixture
def accounts(two: Two) -> Two:
    two.alike(f"CREATE TABLE {ACCOUNTS}", FILLED)
    return two


@dataclass
class Desk:
    """The new primary's agent, life after life, and what it publishes."""

    made: Divergence
    life: Life | None = None
    opened: Open = field(default_factory=Open)
    quarantine: Quarantine = field(init=False)
    serves: bool = True

    def __post_init__(self) -> None:
        self.made.two.new.do("DELETE FROM kembar.quarantine")
        self.made.merge()
        self.restart()
        self.look()

    def restart(self) -> None:
        evidence = self.made.home / "new"
        self.quarantine = Quarantine(evidence, self._session, lambda: self.serves, self._publish)

    def look(self) -> tuple[KeptTransaction, ...]:
        self.quarantine.work(Settlements())
        return self.opened.transactions

    def choose(self, choice: Choice, place: int = 0, *, edits: Edits | None = None, seen: str = "") -> Settlement:
        one = self.opened.transactions[place]
        name = f"r{next(REQUESTS)}"
        return Settlement(name, choice, one.id, one.gtid, seen or one.seen, "olga", "looked at", edits or {})

    def settle(self, *made: Settlement) -> list[Outcome]:
        self.quarantine.work(Settlements(made))
        return list(self.quarantine.settled)

    def states(self) -> list[str]:
        rows = self.made.two.new.ask("SELECT state FROM kembar.quarantine ORDER BY SUBSTRING_INDEX(gtid, ':', -1) + 0")
        return [row[0] for row in rows]

    def _session(self) -> Session | Mortal:
        session = rejoin_session(self.made.two.new)
        return session if self.life is None else Mortal(session, self.life)

    def _publish(self, what: Open) -> None:
        self.opened = what


def ended(outcomes: list[Outcome]) -> list[Ended]:
    return [one.ended for one in outcomes]


@pytest.fixture
def conflict(accounts: Two) -> Desk:
    """Both changed the account 2."""
    made = accounts.diverged("UPDATE acct SET bal = 207, note = NULL WHERE id = 2")
    accounts.new.do("UPDATE acct SET bal = 150 WHERE id = 2")
    return Desk(made)


def test_what_is_open_is_published_with_both_versions(conflict: Desk) -> None:
    (one,) = conflict.opened.transactions
    (row,) = one.rows
    assert (one.why, one.bar, one.after, one.row_count, conflict.opened.total) == ("update_differs", "", (), 1, 1)
    assert (row.table, row.operation, row.base, row.left, row.present) == (
        "shop.acct",
        "update",
        {"id": "2", "bal": "200", "note": ""},
        {"id": "2", "bal": "207", "note": None},
        {"id": "2", "bal": "150", "note": ""},
    )
    assert one.seen


def test_the_returned_nodes_version_is_applied_as_an_ordinary_transaction(conflict: Desk) -> None:
    two = conflict.made.two
    before = two.new.executed()
    made = conflict.choose(Choice.APPLY)
    (outcome,) = conflict.settle(made)
    assert outcome.ended is Ended.DONE, outcome
    assert two.rows("acct") == [("1", "100", None), ("2", "207", None), ("3", "300", "x")]
    assert len(two.new.executed() - before) >= 1
    assert conflict.states() == ["applied"]
    told = two.new.ask("SELECT summary ->> '$.decision.actor', summary ->> '$.decision.reason' FROM kembar.quarantine")
    assert told == [("olga", "looked at")]
    assert conflict.opened == Open()


def test_other_values_can_be_given(conflict: Desk) -> None:
    made = conflict.choose(Choice.APPLY, edits={"1": {"bal": "180", "note": "50 %s of it"}})
    assert ended(conflict.settle(made)) == [Ended.DONE]
    assert conflict.made.two.rows("acct")[1] == ("2", "180", "50 %s of it")


BAD_EDITS = {
    "a column that is not there": ({"1": {"ball": "1"}}, "ball"),
    "a row that is not there": ({"2": {"bal": "1"}}, "row '2'"),
    "the key": ({"1": {"id": "9"}}, "primary key"),
    "a value that does not fit": ({"1": {"bal": "much"}}, "bal"),
    "a text that is too long": ({"1": {"note": "x" * 21}}, "note"),
}


@pytest.mark.parametrize(("edits", "named"), BAD_EDITS.values(), ids=BAD_EDITS)
def test_values_that_cannot_be_are_refused_by_name(conflict: Desk, edits: Edits, named: str) -> None:
    before = conflict.made.two.rows("acct")
    (outcome,) = conflict.settle(conflict.choose(Choice.APPLY, edits=edits))
    assert outcome.ended is Ended.REFUSED and named in outcome.answer
    assert (conflict.made.two.rows("acct"), conflict.states()) == (before, ["open"])


def test_what_is_discarded_changes_no_row(conflict: Desk) -> None:
    before = conflict.made.two.rows("acct")
    assert ended(conflict.settle(conflict.choose(Choice.DISCARD))) == [Ended.DONE]
    assert (conflict.made.two.rows("acct"), conflict.states()) == (before, ["discarded"])


@pytest.mark.parametrize("choice", Choice)
def test_a_row_that_changed_meanwhile_is_refused_with_its_new_values(conflict: Desk, choice: Choice) -> None:
    two = conflict.made.two
    made = conflict.choose(choice)
    two.new.do("UPDATE acct SET bal = 160 WHERE id = 2")
    before = two.rows("acct")
    (outcome,) = conflict.settle(made)
    assert outcome.ended is Ended.REFUSED and "bal='160'" in outcome.answer
    assert (two.rows("acct"), conflict.states()) == (before, ["open"])
    (one,) = conflict.opened.transactions
    assert one.rows[0].present == {"id": "2", "bal": "160", "note": ""}
    assert ended(conflict.settle(conflict.choose(choice))) == [Ended.DONE]


def test_the_same_choice_twice_is_one(conflict: Desk) -> None:
    two = conflict.made.two
    made = conflict.choose(Choice.APPLY)
    assert ended(conflict.settle(made)) == [Ended.DONE]
    two.new.do("UPDATE acct SET bal = 1 WHERE id = 2")
    conflict.restart()
    before = two.new.executed()
    assert ended(conflict.settle(made)) == [Ended.DONE], "nobody had heard the answer"
    assert (two.rows("acct")[1][1], two.new.executed()) == ("1", before)
    other = Settlement("another", Choice.DISCARD, made.id, made.gtid, made.seen, "adam", "no")
    (outcome,) = conflict.settle(other)
    assert outcome.ended is Ended.REFUSED and "applied by olga" in outcome.answer


def test_a_choice_happens_once_wherever_its_agent_is_killed(conflict: Desk) -> None:
    two = conflict.made.two
    made, lives = conflict.choose(Choice.APPLY), 0
    before = two.new.executed()
    for left in range(200):
        lives += 1
        conflict.life = Life(left)
        conflict.restart()
        try:
            outcomes = conflict.settle(made)
        except DatabaseUnavailable:
            continue
        assert ended(outcomes) == [Ended.DONE]
        break
    assert lives > 10
    assert (two.rows("acct")[1], conflict.states()) == (("2", "207", None), ["applied"])
    at = two.new.executed()
    assert len(at - before) == 1


def test_dependents_are_decided_in_the_order_of_the_log(accounts: Two) -> None:
    made = accounts.diverged(
        "UPDATE acct SET bal = 207 WHERE id = 2",
        "UPDATE acct SET bal = 208 WHERE id = 2",
        "UPDATE acct SET bal = 209, note = 'last' WHERE id = 2",
    )
    accounts.new.do("UPDATE acct SET bal = 150 WHERE id = 2")
    desk = Desk(made)
    first, second, third = desk.opened.transactions
    assert (first.after, second.after, third.after) == ((), (first.gtid,), (second.gtid,))
    (outcome,) = desk.settle(desk.choose(Choice.APPLY, 1))
    assert outcome.ended is Ended.REFUSED and first.gtid in outcome.answer
    assert ended(desk.settle(desk.choose(Choice.DISCARD))) == [Ended.DONE]
    second, third = desk.opened.transactions
    assert second.after == ()
    assert ended(desk.settle(desk.choose(Choice.APPLY))) == [Ended.DONE]
    (third,) = desk.opened.transactions
    assert third.rows[0].present == {"id": "2", "bal": "208", "note": ""}, "shown as the last choice left it"
    assert ended(desk.settle(desk.choose(Choice.APPLY))) == [Ended.DONE]
    assert accounts.rows("acct")[1] == ("2", "209", "last")


def test_all_rows_of_a_transaction_or_none(two: Two) -> None:
    two.alike("CREATE TABLE k (id INT PRIMARY KEY, u INT UNIQUE, n INT)", "INSERT INTO k VALUES (1, 1, 0), (2, 2, 0)")
    made = two.diverged(
        "BEGIN",
        "UPDATE k SET n = 9 WHERE id = 1",
        "DELETE FROM k WHERE id = 2",
        "INSERT INTO k VALUES (5, 55, 0)",
        "COMMIT",
    )
    two.new.do("INSERT INTO k VALUES (6, 55, 0)", "UPDATE k SET n = 1 WHERE id = 1")
    desk = Desk(made)
    before = two.rows("k")
    (outcome,) = desk.settle(desk.choose(Choice.APPLY))
    assert outcome.ended is Ended.REFUSED and "55" in outcome.answer  # another row holds it
    assert (two.rows("k"), desk.states()) == (before, ["open"])
    two.new.do("DELETE FROM k WHERE id = 6")
    assert ended(desk.settle(desk.choose(Choice.APPLY))) == [Ended.DONE]
    assert two.rows("k") == two.rows("k", two.old)


def test_a_row_comes_and_goes_whatever_is_there(accounts: Two) -> None:
    made = accounts.diverged(
        "BEGIN", "UPDATE acct SET bal = 1 WHERE id = 1", "DELETE FROM acct WHERE id = 2",
        "INSERT INTO acct VALUES (9, 9, 'new')", "UPDATE acct SET id = 33 WHERE id = 3", "COMMIT",
    )  # fmt: skip
    accounts.new.do(
        "DELETE FROM acct WHERE id = 1", "UPDATE acct SET bal = 5", "INSERT INTO acct VALUES (9, 0, 'theirs')"
    )
    desk = Desk(made)
    assert desk.opened.transactions[0].row_count == 5
    assert ended(desk.settle(desk.choose(Choice.APPLY))) == [Ended.DONE]
    assert accounts.rows("acct") == accounts.rows("acct", accounts.old)


FAMILY = (
    "CREATE TABLE parent (id INT PRIMARY KEY, code INT UNIQUE, n INT)",
    "CREATE TABLE child (id INT PRIMARY KEY, code INT, FOREIGN KEY (code) REFERENCES parent (code)"
    " ON DELETE CASCADE ON UPDATE CASCADE)",
    "INSERT INTO parent VALUES (1, 10, 0), (2, 20, 0)",
    "INSERT INTO child VALUES (1, 10)",
)


@pytest.mark.parametrize(
    "change", ["DELETE FROM parent WHERE id = 2", "UPDATE parent SET code = 21, n = 1 WHERE id = 2"]
)
def test_children_do_not_go_with_their_parent(two: Two, change: str) -> None:
    two.alike(*FAMILY)
    made = two.diverged(change)
    two.new.do("INSERT INTO child VALUES (7, 20)", "UPDATE parent SET n = 5 WHERE id = 2")
    desk = Desk(made)
    before = two.rows("parent"), two.rows("child")
    (outcome,) = desk.settle(desk.choose(Choice.APPLY))
    assert outcome.ended is Ended.REFUSED and "shop.child" in outcome.answer
    assert (two.rows("parent"), two.rows("child")) == before


def test_a_parent_whose_children_stay_right_is_changed(two: Two) -> None:
    two.alike(*FAMILY)
    made = two.diverged("UPDATE parent SET n = 1 WHERE id = 1")
    two.new.do("UPDATE parent SET n = 5 WHERE id = 1")
    desk = Desk(made)
    assert ended(desk.settle(desk.choose(Choice.APPLY))) == [Ended.DONE]
    assert (two.rows("parent")[0], two.rows("child")) == (("1", "10", "1"), [("1", "10")])


def test_no_trigger_fires_for_the_returned_nodes_rows(accounts: Two) -> None:
    made = accounts.diverged("UPDATE acct SET bal = 207 WHERE id = 2")
    accounts.new.do("UPDATE acct SET bal = 150 WHERE id = 2")
    accounts.new.do("CREATE TRIGGER loud BEFORE UPDATE ON acct FOR EACH ROW SET NEW.note = 'fired'")
    desk = Desk(made)
    assert ended(desk.settle(desk.choose(Choice.APPLY))) == [Ended.DONE]
    assert accounts.rows("acct")[1] == ("2", "207", "")


def test_what_has_no_rows_is_only_discarded(accounts: Two) -> None:
    desk = Desk(accounts.diverged("CREATE TABLE more (id INT PRIMARY KEY)"))
    (one,) = desk.opened.transactions
    assert (one.seen, one.row_count) == ("", 0) and "CREATE TABLE" in one.bar
    (outcome,) = desk.settle(desk.choose(Choice.APPLY))
    assert outcome.ended is Ended.REFUSED and "by hand" in outcome.answer
    assert ended(desk.settle(desk.choose(Choice.DISCARD))) == [Ended.DONE]
    assert desk.states() == ["discarded"]


def test_rows_that_no_key_tells_are_only_discarded(two: Two) -> None:
    two.alike("CREATE TABLE bare (a INT, b INT)", "INSERT INTO bare VALUES (1, 1)")
    desk = Desk(two.diverged("DELETE FROM bare WHERE a = 1"))
    assert "shop.bare" in desk.opened.transactions[0].bar
    assert ended(desk.settle(desk.choose(Choice.APPLY))) == [Ended.REFUSED]
    assert ended(desk.settle(desk.choose(Choice.DISCARD))) == [Ended.DONE]


def test_rows_of_the_servers_own_schemas_are_only_discarded(two: Two) -> None:
    """The account reads those of accounts, to compare them, and may lock none."""
    desk = Desk(two.diverged("UPDATE mysql.user SET max_questions = max_questions + 1 WHERE user = 'kembar_clone'"))
    (one,) = desk.opened.transactions
    assert (one.why, one.seen) == ("always_quarantine", "")
    assert "schema mysql" in one.bar
    assert ended(desk.settle(desk.choose(Choice.APPLY))) == [Ended.REFUSED]
    assert ended(desk.settle(desk.choose(Choice.DISCARD))) == [Ended.DONE]


def test_a_table_that_is_another_one_now_is_told(conflict: Desk) -> None:
    conflict.made.two.new.do("ALTER TABLE acct ADD COLUMN more INT")
    (outcome,) = conflict.settle(conflict.choose(Choice.APPLY))
    assert outcome.ended is Ended.REFUSED and "shop.acct" in outcome.answer
    (one,) = conflict.opened.transactions
    assert "shop.acct" in one.bar
    assert ended(conflict.settle(conflict.choose(Choice.DISCARD))) == [Ended.DONE]


def test_a_table_that_is_altered_before_its_row_is_locked_is_not_changed(two: Two) -> None:
    """The server takes the columns of an event by their places, so that they would be others."""
    two.alike("CREATE TABLE pair (id INT PRIMARY KEY, a INT, b INT)", "INSERT INTO pair VALUES (1, 10, 20)")
    made = two.diverged("UPDATE pair SET a = 11 WHERE id = 1")
    two.new.do("UPDATE pair SET b = 21 WHERE id = 1")
    desk = Desk(made)

    class Altering(Mortal):
        def ask(self, sql: str, arguments: Sequence[object] = (), *, within_s: float | None) -> tuple[Row, ...]:
            if sql == "BEGIN":
                two.new.do("ALTER TABLE pair ADD COLUMN more INT AFTER id")
            return super().ask(sql, arguments, within_s=within_s)

    sessions = lambda: Altering(rejoin_session(two.new), Life(1000))  # noqa: E731
    desk.quarantine = Quarantine(made.home / "new", sessions, lambda: True, desk._publish)
    (outcome,) = desk.settle(desk.choose(Choice.APPLY))
    assert outcome.ended is Ended.REFUSED and "shop.pair was altered" in outcome.answer
    assert two.rows("pair") == [("1", None, "10", "21")]


def test_every_type_and_partition_comes_over_byte_for_byte(two: Two) -> None:
    two.alike(
        "CREATE TABLE wide (id INT PRIMARY KEY, f FLOAT, d DECIMAL(9,3), e ENUM('a','b'), b BIT(5), j JSON,"
        " t TIMESTAMP(3) NULL, v VARCHAR(9) CHARACTER SET latin1, bin VARBINARY(9), s INT AS (id + 1))"
        " PARTITION BY HASH (id) PARTITIONS 3",
        "INSERT INTO wide (id, f, d, e, b, j, t, v, bin) VALUES (1, 1.1, 1.5, 'a', b'101', '{\"a\": 1}',"
        " '2026-01-02 03:04:05.678', 'é', x'00ff'), (2, 0, 0, 'b', b'0', '[]', NULL, '', x'')",
    )
    made = two.diverged(
        "BEGIN",
        "UPDATE wide SET f = 2.2, d = -7.125, e = 'b', b = b'11111', j = '{\"b\": [1, 2.5]}', v = 'ü',"
        " bin = x'0100' WHERE id = 1",
        "UPDATE wide SET id = 5 WHERE id = 2", "COMMIT",
    )  # fmt: skip
    two.new.do("UPDATE wide SET f = 9 WHERE id IN (1, 2)")
    desk = Desk(made)
    made_ = desk.choose(Choice.APPLY)
    (outcome,) = desk.settle(made_)
    assert outcome.ended is Ended.DONE, outcome
    text = "SELECT id, HEX(f + 0E0), d, e, b + 0, j, t, HEX(v), HEX(bin), s FROM shop.wide ORDER BY id"
    assert two.new.ask(text) == two.old.ask(text)


def test_bytes_and_bits_are_edited_as_they_are_shown(two: Two) -> None:
    two.alike(
        "CREATE TABLE raw (id INT PRIMARY KEY, b BIT(5), bin VARBINARY(9))", "INSERT INTO raw VALUES (1, 1, x'00')"
    )
    made = two.diverged("UPDATE raw SET b = 3 WHERE id = 1")
    two.new.do("UPDATE raw SET b = 4 WHERE id = 1")
    desk = Desk(made)
    made_ = desk.choose(Choice.APPLY, edits={"1": {"b": "5", "bin": "0xff00"}})
    assert ended(desk.settle(made_)) == [Ended.DONE]
    assert two.new.ask("SELECT b + 0, HEX(bin) FROM shop.raw") == [("5", "FF00")]


def test_a_node_without_power_changes_nothing(conflict: Desk) -> None:
    before = conflict.made.two.rows("acct")
    conflict.serves = False
    made = conflict.choose(Choice.APPLY)
    (outcome,) = conflict.settle(made)
    assert outcome.ended is Ended.FAILED and "no longer serves" in outcome.answer
    assert (conflict.made.two.rows("acct"), conflict.states()) == (before, ["open"])


def test_power_that_is_lost_before_the_commit_leaves_nothing(conflict: Desk) -> None:
    """The lease ends while rows are being locked: whoever is primary then is asked again."""
    before = conflict.made.two.rows("acct")
    answers = iter([True, False])
    made = conflict.choose(Choice.APPLY)
    quarantine = Quarantine(
        conflict.made.home / "new", conflict._session, lambda: next(answers, False), conflict._publish
    )
    quarantine.work(Settlements((made,)))
    assert ended(list(quarantine.settled)) == [Ended.FAILED]
    assert (conflict.made.two.rows("acct"), conflict.states()) == (before, ["open"])


def test_rows_that_somebody_holds_are_told_and_asked_for_again(conflict: Desk) -> None:
    two = conflict.made.two
    two.new.do("BEGIN", "SELECT * FROM acct WHERE id = 2 FOR UPDATE")
    try:
        (outcome,) = conflict.settle(conflict.choose(Choice.APPLY))
    finally:
        two.new.do("ROLLBACK")
    assert outcome.ended is Ended.FAILED and "locked" in outcome.answer
    assert ended(conflict.settle(conflict.choose(Choice.APPLY))) == [Ended.DONE]


def test_a_commit_of_an_earlier_life_that_still_waits_is_waited_for(conflict: Desk) -> None:
    """Its row is locked, and nobody can say yet that nothing was changed."""
    made, rival = conflict.choose(Choice.APPLY), conflict.made.two.new
    rival.do("BEGIN", "UPDATE acct SET bal = 207, note = NULL WHERE id = 2")
    rival.do(
        "UPDATE kembar.quarantine SET state = 'applied', summary = JSON_SET(summary, '$.decision',"
        f" JSON_OBJECT('request', '{made.request}'))"
    )
    with pytest.raises(UnknownOutcome, match="another session"):
        conflict.settle(made)
    assert conflict.quarantine.settled == ()
    rival.do("COMMIT")
    assert ended(conflict.settle(made)) == [Ended.DONE]


class Killed(Mortal):
    """A session whose commit is answered with an error, and happens all the same."""

    def ask(self, sql: str, arguments: Sequence[object] = (), *, within_s: float | None) -> tuple[Row, ...]:
        found = super().ask(sql, arguments, within_s=within_s)
        if sql == "COMMIT":
            raise StatementRefused("COMMIT: query execution was interrupted", 1317)
        return found


def test_an_error_of_the_commit_is_no_proof_that_nothing_happened(conflict: Desk) -> None:
    made, two = conflict.choose(Choice.APPLY), conflict.made.two
    before = two.new.executed()
    killed = Quarantine(
        conflict.made.home / "new", lambda: Killed(rejoin_session(two.new), Life(1000)), lambda: True, conflict._publish
    )
    with pytest.raises(UnknownOutcome, match="interrupted"):
        killed.work(Settlements((made,)))
    assert ended(conflict.settle(made)) == [Ended.DONE]
    assert (conflict.states(), len(two.new.executed() - before)) == (["applied"], 1)


def test_evidence_that_is_not_here_is_named_and_nothing_is_guessed(conflict: Desk) -> None:
    made = conflict.choose(Choice.APPLY)
    conflict.quarantine = Quarantine(
        conflict.made.home / "elsewhere", conflict._session, lambda: True, conflict._publish
    )
    (outcome,) = conflict.settle(made)
    assert outcome.ended is Ended.FAILED and "return-" in outcome.answer
    assert conflict.states() == ["open"]


def test_the_returned_node_itself_decides_after_the_next_failover(conflict: Desk) -> None:
    """Its own evidence lies under another name than the copy of it."""
    made = conflict.choose(Choice.APPLY)
    conflict.quarantine = Quarantine(conflict.made.home / "old", conflict._session, lambda: True, conflict._publish)
    assert ended(conflict.settle(made)) == [Ended.DONE]
