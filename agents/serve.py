"""Composition root of `kembar agent`: makes every adapter, ties the threads together, and ends them."""

from __future__ import annotations

import logging
import os
import secrets
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from agents import preflight
from agents.binlog.capture import capture
from agents.config import AgentConfig, Replication
from agents.dialect import ChannelTls
from agents.executor import Executor
from agents.failing import FailingGate, FailingHands
from agents.gate import NftGate
from agents.guard import Guard
from agents.health import HostHealth
from agents.host import HostWatch
from agents.lease import LeaseKeeper
from agents.listen import RoleServer, role_socket
from agents.loop import Agent
from agents.memory import FileMemory
from agents.mysql import Database
from agents.mysqld import DirectChild, Systemd
from agents.news import News
from agents.probes import Probes
from agents.reconcile.copying import Donor
from agents.reconcile.exchange import Identity
from agents.reconcile.observing import verify_worker
from agents.reconcile.parts import Exchange, peer_server, repair_worker
from agents.reconcile.publishing import OpenRecord
from agents.reconcile.returner import Place
from agents.reconcile.swap import Swap
from agents.server import Server
from agents.session import Access
from agents.standing import in_a_line
from agents.steps import Source, Steps
from agents.telling import Telling
from agents.vip import LinuxVirtualIp, require_interface
from agents.watch import ProcessWatch
from orchestrator.config.secret import read_secret
from orchestrator.coordination.client import ZooKeeper
from orchestrator.coordination.mirror import WatchedMirror
from orchestrator.coordination.paths import Paths
from orchestrator.coordination.tls import tls_of
from orchestrator.core.errors import Refused, StepFailed
from orchestrator.core.model import NodeName
from orchestrator.core.ports import Supervisor
from orchestrator.process import logs, threads
from orchestrator.process.clock import HostClock
from orchestrator.process.failpoints import Failpoints
from orchestrator.process.logs import LogFormat
from orchestrator.process.notify import Watchdog, notify, unhurried
from orchestrator.process.signals import received

log = logging.getLogger("kembar.agent")

START_PERMISSION = Path("/run/kembar/mysqld-start")


def serve(config: AgentConfig) -> int:
    """Run the agent until SIGTERM; the exit status. The gate closes by itself, unless a successor adopts it first."""
    name = NodeName(config.node.name)
    logged = logs.start(LogFormat(config.log.format), config.log.level.upper(), cluster=config.cluster, node=name)
    memory = FileMemory(config.state_dir)
    try:
        with received(signal.SIGTERM, signal.SIGINT) as told:
            _run(config, name, memory, told)
    finally:
        memory.close()
        logged.close()
    return 0


