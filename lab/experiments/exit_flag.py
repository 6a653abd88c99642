"""Whether a mysqld still says anything after its agent has seen it exiting (F5 relies on it).

The primary is killed under many clients and fsync load; every segment with content from its port is watched.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from agents.held import HeldProcess
from lab.experiments.network import Alone, alone
from lab.experiments.servers import Pair, Say, Setup, replicating
from lab.experiments.zookeeper_stall import disk_load
from lab.history import quantiles
from orchestrator.core.errors import StepFailed

CLIENTS = 24
END_S = 30.0


def run(runs: int, say: Say) -> dict[str, Any]:
    """`runs` kills; times in milliseconds after SIGKILL was sent, and what was sent after the agent knew."""
    seen = []
    with alone("exit") as net, replicating(Setup(before=net.before), Setup(before=net.before)) as pair:
        for number in range(runs):
            seen.append(_strike(pair, net))
            say(f"{number + 1}: {seen[-1]}")
    late = [one for one in seen if one["after"]]
    return {
        "clients": CLIENTS,
        "segments_before": sum(one["segments"] for one in seen),
        "seen_exiting_ms": quantiles([one["seen_ms"] for one in seen], 3),
        "last_segment_ms": quantiles([one["last_ms"] for one in seen], 3),
        "runs_with_segments_after": len(late),
        "latest_after_ms": max((one["last_ms"] - one["seen_ms"] for one in late), default=0),
    }


def _strike(pair: Pair, net: Alone) -> dict[str, Any]:
    primary = pair.primary
    pair.armed()
    port = str(primary.instance.port)
    with _inside(net, "capture", port) as watch, _inside(net, "crowd", port, str(CLIENTS)) as crowd:
        assert watch.stdin is not None and watch.stdout is not None and crowd.stdin is not None
        _ready(watch)
        crowd.stdin.write(f"{primary.passwords.app}\n")
        crowd.stdin.flush()
        _ready(crowd)
        held = HeldProcess(primary.pid)
        held.await_exiting(0.05)  # as the agent's thread does all the time: it holds the threads that it watches
        with disk_load(primary.instance.datadir.parent):
            time.sleep(random.uniform(0.3, 0.6))  # noqa: S311 - where the kill falls
            struck = time.clock_gettime_ns(time.CLOCK_REALTIME)
            os.kill(primary.pid, signal.SIGKILL)
            if not held.await_exiting(5.0):
                raise StepFailed("a killed mysqld was not seen exiting within 5 s")
            known = time.clock_gettime_ns(time.CLOCK_REALTIME)
            crowd.wait(END_S)
        primary.kill()
        watch.stdin.close()
        stamps = [int(line.split()[0]) for line in watch.stdout]
    primary.start()
    if not stamps:
        raise StepFailed("no segment of the primary was seen at all")
    return {
        "seen_ms": (known - struck) / 1e6,
        "last_ms": (max(stamps) - struck) / 1e6,
        "segments": sum(stamp <= struck for stamp in stamps),
        "between": sum(struck < stamp <= known for stamp in stamps),
        "after": sum(stamp > known for stamp in stamps),
    }


@contextmanager
def _inside(net: Alone, module: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """One of our own programs inside the namespace; ended at the end."""
    argv = [*net.before, sys.executable, "-m", f"lab.experiments.{module}", *arguments]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def _ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    if process.stdout.readline().strip() != "ready":
        raise StepFailed(f"{' '.join(map(str, process.args))} did not start")  # type: ignore[arg-type]
