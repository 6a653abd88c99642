"""`python -m lab.workload`: clients in their own namespace that write and read through the VIP, each call written down.

Two lines a call in the history file, see lab.checkers.calls. Beside them an auditor asks who has the VIP.
"""

from __future__ import annotations

import argparse
import json
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pymysql

from lab.auditor import audit
from lab.checkers.calls import FINAL, CallReader, Outcome
from lab.clients import CallWriter, Load, Session, Way

Work = Callable[[Session], Outcome | None]
TRIES = 50
Answer = TypeVar("Answer")


def serve(load: Load, way: Way, writer: CallWriter, stop: threading.Event, until: float) -> None:
    """Every client in its own thread, until told to stop or CLOCK_MONOTONIC `until`."""
    # Work, seconds from one call to the next, and before a new connection. The first one measures the outage.
    clients: list[tuple[Work, float, float]] = [
        (load.insert, 0.008, 0.003),
        *[(load.register, 0.016, 0.025)] * 3,
        *[(load.bank, 0.04, 0.03)] * 2,
        *[(load.lists, 0.04, 0.03)] * 2,
    ]
    threads = [
        threading.Thread(target=_client, args=(work, Session(number, way, writer), every_s, pause_s, stop, until))
        for number, (work, every_s, pause_s) in enumerate(clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _client(work: Work, session: Session, every_s: float, pause_s: float, stop: threading.Event, until: float) -> None:
    due = time.monotonic()
    while not stop.is_set() and (now := time.monotonic()) < until:
        due = max(due + every_s, now)
        outcome = work(session)
        stop.wait(max(0.0, due - time.monotonic()) if outcome is Outcome.OK else pause_s)


def patiently(do: Callable[[Session], Answer], way: Way, writer: CallWriter) -> Answer:
    """What comes before all calls, and after them: tried again, as the VIP may just have moved, or the machine have
    more to do than a connection has time for. Raises MySQLError, OSError.
    """
    for left in reversed(range(TRIES)):
        try:
            return do(Session(FINAL, way, writer))
        except (pymysql.err.MySQLError, OSError):
            if not left:
                raise
            time.sleep(0.1)
    raise AssertionError("the last try either returns or raises")


def main() -> int:
    """Until SIGTERM, or for `--seconds`."""
    parser = argparse.ArgumentParser(prog="python -m lab.workload")
    parser.add_argument("vip")
    parser.add_argument("history", type=Path)
    parser.add_argument("password_file", type=Path)
    parser.add_argument("--port", type=int, default=3306)
    parser.add_argument("--database", default="shop")
    parser.add_argument("--run", type=int, default=0, help="keeps the values of different runs apart")
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--look-up", type=Path, help="only read what the calls in this file were about")
    given = parser.parse_args()
    way = Way(given.vip, given.port, given.password_file.read_text().strip(), given.database)
    load = Load(given.run)
    with given.history.open("w") as history:
        writer = CallWriter(history)
        if given.look_up:
            reader = CallReader()
            reader.feed(given.look_up.read_text().splitlines())
            sent = reader.everything()
            stored = patiently(lambda session: load.look_everything_up(session, sent), way, writer)
            print(json.dumps(stored))  # noqa: T201 - this is the command's result
            return 0
        _run(load, way, writer, given.history.with_suffix(".arp"), given.seconds)
    return 0


def _run(load: Load, way: Way, writer: CallWriter, answers: Path, seconds: float) -> None:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    auditor = threading.Thread(target=audit, args=(way.vip, "eth0", answers, stop), daemon=True)
    auditor.start()
    patiently(load.prepare, way, writer)
    serve(load, way, writer, stop, time.monotonic() + seconds)
    stop.set()
    auditor.join(2)


if __name__ == "__main__":
    raise SystemExit(main())
