"""Why nothing is happening, and what ends the wait. Every situation without a rule has a reason here, or is healthy."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.core.analysis import Finding, analyze, primary_silent, record_old, standby_lost
from orchestrator.core.mergepolicy import Automation, MergePolicy
from orchestrator.core.model import Mode, NodeName, Phase, Report
from orchestrator.core.reconcile import Merge, Reconcile, held
from orchestrator.core.returning import Stage
from orchestrator.core.situation import Situation
from orchestrator.core.unreadable import Record

ADOPT_ENDS = "kembar adopt --reason TEXT ends the wait"


def reason(s: Situation, *, held: str = "") -> str:
    """One sentence, empty if nothing is waited for. `held`: the rule that a pause or hold-down keeps from beginning."""
    if held:
        return f"{held} would begin now: {_ends(s)}"
    if s.cannot_read(Record.DESIRED):
        return _unreadable(s)
    if not s.hearing:
        return "we have not heard ZooKeeper long enough to judge anybody's silence"
    if record_old(s):
        return f"for a person, as ZooKeeper lost writes that agents have followed: {ADOPT_ENDS}"
    return _by_phase(s)


def _ends(s: Situation) -> str:
    if s.paused:
        return "paused, kembar resume"
    if s.hold_down:
        return "hold-down, kembar ack --reason TEXT"
    return f"ZooKeeper lost writes, {ADOPT_ENDS}" if s.clear else _unreadable(s)


def _unreadable(s: Situation) -> str:
    first = s.unreadable[0]
    return f"for {first.path} to be readable again: {first.remedy}"


def _by_phase(s: Situation) -> str:
    match s.cluster.phase:
        case Phase.FENCING:
            return f"until the fence wait for {s.standby} has passed, or it has released"
        case Phase.PROMOTING:
            return f"for {s.primary} to apply what it received, and to open"
        case Phase.SWITCHING:
            return f"for {s.primary} to become read-only and for {s.standby} to hold everything"
        case _:
            return _settled(s)


def _settled(s: Situation) -> str:
    if not s.clear:
        return _unreadable(s)
    if primary_silent(s):
        return _no_successor(s)
    standby = s.report(s.standby)
    if returns := _returning(s):
        return returns
    if diverged := _diverged(s):
        return diverged
    if standby is not None and standby.refusals:
        return f"{s.standby} is refused: {standby.refusals[0]}"
    if maintained := _maintained(s):
        return maintained
    if standby_lost(s):
        return f"for {s.standby} to return: nobody can take over until it has"
    if s.cluster.promotable is None:
        return f"for {s.standby} to be certified"
    return _by_finding(s)


def _returning(s: Situation) -> str:
    """What the return of the standby waits for, with its own words; empty if none is under way."""
    record = s.reconcile.value if s.reconcile else None
    if record is None or not record.open or record.node != s.standby:
        return ""
    if record.stage is Stage.STOPPED:
        ends = f"mend that, then kembar rejoin {record.node} --reason TEXT, or rebuild it from a copy of {s.primary}"
        return f"for a person: the return of {record.node} stopped: {record.stopped}; {ends}"
    ends = _goes_on(s.policy.reconcile, record)
    if why := held(record, s.policy.reconcile):
        return f"for a person: the return of {record.node} goes no further, as {why}: {ends}"
    if record.merge is Merge.WAITING:
        return f"for a person: what {record.node} alone has is not merged, as {record.waits}: {ends}"
    return f"for {record.node} to return: {record.rung}, {record.stage}, {record.transactions} transactions"


def _goes_on(policy: MergePolicy, record: Reconcile) -> str:
    """The command that ends the wait: consent to this one return, or another setting where consent is not enough."""
    if policy.mode is Automation.OFF:
        return "kembar config set --file FILE --reason TEXT, with mode: auto"
    if not held(replace(record, approved=True), policy):
        return f"kembar reconcile apply {record.id} --reason TEXT"
    return "kembar config set --file FILE --reason TEXT, with clone: {allowed: true}, or rebuild it by hand"


def _diverged(s: Situation) -> str:
    """What no rule repairs: only a person can give up what one node alone has. Silence takes back nothing of it."""
    primary, standby = _last_word(s, s.primary), _last_word(s, s.standby)
    errant = (standby.errant if standby else "") or (primary.peer_errant if primary else "")
    rebuild = f"then rebuild {s.standby} from a copy of {s.primary}"
    if errant:
        return (
            f"{s.standby} has transactions that {s.primary} never saw, so nobody can take over: {errant}; "
            f"bring them over or give them up, {rebuild}"
        )
    if standby is not None and standby.applier_error:
        return (
            f"{s.standby} has stopped applying, and nothing is skipped: {standby.applier_error}; "
            f"repair it and START REPLICA there, or else give up what it has alone, {rebuild}"
        )
    if standby is not None and standby.differing:
        more = f" and {len(standby.differing) - 1} more" if len(standby.differing) > 1 else ""
        return (
            f"for a person, as {s.standby} is no copy of {s.primary} and cannot take over: "
            f"{standby.differing[0]}{more}; "
            f"kembar rejoin {s.standby} --path clone --reason TEXT makes it one"
        )
    return ""


def _last_word(s: Situation, node: NodeName) -> Report | None:
    """However old; a report that cannot be read has been told of before."""
    sighting = s.reports.get(node)
    return sighting.value if sighting else None


def _by_finding(s: Situation) -> str:
    """What is wrong though the standby is certified and connected."""
    match analyze(s):
        case Finding.PRIMARY_EXITED:
            return f"for {s.primary} to release, or to start mysqld in place"
        case Finding.PRIMARY_CLOSED:
            return f"for {s.primary} to open: see kembar status for what it lacks"
        case Finding.SYNC_STALLED:
            return f"for {s.standby} to acknowledge, or to be lost for certain"
        case Finding.RECORD_UNREADABLE:
            return _unreadable(s)
        case Finding.HEALTHY:
            return "" if s.cluster.phase is Phase.STEADY else f"for {s.standby} to return to {s.primary}"
        case Finding.TWO_WRITERS:
            return "both nodes say that they serve: stop clients, then see kembar status"
        case _:
            return f"for {s.standby} to hold everything again"


def _maintained(s: Situation) -> str:
    """That nobody may take over, and what ends it; empty where the standby may."""
    if s.standby not in s.policy.maintenance:
        return ""
    return (
        f"for a person: {s.standby} is under maintenance and may not be promoted; "
        f"kembar maintenance off {s.standby} ends it"
    )


def _no_successor(s: Situation) -> str:
    if maintained := _maintained(s):
        return maintained
    if s.cluster.mode is Mode.ASYNC or s.cluster.promotable is None:
        return (
            f"for {s.primary} to return: {s.standby} is not proven to hold everything; "
            f"kembar failover --to {s.standby} --accept-data-loss --reason TEXT ends the wait"
        )
    if s.standby_certified() and s.armed():
        return f"until the gate of {s.primary} has closed for certain, or {s.standby} receives nothing from it either"
    return f"for {s.standby}: certified as {s.cluster.promotable.incarnation}, which is not what runs there now"
