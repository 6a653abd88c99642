"""The page during an incident: it follows a failover, outlives its orchestrator, and never calls old news good."""

from __future__ import annotations

import signal
import urllib.request
from collections.abc import Callable

import pytest

from lab import processes
from lab.stand import wait_for
from lab.topology import Node
from tests.lab.story import PHASES, Story
from tests.web.window import SHOWN_S, Window

pytestmark = pytest.mark.lab


def test_a_failover_is_watched_live(story: Story, window: Callable[..., Window]) -> None:
    old, new = story.node("primary"), story.node("standby")
    page = window().open()
    page.shows("HEALTHY", f"writes OK on {old.name}")
    page.record()
    story.strike("mysqld-crash", old)
    page.shows(f"writes OK on {new.name}")
    page.shows("HEALTHY", f"{old.name} is ready to take over")
    told = page.recorded()
    assert told[0] != told[-1] and f"writes OK on {old.name}" in told[0], told  # else it was loaded anew
    page.until(lambda: "failover.completed" in page.text("events"), "the failover is not among the events")
    page.until(lambda: all(phase in page.text("operation") for phase in PHASES), "its phases are not shown")
    last = story.view()["last_incident"]
    assert (last["kind"], last["origin"], last["target"]) == ("failover", old.name, new.name)
    page.picture("failover")


def test_who_looks_at_the_leader_is_led_to_another_when_it_is_killed(
    story: Story, window: Callable[..., Window]
) -> None:
    leader = str(story.view()["orchestrator"]["leader"])
    others = [node for node in story.stand.topology.members("orchestrator") if node.name != leader]
    for node in others:
        ended(story, node)
    page = window().open()  # nobody else serves it
    page.shows("HEALTHY")
    page.record()
    for node in others:
        story.stand.start_orchestrator(node)
    wait_for(lambda: answerer(story) not in ("", leader), SHOWN_S, "no other orchestrator serves")
    ended(story, story.stand.topology.node(leader))
    story.until(lambda shown: shown["orchestrator"]["leader"] not in ("", leader), "nobody else leads")
    page.until(lambda: alive(page), "the page does not go on")
    page.shows("HEALTHY")
    assert page.recorded(), "the page was loaded anew"
    old, new = story.node("primary"), story.node("standby")
    story.strike("mysqld-crash", old)
    page.shows(f"writes OK on {new.name}")


def test_old_news_are_never_green(story: Story, window: Callable[..., Window]) -> None:
    page = window().open()
    page.shows("HEALTHY")
    green = page.colour("#verdict")
    root, members = story.stand.files.root, story.stand.topology.members("orchestrator")
    for node in members:
        processes.freeze(root, f"orchestrator-{node.name}")
    try:
        page.shows("UNKNOWN")
        assert "HEALTHY" not in page.text("verdict") and page.driver.title.startswith("[?]")
        assert page.colour("#verdict") != green
        assert page.violations() == []
        page.picture("stale")
    finally:
        for node in members:
            processes.thaw(root, f"orchestrator-{node.name}")
    page.shows("HEALTHY")
    page.until(lambda: page.colour("#verdict") == green, "it stays as if nobody answered")


def alive(page: Window) -> bool:
    """It shows an answer of the last second or two."""
    return "UNKNOWN" not in page.text("verdict") and "STALE" not in page.text("freshness")


def answerer(story: Story) -> str:
    """One of those who serve the page now; empty while nobody does."""
    try:
        with urllib.request.urlopen(f"{story.stand.facts().url}/healthz", timeout=2) as answer:
            return str(answer.headers["X-Kembar-Instance"])
    except OSError:
        return ""


def ended(story: Story, node: Node) -> None:
    """kill -9 of its orchestrator; over when it is gone."""
    root, name = story.stand.files.root, f"orchestrator-{node.name}"
    assert processes.kill(root, name, signal.SIGKILL)
    wait_for(lambda: not processes.alive(root, name), SHOWN_S, f"{name} does not end")
