"""Composition root of `kembar orchestrator`: one client, a loop and a recorder a pair, one web server for all."""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import click

from monitoring.app import Web, bound_socket, inherited_socket
from monitoring.backend import Backend, utc
from monitoring.measured import Measured
from monitoring.neighbours import Neighbours
from monitoring.tls import ServerTls
from orchestrator.alerting import Alerting, alerting
from orchestrator.answered import Answered
from orchestrator.auditing import Auditor
from orchestrator.config.load import load
from orchestrator.config.orchestrator import ClusterSection, OrchestratorConfig, load_tokens
from orchestrator.config.secret import read_secret
from orchestrator.coordination.client import ZooKeeper
from orchestrator.coordination.election import Election
from orchestrator.coordination.mirror import WatchedMirror
from orchestrator.coordination.paths import Paths
from orchestrator.coordination.records import readable
from orchestrator.coordination.tls import tls_of
from orchestrator.core.access import Token, Tokens
from orchestrator.core.admission import admit
from orchestrator.core.audit import Entry
from orchestrator.core.errors import CoordinatorUnavailable, Refused
from orchestrator.core.model import Policy
from orchestrator.core.ports import Check, Coordinator, Create, SetData
from orchestrator.core.reconcile import Reconcile
from orchestrator.core.requests import Admission, Pause, PreCheck, Request
from orchestrator.core.snapshot import Snapshot
from orchestrator.core.wire import decode, encode
from orchestrator.desk import Desk
from orchestrator.eventlog import EventLog
from orchestrator.failing import FailingCoordinator
from orchestrator.hangup import reread
from orchestrator.loop import Look, Orchestrator
from orchestrator.measuring import MeasuringCoordinator
from orchestrator.process import logs, threads
from orchestrator.process.clock import HostClock
from orchestrator.process.failpoints import Failpoints
from orchestrator.process.logs import LogFormat
from orchestrator.process.notify import Watchdog, notify
from orchestrator.process.signals import received
from orchestrator.reconciler import Reconciler
from orchestrator.recorder import Recorder
from orchestrator.showing import Snapshots, snapshot_of
from orchestrator.tallying import Tally
from orchestrator.tokens import KeptTokens
from orchestrator.watching import Watching

log = logging.getLogger("kembar.orchestrator")

WRITE_S = 2.0


@dataclass(slots=True)
class Pair:
    """The parts of one cluster in this process."""

    section: ClusterSection
    paths: Paths
    watching: Watching
    election: Election
    loop: Orchestrator
    recorder: Recorder
    reconciler: Reconciler
    tally: Tally
    tokens: KeptTokens
    auditor: Auditor
    alerting: Alerting
    events: EventLog = field(default_factory=EventLog)
    look: Look | None = None
    last: Look | None = None  # the last one with facts: while ZooKeeper is out of reach it is shown, growing old


