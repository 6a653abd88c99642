"""What the loops believe of an agent's memory, whatever keeps it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from agents.memory import FileMemory
from orchestrator.core.ports import Memory
from tests.contract.ports.pace import Pace, RealPace, VirtualPace
from tests.sim.health import SimMemory

TAIL: dict[str, str | int] = {
    "epoch": 7, "incarnation": "boot/1/2", "index": "/x.index", "state": "armed", "why": "", "gtids": "",
}  # fmt: skip
PROMOTION: dict[str, str | int] = {"epoch": 7, "incarnation": "boot/1/2", "gtid": "uuid:1-5", "peer_uuid": "other"}


@dataclass
class Host:
    pace: Pace
    memory: Memory
    reopen: Callable[[], Memory]  # by another life of the agent


@pytest.fixture(params=["disk", "simulator"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Host]:
    if request.param == "simulator":
        memory = SimMemory()
        yield Host(VirtualPace(), memory, lambda: memory)
        return
    with ExitStack() as stack:

        def opened() -> Memory:
            stack.close()  # one agent of a node at a time
            return stack.enter_context(closing(FileMemory(tmp_path)))

        yield Host(RealPace(), opened(), opened)


def test_a_new_host_remembers_nothing(host: Host) -> None:
    found = host.memory
    assert (found.epoch(), found.promotion(), found.opened(), found.tail()) == ((0, 0), None, None, None)
    assert found.new and found.trouble() == ""


def test_everything_is_there_in_the_next_life(host: Host) -> None:
    host.memory.remember(7, 3)
    host.memory.write_promotion(PROMOTION)
    host.memory.write_opened(7, "boot/1/2")
    host.memory.write_tail(TAIL)
    counter = host.memory.draw_relay_counter()
    for found in (host.memory, host.reopen()):
        assert (found.epoch(), found.promotion(), found.opened()) == ((7, 3), PROMOTION, (7, "boot/1/2"))
        assert (found.tail(), found.relay_counter()) == (TAIL, counter)
    assert not found.new


def test_the_epoch_never_shrinks(host: Host) -> None:
    """An older record than the newest that was followed is refused (I10)."""
    for epoch, seq, kept in ((7, 3, (7, 3)), (7, 2, (7, 3)), (6, 9, (7, 3)), (8, 0, (8, 0)), (8, 1, (8, 1))):
        host.memory.remember(epoch, seq)
        assert host.memory.epoch() == kept
    assert host.reopen().epoch() == (8, 1)


def test_the_last_promotion_opening_and_tail_stand(host: Host) -> None:
    for epoch in (7, 9, 8):
        host.memory.write_promotion({**PROMOTION, "epoch": epoch})
        host.memory.write_opened(epoch, f"boot/{epoch}")
        host.memory.write_tail({**TAIL, "epoch": epoch})
    found = host.reopen()
    assert found.promotion() == {**PROMOTION, "epoch": 8}
    assert found.opened() == (8, "boot/8")
    assert found.tail() == {**TAIL, "epoch": 8}


def test_a_counter_is_never_drawn_twice(host: Host) -> None:
    first = host.memory.relay_counter()
    drawn = [host.memory.draw_relay_counter() for _ in range(3)]
    again = host.reopen()
    drawn += [again.draw_relay_counter() for _ in range(2)]
    assert drawn == [first + n for n in (1, 2, 3, 4, 5)] and again.relay_counter() == drawn[-1]


def test_what_was_written_does_not_change_with_the_callers_copy(host: Host) -> None:
    mine = dict(PROMOTION)
    host.memory.write_promotion(mine)
    mine["epoch"] = 99
    assert host.memory.promotion() == PROMOTION
