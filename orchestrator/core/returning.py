"""What both agents say of one return: facts that the record of it is advanced by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from orchestrator.core.gtid import Gtids

STRAY = "stray_gtid"  # a refusal that begins so: nobody has evidence of what would be lost by the next rung


class Rung(StrEnum):
    """How a node comes back; each costs more than the one before."""

    TRUNCATE = "truncate"  # the end of its log was cut before its mysqld started
    REWIND = "rewind"  # its rows were changed back
    CLONE = "clone"  # it was copied from the primary


class Stage(StrEnum):
    """What the returning node is to reach, in this order; a rung leaves some of them out."""

    DETECT = "detect"  # what is errant, and which rung its log allows
    BUNDLE = "bundle"  # the evidence is on both hosts
    REWIND = "rewind"  # rows as the primary knows them, GTIDs without the errant ones
    CLONE = "clone"
    REJOIN = "rejoin"  # it replicates
    VERIFY = "verify"  # the touched rows are equal on both
    CLOSED = "closed"
    STOPPED = "stopped"  # a person has to act; `stopped` says why


class Verdict(StrEnum):
    """What became of one errant transaction on the new primary."""

    MERGED = "merged"
    BY_POLICY = "by_policy"  # it conflicted, and a policy says what becomes of each row that did
    IDENTICAL = "identical"  # it was there already, by another way
    DISCARDED = "discarded"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class Returning:
    """Facts from the agent of the returning node about one record; part of its report."""

    id: int = 0
    reached: Stage | None = None  # the last stage that is complete
    rung: Rung = Rung.REWIND  # the least that its log and its server allow
    reasons: tuple[str, ...] = ()  # why not the rungs above
    attempt: int = 0  # of the record; what was said of an earlier one counts no more
    errant: Gtids = ""
    rewound: Gtids = ""  # all from the first errant one on, fetched again if the primary has them
    transactions: int = 0
    rows: int = 0
    log_mib: int = 0
    sums: str = ""  # SHA-256 of the list of the evidence's sums
    doing: str = ""  # for people
    percent: float = 0.0
    refusal: str = ""  # why it cannot go on with this rung, by its code and a sentence
    epoch: int = 0  # in which it was begun
    server: str = ""  # uuid of the server of which it is
    owed: bool = False  # from the evidence on until nothing is left to do: it goes on, whatever becomes of the record
    rewinding: bool = False  # rows are changed back, and their GTIDs are still there: its data is nobody's
    acknowledged: bool = True  # as the record says
    evidence: str = ""  # as the record says


@dataclass(frozen=True, slots=True)
class Merging:
    """Facts from the agent of the primary about one record; part of its report."""

    id: int = 0
    sums: str = ""  # of the evidence that it has fetched and compared
    done: bool = False
    verdicts: Mapping[str, int] = field(default_factory=dict, hash=False)  # Verdict -> transactions
    refusal: str = ""


class Ended(StrEnum):
    """How a person's choice ended; the words of a request's states."""

    DONE = "done"
    REFUSED = "refused"  # nothing was changed: the answer says what to do
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one choice about a kept transaction; facts from the agent of the primary."""

    request: str
    ended: Ended
    answer: str