class Fleet:
    """Every pair of this orchestrator, and what page and API may ask of them."""

    def __init__(
        self, config: OrchestratorConfig, clock: HostClock, zookeeper: ZooKeeper, failpoints: Failpoints | None
    ) -> None:
        self._name, self._clock, self._zookeeper = config.name, clock, zookeeper
        self._known_as = config.zookeeper.known_as
        self._failpoints = failpoints
        self.measured = Measured()
        self._alerts = config.alerts
        self._watchdog = Watchdog([section.name for section in config.clusters], clock)
        self._pairs = {section.name: self._pair(section) for section in config.clusters}

    def start(self) -> None:
        for pair in self._pairs.values():
            pair.election.start(threads.start)
            threads.start(f"history-{pair.section.name}", pair.recorder.run)
            threads.start(f"returns-{pair.section.name}", pair.reconciler.run)
            threads.start(f"totals-{pair.section.name}", pair.tally.run)
            threads.start(f"audit-{pair.section.name}", pair.auditor.run)
            pair.alerting.start()
            threads.start(f"tick-{pair.section.name}", pair.loop.run)

    def stop(self) -> None:
        for pair in self._pairs.values():
            pair.loop.stop()
            pair.recorder.stop()
            pair.reconciler.stop()
            pair.tally.stop()
            pair.auditor.stop()
            pair.alerting.stop()
            pair.election.close()

    def snapshots(self) -> Mapping[str, Snapshot]:
        """Each pair as the last tick saw it; what it knew last, while it sees nothing."""
        return Snapshots([name for name, pair in self._pairs.items() if pair.look is not None], self._snapshot)

    def _snapshot(self, name: str) -> Snapshot:
        pair = self._pairs[name]
        assert pair.look is not None
        shown = pair.last if pair.last is not None and not pair.look.seen else pair.look
        vip = str(pair.section.vip.address)
        snapshot = snapshot_of(shown, pair.watching, pair.paths, self._clock, self._name, vip)
        pair.events.take(snapshot.events)  # here, and not in the tick, which nothing may hold up
        return replace(snapshot, connected=bool(pair.look.seen), events=pair.events.kept)

    def dry_run(self, cluster: str, request: Request) -> Admission:
        look = self._pairs[cluster].look
        if look is None or look.situation is None:
            return Admission(
                (PreCheck("record", False, "no desired record has been read yet: is ZooKeeper reachable?"),)
            )
        return admit(request, look.situation)

    def submit(self, cluster: str, request: Request) -> None:
        """Put the request if the record it was made for is still the present one."""
        pair = self._pairs[cluster]
        look = pair.look
        if look is None or look.situation is None:
            raise CoordinatorUnavailable("no desired record has been read yet")
        check = Check(pair.paths.desired, look.desired_version)
        create = Create(pair.paths.request(request.id), encode(request))
        self._zookeeper.submit((check, create)).result(WRITE_S)

    def read_request(self, cluster: str, request_id: str) -> Request | None:
        paths = self._pairs[cluster].paths
        stored = self._zookeeper.read(paths.request(request_id))
        return decode(Request, stored.data) if stored else Answered(paths, self._zookeeper).find(request_id)

    def return_ids(self, cluster: str) -> tuple[int, ...]:
        names = self._zookeeper.children(self._pairs[cluster].paths.reconciles)
        return tuple(int(name) for name in names if name.isdecimal())

    def read_return(self, cluster: str, id: int) -> Reconcile | None:
        return readable(Reconcile, self._zookeeper.read(self._pairs[cluster].paths.reconcile(str(id))))

    def put_pause(self, cluster: str, pause: Pause) -> None:
        path = self._pairs[cluster].paths.pause
        stored = self._zookeeper.read(path)
        if stored is None:
            raise Refused(f"{path} does not exist: the cluster is not provisioned")
        self._zookeeper.submit((SetData(path, encode(pause), stored.version),)).result(WRITE_S)

    def read_policy(self, cluster: str) -> tuple[Policy, int]:
        path = self._pairs[cluster].paths.policy
        stored = self._zookeeper.read(path)
        if stored is None:
            raise Refused(f"{path} does not exist: the cluster is not provisioned")
        return decode(Policy, stored.data), stored.version

    def put_policy(self, cluster: str, policy: Policy, version: int) -> None:
        op = SetData(self._pairs[cluster].paths.policy, encode(policy), version)
        self._zookeeper.submit((op,)).result(WRITE_S)

    def kept_tokens(self) -> tuple[Token, ...]:
        return tuple(token for pair in self._pairs.values() for token in pair.tokens.present)

    def read_tokens(self, cluster: str) -> tuple[Tokens, int]:
        return self._pairs[cluster].tokens.read()

    def put_tokens(self, cluster: str, tokens: Tokens, version: int) -> None:
        self._pairs[cluster].tokens.put(tokens, version)

    def audit(self, cluster: str, entry: Entry) -> None:
        self._pairs[cluster].auditor.note(entry)

    def read_audit(self, cluster: str, limit: int) -> tuple[Entry, ...]:
        return self._pairs[cluster].auditor.newest(limit)

    def desks(self) -> Mapping[str, Desk]:
        """Of each cluster: what waits to be sent, and test messages."""
        return {name: pair.alerting.desk for name, pair in self._pairs.items()}

    def _pair(self, section: ClusterSection) -> Pair:
        paths = Paths(section.name)
        watching = Watching(paths, section.pair)
        mirror = WatchedMirror(
            self._zookeeper,
            self._clock,
            [
                paths.desired,
                paths.leader,
                paths.policy,
                paths.pause,
                paths.recent,
                paths.totals,
                paths.returning,
                paths.kept,
                paths.decisions,
                paths.tokens,
                *(path(node) for node in section.pair for path in (paths.lease, paths.sync, paths.report)),
            ],
            folders=[paths.requests, paths.election],
            wake=lambda: loop.wake(),
        )
        election = Election(
            self._zookeeper, self._clock, paths, self._name, changed=lambda: loop.wake(), known_as=self._known_as
        )
        coordinator: Coordinator = MeasuringCoordinator(
            self._zookeeper, self._clock, partial(self.measured.asked, section.name)
        )
        recorder = Recorder(
            paths, coordinator, self._clock, Watching(paths, section.pair), lambda: election.term_version, utc
        )

        if self._failpoints is not None:
            coordinator = FailingCoordinator(coordinator, paths, self._failpoints)
        reconciler = Reconciler(paths, coordinator, lambda: election.term_version, recorder.tell)
        tally = Tally(paths, coordinator, self._clock, Watching(paths, section.pair), lambda: election.term_version)

        tokens = KeptTokens(paths, self._zookeeper)
        auditor = Auditor(paths, self._zookeeper, self._name, lambda: utc(self._clock.wall_s()))

        # By the plain client: what is sent to persons is no part of what the failpoints are about.
        alerts = alerting(
            self._alerts, paths, self._zookeeper, self._clock, lambda: election.term_version, recorder.tell
        )

        def show(look: Look) -> None:
            pair.look = look
            tokens.take(look.seen)
            auditor.take(look)
            self.measured.ticked(section.name, self._clock.wall_s(), self._clock.waiter_now() - look.now)
            recorder.take(look)
            reconciler.take(look)
            tally.take(look)
            alerts.take(look)
            if look.situation is not None:
                pair.last = look
            self._watchdog.came_round(section.name, f"{section.name}: {'leads' if look.leading else 'follows'}")

        loop = Orchestrator(self._name, paths, section.pair, self._clock, coordinator, mirror, election, watching, show)
        pair = Pair(section, paths, watching, election, loop, recorder, reconciler, tally, tokens, auditor, alerts)
        return pair


