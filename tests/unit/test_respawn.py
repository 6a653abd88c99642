"""A worker and its parent, real processes: what becomes of one when the other is killed."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

WITHIN_S = 10.0
SCRIPT = """
import os, signal
from orchestrator.process.respawn import respawn

def work():
    print(os.getpid(), flush=True)
    signal.pause()
    return 0

respawn(work)
"""


@pytest.fixture
def parent() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, text=True) as running:
        yield running
        running.kill()


def worker_of(parent: subprocess.Popen[str]) -> int:
    assert parent.stdout is not None
    return int(parent.stdout.readline())


def ends(pidfd: int) -> bool:
    return bool(select.select([pidfd], [], [], WITHIN_S)[0])


def test_a_worker_that_is_killed_is_replaced(parent):
    first = worker_of(parent)
    os.kill(first, signal.SIGKILL)
    assert worker_of(parent) != first


@pytest.mark.parametrize("frozen", [False, True])
def test_a_worker_does_not_outlive_its_parent(parent, frozen):
    """A frozen one kept its node's lock, and every agent that systemd started after it was refused."""
    worker = worker_of(parent)
    pidfd = os.pidfd_open(worker)
    if frozen:
        os.kill(worker, signal.SIGSTOP)
    parent.kill()
    gone = ends(pidfd)
    if not gone:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    os.close(pidfd)
    assert gone
