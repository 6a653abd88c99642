"""What became of one attempt to send, and when the next one is due. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

DELAYS_S = (1.0, 2.0, 5.0, 15.0, 30.0, 60.0)  # then every minute
SPREAD = 0.2  # of a delay, both ways: several channels of one receiver do not return at once
RETRY_AFTER_MAX_S = 3600.0
GIVE_UP_S = 24 * 3600.0


class Ended(StrEnum):
    """How an attempt ended."""

    SENT = "sent"
    LATER = "later"  # the receiver may take it another time
    NEVER = "never"  # it will take this one at no time


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt; `why` in words for whoever repairs it, without a secret; `after_s` as the receiver asked for."""

    ended: Ended
    why: str = ""
    after_s: float = 0.0


SENT = Attempt(Ended.SENT)


def of_status(status: int, said: str, retry_after: str = "") -> Attempt:
    """By HTTP status: 408, 425, 429 and 5xx are tried again, every other refusal stands."""
    if 200 <= status < 300:
        return SENT
    why = f"HTTP {status}" + (f": {said}" if said else "")
    if 300 <= status < 400:
        return Attempt(Ended.NEVER, f"{why}; redirects are not followed: give the final URL")
    if status >= 500 or status in (408, 425, 429):
        return Attempt(Ended.LATER, why, _seconds(retry_after))
    return Attempt(Ended.NEVER, why)


def delay_s(failures: int, after_s: float, chance: float) -> float:
    """How long to wait after that many failures in a row; `chance` within 0 and 1."""
    usual = DELAYS_S[min(failures, len(DELAYS_S)) - 1]
    return max(usual * (1 - SPREAD + 2 * SPREAD * chance), min(after_s, RETRY_AFTER_MAX_S))


def _seconds(text: str) -> float:
    """Of Retry-After; a date is left to the usual delay."""
    return float(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0.0
