"""The two nodes of a lab are compared while clients write: equal, until something is changed behind replication."""

from __future__ import annotations

import json
import time
import urllib.request
from typing import Any

import pytest

from lab import faults, sessions
from lab.stand import wait_for
from lab.topology import Node
from tests.lab.story import MOVED_S, Story, nothing_lost

pytestmark = pytest.mark.lab

LONG_S = 240.0
ROWS = 400_000  # enough to be in the middle of them


def statements(story: Story, node: Node, *all_of_it: str) -> None:
    """As root on the node's own socket."""
    password = story.stand.facts().passwords.root
    session = sessions.administrator(story.stand.files.instance(node).socket, password, answer_s=LONG_S)
    try:
        with session.cursor() as cursor:
            for statement in all_of_it:
                cursor.execute(statement)
    finally:
        session.close()


def behind_replication(story: Story, *all_of_it: str) -> None:
    """On the standby alone, and in no log."""
    node = story.node("standby")
    unlocked = ("SET GLOBAL super_read_only = OFF", "SET sql_log_bin = OFF")
    try:
        statements(story, node, *unlocked, *all_of_it)
    finally:
        statements(story, node, "SET GLOBAL super_read_only = ON")


def filled(story: Story, rows: int) -> None:
    """A table of so many rows, on both, whatever was in it."""
    counted = f"SELECT 1 AS n UNION ALL SELECT n + 1 FROM counted WHERE n < {rows}"
    statements(
        story,
        story.node("primary"),
        "SET cte_max_recursion_depth = 10000000",
        "DROP TABLE IF EXISTS shop.wide",
        "CREATE TABLE shop.wide (id INT PRIMARY KEY, a DOUBLE, b VARCHAR(90), c DATETIME(6))",
        f"INSERT INTO shop.wide WITH RECURSIVE counted AS ({counted})"
        " SELECT n, n / 7, REPEAT('v', 60), NOW(6) FROM counted",
    )
    story.until(lambda shown: not any(row["missing"] for row in shown["nodes"]), "the rows have not arrived", LONG_S)
    story.healthy()


def operation(story: Story, identity: str) -> dict[str, Any]:
    """As the first orchestrator tells of it that answers."""
    found: dict[str, Any] = {}

    def answered() -> bool:
        url = f"{story.stand.facts().url}/api/v1/clusters/{story.stand.topology.cluster}/operations/{identity}"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                found.update(json.load(answer))
        except OSError:
            return False
        return True

    wait_for(answered, MOVED_S, "no orchestrator tells of the operation")
    return found


def begun(story: Story) -> str:
    """A verification of everything of which some rows are compared; its id."""
    accepted: dict[str, Any] = {}

    def taken() -> bool:
        """Not by an orchestrator that has only just been started."""
        status, found = story.kembar("verify", "--no-wait")
        accepted.update(found if status == 0 else {})
        return bool(accepted)

    wait_for(taken, MOVED_S, "the verification is not admitted")
    identity = str(accepted["id"])
    story.until(
        lambda shown: (
            (running := shown["verification"]["running"]) is not None
            and running["id"] == identity
            and running["rows"] > 0
        ),
        "the verification does not begin",
    )
    return identity


def test_a_pair_under_load_is_equal_and_a_row_changed_behind_replication_is_named(story: Story) -> None:
    filled(story, 20_000)
    with story.writing() as writing:
        status, equal = story.kembar("verify", "--reason", "the story wants to know")
        assert (status, equal["state"], equal["progress"]["outcome"]) == (0, "done", "equal"), equal
        assert equal["progress"]["rows"] > 20_000 and equal["progress"]["skipped"] == []
        writing.goes_on()
        behind_replication(story, "UPDATE shop.wide SET a = a + 1e-9 WHERE id = 777")
        status, found = story.kembar("verify", "--table", "shop.wide")
        assert status == 10, found
        (one,) = found["progress"]["differences"]
        assert (one["what"], one["name"], one["key"]) == ("row", "shop.wide", "id=777")
        assert one["primary"].startswith("a=111") and one["primary"] != one["standby"]
        standby = story.node("standby")
        shown = story.until(lambda shown: shown["state"] == "degraded", "the certificate is not withdrawn")
        assert story.row(standby, shown)["not_promotable_because"] == "differs from the primary"
        assert f"kembar rejoin {standby.name} --path clone" in shown["waiting"]
        assert "shop.wide (id=777)" in shown["verification"]["differing"][0]["text"]
        writing.goes_on()
        behind_replication(story, "UPDATE shop.wide SET a = a - 1e-9 WHERE id = 777")
        behind_replication(story, "UPDATE shop.wide SET a = id / 7 WHERE id = 777")
        statements(story, story.node("primary"), "UPDATE shop.wide SET a = id / 7 WHERE id = 777")
        status, _ = story.kembar("verify", "--table", "shop.wide")
        assert status == 0
        story.healthy()
    nothing_lost(writing.verdict)
    last = story.view()["verification"]["last"]
    assert (last["outcome"], last["actor"] != "", last["share_percent"]) == ("equal", True, 100.0)


def test_it_goes_on_under_another_leader_and_a_failover_ends_it_by_name(story: Story) -> None:
    filled(story, ROWS)
    identity = begun(story)
    story.strike("orchestrator-kill")
    wait_for(lambda: operation(story, identity)["ended"], LONG_S, "the verification does not end")
    assert operation(story, identity)["progress"]["outcome"] == "equal"
    faults.heal(story.stand)
    story.healthy()
    identity = begun(story)
    old, new = story.node("primary"), story.node("standby")
    story.strike("mysqld-crash")
    wait_for(lambda: operation(story, identity)["ended"], MOVED_S, "the verification does not end")
    ended = operation(story, identity)
    assert ended["state"] == "failed" and f"{new.name} became primary in epoch" in ended["answer"], json.dumps(ended)
    story.healthy()
    shown = story.until(
        lambda shown: (last := shown["verification"]["last"]) is not None and last["actor"] == "return",
        "what came back is not compared",
        LONG_S,
    )
    assert (shown["verification"]["last"]["outcome"], story.node("standby")) == ("equal", old)


def test_it_goes_on_where_it_was_when_its_agent_is_killed(story: Story) -> None:
    filled(story, ROWS)
    identity, began = begun(story), time.monotonic()
    story.strike("agent-kill", story.node("standby"))
    wait_for(lambda: operation(story, identity)["ended"], LONG_S, "the verification does not end")
    ended = operation(story, identity)
    assert (ended["state"], ended["progress"]["outcome"]) == ("done", "equal"), ended
    assert ended["progress"]["rows"] >= ROWS and time.monotonic() > began
    story.healthy()
