"""Reads that wait for their turn: so many at once, in order, and none is owed after a loss."""

from __future__ import annotations

from collections.abc import Callable

from kazoo.exceptions import ConnectionLoss

from orchestrator.coordination.answer import Answer
from orchestrator.coordination.turns import AT_ONCE, Turns


class Line:
    """A connection that answers when it is told to."""

    def __init__(self) -> None:
        self.open = True
        self.sent: list[tuple[int, Answer]] = []
        self.heard: list[int] = []
        self.turns = Turns(self.ask)

    def ask(self, request: int, then: Callable[[Answer], None]) -> Answer:
        answer = Answer(0.0, then)
        if self.open:
            self.sent.append((request, answer))
        else:
            answer.refuse()
        return answer

    def want(self, *numbers: int) -> None:
        for number in numbers:
            self.turns.ask(number, lambda answer, number=number: self.heard.append(number))

    def answer(self) -> None:
        self.sent.pop(0)[1].set(None)

    def lose(self) -> None:
        self.open = False
        while self.sent:
            self.sent.pop(0)[1].set_exception(ConnectionLoss())


def test_so_many_are_under_way_and_the_others_follow_in_order():
    line = Line()
    line.want(*range(3 * AT_ONCE))
    assert [number for number, _ in line.sent] == list(range(AT_ONCE)) and line.turns.waiting == 2 * AT_ONCE
    while line.sent:
        line.answer()
        assert len(line.sent) <= AT_ONCE
    assert line.heard == list(range(3 * AT_ONCE)) and line.turns.waiting == 0


def test_what_waits_when_the_connection_is_lost_is_forgotten_and_nothing_is_held_up_after_it():
    line = Line()
    line.want(*range(2 * AT_ONCE))
    line.lose()
    assert line.turns.waiting == 0 and line.heard == list(range(AT_ONCE))
    line.want(-1)
    assert line.turns.waiting == 0
    line.open = True
    line.want(*range(AT_ONCE))
    assert len(line.sent) == AT_ONCE
