"""Who may do what at each path, as ZooKeeper keeps it. Owns the table; who is who comes from the configuration.

An identity is the subject of a certificate (scheme x509), so that a renewed one with another key has the same rights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kazoo.security import ACL, Id, Permissions

from orchestrator.coordination.paths import ROOT, Paths
from orchestrator.core.model import NodeName

SCHEME = "x509"
LETTERS = {
    "c": Permissions.CREATE,
    "d": Permissions.DELETE,
    "r": Permissions.READ,
    "w": Permissions.WRITE,
    "a": Permissions.ADMIN,
}


@dataclass(frozen=True, slots=True)
class Identities:
    """The subjects of the certificates of all who come to ZooKeeper for one cluster."""

    provisioning: str
    orchestrators: tuple[str, ...]
    agents: Mapping[NodeName, str]
    readers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """Rights at one path and below, in letters: create, delete, read, write. `own`: of the node that it is about."""

    orchestrators: str
    agents: str = ""
    readers: str = ""
    own: Mapping[NodeName, str] | None = None


SHOWN = Row("r", "r", "r")
DECIDED = Row("cdrw", "r", "r")
TOLD = Row("cdrw", "", "r")
SECRET = Row("cdrw")


def table(paths: Paths, pair: tuple[NodeName, ...]) -> dict[str, Row]:
    """What is below a path has its rights, unless it has a row of its own."""
    rows = {
        # Of all clusters, whose agents need it not.
        ROOT: Row("r", "", "r"),
        paths.root: SHOWN,
        **dict.fromkeys((paths.desired, paths.leader, paths.election, paths.pause, paths.policy), DECIDED),
        **dict.fromkeys((paths.requests, paths.reconciles), DECIDED),
        # Published by whichever agent serves.
        paths.kept: Row("cdrw", "rw", "r"),
        **dict.fromkeys((paths.answers, f"{paths.root}/history", paths.totals), TOLD),
        **dict.fromkeys((paths.outbox, paths.audit, paths.tokens), SECRET),
        **dict.fromkeys((paths.leases, paths.syncs, paths.reports), SHOWN),
    }
    for node in pair:
        rows[paths.lease(node)] = Row("rw", "r", "r", {node: "rw"})
        rows[paths.sync(node)] = rows[paths.report(node)] = Row("r", "r", "r", {node: "rw"})
    return rows


def rights(path: str, rows: Mapping[str, Row], who: Identities) -> list[ACL]:
    """The ACL of one path, the same list each time. Raises KeyError for a path outside the table."""
    above = path
    while above not in rows and above:
        above = above.rpartition("/")[0]
    row = rows[above]
    granted = {
        who.provisioning: "cdrwa",
        **dict.fromkeys(who.orchestrators, row.orchestrators),
        **{identity: (row.own or {}).get(node, row.agents) for node, identity in who.agents.items()},
        **dict.fromkeys(who.readers, row.readers),
    }
    return sorted(_entries(granted))


def open_to_all(acl: list[ACL]) -> bool:
    """Whether somebody without a name has any right."""
    return any(one.id.scheme != SCHEME for one in acl)


def _entries(granted: Mapping[str, str]) -> Iterator[ACL]:
    for identity, letters in granted.items():
        if letters:
            yield ACL(sum(LETTERS[letter] for letter in letters), Id(SCHEME, identity))
