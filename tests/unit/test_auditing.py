"""What the cluster keeps of actions and of tokens: in order, once ZooKeeper takes it, and not for ever."""

from __future__ import annotations

import threading
from dataclasses import replace

from orchestrator.auditing import KEPT, PRUNED_EVERY, Auditor
from orchestrator.coordination.paths import Paths
from orchestrator.core.access import AccessRole, Token, Tokens
from orchestrator.core.audit import Entry
from orchestrator.core.ports import Seen, Stored
from orchestrator.core.requests import Kind, Request, RequestState
from orchestrator.core.situation import Sighting
from orchestrator.core.wire import encode
from orchestrator.loop import Look
from orchestrator.tokens import KeptTokens
from tests.builders import DB_B, NOW, rejoining
from tests.fakes import FakeCoordinator

PATHS = Paths("orders")
ENTRY = Entry("2026-11-24T18:59:04.120Z", "olga", "operator", "192.0.2.7", "witness", "pause 1h", result="done")


def auditor(coordinator: FakeCoordinator) -> Auditor:
    coordinator.nodes[PATHS.audit] = Stored(b"", 0)
    return Auditor(PATHS, coordinator, "witness", lambda: "now")


def written(one: Auditor) -> None:
    one.stop()
    one.run()


def test_entries_are_read_back_newest_first() -> None:
    coordinator = FakeCoordinator()
    one = auditor(coordinator)
    for number in range(3):
        one.note(replace(ENTRY, detail=str(number)))
    written(one)
    assert [entry.detail for entry in one.newest(2)] == ["2", "1"]


def test_a_cluster_from_before_gets_its_folder() -> None:
    coordinator = FakeCoordinator()
    one = auditor(coordinator)
    del coordinator.nodes[PATHS.audit]
    one.note(ENTRY)
    written(one)
    assert one.newest(10) == (ENTRY,)


def test_one_that_cannot_be_read_hides_no_other() -> None:
    coordinator = FakeCoordinator()
    one = auditor(coordinator)
    one.note(ENTRY)
    written(one)
    coordinator.nodes[f"{PATHS.audit_prefix}9999999999"] = Stored(b"{", 0)
    broken, kept = one.newest(10)
    assert (broken.action, "9999999999" in broken.detail, kept) == ("unreadable", True, ENTRY)


def test_only_the_newest_are_kept() -> None:
    coordinator = FakeCoordinator()
    one = auditor(coordinator)
    for number in range(KEPT):
        coordinator.nodes[f"{PATHS.audit_prefix}{number:010d}"] = Stored(encode(ENTRY), 0)
    coordinator.writes = [()] * KEPT
    for _ in range(PRUNED_EVERY):
        one.note(ENTRY)
    written(one)
    names = coordinator.children(PATHS.audit)
    assert (len(names), names[0]) == (KEPT, f"e-{PRUNED_EVERY:010d}")


def test_what_is_noted_while_zookeeper_is_away_is_kept_when_it_is_back() -> None:
    coordinator = FakeCoordinator()
    one = auditor(coordinator)
    coordinator.connected = False
    one.note(ENTRY)
    thread = threading.Thread(target=one.run)
    thread.start()
    coordinator.connected = True
    while ENTRY not in one.newest(10):
        assert thread.is_alive()
    one.stop()
    thread.join()
    assert one.newest(10) == (ENTRY,)


def look(state: RequestState, *, leading: bool = True, epoch: int = 7) -> Look:
    request = Request("r1", Kind.SWITCHOVER, DB_B, "patch", "olga", 7, state, answer="db-b is primary")
    situation = replace(rejoining(), requests={"r1": Sighting(request, 0, NOW)})
    situation = replace(situation, cluster=replace(situation.cluster, epoch=epoch))
    return Look({}, NOW, leading, situation)


def test_the_end_of_an_operation_is_noted_once_and_by_the_leader() -> None:
    coordinator = FakeCoordinator()
    one = auditor(coordinator)
    for seen in (look(RequestState.RUNNING), look(RequestState.DONE, epoch=8), look(RequestState.DONE, epoch=8)):
        one.take(seen)
    written(one)
    (entry,) = one.newest(10)
    assert (entry.actor, entry.action, entry.operation, entry.result) == ("olga", "switchover", "r1", "done")
    assert (entry.epoch, entry.epoch_after) == (7, 8)
    other = auditor(FakeCoordinator())
    other.take(look(RequestState.RUNNING, leading=False))
    other.take(look(RequestState.DONE, leading=False))
    written(other)
    assert other.newest(10) == ()


def seen_tokens(data: bytes, version: int = 0) -> dict[str, Seen]:
    return {PATHS.tokens: Seen(Stored(data, version), NOW)}


OLGA = Token("olga", AccessRole.OPERATOR, "0" * 64)


def test_tokens_are_good_for_the_cluster_that_keeps_them_alone() -> None:
    kept = KeptTokens(PATHS, FakeCoordinator())
    kept.take(seen_tokens(encode(Tokens((replace(OLGA, clusters=("orders", "billing")),)))))
    assert [token.clusters for token in kept.present] == [("orders",)]


def test_a_lost_connection_locks_nobody_out_and_a_broken_record_lets_nobody_in() -> None:
    kept = KeptTokens(PATHS, FakeCoordinator())
    kept.take(seen_tokens(encode(Tokens((OLGA,)))))
    kept.take({})
    assert [token.name for token in kept.present] == ["olga"]
    kept.take(seen_tokens(b"{", 1))
    assert kept.present == ()
    kept.take(seen_tokens(encode(Tokens((OLGA,))), 2))
    kept.take({PATHS.desired: Seen(Stored(b"", 0), NOW)})
    assert kept.present == (), "the record is gone"


def test_the_first_token_makes_the_record_and_the_next_one_changes_it() -> None:
    coordinator = FakeCoordinator()
    kept = KeptTokens(PATHS, coordinator)
    assert kept.read() == (Tokens(), -1)
    kept.put(Tokens((OLGA,)), -1)
    assert kept.read() == (Tokens((OLGA,)), 0)
    kept.put(Tokens(), 0)
    assert kept.read() == (Tokens(), 1) and kept.present == ()
