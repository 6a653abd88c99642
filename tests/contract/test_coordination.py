"""Coordinator, Mirror and Election against three real ZooKeeper servers."""

from __future__ import annotations

import json
import math
import secrets
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest
from zkservers import Link, Servers, eventually

from orchestrator.coordination.client import ZooKeeper
from orchestrator.coordination.election import Election
from orchestrator.coordination.mirror import WatchedMirror
from orchestrator.coordination.paths import Paths
from orchestrator.core.errors import CoordinatorUnavailable, InvariantBroken, StaleWrite, UnknownOutcome
from orchestrator.core.model import NodeName
from orchestrator.core.ports import Check, Create, Delete, SetData
from orchestrator.process import threads
from orchestrator.process.clock import HostClock

pytestmark = pytest.mark.lab

STALL_S = 0.5
DB_A = NodeName("db-a")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with closing(Servers(tmp_path_factory.mktemp("zookeeper"))) as running:
        yield running


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Closes what a test has opened, last first."""
    with ExitStack() as opened:
        yield opened


Connect = Callable[..., ZooKeeper]


@pytest.fixture
def make(servers: Servers, stack: ExitStack) -> Connect:
    """A client that is not started yet, closed after the test."""

    def made(*hosts: str, clock: HostClock | None = None, session_s: float = 1.0) -> ZooKeeper:
        wanted = hosts or servers.hosts
        client = ZooKeeper(wanted, clock or HostClock(), threads.start, session_s=session_s, stall_s=STALL_S)
        stack.callback(client.close)
        return client

    return made


@pytest.fixture
def connect(make: Connect) -> Connect:
    def connected(*hosts: str, **how: object) -> ZooKeeper:
        client = make(*hosts, **how)
        client.start()
        assert client.wait_connected(10)
        return client

    return connected


@pytest.fixture
def direct(connect: Connect) -> ZooKeeper:
    """A client that no fault of the test touches."""
    return connect()


@pytest.fixture
def paths(direct: ZooKeeper) -> Paths:
    """A fresh cluster with empty records."""
    made = Paths(f"c{secrets.token_hex(4)}")
    folders = [Create(f, b"") for f in made.folders() if direct.read(f) is None]
    records = [Create(p, b"") for p in (made.desired, made.leader, made.lease(DB_A))]
    direct.submit([*folders, *records]).result(5)
    return made


@pytest.fixture
def link(servers: Servers, stack: ExitStack) -> Link:
    return stack.enter_context(closing(Link(servers.followers()[0])))


def version(client: ZooKeeper, path: str) -> int:
    stored = client.read(path)
    assert stored is not None
    return stored.version


# --- Coordinator


def test_a_write_gives_the_new_version_and_a_read_shows_it(direct, paths):
    assert direct.submit([SetData(paths.desired, b"x", 0)]).result(5) == (1,)
    stored = direct.read(paths.desired)
    assert (stored.data, stored.version) == (b"x", 1)
    assert stored.modified_ms >= stored.created_ms > 0


def test_each_op_of_a_multi_has_its_entry(direct, paths):
    ops = [
        Check(paths.leader, 0),
        SetData(paths.desired, b"x", 0),
        Create(paths.request("r1"), b"r"),
        Create(f"{paths.requests}/s-", b"", sequence=True),
        Delete(paths.request("r1"), 0),
    ]
    results = direct.submit(ops).result(5)
    assert results == (0, 1, paths.request("r1"), f"{paths.requests}/s-0000000001", 0)
    assert direct.children(paths.requests) == ("s-0000000001",)


def test_what_does_not_exist_is_none_and_has_no_children(direct, paths):
    assert direct.read(paths.pause) is None
    assert direct.children(paths.pause) == ()


@pytest.mark.parametrize("checked", [False, True], ids=["alone", "in a multi"])
def test_a_stale_version_refuses_the_whole_write(direct, paths, checked):
    direct.submit([SetData(paths.desired, b"x", 0)]).result(5)
    others = [SetData(paths.leader, b"y", 0)] if checked else []
    with pytest.raises(StaleWrite):
        direct.submit([*others, SetData(paths.desired, b"z", 0)]).result(5)
    assert version(direct, paths.desired) == 1
    assert version(direct, paths.leader) == 0


def test_the_waker_is_called_when_the_answer_is_in(direct, paths):
    woken = threading.Event()
    pending = direct.submit([SetData(paths.desired, b"x", 0)], woken.set)
    assert woken.wait(5)
    assert pending.done()


def test_the_granted_session_timeout_is_known(connect):
    """The server clamps to two ticks of 250 ms without a word."""
    eventually(lambda: connect(session_s=0.1).session_timeout_s == 0.5)


def test_not_connected_refuses_at_once(make, link, paths):
    link.down()
    client = make(link.host)
    client.start()
    began = time.monotonic()
    for call in (
        lambda: client.submit([SetData(paths.desired, b"x", -1)]),
        lambda: client.read(paths.desired),
        lambda: client.children(paths.root),
    ):
        with pytest.raises(CoordinatorUnavailable):
            call()
    assert time.monotonic() - began < 0.1
    assert client.hearing_since() == math.inf
    assert not client.connected


def test_a_cut_in_mid_write_leaves_its_outcome_unknown(connect, direct, link, paths):
    client = connect(link.host)
    link.deaf()
    pending = client.submit([SetData(paths.desired, b"x", 0)])
    eventually(lambda: version(direct, paths.desired) == 1)  # it has happened, and we cannot know
    link.down()
    with pytest.raises(UnknownOutcome):
        pending.result(5)


def test_a_write_without_an_answer_is_unknown_after_the_callers_deadline(connect, link, paths):
    client = connect(link.host)
    link.deaf()
    began = time.monotonic()
    with pytest.raises(UnknownOutcome):
        client.submit([SetData(paths.desired, b"x", 0)]).result(0.1)
    assert time.monotonic() - began < STALL_S


def test_a_write_without_an_answer_is_unknown_after_the_stall_deadline(connect, link, paths):
    client = connect(link.host)
    link.deaf()
    began = time.monotonic()
    with pytest.raises(UnknownOutcome):
        client.submit([SetData(paths.desired, b"x", 0)]).result(10)
    assert time.monotonic() - began < STALL_S + 0.3


def test_nothing_that_was_refused_is_ever_done(connect, direct, link, paths):
    """kazoo queues while suspended. Cut at random moments, each write is done, refused or unknown, as it was told."""
    client = connect(link.host)
    outcomes: dict[str, str] = {}
    ending = threading.Event()

    def write() -> None:
        while not ending.is_set():
            path = paths.request(f"r{len(outcomes)}")
            try:
                pending = client.submit([Create(path, b"")])
                outcomes[path] = "sent"
                pending.result(5)
                outcomes[path] = "done"
            except CoordinatorUnavailable:
                outcomes[path] = "refused"
                ending.wait(0.001)
            except UnknownOutcome:
                outcomes[path] = "unknown"

    writer = threads.start("writer", write)
    for _ in range(6):
        eventually(lambda: client.connected)
        done = sum(o == "done" for o in outcomes.values())
        eventually(lambda seen=done: sum(o == "done" for o in list(outcomes.values())) > seen + 20)
        link.down()
        eventually(lambda: not client.connected)
        refused = sum(o == "refused" for o in list(outcomes.values()))
        eventually(lambda seen=refused: sum(o == "refused" for o in list(outcomes.values())) > seen + 5)
        link.up()
    eventually(lambda: client.connected)
    ending.set()
    writer.join(10)
    client.submit([SetData(paths.desired, b"", -1)]).result(5)  # whatever had been queued would have been sent before
    there = {paths.request(name) for name in direct.children(paths.requests)}
    told = {o: {path for path, outcome in outcomes.items() if outcome == o} for o in ("done", "refused", "unknown")}
    assert told["done"] <= there <= told["done"] | told["unknown"]
    assert len(told["refused"]) > 30


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_a_frozen_server_is_left_for_the_next_one(connect, servers, paths, busy):
    """kazoo alone takes 5 T and more when busy: its ping is never due (measured)."""
    followers = servers.followers()
    client = connect(*followers)
    frozen = client.server
    servers.freeze(frozen)
    try:
        began = time.monotonic()
        if busy:
            client.submit([SetData(paths.desired, b"x", 0)])
        eventually(lambda: client.server in set(followers) - {frozen})
        assert time.monotonic() - began < STALL_S + 0.3
    finally:
        servers.thaw(frozen)


def test_hearing_begins_anew_after_a_cut(connect, link):
    clock = HostClock()
    client = connect(link.host, clock=clock)
    before = client.hearing_since()
    assert before <= clock.waiter_now()
    link.down()
    eventually(lambda: client.hearing_since() == math.inf)
    cut = clock.waiter_now()
    link.up()
    eventually(lambda: client.connected)
    assert cut < client.hearing_since() <= clock.waiter_now()


def test_a_silent_server_is_not_heard_even_before_it_is_left(connect, link):
    client = connect(link.host)
    link.deaf()
    assert eventually(lambda: client.hearing_since() == math.inf) <= STALL_S + 0.05


class PausedClock(HostClock):
    """The clock of a process that may have been stopped for a while."""

    missed_s = 0.0

    def waiter_now(self) -> float:
        return super().waiter_now() + self.missed_s


def test_a_pause_of_our_own_is_a_break_in_hearing(connect):
    """After it the socket is full of news that nobody has looked at: nobody may be called silent from that."""
    clock = PausedClock()
    client = connect(clock=clock)
    clock.missed_s = 5.0
    resumed = clock.waiter_now()
    assert client.hearing_since() == math.inf
    eventually(lambda: client.hearing_since() < math.inf)
    assert client.hearing_since() >= resumed


def test_a_client_that_has_ended_for_good_is_built_anew(connect, link, paths):
    """A wrong xid ends kazoo's loop; nothing but a new client helps."""
    client = connect(link.host)
    first = client.session_id
    link.deaf()
    client.submit([SetData(paths.desired, b"x", 0)])
    link.say(struct.pack(">iiqi", 16, 4711, 1, 0))
    eventually(lambda: not client.connected)
    link.up()
    eventually(lambda: client.connected and client.session_id != first)
    assert client.read(paths.leader) is not None


