"""The thread of the comparisons: what it takes up first, what it keeps over a kill, what it knows to differ."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from agents.reconcile.sweeping import Answered, Question
from agents.reconcile.swept import SweptFolder
from agents.reconcile.verifier import Due, Verifier
from orchestrator.core.errors import Unavailable
from orchestrator.core.verifying import Outcome
from tests.contract.comparing import SCHEMA, Compared, compared, verify_session
from tests.contract.mysqlpair import eventually
from tests.contract.test_verify import series

pytestmark = pytest.mark.lab

ASKED = Due("r1", 1, "olga", awaited=True)
RETURN = Due("return-42", 1, "return")
TABLE = "CREATE TABLE t (id INT PRIMARY KEY, v INT)"


@pytest.fixture(scope="module")
def two() -> Iterator[Compared]:
    with compared() as made:
        yield made


class Asking:
    """The way to the primary's agent, which may be cut, or closed by a gate that the test opens."""

    def __init__(self, two: Compared) -> None:
        self._answering = two.answering(two.pair.primary)
        self.cut = False
        self.gate = threading.Event()
        self.gate.set()
        self.asked: list[Question] = []

    def __call__(self, question: Question) -> Answered:
        self.asked.append(question)
        assert self.gate.wait(30)
        if self.cut:
            raise Unavailable("the agent at db-a does not answer")
        return self._answering.answer(question)

    def chunks(self) -> list[list[str] | None]:
        return [one["after"] for one in self.asked if one["what"] == "chunk" and one["table"][1] == "t"]


def verifier(two: Compared, home: Path, asking: Asking) -> Verifier:
    return Verifier(SweptFolder(home), lambda: verify_session(two.pair.standby), asking, lambda: "now")


@contextmanager
def running(one: Verifier) -> Iterator[Verifier]:
    thread = threading.Thread(target=one.run, daemon=True)
    thread.start()
    try:
        yield one
    finally:
        one.stop()
        thread.join(60)
        assert not thread.is_alive()


def ends(one: Verifier, what: Due, outcome: Outcome) -> None:
    eventually(lambda: one.verified.id == what.id, 90)
    assert one.verified.outcome is outcome, one.verified


def test_what_somebody_waits_for_comes_first_and_its_outcome_stands_until_it_is_known(
    two: Compared, tmp_path: Path
) -> None:
    two.anew(TABLE, "INSERT INTO t VALUES (1, 1)")
    asking = Asking(two)
    asking.gate.clear()
    with running(verifier(two, tmp_path, asking)) as one:
        one.give((RETURN,))
        eventually(lambda: one.verifying.id == RETURN.id, 30)
        one.give((ASKED, RETURN))
        asking.gate.set()
        ends(one, ASKED, Outcome.EQUAL)
        eventually(lambda: one.verifying.outcome is Outcome.NONE, 30)
        assert one.verified.id == ASKED.id
        one.give((RETURN,))
        ends(one, RETURN, Outcome.EQUAL)
    with running(verifier(two, tmp_path, asking)) as again:
        said = len(asking.asked)
        again.give((ASKED, RETURN))  # the leader has not written the answer yet
        eventually(lambda: again.verified.id == ASKED.id, 30)
        assert len(asking.asked) == said


def test_what_is_no_longer_wanted_ends_and_a_primary_that_is_silent_is_waited_for(
    two: Compared, tmp_path: Path
) -> None:
    two.anew(TABLE, "INSERT INTO t VALUES (1, 1)")
    asking = Asking(two)
    asking.cut = True
    with running(verifier(two, tmp_path, asking)) as one:
        one.give((ASKED,))
        eventually(lambda: "waiting: the agent at db-a does not answer" in one.verifying.doing, 30)
        one.give(())
        eventually(lambda: one.verifying.outcome is Outcome.NONE, 30)
        one.give((ASKED,))
        asking.cut = False
        ends(one, ASKED, Outcome.EQUAL)


