"""Watched copies in one process: late, sometimes later, but never older than what was shown before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import Any

from orchestrator.core.ports import Seen, Stored
from tests.sim.strands import Time
from tests.sim.zookeeper import Client

POLL_S = 1.0


class SimMirror:
    """Mirror (see the port). Watches may be lost; then the poll makes it good, as in the real one."""

    def __init__(
        self, time: Time, client: Client, clock: Any, rng: Random, paths: Iterable[str], folders: Iterable[str] = (),
        wake: Callable[[], None] = lambda: None, *, late_s: float, lost: float,
    ) -> None:  # fmt: skip
        self._time, self._client, self._clock, self._rng = time, client, clock, rng
        self._paths, self._folders = dict.fromkeys(paths), tuple(folders)
        self._wake, self._late_s, self._lost = wake, late_s, lost
        self._copies: dict[str, Seen] = {}
        self._known: dict[str, tuple[float, Seen]] = {}  # the newest that ever reached us, and since when it was so
        self._on_the_way: set[str] = set()
        self._published: Mapping[str, Seen] = {}
        self._connection = 0
        client.listen(self)
        client.store.written.append(self._written)

    def snapshot(self) -> Mapping[str, Seen]:
        return self._published

    def close(self) -> None:
        self._client.store.written.remove(self._written)

    # --- Listener

    def connected(self) -> None:
        self._connection += 1
        self._on_the_way.clear()
        self._later(self._read_all)

    def cut(self) -> None:
        self._connection += 1
        self._copies.clear()
        self._published = {}
        self._wake()

    def _later(self, call: Callable[[], None]) -> None:
        connection = self._connection

        def now() -> None:
            if connection == self._connection and self._client.connected:
                if self._client.reachable():
                    self._client.process.do(guarded)
                else:
                    self._time.after(0.05, now)

        def guarded() -> None:
            if connection == self._connection:
                call()

        self._time.after(self._late_s * (0.3 + self._rng.random()), now)

    def _written(self, path: str, stored: Stored | None) -> None:
        if path not in self._paths and path.rpartition("/")[0] not in self._folders:
            return
        if not self._client.connected or self._client.stale_since is not None or path in self._on_the_way:
            return
        if self._lost and self._rng.random() < self._lost:
            return
        self._on_the_way.add(path)
        self._later(lambda: self._read(path))

    def _read(self, path: str) -> None:
        self._on_the_way.discard(path)
        if self._take(path):
            self._publish()
        self._catch_up(path)

    def _catch_up(self, path: str) -> None:
        """If the follower was behind, its watch fires when it is no longer."""
        have = self._copies.get(path)
        if path not in self._on_the_way and (have.stored if have else None) != self._client.store.now(path):
            self._on_the_way.add(path)
            self._later(lambda: self._read(path))

    def _read_all(self) -> None:
        wanted = [*self._paths]
        for folder in self._folders:
            wanted += [f"{folder}/{name}" for name in self._client.store.children(folder)]
        changed = [self._take(path) for path in (*wanted, *self._copies)]
        if any(changed) or not self._published:
            self._publish()
        for path in wanted:
            self._catch_up(path)
        if self._lost:
            connection = self._connection

            def again() -> None:
                if connection == self._connection and self._client.connected:
                    self._client.process.do(lambda: connection == self._connection and self._read_all())

            self._time.after(POLL_S, again)

    def _take(self, path: str) -> bool:
        """Whether it is news. A server that lags may show an older change than the one before it: the newer stands."""
        since, stored = self._client.view(path)
        if stored is None:
            return self._copies.pop(path, None) is not None
        known = self._known.get(path)
        if known is None or since > known[0]:
            known = self._known[path] = since, Seen(stored, self._clock.waiter_now())
        if self._copies.get(path) is known[1]:
            return False
        self._copies[path] = known[1]
        return True

    def _publish(self) -> None:
        self._published = dict(self._copies)
        self._wake()
