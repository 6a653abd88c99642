"""Losses that are no reason to move the primary; and the command line against a pair that is well."""

from __future__ import annotations

import pytest

from agents.dialect import TIMEOUT_MAX_MS
from lab import faults, namespaces
from lab.sessions import administrator
from lab.stand import wait_for
from tests.lab.story import Story, nothing_lost

pytestmark = pytest.mark.lab


def test_commits_go_on_without_a_standby_once_async_is_recorded_and_wait_for_it_again_later(story: Story) -> None:
    epoch, standby = story.view()["epoch"], story.node("standby")
    with story.writing() as writing:
        story.strike("standby-loss")
        shown = story.until(lambda shown: shown["mode"] == "ASYNC", "ASYNC is not recorded")
        assert not story.row(standby, shown)["promotable"]
        writing.goes_on()
        namespaces.link_up(story.stand.name, standby.name)
        story.until(lambda shown: shown["mode"] == "SYNC" and shown["state"] == "healthy", "not SYNC again")
        writing.goes_on()
    nothing_lost(writing.verdict)
    types = [event["type"] for event in story.view()["events"]]  # newest first
    assert types.index("mode.sync") < types.index("mode.async")
    assert story.view()["epoch"] == epoch


def test_a_semi_sync_timeout_that_somebody_shortens_is_set_right(story: Story) -> None:
    """Before it has let a commit go: the standby is not promotable until commits wait for ever again."""
    epoch, primary = story.view()["epoch"], story.node("primary")
    password = story.stand.facts().passwords.root
    with administrator(story.stand.files.instance(primary).socket, password) as session, session.cursor() as cursor:

        def timeout_ms() -> int:
            cursor.execute("SELECT @@rpl_semi_sync_source_timeout")
            return int((cursor.fetchone() or (0,))[0])

        with story.writing() as writing:
            cursor.execute("SET GLOBAL rpl_semi_sync_source_timeout = 10000")
            wait_for(lambda: timeout_ms() == TIMEOUT_MAX_MS, 20.0, "the timeout stays")
            story.healthy()
            writing.goes_on()
    nothing_lost(writing.verdict)
    assert story.view()["epoch"] == epoch


def test_a_killed_agent_is_succeeded_by_one_that_takes_over_what_runs(story: Story) -> None:
    epoch, primary = story.view()["epoch"], story.node("primary")
    worker, mysqld = faults.worker(story.stand, primary), faults.mysqld_process(story.stand, primary)
    assert worker
    with story.writing() as writing:
        writing.strike()
        story.strike("agent-kill")
        writing.goes_on()
        story.until(lambda shown: story.row(primary, shown)["gate_open"] and not shown["data"]["stale"], "gate shut")
        story.healthy()
    nothing_lost(writing.verdict)
    assert not worker.lives()
    assert faults.mysqld_process(story.stand, primary) == mysqld
    assert (story.view()["epoch"], story.view()["primary"]) == (epoch, primary.name)
    assert {one.server for one in writing.verdict.history if one.outcome == "ok"} == {writing.verdict.history[0].server}


def test_another_orchestrator_leads_when_the_leader_is_killed_and_nothing_moves(story: Story) -> None:
    before = story.view()
    leader = before["orchestrator"]["leader"]
    with story.writing() as writing:
        writing.strike()
        story.strike("orchestrator-kill")
        shown = story.until(
            lambda shown: shown["orchestrator"]["leader"] not in (None, leader), "nobody leads in its place"
        )
        writing.goes_on()
    nothing_lost(writing.verdict)
    assert not writing.felt
    assert (shown["epoch"], shown["primary"]) == (before["epoch"], before["primary"])


def test_a_killed_zookeeper_follower_is_not_felt(story: Story) -> None:
    before = story.view()
    with story.writing() as writing:
        writing.strike()
        node = story.strike("zookeeper-kill")
        wait_for(lambda: story.stand.zookeeper_modes()[str(node.address)] == "-", 20.0, "it goes on answering")
        writing.goes_on()
        story.stays(lambda shown: (shown["epoch"], shown["primary"]) == (before["epoch"], before["primary"]), 2.0)
    nothing_lost(writing.verdict)
    assert not writing.felt


def test_status_says_in_json_what_the_orchestrators_see(story: Story) -> None:
    status, shown = story.kembar("status")
    assert status == 0
    assert (shown["state"], shown["writes"], shown["mode"]) == ("healthy", "ok", "SYNC")
    assert {row["role"] for row in shown["nodes"]} == {"primary", "standby"}
    assert shown["vip"]["holder"] == shown["primary"]


def test_history_is_an_object_with_the_incidents(story: Story) -> None:
    status, found = story.kembar("history")
    assert (status, list(found)) == (0, ["incidents"])


def test_a_dry_run_of_a_switchover_names_its_checks_and_changes_nothing(story: Story) -> None:
    before = story.view()
    status, found = story.kembar("switchover", "--dry-run", "--reason", "asking only")
    assert status == 0
    assert found["admitted"] and found["dry_run"] and found["to"] == before["standby"]
    assert all(check["passed"] for check in found["checks"])
    assert (story.view()["primary"], story.view()["epoch"]) == (before["primary"], before["epoch"])


def test_lab_status_names_every_process(story: Story) -> None:
    status, found = story.kembar("lab", "status")
    assert status == 0
    running = [one["what"] for node in found["nodes"] for one in node["processes"] if one["state"] == "runs"]
    assert [running.count(what) for what in ("agent", "agent's worker", "mysqld", "orchestrator", "zookeeper")] == [
        2,
        2,
        2,
        2,
        3,
    ]
    modes = sorted(one["mode"] for node in found["nodes"] for one in node["processes"] if "mode" in one)
    assert modes == ["follower", "follower", "leader"]
