"""ZooKeeper came back without the writes that we have seen: nobody goes on as if nothing had happened."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from zkservers import Link, Servers, eventually

from orchestrator.coordination import client
from orchestrator.coordination.client import ZooKeeper
from orchestrator.core.errors import CoordinatorUnavailable, HistoryLost
from orchestrator.core.ports import Create, SetData
from orchestrator.process.clock import HostClock

pytestmark = pytest.mark.lab


class Doorkeeper(Link):
    """Once `strict`: whoever has seen a write hears nothing; a newcomer is let in, and hears nothing more.

    So a server looks that goes on for a moment and is stopped again.
    """

    def __init__(self, host: str) -> None:
        super().__init__(host)
        self.strict = False
        self.let_in = threading.Event()
        self._met: set[socket.socket] = set()

    def _pass(self, ready: socket.socket, other: socket.socket, from_client: bool) -> None:
        if not self.strict:
            super()._pass(ready, other, from_client)
            return
        first = ready not in self._met
        self._met.add(ready)
        newcomer = not any(ready.recv(16, socket.MSG_PEEK)[8:16])  # length, version, then the last write seen
        if first and (newcomer or not from_client):
            super()._pass(ready, other, from_client)
            if not from_client:
                self.let_in.set()
        elif not ready.recv(65536):
            super()._pass(ready, other, from_client)


class Spawned:
    """Threads whose end by an exception is kept, where a daemon would end as a whole."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.error: BaseException | None = None

    def __call__(self, name: str, run: Callable[[], None]) -> threading.Thread:
        def kept() -> None:
            try:
                run()
            except BaseException as error:  # noqa: BLE001 - whatever it is, the test looks at it
                self.error = error
            self.ended.set()

        thread = threading.Thread(target=kept, name=name)
        thread.start()
        return thread


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    with closing(Servers(tmp_path)) as running:
        yield running


def connected(hosts: list[str], spawned: Spawned) -> ZooKeeper:
    made = ZooKeeper(hosts, HostClock(), spawned)
    made.start()
    assert made.wait_connected(30.0)
    return made


def reads(asking: ZooKeeper) -> bool:
    """Whether ZooKeeper answers it; a busy machine may cut the connection first."""
    with suppress(CoordinatorUnavailable):
        return asking.read("/") is not None
    return False


def test_lost_data_ends_whoever_has_seen_more_and_a_newcomer_goes_on(servers: Servers):
    spawned = Spawned()
    with closing(connected(servers.hosts, spawned)) as before:
        before.submit((Create("/lesson", b"learned"),)).result(5.0)
        for _ in range(20):  # the new ensemble's first writes must not reach what we have seen
            before.submit((SetData("/lesson", b"learned", -1),)).result(5.0)
        servers.lose_data()
        assert spawned.ended.wait(60.0)
        assert isinstance(spawned.error, HistoryLost)
        newcomer = Spawned()
        with closing(connected(servers.hosts, newcomer)) as after:
            assert after.read("/lesson") is None


def test_an_ensemble_that_is_only_away_for_long_costs_nobody_its_process(servers: Servers, monkeypatch):
    monkeypatch.setattr(client, "LONG_UNCONNECTED_S", 0.3)
    spawned = Spawned()
    with closing(Link(servers.hosts[0])) as link, closing(connected([link.host], spawned)) as patient:
        link.down()
        assert not spawned.ended.wait(4.0)
        link.up()
        assert patient.wait_connected(30.0)
        assert not spawned.ended.is_set()


def test_a_newcomer_who_hears_nothing_more_proves_no_loss(servers: Servers, monkeypatch):
    """Servers that were stopped, went on for a moment and were stopped again ended every process that knew them."""
    monkeypatch.setattr(client, "LONG_UNCONNECTED_S", 0.3)
    monkeypatch.setattr(client, "NEWCOMER_S", 4.0)  # the patient one's turn, when the door opens, on a busy machine
    spawned = Spawned()
    with closing(Doorkeeper(servers.hosts[0])) as link, closing(connected([link.host], spawned)) as patient:
        eventually(lambda: reads(patient), 30.0)  # from now on it has seen a write
        link.strict = True
        link.down()
        link.up()
        assert link.let_in.wait(30.0)
        assert not spawned.ended.wait(2 * client.NEWCOMER_S)
        link.strict = False
        link.down()
        link.up()
        assert patient.wait_connected(30.0)
        assert not spawned.ended.is_set()
