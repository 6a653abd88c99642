"""What stands before the VIP on this host, as the keeper's thread moves it: gate, address, announcements.

Knows nothing of leases: the keeper says whether it may act. Used by that thread alone.
"""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.core.errors import GateRefused, StepFailed
from orchestrator.core.model import Instant
from orchestrator.core.ports import Clock, Gate, VirtualIp

ANNOUNCE_AFTER_S = (0.0, 0.02, 0.1, 0.5, 1.0)  # then every ANNOUNCE_EVERY_S: the next repairs one that was lost
ANNOUNCE_EVERY_S = 30.0
REFRESH_ADDRESS_S = 1.0  # its lifetime is in whole seconds and may end up to 1 s late


class Guard:
    """`is_open` is what we know of the gate; `trouble` the last thing that went wrong here."""

    def __init__(self, gate: Gate, vip: VirtualIp, clock: Clock, address_lifetime_s: int) -> None:
        self._gate, self._vip, self._clock = gate, vip, clock
        self._address_lifetime_s = address_lifetime_s
        self._opened_at: Instant | None = None
        self._announced = 0
        self._refreshed: Instant = float("-inf")
        self._has_address = True  # as of the last refresh; until then it is looked at
        self.is_open = gate.is_open()
        self.trouble = ""

    def open(self, ttl_s: float, may_act: Callable[[], bool]) -> None:
        """Gate probation: ARM, then check, then OPEN. Raises GateRefused, StepFailed (no authority, rules gone)."""
        if not self._gate.intact():
            self._set_up_again()
            raise StepFailed("the gate's rules were gone and stand again: the address comes first")
        self._gate.arm(ttl_s)
        if not may_act():
            raise StepFailed("the gate may not open: no acknowledged renewal within the horizon")
        self._gate.open(ttl_s)
        self.is_open, self._opened_at, self._announced, self.trouble = True, self._clock.holder_now(), 0, ""
        self._has_address = True

    def shut(self) -> None:
        """SHUT. Where the rules are gone: the address goes, then rules that are shut come. Raises StepFailed."""
        self.is_open, self._opened_at = False, None
        try:
            self._gate.shut()
        except StepFailed:
            self._vip.drop()
            self._gate.load()

    def shut_for_clients(self) -> None:
        """A client that waits for an answer sends nothing that could be refused: its socket is destroyed."""
        self.shut()
        self._vip.reset_clients()

    def reset_clients(self) -> None:
        self._vip.reset_clients()

    def renew(self, ttl_s: float) -> bool:
        """Prolong an open gate; False if it had to be shut: expired, or its rules were taken."""
        try:
            if self._gate.intact():
                self._gate.renew(ttl_s)
            else:
                self._set_up_again()
        except (GateRefused, StepFailed) as error:
            self.trouble = str(error)
            self.shut_for_clients()  # one of the two families may still be alive
        return self.is_open

    def look_at_foreign(self) -> None:
        """A gate left open by an agent that ended closes by itself, unless we take its lease first."""
        self.is_open = self._gate.is_open()

    def look_while_shut(self) -> None:
        """A flush takes the rules of a shut gate too, and then the kept address would answer."""
        if self._has_address and not self._gate.intact() and self._vip.present():
            self._set_up_again()

    def tend(self) -> None:
        """Keep the address from ending, right after an accepted renewal or while refusing; repeat announcements."""
        now = self._clock.holder_now()
        try:
            if now - self._refreshed >= REFRESH_ADDRESS_S:
                self._refreshed = now
                self._has_address = self._vip.present()
                if self._has_address:
                    self._vip.add(self._address_lifetime_s)
            if self._opened_at is not None and now - self._opened_at >= _announcement_due_s(self._announced):
                self._announced += 1
                self._vip.announce()
        except StepFailed as error:
            self.trouble = str(error)

    def _set_up_again(self) -> None:
        """Somebody took our rules: nothing may answer on the address until they stand again."""
        self.is_open, self._opened_at = False, None
        self.trouble = "the gate's rules were taken by another program and stand again"
        self._vip.reset_clients()
        self._vip.drop()
        self._gate.load()


def _announcement_due_s(number: int) -> float:
    """When the announcement of this number is due after the opening."""
    if number < len(ANNOUNCE_AFTER_S):
        return ANNOUNCE_AFTER_S[number]
    return ANNOUNCE_AFTER_S[-1] + ANNOUNCE_EVERY_S * (number - len(ANNOUNCE_AFTER_S) + 1)
