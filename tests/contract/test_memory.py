"""What was remembered survives a kill at every step, and what cannot be read is never taken for nothing.

The suite that the simulator's memory passes too is in ports/.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agents.memory import FileMemory
from orchestrator.core.errors import Refused, StepFailed

TAIL: dict[str, str | int] = {"epoch": 7, "incarnation": "boot/1/2", "index": "/x.index", "state": "armed", "why": ""}
PROMOTION: dict[str, str | int] = {"epoch": 7, "incarnation": "boot/1/2", "gtid": "uuid:1-5", "peer_uuid": "other"}


@contextmanager
def memory(directory: Path) -> Iterator[FileMemory]:
    made = FileMemory(directory)
    try:
        yield made
    finally:
        made.close()


def test_a_new_host_remembers_nothing(tmp_path: Path) -> None:
    with memory(tmp_path / "new" / "state") as m:
        assert (m.epoch(), m.promotion(), m.opened(), m.new) == ((0, 0), None, None, True)


def test_a_host_that_lost_everything_never_has_an_incarnation_of_before(tmp_path: Path) -> None:
    """Relay logs may have been thrown away under the counter that is lost, and the leader may not have seen it."""
    counters = set()
    for number in range(5):
        with memory(tmp_path / str(number)) as m:
            counters.add(m.relay_counter())
    assert len(counters) == 5


def test_two_agents_of_one_node_cannot_run(tmp_path: Path) -> None:
    """Two renewers of one lease would each count on the other's renewals."""
    with memory(tmp_path), pytest.raises(Refused, match="another agent"):
        FileMemory(tmp_path)
    with memory(tmp_path):
        pass


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("epoch.json", b""),
        ("epoch.json", b'{"epoch": 7'),
        ("epoch.json", b'{"epoch": 7}'),
        ("epoch.json", b'{"epoch": true, "seq": 1}'),
        ("epoch.json", b"[]"),
        ("promotion.json", b'{"epoch": 7, "incarnation": "x"}'),
        ("opened.json", b"\xff\xfe"),
        ("relay.json", b'{"counter": "1"}'),
        ("tail.json", b'{"epoch": 7, "state": "armed"}'),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Refused, match=name):
        FileMemory(tmp_path)
    (tmp_path / name).unlink()
    with memory(tmp_path):
        pass  # the lock was given back


KILLED_AT = """
import os, sys
from pathlib import Path
from agents.memory import FileMemory

wanted, seen = int(sys.argv[2]), 0

def watch(event, arguments):
    # Audit events are raised before the call that they name.
    global seen
    if event in ("open", "os.rename", "os.replace") and sys.argv[1] in str(arguments[0]):
        seen += 1
        if seen == wanted:
            os.kill(os.getpid(), 9)

memory = FileMemory(Path(sys.argv[1]))
sync = os.fsync

def counted(handle):
    watch("open", (sys.argv[1],))
    sync(handle)
    watch("open", (sys.argv[1],))

os.fsync = counted
sys.addaudithook(watch)
memory.remember(8, 0)
print("done")
"""


def test_a_kill_at_any_step_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    found = []
    for step in range(1, 12):
        directory = tmp_path / str(step)
        with memory(directory) as m:
            m.remember(7, 3)
        done = subprocess.run(
            [sys.executable, "-c", KILLED_AT, str(directory), str(step)], capture_output=True, text=True, timeout=20
        )
        with memory(directory) as m:
            found.append(m.epoch())
        if "done" in done.stdout:
            break
        assert done.returncode == -9, done.stderr
    assert len(found) >= 6, "too few steps: the program no longer stops where it should"
    assert found == sorted(found) and found[0] == (7, 3) and found[-1] == (8, 0)


def test_what_the_disk_refuses_is_not_remembered(tmp_path: Path) -> None:
    """An epoch that is not on disk must not be followed."""
    with memory(tmp_path) as m:
        m.remember(7, 3)
        (tmp_path / "epoch.new").mkdir()
        with pytest.raises(StepFailed):
            m.remember(8, 0)
        assert m.epoch() == (7, 3)
        (tmp_path / "epoch.new").rmdir()


def test_a_directory_that_is_deleted_is_written_again_from_memory(tmp_path: Path) -> None:
    """What is known is known; a successor must find it, and no second agent may run meanwhile."""
    directory = tmp_path / "state"
    with memory(directory) as m:
        m.remember(7, 3)
        m.write_opened(7, "boot/1/2")
        shutil.rmtree(directory)
        assert m.trouble() == ""
        with pytest.raises(Refused, match="another agent"):
            FileMemory(directory)
        counter = m.relay_counter()
    with memory(directory) as m:
        assert (m.epoch(), m.opened(), m.relay_counter()) == ((7, 3), (7, "boot/1/2"), counter)


def test_a_file_that_is_deleted_is_written_again(tmp_path: Path) -> None:
    with memory(tmp_path) as m:
        m.remember(7, 3)
        (tmp_path / "epoch.json").unlink()
        assert m.trouble() == ""
    with memory(tmp_path) as m:
        assert m.epoch() == (7, 3)


def test_a_directory_that_cannot_be_made_again_is_named(tmp_path: Path) -> None:
    directory = tmp_path / "state"
    with memory(directory) as m:
        m.remember(7, 3)
        shutil.rmtree(directory)
        directory.write_text("somebody's file")
        assert m.trouble().startswith("MEMORY_LOST") and str(directory) in m.trouble()
        directory.unlink()
        assert m.trouble() == "" and (directory / "epoch.json").exists()


READ_ONLY = """
import subprocess, sys
from pathlib import Path
from agents.memory import FileMemory
from orchestrator.core.errors import StepFailed

here = Path(sys.argv[1])

def mount(options, *what):
    subprocess.run(["mount", "-o", options, *what, str(here)], check=True)

memory = FileMemory(here)
memory.remember(7, 3)
mount("bind", str(here))
mount("remount,ro,bind")
assert memory.trouble().startswith("MEMORY_READ_ONLY"), memory.trouble()
try:
    memory.remember(8, 0)
except StepFailed:
    assert memory.epoch() == (7, 3)
else:
    raise AssertionError("remembered on a read-only disk")
memory.close()
again = FileMemory(here)  # a successor can read what is there, and says that it can keep nothing
assert again.epoch() == (7, 3) and again.trouble().startswith("MEMORY_READ_ONLY")
mount("remount,rw,bind")
assert again.trouble() == ""
again.remember(8, 0)
print("done")
"""


def test_a_read_only_directory_is_named_and_can_be_read(tmp_path: Path) -> None:
    """Root is not kept out by permissions, hence a read-only mount, in a mount namespace of its own."""
    if os.geteuid() != 0:
        pytest.fail("mounting needs root: sudo make test")
    ran = subprocess.run(
        ["unshare", "-m", sys.executable, "-c", READ_ONLY, str(tmp_path)], capture_output=True, text=True, timeout=30
    )
    assert "done" in ran.stdout, ran.stderr
    with memory(tmp_path) as m:
        assert m.epoch() == (8, 0)
