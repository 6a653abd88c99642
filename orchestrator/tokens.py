"""The API tokens that a cluster keeps in ZooKeeper, as this orchestrator saw them last: a lost connection locks nobody
out of a page that says so."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.coordination.paths import Paths
from orchestrator.coordination.records import Reader
from orchestrator.core.access import Token, Tokens
from orchestrator.core.ports import Coordinator, Create, Seen, SetData
from orchestrator.core.situation import Sighting
from orchestrator.core.wire import decode, encode

WRITE_S = 2.0


class KeptTokens:
    """Of one cluster. `take` is the tick's, the rest anybody's."""

    def __init__(self, paths: Paths, coordinator: Coordinator) -> None:
        self._paths, self._coordinator = paths, coordinator
        self._reader = Reader()
        self._present: tuple[Token, ...] = ()

    @property
    def present(self) -> tuple[Token, ...]:
        """Good for this cluster alone."""
        return self._present

    def take(self, seen: Mapping[str, Seen]) -> None:
        """What the mirror shows; a record that cannot be read lets nobody in."""
        if not seen:
            return
        found = self._reader.read(Tokens, seen, self._paths.tokens) if self._paths.tokens in seen else None
        self._present = found.value.of(self._paths.cluster) if isinstance(found, Sighting) else ()

    def read(self) -> tuple[Tokens, int]:
        """The record and its version, -1 while there is none. Raises CoordinatorUnavailable, WireWrong."""
        stored = self._coordinator.read(self._paths.tokens)
        return (decode(Tokens, stored.data), stored.version) if stored else (Tokens(), -1)

    def put(self, tokens: Tokens, version: int) -> None:
        """Write it at that version. Raises StaleWrite, CoordinatorUnavailable, UnknownOutcome."""
        data = encode(tokens)
        op = Create(self._paths.tokens, data) if version < 0 else SetData(self._paths.tokens, data, version)
        self._coordinator.submit((op,)).result(WRITE_S)
        self._present = tokens.of(self._paths.cluster)
