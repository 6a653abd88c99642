"""The returning node's part: what is errant is found out, kept as evidence, changed back. Any stage may be repeated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agents.binlog.logs import LogUnfit, files_after
from agents.binlog.rewind import Lasting, Mismatch, check, rewind
from agents.binlog.table import Table
from agents.binlog.undo import Refusal, Undo, held, plan_undo, row_count
from agents.reconcile.cloning import Cloner, Unclonable
from agents.reconcile.comparing import texts, touched_keys
from agents.reconcile.evidence import Folder
from agents.reconcile.owing import Owing
from agents.reconcile.reset import fenced, reset, silence, still
from orchestrator.core.errors import StepFailed
from orchestrator.core.gtid import GtidSet
from orchestrator.core.reconcile import STAGES, Merge, Reconcile
from orchestrator.core.returning import STRAY, Returning, Rung, Stage
from orchestrator.core.wire import plain

STATEMENT_S, EXECUTED_S = 10.0, 10.0
TOGETHER = 500  # keys in one question
COMPARISONS = 3
SHOWN_MAX = 5
RESET, EVENTS = "reset.json", "events.json"
# The source has no log from which it could go on, or none that can be read (1236 of the source).
_UNSENT = (
    "SELECT LAST_ERROR_MESSAGE AS text FROM performance_schema.replication_connection_status"
    " WHERE LAST_ERROR_NUMBER = 13114"
)
Ask = Callable[[str, Mapping[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where this host keeps what is needed: mysqld's data, and our own evidence."""

    datadir: Path
    evidence: Path


