"""Binary log files as they are read: mapped, not loaded; a compressed transaction is spooled to a nameless file."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agents.binlog.contents import Transaction
from agents.binlog.fields import Unreadable
from agents.binlog.parse import Buffer, body, head
from agents.binlog.payload import unpacked
from orchestrator.core.errors import StepFailed
from orchestrator.core.gtid import GtidSet


@contextmanager
def mapped(path: Path) -> Iterator[Buffer]:
    """The bytes of a file. Raises OSError."""
    with path.open("rb") as file:
        if not file.seek(0, 2):
            yield b""  # nothing cannot be mapped
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield data


@contextmanager
def contents(data: Buffer, transaction: Transaction) -> Iterator[Buffer]:
    """The bytes in which the positions of `transaction.changes` are."""
    if transaction.packed is None:
        yield data
        return
    with tempfile.TemporaryFile() as spool:
        spool.writelines(unpacked(body(data, transaction.packed)))
        spool.flush()
        with mmap.mmap(spool.fileno(), 0, access=mmap.ACCESS_READ) as events:
            yield events


def files_after(datadir: Path, index: Path, common: GtidSet) -> list[Path]:
    """The files of `index` that may hold what `common` lacks, oldest first. Raises StepFailed.

    From the newest backwards to the first before which everything is common; relative names are in `datadir`.
    """
    found: list[Path] = []
    try:
        names = [line for line in index.read_text().split("\n") if line]
        for name in reversed(names):
            found.insert(0, datadir / Path(name))
            with mapped(found[0]) as data:
                earlier = head(data).previous
            if earlier <= common:
                return found
    except (OSError, Unreadable) as error:
        raise StepFailed(f"the binary log of {index} cannot be read: {error}") from error
    raise StepFailed(f"{index} no longer has the file in which what {common} lacks begins")
