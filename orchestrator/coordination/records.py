"""The typed records of one cluster: read from the mirror, written by one multi with its guards."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar, cast

from orchestrator.coordination.paths import Paths
from orchestrator.core.ports import Check, Coordinator, Create, Op, Seen, SetData
from orchestrator.core.rules import Decision
from orchestrator.core.situation import Sighting
from orchestrator.core.transitions import Answer, Guard, LeaseAt, Revoke, SyncAt
from orchestrator.core.wire import WireWrong, decode, encode

log = logging.getLogger("kembar.records")

Record = TypeVar("Record")


class Reader:
    """Decodes what a mirror shows, each version once."""

    def __init__(self) -> None:
        self._read: dict[str, tuple[Seen, Sighting[object] | None]] = {}

    def sighting(self, kind: type[Record], seen: Mapping[str, Seen], path: str) -> Sighting[Record] | None:
        """The record at `path`; None if it is absent, empty, or unreadable (which is logged once a version)."""
        found = seen.get(path)
        if found is None or not found.stored.data:
            return None
        known = self._read.get(path)
        if known is None or known[0] is not found:
            known = self._read[path] = found, self._sighting(kind, path, found)
        sighting = known[1]
        if sighting is None or not isinstance(sighting.value, kind):
            return None
        return cast("Sighting[Record]", sighting)

    def _sighting(self, kind: type[object], path: str, found: Seen) -> Sighting[object] | None:
        value = self._decode(kind, path, found)
        return None if value is None else Sighting(value, found.stored.version, found.first_seen)

    def _decode(self, kind: type[Record], path: str, found: Seen) -> Record | None:
        try:
            return decode(kind, found.stored.data)
        except WireWrong as error:
            log.error("%s at version %d cannot be used: %s", path, found.stored.version, error)
            return None


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes of the leading orchestrator: every one carries the check of its term (C1)."""

    coordinator: Coordinator
    paths: Paths

    def decide(self, decision: Decision, desired_version: int, term_version: int, timeout_s: float) -> int:
        """Write the decided record with its guards; the new version of `desired`.

        Raises StaleWrite, CoordinatorUnavailable, UnknownOutcome: in each case the next tick reads and decides again.
        """
        ops: list[Op] = [
            Check(self.paths.leader, term_version),
            SetData(self.paths.desired, encode(decision.cluster), desired_version),
            *(self._guard(guard) for guard in decision.guards),
        ]
        return int(self.coordinator.submit(ops).result(timeout_s)[1])

    def put(self, path: str, value: object, version: int | None, term_version: int, timeout_s: float) -> None:
        """Write a record that no decision rests on; `version` None makes it. Raises as decide()."""
        op: Op = Create(path, encode(value)) if version is None else SetData(path, encode(value), version)
        self.coordinator.submit((Check(self.paths.leader, term_version), op)).result(timeout_s)

    def _guard(self, guard: Guard) -> Op:
        match guard:
            case LeaseAt(node, version):
                return Check(self.paths.lease(node), version)
            case SyncAt(node, version):
                return Check(self.paths.sync(node), version)
            case Revoke(node, version, lease):
                return SetData(self.paths.lease(node), encode(lease), version)
            case Answer(request, version):
                return SetData(self.paths.request(request.id), encode(request), version)
