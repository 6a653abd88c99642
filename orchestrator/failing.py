"""An orchestrator that may crash before and after each record it writes: a coordinator with failpoints."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from orchestrator.coordination.paths import Paths
from orchestrator.core.model import Cluster
from orchestrator.core.ports import Coordinator, Op, Pending, SetData, Stored
from orchestrator.core.reconcile import Reconcile
from orchestrator.core.wire import decode
from orchestrator.process.failpoints import Failpoints


class FailingCoordinator:
    """Places `orchestrator.before.WHAT`, `orchestrator.sent.WHAT` and `orchestrator.after.WHAT`.

    WHAT is the rule, or `return_STAGE` for the record of a return. `sent`: the write has left, its answer is not in.
    Other writes have no place.
    """

    def __init__(self, coordinator: Coordinator, paths: Paths, failpoints: Failpoints) -> None:
        self._coordinator, self._paths, self._failpoints = coordinator, paths, failpoints

    @property
    def connected(self) -> bool:
        return self._coordinator.connected

    def hearing_since(self) -> float:
        return self._coordinator.hearing_since()

    def read(self, path: str, timeout_s: float = 2.0) -> Stored | None:
        return self._coordinator.read(path, timeout_s)

    def children(self, path: str, timeout_s: float = 2.0) -> tuple[str, ...]:
        return self._coordinator.children(path, timeout_s)

    def submit(self, ops: Sequence[Op], wake: Callable[[], None] | None = None) -> Pending:
        what = self._what(ops)
        if not what:
            return self._coordinator.submit(ops, wake)
        self._failpoints.reach(f"orchestrator.before.{what}")
        pending = self._coordinator.submit(ops, wake)
        self._failpoints.reach(f"orchestrator.sent.{what}")
        return _Watched(pending, lambda: self._failpoints.reach(f"orchestrator.after.{what}"))

    def _what(self, ops: Sequence[Op]) -> str:
        for op in ops:
            if isinstance(op, SetData) and op.path == self._paths.desired:
                return decode(Cluster, op.data).rule
            if isinstance(op, SetData) and op.path == self._paths.returning:
                return f"return_{decode(Reconcile, op.data).stage}"
        return ""


class _Watched:
    """A write whose answer is told of."""

    def __init__(self, pending: Pending, answered: Callable[[], None]) -> None:
        self._pending, self._answered = pending, answered

    def done(self) -> bool:
        return self._pending.done()

    def result(self, timeout_s: float) -> tuple[str | int, ...]:
        answer = self._pending.result(timeout_s)
        self._answered()
        return answer
