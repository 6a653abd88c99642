"""How time passes in a case: as it does, in the simulator's virtual time, or as a fake's clock is moved."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from orchestrator.core.errors import KembarError
from tests.contract.mysqlpair import Background as Thread
from tests.fakes import FakeClock
from tests.sim.strands import Event, Process, Time, running_in

POLL_S = 0.002
LONGEST_S = 600.0  # of virtual time, for one case


class Call(Protocol):
    """A call that somebody else waits for."""

    error: KembarError | None

    @property
    def waiting(self) -> bool: ...

    def ends_within(self, seconds: float) -> bool: ...


class Pace(Protocol):
    late_s: float  # how late an answer may be because the machine is busy
    patience_s: float  # how much longer what has to come is waited for

    def now_s(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...

    def begin(self, call: Callable[[], object]) -> Call:
        """Let somebody else make this call."""


class RealPace:
    late_s, patience_s = 2.0, 20.0

    def now_s(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def begin(self, call: Callable[[], object]) -> Call:
        return Thread(call)


class VirtualPace:
    """Virtual time of its own. The case and whoever calls in it are strands of one process; see `conftest.py`."""

    late_s, patience_s = 0.0, 0.0

    def __init__(self) -> None:
        self.time = Time()
        running_in(self.time)
        self.process = Process(self.time, "case")

    def now_s(self) -> float:
        return self.time.now

    def sleep(self, seconds: float) -> None:
        assert self.time.strand is not None
        self.time.strand.sleep(seconds)

    def begin(self, call: Callable[[], object]) -> Call:
        return StrandCall(self.process, call)

    def play(self, case: Callable[[], object]) -> None:
        """Run the case to its end; raises what it has raised."""
        running_in(self.time)
        ended: list[bool] = []

        def run() -> None:
            case()
            ended.append(True)

        self.process.spawn("case", run)
        try:
            while not ended:
                assert self.time.now < LONGEST_S, "the case does not end"
                self.time.run(self.time.now + 1.0)
        finally:
            self.process.kill()


class StrandCall:
    def __init__(self, process: Process, call: Callable[[], object]) -> None:
        self.error: KembarError | None = None
        self._call, self._ended = call, Event()
        process.spawn("call", self._run)

    @property
    def waiting(self) -> bool:
        return not self._ended.is_set()

    def ends_within(self, seconds: float) -> bool:
        return self._ended.wait(seconds)

    def _run(self) -> None:
        try:
            self._call()
        except KembarError as error:
            self.error = error
        finally:
            self._ended.set()


class FakePace:
    """Time passes only where the case waits."""

    late_s, patience_s = 0.0, 0.0

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock

    def now_s(self) -> float:
        return self._clock.now

    def sleep(self, seconds: float) -> None:
        self._clock.now += seconds

    def begin(self, call: Callable[[], object]) -> Call:
        raise NotImplementedError("a fake's calls do not wait")


def eventually(pace: Pace, is_so: Callable[[], bool], within_s: float = 10.0) -> float:
    """Seconds until it is so; fails if it is not in time, to which the pace's patience is added."""
    began = pace.now_s()
    while not is_so():
        assert pace.now_s() - began < within_s + pace.patience_s, f"not within {within_s} s"
        pace.sleep(POLL_S)
    return pace.now_s() - began


def lasted_s(pace: Pace, is_so: Callable[[], bool], within_s: float = 10.0) -> float:
    """Seconds until the last look began that found it so: whoever looks late finds it shorter, never longer."""
    began = last = pace.now_s()

    def ended() -> bool:
        nonlocal last
        looked = pace.now_s()
        so = is_so()
        last = looked if so else last
        return not so

    eventually(pace, ended, within_s)
    return last - began


def within(pace: Pace, seconds: float, call: Callable[[], object]) -> None:
    """The call ends in time, to which the lateness of the pace is added."""
    assert took_s(pace, call) < seconds + pace.late_s


def took_s(pace: Pace, call: Callable[[], object]) -> float:
    began = pace.now_s()
    call()
    return pace.now_s() - began
