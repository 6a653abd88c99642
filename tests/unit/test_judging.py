"""What may be changed on the primary and what is kept: from the row images of a transaction and the rows of now."""

from __future__ import annotations

import pytest

from agents.binlog.images import Image, Operation, RowChange
from agents.binlog.rows import NO_FOREIGN_KEYS, NO_UNIQUE_KEYS
from agents.binlog.table import Column, Table, Type
from agents.reconcile.judging import Footprint, Kept, Ruling, footprint, rule, settled, verdict_of
from orchestrator.core.conflicts import Conflict

ID, V = (Column(name, Type.LONG, 4, 0, nullable=False) for name in "iv")
DOC = Column("d", Type.JSON, 4, 0, nullable=True)
T = Table(5, "s", "t", (ID, V), (0,), key_of_parts=False, named=True)
OTHER = Table(6, "s", "other", (ID, V), (0,), key_of_parts=False, named=True)
BARE = Table(7, "s", "bare", (ID, V), (), key_of_parts=False, named=True)
REAL = Table(8, "s", "reals", (Column("i", Type.DOUBLE, 8, 0, nullable=False), V), (0,), key_of_parts=False, named=True)
DOCUMENTS = Table(9, "s", "docs", (ID, DOC), (0,), key_of_parts=False, named=True)
WORD = Column("w", Type.VARCHAR, 80, 0, nullable=False, collation=255)
WORDS = Table(10, "s", "words", (WORD, V), (0,), key_of_parts=False, named=True)
Row = tuple[int, int]


def image(row: Row, table: Table = T) -> Image:
    return Image(table, tuple(value.to_bytes(table.columns[0].size, "little") for value in row))


def change(before: Row | None, after: Row | None, table: Table = T, flags: int = 0) -> RowChange:
    operation = Operation.INSERT if before is None else Operation.DELETE if after is None else Operation.UPDATE
    images = [None if row is None else image(row, table) for row in (before, after)]
    return RowChange(table, operation, flags, images[0], images[1])


def text(row: Row | None) -> bytes | None:
    return None if row is None else image(row).compared()


def rulings(found: Footprint, present: dict[int, Row]) -> list[Ruling]:
    """As the primary's rows, by their key, say."""
    rows = [(touched, (touched.base or touched.left)) for touched in found.ordered()]
    return [rule(touched, text(present.get(_id(touched.condition))), ()) for touched, _ in rows]


def _id(condition: str) -> int:
    return int(condition.rpartition(" ")[2])


def verdict(changes: list[RowChange], *present: Row) -> Conflict | None:
    found = footprint(changes)
    return found.against or verdict_of(rulings(found, {row[0]: row for row in present}), found.moves)


@pytest.mark.parametrize(
    ("changed", "present", "expected"),
    [
        ([((1, 5), (1, 6))], [(1, 5)], None),
        ([((1, 5), (1, 6))], [(1, 6)], Conflict.IDENTICAL),
        ([((1, 5), (1, 6))], [(1, 7)], Conflict.UPDATE_DIFFERS),
        ([((1, 5), (1, 6))], [], Conflict.UPDATE_MISSING),
        ([((1, 5), None)], [(1, 5)], None),
        ([((1, 5), None)], [(1, 6)], Conflict.DELETE_DIFFERS),
        ([((1, 5), None)], [], Conflict.IDENTICAL),  # of the whole of it: there is nothing left to do
        ([(None, (1, 5))], [], None),
        ([(None, (1, 5))], [(1, 5)], Conflict.IDENTICAL),
        ([(None, (1, 5))], [(1, 6)], Conflict.INSERT_EXISTS),
        # folded: what counts is what the first found and the last left
        ([((1, 5), (1, 6)), ((1, 6), (1, 7))], [(1, 5)], None),
        ([((1, 5), (1, 6)), ((1, 6), (1, 7))], [(1, 7)], Conflict.IDENTICAL),
        ([((1, 5), (1, 6)), ((1, 6), (1, 7))], [(1, 6)], Conflict.UPDATE_DIFFERS),
        ([(None, (1, 5)), ((1, 5), None)], [], None),
        ([(None, (1, 5)), ((1, 5), None)], [(1, 9)], Conflict.INSERT_EXISTS),
        ([((1, 5), None), (None, (1, 6))], [(1, 5)], None),
        ([((1, 5), None), (None, (1, 6))], [(1, 8)], Conflict.UPDATE_DIFFERS),
        # several rows: the worst decides; those that are so already are left as they are
        ([((1, 5), (1, 6)), ((2, 5), (2, 6))], [(1, 5), (2, 7)], Conflict.UPDATE_DIFFERS),
        ([((1, 5), (1, 6)), ((2, 5), (2, 6))], [(1, 6), (2, 5)], None),
        ([((1, 5), None), ((2, 5), (2, 6))], [(2, 6)], Conflict.IDENTICAL),
        # a row that goes to another key is two keys, changed together or not at all
        ([((1, 5), (2, 5))], [(1, 5)], None),
        ([((1, 5), (2, 5))], [(2, 5)], Conflict.IDENTICAL),
        ([((1, 5), (2, 5))], [], Conflict.UPDATE_DIFFERS),
        ([((1, 5), (2, 5))], [(1, 5), (2, 6)], Conflict.INSERT_EXISTS),
    ],
)
def test_what_speaks_against_a_transaction(
    changed: list[tuple[Row | None, Row | None]], present: list[Row], expected: Conflict | None
) -> None:
    assert verdict([change(*one) for one in changed], *present) == expected


