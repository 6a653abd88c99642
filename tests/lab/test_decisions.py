"""A person decides what a return could not: with the real command, on the primary of the moment, once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab import faults, namespaces
from lab.diverging import asking, await_alone, come_back, cut_replication, force, roles, writing
from lab.stand import wait_for
from lab.topology import Node
from tests.lab.story import MOVED_S, Story

pytestmark = pytest.mark.lab

REASON = ("--reason", "the branch was called", "--yes")
TOLD_BY_THE_OLD = (
    "UPDATE acct SET bal = 207 WHERE id = 2",
    "UPDATE acct SET bal = 208 WHERE id = 2",  # follows the first
    "UPDATE acct SET bal = 301 WHERE id = 3",
    "UPDATE acct SET bal = 401 WHERE id = 4",  # nobody else touches it
    "UPDATE acct SET bal = 501 WHERE id = 5",
    "UPDATE acct SET bal = 601 WHERE id = 6",
)
TOLD_BY_THE_NEW = "UPDATE acct SET bal = bal + 50 WHERE id IN (2, 3, 5, 6)"


@pytest.fixture
def returned(story: Story) -> Iterator[Returned]:
    """The old primary wrote alone, was left behind by force, and is back; what conflicts waits for a person."""
    stand = story.stand
    story.healthy()
    old, new = roles(stand)
    with writing(stand) as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS acct (id INT PRIMARY KEY, bal INT NOT NULL)")
        cursor.execute("REPLACE INTO acct VALUES (1, 100), (2, 200), (3, 300), (4, 400), (5, 500), (6, 600)")
    cut_replication(stand)
    await_alone(stand)
    with writing(stand) as cursor:
        for statement in TOLD_BY_THE_OLD:
            cursor.execute(statement)
    faults.end_database(stand, old)
    namespaces.unblock_all(stand.name)
    force(stand, new)
    with writing(stand) as cursor:
        cursor.execute(TOLD_BY_THE_NEW)
    come_back(stand, old)
    story.healthy()
    yield Returned(story, old, new)
    with writing(stand) as cursor:
        cursor.execute("DROP TABLE acct")


class Returned:
    """The pair after that, and the person at the command line."""

    def __init__(self, story: Story, old: Node, new: Node) -> None:
        self.story, self.old, self.new = story, old, new
        self.id = int(self.returns()[0]["id"])

    def returns(self) -> list[dict[str, Any]]:
        code, found = self.story.kembar("reconcile", "list")
        assert code in (0, 10), found
        shown: list[dict[str, Any]] = found["returns"]
        return shown

    def shown(self) -> dict[str, Any]:
        code, found = self.story.kembar("reconcile", "show", str(self.id), "--rows")
        assert code in (0, 10), found
        return dict(found)

    def kept(self, count: int) -> list[dict[str, Any]]:
        """The open ones, once there are so many: they are shown soon after they were decided."""
        wait_for(lambda: len(self.shown()["kept"]) == count, MOVED_S, lambda: f"not {count}: {self.shown()['kept']}")
        kept: list[dict[str, Any]] = self.shown()["kept"]
        return kept

    def decide(self, verb: str, kept: dict[str, Any], *more: str) -> tuple[int, Any]:
        return self.story.kembar("reconcile", verb, str(self.id), "--gtid", kept["gtid"], *REASON, *more)

    def balances(self, node: Node) -> dict[int, int]:
        with asking(self.story.stand, node) as cursor:
            cursor.execute("SELECT id, bal FROM shop.acct")
            return dict(cursor.fetchall())


def test_a_person_decides_with_the_real_command(returned: Returned, tmp_path: Path) -> None:
    story = returned.story
    first, second, third, *_ = returned.kept(5)
    verdicts = returned.returns()[0]["verdicts"]
    assert (verdicts["merged"], verdicts["quarantined"]) == (1, 5)
    assert [row["present"]["bal"] for row in first["rows"]] == ["250"] and first["rows"][0]["left"]["bal"] == "207"
    _, status = story.kembar("status")
    assert [one["command"] for one in status["returns"]["waits"]] == [f"kembar reconcile show {returned.id}"]

    code, said = story.kembar("reconcile", "apply", str(returned.id), *REASON)
    assert code == 10, said
    code, said = returned.decide("apply", second)
    assert code == 5, said  # the one that it follows comes first
    assert returned.decide("discard", first)[0] == 0

    second, *_ = returned.kept(4)
    assert second["after"] == []
    assert returned.decide("apply", second)[0] == 0

    with writing(story.stand) as cursor:
        cursor.execute("UPDATE acct SET bal = 333 WHERE id = 3")
    code, said = returned.decide("apply", third)
    assert code == 5 and "bal='333'" in said["answer"], said
    wait_for(lambda: returned.kept(3)[0]["rows"][0]["present"]["bal"] == "333", MOVED_S, "the new value is not shown")
    assert returned.decide("apply", returned.kept(3)[0])[0] == 0

    edit = tmp_path / "edit.yaml"
    edit.write_text("bal: 575\n")
    assert returned.decide("apply", returned.kept(2)[0], "--edit", str(edit))[0] == 0

    # The returned node decides the last one, from the evidence that lies on it.
    story.move_to(returned.old)
    (sixth,) = returned.kept(1)
    assert returned.decide("apply", sixth)[0] == 0
    assert returned.kept(0) == []
    assert story.kembar("reconcile", "list")[0] == 0

    wanted = {1: 100, 2: 208, 3: 301, 4: 401, 5: 575, 6: 601}
    assert returned.balances(returned.old) == wanted
    wait_for(lambda: returned.balances(returned.new) == wanted, MOVED_S, "the other node has other rows")

    shown = returned.shown()
    assert [(one["choice"], one["ended"]) for one in shown["settled"]] == [
        ("discard", "done"), ("apply", "done"), ("apply", "refused"), ("apply", "done"), ("edit", "done"),
        ("apply", "done"),
    ]  # fmt: skip
    assert {one["reason"] for one in shown["settled"]} == {REASON[1]}
    assert shown["sums"] and shown["reasons"]
    assert [one["stage"] for one in shown["stages"]] == ["detect", "bundle", "rewind", "rejoin", "verify", "closed"]
    assert all(one["took_s"] > 0 for one in shown["stages"][:-1])
    wait_for(lambda: _told(story) >= TOLD, MOVED_S, lambda: f"the history lacks {TOLD - _told(story)}")


TOLD = {"reconcile.opened", "reconcile.planned", "reconcile.decided", "reconcile.applied", "reconcile.refused",
        "reconcile.closed"}  # fmt: skip


def _told(story: Story) -> set[str]:
    return {str(event["type"]) for event in story.view()["events"]}


def test_a_standby_that_is_no_copy_is_made_anew_when_somebody_asks(story: Story) -> None:
    stand = story.stand
    story.healthy()
    standby = story.node("standby")
    code, said = story.kembar("rejoin", standby.name, "--path", "clone", *REASON)
    assert code == 5, said  # it is certified: nothing is rebuilt
    with writing(stand) as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS odd (id INT PRIMARY KEY)")
        cursor.execute("REPLACE INTO odd VALUES (1)")
    wait_for(lambda: _odd(story, standby) == [1], MOVED_S, "the standby does not follow")
    with asking(stand, standby) as cursor:
        cursor.execute("SET sql_log_bin = OFF")
        cursor.execute("SET GLOBAL super_read_only = OFF")
        cursor.execute("INSERT INTO shop.odd VALUES (2)")
    assert story.kembar("verify", *REASON[:2])[0] == 10
    story.until(lambda shown: not story.row(standby, shown)["promotable"], "it is still certified")
    code, said = story.kembar("rejoin", standby.name, "--path", "clone", *REASON)
    assert code == 0, said
    story.until(lambda shown: shown["returns"]["present"] is not None, "no return is opened")
    story.healthy()
    _, found = story.kembar("reconcile", "list")
    newest = found["returns"][0]
    assert (newest["node"], newest["rung"], newest["open"]) == (standby.name, "clone", False)
    assert "the branch was called" in newest["reasons"][0]
    assert _odd(story, standby) == [1]
    with writing(stand) as cursor:
        cursor.execute("DROP TABLE odd")


def _odd(story: Story, node: Node) -> list[int]:
    with asking(story.stand, node) as cursor:
        cursor.execute("SELECT id FROM shop.odd ORDER BY id")
        return [row[0] for row in cursor.fetchall()]