def test_closing_does_not_wait_for_a_silent_server(make, link):
    client = make(link.host)
    client.start()
    assert client.wait_connected(10)
    link.deaf()
    began = time.monotonic()
    client.close()
    assert time.monotonic() - began < STALL_S + 1.0


def test_a_listener_that_comes_late_is_a_bug(direct, paths):
    with pytest.raises(InvariantBroken):
        WatchedMirror(direct, HostClock(), [paths.desired])


# --- Mirror


class Watched:
    """A started client with a mirror, and how often it woke."""

    def __init__(self, client: ZooKeeper, clock: HostClock, paths: Paths) -> None:
        self.client = client
        self.wakes = 0
        self.mirror = WatchedMirror(
            client, clock, [paths.desired, paths.lease(DB_A), paths.pause], [paths.requests], self._wake
        )
        client.start()
        eventually(lambda: paths.desired in self.mirror.snapshot())

    def _wake(self) -> None:
        self.wakes += 1

    def version(self, path: str) -> int | None:
        seen = self.mirror.snapshot().get(path)
        return seen.stored.version if seen else None


@pytest.fixture
def watched(make, link, paths) -> Watched:
    clock = HostClock()
    return Watched(make(link.host, clock=clock), clock, paths)


def test_the_first_snapshot_is_whole(watched, paths):
    assert set(watched.mirror.snapshot()) == {paths.desired, paths.lease(DB_A)}


