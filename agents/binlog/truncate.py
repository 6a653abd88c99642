"""Where the unacknowledged tail of a dead primary's last binary log file begins, and the cut there.

Why the cut loses nothing that a client was told. In SYNC a commit is reported, and committed in the engine, only after
the standby S has received it (AFTER_SYNC, no timeout). S drains all that it received before it opens, so

    acknowledged <= received by S <= executed by S when it opened <= executed that S reports as primary.

Whatever that set lacks was never acknowledged and is only prepared in InnoDB. mysqld's recovery commits a prepared
transaction only if the binary log holds it: with the tail cut it is rolled back. `doubt` holds the premises that
records can show, `plan_cut` those that the file can show; where one is missing nothing is cut.

Rotation waits for waiting transactions (source; FLUSH BINARY LOGS hung, measured), so a tail is in the last file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from agents.binlog.archive import sync_folder, write_synced
from agents.binlog.fields import Unreadable
from agents.binlog.ids import Gtid, holds
from agents.binlog.parse import HARMLESS, ROW_TYPES, Buffer, Event, Kind, events, head, statement
from orchestrator.core.errors import StepFailed
from orchestrator.core.gtid import GtidSet
from orchestrator.core.model import Goal, Sync, SyncState


@dataclass(frozen=True, slots=True)
class Cut:
    """Take the file of `size` bytes down to `position`: what follows is `gtids`, and perhaps a half-written event."""

    file: str
    size: int
    position: int
    gtids: str


@dataclass(frozen=True, slots=True)
class Clean:
    """Every complete transaction of the file is in the new primary's set."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Nothing may be cut, and why."""

    why: str


@dataclass(frozen=True, slots=True)
class Transaction:
    """One transaction of a file; `doubt` says why it may be in the engine although it was never acknowledged."""

    position: int
    gtid: Gtid
    complete: bool = False
    grouped: bool = False  # it has begun a group, which an XID or COMMIT ends; else one statement is all of it
    doubt: str = ""


def doubt(writer: tuple[int, str], goal: Goal, sync: Sync, primary: GtidSet) -> str:
    """Why acknowledged transactions may be among those that the new primary lacks; empty if none can be.

    `writer` is the epoch and incarnation in which this node wrote, `sync` its own record, `primary` the set that the
    new primary has reported in the goal's epoch.
    """
    epoch, incarnation = writer
    if goal.epoch != epoch + 1 or goal.heir is None:
        return f"epoch {goal.epoch} does not follow from a certified takeover of epoch {epoch}"
    if sync.state is not SyncState.ARMED or sync.epoch != epoch or sync.incarnation != incarnation:
        return f"its commits did not all wait for the standby in epoch {epoch} (semi-sync was {sync.state})"
    if sync.standby != goal.heir:
        return f"the node that took over ({goal.heir}) is not the one that acknowledged ({sync.standby})"
    missing = GtidSet.parse(sync.executed) - primary
    return f"the new primary lacks {missing}, which it was certified to hold" if missing else ""


def plan_cut(name: str, data: Buffer, primary: GtidSet, own: str) -> Cut | Clean | Refusal:
    """What to do with the last file of the index: `data` its bytes, `own` the uuid of the server that wrote it.

    Never raises: what cannot be read is refused.
    """
    try:
        return _plan(name, data, primary, own)
    except Unreadable as error:
        return Refusal(f"{name} {error}")


def cut(datadir: Path, plan: Path) -> Cut:
    """Carry out the Cut in the file `plan`, and give it; may be killed and called again at any step. Raises StepFailed.

    The caller guarantees that no mysqld runs on `datadir`, and that none was started since `plan` was written.
    """
    wanted = Cut(**json.loads(plan.read_bytes()))
    path = datadir / wanted.file
    try:
        with path.open("r+b") as file:
            size = os.fstat(file.fileno()).st_size
            if size not in (wanted.size, wanted.position):
                raise StepFailed(f"{path} has {size} bytes, neither {wanted.size} nor {wanted.position}: not cut")
            file.truncate(wanted.position)
            os.fsync(file.fileno())
        sync_folder(path.parent)
    except OSError as error:
        raise StepFailed(f"{path} cannot be cut: {error}") from error
    return wanted


