"""What an agent must never forget: small files, synced to disk before use. Owns the state directory and its lock.

A file is written beside its place, synced, renamed, and the folder synced: after a kill at any step the old content or
the new one is there, whole. What cannot be read is never taken for zero: an agent that forgot its highest epoch would
follow a record that was replaced long ago (I10). What is lost while the agent lives is written again from its memory;
what was lost before is a new host's, whose incarnations were never certified (I12).
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from orchestrator.core.errors import KembarError, Refused, StepFailed

EPOCH, PROMOTION, OPENED, RELAY, LOCK = "epoch.json", "promotion.json", "opened.json", "relay.json", "lock"
TAIL = "tail.json"
Values = dict[str, str | int]


class FileMemory:
    """Memory (see the port) in one directory. Held by one process at a time, and by its threads in turn."""

    def __init__(self, directory: Path) -> None:
        """Take the lock and read everything. Raises Refused if another process holds it or a file cannot be read."""
        self._directory = directory
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = _locked(directory / LOCK)
        except OSError as error:
            raise Refused(
                f"{directory}: {error.strerror}: the agent needs a directory of its own to remember"
            ) from error
        try:
            self._epoch = self._read(EPOCH, {"epoch": int, "seq": int})
            self._promotion = self._read(PROMOTION, {"epoch": int, "incarnation": str, "gtid": str, "peer_uuid": str})
            self._opened = self._read(OPENED, {"epoch": int, "incarnation": str})
            self._relay = self._read(RELAY, {"counter": int})
            self._tail = self._read(
                TAIL, {"epoch": int, "incarnation": str, "index": str, "state": str, "why": str, "gtids": str}
            )
        except Refused:
            self.close()
            raise
        self.new = self._epoch is None
        if self._relay is None:
            # From zero it would give a mysqld the incarnation that it had before its relay logs were thrown away.
            self._relay = {"counter": secrets.randbelow(2**31)}
            self.trouble()

    def trouble(self) -> str:
        """Why nothing could be remembered now, empty if it could. A disk is asked nothing that could hang for long.

        A directory or file that is gone is made again with what is known here.
        """
        try:
            self._make_whole()
        except (OSError, KembarError) as error:
            return f"MEMORY_LOST: {self._directory} cannot be made whole, so this node may not be promoted: {error}"
        if not os.access(self._directory, os.W_OK):
            return f"MEMORY_READ_ONLY: {self._directory} takes no writes, so this node may not be promoted: remount it"
        return ""

    def _make_whole(self) -> None:
        if not self._has_lock():
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            lost, self._lock = self._lock, _locked(self._directory / LOCK)
            os.close(lost)
        known = {EPOCH: self._epoch, PROMOTION: self._promotion, OPENED: self._opened, TAIL: self._tail}
        for name, values in {**known, RELAY: self._relay}.items():
            if values is not None and not (self._directory / name).exists():
                self._write(name, values)

    def _has_lock(self) -> bool:
        """Whether the file that we hold is still the one at its place."""
        try:
            here = (self._directory / LOCK).stat()
        except FileNotFoundError:
            return False
        held = os.fstat(self._lock)
        return (here.st_dev, here.st_ino) == (held.st_dev, held.st_ino)

    def epoch(self) -> tuple[int, int]:
        """The highest (epoch, seq) ever followed; (0, 0) on a new host."""
        return (0, 0) if self._epoch is None else (int(self._epoch["epoch"]), int(self._epoch["seq"]))

    def remember(self, epoch: int, seq: int) -> None:
        """Keep the higher of what is known and this. Raises StepFailed if the disk refuses."""
        if (epoch, seq) > self.epoch():
            self._epoch = self._write(EPOCH, {"epoch": epoch, "seq": seq})

    def promotion(self) -> Mapping[str, str | int] | None:
        """What was drained before the last promotion: {epoch, incarnation, gtid, peer_uuid}."""
        return self._promotion

    def write_promotion(self, promotion: Mapping[str, str | int]) -> None:
        """Raises StepFailed if the disk refuses; then nothing may be opened."""
        self._promotion = self._write(PROMOTION, dict(promotion))

    def opened(self) -> tuple[int, str] | None:
        """(epoch, incarnation) that was last made writable here."""
        return None if self._opened is None else (int(self._opened["epoch"]), str(self._opened["incarnation"]))

    def write_opened(self, epoch: int, incarnation: str) -> None:
        self._opened = self._write(OPENED, {"epoch": epoch, "incarnation": incarnation})

    def tail(self) -> Mapping[str, str | int] | None:
        """What is known of the end of one mysqld's binary log; the states are TailState's."""
        return self._tail

    def write_tail(self, tail: Mapping[str, str | int]) -> None:
        """Raises StepFailed if the disk refuses; then mysqld may not be started."""
        self._tail = self._write(TAIL, dict(tail))

    def relay_counter(self) -> int:
        """How often relay logs may have been thrown away without a restart; part of the incarnation (I12)."""
        return 0 if self._relay is None else int(self._relay["counter"])

    def draw_relay_counter(self) -> int:
        """The next counter, on disk before it returns: called before RESET REPLICA or CHANGE REPLICATION SOURCE."""
        self._relay = self._write(RELAY, {"counter": self.relay_counter() + 1})
        return self.relay_counter()

    def close(self) -> None:
        """Give up the lock."""
        os.close(self._lock)

    def _read(self, name: str, shape: Mapping[str, type]) -> Values | None:
        path = self._directory / name
        try:
            content = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise Refused(_unreadable(path, str(error))) from error
        if not isinstance(content, dict):
            raise Refused(_unreadable(path, "it holds no object"))
        for key, kind in shape.items():
            if type(content.get(key)) is not kind:
                raise Refused(_unreadable(path, f"{key} is {content.get(key)!r}, must be {kind.__name__}"))
        return content

    def _write(self, name: str, values: Values) -> Values:
        path = self._directory / name
        try:
            _replace(path, json.dumps(values).encode() + b"\n")
        except OSError as error:
            raise StepFailed(f"{path}: cannot be written: {error}") from error
        return values


def _replace(path: Path, content: bytes) -> None:
    """The whole new content or the old one, also after a kill or a power loss. Raises OSError."""
    beside = path.with_suffix(".new")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _locked(path: Path) -> int:
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # it can be locked, and what is there can be read
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise Refused(f"{path}: another agent of this node is running (perhaps stopped); end it first") from error
    return handle


def _unreadable(path: Path, why: str) -> str:
    hint = (
        "write the higher epoch and seq of `kembar status` and of the other node's file into it, then start again"
        if path.name == EPOCH
        else "move it away only if this node is not the primary: without it mysqld is fenced, not opened"
    )
    return f"{path}: cannot be used: {why}. {hint}"
