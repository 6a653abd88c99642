"""Stories of what comes from outside (administrators, disks, clocks, a ZooKeeper that forgets), and of windows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from orchestrator.core.model import DEFAULT, FAST
from orchestrator.core.ports import Op
from orchestrator.core.requests import Kind, Pause
from orchestrator.core.returning import Rung
from tests.sim.network import ZK
from tests.sim.node import Node
from tests.sim.story import Story, cut, primary
from tests.sim.strands import Strand
from tests.sim.world import World
from tests.sim.zookeeper import Client, Pending


def _for(world: World, seconds: float, begins: Callable[[], object], ends: Callable[[], object]) -> None:
    begins()
    world.time.after(seconds, ends)


def errant_write(world: World) -> None:
    """An administrator writes on the standby, which then restarts."""
    standby = primary(world).peer
    world.injector.write_by_hand(standby)
    world.time.after(3.0, standby.server.kill)


def relay_logs_thrown_away(world: World) -> None:
    """An administrator resets the replica while it has a backlog; the primary dies before anything is sent again."""
    node = primary(world)
    node.peer.server.apply_s = 5.0

    def both() -> None:
        world.network.cut(node.name, node.peer.name)
        node.peer.server.receiver.reset()
        world.time.after(0.001, node.server.kill)
        world.time.after(3.0, lambda: world.network.heal(node.name, node.peer.name))

    world.time.after(2.0, both)


def wall_clock_steps_back(world: World) -> None:
    """By an hour, on a primary that was just cut from ZooKeeper."""
    node = primary(world)
    cut(world, 8.0, (node.name, ZK))
    world.time.after(0.3, lambda: setattr(node.clock, "stepped_s", -3600.0))


def faster_timings_while_cut(world: World) -> None:
    """The primary cannot hear of them, and goes on with the longer ones; the standby hears nothing of it either."""
    node = primary(world)
    cut(world, 8.0, (node.name, ZK), (node.name, node.peer.name))
    world.injector.put_policy(FAST)


def disk_of_primary_is_full(world: World) -> None:
    server = primary(world).server
    server.disk_full = True
    world.time.after(15.0, server.space_again)


def disk_of_standby_is_full(world: World) -> None:
    server = primary(world).peer.server
    server.disk_full = True
    world.time.after(8.0, server.space_again)


def state_disk_of_heir_is_full(world: World) -> None:
    """It cannot remember the epoch in which it is to open."""
    node = primary(world)
    _full(world, node.peer, 14.0)
    world.time.after(0.5, node.server.kill)


def _hang(strand: Strand, seconds: float) -> None:
    """That one thread alone, where it stands next."""

    def hangs(strand: Strand) -> float:
        strand.until_pause = 1 << 60
        return seconds

    strand.pauses, strand.until_pause = hangs, 0


def _full(world: World, node: Node, seconds: float) -> None:
    _for(world, seconds, lambda: setattr(node.memory, "full", True), lambda: setattr(node.memory, "full", False))


def unsafe_settings(world: World) -> None:
    """sync_binlog is 0 on the standby, then the primary dies."""
    node = primary(world)
    node.peer.server.durable = False
    world.time.after(2.0, node.server.kill)


def settings_are_put_right(world: World) -> None:
    """A standby that starts with refused settings is taken back as soon as somebody corrects them."""
    server = primary(world).peer.server
    server.settings = {"sync_binlog": "0"}
    server.kill()
    world.time.after(6.0, lambda: setattr(server, "settings", {}))
    world.time.after(6.0, lambda: setattr(server, "durable", True))


def agent_is_refused(world: World) -> None:
    """Its password was changed; clients go on."""
    server = primary(world).server
    _for(world, 5.0, lambda: setattr(server, "refuses", 1045), lambda: setattr(server, "refuses", None))


def connections_are_exhausted(world: World) -> None:
    server = primary(world).server
    _for(world, 5.0, lambda: setattr(server, "refuses", 1040), lambda: setattr(server, "refuses", None))


def the_channel_is_to_log_in_otherwise(world: World) -> None:
    """Its agent puts that right under writes; readers stay, and what was acknowledged does."""
    server = primary(world).peer.server
    wanted, server.disk.login = server.disk.login, ("somebody", "NO")

    def put_right() -> None:
        assert (server.disk.login, server.offline) == (wanted, False)

    world.time.after(3.0, put_right)


def the_channel_has_a_password_of_before(world: World) -> None:
    """It stands, since the account was changed under it, until its link breaks for a moment. Readers stay."""
    node = primary(world)
    standby = node.peer.server
    standby.disk.password = "of before"
    world.time.after(1.0, lambda: [stream.source_died() for stream in list(node.server.streams)])

    def put_right() -> None:
        assert standby.disk.password == node.server.password
        assert standby.receiver.connected and not standby.offline

    world.time.after(4.0, put_right)


def semisync_gives_up(world: World) -> None:
    """Commits go alone while the standby is cut; a little later the primary dies."""
    node = primary(world)
    cut(world, 10.0, (node.name, node.peer.name))
    world.time.after(0.02, node.server.give_up)
    world.time.after(0.02 + 1.5, node.server.kill)


def a_stranger_acknowledges(world: World) -> None:
    """A third replica connects; the standby is cut, and commits go on."""
    node = primary(world)
    node.server.strangers = 1
    world.time.after(1.5, lambda: cut(world, 10.0, (node.name, node.peer.name)))
    world.time.after(3.0, node.server.kill)


def zookeeper_forgets_async(world: World) -> None:
    """The old record calls the standby promotable, and the primary's host is lost."""
    node = primary(world)
    cut(world, 14.0, (node.name, node.peer.name))

    def forgotten() -> None:
        world.injector.restore(3.0)
        node.lose_power()

    world.time.after(3.5, forgotten)
    world.time.after(16.0, node.boot)


