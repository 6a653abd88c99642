"""Paths and secrets in configuration files, looked at when the file is read."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from orchestrator.config.load import Wrong, reject


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        reject(Wrong(f"{path} is not an absolute path", "a daemon has no working directory of its own"))
    return path


def _secret(path: Path) -> Path:
    """Checked now, so that a wrong mode is reported before anything starts and not at the first login."""
    try:
        found = path.stat()
    except OSError as error:
        reject(Wrong(f"{path}: {error.strerror}", "put the secret alone into this file, mode 0600"))
    wrongs = []
    if not stat.S_ISREG(found.st_mode):
        wrongs.append(Wrong(f"{path} is not a regular file"))
    elif found.st_size == 0:
        wrongs.append(Wrong(f"{path} is empty", "put the secret alone into this file"))
    if not os.access(path, os.R_OK, effective_ids=os.access in os.supports_effective_ids):
        wrongs.append(Wrong(f"{path} is not readable by user id {os.geteuid()}", f"chown it: owner is {found.st_uid}"))
    if found.st_mode & 0o077:
        mode = stat.S_IMODE(found.st_mode)
        wrongs.append(Wrong(f"{path} has mode {mode:04o}: others can get at it", f"chmod 600 {path}"))
    if wrongs:
        reject(*wrongs)
    return path


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
SecretFile = Annotated[Path, AfterValidator(_absolute), AfterValidator(_secret)]


def of_length(hint: str, *, least: int = 1, most: int = sys.maxsize) -> AfterValidator:
    """For a SecretFile whose secret has so many characters."""

    def check(path: Path) -> Path:
        found = len(read_secret(path))
        if not least <= found <= most:
            bound = f"{least} at least" if found < least else f"{most} at most"
            reject(Wrong(f"{path} holds {found} characters, expected {bound}", hint))
        return path

    return AfterValidator(check)


def read_secret(path: Path) -> str:
    """The secret in a file, without the line end that editors add."""
    return path.read_text(encoding="utf-8").rstrip("\r\n")
