"""An errant transaction on the primary, under its own GTID: every row locked and compared, then all or nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from agents.binlog.contents import Change, Transaction
from agents.binlog.definition import difference
from agents.binlog.images import row_comparison
from agents.binlog.parse import Buffer
from agents.binlog.rewind import Lasting
from agents.binlog.values import qualified, reading, told
from agents.reconcile.changing import LATER, Changing, Refusal
from agents.reconcile.judging import Footprint, Key, Ruling, Touched, rule
from agents.reconcile.planning import Plan, Stop, plan
from agents.reconcile.quarantine import Entry, State
from agents.reconcile.tables import Tables
from agents.reconcile.together import Sought, texts_of
from agents.reconcile.tombstones import executed
from agents.reconcile.weighing import APPLIED, SKIPPED, Deed, Undecided, Weighing
from agents.session import Row, StatementRefused
from orchestrator.core.conflicts import Conflict, How
from orchestrator.core.errors import KembarError, StepFailed
from orchestrator.core.mergepolicy import FOR_A_PERSON, MergePolicy
from orchestrator.core.returning import Verdict

STATEMENT_S = 30.0
TRIES = 5
CHANGED = frozenset({Verdict.MERGED, Verdict.BY_POLICY})
SINGLED_OUT_MAX = 100  # rows of one transaction that are found one by one, each by a try of the whole


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a transaction; the entry is of one whose rows were not all simply changed."""

    verdict: Verdict
    entry: Entry | None = None


