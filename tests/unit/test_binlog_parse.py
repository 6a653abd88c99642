"""Events of a binary log file: what is there is read exactly, what is damaged or unknown is refused."""

from __future__ import annotations

import mmap
import struct
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.binlog.fields import Fields, Unreadable
from agents.binlog.ids import tagged_id
from agents.binlog.parse import events, head, statement
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


@pytest.mark.parametrize(("kind", "why"), [(42, "tagged GTID event of 60"), (34, "without an id")])
def test_ids_that_are_not_read_are_refused(kind: int, why: str) -> None:
    log = Log()
    log.event(kind, bytes(60))
    with pytest.raises(Unreadable, match=why):
        list(events(log.bytes, head(log.bytes).end))


SOURCE = "8c70d946-e943-11f1-a36f-02fc00000001"
# As 9.7.4 wrote them.
TAGGED = bytes.fromhex(
    "0276000000023102e065038ca5038622c5038d02de04f103000000020404060e666f6f5f7461670804 0a080c7fc0aa15f424610610bd0812"
    "83120b"
)
EARLIER = bytes.fromhex(
    "01020000000000018c70d946e94311f1a36f02fc00000001000100000000000000010000000000000010000000000000008c70d946e94311f1"
    "a36f02fc000000010e666f6f5f746167010000000000000001000000000000000200000000000000"
)


def test_ids_with_tags_are_read() -> None:
    log = Log()
    log.event(42, TAGGED)
    (event,) = events(log.bytes, head(log.bytes).end)
    assert event.gtid == (f"{SOURCE}:foo_tag", 1, 2) and str(event.gtid) == f"{SOURCE}:foo_tag:1"


def earlier(content: bytes) -> bytes:
    """A file with this as PREVIOUS_GTIDS."""
    log = Log()
    del log.data[4 + struct.unpack_from("<I", log.data, 4 + 9)[0] :]
    log.event(35, content)
    return log.bytes


def test_previous_ids_with_tags_are_read() -> None:
    """Their first number is coded in another way; with a wrong guess a tail would be seen where none is."""
    assert head(earlier(EARLIER)).previous == GtidSet.parse(f"{SOURCE}:1-15:foo_tag:1")


@pytest.mark.parametrize("lost", range(1, len(EARLIER), 7))
def test_previous_ids_in_part_are_refused(lost: int) -> None:
    with pytest.raises(Unreadable):
        head(earlier(EARLIER[:-lost]))
    with pytest.raises(Unreadable):
        head(earlier(EARLIER + bytes(lost)))


@pytest.mark.parametrize("lost", range(1, len(TAGGED)))
def test_a_tagged_id_in_part_is_refused(lost: int) -> None:
    with pytest.raises(Unreadable):
        tagged_id(TAGGED[:-lost])


@pytest.mark.parametrize(
    ("coded", "value"),
    [("00", 0), ("02", 1), ("fe", 127), ("0102", 128), ("fdff", 16383), ("030002", 16384), ("ff" * 9, 2**64 - 1)],
)
def test_a_number_of_variable_length(coded: str, value: int) -> None:
    fields = Fields(bytes.fromhex(coded))
    assert fields.variable() == value and not fields


@given(st.integers(0, 2**64 - 1))
def test_a_length_encoded_number(value: int) -> None:
    marks = {0xFB: b"", 1 << 16: b"\xfc", 1 << 24: b"\xfd", 1 << 64: b"\xfe"}
    bound, mark = next((bound, mark) for bound, mark in marks.items() if value < bound)
    size = {b"": 1, b"\xfc": 2, b"\xfd": 3, b"\xfe": 8}[mark]
    fields = Fields(mark + value.to_bytes(size, "little"))
    assert fields.packed() == value and not fields
    assert bound > value
