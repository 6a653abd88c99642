"""Stories of a person who decides while something else happens: made once, by whoever is primary, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from orchestrator.core.kept import KeptTransaction, Open
from orchestrator.core.ports import SetData
from orchestrator.core.requests import Kind, Request, RequestState
from tests.sim.carried import decode, encode
from tests.sim.story import Story, primary

if TYPE_CHECKING:
    from tests.sim.world import World

GTID = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa:7"
KEPT = Open(1, (KeptTransaction(7, GTID, "update_differs", seen="v1"),))
LOOK_S = 0.002
NAME = "c1"


def choose(world: World) -> None:
    """A person discards what is open."""
    assert world.checker.desired is not None
    world.store.apply((SetData(world.paths.kept, encode(KEPT), -1),), 0)
    chosen = Request(
        NAME, Kind.RECONCILE_DISCARD, primary(world).peer.name, "known", "olga", world.checker.desired.epoch,
        returning=7, gtid=GTID, seen="v1",
    )  # fmt: skip
    world.time.after(0.1, lambda: world.store.put(world.paths.request(NAME), encode(chosen)))


def once(world: World, state: RequestState, then: Callable[[], None]) -> None:
    """As soon as the choice has come so far."""
    stored = world.store.now(world.paths.request(NAME))
    if stored is not None and decode(Request, stored.data).state is state:
        then()
    else:
        world.time.after(LOOK_S, lambda: once(world, state, then))


def _while_running(strike: Callable[[World], None]) -> Callable[[World], None]:
    def happens(world: World) -> None:
        choose(world)
        once(world, RequestState.RUNNING, lambda: strike(world))

    return happens


def _mysqld_dies(world: World) -> None:
    primary(world).server.kill()


def _mysqld_dies_in_the_middle(world: World) -> None:
    """While the commit of it waits for the standby, in some of the seeds' moments."""
    server = primary(world).server
    world.time.after(0.25, server.kill)


def _host_is_lost(world: World) -> None:
    node = primary(world)
    node.lose_power()
    world.time.after(8.0, node.boot)


def _agent_dies(world: World) -> None:
    """Whether it has been made by then nobody has heard."""
    node = primary(world)

    def kill() -> None:
        node.kill_agent()
        world.time.after(0.3, node.start_agent)

    for after_s in (0.1, 1.0, 2.0):
        world.time.after(after_s, kill)


def _leaders_die(world: World) -> None:
    for one in world.deciding.values():
        one.kill()
        world.time.after(0.5, one.start)


def _all_of_it(world: World) -> None:
    _leaders_die(world)
    _agent_dies(world)
    world.time.after(0.4, lambda: _mysqld_dies(world))


DECISIONS: Mapping[str, Story] = {
    "a choice": Story(choose, never="F1 F5"),
    "a choice, and mysqld dies": Story(_while_running(_mysqld_dies), fires="F5"),
    "a choice, and mysqld dies a little later": Story(_while_running(_mysqld_dies_in_the_middle), fires="F5"),
    "a choice, and the primary's host is lost": Story(_while_running(_host_is_lost), fires="F1 F2"),
    "a choice, and the primary's agent dies again and again": Story(_while_running(_agent_dies)),
    "a choice, and no orchestrator is left for a while": Story(_while_running(_leaders_die)),
    "a choice, and everything dies": Story(_while_running(_all_of_it)),
}
