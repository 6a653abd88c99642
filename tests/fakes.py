"""Small fakes of the ports, for tests that drive one piece step by step. No threads, no time of their own."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from orchestrator.core.errors import CoordinatorUnavailable, GateRefused, StaleWrite, StepFailed, UnknownOutcome
from orchestrator.core.ports import Create, Delete, Op, SetData, Stored
from orchestrator.core.wire import decode, encode

Record = TypeVar("Record")


@dataclass
class FakeClock:
    """Moves when it is told to."""

    now: float = 1000.0

    def holder_now(self) -> float:
        return self.now

    def waiter_now(self) -> float:
        return self.now

    def wall_s(self) -> float:
        return self.now


class FakePending:
    """A write on its way; its outcome is entry, exception, or not in yet."""

    def __init__(self, coordinator: FakeCoordinator, ops: Sequence[Op], wake: Callable[[], None] | None) -> None:
        self._coordinator, self.ops, self._wake = coordinator, tuple(ops), wake
        self.outcome: tuple[str | int, ...] | Exception | None = None

    def done(self) -> bool:
        return self.outcome is not None

    def settle(self, outcome: tuple[str | int, ...] | Exception) -> None:
        self.outcome = outcome
        if self._wake is not None:
            self._wake()

    def result(self, timeout_s: float) -> tuple[str | int, ...]:
        """Whoever waits lets time pass: answers arrive, in order, unless the coordinator is stalled."""
        self._coordinator.pass_time_until(self)
        if self.outcome is None:
            raise UnknownOutcome("no answer in time")
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


class FakeCoordinator:
    """ZooKeeper as the port describes it: versions, all or nothing, -1 for any version, answers in order."""

    def __init__(self) -> None:
        self.connected = True
        self.slow = False  # writes wait for deliver(), or for somebody who waits for their answer
        self.stalled = False  # not even then
        self.readable = True
        self.nodes: dict[str, Stored] = {}
        self.writes: list[tuple[Op, ...]] = []
        self._queue: deque[FakePending] = deque()
        self.when_waiting: Callable[[], None] = lambda: None

    def hearing_since(self) -> float:
        return 0.0 if self.connected else math.inf

    def put(self, path: str, value: object) -> int:
        """Written by somebody else, by version: as any other's write."""
        version = self.nodes[path].version + 1 if path in self.nodes else 0
        self.nodes[path] = Stored(encode(value), version)
        return version

    def get(self, kind: type[Record], path: str) -> Record:
        return decode(kind, self.nodes[path].data)

    def submit(self, ops: Sequence[Op], wake: Callable[[], None] | None = None) -> FakePending:
        if not self.connected:
            raise CoordinatorUnavailable("not connected")
        self.writes.append(tuple(ops))
        pending = FakePending(self, ops, wake)
        self._queue.append(pending)
        if not (self.slow or self.stalled):
            self.deliver()
        return pending

    def deliver(self) -> None:
        """Every write on its way happens, or is refused, and is answered."""
        while self._queue:
            pending = self._queue.popleft()
            pending.settle(self._apply(pending.ops))

    def lose(self, *, happened: bool) -> None:
        """The answers of all writes on their way are lost."""
        while self._queue:
            pending = self._queue.popleft()
            if happened:
                self._apply(pending.ops)
            pending.settle(UnknownOutcome("connection lost in flight"))

    def pass_time_until(self, pending: FakePending) -> None:
        self.when_waiting()
        if not self.stalled and pending in self._queue:
            self.deliver()

    def read(self, path: str, timeout_s: float = 2.0) -> Stored | None:
        if not (self.connected and self.readable):
            raise CoordinatorUnavailable("no answer")
        return self.nodes.get(path)

    def children(self, path: str, timeout_s: float = 2.0) -> tuple[str, ...]:
        if not (self.connected and self.readable):
            raise CoordinatorUnavailable("no answer")
        return tuple(sorted(name.rpartition("/")[2] for name in list(self.nodes) if name.rpartition("/")[0] == path))

    def _apply(self, ops: Sequence[Op]) -> tuple[str | int, ...] | Exception:
        changed: dict[str, Stored] = {}
        gone: set[str] = set()
        answer: list[int] = []
        for op in ops:
            found = changed.get(op.path, self.nodes.get(op.path))
            if isinstance(op, Create):
                assert not op.ephemeral, "the fake knows none of these"
                path = f"{op.path}{len(self.writes):010d}" if op.sequence else op.path
                folder = path.rpartition("/")[0]
                if path in self.nodes or (op.sequence and folder not in {*self.nodes, *changed}):
                    return StaleWrite(f"{path} is there already, or has no folder")
                changed[path] = Stored(op.data, 0)
                answer.append(0)
                continue
            if found is None or op.version not in (-1, found.version):
                return StaleWrite(f"{op.path} is not at {op.version}")
            if isinstance(op, SetData):
                changed[op.path] = Stored(op.data, found.version + 1)
            if isinstance(op, Delete):
                gone.add(op.path)
            answer.append(found.version + 1 if isinstance(op, SetData) else 0)
        self.nodes.update(changed)
        for path in gone:
            del self.nodes[path]
        return tuple(answer)


