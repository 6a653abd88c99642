"""Each action of converge carried out, with its post-condition checked. Decides nothing; raises when one fails."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from agents.binlog.capture import Outcome, TailState
from agents.binlog.truncate import doubt
from agents.converge import Action
from agents.dialect import ChannelTls, channel_login
from agents.lease import LeaseKeeper
from agents.look import last_writer
from agents.mysql import Database
from agents.semisync import AccountsLocked
from orchestrator.coordination.paths import Paths
from orchestrator.coordination.records import readable
from orchestrator.core.errors import CoordinatorUnavailable, KembarError, StepFailed
from orchestrator.core.gtid import GtidSet
from orchestrator.core.invariants import lacking
from orchestrator.core.model import Goal, Instant, Mode, NodeName, Sync, SyncState
from orchestrator.core.ports import Check, Clock, Coordinator, Memory, SetData, Supervisor, VirtualIp
from orchestrator.core.wire import encode

log = logging.getLogger("kembar.agent")

RECORD_S = 1.0
STEADY_S = 30.0  # a server that lived so long is no crash loop
START_PAUSE_MAX_S = 60.0
CLAIM_S = 0.1  # a second look at a VIP that somebody else has claimed
REQUIRE_ACK_S = 1.0  # behind a shut gate: an absent standby is for the leader to judge, who wants our reports
LOGIN_PAUSE_S = 60.0  # another password of ours comes with another agent: sooner would only tell the same again
DRAIN_ROUND_S = 0.5  # one tick's share; a longer backlog is drained over several, each reported


@dataclass(frozen=True, slots=True)
class Source:
    """How this host's mysqld replicates from its peer."""

    host: str
    port: int
    user: str
    password: str
    tls: ChannelTls | None


@dataclass(frozen=True, slots=True)
class Order:
    """What one run of actions rests on: the goal, the record's version, and what was seen with it."""

    goal: Goal
    desired_version: int
    incarnation: str
    standby: str = ""  # the peer's incarnation
    handover: str = ""  # what a standby must have executed
    certified: str = ""  # what this life of ours was certified to hold, as the old primary recorded it
    primary_executed: str = ""  # what the primary of the goal's epoch has said that it has executed
    why: str = "superseded"  # of a release


