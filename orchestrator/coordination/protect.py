"""Puts rights in force at every node of a cluster, also of one that serves: nobody who works there loses what he needs.

Each node's rights change at once and by themselves; what is open, or has the rights of before, works on beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kazoo.exceptions import NoAuthError, NoNodeError
from kazoo.protocol import serialization as wire

from orchestrator.coordination.acl import Identities, Row, open_to_all, rights, table
from orchestrator.coordination.answer import read_error
from orchestrator.coordination.client import ZooKeeper
from orchestrator.coordination.paths import ROOT, Paths
from orchestrator.coordination.records import readable
from orchestrator.core.errors import CoordinatorUnavailable, Refused, StaleWrite
from orchestrator.core.model import LeaderRecord, Report
from orchestrator.core.ports import Create

ANSWER_S = 5.0


class Protection:
    """The rights of one cluster, by the provisioning identity that `client` comes with."""

    def __init__(self, client: ZooKeeper, paths: Paths, who: Identities) -> None:
        self._client, self._paths, self._who = client, paths, who
        self._rows: dict[str, Row] = table(paths, tuple(who.agents))

    def begin(self) -> tuple[str, ...]:
        """The two outer folders, closed before anything is made in them; the paths that it made.

        Raises KembarError.
        """
        made = []
        for path in (ROOT, self._paths.root):
            try:
                self._client.submit((Create(path, b""),)).result(ANSWER_S)
                made.append(path)
            except StaleWrite:
                continue  # it exists
        for path in made:
            self._set(path)
        return tuple(made)

    def strangers(self) -> tuple[str, ...]:
        """Who writes a record that is still open, and could not once it is closed: a line each. Raises KembarError."""
        lines = []
        for node, expected in self._who.agents.items():
            path = self._paths.report(node)
            report, version = self._record(Report, path)
            if report is not None and version > 0 and report.known_as != expected and self._open(path):
                lines.append(f"the agent of {node} is known as {_named(report.known_as)}, expected {expected}")
        leader, _ = self._record(LeaderRecord, self._paths.leader)
        if leader is not None and self._open(self._paths.leader):
            lines += self._orchestrator(leader.owner, leader.known_as)
        if self._open(self._paths.election):
            for owner, known_as in self._candidates():
                lines += self._orchestrator(owner, known_as)
        return tuple(dict.fromkeys(lines))

    def _candidates(self) -> Iterator[tuple[str, str]]:
        """Each with who it is: one that could write nothing would stand before others, and then nobody would lead."""
        for name in self._client.children(self._paths.election, ANSWER_S):
            path = f"{self._paths.election}/{name}"
            stored = self._client.read(path, ANSWER_S)
            if stored is not None:
                for owner in self._paths.candidates([path]):
                    yield owner, stored.data.decode(errors="replace").partition(" ")[2]

    def _orchestrator(self, owner: str, known_as: str) -> Iterator[str]:
        if known_as not in self._who.orchestrators:
            expected = " or ".join(self._who.orchestrators)
            yield f"the orchestrator {owner} is known as {_named(known_as)}, expected {expected}"

    def enforce(self) -> tuple[str, ...]:
        """Every node as the table says, until a round finds nothing to do; the paths that were changed.

        Raises CoordinatorUnavailable, Refused.
        """
        changed: list[str] = []
        while found := [path for path in self._tree() if self._set(path)]:
            changed += found
        return tuple(changed)

    def _record(self, kind: type[Any], path: str) -> tuple[Any, int]:
        stored = self._client.read(path, ANSWER_S)
        return readable(kind, stored), stored.version if stored else -1

    def _open(self, path: str) -> bool:
        found = self._client.fetch(wire.GetACL(path), ANSWER_S)
        return found is not None and open_to_all(found[0])

    def _tree(self) -> Iterator[str]:
        """Parents first, so that what is made meanwhile has the new rights of its folder."""
        yield ROOT
        yield from self._below(self._paths.root)

    def _below(self, path: str) -> Iterator[str]:
        yield path
        for name in self._client.children(path, ANSWER_S):
            yield from self._below(f"{path}/{name}")

    def _set(self, path: str) -> bool:
        """Whether there was anything to do; a node that has gone needs nothing."""
        wanted = rights(path, self._rows, self._who)
        found = self._client.fetch(wire.GetACL(path), ANSWER_S)
        if found is None or sorted(found[0]) == wanted:
            return False
        answer = self._client.ask(wire.SetACL(path, wanted, -1))
        if answer.refused or not answer.wait(ANSWER_S):
            raise CoordinatorUnavailable(f"ZooKeeper did not answer about the rights of {path}")
        if isinstance(answer.error, NoAuthError):
            raise Refused(f"{path}: {self._who.provisioning} may not change rights there: run it with who may")
        if isinstance(answer.error, NoNodeError):
            return False
        if answer.error is not None:
            raise read_error(answer.error)
        return True


def _named(known_as: str) -> str:
    return known_as or "nobody (plain TCP)"
