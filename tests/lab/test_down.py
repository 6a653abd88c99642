"""`kembar lab down` ends whatever state a lab is in, and the host is as it was before."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from lab import processes
from lab.programs import program
from lab.stand import KEMBAR, Stand
from tests.lab.story import Story

pytestmark = pytest.mark.lab


def test_nothing_of_a_broken_lab_stays(story: Story) -> None:
    """Frozen, cut off and half dead: down must not wait for anybody to be well."""
    stand = story.stand
    marks = processes.members(stand.files.root)
    with story.writing():
        pass
    primary, standby = story.node("primary"), story.node("standby")
    story.strike("mysqld-hang", primary)
    story.strike("agent-freeze", primary)
    story.strike("link-loss", standby)
    story.strike("zookeeper-kill", stand.topology.node("witness"))

    done = subprocess.run(
        [*KEMBAR, "lab", "down"],
        env={**os.environ, "KEMBAR_LAB": stand.name},
        capture_output=True,
        text=True,
        timeout=300,
    )

    assert done.returncode == 0, done.stderr
    assert len(marks) >= 9
    assert not processes.members(stand.files.root)
    assert not [process for process in marks if process.lives()]
    assert not stand.files.root.exists()
    assert not list(Path("/run/netns").glob(f"kembar-{stand.name}-*"))
    assert f"kembar-{stand.name}-" not in Path("/proc/mounts").read_text()
    assert "kembar" not in _ruleset()
    assert _links(stand) == []


def test_a_lent_lab_is_made_anew_under_the_name_that_is_held() -> None:
    stand, said = Stand(f"{os.environ.get('KEMBAR_LAB', 'test')}lent"), list[str]()
    with stand.lent("fast", said.append) as first:
        again = stand.renew("fast", said.append)
        assert again.token != first.token
    assert not processes.members(stand.files.root)


def _ruleset() -> str:
    return subprocess.run(
        [program("nft"), "list", "ruleset"], capture_output=True, text=True, check=True, timeout=20
    ).stdout


def _links(stand: Stand) -> list[str]:
    """Ends of the lab's cables that were left on the host."""
    listed = subprocess.run(
        [program("ip"), "-brief", "link"], capture_output=True, text=True, check=True, timeout=20
    ).stdout
    return [name for node in stand.topology.nodes for name in listed.split() if name.startswith(f"p-{node.name}")]
