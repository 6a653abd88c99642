"""A file that another process appends lines to, read again and again: each time only what is new and complete."""

from __future__ import annotations

from pathlib import Path


class Tail:
    """What of one file was not read yet."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._offset = 0

    def lines(self) -> list[str]:
        """The lines completed since the last call; none while there is no file."""
        try:
            with self._file.open("rb") as file:
                file.seek(self._offset)
                fresh = file.read()
        except FileNotFoundError:
            return []
        complete = fresh[: fresh.rfind(b"\n") + 1]
        self._offset += len(complete)
        return complete.decode().splitlines()
