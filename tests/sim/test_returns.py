"""A return that is killed at any of its steps ends as any other: healthy, with the same data, and nothing unseen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from multiprocessing import get_context

import pytest

from tests.sim.node import Node
from tests.sim.repairs import FEW_WRITES, returns
from tests.sim.story import AT, CALM
from tests.sim.world import Result, World, virtual_time

PROCESSES = 2
EVERY = 4  # steps, from one play to the next; which are played another clock decides


def killed_at(number: int, strike: Callable[[World, Node], None], seed: int) -> tuple[Result, World]:
    with virtual_time():
        world = World(replace(CALM, seed=seed, **FEW_WRITES))
        world.checker.returns.when_step[number] = partial(strike, world)
        world.time.at(AT, lambda: returns(world, "login", lambda world, node: None))
        return world.run(), world


def violated(strike: Callable[[World, Node], None], number: int) -> str:
    result, world = killed_at(number, strike, number)
    return f"step {number}, {world.checker.returns.steps[number - 1]}: {result.violation}" if result.violation else ""


def agent(world: World, node: Node) -> None:
    world.time.after(0.0, node._crash)


def mysqld(world: World, node: Node) -> None:
    world.time.after(0.0, node.server.kill)


def host(world: World, node: Node) -> None:
    world.time.after(0.0, node.lose_power)
    world.time.after(2.0, node.boot)


def orchestrators(world: World, node: Node) -> None:
    for one in world.deciding.values():
        world.time.after(0.0, one._crash)


@pytest.mark.parametrize("strike", [agent, mysqld, host, orchestrators])
def test_a_return_that_is_killed_at_any_step_ends_well(strike: Callable[[World, Node], None]):
    undisturbed, world = killed_at(0, strike, 0)
    assert not undisturbed.violation
    steps = len(world.checker.returns.steps)
    assert steps > 100 and world.checker.returns.record is not None and not world.checker.returns.record.open
    with get_context("fork").Pool(PROCESSES) as pool:
        for violation in pool.imap_unordered(partial(violated, strike), range(1, steps + 1, EVERY)):
            assert not violation
