"""Agent.tick(): goal, look, converge, act, report. It moves values; what it may do is decided in converge."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import takewhile

from agents.converge import Action, Local, converge
from agents.executor import Executor
from agents.invariants import check_plan
from agents.lease import LeaseKeeper
from agents.look import Peer, Sight, copied_from, handover_untold, local, owed, primary_executed
from agents.ports import Health, Repair, Verify
from agents.reporter import Reporter
from agents.server import Server
from agents.standing import Standing
from agents.steps import Order, Steps
from agents.tasks import due, task
from agents.telling import FOLLOWERS, Telling
from orchestrator.coordination.paths import Paths
from orchestrator.coordination.records import Broken, Reader, desired_after, names_node, names_pair, readable
from orchestrator.core.errors import KembarError, StepFailed
from orchestrator.core.gtid import GtidSet
from orchestrator.core.invariants import older
from orchestrator.core.kept import Settlements
from orchestrator.core.mergepolicy import MergePolicy
from orchestrator.core.model import (
    Cluster,
    Instant,
    Lease,
    LeaseState,
    Mysqld,
    NodeName,
    Phase,
    Policy,
    Report,
    Role,
    Sync,
    SyncState,
    goal_for,
)
from orchestrator.core.ports import Clock, Coordinator, Memory, Mirror, Seen, VirtualIp
from orchestrator.core.reconcile import Reconcile
from orchestrator.core.requests import Request
from orchestrator.core.situation import Sighting
from orchestrator.core.verifying import Difference

log = logging.getLogger("kembar.agent")

ROUNDS_MAX = 8  # of look and act in one tick; a goal is at most four rounds away
# With a disk that takes no writes: the record is followed in what takes power away, and commits may be let go.
WITHOUT_MEMORY = frozenset(
    {
        Action.SHUT_GATE,
        Action.RESET_CLIENTS,
        Action.FORCE_READ_ONLY,
        Action.SET_READ_ONLY,
        Action.KILL_MYSQLD,
        Action.RELEASE,
        Action.HAND_OVER,
        Action.DROP_ADDRESS,
        Action.RECORD_RELAXED,
        Action.RELAX,
        Action.RECORD_DEGRADED,
    }
)
# With a record that is only remembered: power is taken from what is broken here, and nothing else is begun.
BY_MEMORY = frozenset(
    {
        Action.SHUT_GATE,
        Action.RESET_CLIENTS,
        Action.FORCE_READ_ONLY,
        Action.KILL_MYSQLD,
        Action.RELEASE,
        Action.DROP_ADDRESS,
    }
)
UNREADABLE = "RECORD_UNREADABLE: {} cannot be read, so nothing new is begun here: {}"
OLDER = (
    "OLD_RECORD: {}.{} in ZooKeeper is older than {}.{}, which was followed here, and is not obeyed: ZooKeeper lost "
    "writes or is another one. Give it back its newest data, name the right servers in agent.yaml, or run kembar adopt"
)
BUSY_TICK_S = 0.1  # while something is under way
QUIET_TICK_S = 0.5  # what wakes nobody is found by a look: a hang, a server that stopped to wait for the standby
SWITCHING_TICK_S = 0.005  # the standby asks for the handover, which is the other node's lease
RELEASES: Mapping[Mysqld, str] = {Mysqld.HUNG: "hung", Mysqld.EXITING: "exited", Mysqld.DEAD: "exited"}


def quiet_tick_s(policy: Policy) -> float:
    """How often it looks at what does not change: for the report, and not as seldom as that of many pairs."""
    return min(QUIET_TICK_S, policy.report_every_s)


class Agent:
    """The tick of one node. Everything outside comes in as a port; the tick thread alone calls it."""

    def __init__(
        self,
        node: NodeName,
        peer: NodeName,
        peer_address: str,
        paths: Paths,
        clock: Clock,
        coordinator: Coordinator,
        mirror: Mirror,
        keeper: LeaseKeeper,
        vip: VirtualIp,
        server: Server,
        health: Health,
        memory: Memory,
        steps: Steps,
        executor: Executor,
        telling: Telling,
        repair: Repair,
        verify: Verify,
        news: threading.Event,
    ) -> None:
        """`news` is set by whoever learns something: the next tick then comes at once."""
        self._node, self._peer, self._peer_address = node, peer, peer_address
        self._paths, self._clock = paths, clock
        self._coordinator, self._mirror, self._keeper, self._vip = coordinator, mirror, keeper, vip
        self._server, self._health = server, health
        self._memory, self._steps, self._executor = memory, steps, executor
        self._telling, self._repair, self._verify = telling, repair, verify
        self._last_reconcile: Reconcile | None = None
        self._reader = Reader()
        self._reporter = Reporter(node, paths.report(node), coordinator, clock)
        self._peer_errant: GtidSet | None = None
        self._armed_since: tuple[str, Instant] = ("", 0.0)
        self._released: tuple[int, Instant] | None = None
        self._news = news
        self._tick_s = BUSY_TICK_S
        self._given_up = ""  # token of the last certification that led to nothing
        self._desired: Sighting[Cluster] | None = None  # the last that could be read
        self._unreadable = ""  # why the present one cannot
        self._fits_pair = names_pair((node, peer))
        self._policy_followed = Policy()
        self.merge_policy: MergePolicy | None = None  # for the repair thread; None while the record cannot be read
        self._older = ""  # why the record is not obeyed
        self._forgetful = ""  # why the record could not be remembered
        self._stopping = False

    def standing(self) -> Standing:
        """What this node is to a load balancer now; for any thread, never blocks."""
        power = self._keeper.power()
        report, told_at = self._reporter.told()
        age_s = self._clock.holder_now() - told_at
        return Standing(self._node, power.gate_open, self._keeper.may_act(), report, age_s)

    def stop(self) -> None:
        self._stopping = True
        self._news.set()

    def run(self, came_round: Callable[[], None] = lambda: None) -> None:
        """Until `stop`. `came_round` is called after each tick, and must not block."""
        while not self._stopping:
            self._news.wait(self._tick_s)
            self._news.clear()
            try:
                self.tick()
            except KembarError as error:  # the one place: the next tick looks again
                log.warning("tick: %s", error)
            came_round()

    def tick(self) -> None:
        """One pass: rounds of look and act until nothing is left to do, then a report. Raises KembarError."""
        seen = self._mirror.snapshot()
        if not seen:
            return  # not connected: the keeper shuts the gate at its horizon, mysqld is left as it is
        desired = self._record(seen)
        if desired is None or not self._follow(desired.value):
            # Neither node obeys it. Whoever serves goes on under its lease, and both say why.
            self._complain(self._policy(seen).report_every_s)
            self._keeper.ticked()
            return
        policy = self._policy(seen)
        acted = False
        for _ in range(ROUNDS_MAX):
            sight = self._look(seen, desired, policy)
            found = local(sight, self._memory)
            self._note_certification(sight, found)
            self._repair.give(task(sight))
            self._repair.decide(self._settlements(seen, sight))
            self._verify.give(due(sight, self._requests(seen)))
            actions = () if self._blind(sight) else self._allowed(converge(sight.goal, found))
            check_plan(sight.goal, found, actions)
            if not actions or not self._executor.run(actions, self._order(seen, desired, sight)):
                break
            acted = True
        self._tell(sight, found, seen, at_once=acted or handover_untold(sight))
        self._keeper.ticked()
        if self._quiet(sight) and not acted:
            self._tick_s = quiet_tick_s(policy)

    def _quiet(self, sight: Sight) -> bool:
        settled = sight.cluster.phase is Phase.STEADY and sight.mysqld is Mysqld.RUNNING and sight.fresh
        return settled and not self._executor.failure and not sight.stalled_s

    def _allowed(self, actions: tuple[Action, ...]) -> tuple[Action, ...]:
        """All, if the record they rest on is there and kept; else only what takes power away, up to the first other."""
        if not (self._unreadable or self._forgetful):
            return actions
        may = BY_MEMORY if self._unreadable else WITHOUT_MEMORY
        return tuple(takewhile(lambda action: action in may, actions))

    # the record

    def _record(self, seen: Mapping[str, Seen]) -> Sighting[Cluster] | None:
        """The desired record; the last one that could be read, while the present one cannot; None before the first."""
        found = desired_after(self._desired, self._reader, seen, self._paths.desired, self._fits_pair)
        self._unreadable = UNREADABLE.format(self._paths.desired, found.why) if isinstance(found, Broken) else ""
        if isinstance(found, Sighting):
            self._desired = found
        return self._desired

    def _follow(self, cluster: Cluster) -> bool:
        """Remember the record before anything is done for it; refuse one that is older than what was followed."""
        remembered = self._memory.epoch()
        if older((cluster.epoch, cluster.seq), remembered):
            why = OLDER.format(cluster.epoch, cluster.seq, *remembered)
            if why != self._older:
                log.error(why)
            self._older = why
            return False
        self._older = ""
        self._forgetful = ""
        if (cluster.epoch, cluster.seq) > remembered:
            try:
                self._memory.remember(cluster.epoch, cluster.seq)
            except StepFailed as error:
                self._forgetful = str(error)
        return True

    def _complain(self, every_s: float) -> None:
        opened = self._memory.opened()
        self._reporter.complain(
            self._unreadable or self._older, self._memory.epoch(), opened[0] if opened else 0, every_s
        )
        self._tick_s = every_s

    def _policy(self, seen: Mapping[str, Seen]) -> Policy:
        """What cannot be read changes nothing: least of all the timings of a lease that is held."""
        sighting = self._reader.sighting(Policy, seen, self._paths.policy)
        self.merge_policy = sighting.value.reconcile if sighting is not None else None
        if sighting is not None:
            self._policy_followed = sighting.value
            self._keeper.follow(sighting.value.timing)
        return self._policy_followed

    # look

    def _look(self, seen: Mapping[str, Seen], desired: Sighting[Cluster], policy: Policy) -> Sight:
        cluster, goal, now = desired.value, goal_for(self._node, desired.value), self._clock.waiter_now()
        mysqld = self._server.look(self._health.mysqld())
        peer = self._peer_seen(seen, cluster, now)
        sync = self._sync(seen, now)
        power = self._keeper.power()
        self._note_release(power.lease, cluster, now)
        self._judge_peer(goal.role, seen)
        return Sight(
            node=self._node,
            cluster=cluster,
            goal=goal,
            policy=policy,
            now=now,
            mysqld=mysqld,
            incarnation=self._server.incarnation,
            facts=self._server.facts,
            fresh=self._server.fresh,
            power=power,
            may_act=self._keeper.may_act(),
            has_address=self._vip.present(),
            sync=sync,
            sync_readable=self._steps.sync_readable,
            relaxed=self._steps.relaxed(goal.epoch),
            armed_since=self._armed_since[1],
            peer=peer,
            peer_address=self._peer_address,
            channel_login=self._steps.channel_login,
            login_after=self._steps.login_after,
            peer_errant=self._peer_errant,
            stalled_s=self._health.stalled_s(),
            released_since=self._released[1] if self._released else None,
            certify_after=self._executor.certify_after,
            refusals=(*self._server.refusals, *copied_from(peer, goal.role, self._server.facts)),
            reconcile=self._reconcile(seen),
            told_handover=self._reporter.told_executed,
            swap=self._repair.swap,
            returning=owed(self._repair.returning, self._memory, self._server.facts),
        )

    def _blind(self, sight: Sight) -> bool:
        """A server whose facts are old is not led to anything; only power is taken from it."""
        if sight.mysqld is not Mysqld.RUNNING or self._server.fresh:
            return False
        return sight.facts is None or sight.goal.role is Role.PRIMARY

    def _peer_seen(self, seen: Mapping[str, Seen], cluster: Cluster, now: Instant) -> Peer:
        sighting = self._peer_report(seen)
        switching = cluster.phase is Phase.SWITCHING and cluster.primary == self._peer
        self._tick_s = SWITCHING_TICK_S if switching else BUSY_TICK_S
        released_with = self._handover(cluster) if switching else ""
        if sighting is None:
            return Peer(released_with=released_with)
        return Peer(sighting.value, now - sighting.first_seen, released_with)

    def _peer_report(self, seen: Mapping[str, Seen]) -> Sighting[Report] | None:
        return self._reader.sighting(Report, seen, self._paths.report(self._peer), names_node(self._peer))

    def _handover(self, cluster: Cluster) -> str:
        """What the primary had committed when it handed over. Its lease is not mirrored: it moves all the time."""
        lease = readable(Lease, self._coordinator.read(self._paths.lease(self._peer))) or Lease()
        given = lease.state is LeaseState.RELEASED and lease.why == "handover" and lease.epoch == cluster.epoch
        return lease.executed if given else ""

    def _sync(self, seen: Mapping[str, Seen], now: Instant) -> Sync:
        found = self._reader.read(Sync, seen, self._paths.sync(self._node))
        sync = self._steps.see_sync(found.value if isinstance(found, Sighting) else None, found.version)
        if sync.state is SyncState.ARMED and sync.token != self._armed_since[0]:
            self._armed_since = (sync.token, now)
        return sync

    def _reconcile(self, seen: Mapping[str, Seen]) -> Reconcile | None:
        """One that cannot be read changes nothing of what is under way here."""
        found = seen.get(self._paths.returning)
        if found is None or not found.stored.data:
            return None
        sighting = self._reader.sighting(Reconcile, seen, self._paths.returning)
        if sighting is not None:
            self._last_reconcile = sighting.value
        return self._last_reconcile

    def _settlements(self, seen: Mapping[str, Seen], sight: Sight) -> Settlements | None:
        """What persons chose about kept transactions, if this node has the power to carry it out."""
        serves = sight.goal.role is Role.PRIMARY and sight.power.gate_open and sight.may_act
        if not serves or sight.mysqld is not Mysqld.RUNNING:
            return None
        found = seen.get(self._paths.decisions)
        if found is None or not found.stored.data:
            return Settlements()
        sighting = self._reader.sighting(Settlements, seen, self._paths.decisions)
        return sighting.value if sighting is not None else None

    def _requests(self, seen: Mapping[str, Seen]) -> Iterator[Request]:
        """What operators ask for; what cannot be read is not carried out."""
        for path in seen:
            if path.startswith(f"{self._paths.requests}/"):
                sighting = self._reader.sighting(Request, seen, path)
                if sighting is not None:
                    yield sighting.value

    def _note_certification(self, sight: Sight, found: Local) -> None:
        """One that was armed and led to nothing is tried again later each time."""
        if sight.goal.promotable is not None:
            self._executor.certified()
        elif found.armed and not found.certifying and self._given_up != self._armed_since[0]:
            self._given_up = self._armed_since[0]
            self._executor.certification_failed()

    def _note_release(self, lease: Lease, cluster: Cluster, now: Instant) -> None:
        released = lease.state is LeaseState.RELEASED and lease.epoch == cluster.epoch
        if not released:
            self._released = None
        elif self._released is None:
            self._released = (lease.epoch, now)

    def _judge_peer(self, role: Role, seen: Mapping[str, Seen]) -> None:
        """What the standby has and we have not. Its sample comes first, ours after a commit that began later.

        The standby may apply a transaction before our engine commits it, so samples of one moment show false errants.
        """
        sighting = self._peer_report(seen)
        if role is not Role.PRIMARY or sighting is None or self._server.facts is None or not self._server.fresh:
            return
        if self._health.committed_after(sighting.first_seen):
            self._peer_errant = GtidSet.parse(sighting.value.executed) - GtidSet.parse(self._server.facts.executed)

    # act

    def _certified(self, seen: Mapping[str, Seen], sight: Sight) -> str:
        """What this life of ours must hold to be promoted; empty if it never was certified, or is promoted by force."""
        if sight.goal.heir is None:
            return ""
        sync = self._reader.sighting(Sync, seen, self._paths.sync(self._peer))
        armed = sync is not None and sync.value.state is SyncState.ARMED and sync.value.standby == sight.incarnation
        return sync.value.executed if sync is not None and armed else ""

    def _order(self, seen: Mapping[str, Seen], desired: Sighting[Cluster], sight: Sight) -> Order:
        return Order(
            goal=sight.goal,
            desired_version=desired.version,
            incarnation=sight.incarnation,
            standby=sight.peer.report.incarnation if sight.peer.report else "",
            handover=sight.peer.released_with,
            primary_executed=primary_executed(sight) or "",
            certified=self._certified(seen, sight),
            why=RELEASES.get(sight.mysqld, "superseded"),
        )

    def _tell(self, sight: Sight, found: Local, seen: Mapping[str, Seen], *, at_once: bool) -> None:
        self._health.write(found.lease_held and not found.read_only and sight.goal.role is Role.PRIMARY)
        peer_sync = self._reader.sighting(Sync, seen, self._paths.sync(self._peer))
        report = self._telling.report(
            sight, found, peer_sync.value if peer_sync else Sync(), self._forgetful, self._unreadable
        )
        report = replace(
            report,
            returning=owed(self._repair.returning, self._memory, self._server.facts),
            merging=self._repair.merging,
            settled=self._repair.settled,
            verifying=self._verify.verifying,
            verified=self._verify.verified,
            differing=self._differing(sight),
        )
        if self._repair.trouble:
            report = replace(report, troubles=(*report.troubles, f"RETURN: {self._repair.trouble}"))
        self._reporter.tell(report, every_s=sight.policy.report_every_s, at_once=at_once)

    def _differing(self, sight: Sight) -> tuple[Difference, ...]:
        """Only of a node that is to be a copy of the other."""
        if sight.goal.role not in FOLLOWERS:
            return ()
        both = (sight.facts, sight.peer.report)
        return self._verify.differing([one.identity.get("server_uuid", "") if one else "" for one in both])
