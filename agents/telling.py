"""From one look to the report: what this node tells the leader and everybody who reads the page. Decides nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from agents.converge import Action, Local, unable
from agents.executor import Executor
from agents.look import Sight, cut_tail, kept_tail, last_writer, own_errant
from agents.replication import Arrival, ServerFacts
from agents.server import Server
from orchestrator.core.gtid import GtidSet
from orchestrator.core.model import Certified, HostFacts, Instant, Mode, Report, Role, Sync, SyncState
from orchestrator.core.ports import Clock, Memory

HOST_EVERY_S = 5.0
TRIES = 3  # of one step, before it counts as one that cannot be done
TAKE_OVER = (Action.STOP_RECEIVER, Action.STOP_APPLIER, Action.WRITE_PROMOTION)
NEW_MEMORY = (
    "MEMORY_NEW: the state directory was empty when the agent started, so that a certificate of before counts no more: "
    "not promotable until certified anew"
)
FOLLOWERS = (Role.STANDBY, Role.RETURNING)


class Findings(Protocol):
    """What the probes say beside the state of mysqld."""

    def troubles(self) -> tuple[str, ...]: ...


class Telling:
    """Used by the tick thread. Keeps only what a report needs of the time before."""

    def __init__(
        self,
        executor: Executor,
        findings: Findings,
        server: Server,
        memory: Memory,
        clock: Clock,
        host_facts: Callable[[ServerFacts | None], HostFacts],
        known_as: str = "",
    ) -> None:
        self._executor, self._findings, self._server, self._memory = executor, findings, server, memory
        self._clock, self._host_facts = clock, host_facts
        self._known_as = known_as
        self._host: tuple[Instant, HostFacts] = (float("-inf"), HostFacts())
        self._unheard_since: Instant | None = None

    def report(self, sight: Sight, found: Local, peer_sync: Sync, forgetful: str, unreadable: str = "") -> Report:
        """The report of this look; `forgetful`: why the record could not be remembered, `unreadable`: or not read."""
        facts = sight.facts
        primary = sight.goal.role is Role.PRIMARY
        memory = self._memory.trouble()
        return Report(
            node=sight.node,
            epoch=sight.goal.epoch,
            seq=sight.goal.seq,
            role=sight.goal.role,
            mysqld=sight.mysqld,
            incarnation=sight.incarnation,
            gate_open=sight.power.gate_open,
            has_address=sight.has_address,
            # Nothing waits: something of ours holds it up. Old facts: one that hangs had a commit waiting then.
            stalled_s=round(sight.stalled_s, 3) if found.commits_waiting and sight.fresh else 0.0,
            unheard_s=self._unheard_s(sight),
            token=_token(sight, peer_sync),
            errant=_errant(sight, found),
            peer_errant=str(sight.peer_errant or "") if primary else "",
            unable=unable(sight.goal, found) or self._cannot(sight, found, forgetful),
            memory=memory,
            troubles=self._troubles(sight, found, (memory, forgetful, unreadable)),
            refusals=sight.refusals,
            **_cut(sight, self._memory),
            timeline_ms=self._executor.timeline_ms,
            margins=sight.power.margins,
            host=self._host_now(facts),
            known_as=self._known_as,
            **({} if facts is None else _of_server(facts, self._server.arrival, self._clock.holder_now())),
        )

    def _host_now(self, facts: ServerFacts | None) -> HostFacts:
        """Looked at every few seconds: a file system that hangs must not be asked at every tick."""
        now = self._clock.holder_now()
        if now - self._host[0] >= HOST_EVERY_S:
            self._host = (now, self._host_facts(facts))
        return self._host[1]

    def _unheard_s(self, sight: Sight) -> float:
        """How long a primary whose commits wait for a standby has been without one: none is connected, or, after a
        restart in place, none was certified, without which it may not open."""
        facts = sight.facts
        closed = sight.goal.mode is Mode.SYNC and not sight.power.gate_open
        waits = facts is not None and facts.requires_ack and (not facts.semisync_clients or closed)
        if sight.goal.role is not Role.PRIMARY or not waits:
            self._unheard_since = None
            return 0.0
        if self._unheard_since is None:
            self._unheard_since = sight.now
        return round(sight.now - self._unheard_since, 3)

    def _troubles(self, sight: Sight, found: Local, others: tuple[str, ...]) -> tuple[str, ...]:
        """Also why errant transactions could not be cut before mysqld started, or why it, or a copy, is not started;
        and what fails again and again.
        """
        kept = kept_tail(self._memory) if found.errant and sight.goal.role in FOLLOWERS else ""
        told = found.tail_pending or found.copied or self._executor.stuck()
        waits = self._executor.failure if told else ""
        deaf = sight.facts.receiver_error if sight.facts is not None and sight.goal.role in FOLLOWERS else ""
        own = (
            sight.power.trouble,
            f"TAIL_KEPT: {kept}" if kept else "",
            f"RECEIVER: {deaf}" if deaf else "",
            waits,
            self._new_memory(sight),
            *others,
        )
        return (*self._findings.troubles(), *(text for text in own if text))

    def _new_memory(self, sight: Sight) -> str:
        """What was certified before is not what runs here now, as far as this host can still tell."""
        certified = sight.goal.promotable == Certified(sight.node, sight.incarnation)
        return NEW_MEMORY if self._memory.new and sight.goal.role in FOLLOWERS and not certified else ""

    def _cannot(self, sight: Sight, found: Local, forgetful: str) -> str:
        """What keeps failing: a handover is then withdrawn, and a node that cannot take over gives the power back."""
        coming = sight.goal.role in (Role.PREPARE, Role.PRIMARY) and not (found.opened or found.was_primary)
        if coming and forgetful:
            return f"memory: {forgetful}"
        stuck = self._executor.failed_in_a_row >= TRIES
        if sight.goal.role is Role.HANDOVER:
            return self._executor.failure if stuck else ""
        return self._executor.failure if coming and stuck and self._executor.failed in TAKE_OVER else ""


def _token(sight: Sight, peer_sync: Sync) -> str:
    """The primary's certification whose set this node holds, received or executed."""
    if sight.goal.role not in FOLLOWERS or sight.facts is None:
        return ""
    if peer_sync.state is not SyncState.ARMED or peer_sync.standby != sight.incarnation:
        return ""
    return peer_sync.token if GtidSet.parse(peer_sync.executed) <= sight.facts.held else ""


def _errant(sight: Sight, found: Local) -> str:
    replicating = found.receiving and found.applying
    if sight.goal.role not in FOLLOWERS or replicating:
        return ""
    return str(own_errant(sight) or "")


def _cut(sight: Sight, memory: Memory) -> dict[str, Any]:
    """What was taken off the end of the log, and the epoch of that: another may have begun since."""
    if sight.goal.role not in FOLLOWERS:
        return {}
    gtids, writer = cut_tail(memory), last_writer(memory)
    return {"cut": gtids, "cut_in": writer[0] + 1} if gtids and writer is not None else {}


def _of_server(facts: ServerFacts, last: Arrival | None, now: Instant) -> dict[str, Any]:
    """The fields of a report that the server itself gives."""
    return {
        "executed": facts.executed,
        "received": facts.received,
        "receiver_running": facts.receiver_running,
        "receiver_connected": facts.receiver_connected,
        "received_age_s": round(last.age_s(now), 3) if last else 0.0,
        "applier_running": facts.applier_running,
        "applier_error": facts.applier_error,
        "backlog_transactions": len(facts.backlog),
        "writable": facts.writable,
        "oldest_transaction_s": facts.oldest_transaction_s,
        "durable": facts.durable,
        "identity": facts.identity,
    }
