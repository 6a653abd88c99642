"""Situations for tests of the core: a healthy pair at 100 s, of which a case states only what differs.

situation(seen(DB_A, lease_age_s=3.0), seen(DB_B, incarnation="db-b/2"), mode=Mode.ASYNC)
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

from orchestrator.core.model import (
    Certified,
    Cluster,
    Fence,
    Lease,
    LeaseState,
    Mode,
    Mysqld,
    NodeName,
    Phase,
    Policy,
    Report,
    Role,
    Sync,
    SyncState,
)
from orchestrator.core.requests import Kind, Request
from orchestrator.core.situation import Sighting, Situation

DB_A, DB_B = NodeName("db-a"), NodeName("db-b")
PAIR = (DB_A, DB_B)
NOW = 100.0
UUID_A = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"
EPOCH = 7
LEASE_VERSION, SYNC_VERSION = 1932, 31
TOKEN = "t1"
STEADY = Cluster(EPOCH, 41, DB_A, Mode.SYNC, Phase.STEADY, Certified(DB_B, "db-b/1"), rule="U2", term=12)

_PRIMARY = Report(
    DB_A,
    epoch=EPOCH,
    seq=41,
    role=Role.PRIMARY,
    mysqld=Mysqld.RUNNING,
    incarnation="db-a/1",
    executed=f"{UUID_A}:1-100",
    writable=True,
    gate_open=True,
    has_address=True,
)
_STANDBY = Report(
    DB_B,
    epoch=EPOCH,
    seq=41,
    role=Role.STANDBY,
    mysqld=Mysqld.RUNNING,
    incarnation="db-b/1",
    executed=f"{UUID_A}:1-100",
    receiver_running=True,
    receiver_connected=True,
    applier_running=True,
    token=TOKEN,
)
_HELD = Lease(LeaseState.HELD, EPOCH, "db-a/o", 900, gate_open=True, incarnation="db-a/1")
_ARMED = Sync(SyncState.ARMED, EPOCH, "db-a/1", TOKEN, standby="db-b/1", executed=f"{UUID_A}:1-99")


@dataclass
class Seen:
    """What is seen of one node: its report, lease and sync record, and how long ago each was first seen."""

    node: NodeName
    report: Report
    lease: Lease
    sync: Sync
    report_age_s: float = 0.1
    lease_age_s: float = 0.05
    lease_version: int = LEASE_VERSION
    absent: frozenset[str] = field(default_factory=frozenset)


def seen(
    node: NodeName,
    *,
    lease: dict[str, Any] | Lease | None = None,
    sync: dict[str, Any] | Sync | None = None,
    report_age_s: float = 0.1,
    lease_age_s: float | None = None,
    lease_version: int = LEASE_VERSION,
    absent: tuple[str, ...] = (),
    **report: Any,
) -> Seen:
    """db-a as the healthy primary, db-b as its certified standby; `report` are the fields of the report that differ.

    A number for `lease` or `sync` is not needed: their fields are given as a dict, or the whole record.
    """
    primary = node == DB_A
    base_lease, base_sync = (_HELD, _ARMED) if primary else (Lease(), Sync())
    return Seen(
        node,
        replace(_PRIMARY if primary else _STANDBY, **report),
        lease if isinstance(lease, Lease) else replace(base_lease, **lease or {}),
        sync if isinstance(sync, Sync) else replace(base_sync, **sync or {}),
        report_age_s,
        (0.05 if primary else 500.0) if lease_age_s is None else lease_age_s,
        lease_version,
        frozenset(absent),
    )


def situation(*nodes: Seen, requests: tuple[Request, ...] = (), **changes: Any) -> Situation:
    """The healthy pair, but for these nodes and these fields of the situation or of its desired record."""
    of_cluster = {f.name for f in fields(Cluster)}
    cluster = replace(
        changes.pop("cluster", STEADY), **{name: changes.pop(name) for name in [*changes] if name in of_cluster}
    )
    both = {node: seen(node) for node in PAIR} | {one.node: one for one in nodes}
    base = Situation(
        cluster=cluster,
        pair=PAIR,
        policy=Policy(),
        now=NOW,
        phase_since=50.0,
        hearing_since=0.0,
        leases={
            n: Sighting(s.lease, s.lease_version, NOW - s.lease_age_s)
            for n, s in both.items()
            if "lease" not in s.absent
        },
        syncs={n: Sighting(s.sync, SYNC_VERSION, 50.0) for n, s in both.items() if "sync" not in s.absent},
        reports={n: Sighting(s.report, 7, NOW - s.report_age_s) for n, s in both.items() if "report" not in s.absent},
        requests={one.id: Sighting(one, 0, NOW) for one in requests},
        term=12,
    )
    return replace(base, **changes)


def fencing(*nodes: Seen, fenced_age_s: float = 0.1, **changes: Any) -> Situation:
    """After F1 in epoch 8: power is being taken from db-a, db-b is to take over; W counts since `fenced_age_s`."""
    record: dict[str, Any] = {
        "epoch": 8,
        "seq": 42,
        "primary": DB_B,
        "phase": Phase.FENCING,
        "promotable": None,
        "fence": Fence(DB_A, LEASE_VERSION, "waited"),
        "heir": "db-b/1",
        "rule": "F1",
        "fence_seen": NOW - fenced_age_s,
        "phase_since": NOW - 0.1,
    }
    old = seen(DB_A, lease={"state": LeaseState.REVOKED}, lease_version=LEASE_VERSION + 1, role=Role.FENCED)
    heir = seen(DB_B, epoch=8, role=Role.PREPARE)
    return situation(old, heir, *nodes, **{**record, **changes})


def promoting(*nodes: Seen, **changes: Any) -> Situation:
    """After F2."""
    return fencing(*nodes, **{"phase": Phase.PROMOTING, "mode": Mode.ASYNC, "seq": 43, "rule": "F2", **changes})


def rejoining(*nodes: Seen, **changes: Any) -> Situation:
    """After R1's phase began: db-a serves in ASYNC, db-b has come back and nothing is armed yet."""
    record: dict[str, Any] = {"phase": Phase.REJOINING, "mode": Mode.ASYNC, "promotable": None, "rule": "F3"}
    relaxed = seen(DB_A, sync=Sync(SyncState.RELAXED, EPOCH, "db-a/1"))
    return situation(relaxed, seen(DB_B, role=Role.RETURNING, token=""), *nodes, **{**record, **changes})


def switching(*nodes: Seen, **changes: Any) -> Situation:
    """After S1: db-a is to hand over to db-b."""
    record: dict[str, Any] = {"phase": Phase.SWITCHING, "seq": 42, "rule": "S1", "cause": "r1", "phase_since": NOW - 1}
    return situation(*nodes, **{**record, **changes})


def request(kind: Kind = Kind.SWITCHOVER, to: NodeName = DB_B, **changes: Any) -> Request:
    """An operator's request in the present epoch, to move the primary to db-b."""
    return replace(Request("r1", kind, to, "a reason", "olga", EPOCH), **changes)
