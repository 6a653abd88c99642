"""What a transaction consists of: changes with their maps, and the first thing that its rows cannot undo."""

from __future__ import annotations

import struct

import pytest
import zstandard
from hypothesis import assume, given
from hypothesis import strategies as st

from agents.binlog.contents import Reason, Transaction, transactions
from agents.binlog.fields import Unreadable
from agents.binlog.parse import Kind, events, head
from agents.binlog.payload import unpacked
from tests.unit.binlog_bytes import Log

MAP = bytes.fromhex("050000000000 0100 0173 00 0174 00 01 03 00 01 04 02 01 61 08 01 00".replace(" ", ""))
OTHER = bytes.fromhex("060000000000 0100 0173 00 0175 00 01 03 00 01".replace(" ", ""))  # without names and key
ROW = bytes.fromhex("050000000000 1100 0200 01 ff 00 07000000".replace(" ", ""))
XID = bytes(8)


def read(*parts: tuple[int, bytes] | str) -> Transaction:
    """One transaction of these events; a text is a statement."""
    log = Log()
    log.begin(1)
    for part in parts:
        log.query(part) if isinstance(part, str) else log.event(*part)
    (one,) = transactions(log.bytes, head(log.bytes).end)
    return one


def test_a_change_knows_its_map_and_a_map_alone_is_no_change() -> None:
    one = read("BEGIN", (19, OTHER), (19, MAP), (30, ROW), (16, XID))
    assert one.complete and one.doubt is None and list(one.tables) == [5]
    (change,) = one.changes
    assert change.map_position + change.map_length == change.position and change.kind == Kind.WRITE_ROWS
    assert one.end == change.position + change.length + 19 + 8 + 4


def test_a_transaction_without_its_end_is_incomplete() -> None:
    assert not read("BEGIN", (19, MAP), (30, ROW)).complete


def test_rows_without_a_map_are_refused() -> None:
    with pytest.raises(Unreadable, match="no map"):
        read("BEGIN", (19, OTHER), (30, ROW), (16, XID))
    with pytest.raises(Unreadable, match="no map"):
        read("BEGIN", (19, MAP), (30, ROW), (30, ROW), (16, XID))  # the first has ended its statement


DOUBTS = [
    (["CREATE TABLE t (id INT)"], Reason.DDL),
    (["/* a */ -- b"], Reason.DDL),
    (["alter  user x identified by 'y'"], Reason.ACCOUNT_STATEMENT),
    (["/* by hand */ CREATE ROLE r"], Reason.ACCOUNT_STATEMENT),
    (["GRANT SELECT ON *.* TO x"], Reason.ACCOUNT_STATEMENT),
    (["SET PASSWORD FOR x = 'y'"], Reason.ACCOUNT_STATEMENT),
    (["XA COMMIT 'x'"], Reason.XA),
    (["XA START 'x'", (19, MAP), (30, ROW), "XA END 'x'", (38, XID)], Reason.XA),
    (["BEGIN", "UPDATE t SET v = 1", (16, XID)], Reason.STATEMENT_EVENT),
    (["BEGIN", (5, XID), "INSERT INTO t VALUES (1)", (16, XID)], Reason.STATEMENT_EVENT),
    (["BEGIN", (26, XID), (16, XID)], Reason.UNKNOWN_EVENT),
    (["BEGIN", (99, XID), (16, XID)], Reason.UNKNOWN_EVENT),
    (["BEGIN", "CREATE TABLE t (id INT) START TRANSACTION", (19, MAP), (30, ROW), (16, XID)], Reason.DDL),
    (["BEGIN", (19, MAP), (30, ROW[:11] + b"\x00" + ROW[12:13]), (16, XID)], Reason.ROW_IMAGE_NOT_FULL),
    (["BEGIN", (19, OTHER), (30, b"\x06" + ROW[1:]), (16, XID)], Reason.METADATA_NOT_FULL),
]


@pytest.mark.parametrize(("parts", "reason"), DOUBTS)
def test_the_first_doubt_is_named(parts: list[tuple[int, bytes] | str], reason: Reason) -> None:
    one = read(*parts)
    assert one.complete and one.doubt is not None and one.doubt.reason is reason


def test_savepoints_and_texts_for_people_are_no_doubt() -> None:
    parts = ["BEGIN", "SAVEPOINT `x`", (29, b"\x03abc"), (19, MAP), (30, ROW), "ROLLBACK TO `x`", (16, XID)]
    assert read(*parts).doubt is None  # type: ignore[arg-type]


def test_a_transaction_of_which_a_rollback_left_nothing_is_no_doubt() -> None:
    """It ends as one of another engine does; the tables of its rows tell the engine, and it has none."""
    one = read("BEGIN", "SAVEPOINT `x`", "COMMIT")
    assert one.complete and one.doubt is None and not one.changes


@pytest.mark.parametrize("flags", [0x11, 0x03])
def test_cascades_are_logged_or_did_not_happen(flags: int) -> None:
    row = ROW[:6] + struct.pack("<H", flags) + ROW[8:]
    assert not read("BEGIN", (19, MAP), (30, row), (16, XID)).silent
    silent = ROW[:6] + b"\x01\x00" + ROW[8:]
    assert read("BEGIN", (19, MAP), (30, silent), (16, XID)).silent == {(5, 30)}


# --- compressed


def bare(kind: int, content: bytes) -> bytes:
    """An event as it is within a payload: without a checksum."""
    return struct.pack("<IBIIIH", 7, kind, 1, 19 + len(content), 0, 0) + content


def payload(content: bytes, algorithm: int = 0) -> bytes:
    packed = zstandard.ZstdCompressor(write_content_size=False).compress(content)
    return bytes([2, 1, algorithm, 1, 3, 0xFC]) + struct.pack("<H", len(packed)) + b"\x00" + packed


BEGIN = struct.pack("<IIBHH", 1, 0, 0, 0, 0) + b"\x00BEGIN"
INNER = bare(2, BEGIN) + bare(19, MAP) + bare(30, ROW) + bare(16, XID)


def test_a_compressed_transaction_reads_as_its_events_do() -> None:
    one = read((40, payload(INNER)))
    assert one.complete and one.doubt is None and one.packed is not None and list(one.tables) == [5]
    spooled = b"".join(unpacked(payload(INNER)))
    (change,) = one.changes
    assert [event.kind for event in events(spooled, 0)] == [2, 19, 30, 16]
    assert spooled[change.position + 19 : change.position + change.length - 4] == ROW
    assert spooled[change.map_position + 19 : change.map_position + change.map_length - 4] == MAP


@given(st.integers(1, len(INNER) - 1))
def test_a_compressed_transaction_in_part_is_refused(kept: int) -> None:
    with pytest.raises(Unreadable):
        read((40, payload(INNER[:kept])))


@given(st.integers(0, len(payload(INNER)) - 1), st.binary(max_size=40))
def test_a_damaged_payload_is_refused(at: int, other: bytes) -> None:
    damaged = payload(INNER)[:at] + other
    assume(not damaged.startswith(payload(INNER)))
    with pytest.raises(Unreadable):
        read((40, damaged))


def test_an_unknown_algorithm_is_refused() -> None:
    assert payload(INNER).startswith(b"\x02\x01\x00")
    with pytest.raises(Unreadable, match="algorithm 7"):
        list(unpacked(payload(INNER, 7)))
