"""Where the evidence of a return lies on this host, and its one sum. Owns the folder of each record."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agents.binlog.archive import SUMS, archive, make_folder, sync, sync_folder, write_synced
from orchestrator.core.errors import StepFailed
from orchestrator.core.reconcile import Reconcile


@dataclass(frozen=True, slots=True)
class Folder:
    """The folder of one record, private to the agent."""

    path: Path

    @classmethod
    def of(cls, home: Path, record: Reconcile) -> Folder:
        """What was cut before mysqld started lies where the record says: none was open then."""
        return cls(home / (record.evidence or f"return-{record.id}"))

    @property
    def logs(self) -> Path:
        return self.path / "binlog"

    def keep(self, files: Sequence[Path], index: Path) -> str:
        """Copy binary logs here, synced; the sum of the list of their sums. Raises StepFailed."""
        archive((*files, index), self.logs)
        return self.sums()

    def sums(self) -> str:
        """SHA-256 of the list of sums, which names every file; empty while there is none. Raises StepFailed."""
        try:
            return hashlib.sha256((self.logs / SUMS).read_bytes()).hexdigest()
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise StepFailed(f"evidence cannot be read: {error}") from error

    def files(self) -> tuple[Path, ...]:
        """The kept binary logs, oldest first. Raises StepFailed."""
        try:
            names = [name for _, name in map(_listed, (self.logs / SUMS).read_text().splitlines())]
        except (OSError, ValueError) as error:
            raise StepFailed(f"evidence cannot be read: {error}") from error
        return tuple(self.logs / name for name in names if not name.endswith(".index"))

    def whole(self) -> bool:
        """Whether every file is there as its sum says. Raises StepFailed if that cannot be told."""
        try:
            listed = [_listed(line) for line in (self.logs / SUMS).read_text().splitlines()]
            return bool(listed) and all(_digest(self.logs / name) == expected for expected, name in listed)
        except FileNotFoundError:
            return False
        except (OSError, ValueError) as error:
            raise StepFailed(f"evidence cannot be read: {error}") from error

    def take(self, fetch: Callable[[str, Path], None]) -> None:
        """Another host's evidence, file by file as its list names them. Raises StepFailed for one that differs."""
        try:
            make_folder(self.logs)
            listed = self.logs / (SUMS + ".fetched")
            fetch(SUMS, listed)
            for line in listed.read_text().splitlines():
                expected, name = _listed(line)
                self._take(name, expected, fetch)
            write_synced(self.logs / SUMS, listed.read_bytes())
        except (OSError, ValueError) as error:
            raise StepFailed(f"{self.logs}: the other host's evidence cannot be kept: {error}") from error

    def _take(self, name: str, expected: str, fetch: Callable[[str, Path], None]) -> None:
        target = self.logs / name
        if not (target.exists() and _digest(target) == expected):
            fetch(name, target)
            with target.open("rb") as file:
                os.fsync(file.fileno())
        if _digest(target) != expected:
            raise StepFailed(f"{name} is not what its sum says: {expected}")

    def note(self, name: str, value: dict[str, str]) -> None:
        """A small file of what must be known after a kill, synced before it is needed. Raises StepFailed."""
        try:
            make_folder(self.path)
            write_synced(self.path / name, json.dumps(value).encode())
        except OSError as error:
            raise StepFailed(f"{self.path / name} cannot be written: {error}") from error

    def noted(self, name: str) -> dict[str, str] | None:
        """Raises StepFailed for one that cannot be read."""
        try:
            found: dict[str, str] = json.loads((self.path / name).read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise StepFailed(f"{self.path / name} cannot be read: {error}") from error
        return found

    def add(self, name: str, line: str) -> None:
        """A line more in a small file, synced. Raises StepFailed."""
        try:
            make_folder(self.path)
            with (self.path / name).open("ab") as file:
                file.write(f"{line}\n".encode())
                sync(file)
            sync_folder(self.path)
        except OSError as error:
            raise StepFailed(f"{self.path / name} cannot be written: {error}") from error

    def lines(self, name: str) -> frozenset[str]:
        """What was added there. Raises StepFailed."""
        try:
            return frozenset((self.path / name).read_text().splitlines())
        except FileNotFoundError:
            return frozenset()
        except (OSError, ValueError) as error:
            raise StepFailed(f"{self.path / name} cannot be read: {error}") from error


def _listed(line: str) -> tuple[str, str]:
    """Sum and name. Raises ValueError."""
    expected, name = line.split("  ", 1)
    if name != Path(name).name or name in ("", "..", SUMS):
        raise ValueError(f"{name!r} is no name of a file of evidence")
    return expected, name


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
