"""The comparison of two tables that go on changing: what differs for good is found, and nothing else is reported."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.reconcile.comparison import Comparison
from agents.reconcile.sweeping import NAMED_MAX, Answered, Incomparable, Moved, Position, Question, Sweep, Tally
from agents.reconcile.swept import Progress
from agents.session import Row
from orchestrator.core.errors import StepFailed
from orchestrator.core.verifying import Difference, Verifying
from orchestrator.core.wire import SIZE_MAX, encode

NAME = ("shop", "t")
Rows = dict[int, str]


@dataclass
class Side:
    """One server's table. Keys are numbers, values are texts."""

    rows: Rows = field(default_factory=dict)
    shape: str = "as made"
    keyed: bool = True
    objects: dict[str, str] = field(default_factory=dict)

    def answer(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        match asked["what"]:
            case "layout":
                return {"shape": self.shape, "key": ["id"] if self.keyed else [], "unfit": ""}
            case "objects":
                return {"objects": dict(self.objects)}
        if asked["shape"] != self.shape:
            return {"moved": True}
        match asked["what"]:
            case "chunk":
                later = self._within(asked)
                to = _key(later[asked["rows"] - 1]) if self.keyed and len(later) >= asked["rows"] else None
                return {**self._sums({**asked, "to": to}), "to": to, "took_s": 0.01}
            case "sums":
                return self._sums(asked)
            case "middle":
                there = self._within(asked)
                return {"middle": _key(there[asked["rows"] - 1]) if len(there) >= asked["rows"] else None}
            case "rows":
                return {"rows": [[str(key), self.rows[key]] for key in self._within(asked)]}
            case "rows_at":
                wanted = [int(key[0]) for key in asked["keys"]]
                return {"rows": [[str(key), self.rows[key]] for key in wanted if key in self.rows]}
            case _:
                wanted = [int(key[0]) for key in asked["keys"]]
                return {"versions": [[["id", str(k)], ["v", self.rows[k]]] if k in self.rows else None for k in wanted]}

    def _sums(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        rows = [(key, self.rows[key]) for key in self._within(asked)]
        return {"sums": [str(len(rows)), str(hash(tuple(rows))), "0"]}

    def _within(self, asked: Mapping[str, Any]) -> list[int]:
        low, high = (None if asked.get(end) is None else int(asked[end][0]) for end in ("after", "to"))
        return sorted(key for key in self.rows if (low is None or key > low) and (high is None or key <= high))


def _key(key: int) -> list[str]:
    return [str(key)]


@dataclass
class Two:
    """Both sides: what clients write between two questions on the primary reaches the standby when it is waited for."""

    primary: Side
    standby: Side
    write: Callable[[Two], None] = lambda two: None
    log: list[tuple[int, str | None]] = field(default_factory=list)
    applied: int = 0
    asked: int = 0
    paused_s: float = 0.0

    def theirs(self, question: Mapping[str, Any]) -> dict[str, Any]:
        self.asked += 1
        answered = self.primary.answer(question)
        answered["executed"] = str(len(self.log))
        self.write(self)
        return answered

    def ours(self, question: Mapping[str, Any]) -> dict[str, Any]:
        answered = self.standby.answer(question)
        answered["executed"] = str(self.applied)
        self.write(self)
        return answered

    def reach(self, executed: str) -> None:
        while self.applied < int(executed):
            self.apply()
        self.write(self)

    def apply(self) -> None:
        key, value = self.log[self.applied]
        self.applied += 1
        _put(self.standby.rows, key, value)

    def pause(self, seconds: float) -> None:
        self.paused_s += seconds
        self.write(self)

    def change(self, key: int, value: str | None) -> None:
        """A client's write: by its row's image, so that it makes an end of any difference in that row."""
        _put(self.primary.rows, key, value)
        self.log.append((key, value))


def _put(rows: Rows, key: int, value: str | None) -> None:
    if value is None:
        rows.pop(key, None)
    else:
        rows[key] = value


def swept(two: Two, *, listed: int = 4, begin: Position | None = None) -> Tally:
    tally = Tally()
    list(Sweep(two, tally, listed).table(NAME, begin or Position(rows=8)))
    return tally


def keys(tally: Tally) -> set[int]:
    return {int(one.key.removeprefix("id=")) for one in tally.differences}


def alike(count: int) -> Two:
    rows = {key: f"v{key}" for key in range(count)}
    return Two(Side(dict(rows)), Side(dict(rows)))


def writing(rng: Random, hot: list[int], often: float, numbers: list[int]) -> Callable[[Two], None]:
    """Clients that change, delete and make the rows of these keys, never to what they were before."""

    def write(two: Two) -> None:
        while rng.random() < often:
            numbers[0] += 1
            two.change(rng.choice(hot), rng.choice([f"n{numbers[0]}", None]))
        while two.applied < len(two.log) and rng.random() < 0.5:
            two.apply()

    return write


@settings(deadline=None, max_examples=60)
@given(
    count=st.integers(0, 60),
    hot=st.sets(st.integers(0, 70), max_size=20),
    wrong=st.dictionaries(st.integers(0, 80), st.sampled_from(["changed", "missing", "alone"]), max_size=NAMED_MAX),
    often=st.sampled_from([0.05, 0.3, 0.6]),
    seed=st.integers(0, 2**32),
)
def test_what_differs_for_good_is_found_while_others_are_written(
    count: int, hot: set[int], wrong: dict[int, str], often: float, seed: int
) -> None:
    two, expected = alike(count), set()
    for key, how in wrong.items():
        if key in hot:
            continue
        if how == "alone" and key not in two.primary.rows:
            two.standby.rows[key] = "of nobody"
        elif how == "missing" and key in two.standby.rows:
            del two.standby.rows[key]
        elif how == "changed" and key in two.standby.rows:
            two.standby.rows[key] = "changed"
        else:
            continue
        expected.add(key)
    if hot:
        two.write = writing(Random(seed), sorted(hot), often, [0])
    tally = swept(two)
    assert keys(tally) == expected
    assert bool(tally.diverged) == bool(expected)


def test_equal_tables_are_read_once_each() -> None:
    two = alike(100)
    tally = swept(two)
    assert (tally.rows, tally.hot, tally.diverged, tally.differences) == (100, 0, 0, [])
    assert tally.equal == two.asked - 2  # two questions are about the definition


def test_a_row_that_is_seen_before_it_is_among_the_executed_is_no_difference() -> None:
    """For a moment the sum holds a commit for which the standby was not told to wait."""
    two = alike(10)
    two.change(3, "seen early")
    said = iter(["0", "0", "0"])
    plain = two.theirs
    two.theirs = lambda asked: plain(asked) | {"executed": next(said, "1")}  # type: ignore[method-assign]
    assert swept(two).differences == []


def test_both_versions_are_shown_with_the_key() -> None:
    two = alike(3)
    two.standby.rows[1] = "x" * 100
    two.primary.rows[7] = "new"
    two.standby.rows[9] = "alone"
    assert swept(two).differences == [
        Difference("row", "shop.t", "id=1", "v=v1", f"v={'x' * 64}..."),
        Difference("row", "shop.t", "id=7", "id=7, v=new", "absent"),
        Difference("row", "shop.t", "id=9", "absent", "id=9, v=alone"),
    ]


def test_of_a_table_that_differs_everywhere_only_some_are_named() -> None:
    two = alike(2_000)
    two.standby.rows = dict.fromkeys(range(2_000), "other")
    tally = swept(two)
    assert NAMED_MAX <= len(tally.differences) < 2 * NAMED_MAX and tally.diverged > 2
    assert two.asked < 1_000


def test_a_table_without_keys_is_one_chunk_and_differs_or_not() -> None:
    two = alike(50)
    two.primary.keyed = two.standby.keyed = False
    assert (swept(two).equal, two.asked) == (1, 3)
    two.standby.rows[3] = "other"
    (found,) = swept(two).differences
    assert (found.name, found.key) == ("shop.t", "no key tells which")
    two.write = writing(Random(1), [60, 61], 0.5, [0])
    two.standby.rows[3] = "v3"
    assert swept(two).differences == []


def test_a_table_on_one_side_only_or_made_otherwise_is_named_once() -> None:
    two = alike(3)
    two.standby.shape = "altered"
    (found,) = swept(two).differences
    assert (found.what, found.name, found.primary, found.standby) == (
        "table", "shop.t", "digest as made", "digest altered",
    )  # fmt: skip
    two.standby.shape = ""
    assert swept(two).differences[0].standby == "absent"
    two.primary.shape = ""
    assert swept(two).differences == []  # dropped on both


def test_a_table_that_is_altered_meanwhile_is_begun_anew() -> None:
    two = alike(100)

    def alter(two: Two) -> None:
        if two.asked == 5:
            two.primary.shape = two.standby.shape = "altered"

    two.write = alter
    with pytest.raises(Moved, match=r"shop\.t was altered"):
        swept(two)
    assert swept(two).rows == 100


def test_it_goes_on_where_it_was_unless_the_table_is_another() -> None:
    two, tally = alike(100), Tally()
    places = Sweep(two, tally, 4).table(NAME, Position(rows=8))
    place = [next(places), next(places)][-1]
    assert (place.done, tally.rows) == (24, 24)
    assert swept(two, begin=place).rows == 76
    assert swept(two, begin=replace(place, shape="of before")).rows == 100


def test_a_chunk_that_takes_too_long_is_made_smaller() -> None:
    two, plain = alike(100), Two.theirs

    def slow(asked: Mapping[str, Any]) -> dict[str, Any]:
        return {"late": True} if asked.get("rows", 0) > 10 else plain(two, asked)

    two.theirs = slow  # type: ignore[method-assign]
    assert swept(two, begin=Position("as made", rows=64)).rows == 100
    two.primary.keyed = False
    with pytest.raises(Incomparable, match="no primary key"):
        swept(two, begin=Position("as made", rows=64))


def test_what_has_no_rows_is_compared_by_its_digest() -> None:
    two, tally = alike(0), Tally()
    two.primary.objects = {"trigger shop.a": "1", "view shop.v": "2", "event shop.e": "3"}
    two.standby.objects = {"trigger shop.a": "other", "view shop.v": "2"}
    Sweep(two, tally).objects("objects")
    assert [(one.what, one.name, one.primary, one.standby) for one in tally.differences] == [
        ("trigger", "shop.a", "digest 1", "digest other"),
        ("event", "shop.e", "digest 3", "absent"),
    ]


def test_one_that_is_made_meanwhile_is_no_difference() -> None:
    two, tally = alike(0), Tally()
    two.primary.objects = {"trigger shop.a": "1"}

    def write(two: Two) -> None:
        if two.paused_s:
            two.standby.objects = dict(two.primary.objects)

    two.write = write
    Sweep(two, tally).objects("objects")
    assert tally.differences == []


class Idle:
    """A server without anything, a watch that wants all of it."""

    def ask(self, sql: str, arguments: Sequence[object] = (), *, within_s: float | None) -> tuple[Row, ...]:
        return ({"late": "0"},)

    def close(self) -> None: ...

    def wanted(self) -> bool:
        return True

    def wait(self, seconds: float) -> None: ...

    def tell(self, progress: Progress, *, keep: bool) -> None: ...

    def now(self) -> str:
        return "now"


def test_thousands_of_schemas_that_may_not_be_read_are_counted() -> None:
    """All of them named would make a report that nobody can read."""
    hidden = [f"tenant_{n}" for n in range(5000)]

    def answer(question: Question) -> Answered:
        return {"tables": [], "hidden": hidden, "objects": {}, "executed": ""}

    told = Comparison(Progress(Verifying("r1")), answer, answer, Idle, Idle()).run().told
    assert told.skipped[0] == "schema tenant_0: the account may not read it"
    assert told.skipped[-1] == f"{5000 - len(told.skipped) + 1} more schemas: the account may not read them"
    assert len(encode(told)) < SIZE_MAX // 8


@pytest.mark.parametrize(
    ("answered", "why"), [({"late": True}, "longer than a statement may"), ({"refused": "1142 SELECT denied"}, "1142")]
)
def test_a_list_of_tables_that_cannot_be_had_is_a_trouble_with_its_reason(answered: Answered, why: str) -> None:
    comparison = Comparison(
        Progress(Verifying("r1")), lambda question: answered, lambda question: answered, Idle, Idle()
    )
    with pytest.raises(StepFailed, match=why):
        comparison.run()
