"""Names what is wrong, most alarming first. What to do about it is the business of rules."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from orchestrator.core.adoption import forgotten
from orchestrator.core.model import LeaseState, Mysqld, NodeName
from orchestrator.core.situation import Situation
from orchestrator.core.unreadable import Record


class Finding(StrEnum):
    TWO_WRITERS = "two_writers"
    BLIND = "blind"
    RECORD_OLD = "record_old"
    RECORD_UNREADABLE = "record_unreadable"
    PRIMARY_EXITED = "primary_exited"
    PRIMARY_CUT_OFF = "primary_cut_off"
    PRIMARY_SILENT = "primary_silent"
    PRIMARY_CLOSED = "primary_closed"
    SYNC_STALLED = "sync_stalled"
    STANDBY_LOST = "standby_lost"
    STANDBY_ERRANT = "standby_errant"
    STANDBY_DIFFERS = "standby_differs"
    NO_STANDBY = "no_standby"
    HEALTHY = "healthy"


WORDS: Mapping[Finding, str] = {
    Finding.TWO_WRITERS: "both nodes report that they are writable with an open gate",
    Finding.BLIND: "no node is heard: the fault is probably ours, so nothing is changed",
    Finding.RECORD_OLD: "ZooKeeper's record is older than what the agents have followed: it lost writes",
    Finding.RECORD_UNREADABLE: "{unreadable} cannot be read in ZooKeeper: nothing that rests on it is decided",
    Finding.PRIMARY_EXITED: "mysqld on {primary} has exited, its agent attests it",
    Finding.PRIMARY_CUT_OFF: "{primary} is alive but cut off from ZooKeeper; its gate closes by itself",
    Finding.PRIMARY_SILENT: "{primary} is silent",
    Finding.PRIMARY_CLOSED: "{primary} is reachable but does not serve yet",
    Finding.SYNC_STALLED: "commits on {primary} wait for the acknowledgement of {standby}",
    Finding.STANDBY_LOST: "{standby} is lost",
    Finding.STANDBY_ERRANT: "{standby} holds transactions that {primary} never saw",
    Finding.STANDBY_DIFFERS: "{standby} holds data that is not as on {primary}",
    Finding.NO_STANDBY: "{standby} is not certified yet",
    Finding.HEALTHY: "{primary} serves, {standby} is ready to take over",
}


def analyze(s: Situation) -> Finding:
    """The one name of what is wrong with the pair."""
    if sum(_serves(s, node) for node in s.pair) > 1:
        return Finding.TWO_WRITERS
    if _nobody_heard(s):
        return Finding.BLIND
    if not s.clear:
        return Finding.RECORD_UNREADABLE
    if record_old(s):
        return Finding.RECORD_OLD
    return _about_primary(s) or _about_standby(s) or (Finding.RECORD_UNREADABLE if s.unreadable else Finding.HEALTHY)


def sentence(finding: Finding, s: Situation) -> str:
    """The finding in words, with the nodes' names."""
    paths = ", ".join(one.path for one in s.unreadable)
    return WORDS[finding].format(primary=s.primary, standby=s.standby, unreadable=paths)


def record_old(s: Situation) -> bool:
    """Whether an agent that is heard obeys no record, since it has followed a newer one."""
    return forgotten(s.cluster, [report for node in s.pair if (report := s.report(node)) is not None])


def primary_silent(s: Situation) -> bool:
    """The primary's lease has not moved for A although we could hear; if it holds none, its reports are silent too.

    The age of the lease runs on across a break of ours, but counts only once we have heard for hear_s again.
    """
    lease = s.lease(s.primary)
    still = s.lease_age_s(s.primary) >= lease.timing.authorised_s
    return s.hearing and still and (lease.state is LeaseState.HELD or s.silent(s.primary))


def second_signal(s: Situation) -> bool:
    """Whether the standby, itself heard, receives nothing from the primary either."""
    report = s.report(s.standby)
    quiet_s = 3 * s.policy.heartbeat_every_s
    return report is not None and (not report.receiver_connected or report.received_age_s > quiet_s)


def standby_lost(s: Situation) -> bool:
    """Whether the standby is surely unable to acknowledge: dead by its own agent, silent, or not connected."""
    if s.cannot_read(Record.REPORT, s.standby):
        return False
    report = s.report(s.standby)
    return report is None or report.mysqld.ended or not report.receiver_connected


def stalled_s(s: Situation) -> float:
    """How long commits of the primary have been without a standby that can acknowledge, as its agent says."""
    report = s.report(s.primary)
    return max(report.stalled_s, report.unheard_s) if report else 0.0


def _serves(s: Situation, node: NodeName) -> bool:
    report = s.report(node)
    return report is not None and report.writable and report.gate_open


def _nobody_heard(s: Situation) -> bool:
    return not s.hearing or (
        all(s.silent(node) for node in s.pair)
        and all(s.lease_age_s(node) >= s.lease(node).timing.authorised_s for node in s.pair)
    )


def _about_primary(s: Situation) -> Finding | None:
    if s.released(s.primary) and s.lease(s.primary).why in ("exited", "hung"):
        return Finding.PRIMARY_EXITED  # the agent's own word, which comes before its next report
    if primary_silent(s):
        return Finding.PRIMARY_SILENT if second_signal(s) else Finding.PRIMARY_CUT_OFF
    report = s.report(s.primary)
    if report is None:
        return None
    if report.mysqld.ended or report.mysqld is Mysqld.HUNG:
        return Finding.PRIMARY_EXITED
    if not s.lease(s.primary).gate_open:
        return Finding.PRIMARY_CLOSED
    return Finding.SYNC_STALLED if report.stalled_s >= s.policy.stall_s else None


def _about_standby(s: Situation) -> Finding | None:
    if standby_lost(s):
        return Finding.STANDBY_LOST
    primary, standby = s.report(s.primary), s.report(s.standby)
    if (primary and primary.peer_errant) or (standby and standby.errant):
        return Finding.STANDBY_ERRANT
    if standby and standby.differing:
        return Finding.STANDBY_DIFFERS
    return None if s.standby_certified() else Finding.NO_STANDBY
