"""What the loops believe of whoever starts and ends mysqld."""

from __future__ import annotations

import pytest

from orchestrator.core.errors import StepFailed
from tests.contract.ports.databases import START_S, Pair, answers
from tests.contract.ports.pace import eventually, took_s


def test_a_restart_is_another_incarnation(pair: Pair) -> None:
    before = pair.standby.supervisor.incarnation()
    assert before is not None and pair.standby.supervisor.incarnation() == before
    assert not pair.standby.supervisor.exiting()
    pair.restart(pair.standby)
    after = pair.standby.supervisor.incarnation()
    assert after is not None and after != before
    assert not pair.standby.supervisor.exiting()


def test_who_was_killed_is_exiting_at_once_and_gone_later(pair: Pair) -> None:
    supervisor = pair.standby.supervisor
    life = supervisor.incarnation()
    supervisor.kill()
    assert supervisor.exiting()
    assert supervisor.incarnation() in (life, None)
    eventually(pair.pace, lambda: supervisor.incarnation() is None)
    assert not supervisor.exiting()
    supervisor.kill()  # nobody is there: nothing to do
    assert not answers(pair.standby)
    start(pair)


def start(pair: Pair) -> None:
    pair.standby.supervisor.start()
    eventually(pair.pace, lambda: answers(pair.standby), START_S)


def test_a_kill_ends_the_wait_for_it_at_once(pair: Pair) -> None:
    supervisor = pair.standby.supervisor
    assert took_s(pair.pace, lambda: supervisor.await_exiting(0.1)) >= 0.09
    assert not supervisor.await_exiting(0.01)
    ended: list[bool] = []
    wait = pair.pace.begin(lambda: ended.append(supervisor.await_exiting(30)))
    assert not wait.ends_within(0.1)
    supervisor.kill()
    assert wait.ends_within(10)  # and not in the 30 s that it waits by itself
    assert ended == [True]
    eventually(pair.pace, lambda: supervisor.incarnation() is None)
    start(pair)


def test_a_frozen_server_can_be_killed(pair: Pair) -> None:
    supervisor = pair.standby.supervisor
    pair.standby.freeze()
    supervisor.kill()
    assert supervisor.exiting()
    eventually(pair.pace, lambda: supervisor.incarnation() is None)
    start(pair)


def test_a_second_start_is_refused(pair: Pair) -> None:
    """While it runs, and also before it answers."""
    supervisor = pair.standby.supervisor
    for starting in (False, True):
        if starting:
            supervisor.kill()
            eventually(pair.pace, lambda: supervisor.incarnation() is None)
            supervisor.start()
        life = supervisor.incarnation()
        assert life is not None
        with pytest.raises(StepFailed):
            supervisor.start()
        assert supervisor.incarnation() == life
    eventually(pair.pace, lambda: answers(pair.standby), START_S)


def test_a_start_returns_long_before_it_answers(pair: Pair) -> None:
    supervisor = pair.standby.supervisor
    supervisor.kill()
    eventually(pair.pace, lambda: supervisor.incarnation() is None)
    supervisor.start()
    assert supervisor.incarnation() is not None and not supervisor.exiting()
    assert not answers(pair.standby)
    eventually(pair.pace, lambda: answers(pair.standby), START_S)