def zookeeper_forgets_a_failover(world: World) -> None:
    """The old record names the old primary, which has come back meanwhile."""
    node = primary(world)
    node.lose_power()
    world.time.after(3.0, node.boot)
    world.time.after(5.5, lambda: world.injector.restore(5.6))


def zookeeper_forgets_nothing_that_matters(world: World) -> None:
    world.injector.restore(0.5)


def both_mysqld_die(world: World) -> None:
    """The primary's starts in place, with everything that it ever acknowledged."""
    node = primary(world)
    node.peer.lose_power()
    world.time.after(4.0, node.server.kill)
    world.time.after(9.0, node.peer.boot)


def rules_are_flushed_before_a_cut(world: World) -> None:
    node = primary(world)
    node.kernel.flush(sets=False)
    world.time.after(0.5, lambda: cut(world, 8.0, (node.name, ZK)))


def stalled_then_demoted(world: World) -> None:
    """Commits wait for a standby that is gone when the primary hears that it was replaced."""
    node = primary(world)
    world.checker.returns.never = Rung.REWIND  # what waits is cut off before mysqld starts, whole
    cut(world, 3.0, (node.name, ZK), (node.name, node.peer.name))


def paused_then_the_primary_dies(world: World) -> None:
    pause = Pause(active=True, for_s=0.0, reason="a test", actor="olga")
    world.injector.put_pause(pause)
    world.time.after(3.0, primary(world).server.kill)


def switched_over_then_the_primary_dies(world: World) -> None:
    """The standby of today was primary, and waited for acknowledgements."""
    world.injector.request(Kind.SWITCHOVER)
    world.time.after(6.0, lambda: primary(world).server.kill())


def agent_restarts_at_once(world: World) -> None:
    """Its gate has shut, and its lease record still says held."""
    node = primary(world)
    node.kill_agent()
    world.time.after(0.4, node.start_agent)


def forced_while_it_serves(world: World) -> None:
    """In ASYNC, cut from ZooKeeper but not from its clients: its gate is open when somebody loses patience."""
    node = primary(world)
    cut(world, 12.0, (node.name, node.peer.name))
    world.time.after(4.0, lambda: cut(world, 6.0, (node.name, ZK)))
    world.time.after(4.75, lambda: world.injector.request(Kind.FAILOVER))


