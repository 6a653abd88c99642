"""One process, held so that its number cannot be reused under us: signals by pidfd, state by a kept /proc file."""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

from agents.evidence import dumping_core, exiting, start_ticks
from orchestrator.core.errors import StepFailed

STAT_BYTES, STATUS_BYTES = 1024, 8192
CORE_EVERY = 20  # polls between two looks at the longer text of status
POLL_S = 0.001


class HeldProcess:
    """A process by its pidfd and its open files in /proc. Used by several threads; the files close with the last user.

    A read of these files fails once the process is reaped, whoever has its number then.
    """

    def __init__(self, pid: int) -> None:
        """Raises ProcessLookupError if there is no such process."""
        self.pid = pid
        self._pidfd = self._stat = self._status = -1
        self._polls = 0
        try:
            self._pidfd = os.pidfd_open(pid)
            # The main thread's own line: that of the whole process sums up every thread at each read.
            self._stat = os.open(f"/proc/{pid}/task/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
            self._status = os.open(f"/proc/{pid}/status", os.O_RDONLY | os.O_CLOEXEC)
            self.started_ticks = start_ticks(self._text(self._stat, STAT_BYTES))
        except FileNotFoundError as error:
            raise ProcessLookupError(f"process {pid} is gone") from error
        if self.gone():
            # It ended while we looked: what we opened in /proc may belong to the next owner of the number.
            raise ProcessLookupError(f"process {pid} is gone")

    @classmethod
    def open(cls, pid: int) -> Self | None:
        """The process, or None if there is none of that number."""
        try:
            return cls(pid)
        except ProcessLookupError:
            return None

    def exiting(self) -> bool:
        """Whether it has begun to exit, is a zombie, dumps core, or is gone. Cheap: for a poll every few ms."""
        try:
            if exiting(self._text(self._stat, STAT_BYTES)):
                return True
            self._polls += 1
            return self._polls % CORE_EVERY == 0 and dumping_core(self._text(self._status, STATUS_BYTES))
        except ProcessLookupError:
            return True

    def gone(self) -> bool:
        """Whether all its threads have ended.

        Its main thread is a zombie earlier: the others still hold files and ports, and a mysqld that is started then
        never comes up, since it fails on the lock of its own data (measured).
        """
        poll = select.poll()  # not select(): that refuses descriptors above 1023
        poll.register(self._pidfd, select.POLLIN)
        return bool(poll.poll(0))

    def kill(self, within_s: float) -> None:
        """SIGKILL, and wait until it is exiting. Raises StepFailed if that does not show."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        end = time.clock_gettime(time.CLOCK_MONOTONIC_RAW) + within_s
        while not self.exiting():
            if time.clock_gettime(time.CLOCK_MONOTONIC_RAW) > end:
                raise StepFailed(
                    f"process {self.pid} was killed and is not exiting after {within_s} s: is its disk hung?"
                )
            time.sleep(POLL_S)

    def command(self) -> list[str]:
        """Program and arguments; empty for a zombie."""
        try:
            text = Path(f"/proc/{self.pid}/cmdline").read_text(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            return []
        return text.split("\0")[:-1]

    def _text(self, handle: int, size: int) -> str:
        return os.pread(handle, size, 0).decode(errors="replace")

    def __del__(self) -> None:
        for handle in (self._pidfd, self._stat, self._status):
            if handle >= 0:
                os.close(handle)
