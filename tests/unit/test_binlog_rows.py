"""Rows of the binary log: each value is found, what undoes a row event undoes it exactly, and damage is refused."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.binlog.fields import Unreadable
from agents.binlog.invert import inverse
from agents.binlog.layout import digits_bytes
from agents.binlog.parse import Kind
from agents.binlog.rows import NO_FOREIGN_KEYS, STATEMENT_END, Rows, Splitter, rows
from agents.binlog.table import Table, Type, table

Values = tuple[bytes | None, ...]


@dataclass(frozen=True)
class Sort:
    """A type of column as a map spells it, and how its values are: of a fixed size, or behind a prefix."""

    code: int
    metadata: bytes
    fixed: int = 0
    prefix: int = 0


SORTS = [
    Sort(Type.TINY, b"", 1), Sort(Type.SHORT, b"", 2), Sort(Type.INT24, b"", 3), Sort(Type.LONG, b"", 4),
    Sort(Type.LONGLONG, b"", 8), Sort(Type.FLOAT, b"\x04", 4), Sort(Type.DOUBLE, b"\x08", 8), Sort(Type.DATE, b"", 3),
    Sort(Type.YEAR, b"", 1), Sort(Type.TIMESTAMP2, b"\x00", 4), Sort(Type.TIMESTAMP2, b"\x05", 7),
    Sort(Type.DATETIME2, b"\x03", 7), Sort(Type.TIME2, b"\x06", 6), Sort(Type.NEWDECIMAL, b"\x41\x1e", 30),
    Sort(Type.VARCHAR, b"\xff\x00", prefix=1), Sort(Type.VARCHAR, b"\x00\x01", prefix=2),
    Sort(Type.STRING, b"\xfe\xff", prefix=1), Sort(Type.STRING, b"\xee\x00", prefix=2),
    Sort(Type.STRING, b"\xf7\x02", 2), Sort(Type.STRING, b"\xf8\x08", 8), Sort(Type.BIT, b"\x01\x01", 2),
    Sort(Type.BLOB, b"\x01", prefix=1), Sort(Type.BLOB, b"\x03", prefix=3), Sort(Type.JSON, b"\x04", prefix=4),
    Sort(Type.GEOMETRY, b"\x04", prefix=4), Sort(Type.VECTOR, b"\x04", prefix=4),
]  # fmt: skip


def map_of(sorts: list[Sort], key: bool = True) -> Table:
    count = len(sorts)
    metadata = b"".join(sort.metadata for sort in sorts)
    names = b"".join(b"\x02c" + bytes([97 + n]) for n in range(count))
    body = (5).to_bytes(6, "little") + b"\x01\x00\x01s\x00\x01t\x00" + bytes([count])
    body += bytes(sort.code for sort in sorts) + bytes([len(metadata)]) + metadata + b"\xff" * ((count + 7) // 8)
    return table(body + bytes([4, len(names)]) + names + (b"\x08\x01\x00" if key else b""))


def image(sorts: list[Sort], values: Values) -> bytes:
    nulls = sum(1 << n for n, value in enumerate(values) if value is None).to_bytes((len(sorts) + 7) // 8, "little")
    parts = [nulls]
    for sort, value in zip(sorts, values, strict=True):
        if value is not None:
            parts += [len(value).to_bytes(sort.prefix, "little") if sort.prefix else b"", value]
    return b"".join(parts)


def event(sorts: list[Sort], kind: int, images: list[bytes], extra: bytes = b"", flags: int = 0x10) -> Rows:
    bitmap = ((1 << len(sorts)) - 1).to_bytes((len(sorts) + 7) // 8, "little")
    body = (5).to_bytes(6, "little") + flags.to_bytes(2, "little") + (len(extra) + 2).to_bytes(2, "little") + extra
    body += bytes([len(sorts)]) + bitmap * (2 if kind == Kind.UPDATE_ROWS else 1)
    return rows(kind, body + b"".join(images))


@st.composite
def changes(draw: st.DrawFn) -> tuple[list[Sort], int, list[Values]]:
    """Columns, a type of event, and the values of its images, of which an update has two per row."""
    sorts = draw(st.lists(st.sampled_from(SORTS), min_size=1, max_size=12))
    kind = draw(st.sampled_from([Kind.WRITE_ROWS, Kind.UPDATE_ROWS, Kind.DELETE_ROWS]))
    value = {
        sort: st.none() | st.binary(min_size=sort.fixed, max_size=sort.fixed or min(300, 256**sort.prefix - 1))
        for sort in sorts
    }
    count = draw(st.integers(1, 4)) * (2 if kind == Kind.UPDATE_ROWS else 1)
    return sorts, kind, [tuple(draw(value[sort]) for sort in sorts) for _ in range(count)]


def images_of(splitter: Splitter, read: Rows) -> list[Values]:
    both = [pair for row in splitter.split(read) for pair in (row.before, row.after) if pair[0] < pair[1]]
    return [splitter.values(read, pair) for pair in both]


@given(changes())
def test_every_value_is_found(change: tuple[list[Sort], int, list[Values]]) -> None:
    sorts, kind, values = change
    read = event(sorts, kind, [image(sorts, one) for one in values])
    assert images_of(Splitter(map_of(sorts)), read) == values


@given(changes(), st.booleans(), st.integers(1, 400))
def test_what_undoes_an_event_is_its_images_backwards(
    change: tuple[list[Sort], int, list[Values]], key: bool, rows_bytes: int
) -> None:
    """An update's lookup is what it had made, hence both images change places, and the rows their order."""
    sorts, kind, values = change
    described = map_of(sorts, key)
    splitter = Splitter(described)
    undone = [
        rows(*one) for one in inverse(described, splitter, event(sorts, kind, list(made(sorts, values))), rows_bytes)
    ]
    assert [values for one in undone for values in images_of(splitter, one)] == values[::-1]
    opposite = {Kind.WRITE_ROWS: Kind.DELETE_ROWS, Kind.DELETE_ROWS: Kind.WRITE_ROWS}
    for one in undone:
        assert one.kind == opposite.get(Kind(kind), kind) and one.full()
        assert one.flags == 0x10 | STATEMENT_END | NO_FOREIGN_KEYS
        several = len(list(splitter.split(one))) > 1
        assert not several or len(one.content) - one.begin <= rows_bytes


