"""The engine itself: a seed is one story, however strands are switched."""

from __future__ import annotations

import pytest

from tests.sim import strands
from tests.sim.world import play

STORM_S = 15.0


def test_a_seed_plays_the_same_way_twice():
    """Else no failure could be looked into."""
    one, two = play(3, STORM_S), play(3, STORM_S)
    assert one.trace and one.hash() == two.hash()
    assert (one.ok, one.tried) == (two.ok, two.tried)


def test_threads_play_it_as_greenlets_do(monkeypatch: pytest.MonkeyPatch):
    """Whoever lacks the package sees the same timelines."""
    assert strands.greenlet is not None
    by_greenlets = play(1, STORM_S)
    monkeypatch.setattr(strands, "greenlet", None)
    by_threads = play(1, STORM_S)
    assert by_threads.trace == by_greenlets.trace
    assert by_threads.hash() == by_greenlets.hash()


def test_another_seed_plays_another_way():
    assert play(1, STORM_S).hash() != play(2, STORM_S).hash()


def test_events_of_one_instant_happen_in_the_order_they_were_asked_for():
    time, happened = strands.Time(), list[str]()
    time.at(2.0, lambda: happened.append("c"))
    time.at(1.0, lambda: (happened.append("a"), time.after(0.0, lambda: happened.append("later"))))
    time.at(1.0, lambda: happened.append("b"))
    time.at(0.5, lambda: time.at(0.0, lambda: happened.append("at once")))
    time.run(1.5)
    assert happened == ["at once", "a", "b", "later"]
    time.run(2.0)
    assert happened[-1] == "c"
