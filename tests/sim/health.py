"""Supervisor, health, memory and the tail of the binary log of one node."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from agents.binlog.capture import Outcome, TailState
from agents.evidence import Disk, Evidence, Probe, Process, Trouble, Waits, judge
from orchestrator.core.errors import StepFailed
from orchestrator.core.gtid import GtidSet
from orchestrator.core.model import Mysqld
from tests.sim import strands
from tests.sim.kept import Archive, Kept
from tests.sim.kernel import Clock
from tests.sim.mysqld import Commit, Server

PROBE_EVERY_S = 0.25


class SimSupervisor:
    """Supervisor (see the port)."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def incarnation(self) -> str | None:
        return self._server.life

    def exiting(self) -> bool:
        return self._server.state == "exiting"

    def await_exiting(self, within_s: float) -> bool:
        end = self._server.time.now + within_s
        while not self.exiting() and self._server.time.now < end:
            strands.this_strand().sleep(0.001)
        return self.exiting()

    def start(self) -> None:
        self._act()
        if self._server.life is not None:
            raise StepFailed(f"mysqld is there already: {self._server.life}")
        self._server.start()

    def kill(self) -> None:
        self._act()
        self._server.kill()

    def _act(self) -> None:
        if self._server.time.strand is not None:
            self._server.time.strand.boundary()


class SimMemory:
    """Memory (see the port): a state directory, which outlives agent and power."""

    def __init__(self) -> None:
        self._epoch = (0, 0)
        self._promotion: Mapping[str, str | int] | None = None
        self._opened: tuple[int, str] | None = None
        self._tail: Mapping[str, str | int] | None = None
        self._counter = 0
        self.full = False  # the disk, for everything but reading

    @property
    def new(self) -> bool:
        return self._epoch == (0, 0)

    def trouble(self) -> str:
        return ""

    def epoch(self) -> tuple[int, int]:
        return self._epoch

    def remember(self, epoch: int, seq: int) -> None:
        if (epoch, seq) > self._epoch:
            self._synced()
            self._epoch = (epoch, seq)

    def promotion(self) -> Mapping[str, str | int] | None:
        return self._promotion

    def write_promotion(self, promotion: Mapping[str, str | int]) -> None:
        self._synced()
        self._promotion = dict(promotion)

    def opened(self) -> tuple[int, str] | None:
        return self._opened

    def write_opened(self, epoch: int, incarnation: str) -> None:
        self._synced()
        self._opened = (epoch, incarnation)

    def tail(self) -> Mapping[str, str | int] | None:
        return self._tail

    def write_tail(self, tail: Mapping[str, str | int]) -> None:
        self._synced()
        self._tail = dict(tail)

    def relay_counter(self) -> int:
        return self._counter

    def draw_relay_counter(self) -> int:
        self._synced()
        self._counter += 1
        return self._counter

    def _synced(self) -> None:
        strands.this_strand().boundary(strands.CHANGES)
        if self.full:
            raise StepFailed("the state directory cannot be written: no space left on device")