def test_one_missing_row_to_delete_is_a_ruling_of_its_own() -> None:
    found = footprint([change((1, 5), None), change((2, 5), (2, 6))])
    ruled = rulings(found, {2: (2, 5)})
    assert [one.conflict for one in ruled] == [Conflict.DELETE_MISSING, None]
    assert settled(ruled) == {ruled[0].touched.key}


def test_keys_are_locked_in_one_order_whatever_the_order_of_the_changes() -> None:
    one, two = change((1, 5), (1, 6)), change((1, 5), (1, 6), OTHER)
    orders = [footprint(changes).ordered() for changes in ([one, two], [two, one])]
    assert [touched.key for touched in orders[0]] == [touched.key for touched in orders[1]]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([change(None, (1, 5), BARE)], None),
        ([change((1, 5), None, BARE)], Conflict.NO_PRIMARY_KEY),
        ([change((1, 5), (1, 6), BARE)], Conflict.NO_PRIMARY_KEY),
        ([change(None, (1, 5), REAL)], Conflict.KEY_NOT_COMPARABLE),
        ([change((1, 5), (1, 6), flags=NO_FOREIGN_KEYS)], Conflict.CHECKS_WERE_OFF),
        ([change(None, (1, 6), flags=NO_UNIQUE_KEYS), change((1, 5), None, BARE)], Conflict.CHECKS_WERE_OFF),
    ],
)
def test_what_speaks_against_the_whole_before_any_row_is_looked_at(
    changes: list[RowChange], expected: Conflict | None
) -> None:
    assert footprint(changes).against == expected


def test_an_image_of_which_a_part_is_unknown_is_for_a_person() -> None:
    before = Image(DOCUMENTS, (bytes([1, 0, 0, 0]), None))
    after = Image(DOCUMENTS, before.raw, frozenset({1}))
    found = footprint([RowChange(DOCUMENTS, Operation.UPDATE, 0, before, after)])
    (touched,) = found.ordered()
    assert rule(touched, before.compared(), ()).conflict is Conflict.UNDECODABLE


def test_generated_columns_count_for_nothing() -> None:
    (touched,) = footprint([change((1, 5), (1, 6))]).ordered()
    assert rule(touched, b"1", {"v"}).conflict is None


def word(text: bytes, value: int) -> Image:
    return Image(WORDS, (text, value.to_bytes(4, "little")))


def lower(one: Image) -> str:
    return (one.raw[0] or b"").lower().decode()


def test_spellings_of_one_key_are_one_row() -> None:
    changes = [
        RowChange(WORDS, Operation.UPDATE, 0, word(b"abc", 1), word(b"ABC", 1)),
        RowChange(WORDS, Operation.DELETE, 0, word(b"ABC", 1), None),
        RowChange(WORDS, Operation.INSERT, 0, None, word(b"Abc", 2)),
    ]
    (touched,) = footprint(changes, lower).ordered()
    assert (touched.base, touched.left) == (word(b"abc", 1), word(b"Abc", 2))
    assert len(footprint(changes).ordered()) == 3  # else each spelling is a row


def test_what_is_kept_holds_back_what_touches_it_later() -> None:
    kept = Kept()
    kept.add("u:1", footprint([change((1, 5), (1, 6)), change((2, 5), (3, 5)), change((1, 1), None, BARE)]))
    assert kept.before(footprint([change((1, 6), (1, 7))]), [T]) == "u:1"
    assert kept.before(footprint([change(None, (2, 9))]), [T]) == "u:1"
    assert kept.before(footprint([change((1, 6), (1, 7), OTHER)]), [OTHER]) == ""
    assert kept.before(footprint([change((4, 6), (4, 7))]), [T]) == ""
    assert kept.before(footprint([change(None, (5, 5), BARE)]), [BARE]) == "u:1"
    kept.add_tables("u:2", [OTHER])
    assert kept.before(footprint([change((1, 6), (1, 7), OTHER)]), [OTHER]) == "u:2"