@dataclass(slots=True)
class Replay:
    """Used once. The session has been told of the file's events, and takes no other statements meanwhile.

    `record` keeps an entry of what policies did, before it is committed; `forget` drops the one of a try that was not.
    """

    session: Lasting
    tables: Tables
    one: Transaction
    events: Buffer
    found: Footprint
    policy: MergePolicy = field(default_factory=MergePolicy)
    record: Callable[[Entry], object] = lambda entry: None
    forget: Callable[[], object] = lambda: None
    _refused: dict[Key, Conflict] = field(default_factory=dict)
    _singly: set[Change] = field(default_factory=set)

    @property
    def gtid(self) -> str:
        return str(self.one.gtid)

    def run(self, against: Stop | None = None) -> Outcome:
        """`against` speaks against the whole of it, whatever its rows are. If it is not merged, nothing is changed.

        Raises StepFailed (rows stayed locked, or it was executed meanwhile), DatabaseUnavailable, StatementRefused,
        Unreadable.
        """
        if against and any(table.schema in FOR_A_PERSON for table in self.one.tables.values()):
            # Its rows may not be locked by this account, and no policy asks for them.
            entry = Entry.unseen(self.gtid, against.conflict, against.detail, self.found)
            return Outcome(Verdict.QUARANTINED, entry)
        if changed := self._changed_tables():
            entry = Entry.unseen(self.gtid, Conflict.SCHEMA_DIFFERS, changed, self.found)
            return Outcome(Verdict.QUARANTINED, entry)
        tries = singled_out = 0
        while True:
            try:
                outcome = self._try(against)
            except StatementRefused as error:
                tries += 1
                if error.errno not in LATER:
                    raise
                if tries == TRIES:
                    raise StepFailed(f"{self.gtid}: rows stayed locked: {error}") from error
                continue
            if isinstance(outcome, Outcome):
                return outcome
            singled_out += 1
            against = self._again(outcome, singled_out)

    def _again(self, refusal: Refusal, singled_out: int) -> Stop | None:
        """Once more without the row that was refused, if a policy allows for that; else it ends with why."""
        table = refusal.table
        resolved = self.policy.for_row(table.schema, table.name, refusal.conflict)
        skips = resolved.policy.how is How.SKIP and not refusal.final and singled_out <= SINGLED_OUT_MAX
        self._refused.update(dict.fromkeys(refusal.keys, refusal.conflict))
        if skips and refusal.keys:
            return None
        if skips and refusal.change is not None and refusal.change not in self._singly:
            self._singly.add(refusal.change)
            return None
        how = How.DISCARD if resolved.policy.how is How.DISCARD and not refusal.final else How.QUARANTINE
        return Stop(how, refusal.conflict, "; ".join(filter(None, (refusal.detail, resolved.why))))

    def _try(self, against: Stop | None) -> Outcome | Refusal:
        self._ask("SET SESSION gtid_next = %s", self.gtid)
        try:
            self._ask("BEGIN")
            if executed(self.session, self.gtid):  # asked once more: from here on the number is this session's
                raise StepFailed(f"{self.gtid} was executed meanwhile")
            self.forget()  # not before: a commit of an earlier life may still have been on its way
            rulings = self._rulings()
            wanted = Plan(against) if against else plan(rulings, self.found, self.policy, self._refused)
            outcome = self._done(wanted, rulings)
            changed = isinstance(outcome, Outcome) and outcome.verdict in CHANGED
            if changed:
                self._same_tables()
            self._ask("COMMIT" if changed else "ROLLBACK")  # the latter gives the number free again
        except KembarError:
            self._ask("ROLLBACK")
            raise
        finally:
            self._ask("SET SESSION gtid_next = 'AUTOMATIC'")
        return outcome

    def _done(self, wanted: Plan, rulings: Sequence[Ruling]) -> Outcome | Refusal:
        if wanted.identical:
            return Outcome(Verdict.IDENTICAL)
        deeds = wanted.stop or self._deeds(wanted)
        return self._stopped(deeds, rulings) if isinstance(deeds, Stop) else self._changed(wanted, deeds)

    def _deeds(self, wanted: Plan) -> dict[Key, Deed] | Stop:
        """What is done about each row in conflict; the server compares and adds while the rows are as they were."""
        weighing = Weighing(self.session, self.tables)
        found = {}
        for key, wish in wanted.wishes.items():
            try:
                found[key] = weighing.deed(wish)
            except Undecided as why:
                return Stop(How.QUARANTINE, wish.conflict, str(why))
        return found

    def _changed(self, wanted: Plan, deeds: Mapping[Key, Deed]) -> Outcome | Refusal:
        entry = self._by_policy(wanted, deeds)
        changing = Changing(self.session, self.tables, self.one, self.events, self.found, self._singly)
        if refusal := changing.make(wanted, deeds):
            return refusal
        if entry is None:
            return Outcome(Verdict.MERGED)
        self.record(entry)
        return Outcome(Verdict.BY_POLICY, entry)

    def _rulings(self) -> list[Ruling]:
        """Of all rows that it touches, each locked."""
        touched = self.found.ordered()
        texts = texts_of(self.session, map(self._sought, touched), "FOR UPDATE")
        return [
            rule(one, None if text is None else bytes.fromhex(text), self.tables.generated(one.table))
            for one, text in zip(touched, texts, strict=True)
        ]

    def _sought(self, touched: Touched) -> Sought:
        text = row_comparison(touched.table, self.tables.generated(touched.table))
        return Sought(touched.table, touched.condition, text)

    def _changed_tables(self) -> str:
        for table in self.one.tables.values():
            now = self.tables.definition(table)
            if now is None:
                return f"{table} is not there"
            if changed := difference(table, now):
                return f"{table}: {changed}"
        return ""

    def _same_tables(self) -> None:
        """The server takes the columns of an event by their places. Nothing is altered any more before the commit."""
        if altered := next(filter(self.tables.altered, self.one.tables.values()), None):
            raise StepFailed(f"{self.gtid}: {altered} was altered while it was merged")

    def _stopped(self, stop: Stop, rulings: Collection[Ruling]) -> Outcome:
        """With the rows as they are now: nothing was changed before it was found."""
        rulings = [replace(one, conflict=self._refused.get(one.touched.key, one.conflict)) for one in rulings]
        if stop.how is How.DISCARD:
            rulings = [replace(one, policy=str(stop.how)) for one in rulings]
            return Outcome(Verdict.DISCARDED, self._entry(stop, rulings, State.DISCARDED))
        return Outcome(Verdict.QUARANTINED, self._entry(stop, rulings, State.OPEN))

    def _by_policy(self, wanted: Plan, deeds: Mapping[Key, Deed]) -> Entry | None:
        """What policies are about to do; None if they have nothing to do with it."""
        if not (wanted.wishes or wanted.named):
            return None
        rulings = [
            replace(wish.ruling, policy=wish.text, outcome=deeds[key].outcome) for key, wish in wanted.wishes.items()
        ]
        rulings += self._unchecked(wanted)
        first = next((one.conflict for one in rulings if one.conflict), next(iter(self.found.doubts), None))
        assert first is not None
        return self._entry(Stop(How.APPLY, first, "; ".join(wanted.named)), rulings, State.BY_POLICY)

    def _unchecked(self, wanted: Plan) -> list[Ruling]:
        """Rows that are changed though checks were off for them."""
        tables, why = self.found.doubts.get(Conflict.CHECKS_WERE_OFF, {}), Conflict.CHECKS_WERE_OFF
        others = (one for one in self.found.ordered() if str(one.table) in tables and one.key not in wanted.wishes)
        return [Ruling(one, why, str(How.APPLY), APPLIED) for one in others if one.key not in wanted.left]

    def _entry(self, stop: Stop, rulings: Sequence[Ruling], state: State) -> Entry:
        present = [self._present(ruling.touched) for ruling in rulings]
        skipped = SKIPPED if state is State.BY_POLICY else ""
        strangers = [Ruling(one, self.found.against, outcome=skipped) for one in self.found.strangers]
        return Entry(
            self.gtid, stop.conflict, stop.detail, [*rulings, *strangers], [*present, *[None] * len(strangers)], state
        )

    def _present(self, touched: Touched) -> dict[str, str | None] | None:
        """The row as `Image.shown` shows one."""
        columns = touched.table.columns
        read = ", ".join(f"{reading(column)} AS c{n}" for n, column in enumerate(columns))
        rows = self._ask(f"SELECT {read} FROM {qualified(touched.table)} WHERE {touched.condition}")  # noqa: S608
        return {column.name: told(rows[0][f"c{n}"]) for n, column in enumerate(columns)} if rows else None

    def _ask(self, sql: str, *arguments: str) -> tuple[Row, ...]:
        return self.session.ask(sql, arguments, within_s=STATEMENT_S)
