"""Election, and what of the client only kazoo and real servers have. The ports' own suite is in ports/."""

from __future__ import annotations

import json
import math
import secrets
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest
from zkservers import Link, Servers, eventually

from orchestrator.coordination.client import ZooKeeper
from orchestrator.coordination.election import Election
from orchestrator.coordination.mirror import WatchedMirror
from orchestrator.coordination.paths import Paths
from orchestrator.core.errors import InvariantBroken, StaleWrite
from orchestrator.core.model import LeaderRecord, NodeName
from orchestrator.core.ports import Check, Create, Delete, SetData
from orchestrator.core.wire import decode, encode
from orchestrator.process import threads
from orchestrator.process.clock import HostClock
from tests.contract.ports.pace import RealPace, lasted_s

pytestmark = pytest.mark.lab

STALL_S = 0.5
LEFT_S = 2.5  # of a frozen server; kazoo alone takes 5 T and more when busy: its ping is never due (measured)
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

    def made(
        *hosts: str, clock: HostClock | None = None, session_s: float = 1.0, stall_s: float = STALL_S
    ) -> ZooKeeper:
        wanted = hosts or servers.hosts
        client = ZooKeeper(wanted, clock or HostClock(), threads.start, session_s=session_s, stall_s=stall_s)
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
    """A client that no fault of the test touches. Its server may be behind that of another client."""
    return connect(session_s=5.0, stall_s=5.0)


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


def test_the_granted_session_timeout_is_known(connect):
    """The server clamps to two ticks of 250 ms without a word."""
    eventually(lambda: connect(session_s=0.1).session_timeout_s == 0.5)


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_a_frozen_server_is_left_for_the_next_one(connect, servers, paths, busy):
    followers = servers.followers()
    client = connect(*followers)
    frozen = client.server
    servers.freeze(frozen)
    try:
        began = time.monotonic()
        if busy:
            client.submit([SetData(paths.desired, b"x", 0)])
        eventually(lambda: client.server in set(followers) - {frozen})
        assert time.monotonic() - began < LEFT_S
    finally:
        servers.thaw(frozen)


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
    assert time.monotonic() - began < LEFT_S


def test_many_mirrors_of_one_client_are_read_again_after_a_cut(make, link, paths):
    """Their reads are many more than kazoo's own socket pair holds, and come from the thread that empties it."""
    client = make(link.host)
    mirrors = [WatchedMirror(client, HostClock(), [paths.desired, *missing(paths, 20)]) for _ in range(40)]
    client.start()
    for _ in range(2):
        eventually(lambda: all(paths.desired in mirror.snapshot() for mirror in mirrors))
        link.down()
        eventually(lambda: not any(mirror.snapshot() for mirror in mirrors))
        link.up()


def missing(paths: Paths, count: int) -> list[str]:
    return [f"{paths.root}/missing-{number}" for number in range(count)]


def test_whoever_asks_beside_many_mirrors_is_answered_meanwhile(make, paths):
    """Also while all of them are read for the first time: one after the other, not all before whoever comes later."""
    client = make(session_s=5.0, stall_s=5.0)  # a busy machine takes longer for all of it than the stall of the others
    mirrors = [WatchedMirror(client, HostClock(), [paths.desired, *missing(paths, 20)]) for _ in range(200)]
    client.start()
    assert client.wait_connected(10)
    session, asked = client.session_id, 0
    while not all(mirror.snapshot() for mirror in mirrors):
        assert client.read(paths.desired, 10.0) is not None
        asked += 1
    assert asked > 10 and client.session_id == session and client.hearing_since() < math.inf


def test_a_listener_that_comes_late_is_a_bug(direct, paths):
    with pytest.raises(InvariantBroken):
        WatchedMirror(direct, HostClock(), [paths.desired])


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
    direct.submit([SetData(paths.leader, encode(LeaderRecord(7, "db-b")), old)]).result(5)
    with pytest.raises(StaleWrite):
        leader.write(old)
    leader.election.recheck()
    eventually(lambda: leader.election.term == 8)  # it is still the only candidate


@pytest.mark.parametrize(
    "garbage", [b"", b'{"format": 1, "term": 0, "owner": ""}', b"{", b"\xff\xfe", b'{"term": "7"}', b"[" * 50_000]
)
def test_a_leader_record_that_cannot_be_read_is_written_anew_in_a_higher_term(stand, direct, paths, garbage):
    """Nobody dies of it: the next term is above every earlier one, since each of them was a write of that record."""
    leader = stand("db-a")
    eventually(leader.leads)
    term, version = leader.election.tenure
    direct.submit([SetData(paths.leader, garbage, version)]).result(5)
    leader.election.recheck()
    eventually(lambda: leader.leads() and leader.election.term_version > version)
    assert leader.election.term > term
    eventually(lambda: direct.read(paths.leader).data != garbage)  # its server may be behind
    assert decode(LeaderRecord, direct.read(paths.leader).data).owner == "db-a"


def test_a_cluster_that_is_not_there_holds_up_no_other(make, paths, direct, stack):
    """One client stands in both; the other is led as soon as somebody has made it."""
    client, missing_one = make(), Paths(f"c{secrets.token_hex(4)}")
    elections = [Election(client, HostClock(), one, "witness") for one in (missing_one, paths)]
    mirrors = [WatchedMirror(client, HostClock(), [one.desired, one.leader]) for one in (missing_one, paths)]
    client.start()
    for election in elections:
        election.start(threads.start)
        stack.callback(election.close)
    eventually(lambda: elections[1].term_version is not None and paths.leader in mirrors[1].snapshot())
    assert elections[0].term_version is None and not mirrors[0].snapshot()
    records = [*missing_one.folders()[1:], missing_one.leader, missing_one.desired]
    direct.submit([Create(path, b"") for path in records]).result(5)
    eventually(lambda: elections[0].term_version is not None and missing_one.leader in mirrors[0].snapshot())
    assert elections[1].term == 1


def test_a_stranger_among_the_candidates_leads_nobody(stand, direct, paths):
    for name in ("stray0000000000", "c-0000000000x"):
        direct.submit([Create(f"{paths.election}/{name}", b"garbage")]).result(5)
    eventually(stand("db-a").leads)


def test_leading_is_false_while_in_doubt_and_true_again_under_a_new_term(stand, link, direct, paths):
    leader = stand("db-a", link.host)
    eventually(leader.leads)
    old = leader.election.term_version
    link.deaf()
    assert lasted_s(RealPace(), leader.leads) <= STALL_S + 0.1
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
    before = direct.children(paths.election)
    first.election.resign()
    assert not first.leads()
    eventually(second.leads)
    eventually(lambda: len(direct.children(paths.election)) == 2 and direct.children(paths.election) != before)
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
    eventually(lambda: direct.children(paths.election) != ())  # its server may be behind
    (mine,) = direct.children(paths.election)
    direct.submit([Delete(f"{paths.election}/{mine}", -1)]).result(5)
    eventually(lambda: only.election.term == 2)
    assert direct.children(paths.election) != (mine,)
