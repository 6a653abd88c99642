"""Other readers of the binary log see the same as ours: mysqlbinlog all of it, mysql-replication what it can read."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator

import pytest
from pymysqlreplication import BinLogStreamReader
from pymysqlreplication.event import GtidEvent, PreviousGtidsEvent
from pymysqlreplication.row_event import DeleteRowsEvent, UpdateRowsEvent, WriteRowsEvent

from agents.binlog.contents import transactions
from agents.binlog.images import Image, Operation, row_changes
from agents.binlog.logs import contents, files_after, mapped
from agents.binlog.parse import head
from lab.mysqld import find_mysqld, through_loader
from orchestrator.core.gtid import GtidSet
from tests.contract.rewinding import SCHEMA, Undoer, undoer
from tests.contract.test_rewind import CASES, TYPES

pytestmark = pytest.mark.lab

Seen = tuple[str, Operation, str, tuple[tuple[bool, ...], ...]]  # id, operation, table, which values are NULL, by image


@pytest.fixture(scope="module")
def on() -> Iterator[Undoer]:
    with undoer() as made:
        yield made


def ours(on: Undoer, before: GtidSet) -> list[tuple[str, Operation, str, list[Image]]]:
    found = []
    for path in files_after(on.datadir, on.datadir / "binlog.index", before):
        with mapped(path) as data:
            for one in transactions(data, head(data).end):
                with contents(data, one) as events:
                    for change in row_changes(events, one):
                        images = [image for image in (change.before, change.after) if image is not None]
                        found.append((str(one.gtid), change.operation, str(change.table), images))
    return [row for row in found if not GtidSet.parse(row[0]) <= before]


# --- mysqlbinlog

ROW = re.compile(r"### (INSERT INTO|UPDATE|DELETE FROM) `(.*)`\.`(.*)`$")
VALUE = re.compile(r"###   @(\d+)=(.*?)( /\* .* is_null=([01]) \*/)?$")
ID = re.compile(r"SET @@SESSION.GTID_NEXT= '([^']+:\d+)'")


def printed(on: Undoer, before: GtidSet) -> list[Seen]:
    """What `mysqlbinlog -vv` prints of every row. A value over several lines counts by its first."""
    binary = find_mysqld()
    if binary.basedir is None:
        command: tuple[str, ...] = (shutil.which("mysqlbinlog") or "mysqlbinlog",)
    else:
        command = through_loader(binary.basedir.parent, binary.basedir / "bin/mysqlbinlog")
    files = files_after(on.datadir, on.datadir / "binlog.index", before)
    argv = [*command, "--no-defaults", "-vv", "--base64-output=DECODE-ROWS", *map(str, files)]
    text = subprocess.run(argv, capture_output=True, check=True, timeout=60).stdout.decode(errors="replace")
    found: list[tuple[str, Operation, str, list[list[bool]]]] = []
    operations = {"INSERT INTO": Operation.INSERT, "UPDATE": Operation.UPDATE, "DELETE FROM": Operation.DELETE}
    gtid = ""
    for line in text.split("\n"):
        if named := ID.match(line):
            gtid = named[1]
        elif row := ROW.match(line):
            found.append((gtid, operations[row[1]], f"{row[2]}.{row[3]}", []))
        elif line in ("### SET", "### WHERE"):
            found[-1][3].append([])
        elif value := VALUE.match(line):
            found[-1][3][-1].append(value[4] == "1" if value[4] else value[2].startswith("NULL"))
    rows = [row for row in found if not GtidSet.parse(row[0]) <= before]
    return [(gtid, operation, name, tuple(map(tuple, nulls))) for gtid, operation, name, nulls in rows]


@pytest.mark.parametrize("case", [case for case in CASES if case != "names that need quoting"])
def test_mysqlbinlog_prints_the_same_rows(on: Undoer, case: str) -> None:
    tables, rows, work = CASES[case]
    on.made(*(f"CREATE TABLE {table}" for table in tables), *rows)
    before = on.executed()
    on.do(*work)
    seen = [
        (gtid, operation, name, tuple(tuple(raw is None for raw in image.raw) for image in images))
        for gtid, operation, name, images in ours(on, before)
    ]
    assert len(seen) > 0 and seen == printed(on, before)


def test_mysqlbinlog_prints_the_same_rows_of_every_type(on: Undoer) -> None:
    values = {kind: of for family in TYPES.values() for kind, of in family.items() if "GEO" not in kind}
    kinds = [kind for kind in values if "POLYGON" not in kind]  # mysqlbinlog does not know what a geometry is
    on.made(*(f"CREATE TABLE t{number} (v {kind}, w {kind})" for number, kind in enumerate(kinds)))
    before = on.executed()
    for number, kind in enumerate(kinds):
        one, two, _ = values[kind]
        on.do(f"INSERT INTO t{number} VALUES ({one}, NULL), (NULL, {two})", f"UPDATE t{number} SET v = {two}")
    seen = [
        (gtid, operation, name, tuple(tuple(raw is None for raw in image.raw) for image in images))
        for gtid, operation, name, images in ours(on, before)
    ]
    assert len(seen) == 4 * len(kinds) and seen == printed(on, before)


# --- mysql-replication

OLD_NAMES = pytest.mark.filterwarnings("ignore:'(db|passwd)' is deprecated:DeprecationWarning")  # of a login, by it


def streamed(on: Undoer, before: GtidSet) -> list[tuple[str, Operation, str, list[dict[str, object]]]]:
    """What the library reads of every row, over a connection of its own."""
    (path,) = files_after(on.datadir, on.datadir / "binlog.index", before)
    stream = BinLogStreamReader(
        connection_settings={
            "unix_socket": str(on.server.instance.socket),
            "user": "root",
            "password": on.server.passwords.root,
        },
        server_id=4711,
        log_file=path.name,
        log_pos=4,
        blocking=False,
        ignored_events=[PreviousGtidsEvent],
        filter_non_implemented_events=False,
        enable_logging=False,
    )
    kinds = {
        WriteRowsEvent: (Operation.INSERT, ("values",)),
        UpdateRowsEvent: (Operation.UPDATE, ("before_values", "after_values")),
        DeleteRowsEvent: (Operation.DELETE, ("values",)),
    }
    found, gtid = [], ""
    try:
        for event in stream:
            if isinstance(event, GtidEvent):
                gtid = event.gtid
            elif type(event) in kinds:
                operation, images = kinds[type(event)]
                for row in event.rows:
                    found.append((gtid, operation, f"{event.schema}.{event.table}", [row[name] for name in images]))
    finally:
        stream.close()
    return [row for row in found if not GtidSet.parse(row[0]) <= before]


@OLD_NAMES
def test_the_library_reads_the_same_values(on: Undoer) -> None:
    """Of the types that it reads right; and without ids with tags, compression and partial JSON, which it does not."""
    on.made(
        """CREATE TABLE t (id BIGINT UNSIGNED PRIMARY KEY, i MEDIUMINT, d DECIMAL(20, 5), b DOUBLE,
           v VARCHAR(300), l VARCHAR(20) CHARACTER SET latin1, x BLOB, m DATETIME(6), e ENUM('a', 'b'))""",
        "CREATE TABLE bare (n INT, t TEXT)",
    )
    before = on.executed()
    on.do(
        """INSERT INTO t VALUES (18446744073709551615, -8388608, -1.5, 0.1, 'a\u20ac', '\u00e9', x'00ff', NOW(6), 'b'),
           (1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL), (2, 1, 12345.67891, 1e300, '', 'x', '', NOW(6), 'a')""",
        "INSERT INTO bare VALUES (1, 'x'), (1, 'x'), (NULL, NULL)",
        "BEGIN", "UPDATE t SET i = i + 1, v = NULL", "DELETE FROM t WHERE id = 1", "UPDATE bare SET n = 5", "COMMIT",
    )  # fmt: skip
    mine, theirs = ours(on, before), streamed(on, before)
    assert [row[:3] for row in mine] == [row[:3] for row in theirs] and len(mine) > 10
    for (*_, images), (*_, dicts) in zip(mine, theirs, strict=True):
        for image, values in zip(images, dicts, strict=True):
            assert {name: spelled(value) for name, value in image.shown().items()} == {
                name: spelled(value) for name, value in values.items()
            }


def spelled(value: object) -> object:
    """Of both readers' values the same: numbers as numbers, bytes that are text as text."""
    if isinstance(value, bytes):
        return value.decode("latin1")
    text = str(value)
    try:
        return float(text)
    except ValueError:
        return text


@OLD_NAMES
def test_a_large_transaction_is_counted_alike(on: Undoer) -> None:
    on.made("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, v VARCHAR(50))")
    before = on.executed()
    on.do("INSERT INTO t (v) SELECT collation_name FROM information_schema.collations", "UPDATE t SET v = id")
    mine, theirs = (Counter(row[:3] for row in rows) for rows in (ours(on, before), streamed(on, before)))
    assert mine == theirs and set(mine.values()) == {int(on.ask("SELECT COUNT(*) FROM t")[0][0])}
    assert {name for _, _, name in mine} == {f"{SCHEMA}.t"}
