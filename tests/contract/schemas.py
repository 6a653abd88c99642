"""Random tables over every type of column, and random transactions on them: SQL that may fail here and there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

Sql = st.SearchStrategy[str]
NULL = "NULL"
TEXTS = st.text(st.sampled_from("ab \u00e9\u20ac\U0001f600'\\\0\n%"), max_size=12)
BYTES = st.binary(max_size=12) | st.sampled_from([b"\0", b"\0" * 5, b"\xff" * 12, b"'\\"])


@dataclass(frozen=True)
class Kind:
    """A type of column, and literals of it."""

    sql: str
    values: Sql


def number(sql: str, low: int, high: int) -> Kind:
    return Kind(sql, st.one_of(st.integers(low, high), st.sampled_from([low, high, 0, 1])).map(str))


def text(sql: str, longest: int) -> Kind:
    literals = st.one_of(TEXTS, st.sampled_from(["x" * longest, "\u20ac" * (longest // 2), ""]))
    return Kind(sql, literals.map(lambda value: f"_utf8mb4 x'{value.encode().hex()}'"))


def binary(sql: str, longest: int) -> Kind:
    literals = st.one_of(BYTES, st.just(b"\xee" * longest))
    return Kind(sql, literals.map(lambda value: f"x'{value.hex()}'"))


def labels(sql: str, count: int, *, several: bool) -> Kind:
    return Kind(sql, st.integers(0, 2**count - 1 if several else count).map(str))


def timed(sql: str, *values: str) -> Kind:
    fractions = st.sampled_from(["", ".000001", ".5", ".999999", ".12"])
    return Kind(sql, st.builds(lambda value, fraction: f"'{value}{fraction}'", st.sampled_from(values), fractions))


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS | st.just("long" * 100),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
JSON_LITERALS = st.one_of(
    JSON_VALUES.map(lambda value: f"_utf8mb4 x'{json.dumps(value).encode().hex()}'"),
    st.sampled_from(
        ["JSON_ARRAY(CAST('0000-00-00' AS DATE), 1.50, TIME'-10:00:00.5')", "JSON_OBJECT('b', x'00ff', 'y', b'101')"]
    ),
)
COORDINATES = st.integers(-5, 5)
GEOMETRIES = st.one_of(
    st.builds("POINT({}, {})".format, COORDINATES, COORDINATES),
    st.builds("ST_GeomFromText('LINESTRING({} {}, 3 4)')".format, COORDINATES, COORDINATES),
    st.sampled_from(
        [
            "ST_GeomFromText('GEOMETRYCOLLECTION EMPTY')",
            "ST_GeomFromText('MULTIPOINT((0 0), (1 1))')",
            "ST_GeomFromText('POLYGON((0 0, 0 1, 1 1, 0 0))', 4326)",
        ]
    ),
)
SHAPES = {
    "POINT SRID 4326": ["ST_GeomFromText('POINT(1 2)', 4326)", "ST_GeomFromText('POINT(-90 180)', 4326)"],
    "LINESTRING": ["ST_GeomFromText('LINESTRING(0 0, 1 1, 0 0)')", "ST_GeomFromText('LINESTRING(1e300 -1e300, 0 0)')"],
    "POLYGON": ["ST_GeomFromText('POLYGON((0 0, 0 9, 9 9, 0 0), (1 2, 1 3, 2 3, 1 2))')"],
    "MULTIPOLYGON": ["ST_GeomFromText('MULTIPOLYGON(((0 0, 0 1, 1 1, 0 0)), ((5 5, 5 6, 6 6, 5 5)))')"],
    "MULTILINESTRING": ["ST_GeomFromText('MULTILINESTRING((0 0, 1 1), (2 2, 3 3))')"],
    "GEOMETRYCOLLECTION": [
        "ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 1), GEOMETRYCOLLECTION EMPTY)')",
        "ST_GeomFromText('GEOMETRYCOLLECTION EMPTY')",
    ],
}
REALS = st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False).map(lambda v: f"{v!r}e0")
VECTORS = st.lists(st.integers(-1000, 1000), min_size=1, max_size=4).map(lambda v: f"TO_VECTOR('{v}')")
DATES = ("0000-00-00", "2024-02-29", "9999-12-31", "1000-01-01", "2023-00-00")
STAMPS = ("0000-00-00 00:00:00", "1970-01-01 00:00:01", "2038-01-19 03:14:07", "2024-02-29 12:34:56")
TIMES = ("-838:59:58", "00:00:00", "-00:00:00", "12:34:56", "-01:02:03")

KINDS = st.sampled_from(
    [
        *(
            number(name + sign, 0 if sign else -(2 ** (bits - 1)), 2**bits - 1 if sign else 2 ** (bits - 1) - 1)
            for name, bits in (("TINYINT", 8), ("SMALLINT", 16), ("MEDIUMINT", 24), ("INT", 32), ("BIGINT", 64))
            for sign in ("", " UNSIGNED")
        ),
        *(
            Kind(sql, st.decimals(-(10**20), 10**20, allow_nan=False, places=9).map(lambda value: f"{value:f}"))
            for sql in ("DECIMAL(30,9)", "DECIMAL(9,2)", "DECIMAL(10,10)", "DECIMAL(65,0)", "DECIMAL(19,4) UNSIGNED")
        ),
        *(Kind(sql, REALS) for sql in ("FLOAT", "DOUBLE", "FLOAT(9,3)", "DOUBLE UNSIGNED")),
        *(number(f"BIT({bits})", 0, 2**bits - 1) for bits in (1, 8, 9, 63, 64)),
        *(text(f"{kind} CHARACTER SET {charset}", size)
          for kind, size in (("CHAR(9)", 9), ("VARCHAR(60)", 60), ("VARCHAR(400)", 400), ("TINYTEXT", 60), ("TEXT", 99))
          for charset in ("utf8mb4", "latin1", "utf16")),
        text("VARCHAR(30) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", 30),
        text("LONGTEXT CHARACTER SET sjis", 9000),
        binary("BINARY(9)", 9), binary("BINARY(255)", 255), binary("VARBINARY(20)", 20), binary("VARBINARY(300)", 300),
        binary("TINYBLOB", 255), binary("BLOB", 9000), binary("MEDIUMBLOB", 70000), binary("LONGBLOB", 100),
        labels("ENUM('a', '\u00e9', '') CHARACTER SET latin1", 3, several=False),
        labels(f"ENUM({', '.join(map(repr, map(str, range(300))))})", 300, several=False),
        labels("SET('x', '\u20ac', 'z') CHARACTER SET latin1", 3, several=True),
        labels(f"SET({', '.join(map(repr, map(str, range(64))))})", 64, several=True),
        timed("DATE", *DATES), timed("DATETIME", *DATES, *STAMPS), timed("DATETIME(6)", *STAMPS),
        timed("DATETIME(1)", *STAMPS), timed("TIMESTAMP NULL", *STAMPS), timed("TIMESTAMP(3) NULL", *STAMPS),
        timed("TIMESTAMP(6) NULL", *STAMPS), timed("TIME", *TIMES), timed("TIME(6)", *TIMES), timed("TIME(3)", *TIMES),
        number("YEAR", 1901, 2155),
        Kind("JSON", JSON_LITERALS), Kind("GEOMETRY", GEOMETRIES), Kind("VECTOR(4)", VECTORS),
        *(Kind(sql, st.sampled_from(values)) for sql, values in SHAPES.items()),
        Kind("VECTOR(1)", st.sampled_from(["TO_VECTOR('[1e-38]')", "TO_VECTOR('[-3e38]')"])),
        Kind("VECTOR(2048)", st.integers(1, 2048).map(lambda n: f"TO_VECTOR('[{','.join(map(str, range(n)))}]')")),
        number("BOOL", -128, 127), number("BIT(17)", 0, 2**17 - 1), number("INT(7) ZEROFILL", 0, 2**32 - 1),
        Kind("DECIMAL(65,30)", st.decimals(-(10**34), 10**34, allow_nan=False, places=30).map(lambda v: f"{v:f}")),
        Kind("DOUBLE(20,5)", REALS), Kind("FLOAT UNSIGNED", REALS), Kind("DECIMAL(1,1)", st.sampled_from([".9", ".1"])),
        text("CHAR(0) CHARACTER SET utf8mb4", 0), text("CHAR(255) CHARACTER SET utf8mb4", 255),
        text("VARCHAR(64) CHARACTER SET utf8mb3", 40), text("CHAR(80) CHARACTER SET utf32", 80),
        text("MEDIUMTEXT CHARACTER SET gbk", 70000), text("VARCHAR(20) CHARACTER SET ucs2", 20),
        text("CHAR(30) CHARACTER SET latin1 COLLATE latin1_german2_ci", 30), text("TEXT CHARACTER SET eucjpms", 300),
        binary("VARBINARY(0)", 0), binary("BINARY(1)", 1), binary("VARBINARY(256)", 256),
        labels("ENUM('x', '\u20ac') CHARACTER SET utf16", 2, several=False),
        labels("SET('\u3042', 'b', 'c') CHARACTER SET sjis", 3, several=True),
        Kind("TIMESTAMP(6) NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6)", st.just("DEFAULT")),
        Kind("DATETIME(2) DEFAULT CURRENT_TIMESTAMP(2) ON UPDATE CURRENT_TIMESTAMP(2)", st.just("DEFAULT")),
    ]
)  # fmt: skip
IDS = st.integers(0, 9)


@dataclass(frozen=True)
class Made:
    """One table: how it is made, and the columns that statements write. `keyed`: a row is found by its key alone."""

    name: str
    definition: str
    columns: tuple[tuple[str, Sql], ...]
    keyed: bool


SHAPED = ("POINT", "LINESTRING", "POLYGON", "GEOMETRY")  # no partition holds them
KEYS = {
    "none": "id INT",
    "unique or NULL": "id INT UNIQUE",
    "number": "id INT PRIMARY KEY",
    "serial": "id INT AUTO_INCREMENT PRIMARY KEY",  # to which no generated column and no check may refer
    "pair": "id SMALLINT UNSIGNED, k VARBINARY(9), PRIMARY KEY (k, id)",
    "text": "id INT, k VARCHAR(20) CHARACTER SET latin1 COLLATE latin1_bin PRIMARY KEY",
    "hidden": "id INT, my_row_id BIGINT UNSIGNED AUTO_INCREMENT INVISIBLE PRIMARY KEY",
}
EXTRAS = (
    "v INT AS (id + 1) VIRTUAL",
    "s VARCHAR(30) AS (CONCAT('s', id * 2)) STORED",
    "v BIGINT AS (id * 7) VIRTUAL, INDEX (v)",
    "CHECK (id < 1000)",
    "INDEX ((id % 3))",
    "n INT DEFAULT 7 INVISIBLE",
    "j JSON AS (JSON_ARRAY(id, 'x')) STORED",
    "h VARBINARY(32) AS (UNHEX(SHA2(id, 256))) STORED INVISIBLE",
    "f DOUBLE AS (id / 7) VIRTUAL INVISIBLE",
    "e BIGINT DEFAULT (7 * 6)",
    "b BIT(9) DEFAULT b'101' NOT NULL",
)
PARTITIONS = (" PARTITION BY KEY (id) PARTITIONS 4",
              " PARTITION BY RANGE (id) SUBPARTITION BY HASH (id) SUBPARTITIONS 2"
              " (PARTITION a VALUES LESS THAN (3), PARTITION b VALUES LESS THAN MAXVALUE)",
              " PARTITION BY LIST (id) (PARTITION a VALUES IN (NULL, 0, 1, 2), PARTITION b VALUES IN (3, 4, 5, 6, 7))",
              " PARTITION BY HASH (id) PARTITIONS 3", " PARTITION BY RANGE (id) (PARTITION a VALUES LESS THAN (5),"
              " PARTITION b VALUES LESS THAN MAXVALUE)")  # fmt: skip


@st.composite
def table(draw: st.DrawFn, name: str, parent: Made | None = None) -> Made:
    key = draw(st.sampled_from(list(KEYS)))
    kinds = draw(st.lists(KINDS, min_size=2, max_size=6))
    columns: list[tuple[str, Sql]] = [("id", IDS.map(str) | st.just(NULL))]
    parts = [KEYS[key]]
    if "k " in KEYS[key]:
        columns.append(("k", BYTES.map(lambda value: f"x'{value.hex()}'")))
    for n, kind in enumerate(kinds):
        parts.append(f"c{n} {kind.sql}")
        columns.append((f"c{n}", kind.values | st.just(NULL)))
    if key != "serial":
        parts += draw(st.lists(st.sampled_from(EXTRAS), max_size=2, unique_by=lambda extra: extra[:2]))
    partition = ""
    if parent is not None and any(f"({KEYS[one]}," in parent.definition for one in ("number", "serial")):
        rule = draw(st.sampled_from(["CASCADE", "SET NULL"]))
        parts += ["p INT", f"FOREIGN KEY (p) REFERENCES {parent.name} (id) ON DELETE {rule} ON UPDATE {rule}"]
        columns.append(("p", IDS.map(str)))
    elif parent is not None and key in ("none", "pair") and not any(shape in sql for sql in parts for shape in SHAPED):
        partition = draw(st.sampled_from(["", *PARTITIONS]))
    definition = f"CREATE TABLE {name} ({', '.join(parts)}){partition}"
    return Made(name, definition, tuple(columns), keyed=key not in ("none", "unique or NULL"))


def names(one: Made) -> str:
    return ", ".join(name for name, _ in one.columns)


def filled(one: Made) -> Sql:
    """Some rows of it."""
    row = st.tuples(*(values for _, values in one.columns)).map(lambda values: f"({', '.join(values)})")
    return st.lists(row, min_size=1, max_size=6).map(", ".join)


@st.composite
def statement(draw: st.DrawFn, tables: Sequence[Made]) -> str:
    one = draw(st.sampled_from(tables))
    written, rows = names(one), draw(filled(one))
    column, values = draw(st.sampled_from(one.columns))
    assigned = f"{column} = {draw(values)}"
    where = draw(st.sampled_from(["", f" WHERE id = {draw(IDS)}", f" WHERE id < {draw(IDS)}", " ORDER BY id LIMIT 2"]))
    return draw(
        st.sampled_from(
            [
                f"INSERT IGNORE INTO {one.name} ({written}) VALUES {rows}",
                f"INSERT INTO {one.name} ({written}) VALUES {rows} ON DUPLICATE KEY UPDATE {assigned}",
                f"REPLACE INTO {one.name} ({written}) VALUES {rows}",
                f"INSERT IGNORE INTO {one.name} ({written}) SELECT {written} FROM {one.name}",
                f"UPDATE IGNORE {one.name} SET {assigned}{where}",
                f"UPDATE {one.name} SET id = id + 1 ORDER BY id DESC",
                f"UPDATE {one.name} SET {assigned}, id = id - 1{where}",
                f"DELETE FROM {one.name}{where}",
                f"UPDATE {tables[0].name} AS x JOIN {tables[-1].name} AS y ON x.id >= y.id SET x.id = x.id + 9,"
                " y.id = y.id + 20",
                f"DELETE x, y FROM {tables[0].name} AS x JOIN {tables[-1].name} AS y USING (id)",
                f"INSERT IGNORE INTO {one.name} ({written}) SELECT {written} FROM {one.name} ORDER BY id DESC LIMIT 3"
                f" ON DUPLICATE KEY UPDATE {assigned}",
            ]
        )
    )


@st.composite
def transaction(draw: st.DrawFn, tables: Sequence[Made]) -> list[str]:
    """One transaction, or some that are committed by themselves, perhaps compressed, tagged, or without checks."""
    statements = draw(st.lists(statement(tables), min_size=2, max_size=5))
    if draw(st.booleans()):
        at = draw(st.integers(0, len(statements)))
        statements.insert(at, "SAVEPOINT here")
        if draw(st.booleans()):
            statements.append("ROLLBACK TO here")
        statements = ["BEGIN", *statements, draw(st.sampled_from(["COMMIT", "COMMIT", "COMMIT", "ROLLBACK"]))]
    settings = {
        "binlog_transaction_compression = ON": "binlog_transaction_compression = OFF",
        "gtid_next = 'AUTOMATIC:tagged'": "gtid_next = 'AUTOMATIC'",
        "foreign_key_checks = OFF": "foreign_key_checks = ON",
        "unique_checks = OFF": "unique_checks = ON",
    }
    if all(one.keyed for one in tables):
        settings["binlog_row_value_options = PARTIAL_JSON"] = "binlog_row_value_options = ''"
    chosen = draw(st.lists(st.sampled_from(list(settings)), max_size=2, unique=True))
    before, after = [f"SET {one}" for one in chosen], [f"SET {settings[one]}" for one in chosen]
    return [*before, *statements, *after, *(["FLUSH BINARY LOGS"] if draw(st.integers(0, 9)) == 9 else [])]


@dataclass(frozen=True)
class Story:
    """Tables, the rows in them, transactions, and the statement at which the first attempt to undo them is lost."""

    tables: tuple[Made, ...]
    triggers: tuple[str, ...]
    rows: tuple[str, ...]
    work: tuple[str, ...]
    lost_at: int


LOGS = (
    Made(
        "log",
        "CREATE TABLE log (n INT AUTO_INCREMENT PRIMARY KEY, what CHAR(1), id INT)",
        (("id", IDS.map(str)),),
        True,
    ),
    Made("log", "CREATE TABLE log (n INT DEFAULT 1, what CHAR(1), id INT)", (("id", IDS.map(str)),), False),
)
TRIGGERS = (
    "AFTER INSERT ON {0} FOR EACH ROW INSERT INTO log (what, id) VALUES ('i', NEW.id), ('i', NEW.id)",
    "BEFORE UPDATE ON {0} FOR EACH ROW SET NEW.id = NEW.id % 50",
    "AFTER UPDATE ON {0} FOR EACH ROW UPDATE log SET what = 'u', id = id + 1 WHERE id = OLD.id",
    "BEFORE DELETE ON {0} FOR EACH ROW DELETE FROM log WHERE id = OLD.id",
    "AFTER DELETE ON {0} FOR EACH ROW REPLACE INTO log (n, what, id) VALUES (OLD.id, 'd', OLD.id)",
)


@st.composite
def triggers(draw: st.DrawFn, tables: Sequence[Made]) -> list[str]:
    """Some of each table, which write into the log."""
    chosen = draw(st.lists(st.tuples(st.sampled_from(TRIGGERS), st.sampled_from(tables)), max_size=4, unique=True))
    return [f"CREATE TRIGGER t{n} {text.format(one.name)}" for n, (text, one) in enumerate(chosen)]


@st.composite
def stories(draw: st.DrawFn) -> Story:
    first = draw(table("a"))
    tables = [first, draw(table("b", first))]
    made = draw(triggers(tables))
    if made:
        tables.append(draw(st.sampled_from(LOGS)))
    rows = [f"INSERT IGNORE INTO {one.name} ({names(one)}) VALUES {draw(filled(one))}" for one in tables]
    work = [sql for one in draw(st.lists(transaction(tables), min_size=3, max_size=8)) for sql in one]
    return Story(tuple(tables), tuple(made), tuple(rows), tuple(work), draw(st.integers(1, 40)))
