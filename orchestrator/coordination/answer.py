"""One request on its way to ZooKeeper and what came back, in our words. Owns the mapping of kazoo's errors to ours."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from kazoo.exceptions import (
    BadVersionError,
    KazooException,
    NoAuthError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    RolledBackError,
    RuntimeInconsistency,
)
from kazoo.protocol.states import ZnodeStat

from orchestrator.core.errors import CoordinatorUnavailable, KembarError, StaleWrite, UnknownOutcome

# The server looked and refused: nothing of the write has happened, and reading again shows why.
_LOST_AGAINST_ANOTHER = (BadVersionError, NoNodeError, NodeExistsError, NotEmptyError)
# In a refused multi these stand for the ops that were not to blame.
_BYSTANDERS = (RolledBackError, RuntimeInconsistency)


class Answer:
    """kazoo's result object (`set`, `set_exception`) and our Pending (`done`, `result`) in one.

    `then` runs in the connection thread when the answer is in, also when it is a loss; it must not block. It does not
    run for a request that was refused before it was queued. `sent` is the clock reading of the one who asked.
    """

    __slots__ = ("_closed", "_then", "_value", "error", "refused", "sent")

    def __init__(self, sent: float, then: Callable[[Answer], None] | None = None) -> None:
        self.sent = sent
        self.error: BaseException | None = None
        self.refused = False
        self._value: Any = None
        self._then = then
        # A held lock is the cheapest one-shot event: no condition, no list of waiters.
        self._closed = threading.Lock()
        self._closed.acquire()

    def set(self, value: Any = None) -> None:
        """By kazoo: the server answered."""
        self._value = value
        self._finish()

    def set_exception(self, error: BaseException) -> None:
        """By kazoo: the server answered with an error, or the connection was lost."""
        self.error = error
        self._finish()

    def refuse(self) -> None:
        """By our client: not connected, so this was never queued."""
        self.refused = True
        self._closed.release()

    def _finish(self) -> None:
        self._closed.release()
        if self._then is not None:
            self._then(self)

    def done(self) -> bool:
        """Whether the answer, or the loss of it, is known. Never blocks."""
        return not self._closed.locked()

    def wait(self, timeout_s: float) -> bool:
        """Whether the answer came within `timeout_s`."""
        if not self._closed.acquire(timeout=max(timeout_s, 0.0)):
            return False
        self._closed.release()
        return True

    def value(self) -> Any:
        """What kazoo made of a good answer. Raises what kazoo raised."""
        if self.error is not None:
            raise self.error
        return self._value

    def result(self, timeout_s: float) -> tuple[str | int, ...]:
        """One entry an op, see Pending. Raises StaleWrite, CoordinatorUnavailable or UnknownOutcome."""
        if not self.wait(timeout_s):
            raise UnknownOutcome(f"no answer from ZooKeeper within {timeout_s:.3f} s: read back what was written")
        if self.refused:
            raise CoordinatorUnavailable("not connected to ZooKeeper: nothing was sent")
        if self.error is not None:
            raise _write_error(self.error)
        results = self._value if isinstance(self._value, list) else [self._value]
        # A refused multi does not raise in kazoo: its exceptions stand in the list (source).
        errors = [r for r in results if isinstance(r, BaseException)]
        if errors:
            blamed = next((e for e in errors if not isinstance(e, _BYSTANDERS)), errors[0])
            raise _write_error(blamed, f" (op {results.index(blamed) + 1} of {len(results)})")
        return tuple(_entry(r) for r in results)


def _entry(result: Any) -> str | int:
    if isinstance(result, ZnodeStat):
        return int(result.version)
    return result if isinstance(result, str) else 0


def _write_error(error: BaseException, where: str = "") -> KembarError:
    kind = type(error).__name__
    if isinstance(error, _LOST_AGAINST_ANOTHER):
        return StaleWrite(f"ZooKeeper refused the write{where}: {kind}; read again and decide again")
    if isinstance(error, NoAuthError):
        return CoordinatorUnavailable(f"ZooKeeper refused the write{where}: {kind}; check the ACL of this identity")
    return UnknownOutcome(f"the write may have happened{where}: {kind}; read it back")


def read_error(error: BaseException) -> KembarError:
    """What a failed read means: always that we know nothing. Raises what is no trouble of ZooKeeper's."""
    if isinstance(error, (KazooException, RuntimeError)):
        return CoordinatorUnavailable(f"ZooKeeper did not answer the read: {type(error).__name__}")
    raise error
