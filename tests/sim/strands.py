"""Virtual time: one queue of events, and strands that run the product's own blocking loops inside it.

A strand is a thread of a simulated process. It runs until it waits; the wait is an event in virtual time. Switching is
done by greenlets if that package is there (1 us), else by real threads of which one runs at a time (29 us): what
happens is the same, so a seed plays the same way with both.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

try:
    from greenlet import getcurrent, greenlet
except ImportError:
    greenlet = None

Call = Callable[[], None]
CHANGES = 30  # weight of a boundary before something changes
WAKE_S = 0.0002  # from a wake-up until the thread runs


class Killed(BaseException):
    """Thrown into a strand whose process has ended. Not an Exception, so that the product cannot catch it."""


class Time:
    """The events to come. `now` is true time, which no simulated host can read."""

    def __init__(self) -> None:
        self.now = 0.0
        self.strand: Strand | None = None  # that runs now
        self.broken: BaseException | None = None
        self._instants: list[float] = []  # a heap: bare numbers are compared fastest
        self._calls: dict[float, list[Call]] = {}  # of each instant, in the order in which they were asked for
        self.hub = getcurrent() if greenlet else None

    def at(self, when: float, call: Call) -> None:
        self._add(when if when > self.now else self.now, call)

    def after(self, seconds: float, call: Call) -> None:
        self._add(self.now + seconds, call)

    def _add(self, when: float, call: Call) -> None:
        calls = self._calls.get(when)
        if calls is None:
            self._calls[when] = [call]
            heappush(self._instants, when)
        else:
            calls.append(call)

    def run(self, until: float) -> None:
        """Let events happen; raises what a strand has died of."""
        instants, of = self._instants, self._calls.pop
        while instants and instants[0] <= until:
            self.now = heappop(instants)
            for call in of(self.now):
                call()
                if self.broken is not None:
                    raise self.broken
        self.now = until


class Process:
    """Some strands that live, stop (SIGSTOP) and die together."""

    def __init__(self, time: Time, name: str) -> None:
        self.time, self.name = time, name
        self.alive, self.frozen = True, False
        self.frozen_at = self.thawed_at = float("-inf")
        self._strands: list[Strand] = []
        self._deferred: list[Call] = []
        self.when_thawed: list[Callable[[float], None]] = []

    def spawn(self, name: str, target: Call) -> Strand:
        strand = Strand(self, name, target)
        self._strands.append(strand)
        self.time.after(WAKE_S, strand.begin)
        return strand

    def do(self, call: Call) -> None:
        """Run something in this process: at once, after the thaw, or never."""
        if not self.alive:
            return
        if self.frozen:
            self._deferred.append(call)
        else:
            call()

    def freeze(self) -> None:
        if self.alive and not self.frozen:
            self.frozen, self.frozen_at = True, self.time.now

    def thaw(self) -> None:
        if not self.frozen:
            return
        self.frozen, self.thawed_at = False, self.time.now
        for told in self.when_thawed:
            told(self.time.now - self.frozen_at)
        deferred, self._deferred = self._deferred, []
        for call in deferred:
            self.do(call)

    def kill(self) -> None:
        """From an event, never from one of its own strands."""
        self.alive = self.frozen = False
        self._deferred.clear()
        strands, self._strands = self._strands, []
        for strand in strands:
            strand.kill()


class Strand:
    """One thread of a process."""

    def __init__(self, process: Process, name: str, target: Call) -> None:
        self.process, self.name, self._target = process, name, target
        self._time = process.time
        self._carrier = (_Green if greenlet else _Thread)(self._run, self._time)
        self._token = 0  # of the wait it is in
        self._woken = self._ended = self._begun = False
        self.pauses: Callable[[Strand], float] | None = None
        self.until_pause = 1 << 60  # boundaries left

    def begin(self) -> None:
        def begin() -> None:
            if not self._ended:
                self._begun = True
                self._switch(None)

        self.process.do(begin)

    def boundary(self, weight: int = 1) -> None:
        """Before every action on the outside world: here a thread may lose the processor, or its process its life.

        `weight`: how much likelier here than before one of the many actions that only look.
        """
        self.until_pause -= weight
        if self.until_pause <= 0 and self.pauses is not None:
            seconds = self.pauses(self)
            if seconds:
                self.sleep(seconds)

    def sleep(self, seconds: float) -> None:
        token = self._wait_begins()
        self._time.after(seconds, lambda: self._resume(token, False))
        self._carrier.pause()

    def wait(self, seconds: float | None) -> bool:
        """Until `wake` (True), or that time has passed (False)."""
        token = self._wait_begins()
        if seconds is not None:
            self._time.after(seconds, lambda: self._resume(token, False))
        self._carrier.pause()
        return self._woken

    def wake(self) -> None:
        token = self._token
        self._time.after(WAKE_S, lambda: self._resume(token, True))

    def kill(self) -> None:
        if not self._ended:
            self._ended = True
            if self._begun:
                self._switch(Killed())

    def _wait_begins(self) -> int:
        if self._ended:
            raise Killed
        assert self._time.strand is self, "only a strand itself can wait"
        self._token += 1
        return self._token

    def _resume(self, token: int, woken: bool) -> None:
        if token != self._token or self._ended:
            return
        if self.process.frozen:
            self.process.do(lambda: self._resume(token, woken))
            return
        self._token += 1  # no second wake-up of the same wait
        self._woken = woken
        self._switch(None)

    def _switch(self, error: BaseException | None) -> None:
        self._time.strand = self
        self._carrier.resume(error)
        self._time.strand = None

    def _run(self) -> None:
        try:
            self._target()
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001 - the hub raises it
            self._time.broken = error
        self._ended = True


class _Green:
    def __init__(self, run: Call, time: Time) -> None:
        self._hub = time.hub
        self._green = greenlet(run, parent=self._hub)

    def resume(self, error: BaseException | None) -> None:
        if error is None:
            self._green.switch()
        else:
            self._green.throw(error)

    def pause(self) -> None:
        self._hub.switch()


class _Thread:
    """The same with real threads, one of which holds the baton."""

    def __init__(self, run: Call, time: Time) -> None:
        self._mine, self._hubs = threading.Lock(), threading.Lock()
        self._mine.acquire()
        self._hubs.acquire()
        self._error: BaseException | None = None
        self._body = run
        self._begun = False

    def resume(self, error: BaseException | None) -> None:
        self._error = error
        if self._begun:
            self._mine.release()
        else:
            self._begun = True
            threading.Thread(target=self._all, daemon=True).start()
        self._hubs.acquire()

    def pause(self) -> None:
        self._hubs.release()
        self._mine.acquire()
        if self._error is not None:
            raise self._error

    def _all(self) -> None:
        self._body()
        self._hubs.release()


_TIME: list[Time] = []  # of the simulation under way


def running_in(time: Time) -> None:
    """Events and futures that are made from now on wait in `time`."""
    _TIME[:] = [time]


def this_strand() -> Strand:
    strand = _TIME[0].strand
    assert strand is not None, "a blocking call outside of any strand"
    return strand


class Event:
    """threading.Event, in virtual time."""

    def __init__(self) -> None:
        self._set = False
        self._waiting: list[Strand] = []

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True
        for strand in self._waiting:
            strand.wake()

    def clear(self) -> None:
        self._set = False

    def wait(self, timeout: float | None = None) -> bool:
        strand = this_strand()
        if self._set:
            strand.sleep(WAKE_S)  # so that time passes in every turn of a loop
            return True
        self._waiting.append(strand)
        try:
            strand.wait(timeout)
        finally:
            self._waiting.remove(strand)
        return self._set


class Future:
    """concurrent.futures.Future as the keeper uses it, in virtual time."""

    def __init__(self) -> None:
        self._state = "pending"
        self._done = Event()
        self._error: BaseException | None = None
        self._value: Any = None

    @classmethod
    def __class_getitem__(cls, item: object) -> type[Future]:
        return cls

    def set_running_or_notify_cancel(self) -> bool:
        if self._state == "cancelled":
            return False
        self._state = "running"
        return True

    def cancel(self) -> bool:
        if self._state == "pending":
            self._state = "cancelled"
        return self._state == "cancelled"

    def set_result(self, value: Any) -> None:
        self._value = value
        self._done.set()

    def set_exception(self, error: BaseException) -> None:
        self._error = error
        self._done.set()

    def result(self, timeout: float | None = None) -> Any:
        if not self._done.is_set() and not self._done.wait(timeout):
            raise TimeoutError
        if self._error is not None:
            raise self._error
        return self._value


class Queue:
    """queue.SimpleQueue, in virtual time."""

    def __init__(self) -> None:
        self._items: list[Any] = []
        self._there = Event()

    def put(self, item: Any) -> None:
        self._items.append(item)
        self._there.set()

    def get(self) -> Any:
        while not self._items:
            self._there.clear()
            self._there.wait()
        return self._items.pop(0)
