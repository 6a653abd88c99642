"""Events of a binary log file: what is there is read exactly, what is damaged or unknown is refused."""

from __future__ import annotations

import mmap
import struct
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.binlog.parse import Unreadable, events, head, statement
from orchestrator.core.gtid import GtidSet
from tests.unit.binlog_bytes import OWN, PEER, Log


def one_file() -> Log:
    log = Log(previous=f"{OWN}:1-7:9,{PEER}:1-3")
    log.rows(10)
    log.begin(11)
    log.query("CREATE TABLE shop.t (id INT PRIMARY KEY)")
    log.event(3)
    return log


def test_the_head_tells_what_came_before_and_whether_the_file_was_closed() -> None:
    log = one_file()
    found = head(log.bytes)
    assert (found.in_use, found.previous) == (True, GtidSet.parse(log.previous))
    assert not head(Log(in_use=False).bytes).in_use


def test_every_event_is_told_with_its_place_and_id() -> None:
    data = one_file().bytes
    found = list(events(data, head(data).end))
    assert [event.kind for event in found] == [33, 2, 19, 30, 16, 33, 2, 3]
    assert [str(event.gtid) for event in found if event.gtid] == [f"{OWN}:10", f"{OWN}:11"]
    assert found[0].position == head(data).end
    assert all(one.position + one.length == two.position for one, two in pairwise(found))
    assert [statement(data, event) for event in found if event.kind == 2] == [
        "BEGIN",
        "CREATE TABLE shop.t (id INT PRIMARY KEY)",
    ]


def test_a_mapped_file_reads_as_its_bytes_do(tmp_path: Path) -> None:
    """Files of a gigabyte are not loaded."""
    path, data = tmp_path / "binlog.000001", one_file().bytes
    path.write_bytes(data)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert list(events(mapped, head(mapped).end)) == list(events(data, head(data).end))


@given(lost=st.integers(min_value=1))
def test_a_half_written_end_ends_the_file(lost: int) -> None:
    log = one_file()
    begin = head(log.bytes).end
    data = log.bytes[: -(lost % (len(log.bytes) - begin) + 1)]
    whole, found = list(events(log.bytes, begin)), list(events(data, begin))
    assert found == whole[: len(found)]
    assert len(data) < whole[len(found)].position + whole[len(found)].length


@given(at=st.integers(min_value=0), bit=st.integers(0, 7))
def test_a_flipped_bit_is_refused_wherever_it_is(at: int, bit: int) -> None:
    """All but the one that says whether the file was closed: mysqld flips it itself."""
    log = one_file()
    place = at % len(log.bytes)
    if place == 4 + 17 and bit == 0:
        return
    log.data[place] ^= 1 << bit
    with pytest.raises(Unreadable):
        list(events(log.bytes, head(log.bytes).end))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "does not begin"),
        (b"\xfdbin" + bytes(512), "encrypted"),
        (b"\xfebin", "no FORMAT_DESCRIPTION"),
        (b"#!/bin/sh\n" * 20, "does not begin"),
    ],
)
def test_another_file_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(Unreadable, match=why):
        head(data)


@pytest.mark.parametrize(("kind", "why"), [(42, "tagged"), (34, "without an id")])
def test_ids_that_are_not_read_are_refused(kind: int, why: str) -> None:
    log = Log()
    log.event(kind, bytes(60))
    with pytest.raises(Unreadable, match=why):
        list(events(log.bytes, head(log.bytes).end))


def test_previous_ids_with_tags_are_refused() -> None:
    """Their first number is coded in another way; with a wrong guess a tail would be seen where none is."""
    log = Log()
    at = 4 + struct.unpack_from("<I", log.data, 4 + 9)[0]
    del log.data[at:]
    log.event(35, struct.pack("<Q", 1 << 56 | 1 << 8 | 1) + bytes(64))
    with pytest.raises(Unreadable, match="tags"):
        head(log.bytes)
