"""What a return owes is on disk before it is true, and is held against whatever the records say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from agents.look import owed
from agents.reconcile.owing import NAME, Owing
from agents.reconcile.parts import repair_worker
from agents.reconcile.returner import Place
from orchestrator.core.errors import StepFailed
from orchestrator.core.returning import Returning, Stage
from tests.builders import UUID_A

SAID = Returning(7, Stage.BUNDLE, errant=f"{UUID_A}:1", sums="s", epoch=3, owed=True, acknowledged=False)


def test_what_was_written_is_read_in_the_next_life(tmp_path: Path) -> None:
    assert Owing(tmp_path).read() == Returning()
    Owing(tmp_path / "made").write(SAID)
    assert Owing(tmp_path / "made").read() == SAID


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"format": 99}', b'{"format": 1, "owed": "perhaps"}', b"\xff" * 9]
)
def test_one_that_cannot_be_read_is_taken_for_that_of_a_half_rewound_server(tmp_path: Path, content: bytes) -> None:
    (tmp_path / NAME).write_bytes(content)
    said = Owing(tmp_path).read()
    assert said.owed and said.rewinding and str(tmp_path / NAME) in said.refusal


def test_what_cannot_be_written_is_not_true(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StepFailed, match="cannot be written"):
        Owing(tmp_path / "file").write(SAID)


@pytest.mark.parametrize(
    ("said", "opened", "owes"),
    [
        (SAID, None, True),
        (SAID, (3, "me"), True),
        (SAID, (4, "me"), False),  # it was primary since: its data is the history
        (replace(SAID, rewinding=True), (4, "me"), True),
    ],
)
def test_a_later_power_of_its_own_ends_what_a_node_owes(said: Returning, opened: Any, owes: bool) -> None:
    memory = cast(Any, SimpleNamespace(opened=lambda: opened))
    assert owed(said, memory, None).owed is owes


def test_nothing_is_owed_in_the_data_of_another_server() -> None:
    """Copied from the primary, by Kembar or by hand: it brings a uuid of its own."""
    memory = cast(Any, SimpleNamespace(opened=lambda: None))
    half = replace(SAID, rewinding=True, server="one")
    for uuid, still in (("one", True), ("two", False)):
        said = owed(half, memory, cast(Any, SimpleNamespace(server_uuid=uuid)))
        assert (said.owed, said.rewinding) == (still, still)


def test_an_agent_that_can_repair_nothing_still_knows_what_its_node_owes(tmp_path: Path) -> None:
    """Its section was taken out of agent.yaml in the middle of a return: a half-rewound node would have power."""
    half = replace(SAID, rewinding=True)
    Owing(tmp_path).write(half)
    nobody = cast(Any, None)
    worker, answers = repair_worker(
        Place(tmp_path / "data", tmp_path), nobody, None, None, None, nobody, nobody, nobody, nobody, None
    )
    assert (worker.returning, answers) == (half, {})
