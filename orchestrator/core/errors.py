"""The exception tree. A message names the thing, the value, and what to do.

* KembarError                     trouble that we expect
  x Unavailable                   theirs: no answer; the next tick tries again
    x CoordinatorUnavailable      ZooKeeper: not connected, or refused before anything was sent
    x DatabaseUnavailable         mysqld: no answer by the deadline, or no connection
  x UnknownOutcome                nobody's: a write may have happened; read it back, never repeat it blindly
  x StaleWrite                    nobody's: another was first; read again and decide again
  x GateRefused                   the kernel's: the permit or lease element had expired; arm anew
  x StepFailed                    an action's: its post-condition did not show by its deadline
  x Refused                       the asker's: why, and what unblocks it; nothing was changed
    x ConfigWrong                 file, line, column, hint; we do not start
* HistoryLost                     ZooKeeper's: it went back behind what we have seen; the process ends and starts anew
* InvariantBroken                 a bug of ours, outside the tree, never caught: the process ends, the gate closes alone
"""

from __future__ import annotations


class KembarError(Exception):
    """Trouble that we expect: a loop ends its pass on it, and the next one looks again."""


class Unavailable(KembarError):
    """No answer. The next tick tries again."""


class CoordinatorUnavailable(Unavailable):
    """ZooKeeper cannot be reached; nothing was sent."""


class DatabaseUnavailable(Unavailable):
    """mysqld gave no answer by the deadline, or no connection could be made.

    `errno` is MySQL's error number where the server answered with one (1045, 1040, ...), else None.
    """

    def __init__(self, message: str, errno: int | None = None) -> None:
        super().__init__(message)
        self.errno = errno


class UnknownOutcome(KembarError):
    """A write was sent and its answer never came: it may have happened."""


class StaleWrite(KembarError):
    """A version-checked write lost against another one."""


class GateRefused(KembarError):
    """The kernel refused to renew or open: the element had expired."""


class StepFailed(KembarError):
    """An action did not reach its post-condition by its deadline."""


class Refused(KembarError):
    """The request is not admissible: the message says why and what unblocks it."""


class ConfigWrong(Refused):
    """A configuration that cannot be used. `problems` holds one line per mistake."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class HistoryLost(Exception):
    """ZooKeeper lost writes that this process has seen. Never caught: what we remember of it is of another world."""


class InvariantBroken(Exception):
    """A bug of ours. Never caught."""
