"""Stories of the moment between a certificate and the end of a return, made long: nobody decides in it.

A leader settles the return in its next look, so that faults meet this moment only if every orchestrator ends in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from orchestrator.core.model import DEFAULT, FAST
from orchestrator.core.requests import Kind, Pause
from tests.sim.network import ZK
from tests.sim.story import Story, cut, primary
from tests.sim.world import World

RETURN_S = 8.0  # until the old primary has come back and everything is armed
UNDECIDED_S = 2.5  # longer than a report lives


def certified_and_nobody_settles(world: World, then: Callable[[World], None]) -> None:
    """The primary's mysqld dies and comes back; who decides first certifies it. `then` comes before the next look."""

    def certified() -> None:
        world.injector.nobody_decides(UNDECIDED_S)
        then(world)

    _right_after(world, "F3", lambda: world.injector.nobody_decides(RETURN_S))
    _right_after(world, "U2", certified)
    primary(world).server.kill()


def _right_after(world: World, rule: str, call: Callable[[], None]) -> None:
    """The write itself is a step of one of the orchestrators, and ends first."""
    world.injector.once_at(rule, lambda: world.time.after(0.0, call))


def _story(then: Callable[[World], None], *passes: str) -> Story:
    return Story(lambda world: certified_and_nobody_settles(world, then), passes=passes)


def _mysqld_dies(world: World) -> None:
    primary(world).server.kill()


def _host_is_lost(world: World) -> None:
    node = primary(world)
    node.lose_power()
    world.time.after(8.0, node.boot)


def _forced(world: World) -> None:
    """Somebody has paused Kembar, and has to do by hand what it may not: the host of the primary is lost."""
    world.injector.put_pause(Pause(active=True, reason="a test", actor="olga"))
    world.time.after(6.0, lambda: world.injector.put_pause(Pause()))
    _host_is_lost(world)
    world.time.after(4.0, lambda: world.injector.request(Kind.FAILOVER))


def _standby_is_cut(world: World) -> None:
    node = primary(world)
    cut(world, 6.0, (node.name, node.peer.name), (node.peer.name, ZK))


def _maintained(world: World) -> None:
    """An operator takes the standby out of the protocol, and gives it back."""
    world.injector.put_policy(replace(FAST, maintenance=frozenset({primary(world).peer.name})))
    world.time.after(4.0, lambda: world.injector.put_policy(FAST))


def forced_while_fencing(world: World) -> None:
    """Back to the host that has just been lost: a person's mistake, which may cost time and nothing else."""
    _right_after(world, "F1", lambda: world.injector.request(Kind.FAILOVER))
    _host_is_lost(world)


def forced_again(world: World, after: str) -> None:
    """In ASYNC the primary's mysqld does not stay up; somebody accepts loss, and after that rule goes back."""
    node = primary(world)
    cut(world, 14.0, (node.name, node.peer.name))

    def back() -> None:
        node.peer.server.kill()
        world.injector.request(Kind.FAILOVER, node.name)

    def forced() -> None:
        _right_after(world, after, back)
        for number in range(40):
            world.time.after(0.1 * number, node.server.kill)
        world.time.after(0.5, lambda: world.injector.request(Kind.FAILOVER))

    world.time.after(5.0, forced)


def _again(after: str, passes: str) -> Story:
    return Story(partial(forced_again, after=after), passes=(passes,), differs={"policy": DEFAULT})


def heir_is_lost(world: World) -> None:
    """While the fence of a lost host is waited for."""
    heir = primary(world).peer
    _right_after(world, "F1", heir.server.kill)
    _host_is_lost(world)


RETURNING: Mapping[str, Story] = {
    "forced while FENCING": Story(
        forced_while_fencing, passes=("F6 FENCING>FENCING SYNC>ASYNC",), differs={"policy": DEFAULT}
    ),
    "the heir's mysqld dies while FENCING": Story(
        heir_is_lost, passes=("F4 FENCING>REJOINING SYNC>ASYNC",), differs={"policy": DEFAULT}
    ),
    "forced again while FENCING": _again("F6", "F6 FENCING>FENCING ASYNC"),
    "forced again while PROMOTING": _again("F2", "F6 PROMOTING>FENCING ASYNC"),
    "forced again while REJOINING": _again("F3", "F6 REJOINING>FENCING ASYNC"),
    "back and certified, then mysqld dies": _story(_mysqld_dies, "F5 REJOINING>PROMOTING SYNC>ASYNC"),
    "back and certified, then the primary's host is lost": _story(_host_is_lost, "F1 REJOINING>FENCING SYNC"),
    "back and certified, then forced": _story(_forced, "F6 REJOINING>FENCING SYNC>ASYNC"),
    "back and certified, then cut off": _story(_standby_is_cut, "U1 REJOINING>REJOINING SYNC>ASYNC"),
    "back and certified, then in maintenance": _story(
        _maintained, "U3 REJOINING>REJOINING SYNC", "U2 REJOINING>REJOINING SYNC"
    ),
}
