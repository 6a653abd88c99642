"""Garbage in every node of ZooKeeper, and a host that forgets: named, nobody promoted, nothing lost, whole again."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lab import faults, processes
from lab.stand import wait_for
from lab.topology import Node
from orchestrator.coordination.paths import Paths
from orchestrator.core.errors import StepFailed
from tests.garbage import KINDS
from tests.lab.scribble import scribbled
from tests.lab.story import BACK_S, OUTAGE_S, Story, nothing_lost

pytestmark = pytest.mark.lab

SEEN_S = 60.0


def test_garbage_in_any_record_is_named_and_moves_nothing(story: Story) -> None:
    before, paths = story.view(), Paths(story.stand.topology.cluster)
    primary, standby = before["primary"], before["standby"]
    by_a_person = [paths.desired, paths.policy, paths.pause, paths.recent]
    by_themselves = [path(node) for path in (paths.lease, paths.sync, paths.report) for node in (primary, standby)]
    garbage = iter([*KINDS.values()] * 3)
    with story.writing() as writing:
        writing.strike()
        for path in by_a_person:
            kept = scribbled(story.stand, path, next(garbage))
            wait_for(lambda path=path: is_named(story.kembar("status")[1], path), SEEN_S, f"{path} is not named")
            writing.goes_on()
            scribbled(story.stand, path, kept)
            story.healthy()
        for path in [*by_themselves, paths.leader]:
            written = next(garbage)
            scribbled(story.stand, path, written)
            wait_for(
                lambda path=path, written=written: scribbled(story.stand, path) != written,
                SEEN_S,
                f"{path} stays as it is",
            )
            story.until(lambda shown: not shown["unreadable"], "it stays unreadable")
            writing.goes_on()
            story.healthy()
    nothing_lost(writing.verdict)
    assert writing.outage_s < OUTAGE_S
    after = story.view()
    assert (after["primary"], after["epoch"]) == (primary, before["epoch"])
    assert {one["epoch"] for one in after["incidents"]} == {one["epoch"] for one in before["incidents"]}


def is_named(shown: dict[str, Any] | str, path: str) -> bool:
    """Whether status says what cannot be read and what to do; a loaded machine may be blind or mute for a moment."""
    if isinstance(shown, str):
        return False
    named = [one["path"] for one in shown["unreadable"]] == [path] and shown["finding"]["name"] == "record_unreadable"
    told = path in shown["next"]["text"] and bool(shown["unreadable"][0]["next"]) if named else False
    return told and shown["risk"]["automatic"] is False and shown["writes"] == "ok"


@contextmanager
def read_only(directory: Path) -> Iterator[None]:
    """Root is not kept out by permissions, hence a mount."""
    subprocess.run(["mount", "--bind", str(directory), str(directory)], check=True, timeout=10)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(directory)], check=True, timeout=10)
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True, timeout=10)  # its agent may just read there


def test_a_standby_that_can_remember_nothing_is_not_promoted_and_says_why(story: Story) -> None:
    primary, standby = story.node("primary"), story.node("standby")
    epoch = story.view()["epoch"]
    with story.writing() as writing:
        with read_only(state_of(story, standby)):
            shown = story.until(lambda shown: story.row(standby, shown)["promotable"] is False, "still promotable")
            row = story.row(standby, shown)
            assert row["not_promotable_because"] == "state directory"
            assert any(text.startswith("MEMORY_READ_ONLY") for text in row["troubles"])
            story.strike("mysqld-crash", primary)
            writing.goes_on()  # its own mysqld is started again, in place
            assert (story.view()["primary"], story.view()["epoch"]) == (primary.name, epoch)
        story.healthy()
    nothing_lost(writing.verdict)


@pytest.mark.parametrize("role", ["standby", "primary"])
def test_an_agent_that_has_forgotten_everything_is_certified_anew(story: Story, role: str) -> None:
    if role == "primary":
        story.move_to(story.node("standby"))  # so that the record names its incarnation of before as the heir
    node, seq = story.node(role), story.view()["seq"]
    with story.writing() as writing:
        worker = faults.worker(story.stand, node)
        assert worker
        processes.send(worker, signal.SIGSTOP)  # else it would write all of it again
        shutil.rmtree(state_of(story, node))
        processes.send(worker, signal.SIGKILL)
        story.until(lambda shown: shown["seq"] > seq and shown["state"] == "healthy", "not certified anew", BACK_S)
        writing.goes_on()
        story.healthy()
        story.until(lambda shown: retold(shown, seq), "its certificate is not told to be taken away and given")
    nothing_lost(writing.verdict)
    assert (state_of(story, node) / "relay.json").exists()


def retold(shown: dict[str, Any], seq: int) -> bool:
    """Whether events since then tell of a certificate that was taken away, and of the next."""
    since = {event["rule"] for event in shown["events"] if event["seq"] > seq}
    return "U2" in since and bool(since & {"U3", "F1"})


def test_an_agent_writes_again_what_is_deleted_while_it_runs(story: Story) -> None:
    standby, epoch = story.node("standby"), story.view()["epoch"]
    state = state_of(story, standby)
    kept = (state / "epoch.json").read_text()
    # Away in one step: while it is emptied file by file its agent may write one more.
    shutil.rmtree(state.rename(state.with_name("deleted")))
    wait_for(lambda: (state / "epoch.json").exists() and (state / "lock").exists(), SEEN_S, "it is not written again")
    assert (state / "epoch.json").read_text() == kept
    story.stays(lambda shown: shown["epoch"] == epoch and story.row(standby, shown)["promotable"] is True, 1.0)


def state_of(story: Story, node: Node) -> Path:
    found = next(story.stand.files.node(node).rglob("epoch.json"), None)
    if found is None:
        raise StepFailed(f"{node.name} has no state directory")
    return found.parent