def test_each_change_is_seen_and_wakes(watched, direct, paths):
    for number in range(20):
        before = watched.wakes
        direct.submit([SetData(paths.lease(DB_A), b"x", number)]).result(5)
        eventually(lambda n=number: watched.version(paths.lease(DB_A)) == n + 1, 0.9)  # by its watch, not by the poll
        eventually(lambda b=before: watched.wakes > b)


def test_a_record_that_comes_and_goes_is_seen(watched, direct, paths):
    for _ in range(3):
        direct.submit([Create(paths.pause, b"")]).result(5)
        eventually(lambda: watched.version(paths.pause) == 0, 0.9)
        direct.submit([SetData(paths.pause, b"x", 0)]).result(5)
        eventually(lambda: watched.version(paths.pause) == 1, 0.9)
        direct.submit([Delete(paths.pause, 1)]).result(5)
        eventually(lambda: watched.version(paths.pause) is None, 0.9)


def test_the_children_of_a_folder_are_followed(watched, direct, paths):
    for name in ("r1", "r2"):
        direct.submit([Create(paths.request(name), b"")]).result(5)
        eventually(lambda n=name: watched.version(paths.request(n)) == 0, 0.9)
    direct.submit([SetData(paths.request("r1"), b"x", 0)]).result(5)
    eventually(lambda: watched.version(paths.request("r1")) == 1, 0.9)
    direct.submit([Delete(paths.request("r1"), 1)]).result(5)
    eventually(lambda: watched.version(paths.request("r1")) is None, 0.9)
    assert watched.version(paths.request("r2")) == 0


def test_an_unchanged_record_wakes_nobody(watched):
    before = watched.wakes
    with pytest.raises(AssertionError):
        eventually(lambda: watched.wakes > before, 1.2)  # the poll has been there


def test_a_cut_empties_the_snapshot_and_keeps_the_first_sighting(watched, direct, link, paths):
    """t_obs is when a version was first seen; that we were deaf for a while does not make it younger."""
    lease = paths.lease(DB_A)
    before = watched.mirror.snapshot()
    link.down()
    eventually(lambda: not watched.mirror.snapshot())
    direct.submit([SetData(paths.desired, b"x", 0)]).result(5)
    link.up()
    eventually(lambda: bool(watched.mirror.snapshot()))
    after = watched.mirror.snapshot()
    assert after[lease] == before[lease]
    assert after[paths.desired].stored.version == 1
    assert after[paths.desired].first_seen > before[paths.desired].first_seen


