"""One server answers at a time: what clients were told, and by whom, fits the epochs. Pure.

An answer shows that its server served at some moment between sending and answer. An epoch has one writer at most, so
each change of the server takes another epoch: a history that needs more changes than there were epochs by then shows
two servers at once, or one that came before its epoch.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise

from lab.checkers.calls import Call
from lab.checkers.sightings import Record


def check(calls: Sequence[Call], records: Sequence[Record]) -> list[str]:
    """`records` oldest first, the first before every call, the last after. Reads count as well as writes."""
    answered = sorted((call for call in calls if call.ok and call.server), key=lambda call: call.ended)
    return [*_back(records), *_two_at_once(answered, records)]


def changes(calls: Sequence[Call], first: str) -> list[Call]:
    """The answers, of two servers and by their end, that force a change of the server, each as late as it can be.

    `first` serves until an answer of the other forbids it, and so on: no other way needs fewer changes.
    """
    serving, since = first, float("-inf")
    forced: list[Call] = []
    for call in calls:
        # One that was sent before the present run began is explained by the run before it.
        if call.server != serving and call.began > since:
            forced.append(call)
            serving, since = call.server, call.ended
    return forced


def _back(records: Sequence[Record]) -> Iterator[str]:
    for before, after in pairwise(records):
        if (after.epoch, after.seq) < (before.epoch, before.seq):
            yield f"went back from epoch {before.epoch}, seq {before.seq}: {after}"


def _two_at_once(calls: Sequence[Call], records: Sequence[Record]) -> Iterator[str]:
    for one, other in combinations(dict.fromkeys(call.server for call in calls), 2):
        theirs = [call for call in calls if call.server in (one, other)]
        found = [_unexplained(changes(theirs, first), records) for first in (one, other)]
        if all(found):
            yield found[0]


def _unexplained(forced: Sequence[Call], records: Sequence[Record]) -> str:
    """The first change of the server for which there was no epoch yet; empty if there is none."""
    for number, call in enumerate(forced, 1):
        place = bisect_left(records, call.ended, key=lambda record: record.began)
        if place == len(records):
            raise ValueError(f"no record was seen after {call}")
        epochs = records[place].epoch - records[0].epoch
        if number > epochs:
            before = forced[number - 2] if number > 1 else None
            return f"{number} changes of the server in {epochs} of the epoch: {before or 'nobody'}, then {call}"
    return ""
