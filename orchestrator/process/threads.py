"""Threads that may not die unseen. Owns the end of the process when one of them does."""

from __future__ import annotations

import logging
import os
import sys
import threading
import traceback
from collections.abc import Callable

# EX_SOFTWARE of sysexits.h: a bug of ours. systemd restarts us, the gate has closed by itself meanwhile.
EXIT_STATUS = 70


def start(name: str, run: Callable[[], None]) -> threading.Thread:
    """Run `run` in a thread called `name`; whatever it raises ends the whole process at once, with a traceback.

    A daemon that goes on without one of its threads would look alive while it protects nobody. Returning is allowed.
    """

    def guarded() -> None:
        try:
            run()
        except BaseException:  # noqa: BLE001 - SystemExit too would end the thread without a sound
            _end_process(name)

    thread = threading.Thread(target=guarded, name=name, daemon=True)
    thread.start()
    return thread


def _end_process(name: str) -> None:
    try:
        # Straight to stderr first: the log goes through a queue, and its own thread may be the one that died.
        sys.stderr.write(f"thread {name} died, so the process ends\n{traceback.format_exc()}")
        sys.stderr.flush()
        logging.shutdown()
    finally:
        os._exit(EXIT_STATUS)
