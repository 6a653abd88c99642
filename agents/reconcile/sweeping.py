"""How two servers that go on changing are compared: each sum is fenced by what had been executed. Asks, and changes
nothing.

The primary's sum comes first, with the transactions that had been executed after it. The standby waits for these and
sums the same range. Equal sums are equal rows. Else the primary is asked again: if its sum is another by now, the range
is hot and is compared in halves; if it is the same, the whole is done once more, as a commit may be visible a moment
before it is among the executed ones (0025). What still differs is halved down to rows. A row is different only if both
versions of it stay as they were over all of `ROUNDS_S`: a row that changes is written anew on the standby by each
change, so that what differs for good is at rest on both.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import islice
from typing import Any, Protocol

from agents.reconcile.chunks import ROWS_FIRST, ROWS_LISTED, Key, Range, next_rows
from agents.reconcile.differences import ABSENT, cut, digest, of_row
from orchestrator.core.errors import StepFailed
from orchestrator.core.gtid import GtidSet
from orchestrator.core.verifying import Difference

ROUNDS = 2  # of one chunk before it is halved
AGAIN_S = 1.0
ROUNDS_S = (0.1, 0.4, 0.7, 1.1, 1.3, 1.7)  # before each further look at what differs
ASKED_TOGETHER = 100
NAMED_MAX = 20  # rows of one table; what differs beyond is counted by chunks
WHOLE = Range()

Question = Mapping[str, Any]
Answered = Mapping[str, Any]
Versions = Mapping[Any, tuple[Any, Any]]  # what differs -> the primary's, the standby's


class Chunk(StrEnum):
    """What a range was found to be."""

    EQUAL = "equal"
    HOT = "hot"
    DIFFERS = "differs"


class Moved(StepFailed):
    """The table was altered or dropped since its comparison began."""


class Incomparable(StepFailed):
    """It cannot be compared, and why."""


class Late(StepFailed):
    """A statement took longer than any may."""


class Sides(Protocol):
    """Both servers. Each call raises KembarError, also if the comparison is no longer wanted."""

    def theirs(self, question: Question) -> Answered: ...

    def ours(self, question: Question) -> Answered: ...

    def reach(self, executed: str) -> None:
        """Wait until all of this is executed here, however long."""

    def pause(self, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Position:
    """How far one table is: everything up to `after` is done."""

    shape: str = ""
    after: Key | None = None
    rows: int = ROWS_FIRST  # of the next chunk
    done: int = 0  # rows


@dataclass(slots=True)
class Tally:
    """Counts of chunks, but for rows and what differs."""

    equal: int = 0
    hot: int = 0
    diverged: int = 0
    rows: int = 0
    differing: int = 0
    differences: list[Difference] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Table:
    """One table while its definition stays the same."""

    name: tuple[str, str]
    shape: str
    key: tuple[str, ...]

    def asked(self, what: str, where: Range = WHOLE, **more: Any) -> Question:
        return {
            "what": what, "table": list(self.name), "shape": self.shape, "after": where.after, "to": where.to, **more
        }  # fmt: skip

    def __str__(self) -> str:
        return ".".join(self.name)


class Sweep:
    """Used by one thread. `tally` may be read by others."""

    def __init__(self, sides: Sides, tally: Tally, listed: int = ROWS_LISTED) -> None:
        """`listed`: a range of no more rows is compared row by row once its sums differ."""
        self._sides, self.tally, self._listed = sides, tally, listed

    def table(self, name: tuple[str, str], begin: Position) -> Iterator[Position]:
        """Compare one table, on from `begin`; how far it is after each chunk. Raises Moved, Incomparable."""
        known = self._table(name)
        if known is None:
            return
        place = begin if begin.shape == known.shape else Position(known.shape, rows=begin.rows)
        while True:
            try:
                chunk = self._theirs(known.asked("chunk", Range(place.after), rows=place.rows))
                where, count = Range(place.after, _key(chunk["to"])), int(chunk["sums"][0])
                hot = self._settle(known, where, count, chunk)
            except Late:
                place = self._smaller(known, place)
                continue
            self.tally.rows += count
            after = place.after if where.to is None else where.to
            rows = next_rows(place.rows, chunk["took_s"], hot=hot, least=self._listed)
            place = replace(place, after=after, rows=rows, done=place.done + count)
            yield place
            if where.to is None:
                return
            self._sides.pause(chunk["took_s"])  # the primary has clients: half of the time is theirs

    def objects(self, what: str) -> None:
        """Compare what has a definition and no rows: `objects` or `accounts`."""

        def look(_: Collection[str] | None) -> Versions:
            theirs, ours = self._fenced({"what": what})
            return _different(theirs["objects"], ours["objects"])

        for name, versions in self._lasting(look).items():
            kind, _, called = name.partition(" ")
            self._found(Difference(kind, called, "", *(digest(one) for one in versions)))

    def transactions(self) -> None:
        """What the standby has and the primary has not. The standby is asked first: the other one's set grows."""

        def look(_: Collection[str] | None) -> Versions:
            ours, theirs = self._ours({"what": "state"}), self._theirs({"what": "state"})
            alone = GtidSet.parse(ours["executed"]) - GtidSet.parse(theirs["executed"])
            return {str(alone): (ABSENT, str(alone))} if alone else {}

        for alone, versions in self._lasting(look).items():
            self._found(Difference("transactions", cut(alone), "", *map(cut, versions)))

    # one table

    def _table(self, name: tuple[str, str]) -> _Table | None:
        """None if it is on neither side, or is another on each, which is told."""
        question = {"what": "layout", "table": list(name)}

        def look(_: Collection[str] | None) -> Versions:
            theirs, ours = self._fenced(question)
            return {} if theirs["shape"] == ours["shape"] else {"": (theirs["shape"], ours["shape"])}

        if lasting := self._lasting(look):
            versions = (digest(one or None) for one in lasting[""])
            self._found(Difference("table", ".".join(name), "", *versions))
            return None
        theirs, ours = self._fenced(question)
        if theirs["shape"] != ours["shape"]:
            raise Moved(f"{'.'.join(name)} is being altered")
        if theirs["unfit"]:
            raise Incomparable(theirs["unfit"])
        return _Table(name, theirs["shape"], tuple(theirs["key"])) if theirs["shape"] else None

    def _smaller(self, known: _Table, place: Position) -> Position:
        """Raises Incomparable for what cannot be cut."""
        if not known.key:
            raise Incomparable("it has no primary key by which it could be cut, and takes too long in one piece")
        if place.rows <= self._listed:
            self._sides.pause(AGAIN_S)  # a server that is that busy, or a lock on the table
        return replace(place, rows=max(place.rows // 4, self._listed))

    def _settle(self, known: _Table, where: Range, count: int, first: Answered | None = None) -> bool:
        """Compare one range until nothing of it is open; whether it was hot."""
        found = self._compare(known.asked("sums", where), first)
        if found is Chunk.EQUAL:
            self.tally.equal += 1
            return False
        self.tally.hot += found is Chunk.HOT
        if not known.key:
            self._whole(known)
        elif found is Chunk.DIFFERS and self._named(known) >= NAMED_MAX:
            self.tally.diverged += 1
        elif count <= self._listed or (middle := self._middle(known, where, count)) is None:
            self._by_rows(known, where)
        else:
            self._settle(known, Range(where.after, middle), count // 2)
            self._settle(known, Range(middle, where.to), count - count // 2)
        return found is Chunk.HOT

    def _compare(self, question: Question, first: Answered | None) -> Chunk:
        for n in range(ROUNDS):
            if n:
                self._sides.pause(AGAIN_S)
            theirs = first if first is not None and not n else self._theirs(question)
            self._sides.reach(theirs["executed"])
            if self._ours(question)["sums"] == theirs["sums"]:
                return Chunk.EQUAL
            if self._theirs(question)["sums"] != theirs["sums"]:
                return Chunk.HOT
        return Chunk.DIFFERS

    def _middle(self, known: _Table, where: Range, count: int) -> Key | None:
        return _key(self._theirs(known.asked("middle", where, rows=max(count // 2, 1)))["middle"])

    def _whole(self, known: _Table) -> None:
        """A table without keys differs, or does not; which of its rows do, nothing tells."""

        def look(_: Collection[str] | None) -> Versions:
            theirs, ours = self._fenced(known.asked("sums"))
            return {} if theirs["sums"] == ours["sums"] else {"": (theirs["sums"], ours["sums"])}

        for versions in self._lasting(look).values():
            self.tally.diverged += 1
            told = (f"{n} rows, digest {x[:12]}" for n, x, _ in versions)
            self._found(Difference("row", str(known), "no key tells which", *told))

    def _by_rows(self, known: _Table, where: Range) -> None:
        theirs, ours = self._fenced(known.asked("rows", where))
        candidates = iter(_different(_by_key(theirs), _by_key(ours)))
        before = self._named(known)
        while together := list(islice(candidates, ASKED_TOGETHER)):
            self._confirm(known, together)
            if self._named(known) >= NAMED_MAX:
                break
        self.tally.diverged += self._named(known) > before

    def _confirm(self, known: _Table, keys: list[Key]) -> None:
        def look(wanted: Collection[Key] | None) -> Versions:
            theirs, ours = self._fenced(known.asked("rows_at", keys=list(wanted or keys)))
            return _different(_by_key(theirs), _by_key(ours))

        lasting = list(self._lasting(look))[:NAMED_MAX]
        if lasting:
            question = known.asked("versions", keys=lasting)
            both = (self._theirs(question)["versions"], self._ours(question)["versions"])
            for theirs, ours in zip(*both, strict=True):
                self._found(of_row(str(known), known.key, theirs, ours))

    def _lasting(self, look: Callable[[Collection[Any] | None], Versions]) -> Versions:
        """What differs, and stays so on both sides for all of the rounds."""
        found = look(None)
        for pause_s in ROUNDS_S:
            if not found:
                break
            self._sides.pause(pause_s)
            again = look(list(found))
            found = {one: versions for one, versions in found.items() if again.get(one) == versions}
        return found

    # questions

    def _fenced(self, question: Question) -> tuple[Answered, Answered]:
        theirs = self._theirs(question)
        self._sides.reach(theirs["executed"])
        return theirs, self._ours(question)

    def _theirs(self, question: Question) -> Answered:
        return _sound(self._sides.theirs(question), question)

    def _ours(self, question: Question) -> Answered:
        return _sound(self._sides.ours(question), question)

    def _named(self, known: _Table) -> int:
        return sum(one.name == str(known) for one in self.tally.differences)

    def _found(self, one: Difference) -> None:
        self.tally.differing += 1
        self.tally.differences.append(one)


def _sound(answered: Answered, question: Question) -> Answered:
    """Raises Moved, Late, Incomparable for what is no answer."""
    if answered.get("moved"):
        raise Moved(f"{'.'.join(question['table'])} was altered or dropped while it was compared")
    if answered.get("late"):
        raise Late("a statement took too long")
    if refused := answered.get("refused"):
        raise Incomparable(refused)
    return answered


def _key(given: Sequence[str] | None) -> Key | None:
    return None if given is None else tuple(given)


def _by_key(answered: Answered) -> dict[Key, str]:
    return {tuple(row[:-1]): row[-1] for row in answered["rows"]}


def _different(theirs: Mapping[Any, Any], ours: Mapping[Any, Any]) -> dict[Any, tuple[Any, Any]]:
    names = dict.fromkeys((*theirs, *ours))
    return {one: (theirs.get(one), ours.get(one)) for one in names if theirs.get(one) != ours.get(one)}