def made(sorts: list[Sort], values: list[Values]) -> list[bytes]:
    return [image(sorts, one) for one in values]


@given(changes())
def test_undone_twice_is_done_again(change: tuple[list[Sort], int, list[Values]]) -> None:
    sorts, kind, values = change
    described = map_of(sorts)
    splitter = Splitter(described)
    read = event(sorts, kind, made(sorts, values))
    (back,) = inverse(described, splitter, read, 1 << 30)
    ((again, content),) = inverse(described, splitter, rows(*back), 1 << 30)
    assert (again, content[12:]) == (kind, read.content[12:])


def test_the_partitions_of_an_update_change_places() -> None:
    one, two = SORTS[0], made([SORTS[0]], [(b"a",), (b"b",)])
    read = event([one], Kind.UPDATE_ROWS, two, extra=bytes.fromhex("0103000100"))
    described = map_of([one])
    ((_, content),) = inverse(described, Splitter(described), read, 1 << 20)
    assert rows(31, content).extra.hex() == "0101000300"


@given(changes(), st.data())
def test_an_event_that_is_cut_short_is_refused(
    change: tuple[list[Sort], int, list[Values]], data: st.DataObject
) -> None:
    sorts, kind, values = change
    read = event(sorts, kind, made(sorts, values))
    lost = data.draw(st.integers(1, len(made(sorts, values)[-1])))
    splitter = Splitter(map_of(sorts))
    try:
        found = images_of(splitter, rows(kind, read.content[:-lost]))
    except Unreadable:
        return
    assert found == values[: len(found)] and len(found) < len(values), "cut between two rows, which the checksum shows"


@given(st.binary(max_size=200))
def test_bytes_that_are_no_map_are_refused_or_read(content: bytes) -> None:
    try:
        described = table(content)
    except Unreadable:
        return
    assert described.columns


@given(changes(), st.binary(max_size=300))
def test_bytes_that_are_no_rows_are_refused_or_end(
    change: tuple[list[Sort], int, list[Values]], content: bytes
) -> None:
    sorts, kind, _ = change
    read = event(sorts, kind, [content])
    try:
        found = list(Splitter(map_of(sorts)).split(read))
    except Unreadable:
        return
    assert sum(row.after[1] - row.before[0] for row in found) == len(content)


def test_a_part_of_the_columns_is_not_split() -> None:
    read = event([SORTS[0]] * 2, Kind.WRITE_ROWS, [b"\x00a"])
    partial = rows(Kind.WRITE_ROWS, read.content[:11] + b"\x01" + read.content[12:])
    assert read.full() and not partial.full()
    with pytest.raises(Unreadable):
        list(Splitter(map_of([SORTS[0]] * 2)).split(partial))


@pytest.mark.parametrize(("digits", "size"), [(0, 0), (1, 1), (3, 2), (9, 4), (10, 5), (35, 16), (65, 29)])
def test_bytes_of_a_decimal(digits: int, size: int) -> None:
    assert digits_bytes(digits) == size