def test_killed_between_two_chunks_it_goes_on_from_the_last_key(two: Compared, tmp_path: Path) -> None:
    rows = 60_000
    two.anew(TABLE, "CREATE TABLE a (id INT PRIMARY KEY)", "INSERT INTO a VALUES (1)", f"INSERT INTO t {series(rows)}")
    two.alone("UPDATE t SET v = 7 WHERE id = 2", f"UPDATE t SET v = 7 WHERE id = {2 * rows - 2}")
    servers = {
        side: (str(server.instance.socket), server.passwords.rejoin)
        for side, server in (("primary", two.pair.primary), ("standby", two.pair.standby))
    }
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.contract.verifier_child"],
        stdin=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        text=True,
    )
    try:
        assert child.stdin is not None
        child.stdin.write(json.dumps({**servers, "folder": str(tmp_path), "id": ASKED.id}))
        child.stdin.close()
        kept = SweptFolder(tmp_path)
        eventually(lambda: (found := kept.progress(ASKED.id)) is not None and found.place.after is not None, 60)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait(10)
    at = kept.progress(ASKED.id)
    assert at is not None and at.told.outcome is Outcome.RUNNING and 0 < at.place.done < rows
    assert [one.key for one in kept.known().differences] == ["id=2"], "known before the end"
    asking = Asking(two)
    with running(verifier(two, tmp_path, asking)) as one:
        assert [each.key for each in one.differing(("", ""))] == ["id=2"]
        one.give((ASKED,))
        ends(one, ASKED, Outcome.DIFFERS)
    assert tuple(asking.chunks()[0] or ()) == at.place.after
    assert [each.key for each in one.verified.differences] == ["id=2", f"id={2 * rows - 2}"]
    extra = one.verified.rows - rows
    assert 0 < extra < 100  # of a, and of ours: no row of t was counted twice, and none left out


def test_what_is_known_to_differ_lasts_until_it_is_found_equal(two: Compared, tmp_path: Path) -> None:
    two.anew(TABLE, "CREATE TABLE other (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1, 1)")
    two.alone("UPDATE t SET v = 2")
    servers = [two.pair.primary.sql("SELECT @@server_uuid"), two.pair.standby.sql("SELECT @@server_uuid")]
    number = iter(range(2, 100))

    def after(*tables: str) -> list[str]:
        """What is known once these have been compared, by another process."""
        due = Due(f"r{next(number)}", 1, "olga", tables, awaited=True)
        with running(verifier(two, tmp_path, Asking(two))) as one:
            one.give((due,))
            eventually(lambda: one.verified.id == due.id, 90)
            return [each.key for each in one.differing(servers)]

    assert after() == ["id=1"]
    assert after("shop.other") == ["id=1"]
    one = verifier(two, tmp_path, Asking(two))
    assert [each.key for each in one.differing(("", ""))] == ["id=1"], "as long as nobody knows who the two are"
    assert one.differing((servers[0], "of-a-copy")) == ()
    two.alone("UPDATE t SET v = 1")
    assert after("shop.t") == []


def test_what_differs_stays_known_while_the_account_may_not_read_it(two: Compared, tmp_path: Path) -> None:
    two.anew(TABLE, "INSERT INTO t VALUES (1, 1)")
    two.alone("UPDATE t SET v = 2")
    rights = f"SELECT, INSERT, UPDATE, DELETE, SHOW VIEW, TRIGGER, EVENT ON {SCHEMA}.*"
    with running(verifier(two, tmp_path, Asking(two))) as one:
        one.give((RETURN,))
        ends(one, RETURN, Outcome.DIFFERS)
        two.do(f"REVOKE {rights} FROM kembar_rejoin@localhost")
        try:
            two.arrived()
            one.give((ASKED,))
            ends(one, ASKED, Outcome.EQUAL)
        finally:
            two.do(f"GRANT {rights} TO kembar_rejoin@localhost")
        assert [each.key for each in one.differing(("", ""))] == ["id=1"]


def test_a_file_that_cannot_be_read_is_taken_for_a_difference_until_all_is_compared(
    two: Compared, tmp_path: Path
) -> None:
    """What was in it must not be forgotten, nor may it end the agent."""
    two.anew(TABLE)
    (tmp_path / "differing.json").write_text("{")
    (tmp_path / "of-r1.json").write_bytes(b"\xff")
    (tmp_path / "last.json").write_text("[]")
    with running(verifier(two, tmp_path, Asking(two))) as one:
        (known,) = one.differing(("", ""))
        assert "differing.json cannot be read" in known.standby and "kembar verify" in known.standby
        one.give((replace(ASKED, tables=("shop.t",)),))
        ends(one, ASKED, Outcome.EQUAL)
        assert len(one.differing(("", ""))) == 1
        one.give((replace(ASKED, id="r2"),))
        ends(one, replace(ASKED, id="r2"), Outcome.EQUAL)
        assert one.differing(("", "")) == ()


def test_a_folder_that_takes_no_writes_stops_nothing_but_the_comparison(two: Compared, tmp_path: Path) -> None:
    two.anew(TABLE)
    (tmp_path / "verify").write_text("a file where the folder should be")
    with running(verifier(two, tmp_path / "verify", Asking(two))) as one:
        one.give((ASKED,))
        eventually(lambda: "waiting: " in one.verifying.doing and "verify" in one.verifying.doing, 30)
        (tmp_path / "verify").unlink()
        ends(one, ASKED, Outcome.EQUAL)
