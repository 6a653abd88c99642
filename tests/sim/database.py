"""Database, Channel and SemiSync as the agent uses them, on a simulated server. Budgets and what is left of late
statements are those of agents/mysql.py, agents/channel.py and agents/semisync.py."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from agents.dialect import ChannelTls, channel_login
from agents.replication import ServerFacts
from orchestrator.core.errors import DatabaseUnavailable, StepFailed
from orchestrator.core.gtid import GtidSet
from tests.sim.mysqld import Commit, Server
from tests.sim.strands import CHANGES, Event, Strand

TIMEOUT_MAX_MS = 4294967295
Call = Callable[[], None]


class Sessions:
    """How statements reach the server, or do not."""

    def __init__(self, server: Server, rng: Random, slow: float) -> None:
        """`slow`: how often a statement that changes a role takes longer than its caller waits."""
        self.server, self._rng, self._slow = server, rng, slow
        self.time = server.time

    def strand(self) -> Strand:
        assert self.time.strand is not None
        return self.time.strand

    def reach(self, within_s: float) -> None:
        """Raises DatabaseUnavailable if the server gives no answer by then."""
        self.strand().boundary()
        server = self.server
        if server.running and server.refuses is not None:
            raise DatabaseUnavailable(f"{server.refuses}: the agent is refused", errno=server.refuses)
        if server.answers:
            return
        if server.frozen:
            self.strand().sleep(within_s)
            if server.answers:
                return
        raise DatabaseUnavailable("no answer")

    def change(self, effect: Call, within_s: float = 1.0) -> None:
        """A statement that changes a role: it may take effect after its caller has given up."""
        self.strand().boundary(CHANGES)
        server, life = self.server, self.server.life
        if not server.running:
            raise DatabaseUnavailable("not running")
        delayed = self.time.now < server.late_until
        if server.frozen or delayed or (self._slow and self._rng.random() < self._slow):
            pending = [effect]

            def later() -> None:
                if pending and server.life == life and server.answers and effect in server.late:
                    server.late.remove(effect)
                    pending.clear()
                    effect()

            server.late.append(effect)
            if server.frozen:
                server.once_unfrozen(later)
            else:
                late_s = server.late_by_s if delayed else self._rng.uniform(-0.5, 3.0)
                self.time.after(within_s + late_s, later)
            self.strand().sleep(within_s)
            if pending:
                raise StepFailed("no answer; it may still take effect")
            return
        self.strand().sleep(0.0003)
        if server.life != life or not server.running:
            raise StepFailed("the server died; it may still take effect")
        effect()

    def clear_others(self) -> None:
        """Kill every other role session: what it was told does not happen any more."""
        self.reach(1.0)
        self.server.late.clear()


class SimChannel:
    def __init__(self, sessions: Sessions) -> None:
        self._sessions, self._server = sessions, sessions.server

    def stop_receiver(self, within_s: float = 1.0) -> None:
        self._sessions.clear_others()
        self._sessions.change(self._server.receiver.stop_receiver, within_s)

    def stop(self, within_s: float = 5.0) -> None:
        self._sessions.change(self._server.receiver.stop, within_s)

    def start(self, within_s: float = 5.0) -> None:
        self._sessions.clear_others()
        self._sessions.change(self._server.receiver.start, within_s)

    def start_applier(self, within_s: float = 5.0) -> None:
        self._sessions.change(self._server.receiver.start_applier, within_s)

    def configure(
        self, host: str, port: int, user: str, password: str, tls: ChannelTls | None, within_s: float = 5.0
    ) -> None:
        self._sessions.change(
            lambda: self._server.receiver.configure(host, channel_login(user, tls), password), within_s
        )

    def change_login(self, user: str, password: str, tls: ChannelTls | None, within_s: float = 5.0) -> None:
        if self._server.receiver.on:
            raise StepFailed("3021: the receiver runs")
        self._sessions.change(lambda: self._server.receiver.change_login(channel_login(user, tls), password), within_s)


class SimSemiSync:
    def __init__(self, sessions: Sessions) -> None:
        self._sessions, self._server = sessions, sessions.server

    def require_ack(self, within_s: float = 5.0) -> None:
        self._sessions.clear_others()
        end = self._sessions.time.now + within_s
        self._sessions.change(self._on)
        while True:
            self._sessions.reach(1.0)
            clients = len(self._server.streams) + self._server.strangers
            if self._server.source_on and not self._server.gave_up and clients == 1:
                return
            if self._sessions.time.now > end:
                raise StepFailed("semi-sync is not working: need status ON, clients 1")
            self._sessions.strand().sleep(0.02)

    def _on(self) -> None:
        self._server.waits_for_ever = True
        self._server.switch_source(True)

    def relax(self, within_s: float = 3.0) -> None:
        self._sessions.change(self._no_timeout)
        if self._server.waiting():
            self._sessions.change(lambda: self._server.switch_source(False), within_s)
            self._sessions.strand().sleep(0.3 if self._server.streams else 0.002)

    def _no_timeout(self) -> None:
        self._server.waits_for_ever = False
        self._server.lets_go(self._server)

    def source_off(self, within_s: float = 3.0) -> None:
        self._sessions.reach(1.0)
        if self._server.waiting():
            raise StepFailed("commits wait for an acknowledgement: OFF would release them")
        self._sessions.change(lambda: self._server.switch_source(False), within_s)


class SimDatabase:
    """The local server of one agent."""

    def __init__(self, server: Server, rng: Random, slow: float) -> None:
        self._server = server
        self._sessions = Sessions(server, rng, slow)
        self.channel = SimChannel(self._sessions)
        self.semisync = SimSemiSync(self._sessions)

    def facts(self, within_s: float = 0.7) -> ServerFacts:
        self._sessions.reach(within_s)
        server, receiver, disk = self._server, self._server.receiver, self._server.disk
        return ServerFacts(
            server_uuid=server.uuid,
            version="9.7.4",
            offline=server.offline,
            read_only=server.read_only,
            super_read_only=server.super_read_only,
            executed=disk.executed.text(),
            received=disk.received.text() if disk.source else "",
            receiver_running=receiver.on,
            receiver_connected=receiver.connected,
            receiver_error=receiver.error,
            channel_source=(disk.source, 3306) if disk.source else None,
            channel_login=disk.login if disk.source else (),
            applier_running=receiver.applying,
            applier_error="",
            arrivals=str(server.arrivals),
            source_on=server.source_on,
            source_timeout_ms=TIMEOUT_MAX_MS if server.waits_for_ever else 0,
            source_status_on=server.source_on and not server.gave_up,
            wait_no_replica=True,
            semisync_clients=len(server.streams) + server.strangers if server.source_on else 0,
            wait_sessions=server.waiting(),
            no_tx=server.no_tx,
            replica_side_on=True,
            replica_status_on=receiver.connected,
            durable=server.durable,
            connections=1,
            commits=0,
            identity={"server_uuid": server.uuid},
        )

    def executed(self, within_s: float = 1.0) -> str:
        self._sessions.reach(within_s)
        return self._server.disk.executed.text()

    def variables(self, names: tuple[str, ...], within_s: float = 1.0) -> dict[str, str]:
        self._sessions.reach(within_s)
        return {"log_bin_index": f"/data/{self._server.node}/binlog.index"}

    def preflight(self) -> tuple[str, ...]:
        """What is refused of the settings of this life."""
        self._sessions.reach(1.0)
        return tuple(f"{name}={value}: must be 1" for name, value in self._server.settings.items())

    def await_executed(self, gtid_set: str, within_s: float) -> bool:
        end, wanted = self._sessions.time.now + within_s, GtidSet.parse(gtid_set)
        while True:
            self._sessions.reach(1.0)
            if wanted <= GtidSet.parse(self._server.disk.executed.text()):
                return True
            if self._sessions.time.now >= end:
                return False
            self._sessions.strand().sleep(0.02)

    def heartbeat(self, node: str, n: int, within_s: float = 1.0) -> None:
        self._sessions.reach(within_s)
        answer = Event()
        outcome: list[str] = []

        def done(result: str, commit: Commit) -> None:
            outcome.append(result)
            answer.set()

        if not self._server.commit(-1, done):
            raise StepFailed("1290: the server is read only")
        if not outcome:
            answer.wait(within_s)
        if outcome[:1] != ["ok"]:
            raise DatabaseUnavailable("the heartbeat commit has no answer")

    def clear_role_sessions(self) -> None:
        self._sessions.clear_others()

    def set_offline(self, on: bool, within_s: float = 0.5) -> None:
        self._sessions.change(lambda: self._server.set_offline(on), within_s)
        if self._server.offline is not on:
            raise StepFailed("offline_mode is not what it was set to")

    def set_read_only(self, *, kill_blockers: bool, tries: int = 3) -> None:
        self._sessions.clear_others()
        server = self._server
        time = self._sessions.time
        for left in reversed(range(tries)):
            end = time.now + 1.0
            while server.pipeline or time.now < server.locked_until:
                self._sessions.reach(1.0)
                self._sessions.strand().sleep(0.002 if server.pipeline else 0.05)
                if time.now >= end:
                    break
            else:
                self._sessions.change(self._read_only, 1.3)
                return
            if left and kill_blockers:
                server.locked_until = 0.0
        raise StepFailed(f"super_read_only=ON waited {tries} times for running writes; they go on")

    def _read_only(self) -> None:
        self._server.read_only = self._server.super_read_only = True

    def set_writable(self) -> None:
        self._sessions.clear_others()
        self._sessions.change(lambda: self._server.set_offline(False))
        self._sessions.change(self._take_writes)
        if not self._server.writable:
            raise StepFailed("the server is still read only")

    def _take_writes(self) -> None:
        self._server.read_only = self._server.super_read_only = False
        self._server.made_writable(self._server)
