"""A command's terminal as an asciicast (version 2): what it wrote, and when. Run in a terminal of its own."""

from __future__ import annotations

import codecs
import fcntl
import json
import os
import pty
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

READ_BYTES = 65536


def record(argv: Sequence[str], file: Path, columns: int, rows: int) -> int:
    """Run it, keep what it writes in the file; its exit status."""
    head = {"version": 2, "width": columns, "height": rows, "env": {"TERM": "xterm-256color"}}
    ours, its = pty.openpty()
    try:
        fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        began = time.monotonic()
        process = subprocess.Popen(argv, stdin=its, stdout=its, stderr=its, start_new_session=True)
        os.close(its)
        with file.open("w") as cast:
            cast.write(json.dumps(head) + "\n")
            for text in _read(ours):
                cast.write(json.dumps([round(time.monotonic() - began, 3), "o", text]) + "\n")
        return process.wait()
    finally:
        os.close(ours)


def _read(terminal: int) -> Iterator[str]:
    """What comes, until nobody holds the other end."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    while True:
        try:
            data = os.read(terminal, READ_BYTES)
        except OSError:  # EIO: the last process that had it has ended
            return
        if not data:
            return
        yield decoder.decode(data)


def output(file: Path) -> list[tuple[float, str]]:
    """When, in seconds, and what, of an asciicast."""
    _, *lines = file.read_text().splitlines()
    return [(float(at), str(text)) for at, kind, text in map(json.loads, lines) if kind == "o"]
