"""Who may do what at each path of ZooKeeper: the table that `kembar init` puts in force, for a pair db-a and db-b."""

from __future__ import annotations

from orchestrator.coordination.acl import table
from orchestrator.coordination.paths import Paths
from orchestrator.core.model import NodeName

PAIR = NodeName("db-a"), NodeName("db-b")


def rights() -> list[tuple[str, str, str, str, str]]:
    """Path, then the letters of orchestrators, of the agents, of the agent that the path is about, and of readers."""
    shown = []
    for path, row in sorted(table(Paths("CLUSTER"), PAIR).items()):
        own = next(iter((row.own or {}).values()), row.agents)
        shown.append((path, *(letters or "none" for letters in (row.orchestrators, row.agents, own, row.readers))))
    return shown
