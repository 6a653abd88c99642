"""The typed records of one cluster: read from the mirror, written by one multi with its guards."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TypeVar, cast

from orchestrator.coordination.paths import Paths
from orchestrator.core.invariants import contradiction, rival
from orchestrator.core.model import Cluster, NodeName, Report
from orchestrator.core.ports import Check, Coordinator, Create, Op, Seen, SetData, Stored
from orchestrator.core.rules import Decision
from orchestrator.core.situation import Sighting
from orchestrator.core.transitions import Answer, Guard, LeaseAt, ReturnAt, Revoke, SyncAt
from orchestrator.core.wire import WireWrong, decode, encode

log = logging.getLogger("kembar.records")

Kept = TypeVar("Kept")


@dataclass(frozen=True, slots=True)
class Broken:
    """What stands in place of a record that cannot be read; version -1: the node is missing."""

    version: int
    why: str


def _fits(record: object) -> str:
    return ""


class Reader:
    """Decodes what a mirror shows, each version once."""

    def __init__(self) -> None:
        self._read: dict[str, tuple[Seen, Sighting[object] | Broken]] = {}

    def read(
        self, kind: type[Kept], seen: Mapping[str, Seen], path: str, fits: Callable[[Kept], str] = _fits
    ) -> Sighting[Kept] | Broken:
        """The record at `path`, or why there is none; `fits` says what is wrong with one that can be decoded."""
        found = seen.get(path)
        if found is None:
            return Broken(-1, f"{kind.__name__}: expected a node, there is none")
        known = self._read.get(path)
        if known is None or known[0] is not found:
            decoded: Sighting[Kept] | Broken = self._decode(kind, path, found, fits)
            known = self._read[path] = found, decoded
        return cast("Sighting[Kept] | Broken", known[1])

    def sighting(
        self, kind: type[Kept], seen: Mapping[str, Seen], path: str, fits: Callable[[Kept], str] = _fits
    ) -> Sighting[Kept] | None:
        """The record at `path`; None if it is absent or cannot be read."""
        found = self.read(kind, seen, path, fits)
        return found if isinstance(found, Sighting) else None

    def _decode(self, kind: type[Kept], path: str, found: Seen, fits: Callable[[Kept], str]) -> Sighting[Kept] | Broken:
        """Logged once a version."""
        version = found.stored.version
        try:
            record = decode(kind, found.stored.data)
        except WireWrong as error:
            why = str(error)
        else:
            why = fits(record)
            if not why:
                return Sighting(record, version, found.first_seen)
        log.error("%s at version %d cannot be used: %s", path, version, why)
        return Broken(version, why)


def readable(kind: type[Kept], stored: Stored | None) -> Kept | None:
    """The record that was read by itself; None if it is absent, empty, or cannot be read."""
    try:
        return decode(kind, stored.data) if stored else None
    except WireWrong:
        return None


@cache
def names_node(node: NodeName) -> Callable[[object], str]:
    """What is wrong with a report that names a stranger; leases and sync records are told apart by their paths."""

    def fits(record: object) -> str:
        stranger = record.node if isinstance(record, Report) and record.node != node else None
        return f"Report.node: expected {node!r}, got {stranger!r:.60}" if stranger is not None else ""

    return fits


def names_pair(pair: tuple[NodeName, NodeName]) -> Callable[[Cluster], str]:
    """What is wrong with a desired record that names strangers, or says something against itself."""

    def fits(cluster: Cluster) -> str:
        named = [cluster.primary, *(one.node for one in (cluster.promotable, cluster.fence) if one)]
        strangers = [name for name in named if name not in pair]
        if strangers:
            return f"Cluster: expected {' and '.join(pair)}, names {strangers[0]!r:.60}"
        return contradiction(cluster)

    return fits


def desired_after(
    last: Sighting[Cluster] | None,
    reader: Reader,
    seen: Mapping[str, Seen],
    path: str,
    fits: Callable[[Cluster], str],
) -> Sighting[Cluster] | Broken:
    """The desired record, unless it cannot follow the `last` one that was read here."""
    found = reader.read(Cluster, seen, path, fits)
    if isinstance(found, Sighting) and last is not None and (why := rival(last.value, found.value)):
        return Broken(found.version, why)
    return found


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

    def put(
        self,
        path: str,
        value: object,
        version: int | None,
        term_version: int,
        timeout_s: float,
        answers: tuple[Answer, ...] = (),
    ) -> None:
        """Write a record that no decision rests on; `version` None makes it. `answers` are of the same write.

        Raises as decide().
        """
        op: Op = Create(path, encode(value)) if version is None else SetData(path, encode(value), version)
        beside = (self._guard(answer) for answer in answers)
        self.coordinator.submit((Check(self.paths.leader, term_version), op, *beside)).result(timeout_s)

    def _guard(self, guard: Guard) -> Op:
        match guard:
            case LeaseAt(node, version):
                return Check(self.paths.lease(node), version)
            case SyncAt(node, version):
                return Check(self.paths.sync(node), version)
            case ReturnAt(version):
                return Check(self.paths.returning, version)
            case Revoke(node, version, lease):
                return SetData(self.paths.lease(node), encode(lease), version)
            case Answer(request, version):
                return SetData(self.paths.request(request.id), encode(request), version)