def aborted_twice_then_the_primary_dies(world: World) -> None:
    """A failover that came to nothing does not count for the hold-down."""
    node = primary(world)

    def once() -> None:
        world.checker.when_rule["F1"] = lambda: world.time.after(0.001, node.peer.server.kill)
        cut(world, 3.0, (node.name, ZK))

    def last() -> None:
        world.checker.when_rule.pop("F1")
        primary(world).server.kill()

    once()
    world.time.after(9.0, once)
    world.time.after(18.0, last)


def revoked_while_its_tick_hangs(world: World) -> None:
    """Nobody demotes it but the keeper, which hears of the revoke while the gate's element still lives."""
    node = primary(world)
    assert node.process is not None
    tick = next(strand for strand in node.process._strands if strand.name == "tick")
    _hang(tick, 6.0)
    world.network.cut(node.name, node.peer.name)
    world.time.after(6.0, lambda: world.network.heal(node.name, node.peer.name))
    world.time.after(0.6, lambda: cut(world, 0.76, (node.name, ZK)))


def the_old_record_is_seen_for_long(world: World) -> None:
    """Its keeper sleeps until its lease is revoked; the news of the takeover is slow to come, and it is connected."""
    node = primary(world)
    assert node.process is not None and node._mirror is not None
    keeper = next(strand for strand in node.process._strands if strand.name == "keeper")
    node._mirror._late_s = 3.0
    world.network.cut(node.name, node.peer.name)
    world.time.after(6.0, lambda: world.network.heal(node.name, node.peer.name))
    world.time.after(0.5, lambda: _hang(keeper, 1.3))  # until after the standby says that it hears nothing


def the_term_ends_before_a_write(world: World) -> None:
    """The leader has decided; before it sends that, its connection breaks, and its next term begins."""
    for one in world.deciding.values():
        client = one._client
        if client is not None and one.look is not None and one.look.leading:
            _pause_before_a_decision(world, client)
    world.injector.request(Kind.SWITCHOVER)


def _pause_before_a_decision(world: World, client: Client) -> None:
    submit = client.submit

    def late(ops: Sequence[Op], wake: Callable[[], None] | None = None) -> Pending:
        strand = world.time.strand
        if strand is not None and strand.name == "orchestrator":
            del client.__dict__["submit"]
            world.time.after(0.1, client.cut)
            strand.sleep(0.6)
        return submit(ops, wake)

    client.__dict__["submit"] = late


def zookeeper_stalls_and_the_primary_comes_back_last(world: World) -> None:
    world.injector.stall(2.0, cut=True)
    cut(world, 2.2, (primary(world).name, ZK))


def leaders_sleep_while_semisync_gives_up(world: World) -> None:
    """The agent has recorded it, and the primary has died, before anybody looks."""
    node = primary(world)
    cut(world, 10.0, (node.name, node.peer.name))
    world.time.after(0.1, node.server.give_up)
    for one in world.deciding.values():
        assert one.process is not None
        one.process.freeze()
        world.time.after(2.5, one.process.thaw)
    world.time.after(2.0, node.server.kill)


def start_replica_comes_late(world: World) -> None:
    """The first START REPLICA of a standby that has restarted has no answer; a second one works; the primary dies."""
    standby = primary(world).peer
    standby.server.kill()
    standby.server.late_until, standby.server.late_by_s = world.time.now + 1.5, 2.5

    def certified() -> None:
        world.checker.when_rule.pop("U2")
        world.time.after(0.2, lambda: primary(world).server.kill())

    world.time.after(0.5, lambda: world.checker.when_rule.__setitem__("U2", certified))


def certified_while_commits_are_under_way(world: World) -> None:
    """What was flushed just before semi-sync was ON waits for nobody, and the link breaks at that instant."""
    node = primary(world)
    calm = world.swarm
    node.server.sync_s = 0.02

    def on() -> None:
        node.server.switched_on.clear()
        world.network.cut(node.name, node.peer.name)
        world.time.after(0.4, lambda: world.network.heal(node.name, node.peer.name))
        world.time.after(0.4, lambda: setattr(world, "swarm", calm))

    node.peer.server.kill()
    world.time.after(0.6, lambda: setattr(world, "swarm", replace(calm, write_every_s=0.001)))
    world.time.after(0.6, lambda: node.server.switched_on.append(on))