def serve(config: OrchestratorConfig, read: Callable[[], OrchestratorConfig]) -> int:
    """Run until SIGTERM; the exit status. `read` reads the file again, at SIGHUP."""
    logged = logs.start(LogFormat(config.log.format), config.log.level.upper(), node=config.name)
    with received(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as told:
        _run(config, read, told)
    logged.close()
    return 0


def _run(config: OrchestratorConfig, read: Callable[[], OrchestratorConfig], told: Iterator[int]) -> None:
    tls = _tls(config)
    clock = HostClock()
    zookeeper = ZooKeeper(
        config.zookeeper.addresses,
        clock,
        threads.start,
        session_s=config.zookeeper.session_timeout_s,
        stall_s=0.5,
        tls=tls_of(config.zookeeper.files),
    )
    fleet = Fleet(config, clock, zookeeper, Failpoints.of(os.environ))
    web = Web(_backend(config, clock, fleet), _socket(config), tls)
    zookeeper.start()
    fleet.start()
    serving = threads.start("web", web.run)
    notify("READY=1")
    log.info("orchestrator %s of %d clusters, page on %s", config.name, len(config.clusters), web.url)
    while next(told) == signal.SIGHUP:
        _reload(tls)
        good, text = reread(config, read)
        log.log(logging.INFO if good else logging.ERROR, "SIGHUP: %s", text)
    web.stop()
    serving.join()
    fleet.stop()
    zookeeper.close()


def _tls(config: OrchestratorConfig) -> ServerTls | None:
    return None if config.tls is None else ServerTls(config.tls.certificate, config.tls.key)


def _reload(tls: ServerTls | None) -> None:
    """What a running orchestrator takes over without a restart: its certificate, no more."""
    if tls is None:
        return
    try:
        tls.reload()
    except OSError as error:
        log.error("SIGHUP: page and API go on with the certificate they have: %s", error)
        return
    log.info("SIGHUP: page and API have the certificate that the file holds now")


def _backend(config: OrchestratorConfig, clock: HostClock, fleet: Fleet) -> Backend:
    return Backend(
        instance=config.name,
        snapshots=fleet.snapshots,
        now=clock.waiter_now,
        wall_s=clock.wall_s,
        dry_run=fleet.dry_run,
        submit=fleet.submit,
        read_request=fleet.read_request,
        put_pause=fleet.put_pause,
        read_policy=fleet.read_policy,
        put_policy=fleet.put_policy,
        return_ids=fleet.return_ids,
        read_return=fleet.read_return,
        kept_tokens=fleet.kept_tokens,
        read_tokens=fleet.read_tokens,
        put_tokens=fleet.put_tokens,
        audit=fleet.audit,
        read_audit=fleet.read_audit,
        session_key=_session_key(config),
        desks=fleet.desks(),
        tokens=load_tokens(config.tokens_file) if config.tokens_file else (),
        anonymous_viewers=config.anonymous_viewers,
        anonymous_metrics=config.anonymous_metrics,
        measured=fleet.measured,
        hardware=Neighbours(clock.waiter_now).hardware,
    )


def _session_key(config: OrchestratorConfig) -> bytes:
    """Without a key in common a session is good at the orchestrator that began it, until that ends."""
    if config.session_key_file is None:
        return secrets.token_bytes(32)
    return hashlib.sha256(read_secret(config.session_key_file).encode()).digest()


def _socket(config: OrchestratorConfig) -> socket.socket:
    inherited = inherited_socket(os.environ)
    if inherited is not None:
        return inherited
    if config.listen is None:
        raise Refused(
            "listen: inherited, but no socket was passed (LISTEN_FDS is not set): start it by its socket unit"
        )
    return bound_socket(config.listen.host, config.listen.port)


@click.command("orchestrator")
@click.option(
    "-c", "--config", "config_file", type=click.Path(path_type=Path), default=Path("/etc/kembar/orchestrator.yaml")
)
def command(config_file: Path) -> None:
    """Run an orchestrator: decides while it leads, serves page and API always."""
    try:
        read = partial(load, OrchestratorConfig, config_file, os.environ)
        status = serve(read(), read)
    except Refused as error:  # ConfigWrong too: a line for each mistake
        click.echo(str(error), err=True)
        status = 1
    sys.exit(status)
