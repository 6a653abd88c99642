"""Text of /proc, error numbers, outcomes of probes -> what is wrong with our mysqld: docs/safety.md 7, rows 1-7."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from orchestrator.core.model import Instant, Mysqld

PF_EXITING = 0x4
GONE = frozenset("ZXx")

# The server is alive and refuses us: credentials, rights, expired or locked account, certificate.
CREDENTIALS = frozenset({1044, 1045, 1130, 1227, 1251, 1698, 1820, 1862, 2026, 2061, 3118, 3159})
# The server is alive and full: connections of all, of the user, resources of the user.
OVERLOAD = frozenset({1040, 1203, 1226})
# Disk full, error on write, record file full, binary log impossible, tablespace full.
STORAGE = frozenset({1021, 1026, 1030, 1114, 1598})


class Trouble(StrEnum):
    """Findings of an agent about its own server. None of them but STORAGE_DEAD is a reason to end it."""

    SYNC_STALLED = "SYNC_STALLED"
    CLIENT_LOCK = "CLIENT_LOCK"
    STORAGE_DEAD = "STORAGE_DEAD"
    UNKNOWN = "UNKNOWN"
    OVERLOADED = "OVERLOADED"
    READ_REFUSED = "READ_REFUSED"
    WRITE_REFUSED = "WRITE_REFUSED"


class Process(StrEnum):
    """What the kernel says of the process."""

    NONE = "none"
    EXITING = "exiting"
    ALIVE = "alive"


@dataclass(frozen=True, slots=True)
class Probe:
    """One probe: what is in flight, and how the last one ended."""

    asked: Instant | None = None  # since when a statement is unanswered
    logging_in: Instant | None = None  # since when a login is: never a sign of death
    answered: Instant | None = None  # when the last one that succeeded was answered
    began: Instant | None = None  # and when that one was sent
    errno: int | None = None  # of the last answer, if it was a refusal
    text: str = ""
    reserve: bool = False  # came in through the admin port, since the socket said 1040

    def waiting_s(self, now: Instant, awake_since: Instant) -> float:
        """How long the statement in flight is unanswered, counted only while we ourselves were running."""
        return 0.0 if self.asked is None else max(0.0, now - max(self.asked, awake_since))


@dataclass(frozen=True, slots=True)
class Waits:
    """What an unanswered commit waits for, as the server says."""

    semisync: int = 0  # sessions that wait for the standby
    holders: tuple[str, ...] = ()  # clients that hold a lock before every commit


@dataclass(frozen=True, slots=True)
class Disk:
    """A small write on the file systems of data and binary log."""

    bad_since: Instant | None = None  # since when it hangs or fails
    why: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that `judge` looks at. `commit` is None while this node does not write."""

    process: Process
    alive_since: Instant  # when we first saw this incarnation
    select: Probe
    commit: Probe | None = None
    waits: Waits = field(default_factory=Waits)
    disk: Disk = field(default_factory=Disk)
    now: Instant = 0.0
    awake_since: Instant = 0.0  # since when we ourselves look without a break


class Judgement(NamedTuple):
    """The state of mysqld, names of troubles, and a sentence for each."""

    mysqld: Mysqld
    troubles: tuple[str, ...]
    details: tuple[str, ...]


def judge(e: Evidence, *, hang_s: float, storage_s: float = 3.0, notice_s: float = 0.5) -> Judgement:
    """What the evidence says. Overload, credentials and full connections are never death; a login is never a probe.

    `notice_s`: a commit that waits shorter is no trouble.
    """
    if e.process is not Process.ALIVE:
        return Judgement(Mysqld.DEAD if e.process is Process.NONE else Mysqld.EXITING, (), ())
    found = tuple(_troubles(e, storage_s=storage_s, notice_s=notice_s))
    state = Mysqld.RUNNING
    if e.select.answered is None or e.select.answered < e.alive_since:
        state = Mysqld.STARTING
    elif _unanswered(e, e.select, hang_s) and e.commit is not None and _unanswered(e, e.commit, hang_s):
        state = Mysqld.HUNG
    return Judgement(state, tuple(trouble.value for trouble, _ in found), tuple(text for _, text in found))


def _unanswered(e: Evidence, probe: Probe, seconds: float) -> bool:
    return probe.asked is not None and probe.waiting_s(e.now, e.awake_since) >= seconds


