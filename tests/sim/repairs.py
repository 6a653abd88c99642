"""Stories of a return with something else in the middle of it. What the old primary has alone clients were told of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from orchestrator.core.requests import Kind
from tests.sim import strands
from tests.sim.network import ZK
from tests.sim.node import Node
from tests.sim.repair import AGAIN
from tests.sim.story import Story, cut, primary
from tests.sim.world import World

FEW_WRITES = {"write_every_s": 0.1}
LATE = {"mirror_late_s": 0.1, "follower_lag_s": 0.05, "watch_lost": 0.3}
BACK_S = 13.0  # from the begin until the old primary boots
Then = Callable[[World, Node], None]


def returns(world: World, at: str, then: Then) -> None:
    """In ASYNC the primary's host is lost, somebody accepts loss, it comes back; then something at the step `at`."""
    node = primary(world)
    cut(world, 12.0, (node.name, node.peer.name))
    world.time.after(5.0, node.lose_power)
    world.time.after(8.0, lambda: world.injector.request(Kind.FAILOVER))
    world.time.after(BACK_S, node.boot)
    world.checker.returns.when_named[at] = lambda at_node: then(world, at_node)


def _story(at: str, then: Then, never: str = "", **differs: object) -> Story:
    return Story(partial(returns, at=at, then=then), fires="F6", never=never, differs={**FEW_WRITES, **differs})


def _nothing(world: World, node: Node) -> None:
    """The return as it is."""


def _agent_dies(world: World, node: Node) -> None:
    world.time.after(0.0, node._crash)


def _mysqld_dies(world: World, node: Node) -> None:
    world.time.after(0.0, node.server.kill)


def _peers_agent_is_gone(world: World, node: Node) -> None:
    """Nobody can fetch anything for a while."""
    peer = node.peer
    world.time.after(0.0, peer.kill_agent)
    world.time.after(2.0, peer.start_agent)


def _somebody_writes(world: World, node: Node) -> None:
    world.injector.write_by_hand(node)


def _record_is_lost(world: World, node: Node, lost_s: float) -> None:
    """Nothing but the record of the return: the desired one is older."""
    world.time.after(0.0, lambda: world.injector.restore(lost_s))


def _record_and_agent_are_lost(world: World, node: Node) -> None:
    """What is owed is known from its disk alone."""
    _record_is_lost(world, node, 1.0)
    _agent_dies(world, node)


def _roles_are_lost_too(world: World, node: Node) -> None:
    """A person adopts what the agents remember, in an epoch above."""
    world.time.after(0.0, lambda: world.injector.restore(6.0))


def _forced_meanwhile(world: World, node: Node) -> None:
    """The new primary's host is lost at this step, and somebody loses patience. The step takes long."""
    other = node.peer
    world.time.after(0.0, other.lose_power)
    for after_s in (2.2, 2.8, 3.4, 4.0):
        world.time.after(after_s, lambda: world.injector.request(Kind.FAILOVER, node.name))
    world.time.after(9.0, other.boot)
    strands.this_strand().sleep(7.0)


def _forced_later(world: World, node: Node) -> None:
    """The new primary's host is lost right after this step, before anything has come from it."""
    other = node.peer
    world.time.after(0.0, other.lose_power)
    for after_s in (2.2, 2.8, 3.4):
        world.time.after(after_s, lambda: world.injector.request(Kind.FAILOVER, node.name))
    world.time.after(6.0, other.boot)


def _primary_is_cut_off(world: World, node: Node) -> None:
    """From ZooKeeper, so that its gate shuts; its repair thread sleeps meanwhile, and goes on with what it had."""
    cut(world, 4.0, (node.name, ZK))
    strands.this_strand().sleep(2.0)


def _leaders_pause(world: World, node: Node) -> None:
    """One after the other, with looks in their hands."""

    def freeze() -> None:
        for one in world.deciding.values():
            if one.process is not None and one.look is not None and one.look.leading:
                one.process.freeze()
                world.time.after(1.7, one.process.thaw)

    for number in range(40):
        world.time.after(0.05 * number, freeze)


def _leader_sleeps(world: World, node: Node) -> None:
    """Between a look and the write that follows from it, cut off, so that another leads and moves the record on."""
    for one in world.deciding.values():
        if one.process is None or one.look is None or not one.look.leading:
            continue
        for strand in one.process._strands:
            if strand.name == "returns":
                strand.until_pause, strand.pauses = 1, _cut_once(world, one.host)


