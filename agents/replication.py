"""Rows of a server's own tables -> facts. Owns no statement and no decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agents import dialect
from agents.preflight import durable
from orchestrator.core.gtid import GtidSet
from orchestrator.core.model import Instant

Row = Mapping[str, str]
DENIED = "1045"
LOST, CONNECTING, GREETING = "2013", "Error connecting to source", "initial communication packet"
IDENTITY = ("server_uuid", "server_id", "auto_increment_offset")


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What one server said of itself in one round trip. Sets are texts: parse them where they are compared."""

    server_uuid: str
    version: str
    offline: bool
    read_only: bool
    super_read_only: bool
    executed: str
    received: str  # survives in the server until its channel is reset
    receiver_running: bool
    receiver_connected: bool  # a frozen source counts as connected for replica_net_timeout
    receiver_error: str
    channel_source: tuple[str, int] | None
    channel_login: tuple[str, ...]  # as dialect.channel_login
    applier_running: bool
    applier_error: str
    arrivals: str  # changes when anything, a heartbeat included, has come from the source
    source_on: bool
    source_timeout_ms: int
    source_status_on: bool
    wait_no_replica: bool
    semisync_clients: int
    wait_sessions: int
    no_tx: int
    replica_side_on: bool
    replica_status_on: bool
    durable: bool  # invariant I13
    connections: int
    commits: int
    oldest_transaction_s: float = 0.0
    identity: Mapping[str, str] = field(default_factory=dict)  # what must differ between the two servers

    @property
    def writable(self) -> bool:
        """Whether a client could write, if it reached the server."""
        return not (self.offline or self.read_only or self.super_read_only)

    @property
    def requires_ack(self) -> bool:
        """Whether commits wait for the standby; with a timeout of 0 the source side is ON and waits for nobody."""
        return self.source_on and self.source_timeout_ms > 0

    @property
    def may_let_go(self) -> bool:
        """Whether a commit could be acknowledged without the standby: at once, or after a timeout that somebody set."""
        waits = self.source_on and self.source_status_on and self.source_timeout_ms >= dialect.TIMEOUT_MAX_MS
        return not (waits and self.wait_no_replica)

    @property
    def login_refused(self) -> bool:
        """Whether the source does not take what the channel logs in with: user, password or certificate."""
        return self.receiver_error.startswith(f"{DENIED}:")

    @property
    def held(self) -> GtidSet:
        """Received or executed: what a promotion would keep."""
        return GtidSet.parse(self.received) | GtidSet.parse(self.executed)

    @property
    def backlog(self) -> GtidSet:
        """Received and not yet executed."""
        return GtidSet.parse(self.received) - GtidSet.parse(self.executed)


@dataclass(frozen=True, slots=True)
class Arrival:
    """When something last came from the source, by our own clock: the server's timestamps are wall time."""

    mark: str
    since: Instant

    def age_s(self, now: Instant) -> float:
        return now - self.since


def arrival(previous: Arrival | None, facts: ServerFacts, now: Instant) -> Arrival:
    """The arrival after one more look. A transaction that takes long to arrive shows at its begin and its end only."""
    if previous is not None and previous.mark == facts.arrivals:
        return previous
    return Arrival(facts.arrivals, now)


def facts_from(
    variables: Row, status: Mapping[str, str], channel: Row | None, applier_errors: Sequence[Row]
) -> ServerFacts:
    """The facts in the result sets of `dialect.facts_query`. Missing semi-sync plugins read as OFF and zero.

    A channel without a host was never configured: its rows exist all the same (measured on 9.7.4).
    """
    channel = channel if channel is not None and channel["host"] else None
    receiver = channel["receiver_state"] if channel else "OFF"
    return ServerFacts(
        server_uuid=variables["server_uuid"],
        version=variables["version"],
        offline=_on(variables, "offline_mode"),
        read_only=_on(variables, "read_only"),
        super_read_only=_on(variables, "super_read_only"),
        executed=_set(variables["gtid_executed"]),
        received=_set(channel["received"]) if channel else "",
        receiver_running=receiver != "OFF",
        receiver_connected=receiver == "ON",
        receiver_error=_receiver_error(channel) if channel else "",
        channel_source=(channel["host"], int(channel["port"])) if channel else None,
        channel_login=_login(channel) if channel else (),
        applier_running=channel is not None and channel["applier_state"] == "ON",
        applier_error=_applier_error(channel, applier_errors),
        arrivals=channel["arrivals"] if channel else "",
        source_on=_on(variables, "rpl_semi_sync_source_enabled"),
        source_timeout_ms=_number(variables, "rpl_semi_sync_source_timeout"),
        source_status_on=_on(status, "Rpl_semi_sync_source_status"),
        wait_no_replica=_on(variables, "rpl_semi_sync_source_wait_no_replica"),
        semisync_clients=_number(status, "Rpl_semi_sync_source_clients"),
        wait_sessions=_number(status, "Rpl_semi_sync_source_wait_sessions"),
        no_tx=_number(status, "Rpl_semi_sync_source_no_tx"),
        replica_side_on=_on(variables, "rpl_semi_sync_replica_enabled"),
        replica_status_on=_on(status, "Rpl_semi_sync_replica_status"),
        durable=durable(variables),
        identity={name: variables[name] for name in IDENTITY if name in variables},
        connections=_number(status, "Threads_connected"),
        oldest_transaction_s=float(variables.get("oldest_transaction_s") or 0),
        commits=sum(_number(status, name) for name in ("Com_commit", "Com_insert", "Com_update", "Com_delete")),
    )


def _receiver_error(channel: Row) -> str:
    """MySQL does not say what a source has against a certificate: with TLS 1.3 it only hangs up (measured on 9.7.4)."""
    error = _error(channel["receiver_errno"], channel["receiver_error"])
    hung_up = channel["receiver_errno"] == LOST and CONNECTING in error and GREETING not in error
    if not (hung_up and channel["ssl_cert"]):
        return error
    return f"{error}; hung up before the login: is {channel['ssl_cert']} by an authority that the source trusts?"


def _applier_error(channel: Row | None, workers: Sequence[Row]) -> str:
    """The worker's own words before the coordinator's, which only point at the worker."""
    if channel is None:
        return ""
    if workers:
        return _error(workers[0]["errno"], workers[0]["error"])
    return _error(channel["coordinator_errno"], channel["coordinator_error"])


def _error(errno: str, text: str) -> str:
    return "" if errno in ("", "0") else f"{errno}: {text}"


def _login(channel: Row) -> tuple[str, ...]:
    shown = (channel["user"], channel["ssl_allowed"])
    files = tuple(channel[name] for name in ("ssl_ca", "ssl_cert", "ssl_key", "ssl_verify"))
    return (*shown, *files) if channel["ssl_allowed"] == "YES" else shown


def _on(row: Mapping[str, str], name: str) -> bool:
    """A select shows 1 and 0, SHOW shows ON and OFF."""
    return row.get(name, "") in ("1", "ON")


def _number(row: Mapping[str, str], name: str) -> int:
    return int(row.get(name) or 0)


def _set(text: str) -> str:
    """MySQL breaks the lines of a long set."""
    return "".join(text.split())
