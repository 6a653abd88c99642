"""`python -m lab.simagents PROFILE PAIRS HOST:PORT...`: the agents of many pairs in one process, without a server.

Makes the records of pairs that are not there yet and says `made`; `healthy` once every standby is certified. Then each
line `strike` on stdin ends the mysqld of a primary, of another pair each time, and is answered by a JSON line; `end`
by what each pair has come to.
"""

from __future__ import annotations

import heapq
import json
import queue
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial

from lab.provision import FAILOVERS_PER_HOUR, provisioned
from lab.simnode import SimulatedNode
from lab.simpair import DECIDED, Reaction, SimulatedPair
from orchestrator.connected import connected
from orchestrator.coordination.client import ZooKeeper
from orchestrator.coordination.mirror import WatchedMirror
from orchestrator.coordination.paths import Paths
from orchestrator.core.errors import KembarError, StepFailed
from orchestrator.core.model import PROFILES, Instant, NodeName, Policy
from orchestrator.process import threads
from orchestrator.process.clock import HostClock

PAIRS_A_SESSION = 25
CONNECT_S = 20.0
REACT_S = 30.0
TELL_EVERY = 50  # pairs


def cluster_name(number: int) -> str:
    """Of the pair of that number, from 0."""
    return f"pair-{number + 1}"


def node_names(number: int) -> tuple[NodeName, NodeName]:
    """Of its two hosts."""
    return NodeName(f"p{number + 1}-a"), NodeName(f"p{number + 1}-b")


def main(arguments: Sequence[str]) -> int:
    """0 once asked to end."""
    profile, count, *hosts = arguments
    policy = replace(PROFILES[profile], failovers_per_hour_max=FAILOVERS_PER_HOUR)
    with ExitStack() as opened:
        try:
            _make(hosts, int(count), policy)
            agents = Agents(hosts, int(count), opened)
            said("made")
            agents.serve()
        except KembarError as error:
            sys.stderr.write(f"simulated agents: {error}\n")
            return 1
    return 0


def said(line: str) -> None:
    """One line of the result."""
    print(line, flush=True)  # noqa: T201 - this is the program's result


def _make(hosts: Sequence[str], count: int, policy: Policy) -> None:
    with connected(hosts, CONNECT_S) as client:
        for number in range(count):
            provisioned(client, Paths(cluster_name(number)), node_names(number), policy)
            if (number + 1) % TELL_EVERY == 0:
                sys.stderr.write(f"records of {number + 1} pairs are made\n")


@dataclass(frozen=True, slots=True)
class _Place:
    pair: SimulatedPair
    node: NodeName


class Agents:
    """All nodes, each at its own pace, in one thread; sessions are shared by PAIRS_A_SESSION pairs."""

    def __init__(self, hosts: Sequence[str], count: int, opened: ExitStack) -> None:
        self._clock = HostClock()
        self._news: queue.SimpleQueue[int | str] = queue.SimpleQueue()
        self._places: list[_Place] = []
        self.pairs: list[SimulatedPair] = []
        clients = [ZooKeeper(hosts, self._clock, threads.start) for _ in range(0, count, PAIRS_A_SESSION)]
        for number in range(count):
            self.pairs.append(self._pair(number, clients[number // PAIRS_A_SESSION]))
        for client in clients:
            client.start()
            opened.callback(client.close)
        for client in clients:
            if not client.wait_connected(CONNECT_S):
                raise StepFailed(f"no server answers within {CONNECT_S:g} s")
        self._due: list[tuple[Instant, int]] = [(self._clock.holder_now(), n) for n in range(len(self._places))]
        self._planned = {n: at for at, n in self._due}
        self._unhealthy = set(range(count))
        self._next = 0  # the pair that is struck next
        self._waited: tuple[int, Instant] | None = None  # pair that was struck, and until when it may take

    def serve(self) -> None:
        """Until stdin says `end`, or ends. Raises StepFailed if a pair does not react."""
        threads.start("stdin", self._listen)
        for what in self._happening():
            if what == "end":
                said(json.dumps(self._summary()))
                return
            if what == "strike":
                self._strike()
            elif isinstance(what, int):
                self._step(what)

    def _pair(self, number: int, client: ZooKeeper) -> SimulatedPair:
        paths, names = Paths(cluster_name(number)), node_names(number)
        mirrors, nodes = {}, {}
        for place, name in enumerate(names):
            peer = names[1 - place]
            watched = [paths.desired, paths.policy, paths.sync(name), paths.sync(peer), paths.returning]
            mirror = WatchedMirror(
                client, self._clock, [*watched, paths.decisions, paths.report(peer)], folders=[paths.requests],
                wake=partial(self._news.put, len(self._places) + place),
            )  # fmt: skip
            mirrors[name] = mirror.snapshot
            uuid = f"{number:08x}-0000-4000-8000-{place:012x}"
            nodes[name] = SimulatedNode(name, peer, paths, client, self._clock, uuid)
        pair = SimulatedPair(paths, nodes, mirrors, client, self._clock)
        self._places += [_Place(pair, name) for name in names]
        return pair

    def _listen(self) -> None:
        for line in sys.stdin:
            self._news.put(line.strip())
        self._news.put("end")

    def _happening(self) -> Iterator[int | str]:
        """Numbers of nodes that have news or are due, and what stdin says."""
        while True:
            at, number = self._due[0]
            if (wait_s := at - self._clock.holder_now()) <= 0:
                heapq.heappop(self._due)
                if self._planned[number] == at:  # else it was done before, for news
                    yield number
            try:
                yield self._news.get(timeout=max(wait_s, 0.0))
            except queue.Empty:
                continue

    def _step(self, number: int) -> None:
        place = self._places[number]
        at = self._planned[number] = place.pair.step(place.node)
        heapq.heappush(self._due, (at, number))
        reaction = place.pair.reaction()
        if reaction is not None:
            self._waited = None
            said(json.dumps(asdict(reaction) | {"reaction_ms": reaction.reaction_ms, "right": _right(reaction)}))
        if number // 2 in self._unhealthy and place.pair.healthy():
            self._unhealthy.discard(number // 2)
            if not self._unhealthy:
                said("healthy")
        if self._waited is not None and self._clock.holder_now() > self._waited[1]:
            raise StepFailed(f"{self.pairs[self._waited[0]].name}: no decision within {REACT_S:g} s of a death")

    def _strike(self) -> None:
        """The next pair that is healthy; asked again later if none is."""
        for _ in self.pairs:
            number, self._next = self._next, (self._next + 1) % len(self.pairs)
            if self.pairs[number].healthy():
                self._waited = number, self._clock.holder_now() + REACT_S
                self.pairs[number].strike()
                return
        threading.Timer(0.05, self._news.put, ["strike"]).start()

    def _summary(self) -> dict[str, object]:
        return {
            "leaders": Counter(pair.leader() for pair in self.pairs),
            "unasked": sum(pair.unasked for pair in self.pairs),
        }


def _right(reaction: Reaction) -> bool:
    return reaction.moved and reaction.rule == DECIDED


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
