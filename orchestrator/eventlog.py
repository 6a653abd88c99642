"""The events that this orchestrator has seen go by: more of them than ZooKeeper keeps in its one node."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from orchestrator.core.history import Event

KEPT_MAX = 1000  # so many are replayed to whoever was away


class EventLog:
    """By number, oldest first."""

    def __init__(self) -> None:
        self._kept: Mapping[int, Event] = MappingProxyType({})

    @property
    def kept(self) -> Mapping[int, Event]:
        return self._kept

    def take(self, held: Mapping[int, Event]) -> None:
        """What ZooKeeper holds now; a log that begins anew there begins anew here. Nothing, while it cannot be read."""
        newest = max(held, default=-1)
        if not held or (newest in self._kept and self._kept[newest] == held[newest]):
            return
        before = self._kept if newest > max(self._kept, default=-1) else {}
        self._kept = MappingProxyType(dict(sorted({**before, **held}.items())[-KEPT_MAX:]))
