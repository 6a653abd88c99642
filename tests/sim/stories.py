"""Directed runs: one trouble at a time, in a calm world, at the moment in which it hurts most.

Random seeds rarely hit a window of some milliseconds; a mutant that survives them asks for one of these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from orchestrator.core.model import DEFAULT, MANY
from orchestrator.core.requests import Kind
from tests.sim.decisions import DECISIONS
from tests.sim.network import ZK
from tests.sim.repairs import REPAIRS
from tests.sim.returning import RETURNING
from tests.sim.story import AT, CALM, Story, cut, primary
from tests.sim.surprises import SURPRISES
from tests.sim.world import Result, World, virtual_time


def mysqld_crashes(world: World) -> None:
    primary(world).server.kill()


def mysqld_hangs(world: World) -> None:
    server = primary(world).server
    server.freeze()
    world.time.after(6.0, server.thaw)


def host_is_lost(world: World) -> None:
    node = primary(world)
    node.lose_power()
    world.time.after(8.0, node.boot)


def cut_from_zookeeper(world: World) -> None:
    cut(world, 8.0, (primary(world).name, ZK))


def mysqld_dies_while_the_keeper_is_paused(world: World) -> None:
    """The standby sees the end of its source at once, so F1 comes early, and W has to be waited for."""
    node = primary(world)
    world.checker.when_rule["keeper paused"] = node.server.kill
    cut_from_zookeeper(world)


def stalls_and_opens_late(world: World) -> None:
    """Gates shut in a stall of ZooKeeper and open again; a keeper is paused before it opens, and power moves on."""
    for number in range(4):
        world.time.after(7.0 * number, lambda: world.injector.stall(1.5, cut=True))


def open_late(world: World) -> None:
    """Each opening is late by up to 2 W, while power goes back and forth."""
    cut_from_zookeeper(world)
    for seconds in (4.0, 8.0, 12.0, 16.0):
        world.time.after(seconds, lambda: cut(world, 2.5, (primary(world).name, ZK)))


def answers_are_late(world: World) -> None:
    """The last answer that the keeper gets is nearly as old as its client bears; nothing it sends arrives any more."""
    node = primary(world)
    world.network.cut(ZK, node.name)

    def turn() -> None:
        world.network.heal(ZK, node.name)
        world.network.cut(node.name, ZK)
        world.time.after(8.0, lambda: world.network.heal(node.name, ZK))

    world.time.after(0.28, turn)


def heir_dies_after_it_opened(world: World) -> None:
    """Clients have been told of values that the old primary has not; the leader has not heard of the opening."""
    heir = primary(world).peer
    world.checker.when_rule["F5"] = lambda: world.time.after(0.06, heir.server.kill)
    primary(world).server.kill()


def leader_pauses(world: World) -> None:
    """Between its decision and its write, for as long as another needs to take over."""

    def freeze() -> None:
        for one in world.deciding.values():
            process = one.process
            if process is not None and one.look is not None and one.look.leading:
                process.freeze()
                world.time.after(2.0, process.thaw)

    for number in range(60):
        world.time.after(0.2 * number, freeze)
    host_is_lost(world)


def cut_from_standby(world: World) -> None:
    """ASYNC is recorded; then the primary's host is lost, and nobody may be promoted."""
    node = primary(world)
    cut(world, 12.0, (node.name, node.peer.name))
    world.time.after(5.0, node.lose_power)
    world.time.after(9.0, node.boot)


def cut_from_all(world: World) -> None:
    """But not from its clients: commits stall, and are never acknowledged."""
    node = primary(world)
    others = [one.host for one in world.deciding.values() if one.host != node.name]
    cut(world, 6.0, (node.name, ZK), (node.name, node.peer.name), *((node.name, other) for other in others))


def standby_restarts_then_primary_dies(world: World) -> None:
    node = primary(world)
    node.peer.server.kill()
    world.time.after(0.02, node.server.kill)


