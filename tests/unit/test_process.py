"""Clocks, threads, log lines and the word to systemd."""

from __future__ import annotations

import io
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from orchestrator.process import logs, notify, threads
from orchestrator.process.clock import HostClock


@pytest.fixture
def root_logger() -> Iterator[logging.Logger]:
    """logs.start takes the root logger over; what was there comes back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    for handler in handlers:
        root.removeHandler(handler)  # else basicConfig(force=True) would close pytest's
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)


def test_the_waiter_never_reads_more_than_the_holder_and_neither_goes_back():
    clock = HostClock()
    readings = [(clock.waiter_now(), clock.holder_now()) for _ in range(1000)]
    assert all(waiter <= holder for waiter, holder in readings)
    assert readings == sorted(readings)
    assert readings[0][0] >= 0


def test_a_clock_counts_from_its_own_construction():
    before = time.monotonic()
    clock = HostClock()
    assert 0 <= clock.holder_now() <= time.monotonic() - before + 0.1


DYING = """
import logging, sys, time
from orchestrator.process import logs, threads
logs.start(logs.LogFormat.TEXT)
def run():
    logging.getLogger("kembar.test").info("the last words")
    raise {error}
threads.start("renewal", run)
time.sleep(30)
"""


@pytest.mark.parametrize("error", ["ValueError('broken')", "SystemExit(0)"])
def test_a_thread_that_dies_ends_the_process_with_its_traceback_and_its_log(error):
    """SystemExit too: it would end the thread without a sound."""
    ended = subprocess.run(
        [sys.executable, "-c", DYING.format(error=error)], capture_output=True, text=True, timeout=20, check=False
    )
    assert ended.returncode == threads.EXIT_STATUS
    assert "thread renewal died" in ended.stderr
    assert error.split("(")[0] in ended.stderr
    assert "the last words" in ended.stderr


def test_a_thread_may_return():
    done = threading.Event()
    thread = threads.start("short", done.set)
    thread.join(5)
    assert done.is_set()
    assert not thread.is_alive()


def test_a_text_line_is_one_line_even_with_a_traceback(root_logger):
    stream = io.StringIO()
    log = logs.start(logs.LogFormat.TEXT, stream=stream, node="db-a")
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("kembar.test").exception("step failed", extra={"epoch": 7})
    log.close()
    (line,) = stream.getvalue().splitlines()
    assert line.endswith(" node=db-a epoch=7")
    assert "ValueError: broken" in line


def test_a_json_line_carries_the_fields_that_are_given(root_logger):
    stream = io.StringIO()
    log = logs.start(logs.LogFormat.JSON, stream=stream, cluster="main", node="db-a")
    logging.getLogger("kembar.test").info("decided %s", "F1", extra={"epoch": 7, "rule": "F1"})
    log.close()
    line = json.loads(stream.getvalue())
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "INFO",
        "logger": "kembar.test",
        "message": "decided F1",
        "cluster": "main",
        "node": "db-a",
        "epoch": 7,
        "rule": "F1",
    }


class Blocked(io.StringIO):
    """A stderr that takes nothing until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()

    def write(self, text: str) -> int:
        self.go.wait(20)
        return super().write(text)


def test_a_blocked_stderr_blocks_nobody_who_logs(root_logger):
    stream = Blocked()
    log = logs.start(logs.LogFormat.TEXT, stream=stream)
    began = time.monotonic()
    for number in range(logs.QUEUED_MAX + 100):
        logging.getLogger("kembar.test").info("line %d", number)
    assert time.monotonic() - began < 10
    assert log.dropped >= 98  # one is with the writer, one may be on its way to it
    stream.go.set()
    log.close()


@pytest.mark.parametrize("abstract", [False, True], ids=["file", "abstract"])
def test_systemd_is_told(tmp_path, monkeypatch, abstract):
    address = f"@kembar-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0" + address[1:] if abstract else address)
        listener.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        assert notify.notify("READY=1", "STATUS=serving")
        assert listener.recv(100) == b"READY=1\nSTATUS=serving"


def test_nobody_asked_to_be_told(monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify.notify("READY=1")


class SteppedClock:
    def __init__(self) -> None:
        self.now = 0.0

    def holder_now(self) -> float:
        return self.now

    waiter_now = wall_s = holder_now


def test_the_watchdog_is_fed_only_once_every_loop_has_come_round():
    """One pair's loop that hangs must not hide behind the loop of another."""
    told, clock = [], SteppedClock()
    watchdog = notify.Watchdog(["shop", "bank"], clock, lambda *lines: told.append(lines))
    for clock.now in (0.0, 1.0, 2.0):
        watchdog.came_round("shop", "shop: leads")
    assert told == []
    watchdog.came_round("bank", "bank: follows")
    assert told == [("WATCHDOG=1", "STATUS=bank: follows")]
    for clock.now in (2.1, 2.6):
        watchdog.came_round("bank", "bank: follows")
    assert len(told) == 1
    watchdog.came_round("shop", "shop: leads")
    assert len(told) == 2


def test_a_loop_that_comes_round_often_feeds_the_watchdog_seldom():
    told, clock = [], SteppedClock()
    watchdog = notify.Watchdog(["tick"], clock, lambda *lines: told.append(lines))
    for clock.now in (step / 200 for step in range(200)):
        watchdog.came_round("tick", "primary")
    assert len(told) == 2


def test_a_step_that_takes_long_is_waited_for_and_the_next_as_before(tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "20000000")

        def heard(_: str) -> bytes:
            return listener.recv(100)

        assert notify.unhurried(heard)("work") == b"WATCHDOG_USEC=1800000000"
        assert listener.recv(100) == b"WATCHDOG_USEC=20000000"


def test_without_a_watchdog_nobody_is_told_of_a_step_that_takes_long(monkeypatch):
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere")
    assert notify.unhurried(len)("work") == 4


def test_a_supervisor_that_has_gone_ends_nobody(tmp_path, monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    assert not notify.notify("READY=1")
