"""Sets of global transaction ids, as MySQL writes them: parse, union, subtract, compare.

A source is a server's uuid, or `uuid:tag` for tagged ids (8.3 and later). Kembar plans with these; every step that
destroys something asks the server again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated, Self

Interval = tuple[int, int]  # first, last; both inclusive
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TAG = re.compile(r"[a-z_][a-z0-9_]{0,31}")
_INTERVAL = re.compile(r"(\d+)(?:-(\d+))?")
LAST = 2**63 - 2  # MySQL's largest transaction number


@dataclass(frozen=True, slots=True)
class GtidSet:
    """Per source: intervals that are sorted, disjoint and not adjacent. Compared by value."""

    intervals: Mapping[str, tuple[Interval, ...]] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Self:
        """`uuid:1-5:7,uuid:tag:1-3`, any white space. Raises ValueError naming the part that is none."""
        return cls(_parsed(text))

    def __str__(self) -> str:
        """MySQL's own spelling: tags of one server follow its uuid."""
        by_uuid: dict[str, list[str]] = {}
        for source in sorted(self.intervals):
            uuid, _, tag = source.partition(":")
            by_uuid.setdefault(uuid, []).extend([tag] if tag else [])
            by_uuid[uuid].extend(_spelled(interval) for interval in self.intervals[source])
        return ",".join(":".join([uuid, *parts]) for uuid, parts in by_uuid.items())

    def __bool__(self) -> bool:
        return bool(self.intervals)

    def __len__(self) -> int:
        """How many transactions."""
        return sum(last - first + 1 for intervals in self.intervals.values() for first, last in intervals)

    def __or__(self, other: Self) -> Self:
        sources = sorted({*self.intervals, *other.intervals})
        return type(self)(
            {s: _merged([*self.intervals.get(s, ()), *other.intervals.get(s, ())]) for s in sources},
        )

    def __sub__(self, other: Self) -> Self:
        left = {s: _without(mine, other.intervals.get(s, ())) for s, mine in self.intervals.items()}
        return type(self)({s: intervals for s, intervals in left.items() if intervals})

    def given_by(self, uuid: str) -> Self:
        """Those whose numbers that server gave, with a tag or without."""
        mine = {source: parts for source, parts in self.intervals.items() if source.partition(":")[0] == uuid}
        return type(self)(mine)

    def __le__(self, other: Self) -> bool:
        """Whether every transaction of this set is in `other`."""
        return not self - other


Gtids = Annotated[str, GtidSet.parse]  # a set as MySQL writes it; a record with any other text is refused


def errant(returning: GtidSet, primary: GtidSet) -> GtidSet:
    """What a returning node has and the primary never saw.

    Exact only if the primary's set was read after the returning node stopped applying: see reconcile rules.
    """
    return returning - primary


@lru_cache(512)
def _parsed(text: str) -> Mapping[str, tuple[Interval, ...]]:
    """One pass of a loop compares the same few texts again and again."""
    found: dict[str, list[Interval]] = {}
    for part in "".join(text.split()).lower().split(","):
        if part:
            for source, interval in _intervals_of(part):
                found.setdefault(source, []).append(interval)
    return {source: _merged(found[source]) for source in sorted(found)}


def _intervals_of(part: str) -> Iterator[tuple[str, Interval]]:
    uuid, *rest = part.split(":")
    if not _UUID.fullmatch(uuid) or not rest:
        raise ValueError(f"GTID set: {part!r} does not begin with a server uuid and an interval")
    source = uuid
    for piece in rest:
        match = _INTERVAL.fullmatch(piece)
        if match:
            yield source, _interval(match, part)
        elif _TAG.fullmatch(piece):
            source = f"{uuid}:{piece}"
        else:
            raise ValueError(f"GTID set: {piece!r} in {part!r} is neither a tag nor an interval")


def _interval(match: re.Match[str], part: str) -> Interval:
    first, last = int(match[1]), int(match[2] or match[1])
    if not 1 <= first <= last <= LAST:
        raise ValueError(f"GTID set: interval {match[0]!r} in {part!r}: needs 1 <= first <= last <= {LAST}")
    return first, last


def _merged(intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    result: list[Interval] = []
    for first, last in sorted(intervals):
        if result and first <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(result[-1][1], last))
        else:
            result.append((first, last))
    return tuple(result)


def _without(mine: tuple[Interval, ...], theirs: tuple[Interval, ...]) -> tuple[Interval, ...]:
    result: list[Interval] = []
    for first, last in mine:
        start = first
        for other_first, other_last in theirs:
            if other_last < start or other_first > last:
                continue
            if other_first > start:
                result.append((start, other_first - 1))
            start = other_last + 1
        if start <= last:
            result.append((start, last))
    return tuple(result)


def _spelled(interval: Interval) -> str:
    first, last = interval
    return str(first) if first == last else f"{first}-{last}"
