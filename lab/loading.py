"""One stretch under a mixed load: clients and watchers started and stopped, and what they wrote down judged."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from lab import processes
from lab.checkers import answerer, appends, bank, register, servers, sessions, sightings, unique, watched
from lab.checkers.calls import Call, CallReader, Outcome
from lab.clients import ACCOUNTS, BALANCE
from lab.history import double_answers
from lab.stand import Stand, excerpt, wait_for
from lab.tail import Tail
from lab.topology import Node
from lab.zookeeper import CLIENT_PORT
from orchestrator.core.errors import StepFailed

FLOWING = 100  # acknowledged changes that show that the clients are under way
FLOWING_S = 90.0  # with a new interpreter for each of the processes
ENDED_S = 60.0
SERVED_FOR = 30  # and that somebody serves again


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one stretch proved; `violations` begin with the name of the checker that found them."""

    calls: Sequence[Call]
    acknowledged: int  # changes
    unknown: int
    refused: int
    by_kind: Mapping[str, int]  # answered calls
    lost: int
    duplicates: int
    two_answerers: int
    violations: tuple[str, ...]

    def outage_ms(self, struck: float, until: float = float("inf")) -> float:
        """The longest time without an acknowledged change that ended after `struck` and began before `until`.

        Raises ValueError if none was acknowledged before or none after: then nothing was measured.
        """
        ends = sorted(call.ended for call in self.calls if call.ok and call.writes)
        gaps = [after - before for before, after in pairwise(ends) if after > struck and before < until]
        if not gaps or ends[0] > struck:
            raise ValueError("no acknowledged change before and after the fault")
        return 1000 * max(gaps)