class Returner:
    """Used by the repair thread alone, but for `facts`."""

    def __init__(self, place: Place, sessions: Callable[[], Lasting], ask: Ask, cloner: Cloner) -> None:
        """`sessions` makes one that may change rows without logging it; `ask` asks the primary's agent."""
        self._place, self._sessions, self._ask, self._cloner = place, sessions, ask, cloner
        self._owing = Owing(place.evidence)
        self.facts = self._owing.read()

    def work(self, record: Reconcile, primary_executed: GtidSet) -> None:
        """Do what the record's stage asks, if it is not done. Raises KembarError: call again."""
        if (self.facts.id, self.facts.attempt) != (record.id, record.attempt):
            self._begin(record)
        if self._past(record):
            return
        match record.stage:
            case Stage.DETECT:
                self._detect(record, primary_executed)
            case Stage.BUNDLE:
                self._keep(record, primary_executed)
            case Stage.REWIND:
                self._rewind(record)
            case Stage.CLONE:
                self._clone(record)
            case Stage.REJOIN:
                self._rejoin(record)
            case Stage.VERIFY:
                self._verify(record)

    def _begin(self, record: Reconcile) -> None:
        with closing(self._sessions()) as session:
            server = _value(session, "server_uuid")
        if self.facts.id == record.id:  # what it owes stays; what was said of the attempt before does not
            reached = Stage.BUNDLE if self.facts.owed else None
            again = replace(self.facts, attempt=record.attempt, rung=record.rung, reached=reached, refusal="")
            self.facts = replace(again, doing="", percent=0.0)
            return
        if self.facts.rewinding and self.facts.server in ("", server):
            raise StepFailed(f"return {self.facts.id} has changed rows back here and goes first: not {record.id}")
        if self.facts.owed:  # all of it is settled but a comparison, else no new one would be opened
            self._kept(owed=False)
        self.facts = Returning(
            id=record.id,
            attempt=record.attempt,
            epoch=record.epoch,
            server=server,
            rung=record.rung,
            errant=record.errant,
            acknowledged=record.acknowledged,
            evidence=record.evidence,
        )

    def _past(self, record: Reconcile) -> bool:
        """Whether the stage lies behind: a leader with an old report, or a record that was lost, asks for it again."""
        order, reached = STAGES[record.rung], self.facts.reached
        if record.stage not in order or reached not in order:
            return reached is record.stage
        return order.index(reached) >= order.index(record.stage)

    def _kept(self, **facts: object) -> None:
        """On disk before it is true."""
        wanted = replace(self.facts, **facts)  # type: ignore[arg-type]
        self._owing.write(wanted)
        self.facts = wanted

    def _reached(self, stage: Stage, **facts: object) -> None:
        self.facts = replace(self.facts, reached=stage, doing="", percent=0.0, **facts)  # type: ignore[arg-type]

    def _detect(self, record: Reconcile, primary_executed: GtidSet) -> None:
        self.facts = replace(self.facts, doing="reading the binary log")
        session = self._sessions()
        try:
            executed = GtidSet.parse(_value(session, "gtid_executed"))
            errant = executed - primary_executed
            undo = self._planned(Path(_value(session, "log_bin_index")), primary_executed, errant)
            refusal = undo if isinstance(undo, Refusal) else check(session, undo)
        finally:
            session.close()
        reasons = ("truncate: mysqld has been started since, or the transactions are not at the end of its log",)
        if refusal is not None or isinstance(undo, Refusal):
            why = (*reasons, f"rewind: {refusal}")
            self._reached(Stage.DETECT, rung=Rung.CLONE, reasons=why, errant=str(errant), transactions=len(errant))
            return
        mib = sum(place.length for place in undo.places) >> 20
        self._reached(
            Stage.DETECT,
            rung=Rung.REWIND,
            reasons=reasons,
            errant=str(errant),
            rewound=str(undo.gtids),
            transactions=len(errant),
            rows=row_count(undo),
            log_mib=mib,
        )

    def _planned(self, index: Path, common: GtidSet, errant: GtidSet) -> Undo | Refusal:
        try:
            return plan_undo(files_after(self._place.datadir, index, common), errant)
        except LogUnfit as unfit:
            return Refusal(unfit.reason, "", str(unfit))

    def _folder(self, record: Reconcile) -> Folder:
        return Folder.of(self._place.evidence, record)

    def _archived(self, record: Reconcile, primary_executed: GtidSet) -> str:
        """The sum of the evidence, which is kept now if it was not before."""
        folder = self._folder(record)
        if sums := folder.sums():
            return sums
        self.facts = replace(self.facts, doing="keeping the binary log as evidence")
        with closing(self._sessions()) as session:
            index = Path(_value(session, "log_bin_index"))
        try:
            files = files_after(self._place.datadir, index, primary_executed)
        except LogUnfit as unfit:
            # Nothing is taken out of a server of which nobody could say afterwards what it was.
            self.facts = replace(self.facts, rung=record.rung, refusal=f"evidence_incomplete: {unfit}")
            raise
        return folder.keep(files, index)

    def _keep(self, record: Reconcile, primary_executed: GtidSet) -> None:
        if record.rung is not Rung.TRUNCATE:  # of which nothing has been started before its log was kept
            with closing(self._sessions()) as session:
                still(session)
        sums = self._archived(record, primary_executed)
        errant = self._errant(record, primary_executed)
        self._kept(
            reached=Stage.BUNDLE,
            owed=True,
            sums=sums,
            errant=str(errant),
            transactions=max(record.transactions, len(errant)),
            rows=record.rows,
            log_mib=record.log_mib,
            doing="",
        )

    def _errant(self, record: Reconcile, primary_executed: GtidSet) -> GtidSet:
        """With what somebody wrote since it was looked for: undone with the rest, it must be merged with the rest."""
        errant = GtidSet.parse(record.errant)
        if record.rung is Rung.TRUNCATE:
            return errant  # its evidence was kept before anything could write
        # A copy is for a log that may be unfit to read, too; then the primary cannot read its evidence either.
        there = self._held(self._folder(record)) if record.rung is Rung.REWIND else self._executed_here()
        return errant | (there - primary_executed)

    def _executed_here(self) -> GtidSet:
        with closing(self._sessions()) as session:
            return GtidSet.parse(_value(session, "gtid_executed"))

    def _rewind(self, record: Reconcile) -> None:
        """Change the rows back, then note from where to where the GTIDs go: from then on it is only about these."""
        folder = self._folder(record)
        with closing(self._sessions()) as session:
            if not self.facts.rewinding:
                silence(session)
            fenced(session)
            self._kept(rewinding=True)
            if _value(session, "event_scheduler") == "ON":  # whose events would write, whatever offline_mode is
                folder.note(EVENTS, {"event_scheduler": "ON"})
                session.ask("SET GLOBAL event_scheduler = OFF", within_s=STATEMENT_S)
            session.ask("SET GLOBAL super_read_only = OFF", within_s=STATEMENT_S)
        noted = folder.noted(RESET)
        if noted is None:
            noted = self._noted(folder, self._undo(record))
        with closing(self._sessions()) as session:
            session.ask("SET SESSION sql_log_bin = 0", within_s=STATEMENT_S)
            session.ask(
                "DELETE FROM kembar.reconcile_journal WHERE reconcile_id = %s", (record.id,), within_s=STATEMENT_S
            )
            try:
                reset(session, GtidSet.parse(noted["before"]), GtidSet.parse(noted["target"]))
            except StepFailed as error:
                if str(error).startswith(STRAY):
                    self.facts = replace(self.facts, refusal=str(error))
                raise
            session.ask("SET GLOBAL super_read_only = ON", within_s=STATEMENT_S)
            if folder.noted(EVENTS) is not None:
                session.ask("SET GLOBAL event_scheduler = ON", within_s=STATEMENT_S)
        self._kept(reached=Stage.REWIND, rewinding=False, doing="", percent=0.0)

    def _clone(self, record: Reconcile) -> None:
        self.facts = replace(self.facts, rung=Rung.CLONE, refusal="")
        try:
            if self._cloner.work(record, self._tell):
                with closing(self._sessions()) as session:
                    server = _value(session, "server_uuid")  # it goes on in the copy
                self._kept(reached=Stage.CLONE, rewinding=False, server=server, doing="", percent=0.0)
        except Unclonable as error:
            self.facts = replace(self.facts, refusal=f"clone: {error}")

    def _rejoin(self, record: Reconcile) -> None:
        """It replicates by itself; not if the primary no longer has what it lacks, for which it would wait for ever."""
        if record.rung is Rung.CLONE:
            return
        with closing(self._sessions()) as session:
            errors = session.ask(_UNSENT, within_s=STATEMENT_S)
        for error in errors:
            self.facts = replace(self.facts, rung=record.rung, refusal=f"binlog_missing: {error['text']}")

    def _tell(self, doing: str, percent: float) -> None:
        self.facts = replace(self.facts, doing=doing, percent=round(percent, 1))

    def _verify(self, record: Reconcile) -> None:
        """Raises StepFailed while touched rows differ."""
        if record.merge is not Merge.DONE:
            return  # it changes these rows
        if differing := self._differing(record):
            raise StepFailed(differing)
        self._cloner.end(record)
        self._kept(reached=Stage.VERIFY, owed=False, doing="", percent=0.0)

    def _differing(self, record: Reconcile) -> str:
        """Which touched rows differ: read there, then here once all of theirs is executed here; more than once, as
        some are hot. Empty if none does.

        One that changed there between two comparisons is equal: what changed it came as the whole row, and was executed
        here.
        """
        keys = touched_keys(self._folder(record), GtidSet.parse(record.errant))
        left = list(range(len(keys)))
        said: dict[int, str | None] = {}  # by the primary, last time
        for _ in range(COMPARISONS):
            left = self._different(record, keys, left, said)
            if not left:
                return ""
        named = ", ".join(f"{keys[n][0]} {keys[n][1]}" for n in left[:SHOWN_MAX])
        return f"{len(left)} of {len(keys)} touched rows differ from the primary's: {named}"

    def _different(
        self, record: Reconcile, keys: Sequence[tuple[Table, str]], which: Sequence[int], said: dict[int, str | None]
    ) -> list[int]:
        different = []
        for begin in range(0, len(which), TOGETHER):
            part = which[begin : begin + TOGETHER]
            theirs = self._ask("touched", {"record": plain(record), "which": part})
            with closing(self._sessions()) as session:
                if not self._executed(session, theirs["executed"]):
                    raise StepFailed("what the primary had executed is not executed here yet")
                ours = texts(session, [keys[n] for n in part])
            if len(theirs["rows"]) != len(part):
                raise StepFailed(f"the primary's agent answers {len(theirs['rows'])} rows of {len(part)}")
            pairs = zip(part, ours.rows, theirs["rows"], strict=True)
            different += [n for n, own, other in pairs if own != other and said.get(n, other) == other]
            said.update(zip(part, theirs["rows"], strict=True))
            self.facts = replace(self.facts, doing="comparing", percent=round(100 * begin / max(len(which), 1), 1))
        return different

    def _executed(self, session: Lasting, gtids: str) -> bool:
        (row,) = session.ask(
            "SELECT WAIT_FOR_EXECUTED_GTID_SET(%s, %s) AS late", (gtids, EXECUTED_S), within_s=EXECUTED_S + STATEMENT_S
        )
        return row["late"] == "0"

    def _undo(self, record: Reconcile) -> GtidSet:
        """Change the rows back, as far as the journal does not say so yet; what was undone."""
        undo = plan_undo(self._folder(record).files(), GtidSet.parse(record.errant))
        if isinstance(undo, Refusal):
            self.facts = replace(self.facts, refusal=f"the evidence no longer allows what it did: {undo}")
            raise StepFailed(self.facts.refusal)
        try:
            for progress in rewind(self._sessions, record.id, undo):
                percent = 100 * progress.done / max(progress.total, 1)
                self.facts = replace(self.facts, doing="changing rows back", percent=round(percent, 1))
        except Mismatch as mismatch:
            self.facts = replace(self.facts, refusal=str(mismatch))
            raise
        return undo.gtids

    def _held(self, folder: Folder) -> GtidSet:
        return held(folder.files())

    def _noted(self, folder: Folder, undone: GtidSet) -> dict[str, str]:
        with closing(self._sessions()) as session:
            before = GtidSet.parse(_value(session, "gtid_executed"))
            elsewhere = GtidSet.parse(_value(session, "gtid_purged"))  # after an earlier return no log has these
        if stray := before - self._held(folder) - elsewhere:
            why = f"{STRAY}: {stray} came after the evidence was kept, and would be lost with the log"
            self.facts = replace(self.facts, refusal=why)
            raise StepFailed(why)
        noted = {"before": str(before), "target": str(before - undone)}
        folder.note(RESET, noted)
        return noted


def _value(session: Lasting, name: str) -> str:
    (row,) = session.ask(f"SELECT @@GLOBAL.{name} AS value", within_s=STATEMENT_S)
    return "".join(row["value"].split("\n"))
