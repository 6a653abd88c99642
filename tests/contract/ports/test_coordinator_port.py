"""What the loops believe of ZooKeeper and of their connection to it, whatever stands for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from orchestrator.core.errors import CoordinatorUnavailable, StaleWrite, UnknownOutcome
from orchestrator.core.ports import Check, Coordinator, Create, Delete, Op, Pending, SetData
from tests.contract.ports.ensembles import (
    STALL_S,
    Ensemble,
    Sessions,
    fake_ensemble,
    real_ensemble,
    simulated_ensemble,
)
from tests.contract.ports.pace import eventually, lasted_s, took_s, within
from tests.contract.zkservers import Servers

REAL = pytest.param("zookeeper", marks=pytest.mark.lab)
ANSWER_S = 5.0


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with closing(Servers(tmp_path_factory.mktemp("zookeeper"))) as running:
        yield running


def sessions_of(request: pytest.FixtureRequest) -> Iterator[Sessions]:
    if request.param == "zookeeper":
        with real_ensemble(request.getfixturevalue("servers")) as made:
            yield made
    else:
        with simulated_ensemble(seed=7) as made:
            yield made


@pytest.fixture(params=[REAL, "simulator"])
def sessions(request: pytest.FixtureRequest) -> Iterator[Sessions]:
    yield from sessions_of(request)


@pytest.fixture(params=[REAL, "simulator", "fake"])
def ensemble(request: pytest.FixtureRequest) -> Iterator[Ensemble]:
    """The fake knows Check and SetData, and neither sessions nor watches."""
    if request.param == "fake":
        yield fake_ensemble()
    else:
        yield from sessions_of(request)


def write(client: Coordinator, *ops: Op) -> tuple[str | int, ...]:
    return client.submit(ops).result(ANSWER_S)


def version(ensemble: Ensemble, path: str) -> int:
    stored = ensemble.direct.read(path)
    assert stored is not None
    return stored.version


# --- writes


def test_versions_grow_by_one_and_a_read_shows_what_was_written(ensemble: Ensemble) -> None:
    for number in range(3):
        assert write(ensemble.client, SetData(ensemble.desired, b"%d" % number, number)) == (number + 1,)
        stored = ensemble.client.read(ensemble.desired)
        assert stored is not None and (stored.data, stored.version) == (b"%d" % number, number + 1)


@pytest.mark.parametrize("stale", [-2, 0, 2, 7])
def test_another_version_refuses_the_whole_write(ensemble: Ensemble, stale: int) -> None:
    write(ensemble.client, SetData(ensemble.desired, b"x", 0))
    for ops in (
        [SetData(ensemble.desired, b"z", stale)],
        [SetData(ensemble.lease, b"y", 0), SetData(ensemble.desired, b"z", stale)],
        [SetData(ensemble.desired, b"z", stale), SetData(ensemble.lease, b"y", 0)],
        [SetData(ensemble.lease, b"y", 0), Check(ensemble.desired, stale)],
    ):
        with pytest.raises(StaleWrite):
            write(ensemble.client, *ops)
    assert (version(ensemble, ensemble.desired), version(ensemble, ensemble.lease)) == (1, 0)
    stored = ensemble.direct.read(ensemble.desired)
    assert stored is not None and stored.data == b"x"


def test_any_version_is_minus_one(ensemble: Ensemble) -> None:
    for number in range(3):
        assert write(ensemble.client, Check(ensemble.lease, -1), SetData(ensemble.desired, b"x", -1)) == (0, number + 1)


def test_a_check_alone_writes_nothing(ensemble: Ensemble) -> None:
    assert write(ensemble.client, Check(ensemble.desired, 0)) == (0,)
    assert version(ensemble, ensemble.desired) == 0
    with pytest.raises(StaleWrite):
        write(ensemble.client, Check(ensemble.desired, 1))


def test_what_does_not_exist_is_stale_whatever_the_version(ensemble: Ensemble) -> None:
    for path_op in (SetData(ensemble.pause, b"x", -1), Check(ensemble.pause, -1)):
        with pytest.raises(StaleWrite):
            write(ensemble.client, SetData(ensemble.desired, b"x", 0), path_op)
    assert version(ensemble, ensemble.desired) == 0


def test_each_op_sees_those_before_it(ensemble: Ensemble) -> None:
    ops = [SetData(ensemble.desired, b"x", 0), Check(ensemble.desired, 1), SetData(ensemble.desired, b"y", 1)]
    assert write(ensemble.client, *ops) == (1, 0, 2)
    with pytest.raises(StaleWrite):
        write(ensemble.client, SetData(ensemble.desired, b"z", 2), SetData(ensemble.desired, b"z", 2))
    assert version(ensemble, ensemble.desired) == 2


def test_what_does_not_exist_is_none_and_has_no_children(ensemble: Ensemble) -> None:
    assert ensemble.client.read(ensemble.pause) is None
    assert ensemble.client.children(ensemble.pause) == ()
    assert ensemble.client.children(ensemble.requests) == ()


def test_the_writes_of_one_client_happen_and_are_answered_in_their_order(ensemble: Ensemble) -> None:
    answered: list[int] = []
    waker = [lambda number=number: answered.append(number) for number in range(20)]
    sent = [ensemble.client.submit([SetData(ensemble.desired, b"x", n)], waker[n]) for n in range(20)]
    assert [one.result(ANSWER_S) for one in sent] == [(n + 1,) for n in range(20)]
    assert answered == list(range(20))
    assert all(one.done() for one in sent)


def test_their_order_outlasts_a_stalled_line(ensemble: Ensemble) -> None:
    """What was sent while nothing got through comes before what was sent after."""
    ensemble.line.hold()
    sent = [ensemble.client.submit([SetData(ensemble.desired, b"x", 0)])]
    ensemble.pace.sleep(0.02)
    assert not sent[0].done()
    ensemble.line.up()
    sent += [ensemble.client.submit([SetData(ensemble.desired, b"x", n)]) for n in (1, 2)]
    assert [one.result(ANSWER_S) for one in sent] == [(1,), (2,), (3,)]


def test_a_read_comes_after_the_writes_before_it(ensemble: Ensemble) -> None:
    sent = ensemble.client.submit([SetData(ensemble.desired, b"x", 0)])
    stored = ensemble.client.read(ensemble.desired)
    assert stored is not None and stored.version == 1
    assert sent.done()


# --- the line


def test_not_connected_refuses_at_once_and_sends_nothing(ensemble: Ensemble) -> None:
    ensemble.line.down()
    eventually(ensemble.pace, lambda: not ensemble.client.connected)
    assert ensemble.client.hearing_since() == math.inf
    calls: list[Callable[[], object]] = [
        lambda: ensemble.client.submit([SetData(ensemble.desired, b"x", -1)]),
        lambda: ensemble.client.read(ensemble.desired, 30.0),
        lambda: ensemble.client.children(ensemble.requests, 30.0),
    ]
    for call in calls:
        within(ensemble.pace, 0.1, lambda call=call: refused(call))
    ensemble.line.up()
    eventually(ensemble.pace, lambda: ensemble.client.connected)
    write(ensemble.client, SetData(ensemble.lease, b"", 0))  # whatever had been queued would have been sent before
    assert version(ensemble, ensemble.desired) == 0


def refused(call: Callable[[], object]) -> None:
    with pytest.raises(CoordinatorUnavailable):
        call()


def test_a_write_that_arrived_and_whose_answer_is_lost_has_an_unknown_outcome(ensemble: Ensemble) -> None:
    ensemble.line.deaf()
    pending = ensemble.client.submit([SetData(ensemble.desired, b"x", 0)])
    if isinstance(ensemble, Sessions):  # the fake's arrives when its answer is lost
        eventually(ensemble.pace, lambda: version(ensemble, ensemble.desired) == 1)
    ensemble.line.down()
    with pytest.raises(UnknownOutcome):
        pending.result(ANSWER_S)
    assert version(ensemble, ensemble.desired) == 1


def test_a_write_that_was_lost_on_its_way_has_an_unknown_outcome_too(ensemble: Ensemble) -> None:
    """Absent, or present: but not present any later than the next write of ours that was answered (C8)."""
    ensemble.line.hold()
    pending = ensemble.client.submit([SetData(ensemble.desired, b"x", 0)])
    ensemble.line.down()
    with pytest.raises(UnknownOutcome):
        pending.result(ANSWER_S)
    ensemble.line.up()
    eventually(ensemble.pace, lambda: ensemble.client.connected)
    write(ensemble.client, SetData(ensemble.lease, b"", 0))
    found = version(ensemble, ensemble.desired)
    assert found in (0, 1)
    ensemble.pace.sleep(0.5)
    assert version(ensemble, ensemble.desired) == found


def test_a_write_without_an_answer_is_unknown_after_the_callers_deadline(ensemble: Ensemble) -> None:
    ensemble.line.deaf()
    pending = ensemble.client.submit([SetData(ensemble.desired, b"x", 0)])
    assert took_s(ensemble.pace, lambda: unknown(pending, 0.1)) < STALL_S


def unknown(pending: Pending, within_s: float) -> None:
    with pytest.raises(UnknownOutcome):
        pending.result(within_s)


def test_a_write_without_an_answer_is_unknown_after_the_stall_deadline(sessions: Sessions) -> None:
    sessions.line.deaf()
    pending = sessions.client.submit([SetData(sessions.desired, b"x", 0)])
    within(sessions.pace, STALL_S + 0.3, lambda: unknown(pending, 30))


def test_a_silent_line_is_not_heard_even_before_it_is_left(sessions: Sessions) -> None:
    assert sessions.client.hearing_since() <= sessions.clock.waiter_now()
    sessions.line.deaf()
    assert lasted_s(sessions.pace, lambda: sessions.client.hearing_since() < math.inf) <= STALL_S + 0.1


def test_hearing_begins_anew_after_a_cut(sessions: Sessions) -> None:
    sessions.line.down()
    eventually(sessions.pace, lambda: sessions.client.hearing_since() == math.inf)
    cut = sessions.clock.waiter_now()
    sessions.line.up()
    eventually(sessions.pace, lambda: sessions.client.connected)
    assert cut < sessions.client.hearing_since() <= sessions.clock.waiter_now()


def test_nothing_that_was_refused_is_ever_done(sessions: Sessions) -> None:
    """kazoo queues while suspended. Cut at random moments, each write is done, refused or unknown, as it was told."""
    outcomes: dict[str, str] = {}
    ending: list[bool] = []
    client = sessions.client

    def work() -> None:
        while not ending:
            path = f"{sessions.requests}/r{len(outcomes)}"
            try:
                pending = client.submit([Create(path, b"")])
                outcomes[path] = "sent"
                pending.result(ANSWER_S)
                outcomes[path] = "done"
            except CoordinatorUnavailable:
                outcomes[path] = "refused"
                sessions.pace.sleep(0.001)
            except UnknownOutcome:
                outcomes[path] = "unknown"

    def count(outcome: str) -> int:
        return list(outcomes.values()).count(outcome)

    def more(outcome: str, by: int) -> None:
        before = count(outcome)
        eventually(sessions.pace, lambda: count(outcome) > before + by)

    writer = sessions.pace.begin(work)
    for _ in range(6):
        eventually(sessions.pace, lambda: client.connected)
        more("done", 20)
        sessions.line.down()
        eventually(sessions.pace, lambda: not client.connected)
        more("refused", 5)
        sessions.line.up()
    eventually(sessions.pace, lambda: client.connected)
    ending.append(True)
    assert writer.ends_within(10) and writer.error is None
    write(client, SetData(sessions.desired, b"", -1))  # whatever had been queued would have been sent before
    there = {f"{sessions.requests}/{name}" for name in sessions.direct.children(sessions.requests)}
    told = {o: {path for path, outcome in outcomes.items() if outcome == o} for o in ("done", "refused", "unknown")}
    assert told["done"] <= there <= told["done"] | told["unknown"]
    assert len(told["refused"]) > 30


# --- nodes that come and go


def test_each_op_of_a_multi_has_its_entry(sessions: Sessions) -> None:
    request = f"{sessions.requests}/r1"
    ops = [
        Check(sessions.lease, 0),
        SetData(sessions.desired, b"x", 0),
        Create(request, b"r"),
        Create(f"{sessions.requests}/s-", b"", sequence=True),
        Delete(request, 0),
    ]
    assert write(sessions.client, *ops) == (0, 1, request, f"{sessions.requests}/s-0000000001", 0)
    assert sessions.direct.children(sessions.requests) == ("s-0000000001",)


def test_a_number_of_a_sequence_is_never_given_twice(sessions: Sessions) -> None:
    made = []
    for _ in range(3):
        (path,) = write(sessions.client, Create(f"{sessions.requests}/s-", b"", sequence=True))
        made.append(path)
        write(sessions.client, Delete(str(path), -1))
    assert made == [f"{sessions.requests}/s-{number:010d}" for number in range(3)]


def test_making_twice_or_deleting_what_is_gone_or_another_version_is_refused(sessions: Sessions) -> None:
    request = f"{sessions.requests}/r1"
    write(sessions.client, Create(request, b""))
    write(sessions.client, SetData(request, b"x", 0))
    for op in (Create(request, b""), Delete(request, 0), Delete(f"{request}-gone", -1), Delete(f"{request}-gone", 0)):
        with pytest.raises(StaleWrite):
            write(sessions.client, SetData(sessions.desired, b"x", 0), op)
    assert version(sessions, sessions.desired) == 0
    assert write(sessions.client, Delete(request, -1)) == (0,)


def test_a_node_made_again_begins_at_version_0(sessions: Sessions) -> None:
    """Hence the records that count are never deleted."""
    request = f"{sessions.requests}/r1"
    write(sessions.client, Create(request, b""), SetData(request, b"x", 0), Delete(request, 1), Create(request, b""))
    assert version(sessions, request) == 0


def test_stat_times_are_those_of_the_servers(sessions: Sessions) -> None:
    request = f"{sessions.requests}/r1"
    write(sessions.client, Create(request, b""))
    first = sessions.direct.read(request)
    sessions.pace.sleep(0.05)
    write(sessions.client, SetData(request, b"x", 0))
    second = sessions.direct.read(request)
    assert first is not None and second is not None
    assert first.created_ms == first.modified_ms == second.created_ms > 0
    assert 50 <= second.modified_ms - second.created_ms < 5000


# --- sessions


def candidate(sessions: Sessions) -> str:
    (path,) = write(sessions.client, Create(f"{sessions.requests}/c-", b"", ephemeral=True, sequence=True))
    return str(path)


def test_an_ephemeral_node_ends_with_its_session_and_others_stay(sessions: Sessions) -> None:
    mine = candidate(sessions)
    write(sessions.client, Create(f"{sessions.requests}/r1", b""))
    sessions.pace.sleep(3.0)
    assert sessions.direct.read(mine) is not None, "while the session lives, it stays"
    sessions.line.down()
    assert eventually(sessions.pace, lambda: sessions.direct.read(mine) is None, 3.0) >= 0.5
    assert sessions.direct.children(sessions.requests) == ("r1",)


def test_a_session_outlives_a_short_cut(sessions: Sessions) -> None:
    mine = candidate(sessions)
    sessions.line.down()
    eventually(sessions.pace, lambda: not sessions.client.connected)
    sessions.line.up()
    eventually(sessions.pace, lambda: sessions.client.connected)
    sessions.pace.sleep(3.0)
    assert sessions.direct.read(mine) is not None


def test_the_next_session_does_not_own_what_the_last_one_made(sessions: Sessions) -> None:
    mine = candidate(sessions)
    sessions.line.down()
    eventually(sessions.pace, lambda: sessions.direct.read(mine) is None)
    sessions.line.up()
    eventually(sessions.pace, lambda: sessions.client.connected)
    assert candidate(sessions) > mine
    assert sessions.direct.read(mine) is None


# --- the mirror


def seen(sessions: Sessions, path: str) -> int | None:
    found = sessions.mirror.snapshot().get(path)
    return found.stored.version if found else None


def shows(sessions: Sessions, path: str, wanted: int | None) -> float:
    """After how many seconds."""
    return eventually(sessions.pace, lambda: seen(sessions, path) == wanted, 0.9)


def by_watches(taken_s: list[float]) -> None:
    """By the poll of each second, what follows on each other would take a whole one each."""
    assert sorted(taken_s)[len(taken_s) // 2] < 0.5


def test_the_first_snapshot_is_whole(sessions: Sessions) -> None:
    assert set(sessions.mirror.snapshot()) == {sessions.desired, sessions.lease}


def test_each_change_is_seen_and_wakes_with_the_time_of_its_sighting(sessions: Sessions) -> None:
    taken_s = []
    for number in range(20):
        before, wakes = sessions.clock.waiter_now(), len(sessions.wakes)
        write(sessions.direct, SetData(sessions.lease, b"x", number))
        taken_s.append(shows(sessions, sessions.lease, number + 1))
        eventually(sessions.pace, lambda wakes=wakes: len(sessions.wakes) > wakes)
        found = sessions.mirror.snapshot()[sessions.lease]
        assert before < found.first_seen <= sessions.clock.waiter_now()
    by_watches(taken_s)


def test_versions_never_go_back_and_the_last_one_comes(sessions: Sessions) -> None:
    shown: list[int] = []

    def look() -> bool:
        shown.append(seen(sessions, sessions.lease) or 0)
        return shown[-1] == 50

    sent = [sessions.direct.submit([SetData(sessions.lease, b"x", n)]) for n in range(50)]
    eventually(sessions.pace, look, 5)
    assert shown == sorted(shown)
    assert [one.result(ANSWER_S) for one in sent] == [(n + 1,) for n in range(50)]


def test_a_sighting_of_an_unchanged_version_keeps_its_time(sessions: Sessions) -> None:
    before = sessions.mirror.snapshot()[sessions.lease]
    write(sessions.direct, SetData(sessions.desired, b"x", 0))
    shows(sessions, sessions.desired, 1)
    assert sessions.mirror.snapshot()[sessions.lease] == before


def test_a_record_that_comes_and_goes_is_seen(sessions: Sessions) -> None:
    taken_s = []
    for _ in range(3):
        write(sessions.direct, Create(sessions.pause, b""))
        taken_s.append(shows(sessions, sessions.pause, 0))
        write(sessions.direct, SetData(sessions.pause, b"x", 0))
        taken_s.append(shows(sessions, sessions.pause, 1))
        write(sessions.direct, Delete(sessions.pause, 1))
        taken_s.append(shows(sessions, sessions.pause, None))
    by_watches(taken_s)


def test_a_node_made_again_unseen_is_a_new_sighting(sessions: Sessions) -> None:
    for again in (0, 1):
        write(sessions.direct, Create(sessions.pause, b""))
        for number in range(again):
            write(sessions.direct, SetData(sessions.pause, b"", number))
        shows(sessions, sessions.pause, again)
        first = sessions.mirror.snapshot()[sessions.pause].first_seen
        write(sessions.direct, Delete(sessions.pause, again), Create(sessions.pause, b""))
        eventually(sessions.pace, lambda first=first: sessions.mirror.snapshot()[sessions.pause].first_seen > first)
        shows(sessions, sessions.pause, 0)
        write(sessions.direct, Delete(sessions.pause, 0))
        shows(sessions, sessions.pause, None)


def test_the_children_of_a_folder_are_followed(sessions: Sessions) -> None:
    one, other = f"{sessions.requests}/r1", f"{sessions.requests}/r2"
    taken_s = []
    for path in (one, other):
        write(sessions.direct, Create(path, b""))
        taken_s.append(shows(sessions, path, 0))
    write(sessions.direct, SetData(one, b"x", 0))
    taken_s.append(shows(sessions, one, 1))
    write(sessions.direct, Delete(one, 1))
    taken_s.append(shows(sessions, one, None))
    by_watches(taken_s)
    assert seen(sessions, other) == 0


def test_an_unchanged_record_wakes_nobody(sessions: Sessions) -> None:
    before = len(sessions.wakes)
    sessions.pace.sleep(1.2)  # the poll has been there
    assert len(sessions.wakes) == before


def test_a_cut_empties_the_snapshot_and_keeps_the_first_sighting(sessions: Sessions) -> None:
    """t_obs is when a version was first seen; that we were deaf for a while does not make it younger."""
    before, wakes = sessions.mirror.snapshot(), len(sessions.wakes)
    sessions.line.down()
    eventually(sessions.pace, lambda: not sessions.mirror.snapshot() and len(sessions.wakes) > wakes)
    write(sessions.direct, SetData(sessions.desired, b"x", 0))
    sessions.pace.sleep(0.3)
    assert not sessions.mirror.snapshot()
    sessions.line.up()
    eventually(sessions.pace, lambda: bool(sessions.mirror.snapshot()))
    after = sessions.mirror.snapshot()
    assert after[sessions.lease] == before[sessions.lease]
    assert after[sessions.desired].stored.version == 1
    assert after[sessions.desired].first_seen > before[sessions.desired].first_seen


def test_what_went_while_we_were_deaf_is_gone_after_it(sessions: Sessions) -> None:
    write(sessions.direct, Create(sessions.pause, b""))
    shows(sessions, sessions.pause, 0)
    sessions.line.down()
    eventually(sessions.pace, lambda: not sessions.mirror.snapshot())
    write(sessions.direct, Delete(sessions.pause, 0))
    sessions.line.up()
    eventually(sessions.pace, lambda: bool(sessions.mirror.snapshot()))
    assert set(sessions.mirror.snapshot()) == {sessions.desired, sessions.lease}
