"""Values that are written once: acknowledged ⊆ stored ⊆ attempted, each once. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from lab.checkers.calls import Call, Kind, Outcome


def check(calls: Sequence[Call], stored: Iterable[int]) -> list[str]:
    """`stored`: every value that is there in the end, as often as it is there."""
    tried = {call.given: call for call in calls if call.kind is Kind.INSERT}
    there = Counter(stored)
    found = [f"lost: {call}" for value, call in tried.items() if call.ok and value not in there]
    found += [f"duplicate: {value} is stored {times} times" for value, times in there.items() if times > 1]
    found += [f"invented: {value} is stored and was never sent" for value in there if value not in tried]
    refused = (tried[value] for value in there if value in tried and tried[value].outcome is Outcome.FAIL)
    return [*found, *(f"refused, yet stored: {call}" for call in refused)]
