"""How the demo writes: lines with their time, colours on a terminal, one line that is written over."""

from __future__ import annotations

import os
import time
from typing import TextIO

MARGIN = " " * 10
BOLD, GREEN, RED, CYAN, PLAIN = "1", "1;32", "1;31", "36", "0"


class Teller:
    """Lines with the time since the beginning; on a terminal also colours, and one line that is written over."""

    def __init__(self, out: TextIO, *, colours: bool | None = None) -> None:
        self._out = out
        self._began = time.monotonic()
        self._live = out.isatty()
        self._colours = self._live and not os.environ.get("NO_COLOR") if colours is None else colours

    def step(self, text: str, colour: str = "") -> None:
        """A line with its time."""
        self._line(f"{time.monotonic() - self._began:6.1f} s  {self.painted(text, colour)}")

    def more(self, text: str = "", colour: str = "") -> None:
        """A line that belongs to the one above."""
        self._line(f"{MARGIN}{self.painted(text, colour)}".rstrip())

    def live(self, text: str) -> None:
        """Written over the last of its kind; nothing in a pipe."""
        if self._live:
            self._out.write(f"\r{MARGIN}{text}\033[K")
            self._out.flush()

    def painted(self, text: str, colour: str) -> str:
        return f"\033[{colour}m{text}\033[0m" if colour and self._colours else text

    def _line(self, text: str) -> None:
        self._out.write(f"\r\033[K{text}\n" if self._live else f"{text}\n")
        self._out.flush()
