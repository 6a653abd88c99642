"""Evidence of a return: kept before anything changes, fetched by the other host file by file, whole or not at all."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from agents.binlog.archive import SUMS
from agents.reconcile.evidence import Folder
from orchestrator.core.errors import StepFailed, Unavailable
from orchestrator.core.model import NodeName
from orchestrator.core.reconcile import Reconcile
from orchestrator.core.returning import Rung, Stage

RECORD = Reconcile(42, 8, NodeName("db-a"), Rung.REWIND, Stage.BUNDLE)


@pytest.fixture
def kept(tmp_path: Path) -> Folder:
    data = tmp_path / "data"
    data.mkdir()
    for name, content in (("binlog.000001", b"one"), ("binlog.000002", b"two" * 1000), ("binlog.index", b"index")):
        (data / name).write_bytes(content)
    folder = Folder.of(tmp_path / "old", RECORD)
    assert folder.sums() == ""
    folder.keep([data / "binlog.000001", data / "binlog.000002"], data / "binlog.index")
    return folder


def fetching(kept: Folder, **instead: bytes):
    """A fetch from there, some files with another content; and the names it was asked for."""
    asked: list[str] = []

    def fetch(name: str, target: Path) -> None:
        asked.append(name)
        if name in instead:
            target.write_bytes(instead[name])
        else:
            shutil.copyfile(kept.logs / name, target)

    return fetch, asked


def test_what_is_kept_stays_whatever_becomes_of_its_source(kept: Folder, tmp_path: Path) -> None:
    sums = kept.sums()
    (tmp_path / "data/binlog.000002").write_bytes(b"shorter")
    assert kept.keep([tmp_path / "data/binlog.000002"], tmp_path / "data/binlog.index") == sums
    assert [path.name for path in kept.files()] == ["binlog.000001", "binlog.000002"]


def test_the_other_host_has_the_same_afterwards(kept: Folder, tmp_path: Path) -> None:
    theirs = Folder(tmp_path / "new")
    fetch, asked = fetching(kept)
    theirs.take(fetch)
    assert theirs.sums() == kept.sums() != ""
    assert [path.read_bytes() for path in theirs.files()] == [path.read_bytes() for path in kept.files()]
    again, more = fetching(kept)
    theirs.take(again)
    assert (len(asked), more) == (4, [SUMS])  # what is there is not sent again


def test_a_file_that_differs_is_refused_and_taken_again(kept: Folder, tmp_path: Path) -> None:
    theirs = Folder(tmp_path / "new")
    with pytest.raises(StepFailed, match=r"binlog\.000002"):
        theirs.take(fetching(kept, **{"binlog.000002": b"cut"})[0])
    assert theirs.sums() == ""
    fetch, asked = fetching(kept)
    theirs.take(fetch)
    assert theirs.sums() == kept.sums() and "binlog.000001" not in asked


def test_a_fetch_that_ends_in_between_leaves_no_sums(kept: Folder, tmp_path: Path) -> None:
    theirs = Folder(tmp_path / "new")
    whole, _ = fetching(kept)

    def breaking(name: str, target: Path) -> None:
        if name == "binlog.000002":
            target.write_bytes(b"tw")
            raise Unavailable("the other agent ended")
        whole(name, target)

    with pytest.raises(Unavailable):
        theirs.take(breaking)
    assert theirs.sums() == ""
    theirs.take(whole)
    assert theirs.sums() == kept.sums()


@pytest.mark.parametrize("listed", ["no sum", "0  ../outside", "0  ", "0  ..", f"0  {SUMS}", "\xff"])
def test_a_list_of_other_names_than_of_files_is_refused(kept: Folder, tmp_path: Path, listed: str) -> None:
    theirs = Folder(tmp_path / "new/deep")
    with pytest.raises(StepFailed):
        theirs.take(fetching(kept, **{SUMS: listed.encode("latin1")})[0])
    assert theirs.sums() == "" and not (tmp_path / "new/outside").exists()


def test_what_was_kept_before_a_record_was_open_stays_where_it_is(tmp_path: Path) -> None:
    """Also when the return goes on in another epoch, or by another rung."""
    cut = replace(RECORD, rung=Rung.TRUNCATE, evidence="8")
    assert Folder.of(tmp_path, replace(cut, epoch=9, rung=Rung.CLONE)).path.name == "8"
    assert Folder.of(tmp_path, RECORD).path == Folder.of(tmp_path, replace(RECORD, rung=Rung.CLONE)).path


def test_notes_and_lines_are_there_in_the_next_life(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "made/later")
    assert (folder.noted("n.json"), folder.lines("l.txt")) == (None, frozenset())
    folder.note("n.json", {"a": "1"})
    folder.note("n.json", {"a": "2"})
    folder.add("l.txt", "u:1")
    folder.add("l.txt", "u:2")
    again = Folder(tmp_path / "made/later")
    assert (again.noted("n.json"), again.lines("l.txt")) == ({"a": "2"}, {"u:1", "u:2"})
    (folder.path / "n.json").write_bytes(b"{")
    with pytest.raises(StepFailed, match=r"n\.json"):
        folder.noted("n.json")
