"""The values both sides share: the desired record, leases, reports, policy, goals; no more than their invariants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import NewType

from orchestrator.core.gtid import Gtids
from orchestrator.core.lease import Margins, Timing
from orchestrator.core.mergepolicy import Changed, MergePolicy
from orchestrator.core.returning import Merging, Outcome, Returning
from orchestrator.core.verifying import Difference, Verifying

Instant = float  # seconds on one host's clock; never leaves that host
NodeName = NewType("NodeName", str)


COUNT_MAX = 2**53  # of what only ever grows by one: a record that counts beyond leaves no room for the next


def _countable(**counts: int) -> None:
    for name, count in counts.items():
        if not 0 <= count < COUNT_MAX:
            raise ValueError(f"{name}={count}: must be between 0 and 2**53")


class Mode(StrEnum):
    """Whether a commit waits for the standby's acknowledgement."""

    SYNC = "SYNC"
    ASYNC = "ASYNC"


class Phase(StrEnum):
    """What the pair is in. The goals of both nodes follow from it."""

    STEADY = "STEADY"
    SWITCHING = "SWITCHING"
    FENCING = "FENCING"
    PROMOTING = "PROMOTING"
    REJOINING = "REJOINING"


class Role(StrEnum):
    """What one node is told to be."""

    PRIMARY = "primary"
    STANDBY = "standby"
    HANDOVER = "handover"
    PREPARE = "prepare"
    FENCED = "fenced"
    RETURNING = "returning"


class Mysqld(StrEnum):
    """The state of one mysqld process, attested by its own agent."""

    DEAD = "dead"  # no process
    EXITING = "exiting"  # a process that can commit nothing more
    STARTING = "starting"  # alive, not answering since its start
    RUNNING = "running"
    HUNG = "hung"  # alive, both probes unanswered for hang_s

    @property
    def ended(self) -> bool:
        """Whether it can commit nothing more."""
        return self in (Mysqld.DEAD, Mysqld.EXITING)


class LeaseState(StrEnum):
    IDLE = "idle"
    HELD = "held"
    RELEASED = "released"
    REVOKED = "revoked"


class SyncState(StrEnum):
    """What the primary has said of its semi-sync source side."""

    NONE = "none"
    ARMED = "armed"  # commits wait for the standby, proven by a heartbeat commit that returned
    RELAXED = "relaxed"  # commits may have been acknowledged without a copy
    DEGRADED = "degraded"  # semi-sync let a commit go by itself


@dataclass(frozen=True, slots=True)
class Certified:
    """One incarnation of one standby that was proven to hold everything."""

    node: NodeName
    incarnation: str


@dataclass(frozen=True, slots=True)
class Fence:
    """How power was taken from `node`: its lease version then, and released, waited or none."""

    node: NodeName
    lease_version: int
    how: str


@dataclass(frozen=True, slots=True)
class Cluster:
    """The desired record. `epoch` grows by 1 whenever the right to write is taken or given, `seq` with every write."""

    epoch: int
    seq: int
    primary: NodeName
    mode: Mode
    phase: Phase
    promotable: Certified | None = None
    fence: Fence | None = None
    heir: str | None = None  # the incarnation that is to take over, kept until the next epoch
    rule: str = ""
    term: int = 0
    cause: str = ""  # id of the operator's request that this epoch or switchover rests on, else empty

    def __post_init__(self) -> None:
        _countable(epoch=self.epoch, seq=self.seq, term=self.term)


@dataclass(frozen=True, slots=True)
class Lease:
    """The right of one node to hold power. `timing` is the longest that its agent may still act on."""

    state: LeaseState = LeaseState.IDLE
    epoch: int = 0
    owner: str = ""
    n: int = 0
    gate_open: bool = False
    incarnation: str = ""
    timing: Timing = field(default_factory=Timing)
    why: str = ""  # of a release: exited, hung, handover, superseded; of a revoke: the epoch that it is for
    executed: Gtids = ""  # of a handover: everything the standby must have executed
    took_ms: float = 0.0  # of a release: from its cause to the shut gate, for the timeline


