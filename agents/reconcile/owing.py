"""What a return that has begun still owes, on this host's disk: it goes on, whatever becomes of its record.

Written before the evidence is named: from then on the primary may use up the errant numbers, and nothing else would
show any more that this node's rows are not the primary's.
"""

from __future__ import annotations

from pathlib import Path

from agents.binlog.archive import make_folder, write_synced
from orchestrator.core.errors import Refused, StepFailed
from orchestrator.core.returning import Returning
from orchestrator.core.wire import decode, encode

NAME = "return.json"


class Owing:
    """One file in the folder of all evidence; the last return stays in it, also when nothing is owed any more."""

    def __init__(self, home: Path) -> None:
        self._path = home / NAME

    def read(self) -> Returning:
        """What was written last. One that cannot be read may be of a half-rewound server, and is taken for that."""
        try:
            return decode(Returning, self._path.read_bytes())
        except FileNotFoundError:
            return Returning()
        except (OSError, Refused) as error:
            return Returning(owed=True, rewinding=True, refusal=f"return_unreadable: {self._path}: {error}")

    def write(self, facts: Returning) -> None:
        """Synced. Raises StepFailed."""
        try:
            make_folder(self._path.parent)
            write_synced(self._path, encode(facts))
        except OSError as error:
            raise StepFailed(f"{self._path} cannot be written: {error}") from error