class SimHealth:
    """Health (see agents.ports) of one agent process: the judgement is the real one, the probes are events."""

    def __init__(self, server: Server, clock: Clock, process: strands.Process, rng: Random, *, hang_s: float) -> None:
        self._server, self._clock, self._process, self._hang_s = server, clock, process, hang_s
        self._rng = rng
        self._life: str | None = None
        self._alive_since = 0.0
        self._awake_since = clock.waiter_now()
        self._wanted = self._beats = False
        self._heard: float | None = None
        self._full_since: float | None = None
        self._asked: float | None = None
        self._answered: float | None = None
        self._began: float | None = None
        self._judged: tuple[Mysqld, tuple[str, ...]] = (Mysqld.DEAD, ())
        process.when_thawed.append(self._thawed)

    def mysqld(self) -> Mysqld:
        server, now = self._server, self._clock.waiter_now()
        if server.life != self._life:
            self._life, self._alive_since = server.life, now
            self._asked = self._answered = None
        if server.life is None:
            process = Process.NONE
        else:
            process = Process.EXITING if server.state == "exiting" else Process.ALIVE
        heard = now if server.answers else None
        asked = errno = None
        if server.refuses is not None and server.running:
            heard, errno = self._heard, server.refuses
        self._heard = heard
        if server.frozen:
            heard = now - (server.time.now - server.frozen_at)
            asked = heard + 0.1 if server.running else None
            heard = heard if server.running else None
        commit = None
        if self._wanted or self._asked:
            commit = Probe(self._asked, None, self._answered, self._began, errno)
        if not server.disk_full:
            self._full_since = None
        elif self._full_since is None:
            self._full_since = now
        judged = judge(
            Evidence(process, self._alive_since, Probe(asked, None, heard, heard, errno), commit,
                     Waits(server.waiting()), Disk(self._full_since, "no space left"), now, self._awake_since),
            hang_s=self._hang_s,
        )  # fmt: skip
        self._judged = (judged.mysqld, judged.troubles)
        storage_dead = Trouble.STORAGE_DEAD in judged.troubles
        return Mysqld.HUNG if storage_dead and judged.mysqld is Mysqld.RUNNING else judged.mysqld

    def troubles(self) -> tuple[str, ...]:
        return self._judged[1]

    def stalled_s(self) -> float:
        if self._asked is None:
            return 0.0
        return max(0.0, self._clock.waiter_now() - max(self._asked, self._awake_since))

    def committed_after(self, instant: float) -> bool:
        return self._began is not None and self._began > instant

    def write(self, allowed: bool) -> None:
        self._wanted = allowed
        if allowed and not self._beats:
            self._beats = True
            self._beat()

    def _thawed(self, frozen_s: float) -> None:
        if frozen_s > 0.6:
            self._awake_since = self._clock.waiter_now()

    def _beat(self) -> None:
        if not self._process.alive:
            return
        if self._process.frozen:
            self._process.do(self._beat)
            return
        if not self._wanted:
            self._beats = False
            return
        self._server.time.after(PROBE_EVERY_S * (0.9 + 0.2 * self._rng.random()), self._beat)
        if self._asked is not None or not self._server.running or self._server.refuses is not None:
            return
        began = self._asked = self._clock.waiter_now()
        life = self._server.life

        def done(result: str, commit: Commit | None) -> None:
            if self._server.life == life and self._asked == began:
                self._asked = None
                if result == "ok":
                    self._began, self._answered = began, self._clock.waiter_now()

        def send() -> None:
            if self._server.life != life or not self._server.commit(-1, done):
                done("refused", None)

        self._server.once_unfrozen(send)


def capture(server: Server, kept: Kept, epoch: int, primary: GtidSet, own: str, doubt: str) -> Outcome:
    """agents.binlog.capture on the simulated disk: the tail is cut if nothing of the primary's set follows it."""
    assert not server.alive and own == server.uuid
    if doubt:
        return Outcome(TailState.KEPT, doubt)

    def has(uuid: str, number: int) -> bool:
        return any(first <= number <= last for first, last in primary.intervals.get(uuid, ()))

    if server.disk.closed:
        return Outcome(TailState.KEPT, "the log was closed")
    count = server.tail_without(lambda txn: has(txn.uuid, txn.number))
    tail = server.disk.binlog[len(server.disk.binlog) - count :]
    if not tail:
        return Outcome(TailState.CLEAN)
    if any(txn.uuid != server.uuid or has(txn.uuid, txn.number) for txn in tail):
        return Outcome(TailState.KEPT, "the tail is not only its own")
    there = [txn for txn in tail if server.disk.executed.has(txn.uuid, txn.number)]
    if committed := [txn for txn in there if (txn.uuid, txn.number) not in server.alone]:
        raise AssertionError(f"{server.node} cuts off {committed[:3]}, whose rows are committed")
    kept.own[str(epoch)] = Archive(GtidSet.parse(server.disk.executed.text()), tuple(tail))
    server.cut(count)
    gtids = GtidSet.parse(",".join(f"{txn.uuid}:{txn.number}" for txn in tail))
    return Outcome(TailState.CUT, f"{count} transactions", str(gtids))