class Steps:
    """The hands of one agent. Used by the tick thread alone."""

    def __init__(
        self,
        node: NodeName,
        paths: Paths,
        coordinator: Coordinator,
        keeper: LeaseKeeper,
        vip: VirtualIp,
        supervisor: Supervisor,
        database: Database,
        memory: Memory,
        source: Source,
        clock: Clock,
        address_lifetime_s: int,
        capture: Callable[[Path, int, GtidSet, str, str], Outcome],
        swap: Callable[[], None],
    ) -> None:
        """`capture` takes the tail of a dead mysqld: index, epoch, the primary's set, the dead server's uuid, a doubt.

        `swap` puts a complete copy of the primary in the place of the data directory.
        """
        self._node, self._paths, self._coordinator = node, paths, coordinator
        self._keeper, self._vip, self._supervisor = keeper, vip, supervisor
        self._database, self._memory, self._source, self._clock = database, memory, source, clock
        self._address_lifetime_s = address_lifetime_s
        self._capture, self._swap = capture, swap
        self._sync, self._sync_version = Sync(), -1
        self.sync_readable = True
        self._sync_doubt = True  # a write of ours, or of an agent before us, may still be under way
        self._heartbeats = 0
        self._claimed: str | None = None
        self._started: Instant = float("-inf")
        self.login_after: Instant = float("-inf")  # waiter's clock
        self._start_pause_s = 0.0
        self._do = self._by_action()

    @property
    def channel_login(self) -> tuple[str, ...]:
        """How the channel is to log in at the peer, as its server would show it."""
        return channel_login(self._source.user, self._source.tls)

    def _by_action(self) -> Mapping[Action, Callable[[Order], None]]:
        """Who carries out which action."""
        return {
            Action.SHUT_GATE: lambda order: self._keeper.shut(),
            Action.RESET_CLIENTS: lambda order: self._vip.reset_clients(),
            Action.SET_OFFLINE: lambda order: self._database.set_offline(True),
            Action.FORCE_READ_ONLY: self._force_read_only,
            Action.SET_READ_ONLY: lambda order: self._database.set_read_only(kill_blockers=False, tries=1),
            Action.KILL_MYSQLD: lambda order: self._supervisor.kill(),
            Action.RELEASE: lambda order: self._keeper.release(order.why, epoch=order.goal.epoch),
            Action.HAND_OVER: self._hand_over,
            Action.DROP_ADDRESS: lambda order: self._vip.drop(),
            Action.SOURCE_OFF: lambda order: self._database.semisync.source_off(),
            Action.STOP_RECEIVER: self._stop_receiver,
            Action.DRAIN: self._drain,
            Action.STOP_APPLIER: lambda order: self._database.channel.stop(),
            Action.WRITE_PROMOTION: self._write_promotion,
            Action.TAKE_LEASE: self._take_lease,
            Action.RECORD_RELAXED: self._record_relaxed,
            Action.RELAX: self._relax,
            Action.REQUIRE_ACK: lambda order: self._database.semisync.require_ack(REQUIRE_ACK_S),
            Action.CERTIFY: self._certify,
            Action.RECORD_DEGRADED: self._record_degraded,
            Action.WITHDRAW: lambda order: self._record(self._sync_as(SyncState.NONE, order), self._unchanged(order)),
            Action.SET_WRITABLE: lambda order: self._database.set_writable(),
            Action.ADD_ADDRESS: self._add_address,
            Action.OPEN_GATE: self._open_gate,
            Action.PROBE_WRITE: lambda order: self.heartbeat(),
            Action.SAY_OPEN: lambda order: self._keeper.say_open(),
            Action.CAPTURE_TAIL: self._capture_tail,
            Action.SWAP_DATA: self._swap_data,
            Action.START_MYSQLD: self._start_mysqld,
            Action.CONFIGURE_CHANNEL: self._configure_channel,
            Action.CHANGE_LOGIN: self._change_login,
            Action.START_REPLICA: self._start_replica,
            Action.SET_ONLINE: lambda order: self._database.set_offline(False),
            Action.AWAIT_HANDOVER: self._await_handover,
        }

    def _relax(self, order: Order) -> None:
        """The record says ASYNC: whatever recovery commits then was let go, as its clients were told nothing."""
        try:
            self._database.semisync.relax()
        except AccountsLocked:
            self._supervisor.kill()
            raise

    def run(self, action: Action, order: Order) -> None:
        """Carry it out. Raises KembarError."""
        self._do[action](order)

    def see_sync(self, sync: Sync | None, version: int) -> Sync:
        """Take what the mirror shows of our sync record, unless our own last write is newer; the newer of the two.

        None: it cannot be read. Nothing is proven by it then, and it has to be written anew.
        """
        if version > self._sync_version:
            self._sync, self._sync_version, self.sync_readable = sync or Sync(), version, sync is not None
        return self._sync

    def heartbeat(self, within_s: float = 1.0) -> None:
        """Commit one row: the write probe. Raises DatabaseUnavailable."""
        self._heartbeats += 1
        self._database.heartbeat(self._node, self._heartbeats, within_s)

    # power away

    def _force_read_only(self, order: Order) -> None:
        """A server that will not become read-only in its budget, or says nothing, is killed: the fence may not wait."""
        try:
            self._database.set_offline(True)
            self._database.set_read_only(kill_blockers=True)
        except KembarError:
            self._supervisor.kill()

    def _hand_over(self, order: Order) -> None:
        self._keeper.release("handover", self._database.executed(), epoch=order.goal.epoch)

    # take over

    def _stop_receiver(self, order: Order) -> None:
        self._database.channel.stop_receiver()

    def _drain(self, order: Order) -> None:
        facts = self._database.facts()
        if facts.applier_error:
            raise StepFailed(f"the applier has stopped, nothing is skipped: {facts.applier_error}")
        if facts.backlog and not facts.applier_running:
            self._database.channel.start_applier()
        if facts.backlog and not self._database.await_executed(str(facts.held), DRAIN_ROUND_S):
            raise StepFailed(f"{len(facts.backlog)} received transactions are still to be applied")

    def _write_promotion(self, order: Order) -> None:
        """Received is read again after the receiver has ended: only then is executed everything there will be."""
        facts = self._database.facts()
        if facts.backlog:
            raise StepFailed(f"{len(facts.backlog)} received transactions came while the receiver stopped")
        if lost := lacking(GtidSet.parse(order.certified), GtidSet.parse(facts.executed)):
            raise StepFailed(f"I2: certified to hold {lost}, which is not here: acknowledged writes would be lost")
        self._memory.write_promotion(
            {
                "epoch": order.goal.epoch,
                "incarnation": order.incarnation,
                "gtid": facts.executed,
                "peer_uuid": order.standby.split("/")[0],
            }
        )

    def _take_lease(self, order: Order) -> None:
        """In ASYNC the relaxed record goes with it, in the same write. Meanwhile the network is asked for the VIP."""
        self._vip.probe()
        check = self._unchanged(order)
        if order.goal.mode is Mode.SYNC or self.relaxed(order.goal.epoch):
            self._keeper.take(order.goal.epoch, order.incarnation, (check,))
            return
        relaxed = self._sync_as(SyncState.RELAXED, order)
        with self._doubting():
            self._keeper.take(order.goal.epoch, order.incarnation, (check, self._sync_write(relaxed)))
        self._sync, self._sync_version, self.sync_readable = relaxed, self._sync_version + 1, True

    # semi-sync

    def _record_relaxed(self, order: Order) -> None:
        if not self.relaxed(order.goal.epoch):
            self._record(self._sync_as(SyncState.RELAXED, order), self._unchanged(order))

    def relaxed(self, epoch: int) -> bool:
        """Whether the relaxed record of that epoch is written, and no earlier write can still change it.

        A read is no barrier: an armed write whose answer was lost may still be applied. Only a later write of ours that
        was acknowledged makes it fail, by its version.
        """
        return self._sync.state is SyncState.RELAXED and self._sync.epoch == epoch and not self._sync_doubt

    def _unchanged(self, order: Order) -> Check:
        return Check(self._paths.desired, order.desired_version)

    @contextmanager
    def _doubting(self) -> Iterator[None]:
        """Around a write of the sync record: it leaves no doubt if it is acknowledged, or surely was not sent."""
        try:
            yield
        except CoordinatorUnavailable:
            raise
        except KembarError:
            self._sync_doubt = True
            raise
        self._sync_doubt = False

    def _certify(self, order: Order) -> None:
        """The set is read after semi-sync is ON, and a commit must have returned after that.

        What is counted against it later is read before that commit: one that goes by itself meanwhile is seen.
        """
        self._database.semisync.require_ack()
        no_tx = self._database.facts().no_tx
        executed = self._database.executed()
        self.heartbeat()
        armed = replace(
            self._sync_as(SyncState.ARMED, order),
            token=secrets.token_hex(8),
            standby=order.standby,
            executed=executed,
            no_tx=no_tx,
        )
        index = self._database.variables(("log_bin_index",))["log_bin_index"]
        self._write_tail(order.goal.epoch, order.incarnation, TailState.ARMED, index)
        self._record(armed)

    def _record_degraded(self, order: Order) -> None:
        self._give_up_tail()
        self._record(self._sync_as(SyncState.DEGRADED, order))

    def _sync_as(self, state: SyncState, order: Order) -> Sync:
        return Sync(state=state, epoch=order.goal.epoch, incarnation=order.incarnation)

    def _sync_write(self, sync: Sync) -> SetData:
        if self._sync_version < 0:  # which ZooKeeper takes for any version
            raise StepFailed(f"{self._paths.sync(self._node)} has not been read yet")
        return SetData(self._paths.sync(self._node), encode(sync), self._sync_version)

    def _record(self, sync: Sync, *checks: Check) -> None:
        with self._doubting():
            answer = self._coordinator.submit((self._sync_write(sync), *checks)).result(RECORD_S)
        self._sync, self._sync_version, self.sync_readable = sync, int(answer[0]), True

    # tail of the binary log

    def _capture_tail(self, order: Order) -> None:
        """Our own record is read anew: the session has seen the goal's epoch, hence every write before it."""
        writer, tail = last_writer(self._memory), self._memory.tail()
        assert writer is not None, "no tail without a mysqld that was writable"
        sync = readable(Sync, self._coordinator.read(self._paths.sync(self._node))) or Sync()
        primary = GtidSet.parse(order.primary_executed)
        index = str(tail["index"]) if tail is not None and tail["incarnation"] == writer[1] else ""
        why = doubt(writer, order.goal, sync, primary) or ("" if index else "where its binary log is was not recorded")
        # The epoch that followed the writer's, also in a later one: a cut that has begun is brought to an end.
        outcome = self._capture(Path(index), writer[0] + 1, primary, writer[1].split("/")[0], why)
        log.info("tail of epoch %s: %s %s", writer[0], outcome.state, outcome.why, extra={"epoch": order.goal.epoch})
        self._write_tail(*writer, outcome.state, index, outcome.why, outcome.gtids)

    def _start_mysqld(self, order: Order) -> None:
        """Recovery may commit the tail in the engine and die before its end: from here on nothing may be cut.

        A server that ends soon after each start is started less and less often.
        """
        now = self._clock.holder_now()
        if now - self._started > STEADY_S:
            self._start_pause_s = 0.0
        if now - self._started < self._start_pause_s:
            raise StepFailed(f"mysqld ended soon after its last start; again in {self._start_pause_s:g} s at most")
        self._started, self._start_pause_s = now, min(START_PAUSE_MAX_S, 2 * self._start_pause_s or 1.0)
        self._give_up_tail()
        self._supervisor.start()

    def _swap_data(self, order: Order) -> None:
        """What is known of the end of the old binary log says nothing of the copy."""
        self._give_up_tail()
        self._swap()

    def _start_replica(self, order: Order) -> None:
        """What this mysqld applies from now on is in its engine, and not yet in the primary's last report."""
        self._give_up_tail()
        self._database.channel.start()

    def _give_up_tail(self) -> None:
        tail = self._memory.tail()
        if tail is not None and tail["state"] == TailState.ARMED:
            self._memory.write_tail({**tail, "state": TailState.GIVEN_UP})

    def _write_tail(
        self, epoch: int, incarnation: str, state: TailState, index: str, why: str = "", gtids: str = ""
    ) -> None:
        found: dict[str, str | int] = {
            "epoch": epoch,
            "incarnation": incarnation,
            "index": index,
            "state": state,
            "why": why,
            "gtids": gtids,
        }
        self._memory.write_tail(found)

    # serve and follow

    def _open_gate(self, order: Order) -> None:
        """Remembered right after it, before anybody is told: a successor then goes on with what it finds open.

        One that comes in between knows it by the promotion file of this epoch.
        """
        self._keeper.open()
        self._memory.write_opened(order.goal.epoch, order.incarnation)

    def _add_address(self, order: Order) -> None:
        """Nobody else may hold it: the old primary is silent to ARP by now, so a claim is a stranger's."""
        claimed = self._vip.claimed_by(CLAIM_S) if self._claimed else self._vip.foreign_mac()
        self._claimed = claimed
        if claimed:
            raise StepFailed(f"the VIP is held by {claimed} on this network: remove it there")
        self._vip.add(self._address_lifetime_s)

    def _configure_channel(self, order: Order) -> None:
        """Deletes relay logs, acknowledged ones too, hence the new incarnation before it."""
        self._memory.draw_relay_counter()
        source = self._source
        self._database.channel.stop()
        self._database.channel.configure(source.host, source.port, source.user, source.password, source.tls)

    def _change_login(self, order: Order) -> None:
        """Whether it succeeds or not, the channel then goes on with the login it has.

        An applier that ends meanwhile takes the relay logs with it: a new incarnation, unless all is executed.
        """
        self.login_after = self._clock.waiter_now() + LOGIN_PAUSE_S
        try:
            facts, source = self._database.facts(), self._source
            if facts.backlog and not self._database.await_executed(str(facts.held), DRAIN_ROUND_S):
                self._memory.draw_relay_counter()
            self._database.channel.change_login(source.user, source.password, source.tls)
        except KembarError:
            # One that stood still under writes would be ahead of the primary's report: shut to readers, for long.
            self._start_replica(order)
            raise

    def _await_handover(self, order: Order) -> None:
        if not self._database.await_executed(str(GtidSet.parse(order.handover)), 1.0):
            raise StepFailed("what the primary handed over is not executed within 1 s; waiting on")
