"""Arithmetic of the lease: how long its holder may act, how long a waiter must wait. Numbers in, numbers out.

The holder stamps t_s *before* it sends a renewal that is later acknowledged; the waiter stamps t_obs when it first sees
that version, which is later. Both ends count elapsed time on their own clock only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, inf

CLOCK_RATE_ERROR = 0.0005  # 500 ppm between the clocks of two hosts
KERNEL_TIMER_SLEW = 0.1  # of a kernel timeout
SLACK_S = 0.05


@dataclass(frozen=True, slots=True)
class Timing:
    """h, A and tau of one lease, in seconds. Values that cannot be wrong: the chain is checked where it is built."""

    renew_every_s: float = 0.1  # h
    authorised_s: float = 1.5  # A: one acknowledged renewal lets the gate be renewed so long, from its sending
    gate_ttl_s: float = 0.4  # tau: the kernel closes the gate this long after its last renewal

    def __post_init__(self) -> None:
        if not 0 < 3 * self.renew_every_s <= self.gate_ttl_s < self.authorised_s < inf:
            raise ValueError(
                "need 0 < 3 * renew_every_s <= gate_ttl_s < authorised_s, all finite, got "
                f"3 * {self.renew_every_s}, {self.gate_ttl_s}, {self.authorised_s}"
            )

    @property
    def fence_wait_s(self) -> float:
        """W: a silent primary's gate is closed by then, however its agent was paused.

        (1 + rho) * A + 2 * tau * (1 + rho_k) + epsilon, rounded up to 10 ms: 2.44 s with the default values.
        A pause between the check of A and the kernel's renewal is shorter than tau, or the kernel refuses; the element
        then lives tau once more.
        """
        exact = (1 + CLOCK_RATE_ERROR) * self.authorised_s + 2 * self.gate_ttl_s * (1 + KERNEL_TIMER_SLEW) + SLACK_S
        return ceil(exact * 100 - 1e-9) / 100

    def may_act(self, now: float, sent: float | None) -> bool:
        """Whether the holder may renew or open the gate: `sent` is its stamp of the last acknowledged renewal."""
        return sent is not None and now < sent + self.authorised_s

    def left(self, now: float, sent: float) -> float:
        """Seconds of authority that a renewal sent at `sent` still gives."""
        return sent + self.authorised_s - now

    def longest(self, other: Timing) -> Timing:
        """The timing whose fence wait covers both, for the lease node while a policy changes."""
        return Timing(
            renew_every_s=min(self.renew_every_s, other.renew_every_s),
            authorised_s=max(self.authorised_s, other.authorised_s),
            gate_ttl_s=max(self.gate_ttl_s, other.gate_ttl_s),
        )


@dataclass(frozen=True, slots=True)
class Margins:
    """What was left of the authority each time that a renewal was acknowledged, counted by tenths of A.

    Left is t_s + A - now, t_s being that of the acknowledged renewal *before*: how near the gate was to shutting. With
    nothing in the way it is about A less one period. A horizon that passed counts as nothing left.
    """

    renewals: int = 0
    smallest_ms: float | None = None
    tenths: tuple[int, ...] = (0,) * 10  # the first: less than A/10 was left, or nothing

    def noting(self, left_s: float, timing: Timing) -> Margins:
        """With one more."""
        place = min(max(int(10 * left_s / timing.authorised_s), 0), len(self.tenths) - 1)
        tenths = tuple(count + (number == place) for number, count in enumerate(self.tenths))
        left_ms = round(1000 * left_s, 1)
        smallest_ms = left_ms if self.smallest_ms is None else min(self.smallest_ms, left_ms)
        return replace(self, renewals=self.renewals + 1, smallest_ms=smallest_ms, tenths=tenths)
