"""What is read from row images is what the server itself selects, for every type: shown, compared, and found by key."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from agents.binlog.catalog import collations, definition
from agents.binlog.images import Image, Operation, row_comparison
from agents.binlog.values import quoted
from agents.reconcile.chunks import row_text
from agents.reconcile.layouts import layout
from agents.session import Session
from tests.contract.rewinding import SCHEMA, Undoer, changes_since, undoer
from tests.contract.test_rewind import TYPES

pytestmark = pytest.mark.lab

MORE = {
    "DOUBLE": ["1e15", "1e16", "-1e-15", "1.5e-14", "123456789012345678", "0.000123", "1e100", "-2.5e-300", "-0E0"],
    "DOUBLE(10,2)": ["1.5", "100", "-0.01"],
    "FLOAT": ["16777217", "0.1", "1e-10", "3.3e20", "-7"],
    "DECIMAL(20,10)": ["-1234567890.0987654321", "0.0000000001", "-0.5", "NULL"],
    "DECIMAL(5,5)": ["0.12345", "-0.00001"],
    "TIME(1)": ["'-01:02:03.4'", "'-00:00:00.1'"],
    "TIME(3)": ["'-838:59:58.999'", "'00:00:00.001'"],
    "DATETIME(1)": ["'2024-02-29 12:00:00.9'"],
    "TIMESTAMP(1) NULL": ["'2024-02-29 12:00:00.9'", "'0000-00-00'"],
    "YEAR": ["0", "1999"],
    "JSON": [
        "'1'", "'-1.0'", "'1e20'", "'1e-20'", "'1.5'", "'\"x\"'", "'[]'", "'{}'", "'true'", "'18446744073709551615'",
        "'-32769'", "'65536'", "'\"\\\\u0001\\\\n\\\\\"\\\\\\\\/\u20ac\"'", "JSON_QUOTE(REPEAT('long', 50))",
        "JSON_ARRAY(CAST('2024-02-29 01:02:03.5' AS DATETIME(6)), CAST('0000-00-00' AS DATE), 0.10)",
        "JSON_ARRAY(CAST('-838:59:59' AS TIME), TIMESTAMP'2024-01-01 00:00:00', CAST(1.50 AS DECIMAL(10, 4)))",
        "JSON_OBJECT('bytes', REPEAT(0xff, 100), 'bit', b'101', 'year', CAST(2024 AS YEAR))",
        "JSON_OBJECT('k', REPEAT('x', 70000), 'a', JSON_ARRAY(1, -5, 70000, 3000000000), 'n', NULL)",
        "JSON_ARRAY(POINT(1, 2))", "CAST(1.25 AS JSON)", "CAST(CAST(5 AS UNSIGNED) AS JSON)",
    ],
    "VARCHAR(20) CHARACTER SET utf16le": ["'\u20ac\U0001f600'"],
    "VARCHAR(20) CHARACTER SET utf32": ["'\u20ac\U0001f600'"],
    "VARCHAR(20) CHARACTER SET utf8mb3 COLLATE utf8mb3_bin": ["'\u20ac'"],
    "VARCHAR(20) CHARACTER SET cp1251": ["'\u0416'"],
    "VARCHAR(20) CHARACTER SET sjis": ["'\u30a2'"],
    "SET('\u3042','b') CHARACTER SET sjis": ["3", "1", "''"],
    "INT(9) ZEROFILL": ["7", "0", "4294967295"],
    "BIGINT ZEROFILL": ["18446744073709551615", "5"],
    "DECIMAL(9,2) ZEROFILL": ["7.5", "0", "1234567.89"],
    "DECIMAL(65,30) UNSIGNED": ["12345678901234567890123456789012345.123456789012345678901234567891", "0.5"],
    "TEXT CHARACTER SET gbk": ["'\u4e2d'"],
    "VARCHAR(200) CHARACTER SET latin1": [f"CHAR({','.join(map(str, range(1, 256)))} USING latin1)"],
}  # fmt: skip
ALL = {kind: values for family in TYPES.values() for kind, values in family.items()}
for kind, values in MORE.items():
    ALL[kind] = [*ALL.get(kind, []), *values]


@pytest.fixture(scope="module")
def on() -> Iterator[Undoer]:
    with undoer() as made:
        yield made


@pytest.fixture(scope="module")
def inserted(on: Undoer) -> dict[str, tuple[str, list[Image]]]:
    """Column type -> a table of it, and the images of its rows."""
    names = {kind: f"t{number}" for number, kind in enumerate(ALL)}
    on.made(*(f"CREATE TABLE {name} (id INT PRIMARY KEY, v {kind})" for kind, name in names.items()))
    before = on.executed()
    for kind, name in names.items():
        rows = ", ".join(f"({number}, {value})" for number, value in enumerate(ALL[kind]))
        on.do(f"INSERT INTO {name} VALUES {rows}, (-1, NULL)")
    images: dict[str, list[Image]] = {name: [] for name in names.values()}
    for change in changes_since(on, before):
        assert change.operation is Operation.INSERT and change.before is None and change.after is not None
        images[change.table.name].append(change.after)
    return {kind: (name, images[name]) for kind, name in names.items()}


def root_session(on: Undoer) -> Session:
    return on.server.session("root")


def selected(on: Undoer, sql: str) -> Any:
    """One value as bytes; text is sent as UTF-8."""
    ((value,),) = on.ask(sql)
    return value.encode() if isinstance(value, str) else value


@pytest.mark.parametrize("kind", ALL)
def test_a_value_is_shown_as_the_server_shows_it(
    on: Undoer, inserted: dict[str, tuple[str, list[Image]]], kind: str
) -> None:
    name, images = inserted[kind]
    assert len(images) == len(ALL[kind]) + 1
    spelled = {"FLOAT": "v + 0E0", "DOUBLE(10,2)": "v + 0E0", "BIT": "v + 0", "VECTOR": "CAST(v AS BINARY)"}
    spelled |= {filled: "ABS(v)" for filled in ALL if "ZEROFILL" in filled}
    spelled |= {labelled: "CAST(v AS BINARY)" for labelled in ALL if "SET('\u3042'" in labelled}
    column = spelled.get(kind) or spelled.get(kind.split("(")[0], "v")
    for image in images:
        found = image.shown()
        value = found["v"]
        expected = selected(on, f"SELECT {column} FROM {name} WHERE id = {found['id']}")
        if isinstance(value, bytes) and "CHARACTER SET" in kind:
            expected = selected(on, f"SELECT CAST(v AS BINARY) FROM {name} WHERE id = {found['id']}")
        assert (value.encode() if isinstance(value, str) else value) == expected


@pytest.mark.parametrize("kind", ALL)
def test_a_row_is_compared_as_the_server_compares_it(
    on: Undoer, inserted: dict[str, tuple[str, list[Image]]], kind: str
) -> None:
    name, images = inserted[kind]
    for image in images:
        there = selected(on, f"SELECT {row_comparison(image.table)} FROM {name} WHERE {image.condition()}")
        assert there == image.compared()
    assert len({image.compared() for image in images}) == len(images)


@pytest.mark.parametrize("kind", ALL)
def test_rows_of_a_return_and_rows_of_a_chunk_are_compared_by_one_text(
    on: Undoer, inserted: dict[str, tuple[str, list[Image]]], kind: str
) -> None:
    """The one from the map in the log, the other from the definition of today."""
    name, images = inserted[kind]
    with closing(root_session(on)) as session:
        now = layout(session, SCHEMA, name, collations(session))
    assert now is not None and not now.unfit
    assert row_text(now) == row_comparison(images[0].table)
    assert [column.name for column in now.key] == ["id"]


KEYS = [
    "TINYINT", "BIGINT UNSIGNED", "DECIMAL(20,10)", "BIT(9)", "DATE", "DATETIME(3)", "TIMESTAMP(6) NULL", "TIME(6)",
    "YEAR", "CHAR(5) CHARACTER SET latin1", "VARCHAR(10) CHARACTER SET utf16", "BINARY(4)", "VARBINARY(300)",
    "ENUM('a','\u00e9','it''s') CHARACTER SET latin1", "SET('x','\u20ac','z') CHARACTER SET latin1",
]  # fmt: skip


@pytest.mark.parametrize("kind", KEYS)
def test_a_row_is_found_by_its_key(on: Undoer, kind: str) -> None:
    on.made(f"CREATE TABLE t (n INT, `k``1` {kind.replace(' NULL', '')}, PRIMARY KEY (`k``1`, n))")
    before = on.executed()
    rows = enumerate(value for value in ALL[kind] if value != "NULL")
    on.do(f"INSERT INTO t VALUES {', '.join(f'({number}, {value})' for number, value in rows)}")
    changes = changes_since(on, before)
    assert len(changes) > 1
    for change in changes:
        assert change.after is not None
        condition = change.after.condition()
        assert condition is not None and quoted("k`1") in condition
        found = on.ask(f"SELECT n FROM t WHERE {condition}")
        assert found == [(change.after.key()[1],)]


def test_keys_that_equality_does_not_find_for_certain(on: Undoer) -> None:
    on.made(
        "CREATE TABLE a (k DOUBLE PRIMARY KEY)",
        "CREATE TABLE b (k VARCHAR(20), PRIMARY KEY (k(3)))",
        "CREATE TABLE c (k INT)",
    )
    before = on.executed()
    on.do("INSERT INTO a VALUES (0.1)", "INSERT INTO b VALUES ('abcdef')", "INSERT INTO c VALUES (1)")
    images = [change.after for change in changes_since(on, before)]
    assert [image.condition() for image in images if image] == [None, None, None]
    assert [image.key() for image in images if image] == [("0.1",), ("abcdef",), ()]


def test_generated_columns_are_left_out_of_comparisons(on: Undoer) -> None:
    on.made("CREATE TABLE g (id INT PRIMARY KEY, v INT AS (id + 1), s INT AS (id + 2) STORED, d INT DEFAULT (id + 3))")
    before = on.executed()
    on.do("INSERT INTO g (id) VALUES (1)")
    (change,) = changes_since(on, before)
    session = on.session()
    now = definition(session, SCHEMA, "g", {})
    session.close()
    assert now is not None and now.generated == {"v", "s"}
    assert change.after is not None and change.after.compared(now.generated) == b"1,4"
    assert on.ask(f"SELECT {row_comparison(change.table, now.generated)} FROM g") == [("1,4",)]


def test_of_a_partial_change_what_is_unknown_is_left_out(on: Undoer) -> None:
    on.made("CREATE TABLE j (id INT PRIMARY KEY, a JSON, b JSON, n INT)")
    on.do("""INSERT INTO j VALUES (1, '{"x": "aaaaaaaaaaaaaa"}', '[1]', 1)""")
    before = on.executed()
    on.do("SET binlog_row_value_options = PARTIAL_JSON", "UPDATE j SET a = JSON_SET(a, '$.x', 'b'), n = 2")
    on.do("SET binlog_row_value_options = ''")
    (change,) = changes_since(on, before)
    assert change.operation is Operation.UPDATE and change.before is not None and change.after is not None
    assert change.before.shown() == {"id": "1", "a": '{"x": "aaaaaaaaaaaaaa"}', "b": "[1]", "n": "1"}
    assert change.after.shown() == {"id": "1", "b": "[1]", "n": "2"} and change.after.compared() is None
