"""Two that answer at once are found in what clients were told, and in what the hosts were seen to be."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lab.checkers import answerer, servers
from lab.checkers.calls import Call
from lab.checkers.sightings import Host, Record, hosts, records
from tests.unit.histories import call

WEEKS_MS = 4294967295


def record(at: float, epoch: int = 1, seq: int | None = None, primary: str = "db-a", mode: str = "SYNC") -> Record:
    return Record(at, at + 0.01, epoch, epoch if seq is None else seq, primary, mode, "STEADY")


def answer(server: str, began: float, ended: float, kind: str = "write") -> Call:
    given, result = ([0, 1], None) if kind == "write" else (0, 1)
    return call(kind, given, began, ended, result, server=server)


def epochs(*ats: float) -> list[Record]:
    """A look just before each moment, and one at it, with an epoch more; one in the end."""
    changes = [one for number, at in enumerate(ats, 1) for one in (record(at - 0.05, number), record(at, number + 1))]
    return [record(-1.0, 1), *changes, record(1000.0, len(ats) + 1)]


MOVE = [answer("a", 0, 1), answer("a", 2, 3), answer("b", 5, 6)]
TWO = {
    "another server without an epoch": (MOVE, epochs()),
    "back again without an epoch": ([*MOVE, answer("a", 7, 8)], epochs(4)),
    "the old one goes on beside the new one": (
        [answer("a", 0, 1), answer("b", 5, 6), answer("a", 7, 8), answer("b", 9, 10)], epochs(4),
    ),
    "only a read comes from the old one": ([*MOVE, answer("a", 7, 8, "read"), answer("b", 9, 10)], epochs(4)),
    "a short call within another's time": (
        [answer("a", 0, 1), answer("b", 3, 4), answer("a", 4.1, 4.2), answer("b", 4.3, 5)], epochs(2),
    ),
    "the new one before its epoch": (MOVE, epochs(100)),
    "there and back in order, but before the second epoch": ([*MOVE, answer("a", 7, 8)], epochs(4, 500)),
    "of three servers two at once": (
        [answer("c", -0.5, -0.4), *MOVE, answer("a", 7, 8), answer("b", 9, 10), answer("a", 11, 12)], epochs(0, 4),
    ),
    "the epoch goes back": ([answer("a", 0, 1)], [record(-1, 2), record(500, 1), record(1000, 1)]),
    "the number within an epoch goes back": ([answer("a", 0, 1)], [record(-1, 2, 7), record(1000, 2, 6)]),
}  # fmt: skip
ONE = {
    "nothing": ([], epochs()),
    "one server": ([answer("a", at, at + 2) for at in range(20)], epochs()),
    "a failover": (MOVE, epochs(4)),
    "there and back": ([*MOVE, answer("a", 7, 8)], epochs(4, 6.5)),
    "calls that were under way during the move": (
        [answer("a", 0, 5.5), answer("b", 3, 5), answer("a", 3, 4), answer("b", 4.4, 6)], epochs(3.5),
    ),
    "an epoch that was given and taken back unused": (MOVE, epochs(4, 4.1, 4.2)),
    "what is unknown proves nothing": (
        [*MOVE, replace(answer("a", 7, 8), outcome=call("read", 0, 0, 1, outcome="unknown").outcome)], epochs(4),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("calls", "seen"), TWO.values(), ids=TWO.keys())
def test_two_answerers_are_found(calls: list[Call], seen: list[Record]) -> None:
    assert answerer.check(calls, seen)


@pytest.mark.parametrize(("calls", "seen"), ONE.values(), ids=ONE.keys())
def test_one_answerer_is_allowed(calls: list[Call], seen: list[Record]) -> None:
    assert not answerer.check(calls, seen)


def test_without_a_record_after_the_last_change_nothing_is_claimed() -> None:
    with pytest.raises(ValueError, match="no record was seen after"):
        answerer.check(MOVE, [record(-1.0)])


def _served(random: Random) -> tuple[list[Call], list[Record], list[float]]:
    """Calls answered by whoever served at one moment of each; records that were seen; when the server changed."""
    moves = list(accumulate(random.uniform(5, 20) for _ in range(random.randint(0, 5))))
    seen = [record(at, 1 + sum(move < at for move in moves)) for at in (-1.0, *_moments(random, 200, 120), 1000.0)]
    calls = []
    for moment in _moments(random, 150, 120):
        server = "ab"[sum(move + 0.5 < moment for move in moves) % 2]  # an epoch is written before its server opens
        calls.append(answer(server, moment - random.uniform(0, 2), moment + random.uniform(0, 2)))
    return calls, seen, moves


def _moments(random: Random, count: int, until: float) -> list[float]:
    return sorted(random.uniform(0, until) for _ in range(count))


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 2**32))
def test_whoever_serves_in_turn_is_never_accused(seed: int) -> None:
    calls, seen, _ = _served(Random(seed))
    assert not answerer.check(calls, seen)


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 2**32))
def test_one_answer_of_the_wrong_server_is_found(seed: int) -> None:
    """After the right one of the last epoch has answered."""
    random = Random(seed)
    calls, seen, moves = _served(random)
    forced = answerer.changes(sorted(calls, key=lambda one: one.ended), "a")
    assume(len(forced) == len(moves))  # else there is an epoch that nobody used
    since = forced[-1].ended if forced else min(one.ended for one in calls)
    last = [one for one in calls if one.began > since]
    assume(last)
    wrong = random.choice(last)
    calls[calls.index(wrong)] = replace(wrong, server="b" if wrong.server == "a" else "a")
    assert answerer.check(calls, seen)


# --- the hosts


def host(node: str, at: float, role: str = "primary", **different: object) -> Host:
    """As a primary or a standby should be seen."""
    serves = role == "primary"
    seen = Host(
        node, at, at + 0.02, gate_open=serves, has_address=serves, server=node, read_only=not serves,
        super_read_only=not serves, offline=False, source_on=serves, waits_ms=WEEKS_MS,
        receiver="OFF" if serves else "ON",
    )  # fmt: skip
    return replace(seen, **different)


PAIR = (
    [host("db-a", at / 10) for at in range(10)],
    [host("db-b", at / 10 + 0.05, "standby") for at in range(10)],
)
STEADY = [record(-1.0), record(5.0)]


def _changed(node: int, place: int, **different: object) -> tuple[list[Host], list[Host]]:
    pair = [list(PAIR[0]), list(PAIR[1])]
    pair[node][place] = replace(pair[node][place], **different)
    return pair[0], pair[1]


ALARMS = {
    "both serve": _changed(1, 5, gate_open=True, has_address=True, read_only=False, receiver="OFF"),
    "the standby is writable and receives": _changed(1, 5, read_only=False, super_read_only=False),
    "the primary receives": _changed(0, 3, receiver="ON"),
    "the primary tries to receive": _changed(0, 3, receiver="CONNECTING"),
    "commits do not wait, though they should": _changed(0, 3, source_on=False),
    "commits wait for a second only": _changed(0, 3, waits_ms=1000),
}
FINE = {
    "a healthy pair": PAIR,
    "an open gate before a server that is read only": _changed(1, 5, gate_open=True, has_address=True),
    "an open gate without the address, as before the rules are loaded": _changed(
        1, 5, gate_open=True, read_only=False, receiver="OFF"
    ),
    "a writable server behind a shut gate": _changed(1, 5, read_only=False, super_read_only=False, receiver="OFF"),
    "an offline one that can be repaired": _changed(1, 5, read_only=False, super_read_only=False, offline=True),
    "one that does not answer": _changed(0, 3, server=None, read_only=None, receiver=None, source_on=None),
    "relaxed, behind a shut gate": _changed(0, 3, source_on=False, gate_open=False),
}


@pytest.mark.parametrize("pair", ALARMS.values(), ids=ALARMS.keys())
def test_a_host_that_must_not_be_so_is_found(pair: tuple[list[Host], list[Host]]) -> None:
    assert len(servers.check(pair, STEADY)) == 1


@pytest.mark.parametrize("pair", FINE.values(), ids=FINE.keys())
def test_a_host_that_may_be_so_is_left_alone(pair: tuple[list[Host], list[Host]]) -> None:
    assert not servers.check(pair, STEADY)


def test_a_move_is_not_taken_for_two_that_serve() -> None:
    """Also where the two are looked at a moment apart, and one look took long."""
    moving = [host("db-a", at / 10, "primary" if at < 5 else "standby") for at in range(10)]
    taking = [host("db-b", at / 10 + 0.05, "standby" if at < 5 else "primary") for at in range(10)]
    taking[4] = replace(taking[5], began=0.35, ended=0.41)
    assert not servers.check((moving, taking), STEADY)


@pytest.mark.parametrize(
    "seen",
    [[record(-1.0, mode="ASYNC"), record(5.0, mode="ASYNC")], [record(-1.0), record(5.0, seq=9)], [record(-1.0)], []],
    ids=["ASYNC", "another record meanwhile", "none after it", "none"],
)
def test_relaxed_is_an_alarm_only_under_a_record_that_surely_said_sync(seen: list[Record]) -> None:
    relaxed = _changed(0, 3, source_on=False)
    assert servers.check(relaxed, STEADY) and not servers.check(relaxed, seen)


def test_nothing_is_claimed_about_a_time_in_which_a_host_was_not_seen() -> None:
    """It may have moved there and back."""
    seen = [host("db-a", 0.0), host("db-a", 60.0)], [host("db-b", 30.0)]
    assert not servers.check(seen, STEADY)


def test_what_watchers_write_is_read_back() -> None:
    """A mysqld that did not answer has said nothing."""
    line = '{"node": "db-a", "began": 1.0, "ended": 1.5, "gate_open": true, "has_address": true}'
    (seen,) = hosts([line])
    assert not seen.serving and not seen.writable and not seen.relaxed
    shown = '{"began": 1.0, "ended": 1.5, "epoch": 3, "seq": 9, "primary": "db-a", "mode": "SYNC", "phase": "STEADY"}'
    assert records([shown]) == [Record(1.0, 1.5, 3, 9, "db-a", "SYNC", "STEADY")]
