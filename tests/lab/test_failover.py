"""The primary is lost, is moved, or is not to be replaced: each time the client's values decide."""

from __future__ import annotations

import signal

import pytest

from lab import faults, namespaces, processes
from tests.lab.story import OUTAGE_S, PHASES, Story, nothing_lost

pytestmark = pytest.mark.lab


def test_a_killed_mysqld_is_replaced_and_nothing_acknowledged_is_lost(story: Story) -> None:
    before = story.view()
    old, new = story.node("primary"), story.node("standby")
    with story.writing() as writing:
        writing.strike()
        story.strike("mysqld-crash")
        after = story.until(lambda shown: shown["primary"] == new.name and shown["writes"] == "ok", "no failover")
        writing.goes_on()
        story.healthy()
        writing.goes_on()
    nothing_lost(writing.verdict)
    assert writing.outage_s < OUTAGE_S
    assert after["epoch"] == before["epoch"] + 1
    assert story.row(old)["role"] == "standby"


def test_an_incident_tells_who_why_where_and_how_long(story: Story) -> None:
    """What a person reads the next morning; written after the fact, so it is waited for."""
    old, new = story.node("primary"), story.node("standby")
    epoch = story.view()["epoch"]
    story.strike("mysqld-crash")
    shown = story.until(
        lambda shown: (
            (last := shown["last_incident"]) is not None and last["epoch"] == epoch + 1 and bool(last["steps"])
        ),
        "the failover has no timeline",
    )
    told = shown["last_incident"]
    assert (told["kind"], told["trigger"], told["outcome"]) == ("failover", "auto", "ok")
    assert (told["origin"], told["target"], told["rule"]) == (old.name, new.name, "F5")
    assert told["reason"] and told["actor"] and told["total_ms"] > 0
    assert {step["phase"] for step in told["steps"]} == PHASES
    status, found = story.kembar("history", str(told["id"]))
    assert status == 0
    assert [event["type"] for event in found["events"]][:1] == ["kembar.failover.started"]
    assert all(event["data"]["epoch"] == epoch + 1 for event in found["events"])


def test_a_planned_move_goes_there_and_back_without_loss(story: Story) -> None:
    first, second = story.node("primary"), story.node("standby")
    with story.writing() as writing:
        for target in (second, first):
            story.move_to(target)
            writing.goes_on()
    nothing_lost(writing.verdict)
    last = story.view()["last_incident"]
    assert (last["kind"], last["trigger"], last["target"]) == ("switchover", "manual", first.name)
    assert last["reason"] == "the story needs it there"


def test_a_primary_without_a_cable_is_replaced_and_never_answers_again(story: Story) -> None:
    """Its gate has shut by itself; after the cable is back it must not be heard as the owner of the address."""
    old, new = story.stand.topology.pair
    story.move_to(old)  # the other one has an orchestrator of its own, which must see this
    with story.writing() as writing:
        story.strike("link-loss", old)
        story.until(lambda shown: shown["primary"] == new.name and shown["writes"] == "ok", "no failover")
        writing.goes_on()
        healed_at = float(writing.metering.answers()[-1].split()[0])
        namespaces.link_up(story.stand.name, old.name)
        story.healthy()
        writing.goes_on()
        answers = [line.split() for line in writing.metering.answers()]
    nothing_lost(writing.verdict)
    owners = {mac for at, *macs in answers if float(at) > healed_at for mac in macs}
    assert owners == {story.mac(new)}
    assert not story.row(old)["has_address"]


def test_a_standby_whose_mysqld_restarted_is_not_promoted_before_it_is_certified_again(story: Story) -> None:
    """Relay log recovery may have thrown away what a client was told is safe: the primary comes back in place."""
    primary, standby = story.node("primary"), story.node("standby")
    before = story.view()
    with story.writing() as writing:
        story.strike("mysqld-crash", standby)
        story.strike("mysqld-crash", primary)
        story.until(
            lambda shown: shown["writes"] == "ok" and shown["phase"] in ("STEADY", "REJOINING"), "nobody serves"
        )
        writing.goes_on()
        shown = story.healthy()
    nothing_lost(writing.verdict)
    assert shown["primary"] == primary.name
    assert not [
        event for event in shown["events"] if event["type"] == "failover.completed" and event["seq"] > before["seq"]
    ]


def test_a_refused_standby_says_so_and_is_not_promoted(story: Story) -> None:
    primary, standby = story.node("primary"), story.node("standby")
    epoch = story.view()["epoch"]
    option_file = story.stand.files.node(standby) / "my.cnf"
    durable = option_file.read_text()
    assert "sync_binlog = 1\n" in durable
    option_file.write_text(durable.replace("sync_binlog = 1\n", "sync_binlog = 0\n"))
    try:
        story.strike("mysqld-crash", standby)
        shown = story.until(
            lambda shown: bool(story.row(standby, shown)["refusals"]) and not story.row(standby, shown)["promotable"],
            "it is not refused",
        )
        assert "sync_binlog" in story.row(standby, shown)["refusals"][0]
        with story.writing() as writing:
            story.strike("mysqld-crash", primary)
            writing.goes_on()
        nothing_lost(writing.verdict)
        assert (story.view()["primary"], story.view()["epoch"]) == (primary.name, epoch)
    finally:
        option_file.write_text(durable)
        if mysqld := faults.mysqld_process(story.stand, standby):
            processes.send(mysqld, signal.SIGKILL)
    story.healthy()


def test_a_pause_stops_an_automatic_failover_and_its_end_lets_it_happen(story: Story) -> None:
    old, new = story.stand.topology.pair
    story.move_to(old)
    epoch = story.view()["epoch"]
    assert story.kembar("pause", "--reason", "the story pauses")[0] == 0
    story.until(lambda shown: shown["auto_failover"] == "paused", "the pause is not shown")
    story.strike("link-loss", old)
    story.until(lambda shown: "primary" in shown["finding"]["name"], "nobody misses the primary")
    story.stays(lambda shown: (shown["primary"], shown["epoch"]) == (old.name, epoch), 4.0)
    assert story.kembar("resume")[0] == 0
    story.until(lambda shown: shown["primary"] == new.name and shown["writes"] == "ok", "no failover after the pause")