def standby_restarts_with_a_backlog(world: World) -> None:
    """What it had acknowledged and not applied is gone when it comes back, and just then the primary dies."""
    node = primary(world)
    node.peer.server.apply_s = 5.0
    world.time.after(2.0, node.peer.server.kill)
    world.time.after(2.2, node.server.kill)


def heir_restarts_while_fencing(world: World) -> None:
    node = primary(world)
    world.checker.when_rule["F1"] = lambda: world.time.after(0.001, node.peer.server.kill)
    cut(world, 8.0, (node.name, ZK))


def backlog_while_fencing(world: World) -> None:
    """The standby applies late, and the cut primary goes on to serve until its horizon."""
    node = primary(world)
    node.peer.server.apply_s = 1.5
    cut(world, 8.0, (node.name, ZK))


def backlog_and_crash(world: World) -> None:
    node = primary(world)
    node.peer.server.apply_s = 1.5
    world.time.after(2.0, node.server.kill)


def agent_dies_with_an_open_gate(world: World) -> None:
    node = primary(world)
    node.kill_agent()
    world.time.after(7.0, node.start_agent)


def agent_stops(world: World) -> None:
    process = primary(world).process
    assert process is not None
    process.freeze()
    world.time.after(5.0, process.thaw)


def switched_over(world: World) -> None:
    world.injector.request(Kind.SWITCHOVER)


def switchover_behind_a_lock(world: World) -> None:
    """It is withdrawn, and the primary serves on."""
    primary(world).server.locked_until = AT + 14.0
    world.injector.request(Kind.SWITCHOVER)


def power_is_lost_everywhere(world: World, first: int = 0) -> None:
    """Only the last primary opens by itself, whoever boots first."""
    nodes = [primary(world), primary(world).peer]
    for number, node in enumerate(nodes):
        node.lose_power()
        world.time.after(2.0 if number == first else 6.0, node.boot)


def power_is_lost_and_the_standby_boots_first(world: World) -> None:
    power_is_lost_everywhere(world, first=1)


def forced(world: World) -> None:
    """In ASYNC the primary's host is lost, and an operator accepts loss."""
    node = primary(world)
    cut(world, 12.0, (node.name, node.peer.name))
    world.time.after(5.0, node.lose_power)
    world.time.after(8.0, lambda: world.injector.request(Kind.FAILOVER))
    world.time.after(13.0, node.boot)


def primary_dies_while_switching(world: World) -> None:
    world.checker.when_rule["S1"] = lambda: world.time.after(0.004, primary(world).server.kill)
    world.injector.request(Kind.SWITCHOVER)


def failed_over_twice(world: World) -> None:
    """The second takeover finds releases and versions of the first."""
    primary(world).server.kill()
    world.time.after(6.0, lambda: cut(world, 6.0, (primary(world).name, ZK)))
    world.time.after(15.0, lambda: cut(world, 6.0, (primary(world).name, ZK)))


def agent_stops_and_comes_back_deposed(world: World) -> None:
    """It wakes with an old record in its mirror, cut from ZooKeeper a moment later."""
    node = primary(world)
    process = node.process
    assert process is not None
    process.freeze()
    world.time.after(3.0, process.thaw)
    world.time.after(3.001, lambda: cut(world, 3.0, (node.name, ZK)))


def zookeeper_stalls(world: World) -> None:
    world.injector.stall(2.0, cut=True)
    world.time.after(6.0, lambda: world.injector.stall(1.0, cut=False))


def standby_returns_while_primary_writes(world: World) -> None:
    """Certified again and again under load, then the primary dies at once."""
    node = primary(world)
    node.peer.server.kill()

    def certified() -> None:
        world.checker.when_rule.pop("U2")
        world.time.after(0.001, node.server.kill)

    world.time.after(0.5, lambda: world.checker.when_rule.__setitem__("U2", certified))


