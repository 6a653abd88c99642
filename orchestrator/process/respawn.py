"""A parent that holds nothing and forks a warm worker again when it dies.

The new worker has everything imported, so it works again within milliseconds; a fresh interpreter needs some hundreds.
Only a worker that dies by a signal or a bug is replaced; one that returns ends the parent with its status. A worker
never outlives its parent: frozen, it would keep the lock of its node from whoever is started next.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable

from orchestrator.process.threads import EXIT_STATUS

YOUNG_S = 1.0  # a worker that ended sooner is replaced later and later
PAUSE_MAX_S = 2.0
PR_SET_PDEATHSIG = 1  # linux/prctl.h


def respawn(work: Callable[[], int]) -> int:
    """Run `work` in a forked child until it returns; its status. Call it before any thread exists."""
    gc.freeze()  # the pages stay shared
    pause_s, parent = 0.0, os.getpid()
    while True:
        began = time.monotonic()
        pid = os.fork()
        if pid == 0:
            _end_with(parent)
            _work(work)
        status = _await(pid)
        if status >= 0 and status != EXIT_STATUS:
            return status
        sys.stderr.write(f"worker {pid} ended with {status}, another one takes over\n")
        pause_s = min(PAUSE_MAX_S, 2 * pause_s + 0.05) if time.monotonic() - began < YOUNG_S else 0.0
        time.sleep(pause_s)


def _end_with(parent: int) -> None:
    """SIGKILL for this process as soon as its parent ends; that wakes no frozen one, it ends it."""
    if ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL) != 0 or os.getppid() != parent:
        os._exit(EXIT_STATUS)


def _work(work: Callable[[], int]) -> None:
    status = EXIT_STATUS
    try:
        status = work()
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else 1
    except BaseException:  # noqa: BLE001 - this is the end of the process, whatever it was
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def _await(pid: int) -> int:
    """The child's exit status, negative for a signal. Signals to end us are passed on to it."""

    def forward(number: int, frame: object) -> None:
        os.kill(pid, number)

    before = {number: signal.signal(number, forward) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
