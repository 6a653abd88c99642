"""Rows 1 to 7 of docs/safety.md 7: what evidence means, and that overload and refused logins are never death."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agents.evidence import (
    CREDENTIALS,
    OVERLOAD,
    Disk,
    Evidence,
    Probe,
    Process,
    Waits,
    dumping_core,
    exiting,
    judge,
    start_ticks,
)
from orchestrator.core.model import Mysqld

NOW = 100.0
FINE = Probe(answered=99.9)
STUCK = Probe(asked=95.0, answered=94.9)
LATE = Probe(asked=99.2, answered=99.1)
ALIVE = Evidence(process=Process.ALIVE, alive_since=10.0, select=FINE, commit=FINE, now=NOW)
DISK_FULL = Disk(bad_since=90.0, why="/data: No space left on device")


def case(**changes: object) -> Evidence:
    return replace(ALIVE, **changes)  # type: ignore[arg-type]


CASES = {
    "all is well": (case(), Mysqld.RUNNING, ()),
    "there is no process": (case(process=Process.NONE, select=STUCK, commit=STUCK), Mysqld.DEAD, ()),
    "the process is exiting": (case(process=Process.EXITING, select=STUCK), Mysqld.EXITING, ()),
    "it never answered": (case(select=Probe()), Mysqld.STARTING, ()),
    "it answered in an earlier life only": (case(select=Probe(answered=9.0)), Mysqld.STARTING, ()),
    "a start that answers no login": (case(select=Probe(logging_in=95.0), commit=None), Mysqld.STARTING, ("UNKNOWN",)),
    "both probes are unanswered": (case(select=STUCK, commit=STUCK), Mysqld.HUNG, ()),
    "both are late, not yet hung": (case(select=LATE, commit=LATE), Mysqld.RUNNING, ()),
    "SELECT alone is unanswered": (case(select=STUCK), Mysqld.RUNNING, ()),
    "SELECT is unanswered on a node that does not write": (
        case(select=STUCK, commit=None), Mysqld.RUNNING, ("UNKNOWN",)),
    "we were paused ourselves": (case(select=STUCK, commit=STUCK, awake_since=99.5), Mysqld.RUNNING, ()),
    "a commit waits for the standby": (
        case(commit=STUCK, waits=Waits(semisync=3)), Mysqld.RUNNING, ("SYNC_STALLED",)),
    "and the disk is full besides": (
        case(commit=STUCK, waits=Waits(semisync=3), disk=DISK_FULL), Mysqld.RUNNING, ("SYNC_STALLED",)),
    "a client holds the lock of all commits": (
        case(commit=STUCK, waits=Waits(holders=("root@localhost",))), Mysqld.RUNNING, ("CLIENT_LOCK",)),
    "a commit waits for nothing that we know": (case(commit=STUCK), Mysqld.RUNNING, ("UNKNOWN",)),
    "a commit is late for a moment": (case(commit=Probe(asked=99.8, answered=99.7)), Mysqld.RUNNING, ()),
    "no commit returns, and the disk has been full": (
        case(commit=STUCK, disk=DISK_FULL), Mysqld.RUNNING, ("UNKNOWN", "STORAGE_DEAD")),
    "the disk has just become full": (
        case(commit=STUCK, disk=replace(DISK_FULL, bad_since=98.0)), Mysqld.RUNNING, ("UNKNOWN",)),
    "the disk is full and commits return": (case(disk=DISK_FULL), Mysqld.RUNNING, ()),
    "commits are refused for want of space": (
        case(commit=replace(FINE, errno=1114), disk=DISK_FULL), Mysqld.RUNNING, ("WRITE_REFUSED", "STORAGE_DEAD")),
    "the server is read only": (case(commit=replace(FINE, errno=1290)), Mysqld.RUNNING, ("WRITE_REFUSED",)),
    "SELECT fails oddly": (case(select=replace(FINE, errno=1146)), Mysqld.RUNNING, ("READ_REFUSED",)),
    "one probe came in by the admin port": (case(select=replace(FINE, reserve=True)), Mysqld.RUNNING, ("OVERLOADED",)),
    "the account was locked while a probe was in by the admin port": (
        case(select=replace(FINE, reserve=True, errno=3118)), Mysqld.RUNNING, ("UNKNOWN",)),
    "logins hang while SELECT answers": (case(commit=Probe(logging_in=90.0)), Mysqld.RUNNING, ("OVERLOADED",)),
    "logins hang and nothing answers": (
        case(select=replace(STUCK, asked=None, logging_in=90.0), commit=Probe(logging_in=90.0)),
        Mysqld.RUNNING, ("UNKNOWN",)),
    "a login has just begun": (case(commit=Probe(logging_in=99.5)), Mysqld.RUNNING, ()),
}  # fmt: skip


@pytest.mark.parametrize(("evidence", "mysqld", "troubles"), CASES.values(), ids=CASES.keys())
def test_findings(evidence: Evidence, mysqld: Mysqld, troubles: tuple[str, ...]) -> None:
    judgement = judge(evidence, hang_s=1.0)
    assert (judgement.mysqld, judgement.troubles) == (mysqld, troubles)
    assert len(judgement.details) == len(troubles) and all(judgement.details)


@pytest.mark.parametrize("errno", sorted(CREDENTIALS | OVERLOAD))
def test_a_refusal_by_the_server_is_a_sign_of_life(errno: int) -> None:
    """However long ago a statement succeeded: who refuses is alive."""
    refused = Probe(answered=20.0, errno=errno, text="no")
    judgement = judge(case(select=refused, commit=refused), hang_s=1.0)
    assert judgement.mysqld is Mysqld.RUNNING
    assert judgement.troubles == (("OVERLOADED",) if errno in OVERLOAD else ("UNKNOWN",))


def stat(name: str = "mysqld", state: str = "S", flags: int = 0x400040, start: int = 12345) -> str:
    return f"4711 ({name}) {state} 1 4711 4711 0 -1 {flags} 1 2 3 4 5 6 7 8 20 0 41 0 {start} 1000 200 184467 1 1 0\n"


@pytest.mark.parametrize("name", ["mysqld", "ld-linux-x86-64", "a b", "a) Z (b", "((", ")) 4 4 4"])
def test_a_name_may_hold_anything(name: str) -> None:
    assert not exiting(stat(name))
    assert exiting(stat(name, flags=0x400044))
    assert start_ticks(stat(name)) == 12345


@pytest.mark.parametrize(("state", "is_exiting"), [("R", False), ("D", False), ("T", False), ("Z", True), ("X", True)])
def test_states(state: str, is_exiting: bool) -> None:
    """A stopped process is not exiting: it may go on and commit."""
    assert exiting(stat(state=state)) == is_exiting


def test_our_own_line_can_be_read() -> None:
    assert not exiting(Path("/proc/self/stat").read_text())
    assert start_ticks(Path("/proc/self/stat").read_text()) > 0
    assert not dumping_core(Path("/proc/self/status").read_text())


@pytest.mark.parametrize("text", ["", "4711 mysqld S 1", "4711 (mysqld) S 1 2"])
def test_what_is_no_stat_line_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="no line"):
        exiting(text)


def test_a_core_dump() -> None:
    assert dumping_core("Name:\tmysqld\nCoreDumping:\t1\nThreads:\t1\n")
    assert not dumping_core("Name:\tCoreDumping: 1\nCoreDumping:\t0\n")
