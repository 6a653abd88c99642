"""Paths, hosts, and what an answer of ZooKeeper means."""

from __future__ import annotations

import pytest
from kazoo.exceptions import (
    BadVersionError,
    ConnectionLoss,
    NoAuthError,
    NodeExistsError,
    NoNodeError,
    OperationTimeoutError,
    RolledBackError,
    RuntimeInconsistency,
    SessionExpiredError,
)
from kazoo.protocol.states import ZnodeStat

from orchestrator.coordination.answer import Answer
from orchestrator.coordination.client import check_hosts
from orchestrator.coordination.paths import Paths
from orchestrator.core.errors import ConfigWrong, CoordinatorUnavailable, StaleWrite, UnknownOutcome
from orchestrator.core.model import NodeName

STAT = ZnodeStat(1, 2, 3, 4, 5, 0, 0, 0, 0, 0, 1)


def answer(value: object) -> Answer:
    made = Answer(sent=0.0)
    if isinstance(value, BaseException):
        made.set_exception(value)
    else:
        made.set(value)
    return made


def test_every_path_is_below_the_cluster():
    paths = Paths("main")
    assert paths.lease(NodeName("db-a")) == "/kembar/main/lease/db-a"
    assert paths.event(7) == "/kembar/main/history/events/0000000007"
    assert paths.candidate_prefix("db-b") == "/kembar/main/election/c-db-b-"


def test_folders_come_after_their_parents():
    seen = {""}
    for folder in Paths("main").folders():
        assert folder.rpartition("/")[0] in seen
        seen.add(folder)


@pytest.mark.parametrize("name", ["", "a/b", "..", ".", "a b", "-a", "x" * 65, "ä"])
def test_a_name_that_is_no_single_part_of_a_path_is_refused(name):
    with pytest.raises(ConfigWrong):
        Paths(name)
    with pytest.raises(ConfigWrong):
        Paths("main").lease(NodeName(name))


@pytest.mark.parametrize("host", ["zk1:2181", "192.0.2.1", "192.0.2.1:0", "192.0.2.1:x", "192.0.2.1:70000", "::1:x"])
def test_a_host_that_needs_a_resolver_or_a_guess_is_refused(host):
    with pytest.raises(ConfigWrong):
        check_hosts(["192.0.2.1:2181", host])


def test_literals_are_accepted():
    check_hosts(["192.0.2.1:2181", "[2001:db8::1]:2181"])


def test_no_host_is_a_mistake():
    with pytest.raises(ConfigWrong):
        check_hosts([])


def test_each_op_has_its_entry():
    assert answer([True, STAT, "/made", True]).result(0) == (0, 5, "/made", 0)
    assert answer(STAT).result(0) == (5,)


@pytest.mark.parametrize("error", [BadVersionError(), NoNodeError(), NodeExistsError()], ids=lambda e: type(e).__name__)
def test_a_write_that_lost_is_stale(error):
    with pytest.raises(StaleWrite):
        answer(error).result(0)
    with pytest.raises(StaleWrite):
        answer([RolledBackError(), error, RuntimeInconsistency()]).result(0)


@pytest.mark.parametrize(
    "error",
    [ConnectionLoss(), SessionExpiredError(), OperationTimeoutError(), RuntimeError("xid")],
    ids=lambda e: type(e).__name__,
)
def test_what_was_lost_on_its_way_may_have_happened(error):
    with pytest.raises(UnknownOutcome):
        answer(error).result(0)


def test_a_missing_right_is_surely_not_done():
    with pytest.raises(CoordinatorUnavailable):
        answer(NoAuthError()).result(0)


def test_no_answer_in_time_is_an_unknown_outcome():
    pending = Answer(sent=0.0)
    assert not pending.done()
    with pytest.raises(UnknownOutcome):
        pending.result(0.01)


def test_a_refused_request_was_never_sent_and_tells_nobody():
    told: list[Answer] = []
    refused = Answer(0.0, told.append)
    refused.refuse()
    with pytest.raises(CoordinatorUnavailable):
        refused.result(0)
    assert not told


def test_the_answer_can_be_taken_where_it_is_told():
    """`then` runs after the answer is open: a waiter that it wakes must not find it closed."""
    told: list[tuple[str | int, ...]] = []
    made = Answer(0.0, lambda a: told.append(a.result(0)))
    made.set(STAT)
    assert told == [(5,)]
