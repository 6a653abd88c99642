"""Whoever is told of a failover hears of this one; a receiver that hangs holds up neither it nor another receiver."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab import processes
from lab.stand import Stand, wait_for
from tests.lab.story import MOVED_S, OUTAGE_S, Story, nothing_lost

pytestmark = pytest.mark.lab

PORT = 8099
CHANNELS = """alerts:
  channels:
    - {{name: ops, kind: webhook, url: "http://{host}:{port}/take"}}
    - {{name: stuck, kind: webhook, url: "http://{host}:{port}/hang", timeout_s: 60}}
"""


@pytest.fixture
def received(story: Story) -> Iterator[Received]:
    """Two channels lead to a receiver on the client's host."""
    stand = story.stand
    client = stand.topology.node("client")
    found = Received(stand.files.root / "client" / "received")
    found.file.parent.mkdir(exist_ok=True)
    found.file.touch()
    stand.spawn(
        "receiver",
        client,
        [sys.executable, "-m", "tests.lab.receiving", str(client.address), str(PORT), str(found.file)],
    )
    configure(stand, CHANNELS.format(host=client.address, port=PORT))
    story.healthy()
    yield found
    configure(stand, "")
    processes.kill(stand.files.root, "receiver", signal.SIGTERM)


def configure(stand: Stand, more: str) -> None:
    """Every orchestrator begins anew with that at the end of its file."""
    root = stand.files.root
    for node in stand.topology.members("orchestrator"):
        file, name = stand.files.orchestrator_config(node), f"orchestrator-{node.name}"
        file.write_text(file.read_text().partition("alerts:")[0] + more)
        processes.kill(root, name, signal.SIGKILL)
        wait_for(lambda name=name: not processes.alive(root, name), MOVED_S, f"{name} does not end")
        stand.start_orchestrator(node)


class Received:
    """What the receiver was sent."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def all(self, path: str) -> list[dict[str, Any]]:
        """Bodies, as they came."""
        lines = self.file.read_text().rpartition("\n")[0].splitlines()
        return [one["body"] for one in map(json.loads, lines) if one["path"] == path]


def test_a_failover_is_told_and_waits_for_nobody(story: Story, received: Received) -> None:
    # From here on one receiver holds on to what it was sent and does not answer.
    wait_for(lambda: tried(story, "ops") == 0, MOVED_S, "the other receiver is sent nothing")
    assert tried(story, "stuck") == 7
    wait_for(lambda: len(received.all("/hang")) == 1, MOVED_S, "nothing is sent to the receiver that hangs")
    old, new = story.node("primary"), story.node("standby")
    with story.writing() as writing:
        writing.strike()
        story.strike("mysqld-crash", old)
        story.until(lambda shown: shown["primary"] == new.name and shown["writes"] == "ok", "no failover")
        writing.goes_on()
        wait_for(lambda: told(received), MOVED_S, lambda: f"not told of it: {received.all('/take')}")
    nothing_lost(writing.verdict)
    assert writing.outage_s < OUTAGE_S
    assert len({one["id"] for one in received.all("/hang")}) == 1  # perhaps sent again, and still not answered
    story.healthy()
    (opened,) = told(received)
    last = story.view()["last_incident"]
    assert opened["data"]["incident"] == last["id"] and opened["data"]["severity"] == "critical", opened
    wait_for(lambda: told(received, "closed"), MOVED_S, lambda: f"not told of its end: {received.all('/take')}")
    # What the receiver has taken is taken off its queue a moment later.
    wait_for(lambda: waiting(story)["ops"] == 0, MOVED_S, lambda: f"something waits for ops: {waiting(story)}")
    assert waiting(story)["stuck"] > 1


def tried(story: Story, channel: str) -> int:
    """The exit status of a test message; 5 while a new leader has made no queue yet."""
    return story.kembar("alerts", "test", channel, "--reason", "does it ring?", "--wait", "2")[0]


def waiting(story: Story) -> dict[str, int]:
    """How many messages wait in each channel."""
    _, said = story.kembar("alerts", "list")
    return {one["name"]: len(one["waiting"]) for one in said["channels"]}


def told(received: Received, how: str = "opened") -> list[dict[str, Any]]:
    """Of an incident."""
    data = received.all("/take")
    return [one for one in data if one["data"]["alert"] == "incident" and one["data"]["signal"] == how]
