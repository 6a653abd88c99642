"""Rows about full disks: under the primary's data, under the standby's relay logs."""

from __future__ import annotations

import time

from lab.matrix.row import Priority, Row
from lab.matrix.trial import Trial
from lab.smalldisk import SmallDisk


def primary_full(t: Trial) -> None:
    """Commits hang as the binary log cannot grow; SELECT answers, nothing waits for the standby or a lock."""
    disk = _small(t)
    t.move_to(t.standby)
    old = t.mysqld(t.primary)
    t.struck = time.monotonic()
    disk.fill()
    t.moved()
    t.await_gone(old)
    rule = t.incident()["rule"]
    t.check(rule in ("F1", "F5"), f"moved by {rule}")
    disk.relieve()
    t.settle()


def standby_full(t: Trial) -> None:
    """Its receiver acknowledges nothing more. It asks for space once a minute, so at the end mysqld starts anew."""
    disk = _small(t)
    t.begin()
    t.struck = time.monotonic()
    disk.fill()
    t.await_rule("U1")
    t.writes_go_on()
    shown = t.until(lambda shown: shown["mode"] == "ASYNC", "ASYNC is not recorded")
    t.check(not t.row(t.standby, shown)["promotable"], "a standby that misses commits is promotable")
    t.unmoved()


def _small(t: Trial) -> SmallDisk:
    """Under the standby's data, and certified again."""
    disk = SmallDisk(t.stand, t.standby, t.stand.files.instance(t.standby).datadir)
    t.undo.callback(disk.take_away)
    with t.at_rest():
        disk.put()
        t.await_rule("U1", "U3")
        t.stand.wait_healthy()
    return disk


ROWS = (
    Row(
        3,
        "the primary's disk full",
        Priority.P0,
        "its data directory on a small disk that is filled up",
        "STORAGE_DEAD: gate, SIGKILL, failover; it returns when there is space",
        primary_full,
    ),
    Row(
        14,
        "the standby's disk full",
        Priority.P0,
        "its data directory on a small disk that is filled up",
        "ASYNC recorded, commits go on; certified again when there is space and its mysqld has started anew",
        standby_full,
    ),
)
