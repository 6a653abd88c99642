"""What the two hosts were seen to be: never two that serve, no receiver beside writes, no relaxed SYNC. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import pairwise

from lab.checkers.sightings import Host, Record

CLOSE_S = 0.5  # two sightings of one host that say the same, so near to each other, hold for the time between


def check(hosts: Sequence[Sequence[Host]], records: Sequence[Record]) -> list[str]:
    """`hosts`: the sightings of each host, oldest first; `records`: those of the record, oldest first."""
    first, second = hosts
    found = [f"two serve: {_told(one)}, and in between {_told(other)}" for one, other in _both(first, second)]
    for seen in (*first, *second):
        if seen.writable and seen.receiver not in (None, "OFF"):
            found.append(f"writable, and receives ({seen.receiver}): {_told(seen)}")
        if seen.serving and seen.relaxed and (record := _throughout(seen, records)):
            found.append(
                f"relaxed, though epoch {record.epoch} seq {record.seq} says SYNC: {_told(seen)}"
                f" source side {'on' if seen.source_on else 'off'}, waits {seen.waits_ms} ms"
            )
    return found


def _both(first: Sequence[Host], second: Sequence[Host]) -> Iterator[tuple[Host, Host]]:
    """A host that serves before and after another one was seen to serve: a move and back takes longer."""
    for steady, other in ((first, second), (second, first)):
        serving = [seen for seen in other if seen.serving]
        begins = [seen.began for seen in serving]
        for before, after in pairwise(steady):
            if not (before.serving and after.serving and after.began - before.ended < CLOSE_S):
                continue
            for seen in serving[bisect_left(begins, before.ended) :]:
                if seen.ended > after.began:
                    break
                yield before, seen


def _throughout(seen: Host, records: Sequence[Record]) -> Record | None:
    """The record that names this host primary in SYNC, if it is the same before and after: it cannot come back."""
    place = bisect_left(records, seen.began, key=lambda record: record.ended)
    before = records[place - 1] if place else None
    after = next((record for record in records[place:] if record.began > seen.ended), None)
    if before is None or after is None or (before.epoch, before.seq) != (after.epoch, after.seq):
        return None
    return before if before.primary == seen.node and before.mode == "SYNC" else None


def _told(seen: Host) -> str:
    return f"{seen.node} [{seen.began:.4f}, {seen.ended:.4f}] at {(seen.server or '-')[:8]}"
