"""Whoever watched did so to the end: a checker of sightings finds nothing where nobody looked. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from lab.checkers.calls import FINAL, Call
from lab.checkers.sightings import Host

LATE_S = 5.0  # a watcher asks ten times a second, and waits a second at most for an answer


def check(hosts: Mapping[str, Sequence[Host]], rounds: Sequence[str], calls: Sequence[Call], until: float) -> list[str]:
    """`hosts`: sightings of each, oldest first; `rounds`: lines of the auditor, which ends with the clients; `until`:
    when everything had been looked up, CLOCK_MONOTONIC."""
    return [*_hosts(hosts, until), *_rounds(rounds, calls)]


def _hosts(hosts: Mapping[str, Sequence[Host]], until: float) -> Iterator[str]:
    for name, seen in hosts.items():
        if not seen or seen[-1].ended < until - LATE_S:
            yield f"{name} was watched until {seen[-1].ended if seen else 'never'}, and not to the end, {until}"


def _rounds(rounds: Sequence[str], calls: Sequence[Call]) -> Iterator[str]:
    served = max((call.ended for call in calls if call.ok and call.client != FINAL), default=float("-inf"))
    asked = float(rounds[-1].split()[0]) if rounds else float("-inf")
    if asked < served - LATE_S:
        yield f"the last answer by ARP came at {asked}, though clients were served until {served}"
