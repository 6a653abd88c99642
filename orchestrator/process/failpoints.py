"""Places at which a process ends or stops itself, for tests of what a crash there leaves behind.

Off unless KEMBAR_FAILPOINTS names a folder. A place is armed by a file of its name in that folder; the file holds
`kill` or `stop` (the signal that the process sends to itself) and is removed first, so that each fires once.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Mapping
from pathlib import Path

from orchestrator.core.errors import Refused

VARIABLE = "KEMBAR_FAILPOINTS"
SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


class Failpoints:
    """The places of one process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Failpoints | None:
        """None when nobody asked for them. Raises Refused for a folder that is not there."""
        given = environ.get(VARIABLE)
        if not given:
            return None
        folder = Path(given)
        if not folder.is_dir():
            raise Refused(f"{VARIABLE}={given}: expected a folder; make it, or unset the variable")
        return cls(folder)

    def reach(self, place: str) -> None:
        """Fire if this place is armed. Raises KeyError for a signal that is not known."""
        armed = self._folder / place
        try:
            name = armed.read_text().strip()
            armed.unlink()
        except FileNotFoundError:
            return
        # To this thread: sent to the process, another one may take it while this one goes on past the place.
        signal.pthread_kill(threading.get_ident(), SIGNALS[name])