STORIES: Mapping[str, Story] = {
    "mysqld of the primary crashes": Story(mysqld_crashes, fires="F3 F5 R1 U2"),
    "mysqld of the primary hangs": Story(mysqld_hangs, fires="F3 F5 R1 U2"),
    "the primary's host is lost": Story(host_is_lost, fires="F1 F2 F3 R1 U2"),
    "the primary is cut from ZooKeeper": Story(cut_from_zookeeper, fires="F1 F2 F3"),
    "the same with default timings": Story(cut_from_zookeeper, differs={"policy": DEFAULT}),
    "the same with the timings of many pairs": Story(cut_from_zookeeper, differs={"policy": MANY}),
    "its keeper is paused before its last renewal, then stopped": Story(
        cut_from_zookeeper, differs={"adversary": 1.0, "announce_lost": 1.0}
    ),
    "the keeper of the heir is paused before it opens": Story(
        open_late, differs={"adversary": 1.0, "adversary_at": ("open",), "announce_lost": 1.0}
    ),
    "mysqld crashes and nobody hears an ARP question": Story(mysqld_crashes, differs={"announce_lost": 1.0}),
    "the same with a cut from ZooKeeper": Story(cut_from_zookeeper, differs={"announce_lost": 1.0}),
    "ASYNC, then the primary's host is lost": Story(cut_from_standby, fires="U1", never="F1 F5"),
    "the primary is cut from all but clients": Story(cut_from_all),
    "the same, its keeper paused before its last renewal": Story(cut_from_all, differs={"adversary": 1.0}),
    "the standby restarts, then the primary dies": Story(standby_restarts_then_primary_dies),
    "the standby restarts with a backlog, then the primary dies": Story(standby_restarts_with_a_backlog),
    "the heir restarts while FENCING": Story(heir_restarts_while_fencing, fires="F1 F4"),
    "the heir has a backlog while FENCING": Story(backlog_while_fencing),
    "the standby has a backlog, the primary crashes": Story(backlog_and_crash),
    "the agent dies with an open gate": Story(agent_dies_with_an_open_gate),
    "the agent stops": Story(agent_stops),
    "the agent stops and comes back deposed": Story(agent_stops_and_comes_back_deposed),
    "a planned switchover": Story(switched_over, fires="F3 S1 S2"),
    "a switchover behind a client's lock": Story(switchover_behind_a_lock, fires="S1 S3"),
    "power is lost everywhere": Story(power_is_lost_everywhere, never="F1 F5"),
    "power is lost everywhere, the standby boots first": Story(
        power_is_lost_and_the_standby_boots_first, never="F1 F5"
    ),
    "a forced failover": Story(forced, fires="F2 F3 F6 U1"),
    "the primary dies while SWITCHING": Story(primary_dies_while_switching),
    "failed over, and twice more by a cut": Story(failed_over_twice),
    "the last answer is late": Story(answers_are_late, differs={"adversary": 1.0, "announce_lost": 1.0}),
    "mysqld dies while the keeper is paused": Story(
        mysqld_dies_while_the_keeper_is_paused, differs={"adversary": 1.0, "announce_lost": 1.0}
    ),
    "stalls, and the keeper is paused before it opens": Story(
        stalls_and_opens_late, differs={"adversary": 1.0, "adversary_at": ("open again",), "announce_lost": 1.0}
    ),
    "the keeper is paused before its last renewal": Story(
        cut_from_zookeeper, differs={"adversary": 1.0, "adversary_at": ("renew late",), "announce_lost": 1.0}
    ),
    "the heir dies after it has opened": Story(heir_dies_after_it_opened),
    "the leader pauses": Story(leader_pauses),
    "the standby is fed slowly": Story(standby_returns_while_primary_writes, differs={"batch": 2}),
    "ZooKeeper stalls": Story(zookeeper_stalls, never="F1 F2 F5"),
    "certified again, then the primary dies": Story(standby_returns_while_primary_writes),
    **REPAIRS,
    **RETURNING,
    **DECISIONS,
    **SURPRISES,
}


def tell(name: str, seed: int = 0) -> Result:
    """Play one story; other seeds move its clocks and latencies a little."""
    story = STORIES[name]
    with virtual_time():
        world = World(replace(CALM, seed=seed, **story.differs))
        world.time.at(AT, lambda: story.happens(world))
        result = world.run()
    result.violation = result.violation or story.unlike(result)
    return result
