"""Requests that have ended and are watched no more: kept for a day, so that a repeat still gets the first answer."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.coordination.paths import Paths
from orchestrator.core.errors import StaleWrite
from orchestrator.core.ports import Check, Coordinator, Create, Delete, Op
from orchestrator.core.requests import Request
from orchestrator.core.situation import Sighting
from orchestrator.core.wire import decode, encode

WRITE_S = 2.0
KEPT_MS = 24 * 3600 * 1000
KEPT_MAX = 1000  # at most so many, whatever their age


@dataclass(frozen=True, slots=True)
class Answered:
    """Of one cluster. Its methods block and raise CoordinatorUnavailable."""

    paths: Paths
    coordinator: Coordinator

    def move(self, request: Sighting[Request], now_ms: int, term_version: int) -> None:
        """From what everybody watches to here, in one write of the leader. Raises StaleWrite, UnknownOutcome too."""
        value = request.value
        ops: list[Op] = [
            Check(self.paths.leader, term_version),
            Delete(self.paths.request(value.id), request.version),
            Create(self.paths.answered(value.id, now_ms), encode(value)),
        ]
        try:
            self.coordinator.submit(ops).result(WRITE_S)
        except StaleWrite:  # a cluster that was made before there was such a folder has none
            self.coordinator.submit([Create(self.paths.answers, b""), *ops]).result(WRITE_S)
        self._prune(now_ms)

    def find(self, request_id: str) -> Request | None:
        """The request of that id, None if it is not here."""
        for name in self.coordinator.children(self.paths.answers):
            if name.partition("-")[2] == request_id:
                stored = self.coordinator.read(f"{self.paths.answers}/{name}")
                return decode(Request, stored.data) if stored is not None else None
        return None

    def _prune(self, now_ms: int) -> None:
        """The names sort by time."""
        names = self.coordinator.children(self.paths.answers)
        old = [name for name in names if int(name.partition("-")[0]) < now_ms - KEPT_MS]
        for name in dict.fromkeys([*old, *names[:-KEPT_MAX]]):
            try:
                self.coordinator.submit((Delete(f"{self.paths.answers}/{name}", -1),)).result(WRITE_S)
            except StaleWrite:
                continue  # another orchestrator was first
