"""Every path under /kembar/<cluster>. Owns the names, not what is stored there."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from orchestrator.core.errors import ConfigWrong
from orchestrator.core.model import NodeName

ROOT = "/kembar"
# No dots: ZooKeeper refuses "." and "..", and a name must not be able to leave its folder.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@lru_cache(1024)
def _checked(kind: str, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ConfigWrong((f"{kind} {name!r} is no usable name: 1 to 64 of A-Z a-z 0-9 _ -, not starting with _ or -",))
    return name


@dataclass(frozen=True, slots=True)
class Paths:
    """The paths of one cluster. Raises ConfigWrong for a name that cannot be one part of a path."""

    cluster: str

    def __post_init__(self) -> None:
        _checked("cluster", self.cluster)

    @property
    def root(self) -> str:
        return f"{ROOT}/{self.cluster}"

    @property
    def desired(self) -> str:
        return f"{self.root}/desired"

    @property
    def leader(self) -> str:
        return f"{self.root}/leader"

    @property
    def election(self) -> str:
        return f"{self.root}/election"

    def candidate_prefix(self, owner: str) -> str:
        """What the server appends a ten-digit number to."""
        return f"{self.election}/c-{_checked('owner', owner)}-"

    def candidates(self, paths: Iterable[str]) -> set[str]:
        """The owners of those of `paths` that are candidates: `c-OWNER-NUMBER`."""
        folder = f"{self.election}/c-"
        return {path.removeprefix(folder).rpartition("-")[0] for path in paths if path.startswith(folder)}

    @property
    def leases(self) -> str:
        return f"{self.root}/lease"

    def lease(self, node: NodeName) -> str:
        return f"{self.leases}/{_checked('node', node)}"

    @property
    def syncs(self) -> str:
        return f"{self.root}/sync"

    def sync(self, node: NodeName) -> str:
        return f"{self.syncs}/{_checked('node', node)}"

    @property
    def reports(self) -> str:
        return f"{self.root}/reports"

    def report(self, node: NodeName) -> str:
        return f"{self.reports}/{_checked('node', node)}"

    @property
    def requests(self) -> str:
        return f"{self.root}/requests"

    def request(self, request_id: str) -> str:
        return f"{self.requests}/{_checked('request', request_id)}"

    @property
    def answers(self) -> str:
        """Requests that have ended and are watched no more."""
        return f"{self.root}/answered"

    def answered(self, request_id: str, at_ms: int) -> str:
        """Thirteen digits, so that the names sort by time."""
        return f"{self.answers}/{at_ms:013d}-{_checked('request', request_id)}"

    @property
    def reconciles(self) -> str:
        return f"{self.root}/reconcile"

    def reconcile(self, reconcile_id: str) -> str:
        return f"{self.reconciles}/{_checked('reconcile', reconcile_id)}"

    @property
    def returning(self) -> str:
        """The return that is under way, or the last one: one node, so that everybody watches the same."""
        return f"{self.reconciles}/present"

    @property
    def kept(self) -> str:
        """What waits for a person, of all returns; written by the agent of the primary."""
        return f"{self.reconciles}/open"

    @property
    def decisions(self) -> str:
        """What persons chose and nobody has answered; written by the leader."""
        return f"{self.reconciles}/decisions"

    @property
    def pause(self) -> str:
        return f"{self.root}/pause"

    @property
    def policy(self) -> str:
        return f"{self.root}/policy"

    @property
    def events(self) -> str:
        return f"{self.root}/history/events"

    def event(self, number: int) -> str:
        """Ten digits, so that the names sort by number."""
        return f"{self.events}/{number:010d}"

    @property
    def recent(self) -> str:
        """The newest events and incidents in one node: what page and CLI show first."""
        return f"{self.root}/history/recent"

    @property
    def incidents(self) -> str:
        return f"{self.root}/history/incidents"

    def incident(self, incident_id: str) -> str:
        return f"{self.incidents}/{_checked('incident', incident_id)}"

    @property
    def tokens(self) -> str:
        """Hashes of the API tokens that this cluster keeps itself."""
        return f"{self.root}/tokens"

    @property
    def audit(self) -> str:
        return f"{self.root}/audit"

    @property
    def audit_prefix(self) -> str:
        """What the server appends a ten-digit number to, by which the entries sort."""
        return f"{self.audit}/e-"

    @property
    def totals(self) -> str:
        return f"{self.root}/totals"

    @property
    def outbox(self) -> str:
        return f"{self.root}/outbox"

    def channel(self, channel: str) -> str:
        """The queue of one channel of alerts: its state, and below it what is still to be sent."""
        return f"{self.outbox}/{_checked('channel', channel)}"

    def notice(self, channel: str, notice_id: str) -> str:
        return f"{self.channel(channel)}/{_checked('notice', notice_id)}"

    def folders(self) -> tuple[str, ...]:
        """Every folder, parents first: what provisioning makes before it puts the records in."""
        return (
            ROOT,
            self.root,
            self.election,
            self.leases,
            self.syncs,
            self.reports,
            self.requests,
            self.answers,
            self.reconciles,
            f"{self.root}/history",
            self.events,
            self.incidents,
            self.outbox,
            self.audit,
        )
