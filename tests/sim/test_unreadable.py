"""The real agents, keepers and orchestrators over records that cannot be read: nobody dies, nobody is promoted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from orchestrator.core.model import NodeName
from orchestrator.core.ports import SetData, Stored
from tests.garbage import KINDS
from tests.sim.stories import AT, CALM
from tests.sim.world import DB_A, DB_B, World, virtual_time

LASTS_S = 6.0
TAKES_POWER = {"F1", "F2", "F5", "F6", "S2"}
WRITTEN_BY_ITS_AGENT = {"lease/db-a", "lease/db-b", "sync/db-a", "sync/db-b", "reports/db-a", "reports/db-b"}
BY_A_PERSON = {"desired", "policy", "pause", "history/recent"}
RECORDS = sorted(WRITTEN_BY_ITS_AGENT | BY_A_PERSON | {"leader"})


class Scribbled:
    """A world in which something stands in one record from AT on; `lives` are the processes as they were then."""

    def __init__(self, record: str, garbage: bytes, then: Callable[[World], None] = lambda world: None) -> None:
        self.world = World(replace(CALM, seed=len(record), storm_s=AT + LASTS_S + 1.0))
        self.path = f"{self.world.paths.root}/{record}"
        self.world.time.at(AT, lambda: self._scribble(garbage))
        self.world.time.at(AT + 1.0, lambda: then(self.world))
        self.world.time.at(AT + LASTS_S, self._look_and_restore)

    def _scribble(self, garbage: bytes) -> None:
        self.before = self.world.store.now(self.path)
        self.lives = self._lives()
        self.rules = dict(self.world.checker.rules)
        self.garbage = garbage
        self._put(garbage)

    def _look_and_restore(self) -> None:
        """What its only writer has not written anew, a person writes as it was."""
        after = self.world.store.now(self.path)
        self.anew = after is not None and after.data != self.garbage
        self.fired = {rule for rule, n in self.world.checker.rules.items() if n > self.rules.get(rule, 0)}
        self.lives_after = self._lives()
        self.open = {name: node.kernel.is_open for name, node in self.world.nodes.items()}
        looks = [one.look for one in self.world.deciding.values()]
        self.named = {bad.path for look in looks if look for bad in look.unreadable}
        self.reports = {
            name: one.value.troubles
            for look in looks
            if look and look.situation
            for name, one in look.situation.reports.items()
        }
        if not self.anew:
            assert isinstance(self.before, Stored)
            self._put(self.before.data)

    def _put(self, data: bytes) -> None:
        """Whoever judges the product reads only what the product wrote."""
        judges, written = (self.world.covered.written, self.world.checker.written), self.world.store.written
        for judge in judges:
            written.remove(judge)
        self.world.store.apply([SetData(self.path, data, -1)], 0)
        written += judges

    def _lives(self) -> dict[str, object]:
        nodes = {name: node.process for name, node in self.world.nodes.items()}
        return {**nodes, **{name: one.process for name, one in self.world.deciding.items()}}

    def play(self) -> None:
        result = self.world.run()
        print(result.timeline())
        assert not result.violation, result.violation
        assert self.lives_after == self.lives, "nobody died of it, and nobody was started anew"


@pytest.mark.parametrize("record", RECORDS)
def test_nobody_is_promoted_and_the_pair_is_whole_again(record):
    with virtual_time():
        told = Scribbled(record, KINDS["bytes"])
        told.play()
    assert not told.fired & TAKES_POWER
    assert told.open == {DB_A: True, DB_B: False}, "whoever serves goes on, or serves again"
    assert told.anew == (record not in BY_A_PERSON)
    assert told.named == ({told.path} if record in BY_A_PERSON else set())


@pytest.mark.parametrize("record", sorted(BY_A_PERSON))
def test_not_even_when_the_primary_dies_meanwhile(record):
    """Its agent has released, the standby is certified: with whole records F5 would follow within milliseconds."""
    with virtual_time():
        told = Scribbled(record, KINDS["bytes"], lambda world: world.nodes[DB_A].server.kill())
        told.play()
    assert not told.fired & TAKES_POWER


def test_whoever_serves_says_which_record_it_cannot_read():
    with virtual_time():
        told = Scribbled("desired", b"{")
        told.play()
    for name in (DB_A, DB_B):
        assert any("RECORD_UNREADABLE" in text and told.path in text for text in told.reports[NodeName(name)])


def test_a_hung_mysqld_loses_its_power_though_the_desired_record_cannot_be_read():
    """Nothing is begun, but nobody is served by a server that does not answer."""

    def hangs(world: World) -> None:
        world.nodes[DB_A].server.freeze()
        world.time.after(LASTS_S, world.nodes[DB_A].server.thaw)

    with virtual_time():
        told = Scribbled("desired", b"{", hangs)
        told.play()
    assert told.open == {DB_A: False, DB_B: False}
    assert not told.fired
