"""The channel between two servers: dump, receiver, acknowledgement, applier; how each end notices the other's loss."""

from __future__ import annotations

from collections.abc import Callable

from tests.sim.mysqld import Numbers, Server

NET_TIMEOUT_S = 4.0
CONNECT_RETRY_S = 1.0
SOURCE_NOTICES_S = 15.0  # a replica whose host is gone, until TCP gives up
HEARTBEAT_S = 1.0


class Stream:
    """One connection of a receiver to its source."""

    def __init__(self, source: Server, receiver: Receiver) -> None:
        self.source, self.receiver = source, receiver
        self.alive = True
        self._cursor = 0  # of the source's binary log, what is on its way included
        self._delivered = 0
        self._last_arrival = 0.0
        source.streams.append(self)

    def pump(self) -> None:
        """Send what is new, once the link and the source allow."""
        source = self.source
        if not (self.alive and source.alive and not source.frozen):
            return
        end = len(source.disk.binlog)
        if self._cursor >= end or not source.network.up(source.node, self.receiver.server.node):
            return
        end = min(end, self._cursor + source.batch)
        first, self._cursor = self._cursor, end
        self._last_arrival = max(self._last_arrival + 1e-6, source.time.now + source.network.delay_s())
        source.time.at(self._last_arrival, lambda: self._arrive(first, end))

    def _arrive(self, first: int, end: int) -> None:
        source, replica = self.source, self.receiver.server
        if not self.alive or self.receiver.stream is not self:
            return
        if not source.network.up(source.node, replica.node):
            source.time.after(0.2, lambda: self._arrive(first, end))  # TCP sends it again
            return
        if replica.frozen:
            replica.once_unfrozen(lambda: self._arrive(first, end))
            return
        if replica.disk_full:
            source.time.after(0.2, lambda: self._arrive(first, end))  # the receiver waits for space
            return
        if first != self._delivered:
            source.time.after(0.01, lambda: self._arrive(first, end))  # behind one that is sent again
            return
        self._delivered = end
        self.receiver.receive(source.disk.binlog[first:end])
        source.time.after(source.network.delay_s(), lambda: self._acknowledge(end - 1))
        self.pump()

    def _acknowledge(self, index: int) -> None:
        source = self.source
        if not self.alive or self not in source.streams:
            return
        if not source.network.up(self.receiver.server.node, source.node):
            source.time.after(0.2, lambda: self._acknowledge(index))
            return
        life = source.life
        source.once_unfrozen(lambda: source.life == life and source.ack(index))

    def source_died(self) -> None:
        """The source closed it: the replica sees that at once if anything reaches it, else by its timeout."""
        self.alive = False
        if self in self.source.streams:
            self.source.streams.remove(self)
        if self.source.network.up(self.source.node, self.receiver.server.node):
            self.receiver.lost(self)

    def replica_left(self, *, seen: bool) -> None:
        self.alive = False
        source = self.source

        def notice() -> None:
            if self in source.streams:
                source.streams.remove(self)

        if seen and source.network.up(self.receiver.server.node, source.node):
            notice()
        else:
            source.time.after(SOURCE_NOTICES_S, notice)


