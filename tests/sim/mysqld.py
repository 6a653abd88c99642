"""One mysqld and its disk: binary log, GTIDs, semi-sync source, crash and recovery. Statements are in database.py."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.core.gtid import GtidSet
from tests.sim.network import Network
from tests.sim.strands import Time

if TYPE_CHECKING:
    from tests.sim.replication import Receiver, Stream

Call = Callable[[], None]
NOTHING = -(10**12)  # the value of an empty transaction


class Txn(NamedTuple):
    """One transaction: a unique value under its GTID. Heartbeats have a negative value."""

    uuid: str
    number: int
    value: int


class Numbers:
    """A GTID set that grows by single numbers, mostly the next one; its text is kept while it does not change."""

    __slots__ = ("_intervals", "_text")

    def __init__(self) -> None:
        self._intervals: dict[str, list[list[int]]] = {}  # per server: [first, last], sorted, not adjacent
        self._text: str | None = ""

    def add(self, uuid: str, number: int) -> None:
        intervals = self._intervals.setdefault(uuid, [])
        if intervals and number == intervals[-1][1] + 1:
            intervals[-1][1] = number
        elif self.has(uuid, number):
            return
        else:
            intervals.append([number, number])
            intervals.sort()
            merged = intervals[:1]
            for first, last in intervals[1:]:
                if first <= merged[-1][1] + 1:
                    merged[-1][1] = max(merged[-1][1], last)
                else:
                    merged.append([first, last])
            self._intervals[uuid] = merged
        self._text = None

    def has(self, uuid: str, number: int) -> bool:
        for first, last in reversed(self._intervals.get(uuid, ())):
            if number >= first:
                return number <= last
        return False

    def first_free(self, uuid: str) -> int:
        intervals = self._intervals.get(uuid)
        return intervals[0][1] + 1 if intervals and intervals[0][0] == 1 else 1

    def text(self) -> str:
        if self._text is None:
            parts = []
            for uuid in sorted(self._intervals):
                spelled = [f"{first}-{last}" if last > first else str(first) for first, last in self._intervals[uuid]]
                parts.append(":".join([uuid, *spelled]))
            self._text = ",".join(parts)
        return self._text


@dataclass(slots=True)
class Commit:
    """A transaction on its way through the commit of one server."""

    index: int  # in the binary log
    txn: Txn
    waits: bool  # for the standby's acknowledgement, as decided when it was flushed
    done: Callable[[str, Commit], None] | None  # ok, lost with the server, or cut
    flushed: bool = False  # synced too: the engine may commit it once it need not wait
    cut: bool = False  # its client's session has ended: whatever comes of it, nobody is told


@dataclass
class Disk:
    """What survives a crash of mysqld and of its host."""

    binlog: list[Txn] = field(default_factory=list)
    executed: Numbers = field(default_factory=Numbers)
    received: Numbers = field(default_factory=Numbers)
    relay: deque[Txn] = field(default_factory=deque)  # received and not applied
    source: str | None = None  # the node that the channel names
    login: tuple[str, ...] = ()  # how it logs in there
    password: str = ""
    closed: bool = False  # the binary log, by a clean shutdown
    journal: set[tuple[str, int]] = field(default_factory=set)  # of a rewind
    undone: set[tuple[str, int]] = field(default_factory=set)  # rows are changed back, GTIDs are there
    emptied: bool = False  # the binary log was reset, and the rows are there without any GTID
    purged: str = ""
    unlogged: list[Txn] = field(default_factory=list)  # committed, and cut off the binary log by mistake
    started: int = 0  # how often mysqld was started on it

    def holds(self, txn: Txn) -> bool:
        """Whether its rows are committed in the engine, and not changed back."""
        return self.executed.has(txn.uuid, txn.number) and (txn.uuid, txn.number) not in self.undone

    def copied(self, replaced: Disk) -> Disk:
        """What the engine holds, as the data directory of another server, in the place of `replaced`."""
        copy = Disk(started=replaced.started, unlogged=list(self.unlogged))
        for txn in self.binlog:
            if self.executed.has(txn.uuid, txn.number):
                copy.binlog.append(txn)
                copy.executed.add(txn.uuid, txn.number)
        return copy


class Server:
    """The process of one node. What waits is told by calls; no strand runs in here."""

    def __init__(self, time: Time, network: Network, rng: Random, node: str, uuid: str) -> None:
        self.time, self.network, self.rng = time, network, rng
        self.node, self.uuid = node, uuid
        self.disk = Disk()
        self.state = "none"  # starting, running, exiting
        self.life: str | None = None
        self.boot = 0
        self.frozen = False
        self.frozen_at = 0.0
        self.since = 0.0  # of this life
        self.answering_since: float | None = None
        self.receiver: Receiver
        self.peer: Server
        self.streams: list[Stream] = []  # to replicas, as this end believes
        self.password = ""  # of the account that replicas log in with
        self.when_exiting: list[Call] = []
        self.made_writable: Callable[[Server], None] = lambda server: None
        self.logs: Callable[[Server, Txn], None] = lambda server, txn: None
        self.lets_go: Callable[[Server], None] = lambda server: None  # commits may go without a copy from now on
        self.world_note: Callable[[str], None] = lambda text: None
        self.switched_on: list[Call] = []  # told when the source side begins to wait
        self.late_until = self.late_by_s = 0.0  # statements of the agent until then, and by how much
        self.start_s, self.apply_s = 0.5, 0.002
        self.sync_s = 0.0005  # from the flush of a commit until the engine may commit it
        self.refuses: int | None = None  # every login and probe, with that error number; sessions of clients go on
        self.disk_full = False
        self.settings: dict[str, str] = {}  # in the option file, other than they must be
        self.batch = 1000  # transactions that a dump sends at once
        self.alone: set[tuple[str, int]] = set()  # what has been committed without the standby's copy, by its GTID
        self.late: list[Call] = []  # statements whose caller has gone, still to take effect
        self._unfrozen: list[Call] = []
        self._reset()

    def _reset(self) -> None:
        self.offline = self.read_only = self.super_read_only = True
        self.source_on, self.waits_for_ever = False, True
        self.gave_up = False  # semi-sync has switched itself off, until the standby has caught up
        self.let_go: set[int] = set()  # numbers of those that waited then
        self.strangers = 0  # other replicas that acknowledge
        self.durable = not self.settings
        self.no_tx = 0
        self.blocked: list[tuple[Txn, Callable[[str, Commit], None] | None]] = []  # behind a full disk
        self.acked = -1
        self.pipeline: deque[Commit] = deque()
        self.locked_until = 0.0  # by a client: no statement that needs the global lock goes through
        self.arrivals = 0
        self.late.clear()
        self._unfrozen.clear()

    # --- process

    @property
    def running(self) -> bool:
        return self.state == "running"

    @property
    def alive(self) -> bool:
        return self.state in ("starting", "running")

    @property
    def answers(self) -> bool:
        return self.state == "running" and not self.frozen

    def start(self) -> None:
        """Fenced, as its options say; recovery commits whatever the binary log holds."""
        if self.alive:
            return
        self.disk.started += 1
        self.disk.closed = False
        self.state, self.frozen, self.since = "starting", False, self.time.now
        self.life = life = f"boot{self.boot}/{1000 + self.disk.started}/{self.disk.started}"
        self._reset()
        self.receiver.forget()
        self.time.after(self.start_s * (0.5 + self.rng.random()), lambda: self.life == life and self._recovered())

    def _recovered(self) -> None:
        if self.state != "starting":
            return
        if self.frozen:
            self._unfrozen.append(self._recovered)
            return
        if self.disk_full:
            self.kill()
            return
        for txn in () if self.disk.emptied else self.disk.binlog:
            self.disk.executed.add(txn.uuid, txn.number)
        self.disk.relay.clear()  # relay_log_recovery
        kept = Numbers()
        for txn in self.disk.binlog:
            if self.disk.received.has(txn.uuid, txn.number):
                kept.add(txn.uuid, txn.number)
        self.disk.received = kept
        self.acked = len(self.disk.binlog) - 1
        self.state, self.answering_since = "running", self.time.now

    def kill(self) -> None:
        """SIGKILL, or a crash: nothing more is committed; the process is gone a little later."""
        if not self.alive:
            return
        life = self.life
        self.state, self.frozen = "exiting", False
        pipeline, self.pipeline = self.pipeline, deque()
        blocked, self.blocked = self.blocked, []
        for commit in (*pipeline, *(Commit(-1, txn, False, done) for txn, done in blocked)):
            if commit.done is not None:
                commit.done("lost", commit)
        self.late.clear()
        self._unfrozen.clear()
        for stream in list(self.streams):
            stream.source_died()
        self.receiver.forget()
        for told in self.when_exiting:
            told()
        self.time.after(0.06 + 0.07 * self.rng.random(), lambda: self.life == life and self._gone())

    def stop(self) -> None:
        """SIGTERM: a clean shutdown commits what waits, tells those clients of an error, and closes the log (L4)."""
        if not self.running or self.frozen:
            return
        for commit in self.pipeline:
            self.disk.executed.add(commit.txn.uuid, commit.txn.number)
        self.disk.closed = True
        self.kill()

    def _gone(self) -> None:
        if self.state == "exiting":
            self.state, self.life = "none", None

    def vanish(self) -> None:
        """With its host: nobody is told anything."""
        self.kill()
        self.state, self.life = "none", None

    def freeze(self) -> None:
        if self.alive and not self.frozen:
            self.frozen, self.frozen_at = True, self.time.now

    def thaw(self) -> None:
        if not self.frozen:
            return
        self.frozen = False
        waiting, self._unfrozen = self._unfrozen, []
        for call in waiting:
            call()
        for stream in list(self.streams):
            stream.pump()
        self.receiver.tick()

    def once_unfrozen(self, call: Call) -> None:
        if self.frozen:
            self._unfrozen.append(call)
        else:
            call()

    # --- writing

    @property
    def writable(self) -> bool:
        return not (self.offline or self.read_only or self.super_read_only)

    def commit(self, value: int, done: Callable[[str, Commit], None] | None) -> bool:
        """A write of a client or of the heartbeat; False if the server refuses it."""
        if self.read_only or self.super_read_only:
            return False
        self.log(Txn(self.uuid, self.next_number(), value), done)
        return True

    def next_number(self) -> int:
        number = self.disk.executed.first_free(self.uuid)
        for txn in (*(waiting.txn for waiting in self.pipeline), *(txn for txn, _ in self.blocked)):
            if txn.uuid == self.uuid:
                number = max(number, txn.number + 1)
        while self.disk.executed.has(self.uuid, number):
            number += 1
        return number

    def log(self, txn: Txn, done: Callable[[str, Commit], None] | None) -> None:
        """Into the binary log, synced; from here on replicas see it and recovery commits it."""
        if self.disk_full:
            self.blocked.append((txn, done))
            return
        self.logs(self, txn)
        self.disk.binlog.append(txn)
        waits = self.source_on and self.waits_for_ever and not self.gave_up
        if self.source_on and not waits:
            self.no_tx += 1
        commit = Commit(len(self.disk.binlog) - 1, txn, waits, done)
        self.pipeline.append(commit)
        if self.strangers:
            self.acked = commit.index
        for stream in self.streams:
            stream.pump()
        life = self.life

        def synced() -> None:
            if self.life == life and self.alive:
                commit.flushed = True
                self.advance()

        self.time.after(self.sync_s, lambda: self.once_unfrozen(synced))

    def advance(self) -> None:
        """Engine commits, in the order of the binary log, as far as acknowledgements allow."""
        while self.pipeline:
            commit = self.pipeline[0]
            if not commit.flushed or (commit.waits and commit.index > self.acked):
                return
            self.pipeline.popleft()
            self.disk.executed.add(commit.txn.uuid, commit.txn.number)
            if self.went_alone(commit):
                self.alone.add((commit.txn.uuid, commit.txn.number))
            if commit.done is not None:
                commit.done("ok", commit)

    def ack(self, index: int) -> None:
        if index > self.acked and self.alive:
            self.acked = index
            self.gave_up = self.gave_up and index < len(self.disk.binlog) - 1
            self.advance()

    def waiting(self) -> int:
        return sum(commit.waits and commit.index > self.acked for commit in self.pipeline)

    def switch_source(self, on: bool) -> None:
        """OFF acknowledges whatever waits."""
        self.source_on = on
        for told in self.switched_on if on else ():
            told()
        if not on:
            self.gave_up = False
            self.lets_go(self)
            self._let_go()

    def give_up(self) -> None:
        """Semi-sync switches itself off, for want of memory, or since a clock jumped (L1, L5)."""
        self.gave_up = self.source_on
        self.let_go = {commit.txn.number for commit in self.pipeline}
        self._let_go()

    def went_alone(self, commit: Commit) -> bool:
        """Whether semi-sync gave it up, or somebody else than the standby may have acknowledged it."""
        return bool(self.gave_up or self.strangers or commit.txn.number in self.let_go)

    def _let_go(self) -> None:
        for commit in self.pipeline:
            if commit.waits and commit.index > self.acked:
                commit.waits = False
                self.no_tx += 1
        self.advance()

    def space_again(self) -> None:
        self.disk_full = False
        blocked, self.blocked = self.blocked, []
        for txn, done in blocked:
            self.log(txn, done)

    def write_by_hand(self, value: int) -> None:
        """An administrator writes, whatever the server is."""
        if self.answers:
            self.log(Txn(self.uuid, self.next_number(), value), None)

    def set_offline(self, on: bool) -> None:
        """Ends the sessions of ordinary accounts, the dump to a replica among them."""
        self.offline = on
        if on:
            for commit in self.pipeline:
                if commit.done is not None and commit.txn.value >= 0 and not commit.cut:
                    commit.cut = True
                    commit.done("cut", commit)
            for stream in list(self.streams):
                stream.source_died()

    def content(self) -> dict[tuple[str, int], int]:
        """Every value that is committed in the engine, by its GTID."""
        there = (*self.disk.binlog, *self.disk.unlogged)
        return {(txn.uuid, txn.number): txn.value for txn in there if self.disk.holds(txn)}

    def content_to_be(self) -> list[Txn]:
        """What it will have committed once it has applied everything that it holds."""
        return [*self.disk.binlog, *self.disk.unlogged, *(txn for txn, _ in self.blocked), *self.disk.relay]

    # --- what a rewind does

    @property
    def half_rewound(self) -> bool:
        return bool(self.disk.undone) or self.disk.emptied

    def undo(self, txns: Sequence[Txn]) -> None:
        """Their rows and the journal, in one commit."""
        for txn in txns:
            if (txn.uuid, txn.number) in self.disk.undone:
                raise AssertionError(f"{self.node} undoes {txn} twice")
            self.disk.undone.add((txn.uuid, txn.number))
            self.disk.journal.add((txn.uuid, txn.number))

    def reset_log(self) -> None:
        self.disk.executed, self.disk.received, self.disk.emptied = Numbers(), Numbers(), True
        self.disk.purged = ""

    def set_purged(self, target: GtidSet) -> None:
        """What is left of the rows is all that is executed. A number of rows that were not changed back would lie."""
        disk = self.disk
        disk.executed, disk.emptied, disk.purged = Numbers(), False, str(target)
        for uuid, intervals in target.intervals.items():
            for first, last in intervals:
                for number in range(first, last + 1):
                    disk.executed.add(uuid, number)
        left = [txn for txn in disk.binlog if not disk.executed.has(txn.uuid, txn.number)]
        if wrong := [txn for txn in left if (txn.uuid, txn.number) not in disk.undone]:
            raise AssertionError(f"{self.node} gives up the numbers of {wrong[:3]}, whose rows are there")
        disk.binlog = [txn for txn in disk.binlog if disk.executed.has(txn.uuid, txn.number)]
        disk.undone = {(txn.uuid, txn.number) for txn in disk.binlog if (txn.uuid, txn.number) in disk.undone}
        self.acked = len(disk.binlog) - 1

    # --- binary log of a dead server

    def tail_without(self, held: Callable[[Txn], bool]) -> int:
        """How many transactions at the end of the binary log are not in that set, none after them that is."""
        binlog = self.disk.binlog
        first = next((i for i, txn in enumerate(binlog) if not held(txn)), len(binlog))
        return len(binlog) - first

    def cut(self, count: int) -> tuple[Txn, ...]:
        if not count:
            return ()
        tail = tuple(self.disk.binlog[-count:])
        del self.disk.binlog[-count:]
        self.disk.unlogged += [txn for txn in tail if self.disk.holds(txn)]
        return tail


def values(server: Server) -> set[int]:
    """Every value that is committed in the engine."""
    return {txn.value for txn in server.disk.binlog if server.disk.holds(txn)}
