"""One host of a pair as its records show it: lease, sync record and report at the pace of the policy, and no server.

It follows the desired record as an agent does, so that whoever decides sees a pair that works, fails and comes back.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from agents.reporter import Reporter
from orchestrator.coordination.paths import Paths
from orchestrator.coordination.records import Reader
from orchestrator.core.errors import KembarError
from orchestrator.core.model import (
    Cluster,
    Goal,
    HostFacts,
    Instant,
    Lease,
    LeaseState,
    Mode,
    Mysqld,
    NodeName,
    Policy,
    Report,
    Role,
    Sync,
    SyncState,
    goal_for,
)
from orchestrator.core.ports import Check, Clock, Coordinator, Op, Pending, Seen, SetData
from orchestrator.core.wire import encode

log = logging.getLogger("kembar.simulated")

ANSWER_S = 2.0
SOON_S, AGAIN_S = 0.005, 0.1
RESTART_S = 0.3  # of a mysqld that has nothing to recover
EXIT_MS = 2.0  # from the exit until the gate is shut, as an agent measures it
FOLLOWERS = (Role.STANDBY, Role.RETURNING)
HOST = HostFacts(
    load_1m=0.4, memory_used_percent=41.0, disk_used_percent=12.0, uptime_s=86400.0, mysql_version="9.7.4",
    connections=40, cpus=8, memory_total_mib=32768, disk_total_mib=512000, hardware="02:00:00:00:00:01",
)  # fmt: skip


class SimulatedNode:
    """Used by one thread. `step` is to be called when its mirror has news, and when it is due."""

    def __init__(
        self, name: NodeName, peer: NodeName, paths: Paths, coordinator: Coordinator, clock: Clock, uuid: str
    ) -> None:
        self._name, self._peer, self._paths = name, peer, paths
        self._coordinator, self._clock, self._uuid = coordinator, clock, uuid
        self._reader, self._policy = Reader(), Policy()
        self._reporter = Reporter(name, paths.report(name), coordinator, clock)
        self._life = 1
        self._died: Instant | None = None
        self._lease, self._version = Lease(), -1
        self._flight: tuple[Lease, Pending] | None = None
        self._asked: tuple[str, ...] = ()  # what the standby was last to be certified by
        self._renew_at: Instant = math.inf  # while it leads nothing
        self._executed = 100

    @property
    def incarnation(self) -> str:
        return f"{self._name}/{self._life}"

    def die(self) -> bool:
        """mysqld exits: the lease is released at once, as by an agent's process watch; whether there was one."""
        self._died = self._clock.holder_now()
        if self._lease.state is not LeaseState.HELD:
            return False
        # A renewal in flight is not waited for: one session's writes are applied in order.
        version = self._version + (1 if self._flight is not None else 0)
        released = replace(
            self._lease, state=LeaseState.RELEASED, n=self._lease.n + 2, gate_open=False, why="exited", took_ms=EXIT_MS
        )
        self._flight = None
        self._write(released, version, ())
        return True

    def step(self, seen: Mapping[str, Seen]) -> Instant:
        """One pass, and when the next one is due by the holder's clock. What failed is looked at again by the next."""
        now = self._clock.holder_now()
        cluster = self._reader.sighting(Cluster, seen, self._paths.desired)
        policy = self._reader.sighting(Policy, seen, self._paths.policy)
        if cluster is None or policy is None:
            return now + self._policy.report_every_s
        self._policy = policy.value
        goal = goal_for(self._name, cluster.value)
        try:
            self._restart(goal, now)
            self._land()
            self._hold(goal, cluster.version, seen, now)
            self._tell(goal, cluster.value, seen)
        except KembarError as error:
            log.debug("%s: %s", self._name, error)
            self._version, self._flight, self._renew_at = -1, None, math.inf
            return now + AGAIN_S
        return min(self._renew_at, max(self._reporter.told()[1], now - SOON_S) + self._policy.report_every_s)

    # the lease

    def _hold(self, goal: Goal, desired_version: int, seen: Mapping[str, Seen], now: Instant) -> None:
        if goal.role is not Role.PRIMARY or self._died is not None:
            self._renew_at = math.inf
            return
        if math.isfinite(self._renew_at) and now < self._renew_at:
            return
        if self._flight is not None:
            self._renew_at = now + SOON_S
            return
        self._renew_at = now + self._policy.timing.renew_every_s
        if self._lease.state is not LeaseState.HELD or self._lease.epoch != goal.epoch:
            self._take(goal, desired_version, seen)
            return
        self._certify(goal, seen)
        self._write(replace(self._lease, n=self._lease.n + 1, gate_open=True), self._version, ())

    def _take(self, goal: Goal, desired_version: int, seen: Mapping[str, Seen]) -> None:
        lease = Lease(
            LeaseState.HELD, goal.epoch, f"{self._name}/simulated", self._lease.n + 1,
            incarnation=self.incarnation, timing=self._policy.timing,
        )  # fmt: skip
        relaxed = Sync(SyncState.RELAXED, goal.epoch, self.incarnation)
        others: list[Op] = [Check(self._paths.desired, desired_version)]
        if goal.mode is Mode.ASYNC and (found := seen.get(self._paths.sync(self._name))) is not None:
            others.append(SetData(self._paths.sync(self._name), encode(relaxed), found.stored.version))
        self._write(lease, self._version, others)
        self._renew_at = self._clock.holder_now()  # the gate is said to be open as soon as the lease is there

    def _write(self, lease: Lease, version: int, others: Sequence[Op]) -> None:
        ops = (SetData(self._paths.lease(self._name), encode(lease), version), *others)
        self._flight = lease, self._coordinator.submit(ops)

    def _land(self) -> None:
        """Take the answer that is in; after a loss the record is read again. Raises KembarError."""
        if self._flight is not None and self._flight[1].done():
            lease, pending = self._flight
            self._flight = None
            self._version = int(pending.result(0)[0])
            self._lease = lease
        if self._version < 0:
            stored = self._coordinator.read(self._paths.lease(self._name), ANSWER_S)
            self._version = stored.version if stored is not None else -1
            self._lease = Lease()

    def _certify(self, goal: Goal, seen: Mapping[str, Seen]) -> None:
        """Name the standby that follows, once for each life of it in each epoch."""
        report = self._reader.sighting(Report, seen, self._paths.report(self._peer))
        found = seen.get(self._paths.sync(self._name))
        if goal.promotable is not None or report is None or found is None or not report.value.receiver_connected:
            return
        asked = (str(goal.epoch), self.incarnation, report.value.incarnation)
        if report.value.epoch != goal.epoch or asked == self._asked:
            return
        sync = Sync(
            SyncState.ARMED, goal.epoch, self.incarnation, "/".join(asked), report.value.incarnation, self._gtids()
        )
        self._coordinator.submit((SetData(self._paths.sync(self._name), encode(sync), found.stored.version),)).result(
            ANSWER_S
        )
        self._asked = asked

    # the server that is not there, and the report

    def _restart(self, goal: Goal, now: Instant) -> None:
        """A node that is to follow starts its mysqld; one that is still to lead waits, as an agent does."""
        wait_s = RESTART_S if goal.role in FOLLOWERS else self._policy.restart_wait_s
        if self._died is not None and now - self._died >= wait_s:
            self._life, self._died = self._life + 1, None
            self._lease = replace(self._lease, state=LeaseState.IDLE)

    def _tell(self, goal: Goal, cluster: Cluster, seen: Mapping[str, Seen]) -> None:
        follows = goal.role in FOLLOWERS and self._died is None
        sync = self._reader.sighting(Sync, seen, self._paths.sync(self._peer))
        certified = follows and sync is not None and sync.value.standby == self.incarnation
        held = self._lease.state is LeaseState.HELD and self._lease.epoch == goal.epoch
        serves = goal.role is Role.PRIMARY and held and self._lease.gate_open and self._died is None
        self._executed += 1
        report = Report(
            self._name, epoch=cluster.epoch, seq=cluster.seq, role=goal.role,
            mysqld=Mysqld.RUNNING if self._died is None else Mysqld.DEAD, incarnation=self.incarnation,
            executed=self._gtids(), received=self._gtids() if follows else "", receiver_running=follows,
            receiver_connected=follows, received_age_s=0.05 if follows else 0.0, applier_running=follows,
            writable=serves, gate_open=serves, has_address=serves,
            identity={"server_uuid": self._uuid, "server_id": self._name},
            token=sync.value.token if certified and sync is not None else "",
            host=replace(HOST, commits=self._executed),
        )  # fmt: skip
        self._reporter.tell(report, every_s=self._policy.report_every_s, at_once=False)

    def _gtids(self) -> str:
        """Of one writer for both nodes: nothing is ever errant, whoever is primary."""
        return f"3e11fa47-71ca-11e1-9e33-c80aa9429562:1-{self._executed}"
