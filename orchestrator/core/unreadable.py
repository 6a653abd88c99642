"""Records in ZooKeeper that cannot be read: which, where, why, and what a person does about it.

Nothing that rests on such a record is decided. What its only writer can write anew without being wrong, it does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.core.model import NodeName


class Record(StrEnum):
    """The kinds of records, by the words that people read."""

    DESIRED = "desired"
    LEADER = "leader"
    POLICY = "policy"
    PAUSE = "pause"
    HISTORY = "history"
    LEASE = "lease"
    SYNC = "sync"
    REPORT = "report"
    REQUEST = "request"
    RETURN = "return"
    OPEN = "open transactions"
    DECISIONS = "decisions"


AGENT = "its agent writes it anew within seconds: see that kembar-agent runs on {node}"
REMEDIES: Mapping[Record, str] = {
    Record.DESIRED: "whoever serves goes on; write it as it was last: zkCli.sh set {path} '{last}'",
    Record.LEADER: "the next leader writes it anew within seconds: see that an orchestrator runs",
    Record.POLICY: "the last one is followed meanwhile; write it as it was: zkCli.sh set {path} '{last}'",
    Record.PAUSE: "it counts as a pause: kembar resume, or kembar pause, writes it anew",
    Record.HISTORY: "it counts as a hold-down: kembar ack --reason TEXT begins it anew",
    Record.LEASE: AGENT,
    Record.SYNC: AGENT,
    Record.REPORT: AGENT,
    Record.RETURN: "the standby is not certified meanwhile; begin it anew: zkCli.sh set {path} ''",
    Record.OPEN: "the primary's agent writes it anew within seconds: see that kembar-agent runs there",
    Record.DECISIONS: "the leader writes it anew from the requests within seconds: see that an orchestrator runs",
    Record.REQUEST: "it is not carried out: remove it with zkCli.sh delete {path}, then ask again",
}
MISSING = "kembar init makes it again"
ADOPT = ", then kembar adopt --reason TEXT"
OLDEST = '{"format":1,"epoch":1,"seq":1,"primary":"NODE","mode":"ASYNC","phase":"REJOINING"}'
# Nobody is promoted by what these say.
HARMLESS = frozenset({Record.LEADER, Record.REQUEST, Record.RETURN, Record.OPEN, Record.DECISIONS})


@dataclass(frozen=True, slots=True)
class Unreadable:
    """One record at one version; `why` says what was expected and what is there."""

    record: Record
    path: str
    why: str
    node: NodeName | None = None  # whose it is
    missing: bool = False
    last: str = ""  # the bytes, as text, that were last readable here; empty: none were

    @property
    def remedy(self) -> str:
        """What a person does, with the command."""
        desired = self.record is Record.DESIRED
        if self.missing:
            return MISSING + (ADOPT if desired else "")
        last = self.last or (OLDEST if desired else "JSON")
        then = ADOPT if desired and not self.last else ""  # agents obey nothing older than what they have followed
        return REMEDIES[self.record].format(path=self.path, node=self.node, last=last) + then