def write_plan(plan: Path, wanted: Cut) -> None:
    """The plan is on disk before the file is touched. Raises StepFailed."""
    try:
        write_synced(plan, json.dumps(asdict(wanted)).encode() + b"\n")
    except OSError as error:
        raise StepFailed(f"{plan} cannot be written: {error}") from error


def transactions(data: Buffer, position: int) -> Iterator[Transaction]:
    """The transactions from `position` on; only the last may be incomplete. Raises Unreadable."""
    begun: Transaction | None = None
    for event in events(data, position):
        if event.gtid is not None:
            if begun is not None:
                raise Unreadable(f"at {event.position}: a transaction begins within {begun.gtid}")
            begun = Transaction(event.position, event.gtid)
        elif begun is not None:
            begun = _with(begun, event, data)
            if begun.complete:
                yield begun
                begun = None
        elif event.kind not in (Kind.ROTATE, Kind.STOP):
            raise Unreadable(f"at {event.position}: an event of type {event.kind} outside of a transaction")
    if begun is not None:
        yield begun


def _with(begun: Transaction, event: Event, data: Buffer) -> Transaction:
    """The transaction after one more event. An engine's own commit is logged as an XID, and nothing else is sure."""
    complete, grouped, why = False, begun.grouped, ""
    match event.kind:
        case Kind.XID:
            complete = True
        case Kind.XA_PREPARE:
            complete, why = True, "is an XA transaction"
        case Kind.QUERY:
            complete, grouped, why = _after_statement(statement(data, event), grouped)
        case kind if kind not in ROW_TYPES:
            why = f"holds an event of type {kind}"
    return replace(begun, complete=complete, grouped=grouped, doubt=begun.doubt or why)


def _after_statement(text: str, grouped: bool) -> tuple[bool, bool, str]:
    """Whether the transaction is complete, whether more belongs to it, and the doubt. No statement is shown whole."""
    words = " ".join(text.split()[:2]).upper()
    if text == "BEGIN":
        return False, True, ""
    if text == "COMMIT":
        return True, True, "changes tables of an engine without transactions"
    if words.startswith(HARMLESS):
        return False, grouped, ""
    if words in ("XA START", "XA END"):
        return False, True, "is an XA transaction"
    return not grouped, grouped, f"is a statement ({words})"


def _plan(name: str, data: Buffer, primary: GtidSet, own: str) -> Cut | Clean | Refusal:
    begin = head(data)
    earlier = begin.previous - primary
    if earlier:
        return Refusal(f"files before {name} hold {earlier}, which the new primary never saw")
    # What a held transaction consists of does not matter, only that it is held.
    first = next((e for e in events(data, begin.end) if e.gtid is not None and not holds(primary, e.gtid)), None)
    tail: list[Transaction] = []
    for one in transactions(data, first.position) if first is not None else ():
        if not one.complete:
            break  # mysqld itself takes it off at its start
        held = holds(primary, one.gtid)
        if held and tail:
            return Refusal(f"the new primary holds {one.gtid}, and not {tail[0].gtid} before it")
        if not held:
            tail.append(one)
    if not tail:
        return Clean()
    why = _unsure(tail, own) if begin.in_use else "was closed: mysqld ended by itself, or was started since"
    if why:
        return Refusal(f"the end of {name} {why}")
    gtids = GtidSet.parse(",".join(str(one.gtid) for one in tail))
    return Cut(name, len(data), tail[0].position, str(gtids))


def _unsure(tail: list[Transaction], own: str) -> str:
    """The first thing that speaks against the tail being only prepared in the engine."""
    sequence = 0
    for one in tail:
        if one.doubt:
            return f"holds {one.gtid}, which {one.doubt}"
        if ":" in one.gtid.source:
            return f"holds {one.gtid}, which has a tag"
        if one.gtid.source != own:
            return f"holds {one.gtid} of another server"
        if one.gtid.sequence <= sequence:
            return f"holds {one.gtid} out of commit order"
        sequence = one.gtid.sequence
    return ""
