"""Snapshots of a pair for the tests of view, page, API and CLI: a case states only what differs from a healthy one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from orchestrator.core.history import Event, Incident, Step
from orchestrator.core.model import (
    Certified,
    Cluster,
    HostFacts,
    Lease,
    LeaseState,
    Mode,
    Mysqld,
    NodeName,
    Phase,
    Report,
    Role,
    Sync,
    SyncState,
)
from orchestrator.core.readiness import Readiness
from orchestrator.core.snapshot import Aged, Snapshot

DB_A, DB_B = NodeName("db-a"), NodeName("db-b")
UUID = "11111111-1111-1111-1111-111111111111"
STEADY = Cluster(
    epoch=7,
    seq=41,
    primary=DB_A,
    mode=Mode.SYNC,
    phase=Phase.STEADY,
    promotable=Certified(DB_B, "db-b/1"),
    rule="U2",
)
PRIMARY = Report(
    DB_A,
    role=Role.PRIMARY,
    mysqld=Mysqld.RUNNING,
    incarnation="db-a/1",
    executed=f"{UUID}:1-120",
    writable=True,
    gate_open=True,
    has_address=True,
    host=HostFacts(mysql_version="9.7.4", connections=142),
)
STANDBY = Report(
    DB_B,
    role=Role.STANDBY,
    mysqld=Mysqld.RUNNING,
    incarnation="db-b/1",
    executed=f"{UUID}:1-118",
    receiver_running=True,
    receiver_connected=True,
    received_age_s=0.1,
    applier_running=True,
    host=HostFacts(mysql_version="9.7.4"),
)
HELD = Lease(LeaseState.HELD, epoch=7, owner="x", gate_open=True)
FAILOVER = Incident(
    id=7,
    kind="failover",
    trigger="auto",
    actor="orchestrator",
    reason="mysqld on db-b exited",
    rule="F5",
    epoch=7,
    origin=DB_B,
    target=DB_A,
    began="2026-11-21T18:55:00.371Z",
    outcome="ok",
    total_ms=96.0,
    steps=(Step("detect", 0.0, 6.0), Step("fence", 6.0, 9.0), Step("drain", 15.0, 4.0), Step("promote", 19.0, 21.0)),
)
COMPLETED = Event("failover.completed", "2026-11-21T18:55:00.467Z", "warning", "db-a serves", 7, 40, "F3", "db-a", 7)
SETTLED = Event("mode.sync", "2026-11-21T18:55:04.000Z", "info", "db-b holds everything", 7, 41, "U2", "db-b")
READY = Readiness(
    standby=DB_B,
    promotable=True,
    because=(),
    loss_transactions=0,
    loss_as_of_s=0.2,
    exited_ms=96.0,
    silent_ms=2465.0,
    measured=3,
)


def aged(value: Any, age_s: float = 0.2) -> Aged[Any]:
    return Aged(value, age_s)


def healthy(**changes: Any) -> Snapshot:
    """db-a serves, db-b is certified, everything was heard 0.2 s before."""
    snapshot = Snapshot(
        name="shop",
        pair=(DB_A, DB_B),
        vip="192.0.2.100",
        taken=100.0,
        instance="witness",
        connected=True,
        age_s=0.1,
        cluster=STEADY,
        leases={DB_A: aged(HELD, 0.05), DB_B: aged(Lease())},
        syncs={DB_A: aged(Sync(SyncState.ARMED, 7))},
        reports={DB_A: aged(PRIMARY), DB_B: aged(STANDBY)},
        finding="healthy",
        finding_text="db-a serves, db-b is ready to take over",
        incidents=(FAILOVER,),
        events={411: COMPLETED, 412: SETTLED},
        readiness=READY,
        leader="witness",
    )
    return replace(snapshot, **changes)


def with_reports(
    primary: dict[str, Any] | None = None, standby: dict[str, Any] | None = None, **changes: Any
) -> Snapshot:
    """Healthy, but for these fields of the two reports."""
    reports = {DB_A: aged(replace(PRIMARY, **primary or {})), DB_B: aged(replace(STANDBY, **standby or {}))}
    return healthy(**{"reports": reports, **changes})