class Receiver:
    """Both replica threads of one server."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.on = self.applying = False
        self.stream: Stream | None = None
        self.error = ""
        self._heard = 0.0
        self._turn = 0  # counts starts and stops: an older timer does nothing
        self._applies = False
        self.started: Callable[[Server], None] = lambda server: None
        server.receiver = self

    @property
    def connected(self) -> bool:
        return self.on and self.stream is not None

    def forget(self) -> None:
        """With the process."""
        if self.stream is not None:
            self.stream.replica_left(seen=True)
        self.on = self.applying = self._applies = False
        self.stream, self.error = None, ""
        self._turn += 1

    def start(self) -> None:
        self.started(self.server)
        if not self.on:
            self.on, self.error = True, ""
            self._turn += 1
            self._connect(self._turn)
        self.start_applier()

    def start_applier(self) -> None:
        self.applying = True
        self._apply_soon()

    def stop_receiver(self) -> None:
        self.on = False
        self._turn += 1
        if self.stream is not None:
            self.stream.replica_left(seen=True)
            self.stream = None

    def stop(self) -> None:
        self.stop_receiver()
        self.applying = False

    def configure(self, source: str, login: tuple[str, ...], password: str) -> None:
        """Relay logs are deleted, whatever was not applied too. Refused while a thread runs."""
        if self.on or self.applying:
            return
        disk = self.server.disk
        disk.source, disk.login, disk.password = source, login, password
        self._delete_relay_logs()

    def change_login(self, login: tuple[str, ...], password: str) -> None:
        """Refused while it receives. Relay logs stay if the applier runs."""
        if self.on:
            return
        self.server.disk.login, self.server.disk.password = login, password
        if not self.applying:
            self._delete_relay_logs()

    def _delete_relay_logs(self) -> None:
        self.server.world_note(f"relay logs of {self.server.node} are deleted")
        self.server.disk.received = Numbers()
        self.server.disk.relay.clear()
        self.error = ""

    def reset(self) -> None:
        """An administrator stops it, throws its relay logs away, and starts it again."""
        if self.server.answers and self.on:
            self.stop()
            disk = self.server.disk
            self.configure(disk.source, disk.login, disk.password)
            self.start()

    def receive(self, txns: list) -> None:
        disk = self.server.disk
        self._heard = self.server.time.now
        self.server.arrivals += 1
        for txn in txns:
            if not (disk.received.has(txn.uuid, txn.number) or disk.executed.has(txn.uuid, txn.number)):
                disk.relay.append(txn)
            disk.received.add(txn.uuid, txn.number)
        self._apply_soon()

    def lost(self, stream: Stream) -> None:
        if self.stream is stream:
            self.stream = None
            turn = self._turn
            self.server.time.after(CONNECT_RETRY_S, lambda: self._connect(turn))

    def tick(self) -> None:
        """After a freeze."""
        self._apply_soon()

    def _connect(self, turn: int) -> None:
        server, source = self.server, self.server.peer
        if turn != self._turn or not self.on or self.stream is not None or not server.alive:
            return
        reachable = server.network.both(server.node, source.node)
        if server.frozen or not reachable or not source.answers or source.offline or server.disk.source != source.node:
            server.time.after(CONNECT_RETRY_S, lambda: self._connect(turn))
            return
        if server.disk.password != source.password:
            self.error = "1045: access denied"
            server.time.after(CONNECT_RETRY_S, lambda: self._connect(turn))
            return
        self.error = ""
        logged = {(txn.uuid, txn.number) for txn in source.disk.binlog if txn.uuid == source.uuid}
        mine = [txn for txn in (*server.disk.binlog, *server.disk.relay) if txn.uuid == source.uuid]
        if any((txn.uuid, txn.number) not in logged for txn in mine):
            self.on, self.error = False, "1236: the replica has more of the source's GTIDs than the source"
            return
        for old in [one for one in source.streams if one.receiver is self]:
            source.streams.remove(old)  # the same replica again: the source ends its old dump thread
        self.stream = Stream(source, self)
        self._heard = server.time.now
        self.stream.pump()
        self._listen(turn, self.stream)

    def _listen(self, turn: int, stream: Stream) -> None:
        """Heartbeats of an idle source, and the end of patience with a silent one."""
        server, source = self.server, stream.source
        if turn != self._turn or self.stream is not stream:
            return
        reached = source.network.up(source.node, server.node)
        if stream.alive and source.answers and reached:
            if not server.frozen:
                self._heard = server.time.now
                server.arrivals += 1
            stream.pump()
        elif server.time.now - self._heard > NET_TIMEOUT_S and not server.frozen:
            stream.replica_left(seen=False)
            self.lost(stream)
            return
        server.time.after(HEARTBEAT_S, lambda: self._listen(turn, stream))

    # --- applier

    def _apply_soon(self) -> None:
        if self._applies or not self.applying or not self.server.disk.relay:
            return
        self._applies = True
        life = self.server.life
        self.server.time.after(self.server.apply_s, lambda: self.server.life == life and self._apply())

    def _apply(self) -> None:
        """A batch; on a server whose source side waits for ever the applier waits too."""
        self._applies = False
        server, relay = self.server, self.server.disk.relay
        stuck = bool(server.waiting() or server.blocked)
        if not self.applying or not server.alive or server.frozen or stuck:
            if stuck and self.applying:
                self._applies = True
                server.time.after(0.05, self._apply)
            return
        count = max(1, len(relay) // 2)
        while relay and count and not server.waiting():
            txn = relay.popleft()
            count -= 1
            if not server.disk.executed.has(txn.uuid, txn.number):
                server.log(txn, None)
        self._apply_soon()