def _run(config: AgentConfig, name: NodeName, memory: FileMemory, told: Iterator[int]) -> None:
    require_interface(config.vip.interface)
    at = config.probe_listen
    probed = role_socket(at.host, at.port) if at is not None else None
    clock, paths, policy = HostClock(), Paths(config.cluster), config.policy
    peer, failpoints = NodeName(config.peer.name), Failpoints.of(os.environ)
    access = access_of(config)
    supervisor = _supervisor(config, clock)
    gate = NftGate(config.vip.address)
    with _permitted("CAP_NET_ADMIN", "gate of the virtual IP"):
        intact = gate.intact()
    with _permitted("CAP_NET_RAW", "ARP for the virtual IP"):
        keeper_vip = LinuxVirtualIp(config.vip.address, config.vip.interface)
        tick_vip = LinuxVirtualIp(config.vip.address, config.vip.interface)  # one for each thread
    if not intact:
        keeper_vip.drop()
        gate.load()
    zookeeper = ZooKeeper(
        config.zookeeper.addresses,
        clock,
        threads.start,
        session_s=config.zookeeper.session_timeout_s,
        stall_s=min(0.5, policy.timing.authorised_s / 2),
        tls=tls_of(config.zookeeper.files),
    )
    asked = [paths.desired, paths.policy, paths.sync(name), paths.sync(peer), paths.returning, paths.decisions]
    news = News(asked)
    mirror = WatchedMirror(
        zookeeper,
        clock,
        [*asked, paths.report(peer)],
        folders=[paths.requests],
        wake=lambda: news.look(mirror.snapshot),
    )
    database = Database(access, clock)
    probes = Probes(access, clock, name, config.probes.select_every_s, [config.mysql.datadir])
    keeper = LeaseKeeper(
        paths.lease(name),
        f"{name}/{secrets.token_hex(4)}",
        zookeeper,
        Guard(
            gate if failpoints is None else FailingGate(gate, failpoints), keeper_vip, clock, policy.address_lifetime_s
        ),
        clock,
        policy.timing,
        changed=news.set,
    )
    swap = Swap(config.mysql.datadir, config.state_dir)
    steps = Steps(
        name,
        paths,
        zookeeper,
        keeper,
        tick_vip,
        supervisor,
        database,
        memory,
        _source(config),
        clock,
        policy.address_lifetime_s,
        # A binary log of 1 GiB takes some 20 s of CPU to read, and is copied besides.
        unhurried(partial(capture, config.mysql.datadir, config.state_dir / "reconcile")),
        swap.perform,
    )
    server = Server(database, supervisor, memory, clock, partial(_refusals, database))
    host = HostWatch(config.mysql.datadir, config.vip.interface)
    health = HostHealth(supervisor, probes, hang_s=policy.hang_s)
    executor = Executor(steps if failpoints is None else FailingHands(steps, failpoints), clock)
    exchange = _exchange(config)
    evidence = config.state_dir / "reconcile"
    may_change = _rejoin(config)

    def serves() -> bool:
        return keeper.power().gate_open and keeper.may_act()

    repair, answers = repair_worker(
        Place(config.mysql.datadir, evidence),
        swap,
        may_change,
        _donor(config),
        exchange,
        serves,
        lambda: agent.merge_policy,
        OpenRecord(name, paths, zookeeper).publish,
        news.set,
        failpoints,
    )
    verifier, compared = verify_worker(
        config.state_dir / "verify", may_change, exchange, serves, lambda: _utc(clock.wall_s())
    )
    agent = Agent(
        name,
        peer,
        str(config.peer.address),
        paths,
        clock,
        zookeeper,
        mirror,
        keeper,
        tick_vip,
        server,
        health,
        memory,
        steps,
        executor,
        Telling(executor, health, server, memory, clock, host.facts, config.zookeeper.known_as),
        repair,
        verifier,
        news,
    )
    watch = ProcessWatch(supervisor, clock, keeper.exited)
    watchdog = Watchdog(["tick"], clock)
    threads.start("host", host.run)
    zookeeper.start()
    probes.start()
    running = [
        threads.start("keeper", keeper.run),
        threads.start("process-watch", watch.run),
        threads.start("tick", partial(agent.run, lambda: watchdog.came_round("tick", in_a_line(agent.standing())))),
        threads.start("repair", repair.run),
        threads.start("verify", verifier.run),
    ]
    listening = peer_server(exchange, evidence, {**answers, **compared}) if exchange is not None else None
    if listening is not None:
        running.append(threads.start("exchange", listening.run))
    roles = None
    if probed is not None:
        roles = RoleServer(probed, agent.standing, config.cluster, lambda: _utc(clock.wall_s()))
        running.append(threads.start("roles", roles.run))
    notify("READY=1")
    log.info("agent of %s in cluster %s, VIP %s", name, config.cluster, config.vip.address)
    next(told)
    watch.stop()
    host.stop()
    agent.stop()
    repair.stop()
    verifier.stop()
    if listening is not None:
        listening.stop()
    if roles is not None:
        roles.stop()
    keeper.stop()
    for thread in running:
        thread.join()
    probes.stop()
    zookeeper.close()
    database.close()


@contextmanager
def _permitted(capability: str, what: str) -> Iterator[None]:
    """Raises Refused where the kernel refuses."""
    try:
        yield
    except (PermissionError, StepFailed) as error:
        if not isinstance(error.__cause__ or error, PermissionError):
            raise
        unit = "name it in AmbientCapabilities and CapabilityBoundingSet of the unit"
        raise Refused(f"{what}: Operation not permitted: the agent needs {capability}: {unit}") from error


def _utc(wall_s: float) -> str:
    return datetime.fromtimestamp(wall_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def access_of(config: AgentConfig) -> Access:
    """How the agent logs in at its own mysqld. Raises OSError."""
    mysql = config.mysql
    return Access(mysql.socket, mysql.user, read_secret(mysql.password_file), mysql.admin_port)


def _supervisor(config: AgentConfig, clock: HostClock) -> Supervisor:
    if config.mysql.supervisor == "direct":
        return DirectChild(config.mysql.command, config.mysql.pid_file)
    return Systemd(config.mysql.unit, START_PERMISSION, clock)


def _rejoin(config: AgentConfig) -> Access | None:
    rejoin = config.mysql.rejoin
    if rejoin is None:
        return None
    return Access(config.mysql.socket, rejoin.user, read_secret(rejoin.password_file))


def _donor(config: AgentConfig) -> Donor | None:
    clone, replication = config.mysql.clone, config.mysql.replication
    if clone is None:
        return None
    password = read_secret(clone.password_file)
    return Donor(str(config.peer.address), replication.port, clone.user, password, _tls(replication))


def _exchange(config: AgentConfig) -> Exchange | None:
    given = config.exchange
    if given is None:
        return None
    return Exchange(
        str(config.node.address),
        str(config.peer.address),
        given.port,
        Identity(given.authority, given.certificate, given.key),
    )


def _source(config: AgentConfig) -> Source:
    replication = config.mysql.replication
    return Source(
        str(config.peer.address),
        replication.port,
        replication.user,
        read_secret(replication.password_file),
        tls=_tls(replication),
    )


def _tls(replication: Replication) -> ChannelTls | None:
    if not replication.ssl:
        return None
    given = replication.tls
    return ChannelTls() if given is None else ChannelTls(str(given.authority), str(given.certificate), str(given.key))


def _refusals(database: Database) -> tuple[str, ...]:
    """What the server lacks; asked once for each mysqld."""
    variables = database.variables(preflight.NAMES)
    return preflight.refusals(variables, at_start=False, persisted=database.persisted())