class Workload:
    """Clients on their node, a watcher on each database host, one of the record on the witness.

    Run numbers keep the values of different runs apart.
    """

    def __init__(self, stand: Stand, run: int) -> None:
        self._stand, self._run = stand, run
        # The names end with the run: a lost host takes every process with it whose name ends with the host's.
        self._names = {"load": f"load-{run}", "record": f"watch-record-{run}"}
        self._names |= {node.name: f"watch-{node.name}-{run}" for node in stand.topology.pair}
        self._folder = stand.files.root / "client"
        self._folder.mkdir(exist_ok=True)
        self._history = self._folder / f"load-{run}.calls"
        self._reader, self._tail = CallReader(), Tail(self._history)

    @property
    def name(self) -> str:
        """Of the process of the clients."""
        return self._names["load"]

    def start(self, within_s: float = FLOWING_S) -> None:
        """Start watchers, then clients, and wait until changes are acknowledged. Raises StepFailed."""
        for file in self._folder.glob(f"load-{self._run}.*"):
            file.unlink()
        for node in self._stand.topology.pair:
            self._stand.spawn(self._names[node.name], node, self._host_watch(node))
        witness = self._stand.topology.node("witness")
        self._stand.spawn(self._names["record"], witness, self._record_watch())
        self._await_record(within_s)
        self._stand.spawn(self._names["load"], self._stand.topology.node("client"), self._clients())
        failure = f"the clients do not get through: see {self._stand.files.log(self._names['load'])}"
        wait_for(lambda: self._acknowledged_since(0.0) >= FLOWING, within_s, failure)

    def calls(self) -> Sequence[Call]:
        """What has come back so far; only what is new is read, as this is asked for many times a second."""
        self._reader.feed(self._tail.lines())
        return self._reader.done

    def goes_on(self, within_s: float = 30.0) -> None:
        """Some changes sent after this call are acknowledged. Raises StepFailed."""
        now = time.monotonic()
        wait_for(
            lambda: self._acknowledged_since(now) >= SERVED_FOR,
            within_s,
            lambda: f"no change gets through: {excerpt(self._stand.snapshot())}",
        )

    def stop(self) -> None:
        """End the clients; calls that still wait are given their time. The watchers go on until the verdict."""
        self._end(self._names["load"])

    def verdict(self) -> Judgement:
        """Everything looked up through the VIP, and judged. Raises StepFailed if nobody answers there."""
        last, values = self._look_up()
        until = time.monotonic()
        self._await_record(FLOWING_S)
        self._end(*(name for what, name in self._names.items() if what != "load"))
        self.calls()
        calls = [*self._reader.everything(), *last]
        rounds = self._history.with_suffix(".arp").read_text().splitlines()
        found = self._judge(calls, values, rounds, until)
        two = double_answers(rounds)
        if two:
            found["two answer by ARP"] = [f"{two} rounds: {line}" for line in rounds if len(line.split()) > 2][:1]
        return Judgement(
            calls=calls,
            acknowledged=sum(call.ok and call.writes for call in calls),
            unknown=sum(call.unknown for call in calls),
            refused=sum(call.outcome is Outcome.FAIL for call in calls),
            by_kind=Counter(str(call.kind) for call in calls if call.ok),
            lost=sum("lost: " in one[:6] for name in ("unique", "appends") for one in found[name]),
            duplicates=sum(one.startswith(("duplicate", "invented")) for one in found["unique"]),
            two_answerers=two + len(found["answerer"]) + sum(one.startswith("two") for one in found["servers"]),
            violations=tuple(f"{name}: {one}" for name, those in found.items() for one in those),
        )

    def _judge(
        self, calls: Sequence[Call], values: Sequence[int], rounds: Sequence[str], until: float
    ) -> dict[str, list[str]]:
        """Violations by the checker's name."""
        records = sightings.records(self._lines("record"))
        hosts = {node.name: sightings.hosts(self._lines(node.name)) for node in self._stand.topology.pair}
        return {
            "unique": unique.check(calls, values),
            "register": register.check(calls),
            "bank": bank.check(calls, ACCOUNTS, ACCOUNTS * BALANCE),
            "appends": appends.check(calls),
            "sessions": sessions.check(calls),
            "answerer": answerer.check(calls, records),
            "servers": servers.check(list(hosts.values()), records),
            "watched": watched.check(hosts, rounds, calls, until),
        }

    def _look_up(self) -> tuple[list[Call], list[int]]:
        """The last reads, and the values of this run as they are stored."""
        history = self._history.with_suffix(".last")
        argv = self._stand.exec_argv("client", [*self._clients(history), "--look-up", str(self._history)])
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode:
            raise StepFailed(f"the values cannot be looked up through the VIP: {done.stderr.strip()[-300:]}")
        reader = CallReader()
        reader.feed(history.read_text().splitlines())
        return reader.done, json.loads(done.stdout)

    def _end(self, *names: str) -> None:
        root = self._stand.files.root
        for name in names:
            processes.kill(root, name, signal.SIGTERM)
        wait_for(lambda: not any(processes.alive(root, name) for name in names), ENDED_S, f"{names} do not end")

    def _acknowledged_since(self, since: float) -> int:
        return sum(call.ok and call.writes and call.began > since for call in self.calls())

    def _await_record(self, within_s: float) -> None:
        """The record as it was after this call is seen."""
        now = time.monotonic()
        wait_for(
            lambda: any(record.began > now for record in sightings.records(self._lines("record")[-1:])),
            within_s,
            f"the record is not seen: see {self._stand.files.log(self._names['record'])}",
        )

    def _lines(self, name: str) -> list[str]:
        """What a watcher has written, without a line that is not complete."""
        try:
            return self._sightings(name).read_text().rpartition("\n")[0].splitlines()
        except FileNotFoundError:
            return []

    def _sightings(self, name: str) -> Path:
        return self._folder / f"load-{self._run}.{name}"

    def _clients(self, history: Path | None = None) -> list[str]:
        return [
            *_module("lab.workload"),
            str(self._stand.topology.vip),
            str(history or self._history),
            str(self._stand.files.root / "secrets/app"),
            "--run",
            str(self._run),
        ]

    def _host_watch(self, node: Node) -> list[str]:
        return [
            *_module("lab.hostwatch"),
            node.name,
            str(self._stand.topology.vip),
            str(self._sightings(node.name)),
            str(self._stand.files.instance(node).socket),
            str(self._stand.files.root / "secrets/agent"),
        ]

    def _record_watch(self) -> list[str]:
        servers = [f"{node.address}:{CLIENT_PORT}" for node in self._stand.topology.members("zookeeper")]
        return [*_module("lab.recordwatch"), self._stand.topology.cluster, str(self._sightings("record")), *servers]


def _module(name: str) -> list[str]:
    return [sys.executable, "-m", name]
