"""What was seen of one database host, and of the desired record, at one moment. Pure.

`began` and `ended` enclose the moment, in seconds of CLOCK_MONOTONIC.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Host:
    """One database host. What mysqld says is None where it did not answer."""

    node: str
    began: float
    ended: float
    gate_open: bool  # packets to the address get through: the element lives, or the rules are gone
    has_address: bool
    server: str | None = None
    read_only: bool | None = None
    super_read_only: bool | None = None
    offline: bool | None = None
    source_on: bool | None = None  # the source side of semi-sync
    waits_ms: int | None = None  # for an acknowledgement, before a commit is let go
    receiver: str | None = None  # ON, CONNECTING, OFF

    @property
    def writable(self) -> bool:
        """Clients could write, were the gate open."""
        return self.read_only is False and self.offline is False

    @property
    def serving(self) -> bool:
        """Clients of the address can write."""
        return self.writable and self.gate_open and self.has_address

    @property
    def relaxed(self) -> bool:
        """Commits are acknowledged without a copy."""
        return self.source_on is False or (self.waits_ms is not None and self.waits_ms < 1000 * 3600)


@dataclass(frozen=True, slots=True)
class Record:
    """The desired record as it surely was at that moment."""

    began: float
    ended: float
    epoch: int
    seq: int
    primary: str
    mode: str
    phase: str


def hosts(lines: Iterable[str]) -> list[Host]:
    """The lines of a host's watcher."""
    return [Host(**json.loads(line)) for line in lines]


def records(lines: Iterable[str]) -> list[Record]:
    """The lines of the record's watcher."""
    return [Record(**json.loads(line)) for line in lines]
