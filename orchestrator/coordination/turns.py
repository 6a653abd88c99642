"""Reads that can wait for their turn: so few are under way at a time that nobody else's request waits behind them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from orchestrator.coordination.answer import Answer

AT_ONCE = 64  # some 20 ms of a busy client, a twentieth of the shortest deadline
Ask = Callable[[Any, Callable[[Answer], None]], Answer]
Then = Callable[[Answer], None]


class Turns:
    """In the order in which they were asked. Whatever waits when the connection is lost is forgotten.

    `ask` sends a request; it must not call back before it returns.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Any, Then]] = deque()
        self._under_way = 0

    @property
    def waiting(self) -> int:
        """How many have not been sent."""
        return len(self._waiting)

    def ask(self, request: Any, then: Then) -> None:
        """From any thread; `then` runs in the connection thread, as that of `ask` does."""
        with self._lock:
            self._waiting.append((request, then))
        self._go_on()

    def _go_on(self) -> None:
        while (chosen := self._chosen()) is not None:
            request, then = chosen
            if self._ask(request, partial(self._answered, then)).refused:
                with self._lock:
                    self._under_way -= 1
                    self._waiting.clear()

    def _chosen(self) -> tuple[Any, Then] | None:
        with self._lock:
            if not self._waiting or self._under_way >= AT_ONCE:
                return None
            self._under_way += 1
            return self._waiting.popleft()

    def _answered(self, then: Then, answer: Answer) -> None:
        with self._lock:
            self._under_way -= 1
        then(answer)
        self._go_on()
