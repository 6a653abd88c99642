"""What a host's kernel does by itself: the gate's elements, the address, clocks; and how clients find the VIP."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from orchestrator.core.errors import GateRefused, StepFailed
from tests.sim.network import Network
from tests.sim.strands import CHANGES, Time

NEVER = float("-inf")
ADDRESS_LATE_S = 0.3


class Clock:
    """Clock (see the port) of one host: its rate is wrong, and its two readings differ a little."""

    def __init__(self, time: Time, rng: Random) -> None:
        self._time = time
        self._start = rng.uniform(1_000, 100_000)
        rate = 1 + rng.uniform(-200e-6, 200e-6)
        between = rng.uniform(0, 50e-6)
        self._fast, self._slow = rate + between, rate - between
        self.stepped_s = 0.0  # of the wall clock

    def holder_now(self) -> float:
        return self._start + self._time.now * self._fast

    def waiter_now(self) -> float:
        return self._start + self._time.now * self._slow

    def wall_s(self) -> float:
        return 1.7e9 + self._time.now + self.stepped_s


class Kernel:
    """Gate and address of one host; both end with the host's power."""

    def __init__(self, time: Time, network: Network, rng: Random, node: str) -> None:
        self.time, self.network, self.rng, self.node = time, network, rng, node
        self.slew = 1 + rng.uniform(-0.1, 0.1)  # of kernel timers
        self.arp_lost = 0.0  # how often a question or an announcement is
        self.powered = True
        self.rules = self.sets = True
        self.lease_until = self.permit_until = NEVER
        self.life_s = 0.0  # of the lease, as it was put
        self._address_until = NEVER
        self.claim: tuple[float, str] = (NEVER, "")  # the last announcement heard: when, whose
        self.opened: Callable[[Kernel], None] = lambda kernel: None
        self.announced: Callable[[Kernel], None] = lambda kernel: None
        self.noted: Callable[[str], None] = lambda text: None
        self.refused = 0

    def power_off(self) -> None:
        self.powered = False
        self.lease_until = self.permit_until = self._address_until = NEVER

    @property
    def is_open(self) -> bool:
        """Whether traffic of the VIP passes: without rules it always does."""
        return self.was_open(self.time.now)

    def was_open(self, since: float) -> bool:
        """Whether nothing has ended at `since` that is still shut."""
        return self.powered and (since < self.lease_until or not self.rules)

    @property
    def has_address(self) -> bool:
        return self.powered and self.time.now < self._address_until

    @property
    def answers(self) -> bool:
        return self.is_open and self.has_address

    def load(self) -> None:
        self.rules = self.sets = True
        self.lease_until = self.permit_until = NEVER

    def flush(self, *, sets: bool) -> None:
        """By somebody else: of the table, which leaves its sets, or of everything."""
        self.rules = False
        if sets:
            self.sets = False
            self.lease_until = self.permit_until = NEVER

    def shut_now(self) -> None:
        if self.time.now < self.lease_until:
            self.noted(f"gate of {self.node} shuts")

    def add_address(self, lifetime_s: float) -> None:
        self._address_until = self.time.now + lifetime_s + ADDRESS_LATE_S * self.rng.random()

    def drop_address(self) -> None:
        self._address_until = NEVER


class SimGate:
    """Gate (see the port) of one kernel; each call is a place where its thread may lose the processor."""

    def __init__(self, kernel: Kernel, before: Callable[[str], None] = lambda action: None) -> None:
        """`before` ARM, RENEW and OPEN somebody may take the processor away."""
        self._kernel, self._time, self._before = kernel, kernel.time, before

    def _act(self, weight: int = 1) -> None:
        if self._time.strand is not None:
            self._time.strand.boundary(weight)

    def load(self) -> None:
        self._act()
        self._kernel.load()

    def intact(self) -> bool:
        return self._kernel.rules

    def is_open(self) -> bool:
        return self._time.now < self._kernel.lease_until

    def arm(self, ttl_s: float) -> None:
        self._before("arm")
        self._act(CHANGES)
        self._need_sets()
        self._kernel.permit_until = self._time.now + ttl_s * self._kernel.slew

    def open(self, ttl_s: float) -> None:
        self._before("open")
        self._act()
        kernel = self._kernel
        if self._time.now >= kernel.permit_until:
            kernel.refused += 1
            raise GateRefused("the permit has expired")
        kernel.permit_until = NEVER
        # A living element stays as it is when it is added again with the same life; only another life begins anew.
        if self._time.now >= kernel.lease_until or ttl_s != kernel.life_s:
            kernel.lease_until, kernel.life_s = self._time.now + ttl_s * kernel.slew, ttl_s
        kernel.opened(kernel)

    def renew(self, ttl_s: float) -> None:
        self._before("renew")
        self._act()
        kernel, was_open = self._kernel, self._kernel.is_open
        if self._time.now >= kernel.lease_until:
            kernel.refused += 1
            raise GateRefused("the lease element has expired")
        kernel.lease_until, kernel.life_s = self._time.now + ttl_s * kernel.slew, ttl_s
        if not was_open:
            kernel.opened(kernel)  # only a mutant comes here

    def shut(self) -> None:
        self._act(CHANGES)
        self._need_sets()
        self._kernel.shut_now()
        self._kernel.lease_until = self._kernel.permit_until = NEVER

    def _need_sets(self) -> None:
        if not self._kernel.sets:
            raise StepFailed("the tables are gone")


class SimVip:
    """VirtualIp (see the port). Sockets are not modelled one by one: who waits for an answer loses it."""

    def __init__(self, kernel: Kernel, other: Callable[[], Kernel]) -> None:
        self._kernel, self._other, self._time = kernel, other, kernel.time
        self._foreign: str | None = None
        self._heard_until = self._time.now

    def _act(self) -> None:
        if self._time.strand is not None:
            self._time.strand.boundary()

    def present(self) -> bool:
        return self._kernel.has_address

    def probe(self) -> None:
        self._act()
        self._foreign, self._heard_until = self._answer(), self._time.now

    def _answer(self) -> str | None:
        other, network = self._other(), self._kernel.network
        heard = other.powered and network.both(self._kernel.node, other.node)
        heard = heard and self._kernel.rng.random() >= self._kernel.arp_lost
        return other.node if heard and other.answers else None

    def foreign_mac(self) -> str | None:
        found, self._foreign = self._foreign, None
        announced, who = self._kernel.claim
        if found is None and announced > self._heard_until:
            found, self._heard_until = who, announced
        return found

    def claimed_by(self, wait_s: float) -> str | None:
        assert self._time.strand is not None
        self.probe()
        if self._foreign is None:
            self._time.strand.sleep(wait_s)
        return self.foreign_mac()

    def add(self, lifetime_s: int) -> None:
        self._act()
        self._kernel.add_address(lifetime_s)

    def drop(self) -> None:
        self._act()
        self._kernel.drop_address()

    def reset_clients(self) -> None:
        self._act()

    def announce(self) -> None:
        """Past the rules, and whether the address is there or not."""
        self._act()
        kernel, other = self._kernel, self._other()
        kernel.announced(kernel)
        if kernel.network.up(kernel.node, other.node) and kernel.rng.random() >= kernel.arp_lost:
            other.claim = (self._time.now, kernel.node)
