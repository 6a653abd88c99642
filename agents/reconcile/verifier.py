"""The comparison thread of the standby's agent: does what the tick says is due, and goes on after a kill."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from agents.binlog.rewind import Lasting
from agents.reconcile.answering import Answering
from agents.reconcile.comparison import HIDDEN, Ask, Comparison, Interrupted
from agents.reconcile.swept import Known, Progress, SweptFolder
from orchestrator.core.errors import KembarError
from orchestrator.core.verifying import TOLD_MAX, Difference, Outcome, Verifying, against

log = logging.getLogger("kembar.verify")

AGAIN_S = 1.0  # after a failure
NOTHING = Verifying()
TABLES = ("row", "table")  # of whose differences the name is that of a table


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be compared; `id` for ever names the same."""

    id: str
    epoch: int
    actor: str
    tables: tuple[str, ...] = ()  # schema.table; empty: everything
    awaited: bool = False  # by a person: nothing else is begun before the outcome is known


class Verifier:
    """`give` and the facts are for the tick thread; all else is the thread's own."""

    def __init__(
        self, folder: SweptFolder, sessions: Callable[[], Lasting], ask: Ask, now: Callable[[], str]
    ) -> None:  # fmt: skip
        """`ask` asks the primary's agent; `now` is the time for people."""
        self._folder, self._sessions, self._ask, self._now = folder, sessions, ask, now
        self._own = Answering(sessions, lambda: True)
        self._due: tuple[Due, ...] = ()
        self._ended: set[str] = set()
        self._wake = threading.Event()
        self._stopping = False
        self._known = folder.known()
        self.verifying, self.verified = NOTHING, folder.last()

    # for the tick

    def give(self, due: tuple[Due, ...]) -> None:
        """What is due now, the most urgent first."""
        before, self._due = self._due, due
        if before != due:
            self._wake.set()

    def differing(self, servers: Sequence[str]) -> tuple[Difference, ...]:
        """What is known to differ between these two servers, by their uuids; one that was copied anew has another."""
        known = self._known
        others = all(servers) and bool(known.servers) and tuple(sorted(servers)) != known.servers
        return () if others else against(known.differences)[:TOLD_MAX]

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()

    # the thread

    def run(self) -> None:
        """Until stopped. A kill at any place leaves the rest to the next process."""
        while True:
            self._wake.clear()
            if self._stopping:  # asked after that: whoever stops it from here on wakes it too
                return
            one = self._first()
            if one is None:
                self.verifying = NOTHING
                self._wake.wait()
                continue
            try:
                self._work(one)
            except Interrupted:
                continue
            except (KembarError, OSError) as error:
                log.warning("comparison %s: %s", one.id, error)
                self.verifying = replace(self.verifying, doing=f"waiting: {error}")
                self._wake.wait(AGAIN_S)

    def _first(self) -> Due | None:
        first = next((one for one in self._due if one.awaited or one.id not in self._ended), None)
        return None if first is None or first.id in self._ended else first

    def _work(self, one: Due) -> None:
        progress = self._folder.progress(one.id)
        if progress is None:
            self._folder.prune(one.epoch)
            told = Verifying(one.id, one.epoch, one.actor, one.tables, Outcome.RUNNING, began=self._now())
            progress = Progress(told)
        if not progress.told.outcome.ended:
            watch = _Watch(self, one)
            self.verifying = progress.told
            progress = Comparison(progress, self._ask, self._own.answer, self._sessions, watch).run()
            self._settle(progress)
        elif one.awaited:
            self.verified = progress.told
        self._ended.add(one.id)

    def _settle(self, progress: Progress) -> None:
        """What was compared is known anew; what was not stays as it was known."""
        told, known = progress.told, self._known
        if told.outcome is not Outcome.FAILED:
            left = tuple(one for one in known.differences if not _compared(progress, one))
            self._know(Known(self._servers(), _once((*left, *progress.found))))
        self._folder.end(progress)
        self.verified = told
        log.info("comparison %s: %s, %d rows", told.id, told.outcome, told.rows)

    def _found(self, found: tuple[Difference, ...]) -> None:
        """At once: nobody may take over with it while the rest is compared."""
        if set(found) - set(self._known.differences):
            self._know(Known(self._servers(), _once((*self._known.differences, *found))))

    def _know(self, known: Known) -> None:
        self._known = known
        self._folder.know(known)

    def _servers(self) -> tuple[str, ...]:
        question = {"what": "state"}
        return tuple(sorted((self._ask(question)["uuid"], self._own.answer(question)["uuid"])))


class _Watch:
    """What one comparison asks of the thread that carries it out."""

    def __init__(self, verifier: Verifier, one: Due) -> None:
        self._verifier, self._order = verifier, one

    def wanted(self) -> bool:
        verifier = self._verifier
        return not verifier._stopping and verifier._first() == self._order

    def wait(self, seconds: float) -> None:
        self._verifier._wake.wait(seconds)
        self._verifier._wake.clear()

    def tell(self, progress: Progress, *, keep: bool) -> None:
        verifier = self._verifier
        verifier.verifying = progress.told
        if keep:
            verifier._found(progress.found)
            verifier._folder.keep(progress)

    def now(self) -> str:
        return self._verifier._now()


def _compared(progress: Progress, one: Difference) -> bool:
    """A table that was not seen is gone only where no schema is hidden from the account."""
    told = progress.told
    skipped = any(why.startswith(f"{one.name}: ") for why in told.skipped)
    hidden = any(HIDDEN in why for why in told.skipped) and one.what in TABLES and one.name not in progress.done
    return not (skipped or hidden) and (not told.asked or one.name in told.asked)


def _once(differences: tuple[Difference, ...]) -> tuple[Difference, ...]:
    return tuple(dict.fromkeys(differences))
