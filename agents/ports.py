"""What the tick asks of the other threads of its agent, and tells them; none of it waits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from agents.reconcile.swap import SwapState
from agents.reconcile.verifier import Due
from agents.reconcile.worker import Task
from orchestrator.core.kept import Settlements
from orchestrator.core.model import Instant, Mysqld
from orchestrator.core.returning import Merging, Outcome, Returning
from orchestrator.core.verifying import Difference, Verifying


class Health(Protocol):
    """What the probes of this host say of mysqld."""

    def mysqld(self) -> Mysqld: ...

    def stalled_s(self) -> float:
        """How long the heartbeat commit has been waiting for the standby's acknowledgement; 0 if it is not."""

    def committed_after(self, instant: Instant) -> bool:
        """Whether a heartbeat commit that was begun later has returned."""

    def write(self, allowed: bool) -> None:
        """Whether heartbeat commits are to be made: only on a writable primary."""


class Repair(Protocol):
    """The repair thread, which the tick only tells and asks."""

    @property
    def returning(self) -> Returning: ...

    @property
    def merging(self) -> Merging: ...

    @property
    def swap(self) -> SwapState: ...

    @property
    def settled(self) -> tuple[Outcome, ...]: ...

    trouble: str  # why its last try failed, empty if it did not

    def give(self, task: Task | None) -> None: ...

    def decide(self, settlements: Settlements | None) -> None: ...


class Verify(Protocol):
    """The thread that compares this node with its primary, which the tick only tells and asks."""

    @property
    def verifying(self) -> Verifying: ...

    @property
    def verified(self) -> Verifying: ...

    def differing(self, servers: Sequence[str]) -> tuple[Difference, ...]:
        """What is known to differ between the servers with these uuids."""

    def give(self, due: tuple[Due, ...]) -> None: ...
