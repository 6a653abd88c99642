"""ZooKeeper as its clients meet it: one line of versions, sessions in order, answers that get lost, stale reads."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from types import SimpleNamespace
from typing import Any

from kazoo.protocol import serialization as wire
from kazoo.protocol.states import EventType

from orchestrator.core.errors import CoordinatorUnavailable, KembarError, StaleWrite, UnknownOutcome
from orchestrator.core.ports import Create, Delete, Op, SetData, Stored
from tests.sim.network import ZK, Network
from tests.sim.strands import CHANGES, Process, Strand, Time, this_strand

SESSION_S = 1.0
RETRY_S = 0.05  # how often a lost packet is sent again, and a lost client connects
TURNED_AWAY_S = 6.0  # until a process that has seen what the ensemble lost ends

History = list[tuple[float, Stored | None, int]]  # since when, what, session of an ephemeral


class Store:
    """The tree as the leader has it, and as followers had it a moment ago."""

    def __init__(self, time: Time) -> None:
        self._time = time
        self._nodes: dict[str, History] = {}
        self._children: dict[str, dict[str, None]] = defaultdict(dict)
        self._made: Counter[str] = Counter()  # in each folder, ever: the next number of a sequence
        self.available = True
        self.written: list[Callable[[str, Stored | None], None]] = []

    def now(self, path: str) -> Stored | None:
        history = self._nodes.get(path)
        return history[-1][1] if history else None

    def owner(self, path: str) -> int:
        history = self._nodes.get(path)
        return history[-1][2] if history else 0

    def then(self, path: str, when: float) -> tuple[float, Stored | None]:
        """What it was at that time, and since when."""
        history = self._nodes.get(path)
        if not history:
            return 0.0, None
        for since, stored, _ in reversed(history):
            if since <= when:
                return since, stored
        return 0.0, history[0][1] if history[0][0] <= 0 else None

    def children(self, folder: str) -> list[str]:
        return list(self._children[folder])

    def put(self, path: str, data: bytes) -> None:
        """Provisioning."""
        self._write(path, Stored(data, 0), 0)

    def apply(self, ops: Sequence[Op], session: int) -> tuple[str | int, ...] | KembarError:
        """All or nothing; each op sees those before it."""
        changed: dict[str, tuple[Stored | None, int]] = {}
        made: Counter[str] = Counter()
        answer: list[str | int] = []
        for op in ops:
            path = op.path
            if isinstance(op, Create) and op.sequence:
                folder = path.rpartition("/")[0]
                path = f"{path}{self._made[folder] + made[folder]:010d}"
            found, owner = changed[path] if path in changed else (self.now(path), self.owner(path))
            if isinstance(op, Create):
                if found is not None:
                    return StaleWrite(f"{path} exists")
                made[path.rpartition("/")[0]] += 1
            elif found is None or op.version not in (-1, found.version):
                return StaleWrite(f"{path} is not at {op.version}")
            answer.append(self._do(op, path, found, owner, session, changed))
        self._made.update(made)
        for path, (stored, owner) in changed.items():
            self._write(path, stored, owner)
        return tuple(answer)

    def restore(self, when: float) -> None:
        """Every server starts from a copy of its data of that instant: later writes are lost, and nobody is told."""
        for path, history in list(self._nodes.items()):
            _, oldest, its_owner = history[0]  # of those that are kept: of a lease, some seconds
            was_there = oldest is not None and oldest.created_ms <= when * 1000
            unknown = (oldest, its_owner) if was_there else (None, 0)
            stored, session = next(((s, owner) for since, s, owner in reversed(history) if since <= when), unknown)
            if stored != history[-1][1]:
                self._write(path, stored if session == 0 else None, 0)

    def expire(self, session: int) -> None:
        """The end of a session takes its ephemeral nodes along."""
        for path in [path for path, history in self._nodes.items() if history[-1][1] and history[-1][2] == session]:
            self._write(path, None, 0)

    def _do(
        self, op: Op, path: str, found: Stored | None, owner: int, session: int,
        changed: dict[str, tuple[Stored | None, int]],
    ) -> str | int:  # fmt: skip
        at_ms = int(self._time.now * 1000)
        if isinstance(op, Create):
            changed[path] = Stored(op.data, 0, at_ms, at_ms), session if op.ephemeral else 0
            return path
        if isinstance(op, SetData):
            assert found is not None
            changed[path] = Stored(op.data, found.version + 1, found.created_ms, at_ms), owner
            return found.version + 1
        if isinstance(op, Delete):
            changed[path] = None, 0
        return 0

    def _write(self, path: str, stored: Stored | None, session: int) -> None:
        history = self._nodes.setdefault(path, [])
        history.append((self._time.now, stored, session))
        if len(history) > 200:
            del history[:100]
        folder, _, name = path.rpartition("/")
        if stored is None:
            self._children[folder].pop(name, None)
        else:
            self._children[folder][name] = None
        for told in self.written:
            told(path, stored)


class Pending:
    """A request on its way. `value` is the outcome once it is here."""

    __slots__ = ("arrived", "connection", "heard", "ops", "outcome", "path", "strand", "wake")

    def __init__(self, ops: Sequence[Op] | None, path: str, connection: int) -> None:
        self.ops, self.path, self.connection = ops, path, connection
        self.outcome: Any = None
        self.heard: Any = None  # the outcome, while those of earlier ones are still on their way
        self.strand: Strand | None = None
        self.wake: Callable[[], None] | None = None
        self.arrived = False

    def done(self) -> bool:
        return self.outcome is not None

    def result(self, timeout_s: float) -> tuple[str | int, ...]:
        if self.outcome is None and timeout_s > 0:
            self.strand = this_strand()
            self.strand.wait(timeout_s)
            self.strand = None
        if self.outcome is None:
            raise UnknownOutcome("no answer in time")
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    def settle(self, outcome: Any) -> None:
        if self.outcome is None:
            self.outcome = outcome
            if self.strand is not None:
                self.strand.wake()
            if self.wake is not None:
                self.wake()


@dataclass(slots=True)
class _Read:
    value: Any


class Client:
    """Coordinator of one process, and what the election needs of the client beside it."""

    sessions = 0

    def __init__(
        self, time: Time, network: Network, store: Store, host: str, process: Process, clock: Any, rng: Random, *,
        stall_s: float, lag_s: float,
    ) -> None:  # fmt: skip
        self._time, self._network, self.store, self._host = time, network, store, host
        self.process, self._clock, self._rng = process, clock, rng
        self._stall_s, self._lag_s = stall_s, lag_s
        self.connected = False
        self.session_id: int | None = None
        self._session = 0
        self._expires: float | None = None  # while not connected: when the ensemble gives the session up
        self._connection = 0
        self._flights: list[Pending] = []
        self._last_arrival = 0.0
        self._floor = 0.0  # a session never reads anything older than what it has seen
        self._hearing = float("inf")
        self._unheard_since: float | None = None
        self.stale_since: float | None = None  # our follower is cut from its leader since then
        self.ends: Callable[[], None] = lambda: None  # the process, since its history is lost
        self._turned_away: float | None = None
        self._listeners: list[Any] = []
        self._child_watches: dict[str, Any] = {}
        network.changed.append(self._link_changed)
        store.written.append(self._child_changed)
        process.when_thawed.append(self._thawed)
        self._connect_soon()

    # --- the port

    def listen(self, listener: Any) -> None:
        self._listeners.append(listener)

    def hearing_since(self) -> float:
        unheard = self._unheard_since
        if not self.connected or (unheard is not None and self._time.now - unheard > self._stall_s):
            return float("inf")
        return self._hearing

    def submit(self, ops: Sequence[Op], wake: Callable[[], None] | None = None) -> Pending:
        return self._send(tuple(ops), "", wake)

    def read(self, path: str, timeout_s: float = 2.0) -> Stored | None:
        return self._ask(path, timeout_s)

    def children(self, path: str, timeout_s: float = 2.0) -> tuple[str, ...]:
        return tuple(sorted(self._ask(f"{path}/", timeout_s)))

    def fetch(self, request: Any, timeout_s: float) -> Any:
        """For the election."""
        if isinstance(request, wire.GetChildren):
            names = self._ask(f"{request.path}/", timeout_s)
            if request.watcher is not None:
                self._child_watches[request.path] = request.watcher
            return names
        stored = self._ask(request.path, timeout_s)
        if stored is None:
            return None
        return stored.data, SimpleNamespace(ephemeralOwner=self.store.owner(request.path), version=stored.version)

    def close(self) -> None:
        self._network.changed.remove(self._link_changed)
        self.store.written.remove(self._child_changed)
        if self.connected or self._session:
            self._disconnected()

    # --- requests

    def _ask(self, path: str, timeout_s: float) -> Any:
        pending = self._send(None, path, None)
        try:
            return pending.result(timeout_s).value
        except UnknownOutcome as error:
            raise CoordinatorUnavailable(f"read of {path}: {error}") from None

    def _send(self, ops: Sequence[Op] | None, path: str, wake: Callable[[], None] | None) -> Pending:
        strand = self._time.strand
        if strand is not None:
            strand.boundary(CHANGES if ops is not None and len(ops) > 1 else 1)
        if not self.connected:
            raise CoordinatorUnavailable("not connected")
        pending = Pending(ops, path, self._connection)
        pending.wake = wake
        self._flights.append(pending)
        self._last_arrival = max(self._last_arrival + 1e-6, self._time.now + self._network.delay_s() + 0.001)
        self._time.at(self._last_arrival, lambda: self._arrive(pending))
        return pending

    def _arrive(self, pending: Pending) -> None:
        if self._turned_away is not None:
            return
        reattached = self.connected and pending.connection != self._connection
        if reattached or (not self.process.alive and self._rng.random() < 0.5):
            return  # the ensemble refuses what a session sent before it moved
        earlier = next((one for one in self._flights if one is pending or not one.arrived), pending)
        working = self.store.available and self.stale_since is None
        if earlier is not pending or not self._network.up(self._host, ZK) or (pending.ops is not None and not working):
            if (pending.connection == self._connection and self.connected) or self._rng.random() < 0.9:
                self._time.after(RETRY_S, lambda: self._arrive(pending))
            return
        pending.arrived = True
        outcome: Any
        if pending.ops is None:
            outcome = _Read(self._view(pending.path))
        else:
            outcome = self.store.apply(pending.ops, self._session)
            self._floor = self._time.now
        self._time.after(self._network.delay_s() + 0.0005, lambda: self._answer(pending, outcome))

    def _answer(self, pending: Pending, outcome: Any) -> None:
        if pending.connection != self._connection or not self.connected:
            return
        if not self._network.up(ZK, self._host) or not self.store.available:
            self._time.after(RETRY_S, lambda: self._answer(pending, outcome))
            return
        if self.process.frozen:
            self.process.do(lambda: self._answer(pending, outcome))
            return
        pending.heard = outcome
        while self._flights and self._flights[0].heard is not None:
            first = self._flights.pop(0)
            first.settle(first.heard)

    def _when(self) -> float:
        when = self._time.now - self._lag_s * self._rng.random() if self.stale_since is None else self.stale_since
        self._floor = max(when, self._floor)
        return self._floor

    def _view(self, path: str) -> Any:
        when = self._when()
        if path.endswith("/"):
            return self.store.children(path[:-1])
        return self.store.then(path, when)[1]

    def view(self, path: str) -> tuple[float, Stored | None]:
        """What its server shows, and since when it is so."""
        return self.store.then(path, self._when())

    # --- connection

    def reachable(self) -> bool:
        return self._network.both(self._host, ZK)

    def _connect_soon(self) -> None:
        self._time.after(0.005 + 0.02 * self._rng.random(), self._connect)

    def _connect(self) -> None:
        if not self.process.alive or self.connected:
            return
        if self.process.frozen or not (self.reachable() and self.store.available):
            self._time.after(RETRY_S * (0.5 + self._rng.random()), self._connect)
            return
        if self._turned_away is not None:
            if self._time.now - self._turned_away > TURNED_AWAY_S:
                self.ends()
            else:
                self._connect_soon()
            return
        if self._session == 0 or (self._expires is not None and self._time.now >= self._expires):
            self._end_session()
            Client.sessions += 1
            self._session = Client.sessions
        self._expires = None
        self.connected, self.session_id = True, self._session
        self._connection += 1
        self._unheard_since = self.stale_since = None
        self._floor = max(self._floor, self._time.now - self._lag_s)
        self._hearing = self._clock.waiter_now()
        for listener in self._listeners:
            listener.connected()

    def cut(self) -> None:
        """The client gives this connection up, or lost it: every request in flight has an unknown outcome."""
        if not self.connected:
            return
        self._disconnected()
        self.process.do(self._lost)
        self._connect_soon()

    def turn_away(self) -> None:
        """The ensemble has lost writes that this client has seen: it will never be let in again."""
        self._turned_away = self._time.now
        self.cut()

    def _disconnected(self) -> None:
        self.connected, self.session_id = False, None
        self._child_watches.clear()
        session = self._session
        self._expires = self._time.now + SESSION_S * (1 + 0.35 * self._rng.random())
        self._time.at(self._expires, lambda: self._maybe_expire(session))

    def _maybe_expire(self, session: int) -> None:
        if session == self._session and not self.connected:
            if self.store.available:
                self._end_session()
            else:  # a new leader gives every session its full time again
                self._expires = self._time.now + SESSION_S
                self._time.at(self._expires, lambda: self._maybe_expire(session))

    def _end_session(self) -> None:
        if self._session:
            self.store.expire(self._session)
            self._session = 0

    def _lost(self) -> None:
        flights, self._flights = self._flights, []
        for listener in self._listeners:
            listener.cut()
        for pending in flights:
            if pending.ops is None:
                pending.settle(CoordinatorUnavailable("connection lost"))
            else:
                pending.settle(UnknownOutcome("connection lost in flight"))

    def trouble_begins(self) -> None:
        """Nothing of the ensemble's leader reaches us from now on: seen after the stall deadline, if it lasts."""
        if not self.connected or self._unheard_since is not None:
            return
        began = self._unheard_since = self._time.now

        def check() -> None:
            if self._unheard_since == began and self.connected:
                self.cut()

        self._time.after(self._stall_s * (1 + 0.35 * self._rng.random()), lambda: self.process.do(check))

    def trouble_ends(self) -> None:
        if self._unheard_since is not None and self.reachable() and self.store.available and self.stale_since is None:
            if self._time.now - self._unheard_since > self._stall_s:
                self._hearing = self._clock.waiter_now()
            self._unheard_since = None

    def _link_changed(self, source: str, target: str) -> None:
        if self._host in (source, target) and ZK in (source, target):
            if self.reachable():
                self.trouble_ends()
            else:
                self.trouble_begins()

    def _thawed(self, frozen_s: float) -> None:
        if frozen_s > self._stall_s:
            self._hearing = self._clock.waiter_now()
        if frozen_s > 0.66 * SESSION_S and self.connected:
            if frozen_s > SESSION_S:
                self._end_session()
            self.cut()

    def _child_changed(self, path: str, stored: Stored | None) -> None:
        folder = path.rpartition("/")[0]
        watch = self._child_watches.get(folder)
        if watch is None or (stored is not None and stored.version):
            return
        del self._child_watches[folder]
        event = SimpleNamespace(type=EventType.CHILD, path=folder)
        self._time.after(self._network.delay_s(), lambda: self.process.do(lambda: watch(event)))
