"""What `make demo` tells: a pair, a client that writes, a killed primary, what became of every value, a return."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from lab import faults, processes
from lab.bench import RETURN_S
from lab.demoreturn import LeftBehind
from lab.history import Attempt, acknowledged, outage_s
from lab.metering import Metering
from lab.stand import Stand, wait_for
from lab.teller import BOLD, CYAN, GREEN, RED, Teller
from lab.topology import Node
from orchestrator.core.errors import StepFailed

BEFORE_S, AFTER_S, RETURNED_S = 3.0, 3.0, 1.0
FRAME_S = 0.1
CLIENTS = 2
BAR_WIDTH = 32


class Demo:
    """One telling. `kembar` is the command as this person calls it."""

    def __init__(self, stand: Stand, teller: Teller, kembar: str) -> None:
        self._stand, self._teller, self._kembar = stand, teller, kembar

    def run(self, profile: str, port: int) -> bool:
        """Tell it and leave the lab running; whether everything went well. Raises KembarError."""
        tell = self._teller
        tell.more("Two MySQL servers, one address. A client writes, and one of the servers is killed.", BOLD)
        self._end_earlier()
        facts = self._stand.up(profile, tell.step, port=port)
        try:
            well = self._tell_failover(facts.url)
        finally:
            for run in range(CLIENTS):  # one that was left by a failure would write on for an hour
                processes.kill(self._stand.files.root, f"meter-{run}", signal.SIGTERM)
        self._goodbye(facts.url)
        return well

    def _tell_failover(self, url: str) -> bool:
        tell = self._teller
        primary, standby = self._roles()
        tell.step(f"{primary.name} takes the writes at {self._stand.topology.vip}.")
        tell.more(f"{standby.name} has each of them before the client hears that it is committed.")
        tell.more(f"Page: {url}", BOLD)
        writing = Metering(self._stand, 0)
        writing.start()
        tell.step(f"A client in a network of its own writes unique values through {self._stand.topology.vip}")
        self._watch(writing, BEFORE_S)
        self._kill(writing, primary, standby)
        proven = self._look_up(writing, standby)
        returned = self._return(primary)
        return proven and returned and LeftBehind(self._stand, tell, self._kembar).tell()

    def _end_earlier(self) -> None:
        if self._stand.files.root.exists():
            ended = self._stand.down()
            self._teller.step(f"lab {self._stand.name} of an earlier run is ended, {ended} processes")

    def _roles(self) -> tuple[Node, Node]:
        shown = self._stand.snapshot() or {}
        return self._stand.topology.node(shown["primary"]), self._stand.topology.node(shown["standby"])

    def _watch(self, writing: Metering, for_s: float) -> None:
        """The live line for a while, then its last state as a line that stays."""
        until = time.monotonic() + for_s
        while time.monotonic() < until:
            self._teller.live(_rate(writing.attempts()))
            time.sleep(FRAME_S)
        self._teller.more(_rate(writing.attempts()))

    def _kill(self, writing: Metering, primary: Node, standby: Node) -> None:
        """Kill the primary's mysqld, watch the takeover, tell its times. Raises StepFailed if nobody takes over."""
        tell = self._teller
        mysqld = faults.mysqld_process(self._stand, primary)
        if mysqld is None:
            raise StepFailed(f"mysqld of {primary.name} does not run")
        before = acknowledged(writing.attempts())[-1].server
        tell.step(f"kill -9 {mysqld.pid}: mysqld of {primary.name} is gone, in the middle of its work", RED)
        struck = time.monotonic()
        processes.send(mysqld, signal.SIGKILL)

        def moved() -> bool:
            last = acknowledged(writing.attempts())[-1]
            if last.server == before:
                tell.live(f"no write for {1000 * (time.monotonic() - last.ended):.0f} ms")
            return last.server != before

        wait_for(moved, 30.0, "no other server took over")
        outage_ms = 1000 * outage_s(writing.attempts(), struck)
        tell.step(f"{standby.name} takes the writes, through the same address", GREEN)
        tell.more(f"The client went {outage_ms:.0f} ms without a committed write.", BOLD)
        self._timeline()
        self._watch(writing, AFTER_S)

    def _timeline(self) -> None:
        """The failover as the orchestrator recorded it: what each phase took."""

        def complete() -> bool:
            last = (self._stand.snapshot() or {}).get("last_incident")
            return bool(last and last["steps"])

        wait_for(complete, 10.0, "the failover has no timeline")
        incident = (self._stand.snapshot() or {})["last_incident"]
        tell, span_ms = self._teller, max(incident["total_ms"], 1.0)
        tell.more(f"Failover #{incident['id']}, epoch {incident['epoch']}, rule {incident['rule']}:")
        for step in incident["steps"]:
            filled = max(1, round(BAR_WIDTH * step["duration_ms"] / span_ms))
            bar = " " * min(BAR_WIDTH, round(BAR_WIDTH * step["offset_ms"] / span_ms)) + "#" * filled
            ms = f"{step['duration_ms']:7.1f} ms"
            tell.more(f"  {step['phase']:<8}{ms}  {tell.painted(bar, CYAN)}")

    def _look_up(self, writing: Metering, standby: Node) -> bool:
        """Every acknowledged value on the server that has the address now."""
        tell = self._teller
        writing.stop()
        verdict = writing.verdict()
        unknown = sum(one.outcome == "unknown" for one in verdict.history)
        well = not (verdict.lost or verdict.duplicates or verdict.two_answerers)
        tell.step(
            f"{verdict.acknowledged:,} values were acknowledged; each was looked up on {standby.name}: "
            f"{verdict.lost or 'none is'} lost, {verdict.duplicates or 'none'} twice",
            GREEN if well else RED,
        )
        if unknown:
            tell.more(
                f"{unknown} more cut off by the kill in mid-commit: the client was never told that it is committed."
            )
        if verdict.two_answerers:
            tell.more(f"{verdict.two_answerers} times two servers answered for the address.", RED)
        return well

    def _return(self, old: Node) -> bool:
        """The old primary comes back, while the client goes on writing."""
        tell = self._teller
        tell.step(f"{old.name} has its mysqld running again, shut to clients; the client writes on meanwhile")
        writing = Metering(self._stand, 1)
        writing.start()
        healthy = self._wait_certified(writing, old)
        if healthy:
            self._watch(writing, RETURNED_S)
        writing.stop()
        verdict = writing.verdict()
        well = not (verdict.lost or verdict.duplicates or verdict.two_answerers)
        tell.more(f"{verdict.acknowledged:,} more values acknowledged and looked up, {verdict.lost or 'none'} lost")
        return healthy and well

    def _wait_certified(self, writing: Metering, old: Node) -> bool:
        def certified() -> bool:
            self._teller.live(_rate(writing.attempts()))
            return self._stand.healthy() or bool(self._errant(old))

        try:
            wait_for(certified, RETURN_S, "")
        except StepFailed:
            why = (self._stand.snapshot() or {}).get("verdict", "no orchestrator answers")
            self._teller.step(f"{old.name} is not a standby again after {RETURN_S:g} s: {why}", RED)
            return False
        if errant := self._errant(old):
            self._tell_errant(old, errant)
            return False
        self._teller.step(f"{old.name} is back as standby, certified: it could take over now", GREEN)
        self._tell_tail(old)
        return True

    def _errant(self, node: Node) -> str:
        shown = self._stand.snapshot() or {"nodes": []}
        return next((str(row["errant_set"]) for row in shown["nodes"] if row["name"] == node.name), "")

    def _tell_errant(self, old: Node, errant: str) -> None:
        tell = self._teller
        tell.step(f"{old.name} holds transactions that the new primary never had: {errant}", RED)
        tell.more("They were in its log when it was killed and no client was told that they are committed.")
        tell.more(f"{old.name} stays fenced: nobody can read or write there, and nothing of it is thrown away.")

    def _tell_tail(self, old: Node) -> None:
        epoch = (self._stand.snapshot() or {}).get("epoch")
        kept = self._stand.files.node(old) / "state/reconcile" / str(epoch) / "binlog"
        if kept.is_dir():
            self._teller.more("The end of its log, which no client was ever told of, was cut off and is kept in")
            self._teller.more(_short(kept))

    def _goodbye(self, url: str) -> None:
        tell = self._teller
        tell.more()
        tell.more("The lab goes on running.", BOLD)
        for does, what in (
            ("the page", url),
            ("the pair now", f"{self._kembar} status"),
            ("what happened", f"{self._kembar} history"),
            ("a planned move", f"{self._kembar} switchover --reason 'trying it' --yes"),
            ("pull a cable", f"{self._kembar} lab fault link-loss, then {self._kembar} lab heal"),
            ("what runs where", f"{self._kembar} lab status"),
            ("the end", f"{self._kembar} lab down"),
        ):
            tell.more(f"  {does:<16} {tell.painted(what, CYAN)}")


def _rate(history: list[Attempt]) -> str:
    """Writes in the last second, and in all."""
    done = acknowledged(history)
    since = time.monotonic() - 1.0
    recent = 0
    for one in reversed(done):
        if one.ended < since:
            break
        recent += 1
    return f"{recent:5,} writes/s   {len(done):,} acknowledged"


def _short(path: Path) -> str:
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)