def test_a_node_made_again_with_the_same_version_is_a_new_sighting(watched, direct, paths):
    direct.submit([Create(paths.pause, b"")]).result(5)
    eventually(lambda: watched.version(paths.pause) == 0)
    first = watched.mirror.snapshot()[paths.pause].first_seen
    direct.submit([Delete(paths.pause, 0), Create(paths.pause, b"")]).result(5)
    eventually(lambda: watched.mirror.snapshot()[paths.pause].first_seen > first)


# --- Election


class Orchestrator:
    """A client with a candidacy, and what a leader does with it."""

    def __init__(self, client: ZooKeeper, paths: Paths, owner: str) -> None:
        self.client = client
        self.paths = paths
        self.changes = 0
        self.election = Election(client, HostClock(), paths, owner, self._changed)
        client.start()
        self.election.start(threads.start)

    def _changed(self) -> None:
        self.changes += 1

    def leads(self) -> bool:
        return self.election.term_version is not None

    def write(self, term_version: int) -> None:
        """C1."""
        ops = [Check(self.paths.leader, term_version), SetData(self.paths.desired, b"x", -1)]
        self.client.submit(ops).result(5)


@pytest.fixture
def stand(make, paths, stack) -> Callable[..., Orchestrator]:
    def standing(owner: str, *hosts: str) -> Orchestrator:
        made = Orchestrator(make(*hosts), paths, owner)
        stack.callback(made.election.close)
        return made

    return standing


def test_one_leads_and_says_so_in_its_record(stand, direct, paths):
    first = stand("db-a")
    eventually(first.leads)
    second = stand("db-b")
    eventually(lambda: len(direct.children(paths.election)) == 2)
    record = json.loads(direct.read(paths.leader).data)
    assert (record["term"], record["owner"]) == (1, "db-a")
    assert (first.election.term, first.election.term_version) == (1, version(direct, paths.leader))
    first.write(first.election.term_version)
    assert not second.leads()


def test_the_next_one_leads_when_the_first_ends(stand):
    first = stand("db-a")
    eventually(first.leads)
    second = stand("db-b")
    first.election.close()
    first.client.close()
    eventually(second.leads)
    assert second.election.term == 2
    assert not first.leads()


def test_a_deposed_leaders_write_fails(stand, direct, paths):
    """It may not know yet: another's C2 has made its term's version stale."""
    leader = stand("db-a")
    eventually(leader.leads)
    old = leader.election.term_version
    direct.submit([SetData(paths.leader, b'{"term": 7, "owner": "db-b", "since": 0}', old)]).result(5)
    with pytest.raises(StaleWrite):
        leader.write(old)
    leader.election.recheck()
    eventually(lambda: leader.election.term == 8)  # it is still the only candidate


def test_leading_is_false_while_in_doubt_and_true_again_under_a_new_term(stand, link, direct, paths):
    leader = stand("db-a", link.host)
    eventually(leader.leads)
    old = leader.election.term_version
    link.deaf()
    assert eventually(lambda: not leader.leads()) <= STALL_S + 0.05
    link.up()
    eventually(leader.leads)
    assert leader.election.term == 2
    with pytest.raises(StaleWrite):
        leader.write(old)


def test_a_leader_cut_off_is_succeeded_and_knows_it_is_not_leading(stand, link):
    first = stand("db-a", link.host)
    eventually(first.leads)
    second = stand("db-b")
    link.down()
    eventually(lambda: not first.leads())
    eventually(second.leads)
    link.up()
    eventually(lambda: first.client.connected)
    assert not first.leads()
    assert second.leads()


def test_who_resigns_stands_behind_the_others(stand, direct, paths):
    first = stand("db-a")
    eventually(first.leads)
    second = stand("db-b")
    eventually(lambda: len(direct.children(paths.election)) == 2)
    first.election.resign()
    assert not first.leads()
    eventually(second.leads)
    eventually(lambda: len(direct.children(paths.election)) == 2)
    second.election.resign()
    eventually(first.leads)
    assert first.election.term == 3


def test_who_resigns_alone_leads_again(stand):
    only = stand("db-a")
    eventually(only.leads)
    only.election.resign()
    eventually(lambda: only.election.term == 2)


def test_a_candidate_that_disappears_stands_again(stand, direct, paths):
    only = stand("db-a")
    eventually(only.leads)
    (mine,) = direct.children(paths.election)
    direct.submit([Delete(f"{paths.election}/{mine}", -1)]).result(5)
    eventually(lambda: only.election.term == 2)
    assert direct.children(paths.election) != (mine,)
