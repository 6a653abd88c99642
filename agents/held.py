"""One process, held so that its number cannot be reused under us: signals by pidfd, state by a kept /proc file."""

from __future__ import annotations

import errno
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
PIDFD_THREAD = os.O_EXCL  # Linux 6.9: a pidfd of one thread, readable when that thread has ended
WATCHED = 8  # threads; the first that a kill reaches is enough
OLD_KERNEL_POLL_S = 0.005
SETTLES_S = 0.01  # a thread may be gone before the flag of the main thread shows: 2 ms at most (measured)


class HeldProcess:
    """A process by its pidfd and its open files in /proc. Used by several threads; the files close with the last user.

    A read of these files fails once the process is reaped, whoever has its number then.
    """

    def __init__(self, pid: int) -> None:
        """Raises ProcessLookupError if there is no such process."""
        self.pid = pid
        self._pidfd = self._stat = self._status = -1
        self._threads: dict[int, int] = {}  # thread pidfd -> thread; used by `await_exiting` alone
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
        except ProcessLookupError:
            return True
        self._polls += 1
        return self._polls % CORE_EVERY == 0 and self._dumping_core()

    def await_exiting(self, within_s: float) -> bool:
        """Whether it begins to exit within that time. For one thread; costs nothing while nothing happens.

        After a kill -9 the first threads are gone after 0.2-0.7 ms, while main thread and process show it after
        50-80 ms only (measured). A poll every 5 ms would take 2 % of a core (measured), and is left to old kernels.
        """
        end = _now() + within_s
        while (left_s := end - _now()) > 0:
            if self.exiting() or self._dumping_core():
                return True
            if not self._watch_threads():
                time.sleep(min(left_s, OLD_KERNEL_POLL_S))
            elif self._a_thread_ended(left_s) and self._settled():
                return True
        return self.exiting()

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
        end = _now() + within_s
        while not self.exiting():
            if _now() > end:
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

    def _dumping_core(self) -> bool:
        try:
            return dumping_core(self._text(self._status, STATUS_BYTES))
        except ProcessLookupError:
            return True

    def _watch_threads(self) -> bool:
        """Hold some threads; a process that has just started has few. False if this kernel cannot."""
        if len(self._threads) >= WATCHED:
            return True
        try:
            threads = sorted(int(name) for name in os.listdir(f"/proc/{self.pid}/task"))  # noqa: PTH208 - names only
            for thread in threads:
                if thread not in (self.pid, *self._threads.values()) and len(self._threads) < WATCHED:
                    self._threads[os.pidfd_open(thread, PIDFD_THREAD)] = thread
        except (FileNotFoundError, ProcessLookupError):
            return bool(self._threads)  # one of them, or all, ended meanwhile
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return False
        return bool(self._threads)

    def _a_thread_ended(self, within_s: float) -> bool:
        poll = select.poll()
        for handle in self._threads:
            poll.register(handle, select.POLLIN)
        ended = [handle for handle, _ in poll.poll(within_s * 1000)]
        for handle in ended:
            del self._threads[handle]
            os.close(handle)
        return bool(ended)

    def _settled(self) -> bool:
        """Whether the end of a thread was the end of all: one alone may end at any time."""
        end = _now() + SETTLES_S
        while not self.exiting():
            if _now() > end:
                return False
            time.sleep(0.0005)
        return True

    def _text(self, handle: int, size: int) -> str:
        return os.pread(handle, size, 0).decode(errors="replace")

    def __del__(self) -> None:
        for handle in (self._pidfd, self._stat, self._status, *self._threads):
            if handle >= 0:
                os.close(handle)


def _now() -> float:
    return time.clock_gettime(time.CLOCK_MONOTONIC_RAW)
