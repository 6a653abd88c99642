"""The Mirror: watched copies of some nodes. Owns when a version was first seen; decides nothing.

Everything that changes a copy runs in the connection thread, so there is no lock; readers take a finished mapping.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

from kazoo.exceptions import ConnectionLoss, NoNodeError, SessionExpiredError
from kazoo.protocol import serialization as wire
from kazoo.protocol.states import EventType

from orchestrator.coordination.answer import Answer
from orchestrator.coordination.client import ZooKeeper, stored
from orchestrator.core.ports import Clock, Seen

log = logging.getLogger("kembar.zookeeper")

Ask = Callable[[Any, Callable[[Answer], None]], object]
_EMPTY: Mapping[str, Seen] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class _Known:
    """The newest version of a node that ever reached us: the zxid of its last change, and our copy."""

    zxid: int
    seen: Seen


class WatchedMirror:
    """Mirror (see the port) of `paths` and of all children of `folders`; the snapshot is keyed by full path.

    `wake` is called after each change of the snapshot, in the connection thread; it must not block. Lost watches are
    made good by reading everything once a second. Make it before the client is started.
    """

    def __init__(
        self,
        client: ZooKeeper,
        clock: Clock,
        paths: Iterable[str],
        folders: Iterable[str] = (),
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self._client = client
        self._clock = clock
        self._paths = frozenset(paths)
        self._folders = frozenset(folders)
        self._wake = wake
        # Outlives a cut: that we could not hear for a while does not change when we first heard of a version (t_obs).
        self._known: dict[str, _Known] = {}
        self._connection = 0  # counts connections and cuts: an answer of an earlier one is dropped
        self._names: dict[str, frozenset[str]] = {}  # full paths of the children of each folder that has been listed
        self._unread: set[str] = set()
        self._copies: dict[str, Seen] = {}
        self._published = _EMPTY
        client.listen(self)

    def snapshot(self) -> Mapping[str, Seen]:
        """See the port. Never a part of the first reading: a path is missing only if the node is."""
        return self._published

    # --- Listener

    def connected(self) -> None:
        """Read everything; nothing is published until all of it is here."""
        self._connection += 1
        self._unread = set(self._paths | self._folders)
        self.poll()

    def cut(self) -> None:
        """Forget the copies: watches end with the connection."""
        self._connection += 1
        self._copies.clear()
        self._names.clear()
        self._published = _EMPTY
        self._wake()

    def poll(self) -> None:
        """Ask for everything again, behind whatever others ask."""
        for folder in self._folders:
            self._list(folder, self._client.ask_in_turn)
        for path in (*self._paths, *self._published):
            if path not in self._folders:
                self._read(path, self._client.ask_in_turn)

    # --- in the connection thread

    def _read(self, path: str, ask: Ask | None = None) -> None:
        # One bound method for all: kazoo keeps watches in a set, so asking twice leaves one.
        (ask or self._client.ask)(wire.GetData(path, self._changed), partial(self._take, self._connection, path))

    def _list(self, folder: str, ask: Ask | None = None) -> None:
        (ask or self._client.ask)(
            wire.GetChildren(folder, self._changed), partial(self._take_names, self._connection, folder)
        )

    def _changed(self, event: Any) -> None:
        if event.type == EventType.NONE:
            return  # kazoo tells all watches of a cut, of which we know
        if event.path in self._folders:
            self._list(event.path)
        else:
            self._read(event.path)

    def _take(self, connection: int, path: str, answer: Answer) -> None:
        if connection != self._connection:
            return
        if isinstance(answer.error, NoNodeError):
            if path in self._paths:
                # The server keeps no watch on what a read did not find; `exists` does.
                request = wire.Exists(path, self._changed)
                self._client.ask(request, partial(self._take_absence, connection, path))
            else:
                self._settle(path, None)
        elif self._usable(path, answer):
            self._settle(path, self._sighting(path, *answer.value()))

    def _take_absence(self, connection: int, path: str, answer: Answer) -> None:
        if connection != self._connection or not self._usable(path, answer):
            return
        if answer.value() is None:
            self._settle(path, None)
        else:
            self._read(path)  # made between the two questions

    def _take_names(self, connection: int, folder: str, answer: Answer) -> None:
        if connection != self._connection:
            return
        if isinstance(answer.error, NoNodeError):
            found: frozenset[str] = frozenset()  # no watch, but the poll will see it when it comes
        elif self._usable(folder, answer):
            found = frozenset(f"{folder}/{name}" for name in answer.value())
        else:
            return
        before = self._names.get(folder, frozenset())
        self._names[folder] = found
        fresh = found - before
        if folder in self._unread:
            self._unread |= fresh  # the first publication waits for the children too
        for path in fresh:
            self._read(path)
        for path in before - found:
            self._settle(path, None)
        self._settle(folder, None)

    def _usable(self, path: str, answer: Answer) -> bool:
        if answer.error is None:
            return True
        if not isinstance(answer.error, (ConnectionLoss, SessionExpiredError)):
            # Without this path the snapshot stays empty, which stops decisions: a person must hear of it.
            log.error("ZooKeeper refuses to show %s: %r", path, answer.error)
        return False

    def _sighting(self, path: str, data: bytes, stat: Any) -> Seen:
        known = self._known.get(path)
        # A server that lags behind may show an older version than the one before it: the newer one stands.
        if known is None or stat.mzxid > known.zxid:
            known = _Known(stat.mzxid, Seen(stored(data, stat), self._clock.waiter_now()))
            self._known[path] = known
        return known.seen

    def _settle(self, path: str, seen: Seen | None) -> None:
        """Take what was found; publish if that is news, or if it was the last that was missing."""
        was_incomplete = bool(self._unread)
        self._unread.discard(path)
        news = self._copies.get(path) is not seen
        if seen is not None:
            self._copies[path] = seen
        else:
            self._copies.pop(path, None)
            if path not in self._paths:
                self._known.pop(path, None)  # a request that was removed does not come back
        if not self._unread and (news or was_incomplete):
            self._published = MappingProxyType(dict(self._copies))
            self._wake()
