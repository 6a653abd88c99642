"""One look at this host: what server, kernel, records and memory say, put together as the Local that converge takes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from agents.binlog.capture import TailState
from agents.converge import Local
from agents.lease import Power
from agents.preflight import shared_identity
from agents.reconcile.swap import SwapState
from agents.replication import ServerFacts
from orchestrator.core.gtid import GtidSet, errant
from orchestrator.core.invariants import unreturned
from orchestrator.core.model import (
    Cluster,
    Goal,
    Instant,
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
from orchestrator.core.ports import Memory
from orchestrator.core.reconcile import Reconcile
from orchestrator.core.reconciling import unsettled
from orchestrator.core.returning import Returning, Rung, Stage

FREE_AGAIN = (Stage.REWIND, Stage.CLONE, Stage.REJOIN, Stage.VERIFY)
REPAIRS = (Stage.DETECT, Stage.REWIND, Stage.CLONE, Stage.STOPPED)
CERTIFICATE_WAIT_S = 5.0  # from an armed record until U2, else the certification is undone


@dataclass(frozen=True, slots=True)
class Peer:
    """The other node as its last report tells, and how old that is; `report` None: nothing heard."""

    report: Report | None = None
    age_s: float = float("inf")
    released_with: str = ""  # everything it committed, once it has handed over

    def fresh(self, policy: Policy) -> bool:
        return self.report is not None and self.age_s <= policy.silent_after_s


@dataclass(frozen=True, slots=True)
class Sight:
    """Everything one tick saw, before it is put together."""

    node: NodeName
    cluster: Cluster
    goal: Goal
    policy: Policy
    now: Instant
    mysqld: Mysqld
    incarnation: str
    facts: ServerFacts | None
    fresh: bool  # the facts are of this look
    power: Power
    may_act: bool
    has_address: bool
    sync: Sync
    sync_readable: bool
    relaxed: bool  # our relaxed record of this epoch is written beyond doubt
    armed_since: Instant
    peer: Peer
    peer_address: str
    channel_login: tuple[str, ...]  # how our channel is to log in there
    login_after: Instant  # not before: its login was changed a moment ago
    peer_errant: GtidSet | None  # what the standby has and we have not; None: not judged by this process yet
    stalled_s: float
    released_since: Instant | None  # since when our lease of this epoch is released
    certify_after: Instant  # not before: earlier tries have failed
    refusals: tuple[str, ...]  # settings of the server that cannot be worked with
    reconcile: Reconcile | None  # the return that is under way
    told_handover: str  # the executed set that our last report carried
    swap: SwapState
    returning: Returning = field(default_factory=Returning)  # what this node's last return still owes


def local(s: Sight, memory: Memory) -> Local:
    """The facts of this host in the words of converge."""
    facts = s.facts
    opened = memory.opened()
    promotion = memory.promotion() or {}
    lease = s.power.lease
    armed = _armed(s)
    return Local(
        mysqld=s.mysqld,
        incarnation=s.incarnation,
        lease_held=lease.state is LeaseState.HELD and lease.epoch == s.goal.epoch and s.may_act,
        lease_open=s.power.known and lease.state in (LeaseState.HELD, LeaseState.REVOKED),
        gate_open=s.power.gate_open,
        said_open=lease.gate_open or s.power.saying_open,
        has_address=s.has_address,
        offline=facts is None or facts.offline,
        read_only=facts is None or facts.super_read_only or facts.read_only,
        locked=s.mysqld is not Mysqld.RUNNING or (s.fresh and facts is not None and facts.super_read_only),
        fresh=s.fresh,
        receiving=facts is not None and facts.receiver_running,
        applying=facts is not None and facts.applier_running,
        follows_peer=follows_peer(s),
        login_due=login_due(s),
        drained=facts is None or not facts.backlog,
        source_on=facts is not None and facts.source_on,
        requires_ack=facts is not None and facts.requires_ack,
        commits_waiting=facts is not None and facts.wait_sessions > 0,
        relaxed=s.relaxed,
        armed=armed,
        sync_unreadable=not s.sync_readable,
        certifying=armed and s.now - s.armed_since < CERTIFICATE_WAIT_S and s.stalled_s < s.policy.stall_s,
        other_armed=s.sync.state is SyncState.ARMED
        and s.sync.epoch == s.goal.epoch
        and bool(s.incarnation)
        and s.sync.incarnation != s.incarnation,
        degraded=facts is not None and _degraded(facts, s.sync),
        promoted=promotion.get("epoch") == s.goal.epoch,
        opened=opened == (s.goal.epoch, s.incarnation),
        was_primary=opened is not None and opened[0] == s.goal.epoch,
        restart_due=_restart_due(s),
        standby_ready=_standby_ready(s),
        tail_pending=_tail_pending(s, memory),
        primary_known=primary_executed(s) is not None,
        errant=_is_errant(s),
        refused=bool(s.refusals),
        repairing=repairing(s),
        handing_over=bool(handed_over(s)),
        unreturned=_unreturned(s, memory),
        awaited=_awaited(s),
        copied=copied(s),
    )


def copied_from(peer: Peer, role: Role, facts: ServerFacts | None) -> tuple[str, ...]:
    """A copied data directory brings the other server's uuid with it, and then no GTID says who wrote.

    The primary was there first: it is the other that is refused, else nobody would serve after a restart in place.
    """
    if role is Role.PRIMARY or facts is None or peer.report is None:
        return ()
    return shared_identity(facts.identity, peer.report.identity)


def follows_peer(s: Sight) -> bool:
    """Whether the channel leads to the peer: else it is written again, every option."""
    facts = s.facts
    return facts is not None and facts.channel_source is not None and facts.channel_source[0] == s.peer_address


def login_due(s: Sight) -> bool:
    """Whether it leads there, and logs in otherwise than it is to, or is not let in: no server shows a password.

    It may be that of before, also if it was changed by hand or came with other data.
    """
    if s.facts is None or not follows_peer(s) or s.now < s.login_after:
        return False
    return s.facts.channel_login != s.channel_login or s.facts.login_refused


def repairing(s: Sight) -> bool:
    """Whether this node's own repair is under way, until it may replicate again.

    By the record, also in an epoch that began meanwhile: the leader carries it over, or closes it. And by what the node
    itself keeps of it, as a record may be lost.
    """
    said = s.returning
    if said.rewinding or (said.owed and said.rung is not Rung.TRUNCATE and said.reached not in FREE_AGAIN):
        return True
    record = s.reconcile
    mine = record is not None and record.open and record.node == s.node
    if record is None or not mine:
        return False
    return record.stage in REPAIRS or (record.stage is Stage.BUNDLE and record.rung is not Rung.TRUNCATE)


def copied(s: Sight) -> bool:
    """Whether a copy is to take the place of the data directory.

    Once begun it is finished whatever is wanted now; before that, what is here may be the only data.
    """
    record = s.reconcile
    due = record is not None and s.swap.planned == record.id and record.stage is Stage.CLONE and repairing(s)
    follows = s.goal.role in (Role.STANDBY, Role.RETURNING)
    return s.swap.begun or (due and follows)


def owed(said: Returning, memory: Memory, facts: ServerFacts | None) -> Returning:
    """What the last return of this node still owes.

    Nothing in another server's data, which has come in the place of the old; nor once it was primary in a later epoch,
    as nobody is who is half-rewound.
    """
    if said.server and facts is not None and facts.server_uuid != said.server:
        return replace(said, owed=False, rewinding=False)
    opened = memory.opened()
    if said.rewinding or opened is None or opened[0] <= said.epoch:
        return said
    return replace(said, owed=False)


def _unreturned(s: Sight, memory: Memory) -> str:
    facts = s.facts
    uuid = facts.server_uuid if facts else ""
    return unreturned(s.returning, cut_tail(memory), facts.executed if facts else "", uuid)


def own_errant(s: Sight) -> GtidSet | None:
    """What this node has and the primary never saw; None while the primary's set of this epoch is not known.

    Meaningful only while nothing is applied here: a running applier may be ahead of the primary's last report.
    """
    primary = primary_executed(s)
    if s.facts is None or primary is None or not s.peer.fresh(s.policy):
        return None
    return errant(GtidSet.parse(s.facts.executed), GtidSet.parse(primary))


def primary_executed(s: Sight) -> str | None:
    """What the other node has executed as writable primary of the goal's epoch; None while it has not said so.

    However old: it holds all that was drained before the node opened, and a set only grows.
    """
    report = s.peer.report
    if report is None or report.epoch != s.goal.epoch or report.role is not Role.PRIMARY or not report.writable:
        return None
    return report.executed


def last_writer(memory: Memory) -> tuple[int, str] | None:
    """(epoch, incarnation) of the mysqld that last wrote here as primary, or None.

    It is armed before its gate is opened when it was restarted in place, and never armed in ASYNC.
    """
    opened, tail = memory.opened(), memory.tail()
    if tail is not None and (opened is None or int(tail["epoch"]) >= opened[0]):
        return int(tail["epoch"]), str(tail["incarnation"])
    return opened


def kept_tail(memory: Memory) -> str:
    """Why the binary log of the mysqld that was writable here last was not cut; empty if it was, or need not be."""
    writer, tail = last_writer(memory), memory.tail()
    if writer is None or tail is None or tail["incarnation"] != writer[1] or tail["state"] != TailState.KEPT:
        return ""
    return str(tail["why"])


def cut_tail(memory: Memory) -> str:
    """What was cut off the log of the mysqld that was writable here last; empty if nothing was."""
    writer, tail = last_writer(memory), memory.tail()
    if writer is None or tail is None or tail["incarnation"] != writer[1] or tail["state"] != TailState.CUT:
        return ""
    return str(tail["gtids"])


def _tail_pending(s: Sight, memory: Memory) -> bool:
    writer, tail = last_writer(memory), memory.tail()
    if s.mysqld is not Mysqld.DEAD or writer is None or writer[0] >= s.goal.epoch:
        return False
    return tail is None or tail["incarnation"] != writer[1] or tail["state"] == TailState.ARMED


def _is_errant(s: Sight) -> bool | None:
    found = own_errant(s)
    return None if found is None else bool(found)


def _armed(s: Sight) -> bool:
    peer = s.peer.report
    return (
        s.sync.state is SyncState.ARMED
        and s.sync.epoch == s.goal.epoch
        and s.sync.incarnation == s.incarnation
        and (peer is None or not peer.incarnation or s.sync.standby == peer.incarnation)
    )


def _degraded(facts: ServerFacts, sync: Sync) -> bool:
    """A commit went without the standby since it was armed, or could go: by itself, or acknowledged by a stranger."""
    went = facts.no_tx != sync.no_tx
    return went or facts.may_let_go or facts.semisync_clients > 1


def _restart_due(s: Sight) -> bool:
    """Nobody is promotable, or we released long ago without being replaced: paused, held down, no leader."""
    if s.goal.mode is Mode.ASYNC or s.goal.promotable is None:
        return True
    return s.released_since is not None and s.now - s.released_since >= s.policy.restart_wait_s


def _missing(s: Sight, peer: Report) -> int:
    """How many of our transactions the other node has not even received: soon after its return nearly all."""
    if s.facts is None:
        return 0
    return len(GtidSet.parse(s.facts.executed) - GtidSet.parse(peer.executed) - GtidSet.parse(peer.received))


def _standby_ready(s: Sight) -> bool:
    peer = s.peer.report
    return (
        peer is not None
        and s.peer.fresh(s.policy)
        and s.now >= s.certify_after
        and s.goal.role is Role.PRIMARY
        and peer.epoch == s.goal.epoch
        and peer.mysqld is Mysqld.RUNNING
        and peer.receiver_connected
        and peer.applier_running
        and peer.durable
        and not unsettled(s.reconcile, peer, s.facts.executed if s.facts else "")
        and not (peer.applier_error or peer.errant or peer.refusals or peer.differing)
        and s.peer_errant is not None
        and not s.peer_errant
        and peer.node not in s.policy.maintenance
        and peer.backlog_transactions <= s.policy.backlog_transactions_max
        and _missing(s, peer) <= s.policy.backlog_transactions_max
    )


def _awaited(s: Sight) -> bool:
    """The primary has handed over, and here something is still to be executed or stopped."""
    wanted, facts = handed_over(s), s.facts
    if not wanted or facts is None:
        return False
    done = GtidSet.parse(wanted) <= GtidSet.parse(facts.executed)
    return not done or facts.receiver_running or facts.applier_running


def handover_untold(s: Sight) -> bool:
    """Whether the leader, who waits for it, has not heard yet that we hold what was handed over."""
    wanted = handed_over(s)
    return bool(wanted) and not GtidSet.parse(wanted) <= GtidSet.parse(s.told_handover)


def handed_over(s: Sight) -> str:
    """Everything that the primary committed before it released for a switchover; empty if it did not."""
    return s.peer.released_with if s.cluster.phase is Phase.SWITCHING else ""
