"""Copies of binary log files and their sums, synced to disk before anything is changed; done again, they stay."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from orchestrator.core.errors import StepFailed

SUMS = "SHA256SUMS"
BLOCK_BYTES = 1 << 20


def archive(files: Sequence[Path], folder: Path) -> None:
    """Copy `files` into `folder` and write SHA256SUMS there, as `sha256sum -c` reads it. Raises StepFailed.

    A folder that holds SHA256SUMS is complete and is left as it is: the sums come last, by a rename. After a cut the
    originals are shorter, so what is kept must never be taken from them again.
    """
    try:
        if (folder / SUMS).exists():
            return
        make_folder(folder)
        lines = [f"{_copy(file, folder / file.name)}  {file.name}\n" for file in files]
        write_synced(folder / SUMS, "".join(lines).encode())
    except OSError as error:
        why = f"{_code(error)}evidence cannot be kept in {folder}: {error}; nothing is changed before it is"
        raise StepFailed(why) from error


def _code(error: OSError) -> str:
    return "evidence_no_space: " if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""


def write_synced(path: Path, content: bytes) -> None:
    """Beside its place, synced, renamed, folder synced: after a kill the old content or the new is there. OSError."""
    beside = path.with_name(path.name + ".new")
    with beside.open("wb") as file:
        file.write(content)
        sync(file)
    beside.replace(path)
    sync_folder(path.parent)


def make_folder(folder: Path) -> None:
    """The folder and all above it, private, and their names on disk. Raises OSError."""
    for one in (*reversed(folder.parents), folder):
        if not one.is_dir():
            one.mkdir(mode=0o700)
            sync_folder(one.parent)


def sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """What was made, renamed or cut in a folder is on disk only after this. Raises OSError."""
    with _opened(folder) as handle:
        os.fsync(handle)


def _copy(source: Path, target: Path) -> str:
    """Copy and sync; the SHA-256 of what was read, as hexadecimal digits."""
    digest = hashlib.sha256()
    with source.open("rb") as read, target.open("wb") as written:
        while block := read.read(BLOCK_BYTES):
            digest.update(block)
            written.write(block)
        sync(written)
    return digest.hexdigest()


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield handle
    finally:
        os.close(handle)