def _troubles(e: Evidence, *, storage_s: float, notice_s: float) -> Iterator[tuple[Trouble, str]]:
    yield from _refusals(e)
    if e.commit is None:
        return
    stuck = _unanswered(e, e.commit, notice_s)
    if stuck and not _unanswered(e, e.select, notice_s):
        waited = f"the heartbeat commit has waited {e.commit.waiting_s(e.now, e.awake_since):.1f} s"
        if e.waits.semisync:
            yield Trouble.SYNC_STALLED, f"{waited} for the standby, like {e.waits.semisync} sessions in all"
        elif e.waits.holders:
            yield Trouble.CLIENT_LOCK, f"{waited} for a lock held by {', '.join(e.waits.holders)}"
        elif _unanswered(e, e.commit, 2 * notice_s):
            yield Trouble.UNKNOWN, f"{waited}, and neither for the standby nor for a lock that stops every commit"
    refused = e.commit.errno in STORAGE
    if (stuck or refused) and not (e.waits.semisync or e.waits.holders) and e.disk.bad_since is not None:
        bad_s = e.now - max(e.disk.bad_since, e.awake_since)
        if bad_s >= storage_s:
            yield Trouble.STORAGE_DEAD, f"{e.disk.why} for {bad_s:.1f} s, and no commit returns"


def _refusals(e: Evidence) -> Iterator[tuple[Trouble, str]]:
    """One trouble per kind: both probes usually meet the same."""
    probes = [("SELECT", e.select, Trouble.READ_REFUSED)]
    if e.commit is not None:
        probes.append(("commit", e.commit, Trouble.WRITE_REFUSED))
    seen: set[Trouble] = set()
    for name, probe, otherwise in probes:
        trouble, text = _refusal(e, name, probe, otherwise)
        if trouble is not None and trouble not in seen:
            seen.add(trouble)
            yield trouble, text


def _refusal(e: Evidence, name: str, probe: Probe, otherwise: Trouble) -> tuple[Trouble | None, str]:
    if probe.errno in CREDENTIALS:
        return Trouble.UNKNOWN, f"{name} probe: the server refuses the agent: {probe.text}"
    if probe.reserve or probe.errno in OVERLOAD:
        return Trouble.OVERLOADED, f"{name} probe: {probe.text or 'no free connection, the admin port was used'}"
    if probe.errno is not None:
        return otherwise, f"{name} probe: {probe.text}"
    if e.commit is None and _unanswered(e, probe, 1.0):
        # One kind of evidence is no proof of a hang: a node that does not write has no other.
        return Trouble.UNKNOWN, f"{name} probe: no answer for {probe.waiting_s(e.now, e.awake_since):.1f} s"
    if probe.logging_in is not None and e.now - max(probe.logging_in, e.awake_since) >= 1.0:
        # Another session that still answers shows that only logins hang; without one we cannot know.
        others = [p for p in (e.select, e.commit) if p is not None and p is not probe]
        answering = any(p.logging_in is None and not _unanswered(e, p, 1.0) and p.answered is not None for p in others)
        return (Trouble.OVERLOADED if answering else Trouble.UNKNOWN), f"{name} probe: the login hangs"
    return None, ""


def fields_of(stat: str) -> list[str]:
    """Fields of /proc/PID/stat from the third on; a process may be called `a) R (b`, so the last `)` counts.

    Raises ValueError if the text is no stat line.
    """
    _, parenthesis, rest = stat.rpartition(")")
    fields = rest.split()
    if not parenthesis or len(fields) < 20:
        raise ValueError(f"no line of /proc/PID/stat: {stat[:80]!r}")
    return fields


def exiting(stat: str) -> bool:
    """Whether a process has begun to exit: flag 0x4 (9th field) of its /proc/PID/stat, or a zombie, or dead.

    It shows within one 5 ms poll of a kill -9; the pidfd is readable only 60-130 ms later with a 128 MiB buffer pool,
    later still with a larger one (measured). Raises ValueError if the text is no stat line.
    """
    fields = fields_of(stat)
    return fields[0] in GONE or bool(int(fields[6]) & PF_EXITING)


def start_ticks(stat: str) -> int:
    """When the process started, in clock ticks after boot: with its pid it names one process. Raises ValueError."""
    return int(fields_of(stat)[19])


def dumping_core(status: str) -> bool:
    """Whether /proc/PID/status says that a core dump is being written: it will commit nothing more."""
    return any(line.split() == ["CoreDumping:", "1"] for line in status.splitlines())
