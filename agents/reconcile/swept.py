"""What comparisons keep on disk: how far one is, how it ended, what is known to differ. Owns the folder `verify`."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from agents.binlog.archive import make_folder, write_synced
from agents.reconcile.sweeping import Position
from orchestrator.core.errors import StepFailed
from orchestrator.core.verifying import Difference, Verifying
from orchestrator.core.wire import WireWrong, decode, encode

log = logging.getLogger("kembar.verify")

LAST, KNOWN = "last.json", "differing.json"
Kept = TypeVar("Kept")


@dataclass(frozen=True, slots=True)
class Progress:
    """One comparison as a kill must leave it: what was told, the tables that are done, and the place in the next."""

    told: Verifying
    done: tuple[str, ...] = ()
    table: str = ""
    place: Position = field(default_factory=Position)
    elapsed_s: float = 0.0
    found: tuple[Difference, ...] = ()  # all; what was told is cut


@dataclass(frozen=True, slots=True)
class Known:
    """What differs between two servers as long as nobody has found it equal; and which two."""

    servers: tuple[str, ...] = ()  # uuids, sorted
    differences: tuple[Difference, ...] = ()


class SweptFolder:
    """Used by the thread of the comparisons."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def progress(self, order: str) -> Progress | None:
        """None if it was not begun, or if how far it was cannot be read: then it begins anew."""
        return self._read(Progress, _file(order))

    def keep(self, progress: Progress) -> None:
        """Raises StepFailed."""
        self._write(_file(progress.told.id), progress)

    def last(self) -> Verifying:
        """The last that has ended."""
        return self._read(Verifying, LAST) or Verifying()

    def end(self, progress: Progress) -> None:
        """Raises StepFailed."""
        self._write(LAST, progress.told)
        self.keep(progress)

    def known(self) -> Known:
        """One that cannot be read counts as a difference: what was in it must not be forgotten."""
        try:
            return self._readable(Known, KNOWN) or Known()
        except StepFailed as error:
            why = f"{error}: kembar verify makes it anew"
            return Known((), (Difference("record", str(self._path / KNOWN), "", "unknown", why),))

    def know(self, known: Known) -> None:
        """Raises StepFailed."""
        self._write(KNOWN, known)

    def prune(self, epoch: int) -> None:
        """Forget how far comparisons of earlier epochs were. Raises StepFailed."""
        try:
            for path in self._path.glob("of-*.json"):
                kept = self._read(Progress, path.name)
                if kept is None or kept.told.epoch < epoch:
                    path.unlink()
        except OSError as error:
            raise StepFailed(f"{self._path} cannot be cleaned: {error}") from error

    def _read(self, kind: type[Kept], name: str) -> Kept | None:
        try:
            return self._readable(kind, name)
        except StepFailed as error:
            log.warning("%s", error)
            return None

    def _readable(self, kind: type[Kept], name: str) -> Kept | None:
        try:
            return decode(kind, (self._path / name).read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, WireWrong) as error:
            raise StepFailed(f"{self._path / name} cannot be read: {error}") from error

    def _write(self, name: str, value: object) -> None:
        try:
            make_folder(self._path)
            write_synced(self._path / name, encode(value))
        except OSError as error:
            raise StepFailed(f"{self._path / name} cannot be written: {error}") from error


def _file(order: str) -> str:
    return f"of-{order}.json"
