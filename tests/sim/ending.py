"""The quiet ending: nothing comes after, and the pair must be healthy again, with the same data on both nodes.

Where data has diverged only a person can end the wait: the product must say so, and then the person comes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.core.reconcile import Reconcile
from orchestrator.core.requests import CHOICES, Kind, Request, RequestState
from orchestrator.core.returning import STRAY, Stage
from orchestrator.core.rules import waiting
from tests.sim.carried import decode
from tests.sim.repair import choice_value

if TYPE_CHECKING:
    from tests.sim.world import Result, World

QUIET_S = 60.0  # by then a pair without trouble must be healthy again
PATIENCE_S = 12.0  # of a person who sees that data has diverged
SAME_S = 20.0  # from health until the standby has executed whatever the primary had then


def become_healthy(world: World, result: Result) -> None:
    """Run until the pair is healthy; raises Violation if it stays ill, or data is missing or different at the end."""
    began = since = world.time.now
    diverged_since: float | None = None
    while why := _a_second_later(world):
        now = world.time.now
        errant = world.checker.errant() or _stopped(world)
        # Before both servers run nobody can tell what one of them alone has; and what a return repairs needs nobody.
        needed = errant and _both_run(world) and not _repaired(world)
        diverged_since = (diverged_since or now) if needed else None
        if diverged_since is not None and now - diverged_since >= PATIENCE_S and not result.diverged:
            result.diverged = errant
            _call_person(world, errant)
            since = now
        elif now - since >= PATIENCE_S and _adopt(world):
            since, diverged_since = now, None  # what has been asked for must end before anything else is missed
        if now - since > QUIET_S + 10 * world.swarm.start_s:
            world.checker.fail(f"not healthy {now - since:.0f} s after the last fault: {why} {errant}")
    result.recovered_s = world.time.now - began
    world.checker.final()
    _same_data(world)
    _choices(world)


def _a_second_later(world: World) -> str:
    world.time.run(world.time.now + 1.0)
    return world.checker.healthy()


def _both_run(world: World) -> bool:
    return all(node.server.running and node.process is not None for node in world.nodes.values())


def _repaired(world: World) -> bool:
    """Whether a return is under way that waits for nobody."""
    return any(record.stage is not Stage.STOPPED for record in _open(world))


def _stopped(world: World) -> str:
    """Why a return has stopped; what is errant may be in the primary's sets by then."""
    return next((record.stopped for record in _open(world) if record.stage is Stage.STOPPED), "")


def _open(world: World) -> list[Reconcile]:
    looks = [one.look.situation for one in world.deciding.values() if one.look and one.look.situation]
    return [s.reconcile.value for s in looks if s.reconcile and s.reconcile.value.open]


def _call_person(world: World, errant: str) -> None:
    """Only a forced failover, an administrator's own write, or what the checker excuses lets data diverge.

    A return sees to that by itself: it needs a person for what was written while it was under way, or was excused.
    """
    stopped = _stopped(world)
    may = _by_hand(world, stopped) if stopped else world.checker.may_diverge
    if not (may or world.checker.excused()):
        world.checker.fail(f"diverged, though nobody forced anything: {errant}")
    said = _said(world)
    if not any("rebuild" in text for text in said):
        world.checker.fail(f"only a person can end this, and nobody is told: {said}")
    assert world.checker.desired is not None
    world.injector.rebuild(world.nodes[world.checker.desired.primary].peer)


def _by_hand(world: World, stopped: str) -> bool:
    """Whether it stopped for what an administrator may have written there: under its server's own name."""
    assert world.checker.desired is not None
    uuid = world.nodes[world.checker.desired.primary].peer.server.uuid
    return world.checker.written_by_hand and stopped.startswith(STRAY) and uuid in stopped


def _said(world: World) -> list[str]:
    """What each orchestrator says that it waits for."""
    return [waiting(one.look.situation) for one in world.deciding.values() if one.look and one.look.situation]


def _adopt(world: World) -> bool:
    """A person does what is asked after a loss of ZooKeeper's data; whether it was asked."""
    asked = any("kembar adopt" in text for text in _said(world))
    if asked:
        served = max(world.nodes.values(), key=lambda node: node.memory.opened() or (0, ""))
        world.injector.request(Kind.ADOPT, served.name)
    return asked


def _choices(world: World) -> None:
    """Whatever a person chose has come to its end; what was done stands in the primary's log once, the rest nowhere."""
    end = world.time.now + SAME_S
    while pending := [one.id for one in _chosen(world) if one.state in (RequestState.REQUESTED, RequestState.RUNNING)]:
        if world.time.now > end:
            world.checker.fail(f"the choices {pending} have no end {SAME_S:.0f} s later")
        world.time.run(world.time.now + 0.5)
    assert world.checker.desired is not None
    server = world.nodes[world.checker.desired.primary].server
    executed = [txn.value for txn in server.disk.binlog if server.disk.executed.has(txn.uuid, txn.number)]
    for one in _chosen(world):
        times = executed.count(choice_value(one.id))
        if times != (one.state is RequestState.DONE):
            world.checker.fail(f"the choice {one.id} is {one.state}, and was made {times} times")


def _chosen(world: World) -> list[Request]:
    """Requests about what was kept."""
    paths = [world.paths.request(path.rpartition("/")[2]) for path in world.store.children(world.paths.requests)]
    found = [decode(Request, stored.data) for path in paths if (stored := world.store.now(path)) is not None]
    return [one for one in found if one.kind in CHOICES]


def _same_data(world: World) -> None:
    """What the primary has now, the standby must soon have executed, under the same GTIDs; and nothing else."""
    checker = world.checker
    assert checker.desired is not None
    primary = world.nodes[checker.desired.primary]
    wanted = primary.server.content()
    end = world.time.now + SAME_S
    while missing := wanted.items() - primary.peer.server.content().items():
        if world.time.now > end:
            checker.fail(f"{primary.peer.name} lacks {sorted(missing)[:3]} ({len(missing)}) {SAME_S:.0f} s later")
        world.time.run(world.time.now + 0.5)
    if errant := checker.errant():
        checker.fail(f"healthy, but {primary.peer.name} has what {primary.name} never saw: {errant}")
