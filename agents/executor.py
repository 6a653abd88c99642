"""Actions in order, up to the first that fails; keeps how long each phase of a promotion took, and what failed last."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Protocol

from agents.converge import Action
from agents.steps import Order
from orchestrator.core.errors import KembarError
from orchestrator.core.model import Instant
from orchestrator.core.ports import Clock

log = logging.getLogger("kembar.agent")

CERTIFY_BACKOFF_MAX_S = 60.0
STUCK = 50  # tries of one step, before a person is told: some need a few, while a server starts or a session ends
STUCK_S = 5.0
PHASES: Mapping[Action, str] = {
    Action.STOP_RECEIVER: "drain",
    Action.DRAIN: "drain",
    Action.STOP_APPLIER: "drain",
    Action.WRITE_PROMOTION: "drain",
    Action.TAKE_LEASE: "promote",
    Action.RECORD_RELAXED: "promote",
    Action.SET_WRITABLE: "promote",
    Action.ADD_ADDRESS: "vip",
    Action.OPEN_GATE: "vip",
    Action.PROBE_WRITE: "verify",
    Action.SAY_OPEN: "verify",
}


class Hands(Protocol):
    """Who carries an action out."""

    def run(self, action: Action, order: Order) -> None:
        """Raises KembarError."""


class Executor:
    """Used by the tick thread."""

    def __init__(self, hands: Hands, clock: Clock) -> None:
        self._hands, self._clock = hands, clock
        self._timeline: tuple[int, dict[str, float]] = (0, {})
        self._certify_tries = 0
        self.certify_after: Instant = 0.0  # waiter's clock: not before, as earlier tries have failed
        self.failure = ""
        self.failed: Action | None = None
        self.failed_in_a_row = 0
        self._failed_at: Instant = 0.0  # holder's clock

    @property
    def timeline_ms(self) -> dict[str, float]:
        """Duration of each phase of the last promotion."""
        return dict(self._timeline[1])

    def run(self, actions: tuple[Action, ...], order: Order) -> bool:
        """Carry them out; whether all went through."""
        took: list[str] = []
        try:
            for action in actions:
                began = self._clock.holder_now()
                self._hands.run(action, order)
                took_ms = (self._clock.holder_now() - began) * 1000
                took.append(f"{action} {took_ms:.1f}")
                self._measured(action, order.goal.epoch, took_ms)
        except KembarError as error:
            self._failed(action, error)
            return False
        else:
            self.failure, self.failed, self.failed_in_a_row = "", None, 0
            return True
        finally:
            # After the last of them: no log call stands between deciding and acting.
            if took and self.failed_in_a_row <= 1:
                log.info("did, in ms: %s", ", ".join(took), extra={"epoch": order.goal.epoch})

    def stuck(self) -> bool:
        """Whether one step fails again and again, and was tried just now: what is wanted may have become another."""
        now = self._clock.holder_now()
        return self.failed_in_a_row >= STUCK and now - self._failed_at < STUCK_S

    def _failed(self, action: Action, error: KembarError) -> None:
        self.failed_in_a_row = self.failed_in_a_row + 1 if action is self.failed else 1
        self._failed_at = self._clock.holder_now()
        before, self.failure, self.failed = self.failure, f"{action}: {error}", action
        if self.failure != before:  # it is tried ten times a second
            log.warning("%s failed: %s", action, error)
        if action is Action.CERTIFY:
            self.certification_failed()

    def certification_failed(self) -> None:
        """The step failed, or no U2 followed it: the next try comes later each time."""
        self._certify_tries += 1
        wait_s = min(CERTIFY_BACKOFF_MAX_S, 2.0 ** (self._certify_tries - 1))
        self.certify_after = self._clock.waiter_now() + wait_s

    def certified(self) -> None:
        """U2 is written."""
        self._certify_tries = 0

    def _measured(self, action: Action, epoch: int, took_ms: float) -> None:
        phase = PHASES.get(action)
        if phase is None:
            return
        if self._timeline[0] != epoch:
            self._timeline = (epoch, {})
        durations = self._timeline[1]
        durations[phase] = round(durations.get(phase, 0.0) + took_ms, 2)
