"""Runs a program of the administrator with a message on its standard input. Never by a shell."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Sequence
from tempfile import TemporaryFile
from typing import IO, Any

from orchestrator.core.delivery import SENT, Attempt, Ended

TRY_AGAIN = 75  # EX_TEMPFAIL of sysexits.h
SAID_MAX = 200  # bytes of its last words that people are shown
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def run(command: Sequence[str], body: Any, id: str, timeout_s: float) -> Attempt:
    """Run it in a process group of its own, which is killed after `timeout_s` with all that it has started.

    Exit status 0: sent; 75, or no end in time: tried again; every other: it refuses this one.
    """
    # Files, not pipes: neither a program that reads nothing nor a child of it that lives on can hold us up.
    with TemporaryFile() as given, TemporaryFile() as said:
        given.write(json.dumps(body, ensure_ascii=False).encode())
        given.seek(0)
        try:
            child = subprocess.Popen(
                list(command),
                stdin=given,
                stdout=subprocess.DEVNULL,
                stderr=said,
                env={"PATH": PATH, "KEMBAR_ALERT_ID": id, "LANG": "C.UTF-8"},  # nothing of ours: it may hold secrets
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            return Attempt(Ended.LATER, f"{command[0]} cannot be started: {error.strerror}")
        try:
            status = child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            return Attempt(Ended.LATER, f"{command[0]} had not ended after {timeout_s:g} s, and was killed")
        return _ended(command[0], status, said)


def _ended(program: str, status: int, said: IO[bytes]) -> Attempt:
    if status == 0:
        return SENT
    said.seek(-min(said.seek(0, os.SEEK_END), SAID_MAX), os.SEEK_END)
    words = "".join(one if one.isprintable() else " " for one in said.read().decode(errors="replace").strip())
    how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
    why = f"{program} {how}" + (f": {words}" if words else "")
    return Attempt(Ended.LATER if status == TRY_AGAIN or status < 0 else Ended.NEVER, why)
