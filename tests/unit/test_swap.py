"""A copy takes the place of a data directory: whoever was killed in between, one of the two is there in the end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agents.reconcile.copyable import SPARE_BYTES, Side, needed_bytes, refusal
from agents.reconcile.copying import heard
from agents.reconcile.swap import PLAN, Swap, SwapState
from orchestrator.core.errors import Refused, StepFailed

OLD, NEW = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"


def made(home: Path) -> tuple[Path, Swap]:
    """A data directory, and a complete copy of another for the return 7."""
    data = home / "mysql"
    data.mkdir(parents=True)
    (data / "ibdata1").write_text("old")
    (data / "mysqld-auto.cnf").write_text("{}")
    (data / "server-key.pem").write_text("key")
    (data / "server-key.pem").chmod(0o600)
    (home / "mysql.clone-7").mkdir()
    (home / "mysql.clone-7/ibdata1").write_text("copy")
    return data, Swap(data, home)


def content(directory: Path) -> str:
    return (directory / "ibdata1").read_text()


def test_the_old_directory_is_kept_until_the_copy_is_proven(tmp_path: Path) -> None:
    data, swap = made(tmp_path)
    assert swap.state == SwapState()
    swap.plan(7, OLD)
    assert swap.state == SwapState(7) and not swap.done(7)
    swap.perform()
    assert swap.done(7) and swap.state == SwapState()
    assert (content(data), content(tmp_path / "mysql.before-7")) == ("copy", "old")
    assert swap.replaced(NEW) and not swap.replaced(OLD)
    swap.perform()
    swap.end(8)
    assert (content(data), content(tmp_path / "mysql.before-7")) == ("copy", "old")
    swap.end(7)
    swap.end(7)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["mysql"]


def test_what_is_of_this_host_alone_goes_with_the_directory(tmp_path: Path) -> None:
    data, swap = made(tmp_path)
    swap.plan(7, OLD)
    swap.perform()
    assert (data / "mysqld-auto.cnf").read_text() == "{}"
    assert (data / "server-key.pem").stat().st_mode & 0o777 == 0o600


def test_a_directory_that_no_rename_exchanges_is_known_before_mysqld_is_ended(tmp_path: Path) -> None:
    """Its mysqld would be killed for a copy that never takes its place."""
    data, swap = made(tmp_path)
    (tmp_path / "link").symlink_to(data)
    assert swap.bar == ""
    assert "mount point" in Swap(Path("/proc"), tmp_path).bar
    assert "symbolic link" in Swap(tmp_path / "link", tmp_path).bar


@pytest.mark.parametrize("renames", range(3))
def test_whoever_is_killed_between_the_renames_goes_on_in_the_next_life(tmp_path: Path, renames: int) -> None:
    data, swap = made(tmp_path)
    swap.plan(7, OLD)
    for source, target in ((data, swap.old(7)), (swap.copy(7), data))[:renames]:
        source.rename(target)
    again = Swap(data, tmp_path)
    assert (again.state.begun, again.done(7)) == (renames == 1, renames == 2)
    again.perform()
    assert (content(data), content(tmp_path / "mysql.before-7")) == ("copy", "old")
    assert again.done(7) and Swap(data, tmp_path).done(7)


def test_an_unfinished_copy_goes_and_a_directory_that_is_on_its_way_does_not(tmp_path: Path) -> None:
    data, swap = made(tmp_path)
    swap.clear(7)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["mysql"]
    data, swap = made(tmp_path / "half")
    swap.plan(7, OLD)
    data.rename(swap.old(7))
    with pytest.raises(StepFailed, match="finished first"):
        Swap(data, tmp_path / "half").clear(7)
    assert content(swap.copy(7)) == "copy"


def test_the_plan_of_another_return_is_forgotten_with_its_copy(tmp_path: Path) -> None:
    data, swap = made(tmp_path)
    swap.plan(7, OLD)
    swap.clear(8)
    assert swap.state == SwapState() and not (tmp_path / PLAN).exists() and content(data) == "old"


def test_an_old_directory_that_nobody_knows_of_is_not_overwritten(tmp_path: Path) -> None:
    _, swap = made(tmp_path)
    swap.old(7).mkdir()
    with pytest.raises(StepFailed, match="move it away"):
        swap.clear(7)


@pytest.mark.parametrize("plan", ["{", "[]", "{}", json.dumps({"id": "x", "server": ""})])
def test_a_plan_that_cannot_be_read_is_never_taken_for_none(tmp_path: Path, plan: str) -> None:
    (tmp_path / PLAN).write_text(plan)
    with pytest.raises(Refused, match=r"swap\.json"):
        Swap(tmp_path / "mysql", tmp_path)


FIT = Side("9.7.4", plugin=True, data_bytes=10 << 30)


@pytest.mark.parametrize(
    ("own", "donor", "code"),
    [
        (FIT, FIT, ""),
        (FIT, Side("9.7.5-1", plugin=True), ""),
        (FIT, Side("9.6.0", plugin=True), "version_differs"),
        (Side("9.7.4", plugin=False), FIT, "no_clone_plugin: not active here"),
        (FIT, Side("9.7.4", plugin=False), "no_clone_plugin: not active on the primary"),
        (FIT, Side("9.7.4", plugin=True, foreign=("shop.log",)), "non_innodb: a copy would have no rows of shop.log"),
        (Side("9.7.4", plugin=True, foreign=("shop.log",)), FIT, ""),  # its own rows are replaced
        (Side("9.7.4", plugin=True, outside=("innodb_undo_directory=/undo",)), FIT, "data_outside"),
        (Side("9.7.4", plugin=True, readers=("cdc@10.0.0.9:1",)), FIT, "feeds_replicas: cdc@10.0.0.9:1"),
        (FIT, Side("9.7.4", plugin=True, readers=("kembar_repl@10.0.0.9:1",)), ""),
    ],
)
def test_what_no_copy_can_be_made_for_is_named(own: Side, donor: Side, code: str) -> None:
    found = refusal(own, donor)
    assert found.startswith(code) and bool(found) == bool(code)


def test_the_room_that_a_copy_needs_grows_with_the_donors_data() -> None:
    assert needed_bytes(FIT) == (11 << 30) + SPARE_BYTES


@pytest.mark.parametrize("answer", [{}, {"serves": False}, {"serves": "yes"}])
def test_nothing_is_copied_from_one_that_does_not_serve(answer: dict[str, object]) -> None:
    with pytest.raises(StepFailed, match="donor_not_primary"):
        heard(answer)


def test_an_answer_of_another_shape_is_refused() -> None:
    with pytest.raises(StepFailed, match="tells nothing"):
        heard({"serves": True, "version": "9.7.4"})