HUNTED = {"adversary": 1.0, "announce_lost": 1.0}
SURPRISES: Mapping[str, Story] = {
    "an errant write on the standby": Story(errant_write, fires="U3"),
    "relay logs are thrown away": Story(relay_logs_thrown_away),
    "the wall clock steps back": Story(wall_clock_steps_back, fires="F1", differs={"announce_lost": 1.0}),
    "faster timings while the primary is cut": Story(
        faster_timings_while_cut, fires="F1 F2", differs={"policy": DEFAULT, **HUNTED}
    ),
    "the primary's disk is full": Story(disk_of_primary_is_full, fires="F5 F3"),
    "the standby's disk is full": Story(disk_of_standby_is_full, fires="U1 U2", never="F1 F5"),
    "the state disk of the heir is full": Story(state_disk_of_heir_is_full, never="F3"),
    "unsafe settings on the standby": Story(unsafe_settings, fires="U3", never="F1 F5"),
    "settings are put right": Story(settings_are_put_right, never="F1 F5"),
    "the agent is refused": Story(agent_is_refused, never="F1 F5 U1"),
    "connections are exhausted": Story(connections_are_exhausted, never="F1 F5 U1"),
    "the channel is to log in otherwise": Story(the_channel_is_to_log_in_otherwise, never="F1 F5 U1 U3"),
    "the channel has a password of before": Story(the_channel_has_a_password_of_before, never="F1 F5 U3"),
    "semi-sync gives up": Story(semisync_gives_up, fires="U3", never="F1 F5"),
    "a stranger acknowledges": Story(a_stranger_acknowledges, fires="U3", never="F1 F5"),
    "ZooKeeper forgets ASYNC": Story(zookeeper_forgets_async, fires="U1 F6", never="F1 F5"),
    "ZooKeeper forgets a failover": Story(zookeeper_forgets_a_failover, fires="F1 F6"),
    "ZooKeeper forgets nothing that matters": Story(zookeeper_forgets_nothing_that_matters),
    "the standby's host is lost, then the primary crashes": Story(both_mysqld_die, fires="U1", never="F1 F5"),
    "rules are flushed, then a cut": Story(rules_are_flushed_before_a_cut, fires="F1", differs={"announce_lost": 1.0}),
    "commits are stalled at the demotion": Story(stalled_then_demoted, fires="F1 F3"),
    "paused, then the primary dies": Story(paused_then_the_primary_dies, never="F1 F5"),
    "switched over, then the primary dies": Story(switched_over_then_the_primary_dies, fires="S2 F5"),
    "aborted twice, then the primary dies": Story(
        aborted_twice_then_the_primary_dies, fires="F4 F5", differs={"storm_s": 40.0}
    ),
    "the agent restarts at once": Story(agent_restarts_at_once, never="F1 F5"),
    "a forced failover of a primary that is cut off": Story(
        forced_while_it_serves, fires="F6", differs={**HUNTED, "policy": replace(FAST, silent_after_s=0.6)}
    ),
    "revoked while its tick hangs": Story(revoked_while_its_tick_hangs, fires="F1", differs={"announce_lost": 1.0}),
    "the old record is seen for long": Story(
        the_old_record_is_seen_for_long, fires="F1", differs={"announce_lost": 1.0}
    ),
    "the term ends before a write": Story(the_term_ends_before_a_write, fires="S1 S2"),
    "ZooKeeper stalls, and the primary comes back last": Story(
        zookeeper_stalls_and_the_primary_comes_back_last, never="F1 F5"
    ),
    "semi-sync gives up while leaders sleep": Story(leaders_sleep_while_semisync_gives_up, fires="U3", never="F1 F5"),
    "START REPLICA comes late": Story(start_replica_comes_late, fires="F5"),
    "certified while commits are under way": Story(
        certified_while_commits_are_under_way, fires="U2", differs={"clients": 8, "latency_s": 0.005}
    ),
    "stalls, and the keeper is paused before it arms": Story(
        lambda world: [world.time.after(7.0 * n, lambda: world.injector.stall(1.5, cut=True)) for n in range(4)],
        differs={**HUNTED, "adversary_at": ("arm",)},
    ),
}
