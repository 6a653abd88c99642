"""Whether a small synced write works where data and binary log lie: a thread that is asked while commits are late."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Sequence
from pathlib import Path

from agents.evidence import Disk
from orchestrator.core.model import Instant
from orchestrator.core.ports import Clock

EVERY_S = 0.5
HANGS_S = 1.0
BLOCK = bytes(4096)


class DiskProbe:
    """A small synced write where data and binary log lie, while a commit is unanswered."""

    def __init__(self, directories: Sequence[Path], clock: Clock) -> None:
        self._files = [directory / ".kembar-probe" for directory in dict.fromkeys(directories)]
        self._clock = clock
        self._stopped = threading.Event()
        self._suspected = threading.Event()
        self._asked: Instant | None = None
        self._failing = Disk()

    def suspect(self, on: bool) -> None:
        if on:
            self._suspected.set()
        else:
            self._suspected.clear()

    def state(self, now: Instant) -> Disk:
        """A write in flight for longer than 1 s is as bad as a failed one."""
        asked = self._asked
        if asked is not None and now - asked > HANGS_S and self._failing.bad_since is None:
            return Disk(asked, "a write of 4 KiB hangs")
        return self._failing

    def run(self) -> None:
        """Until `stop`; a write that hangs for ever is left to the kernel, as no signal ends it."""
        while not self._stopped.is_set():
            if self._suspected.wait(0.2) and not self._stopped.is_set():
                self._once()
                self._stopped.wait(EVERY_S)
            else:
                self._failing = Disk()

    def stop(self) -> None:
        self._stopped.set()
        self._suspected.set()

    def _once(self) -> None:
        self._asked = asked = self._clock.waiter_now()
        why = ""
        for file in self._files:
            try:
                _write_synced(file)
            except OSError as error:
                why = f"{file.parent}: {error.strerror}"
        self._asked = None
        since = self._failing.bad_since
        self._failing = Disk(asked if since is None else since, why) if why else Disk()


def _write_synced(file: Path) -> None:
    """A new file each time: overwriting would need no free block. Space that is kept for root does not count."""
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        if os.fstatvfs(handle).f_bavail == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.write(handle, BLOCK)
        os.fsync(handle)
    finally:
        os.close(handle)
        file.unlink(missing_ok=True)