def _cut_once(world: World, host: str) -> Callable[[strands.Strand], float]:
    def pauses(strand: strands.Strand) -> float:
        strand.pauses = None
        cut(world, 2.5, (host, ZK))
        return 3.0

    return pauses


def _orchestrators_die(world: World, node: Node) -> None:
    for one in world.deciding.values():
        world.time.after(0.0, one._crash)


def start_replica_comes_late(world: World) -> None:
    """One that had no answer takes effect while rows are changed back, which somebody wrote on the standby."""
    standby = primary(world).peer
    standby.server.kill()
    standby.server.late_until, standby.server.late_by_s = world.time.now + 3.0, 60.0

    def once_it_is_under_way() -> None:
        if standby.server.late:
            world.injector.write_by_hand(standby)
        else:
            world.time.after(0.05, once_it_is_under_way)

    def takes_effect(node: Node) -> None:
        while node.server.late:
            node.server.late.pop()()

    once_it_is_under_way()
    world.checker.returns.when_named["undo"] = takes_effect


def written_twice(world: World) -> None:
    """Somebody writes on the standby, and again when that has been repaired, in one desired record."""
    node = primary(world).peer
    world.injector.write_by_hand(node)
    for after_s in (4.0, 8.0):
        world.time.after(after_s, lambda: world.injector.write_by_hand(node))


def returned_twice(world: World) -> None:
    """Lost again while it returns, with what it had merged half; and once more when all is well."""
    node = primary(world)

    def again(world: World, at: Node) -> None:
        world.time.after(0.0, node.lose_power)
        world.time.after(2.0, node.boot)

    returns(world, "entered", again)
    world.time.after(19.0, lambda: primary(world).server.kill())


UNDO, RESET, PURGED = AGAIN, "RESET BINARY LOGS", "SET GLOBAL gtid_purged"
REPAIRS: Mapping[str, Story] = {
    "a return": _story("login", _nothing),
    "a return, and every message is late": _story("login", _nothing, **LATE),
    "a return, its agent killed between two undos": _story(UNDO, _agent_dies),
    "a return, mysqld killed before the reset": _story(RESET, _mysqld_dies),
    "a return, its agent killed between reset and numbers": _story(PURGED, _agent_dies),
    "a return, mysqld killed between reset and numbers": _story(PURGED, _mysqld_dies),
    "a return, the merging agent killed after an entry": _story("entered", _agent_dies),
    "a return, the merging agent killed at a commit": _story("commit", _agent_dies),
    "a return, the new primary's mysqld killed at a commit": _story("commit", _mysqld_dies),
    "a return, and nobody fetches its evidence": _story("archive", _peers_agent_is_gone),
    "a return, and somebody writes before its evidence is kept": _story("archive", _somebody_writes),
    "a return, its record lost when the evidence is kept": _story("archive", partial(_record_is_lost, lost_s=1.0)),
    "a return, its record lost between two undos": _story(UNDO, partial(_record_is_lost, lost_s=1.0)),
    "a return, its record lost between reset and numbers": _story(PURGED, partial(_record_is_lost, lost_s=1.0)),
    "a return, its record lost while it is merged": _story("entered", partial(_record_is_lost, lost_s=1.0)),
    "a return, its record and its agent lost between two undos": _story(UNDO, _record_and_agent_are_lost),
    "a return, and ZooKeeper forgets roles too": _story(UNDO, _roles_are_lost_too),
    "a return, forced between two undos": _story(UNDO, _forced_meanwhile),
    "a return, forced between reset and numbers": _story(PURGED, _forced_meanwhile),
    "a return, forced when its numbers are free": _story(PURGED, _forced_later),
    "a return, the new primary cut off while it merges": _story("commit", _primary_is_cut_off),
    "a return, and leaders pause": _story("archive", _leaders_pause),
    "a return, and a leader sleeps before it writes its record": _story("archive", _leader_sleeps),
    "a return, and every orchestrator dies": _story(UNDO, _orchestrators_die),
    "START REPLICA takes effect while rows are changed back": Story(
        start_replica_comes_late, never="F1 F5 F6", differs=FEW_WRITES
    ),
    "the standby is written to three times": Story(written_twice, never="F1 F5 F6", differs=FEW_WRITES),
    "the old primary returns twice": Story(returned_twice, fires="F5 F6", differs=FEW_WRITES),
}