@dataclass
class FakeGate:
    """The kernel's elements: dead at their end, exactly; what is dead can be neither renewed nor opened."""

    clock: FakeClock
    rules: bool = True
    sets: bool = True  # a flush of the table takes the rules and leaves these
    broken: bool = False  # the kernel refuses to shut, and to load rules that would be shut
    lease_until: float = float("-inf")
    permit_until: float = float("-inf")
    life_s: float = 0.0
    calls: list[str] = field(default_factory=list)
    ttls: list[float] = field(default_factory=list)
    before_open: Callable[[], None] = lambda: None

    def load(self) -> None:
        self.calls.append("load")
        if self.broken:
            raise StepFailed("the kernel refuses")
        self.rules = self.sets = True
        self.lease_until = self.permit_until = float("-inf")

    def intact(self) -> bool:
        return self.rules

    def is_open(self) -> bool:
        return self.sets and self.clock.now < self.lease_until

    def arm(self, ttl_s: float) -> None:
        self.calls.append("arm")
        if not self.sets:
            raise StepFailed("the tables are gone")
        self.permit_until = self.clock.now + ttl_s

    def open(self, ttl_s: float) -> None:
        self.before_open()
        self.calls.append("open")
        if not self.sets or self.clock.now >= self.permit_until:
            raise GateRefused("the permit has expired")
        self.permit_until = float("-inf")
        if not self.is_open() or ttl_s != self.life_s:  # a living element is added again: it stays as it is
            self.lease_until, self.life_s = self.clock.now + ttl_s, ttl_s

    def renew(self, ttl_s: float) -> None:
        self.calls.append("renew")
        if not self.is_open():
            raise GateRefused("the lease element has expired")
        self.lease_until, self.life_s = self.clock.now + ttl_s, ttl_s
        self.ttls.append(ttl_s)

    def shut(self) -> None:
        self.calls.append("shut")
        if self.broken or not self.sets:
            raise StepFailed("the kernel refuses")
        self.lease_until = self.permit_until = float("-inf")


@dataclass
class FakeVip:
    """The address of one host, and what was done with it."""

    here: bool = False
    calls: list[str] = field(default_factory=list)

    def present(self) -> bool:
        return self.here

    def probe(self) -> None:
        self.calls.append("probe")

    def foreign_mac(self) -> str | None:
        return None

    def add(self, lifetime_s: int) -> None:
        self.calls.append("add")
        self.here = True

    def drop(self) -> None:
        self.calls.append("drop")
        self.here = False

    def reset_clients(self) -> None:
        self.calls.append("reset_clients")

    def announce(self) -> None:
        self.calls.append("announce")

    def claimed_by(self, wait_s: float) -> str | None:
        return None