@dataclass(frozen=True, slots=True)
class Sync:
    """What the primary recorded of semi-sync, before it acted on it."""

    state: SyncState = SyncState.NONE
    epoch: int = 0
    incarnation: str = ""
    token: str = ""
    standby: str = ""  # the standby's incarnation that this certification is about
    executed: Gtids = ""  # of an armed record: the set that the standby must hold
    no_tx: int = 0  # Rpl_semi_sync_source_no_tx when armed


@dataclass(frozen=True, slots=True)
class LeaderRecord:
    """Who leads in which term. Never part of a decision: the version of the record is what guards a write."""

    term: int
    owner: str
    since: float = 0.0  # wall clock, for people
    known_as: str = ""  # as Report's

    def __post_init__(self) -> None:
        _countable(term=self.term)


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What the page shows of a host. Never part of a decision."""

    load_1m: float = 0.0
    memory_used_percent: float = 0.0
    disk_used_percent: float = 0.0
    uptime_s: float = 0.0
    mysql_version: str = ""
    connections: int = 0
    commits: int = 0  # Com_commit + Com_insert + Com_update + Com_delete since mysqld's start
    load_5m: float = 0.0
    load_15m: float = 0.0
    cpus: int = 0
    memory_total_mib: int = 0
    disk_total_mib: int = 0
    hardware: str = ""  # address of the interface of the VIP, to tell who answers for it


@dataclass(frozen=True, slots=True)
class Report:
    """Facts from one agent about its own host."""

    node: NodeName
    epoch: int = 0  # of the record it follows
    seq: int = 0
    role: Role = Role.FENCED
    mysqld: Mysqld = Mysqld.DEAD
    incarnation: str = ""
    executed: Gtids = ""
    received: Gtids = ""
    receiver_running: bool = False
    receiver_connected: bool = False
    received_age_s: float = 0.0  # since anything, a heartbeat included, came from the source
    applier_running: bool = False
    applier_error: str = ""
    backlog_transactions: int = 0
    writable: bool = False
    gate_open: bool = False
    has_address: bool = False
    oldest_transaction_s: float = 0.0
    stalled_s: float = 0.0  # how long the heartbeat commit has been waiting for the standby's acknowledgement
    unheard_s: float = 0.0  # primary: how long no standby could acknowledge, or be certified after a restart in place
    durable: bool = True  # the settings of invariant I13 hold
    identity: Mapping[str, str] = field(default_factory=dict)  # what must differ between the two servers
    token: str = ""  # of the certification whose set this node was seen to hold
    errant: Gtids = ""  # returning node: transactions the primary never saw
    peer_errant: Gtids = ""  # primary: transactions that its standby has and it has not
    unable: str = ""  # why this node cannot take over in this epoch
    memory: str = ""  # why an epoch cannot be remembered here, so that this node may not be promoted
    troubles: tuple[str, ...] = ()  # findings of its own that are never death: OVERLOADED, UNKNOWN, ...
    refusals: tuple[str, ...] = ()  # settings of the server that Kembar refuses
    timeline_ms: Mapping[str, float] = field(default_factory=dict)  # durations of the last promotion's phases
    remembered_epoch: int = 0  # of the newest record that its agent ever followed, told when the present one is older
    remembered_seq: int = 0
    opened_epoch: int = 0  # the last in which this node served, told with them
    margins: Margins = field(default_factory=Margins)  # of its lease, since the agent's start
    cut: Gtids = ""  # transactions that were cut off this node's log, and are nowhere yet
    cut_in: int = 0  # the epoch in which they were, by which their evidence is named
    returning: Returning = field(default_factory=Returning)
    merging: Merging = field(default_factory=Merging)
    settled: tuple[Outcome, ...] = ()  # primary: of the choices that are in the record of decisions
    verifying: Verifying = field(default_factory=Verifying)  # under way
    verified: Verifying = field(default_factory=Verifying)  # the last that has ended
    differing: tuple[Difference, ...] = ()  # standby: what is known not to be as on the primary, cut
    host: HostFacts = field(default_factory=HostFacts)
    known_as: str = ""  # to ZooKeeper: the subject of its agent's certificate, empty over plain TCP
    wall_s: float = 0.0  # UTC by the host's clock when the report was sent, to compare with ZooKeeper's; 0: not told


PACE_MIN_S, PACE_MAX_S = 0.01, 86400.0  # a loop that is told less would spin


@dataclass(frozen=True, slots=True)
class Policy:
    """Timings and choices that both sides share."""

    profile: str = "default"
    timing: Timing = field(default_factory=Timing)
    stall_s: float = 1.0  # commits wait this long for a lost standby before ASYNC is recorded
    hear_s: float = 0.5  # silence counts only after we have heard for so long without a break
    hang_s: float = 1.0
    report_every_s: float = 0.5
    silent_after_s: float = 2.0  # a report older than this says nothing about the present
    heartbeat_every_s: float = 0.25
    restart_wait_s: float = 4.0  # after a release without a new epoch, mysqld is started in place
    switchover_s: float = 10.0
    backlog_transactions_max: int = 1000  # a standby further behind is not certified
    failovers_per_hour_max: int = 2
    address_lifetime_s: int = 4
    maintenance: tuple[str, ...] = ()  # nodes that nothing promotes
    maintained: Mapping[str, Changed] = field(default_factory=dict, hash=False)  # by whom and why, for people
    preferred: str = ""  # the node that `kembar failback` brings the primary back to; nothing moves by itself
    reconcile: MergePolicy = field(default_factory=MergePolicy)
    changed: Changed = field(default_factory=Changed)  # the section above

    def __post_init__(self) -> None:
        paces = {f.name: getattr(self, f.name) for f in fields(self) if f.name.endswith("_s")}
        paces["timing.renew_every_s"] = self.timing.renew_every_s
        for name, seconds in paces.items():
            if not PACE_MIN_S <= seconds <= PACE_MAX_S:
                raise ValueError(f"{name}={seconds}: must be between {PACE_MIN_S} and {PACE_MAX_S:.0f}")
        if self.silent_after_s < 2 * self.report_every_s:
            raise ValueError(
                f"silent_after_s={self.silent_after_s}: must be at least 2 * report_every_s={2 * self.report_every_s}"
            )


FAST = Policy(
    profile="fast",
    timing=Timing(renew_every_s=0.08, authorised_s=0.6, gate_ttl_s=0.25),
    stall_s=0.5,
    hear_s=0.3,
    report_every_s=0.3,
    silent_after_s=0.9,
)
DEFAULT = Policy()
MANY = Policy(  # a third of the records: for one ZooKeeper of a hundred pairs
    profile="many",
    timing=Timing(renew_every_s=0.5, authorised_s=2.5, gate_ttl_s=1.5),
    hear_s=1.5,
    report_every_s=2.0,
    silent_after_s=6.0,
)
PROFILES = {"fast": FAST, "default": DEFAULT, "many": MANY}


@dataclass(frozen=True, slots=True)
class Goal:
    """What one node is told by the desired record."""

    role: Role
    mode: Mode
    epoch: int
    seq: int
    primary: NodeName
    heir: str | None
    promotable: Certified | None
    settled: bool = False  # the primary of this epoch has opened: nobody is to take over


def goal_for(node: NodeName, cluster: Cluster) -> Goal:
    """The goal of `node`, from phase and primary alone (table of docs/state-machine.md)."""
    leading, other = ROLES[cluster.phase]
    return Goal(
        role=leading if node == cluster.primary else other,
        mode=cluster.mode,
        epoch=cluster.epoch,
        seq=cluster.seq,
        primary=cluster.primary,
        heir=cluster.heir,
        promotable=cluster.promotable,
        settled=cluster.phase not in (Phase.FENCING, Phase.PROMOTING),
    )


ROLES: Mapping[Phase, tuple[Role, Role]] = {
    Phase.STEADY: (Role.PRIMARY, Role.STANDBY),
    Phase.SWITCHING: (Role.HANDOVER, Role.STANDBY),
    Phase.FENCING: (Role.PREPARE, Role.FENCED),
    Phase.PROMOTING: (Role.PRIMARY, Role.FENCED),
    Phase.REJOINING: (Role.PRIMARY, Role.RETURNING),
}
