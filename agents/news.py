"""What wakes the tick early: a change of a record that may ask for an action, not each report of the peer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping

from orchestrator.core.ports import Seen


class News(threading.Event):
    """Set by whoever learns something that matters; the tick clears it."""

    def __init__(self, paths: Iterable[str]) -> None:
        """`paths` are those whose change matters at once."""
        super().__init__()
        self._paths = tuple(paths)
        self._last: tuple[Seen | None, ...] = ()

    def look(self, snapshot: Callable[[], Mapping[str, Seen]]) -> None:
        """From the mirror, in the connection thread: set if one of the paths shows another version."""
        seen = snapshot()
        now = tuple(seen.get(path) for path in self._paths)
        if now != self._last:
            self._last = now
            self.set()
