"""Binary log files as they are read: mapped, not loaded; a compressed transaction is spooled to a nameless file."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from agents.binlog.contents import Reason, Transaction
from agents.binlog.fields import Unreadable
from agents.binlog.parse import Buffer, EncryptedLog, body, head
from agents.binlog.payload import unpacked
from orchestrator.core.errors import StepFailed
from orchestrator.core.gtid import GtidSet


class LogUnfit(StepFailed):
    """The log as a whole does not tell what was done: no later call finds more in it. `reason` is its code."""

    def __init__(self, reason: Reason, why: str) -> None:
        super().__init__(why)
        self.reason = reason


@contextmanager
def mapped(path: Path) -> Iterator[Buffer]:
    """The bytes of a file. Raises OSError."""
    with path.open("rb") as file:
        if not file.seek(0, 2):
            yield b""  # nothing cannot be mapped
            return
        with _map(file.fileno()) as data:
            yield data


@contextmanager
def _map(handle: int) -> Iterator[mmap.mmap]:
    data = mmap.mmap(handle, 0, access=mmap.ACCESS_READ)
    try:
        yield data
    finally:
        with suppress(BufferError):  # what has failed may still hold a part of it, and the map then ends with that
            data.close()


@contextmanager
def contents(data: Buffer, transaction: Transaction) -> Iterator[Buffer]:
    """The bytes in which the positions of `transaction.changes` are."""
    if transaction.packed is None:
        yield data
        return
    with tempfile.TemporaryFile() as spool:
        spool.writelines(unpacked(body(data, transaction.packed)))
        spool.flush()
        with _map(spool.fileno()) as events:
            yield events


def files_after(datadir: Path, index: Path, common: GtidSet) -> list[Path]:
    """The files of `index` that may hold what `common` lacks, oldest first. Raises StepFailed, LogUnfit among them.

    From the newest backwards to the first before which everything is common; relative names are in `datadir`.
    """
    found: list[Path] = []
    try:
        names = [line for line in index.read_text().split("\n") if line]
    except OSError as error:
        raise StepFailed(f"the binary log of {index} cannot be read: {error}") from error
    except ValueError as error:
        raise LogUnfit(Reason.BINLOG_MISSING, f"{index} is damaged, and names no files any more: {error}") from error
    for name in reversed(names):
        found.insert(0, datadir / Path(name))
        if _earlier(found[0], index) <= common:
            return found
    why = f"{index} no longer has the file in which what {common} lacks begins"
    raise LogUnfit(Reason.BINLOG_MISSING, why)


def _earlier(path: Path, index: Path) -> GtidSet:
    """All that was executed before the file was begun."""
    try:
        with mapped(path) as data:
            return head(data).previous
    except (FileNotFoundError, ValueError) as error:  # zeros are no part of a name
        raise LogUnfit(Reason.BINLOG_MISSING, f"{str(path)!r}, which {index} names, is not there") from error
    except OSError as error:
        raise StepFailed(f"the binary log of {index} cannot be read: {error}") from error
    except EncryptedLog as error:
        raise LogUnfit(Reason.ENCRYPTED, f"{path} cannot be read: {error}") from error
    except Unreadable as error:
        raise LogUnfit(Reason.BAD_CRC, f"{path} cannot be read: {error}") from error
