"""Transactions that are undone on a real server: after it every table is as it was, in every byte."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from agents.binlog.contents import Reason
from agents.binlog.logs import files_after
from agents.binlog.rewind import Lasting, Mismatch, rewind
from agents.binlog.undo import Refusal, Undo, plan_undo
from agents.session import Row, StatementRefused
from orchestrator.core.errors import DatabaseUnavailable, StepFailed
from orchestrator.core.gtid import GtidSet
from tests.contract.mysqlpair import eventually
from tests.contract.rewinding import ACCOUNT, SCHEMA, Undoer, undoer

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def on() -> Iterator[Undoer]:
    with undoer() as made:
        yield made


@pytest.fixture(scope="module")
def odd() -> Iterator[Undoer]:
    """A server as preflight would not have it: large events, and cascades by the engine."""
    with undoer(binlog_row_event_max_size="64M", innodb_native_foreign_keys="ON") as made:
        yield made


# Column type -> values of it, the first two beside NULL in the table before.
TYPES = {
    "numbers": {
        "TINYINT": ["1", "-128", "127"],
        "TINYINT UNSIGNED": ["1", "255", "0"],
        "SMALLINT": ["-32768", "32767", "0"],
        "MEDIUMINT": ["-8388608", "8388607", "-1"],
        "INT UNSIGNED": ["4294967295", "0", "7"],
        "BIGINT": ["-9223372036854775808", "9223372036854775807", "0"],
        "BIGINT UNSIGNED": ["18446744073709551615", "0", "5"],
        "DECIMAL(65,30)": ["12345678901234567890123456789012345.123456789012345678901234567891", "-0.5", "0"],
        "DECIMAL(10,3) UNSIGNED": ["9999999.999", "0.001", "0"],
        "DECIMAL(9,0)": ["-999999999", "1", "0"],
        "FLOAT": ["1.1", "-3.4028235e38", "1.17549e-38"],
        "FLOAT(7,3)": ["1234.567", "-0.001", "0"],
        "DOUBLE": ["0.1", "-1.7976931348623157e308", "5e-324"],
    },
    "bits and times": {
        "BIT(1)": ["b'1'", "b'0'", "b'1'"],
        "BIT(9)": ["b'101010101'", "b'0'", "b'111111111'"],
        "BIT(64)": ["~0", "1", "0"],
        "DATE": ["'2024-02-29'", "'0000-00-00'", "'9999-12-31'"],
        "DATETIME": ["'0000-00-00 00:00:00'", "'2024-00-00 23:59:59'", "'1000-01-01 00:00:00'"],
        "DATETIME(3)": ["'2024-02-29 12:00:00.123'", "'9999-12-31 23:59:59.999'", "'0000-00-00'"],
        "TIMESTAMP NULL": ["'1970-01-01 00:00:01'", "'0000-00-00 00:00:00'", "'2038-01-19 03:14:07'"],
        "TIMESTAMP(6) NULL": ["'2024-02-29 12:00:00.123456'", "'0000-00-00'", "'2038-01-19 03:14:07.499999'"],
        "TIME": ["'-838:59:59'", "'838:59:59'", "'00:00:00'"],
        "TIME(6)": ["'-00:00:00.000001'", "'12:34:56.789012'", "'-838:59:59'"],
        "YEAR": ["1901", "2155", "0"],
    },
    "texts and bytes": {
        "CHAR(5) CHARACTER SET latin1": ["'\u00e9\u20ac'", "''", "'abc  '"],
        "CHAR(255)": ["REPEAT('\U0001f600', 255)", "'a'", "''"],
        "VARCHAR(10)": ["'\u00e9\U0001f600 '", "''", "'  x'"],
        "VARCHAR(300) CHARACTER SET latin1": ["REPEAT('\u00ff', 300)", "'a'", "''"],
        "VARCHAR(10) CHARACTER SET utf16": ["'\u00e9\U0001f600'", "'a'", "''"],
        "BINARY(4)": ["0x6100", "0x00000000", "'ab'"],
        "VARBINARY(300)": ["0x00ff00", "''", "REPEAT(0xfe, 300)"],
        "TINYBLOB": ["0x00", "''", "REPEAT(0x80, 255)"],
        "BLOB": ["REPEAT(0x00ff, 5000)", "''", "0x27"],
        "MEDIUMTEXT": ["REPEAT('\u20ac', 30000)", "''", "'a'"],
        "LONGTEXT CHARACTER SET latin1": ["'\u00e9'", "''", "REPEAT('x', 70000)"],
    },
    "labels, JSON, geometry, vectors": {
        "ENUM('a','\u00e9','it''s') CHARACTER SET latin1": ["'\u00e9'", "''", "'it''s'"],
        "ENUM('" + "','".join(f"v{n}" for n in range(300)) + "')": ["'v299'", "'v0'", "'v255'"],
        "SET('x','\u20ac','z') CHARACTER SET latin1": ["'x,z'", "''", "'\u20ac'"],
        "SET('" + "','".join(f"b{n}" for n in range(64)) + "')": ["~0", "1", "1 << 63"],
        "JSON": [
            """'{"a": [1, -2, 3.5, null, true, "\u00e9"], "b": {"c": 18446744073709551615}}'""",
            "'null'",
            "JSON_OBJECT('d', CAST('2024-02-29' AS DATE), 't', CAST('-10:00:00.5' AS TIME), 'n', 1.10, 'b', 0xff)",
        ],
        "GEOMETRY": ["ST_GeomFromText('POINT(1 2)')", "ST_GeomFromText('GEOMETRYCOLLECTION EMPTY')", "POINT(0, 0)"],
        "POLYGON SRID 4326": [
            "ST_GeomFromText('POLYGON((0 0,0 1,1 1,0 0))', 4326)",
            "ST_GeomFromText('POLYGON((0 0,0 2,2 2,0 0))', 4326)",
            "ST_GeomFromText('POLYGON((0 0,0 3,3 3,0 0))', 4326)",
        ],
        "VECTOR(3)": ["TO_VECTOR('[1,2,3]')", "TO_VECTOR('[-0.5]')", "TO_VECTOR('[2e-38,-3e38]')"],
    },
}  # fmt: skip


@pytest.mark.parametrize("family", TYPES)
def test_every_type_comes_back(on: Undoer, family: str) -> None:
    """Inserted, changed to and from NULL and the other values, and deleted, with and without a primary key."""
    made, filled, work = [], [], []
    for number, (kind, (one, two, three)) in enumerate(TYPES[family].items()):
        for name, key in ((f"keyed{number}", "PRIMARY KEY"), (f"bare{number}", "")):
            made.append(f"CREATE TABLE {name} (id INT {key}, v {kind}, w {kind})")
            filled.append(f"INSERT INTO {name} VALUES (1, {one}, {two}), (2, NULL, {one}), (3, {two}, NULL)")
            work += [
                f"INSERT INTO {name} VALUES (4, {three}, {one}), (5, NULL, NULL)",
                f"UPDATE {name} SET v = {three}, w = NULL WHERE id IN (1, 4)",
                f"UPDATE {name} SET v = {two}, id = id + 10 WHERE id IN (2, 5)",
                f"DELETE FROM {name} WHERE id IN (3, 15)",
            ]
    on.made(*made, *filled)
    on.restores(work)


CASES = {
    "equal rows without a key": (
        ["d (a INT, b VARCHAR(9))"],
        ["INSERT INTO d VALUES (1, 'x'), (1, 'x'), (2, 'x'), (1, NULL)"],
        [
            "UPDATE d SET a = 2 WHERE a = 1 LIMIT 1",
            "UPDATE d SET a = a + 1",
            "INSERT INTO d VALUES (3, 'x'), (3, 'x')",
            "DELETE FROM d WHERE a = 3 LIMIT 2",
        ],
    ),
    "a row that one statement changes twice, without a primary key": (
        ["d (u INT UNIQUE, n INT)"],
        ["INSERT INTO d VALUES (1, 0), (NULL, 0)"],
        [
            "INSERT INTO d VALUES (1, 0), (1, 0), (2, 0), (2, 0), (1, 5) ON DUPLICATE KEY UPDATE n = n + 1",
            "INSERT INTO d VALUES (1, 0), (1, 0) ON DUPLICATE KEY UPDATE n = 1 - n",
            "INSERT INTO d VALUES (1, 0), (1, 0), (1, 0), (1, 0), (1, 0), (1, 0) ON DUPLICATE KEY UPDATE n = n + 2",
        ],
    ),
    "a row that one statement changes twice, as two tables": (
        ["d (a INT, n INT)", "i (a INT, n INT, INDEX (a))"],
        ["INSERT INTO d VALUES (1, 0), (1, 0), (2, 5), (3, 1)", "INSERT INTO i SELECT * FROM d"],
        [
            "UPDATE d AS x JOIN d AS y ON x.a = y.a SET x.n = x.n + 1, y.n = y.n + 10",
            "UPDATE d AS x JOIN d AS y ON x.a <= y.a SET x.n = 1 - x.n, y.n = y.n * 2, y.a = 4 - y.a",
            "UPDATE d AS x JOIN d AS y USING (a) JOIN d AS z USING (a) SET x.n = x.n + 1, y.n = y.n + 7, z.n = -z.n",
            "UPDATE i AS x JOIN i AS y ON x.a = y.a SET x.n = x.n + 1, y.n = y.n + 10",
            "UPDATE i AS x JOIN i AS y ON x.a <= y.a SET x.n = 1 - x.n, y.n = y.n * 2, y.a = 4 - y.a",
        ],
    ),
    "keys that move over each other": (
        ["k (id INT PRIMARY KEY, u INT UNIQUE)"],
        ["INSERT INTO k VALUES (1, 1), (2, 2), (3, 3), (10, 10)"],
        [
            "UPDATE k SET id = id + 1, u = u + 1 ORDER BY id DESC",
            "UPDATE k SET id = id - 5, u = u - 1 ORDER BY id",
            "REPLACE INTO k VALUES (99, 1), (-2, 7)",
        ],
    ),
    "a unique value that goes from row to row, without a primary key": (
        ["k (u INT UNIQUE, n INT)"],
        ["INSERT INTO k VALUES (0, 0), (1, 1), (2, 2), (NULL, 3)"],
        ["UPDATE k SET u = u - 1 ORDER BY u", "UPDATE k SET u = u + 1, n = n + 1 ORDER BY u DESC"],
    ),
    "a unique swap in one transaction": (
        ["k (id INT PRIMARY KEY, u INT UNIQUE)"],
        ["INSERT INTO k VALUES (1, 1), (2, 2)"],
        [
            "BEGIN",
            "UPDATE k SET u = 3 WHERE id = 1",
            "UPDATE k SET u = 1 WHERE id = 2",
            "UPDATE k SET u = 2 WHERE id = 1",
            "COMMIT",
        ],
    ),
    "generated columns": (
        ["""g (id INT PRIMARY KEY, a INT, v INT AS (a + 1), s VARCHAR(20) AS (CONCAT('n', a)) STORED, j JSON,
             INDEX (v), INDEX ((a * 2)), UNIQUE (s))"""],
        ["INSERT INTO g (id, a) VALUES (1, 1), (2, 2), (3, NULL)"],
        ["UPDATE g SET a = a + 10", "DELETE FROM g WHERE id = 2", "INSERT INTO g (id, a) VALUES (2, 99)"],
    ),
    "a generated column without a key": (
        ["g (a INT, v INT AS (a + 1), s DOUBLE AS (a / 3) STORED, INDEX ((a * 2)))"],
        ["INSERT INTO g (a) VALUES (1), (1), (2), (NULL)"],
        ["UPDATE g SET a = a + 1", "DELETE FROM g WHERE a = 2 LIMIT 1", "INSERT INTO g (a) VALUES (3), (NULL)"],
    ),
    "a generated key of its own, and invisible columns": (
        ["i (a INT, hidden INT DEFAULT 5 INVISIBLE, my_row_id BIGINT UNSIGNED AUTO_INCREMENT INVISIBLE PRIMARY KEY)"],
        ["INSERT INTO i (a) VALUES (1), (1)"],
        ["UPDATE i SET hidden = a + 1", "INSERT INTO i (a, hidden) VALUES (2, 3)", "DELETE FROM i WHERE my_row_id = 1"],
    ),
    "partitions": (
        [
            "h (id INT PRIMARY KEY, v INT) PARTITION BY HASH (id) PARTITIONS 5",
            "r (a INT, b INT) PARTITION BY RANGE (a) SUBPARTITION BY HASH (b) SUBPARTITIONS 3"
            " (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN MAXVALUE)",
        ],
        ["INSERT INTO h VALUES (1, 1), (2, 2), (3, 3)", "INSERT INTO r VALUES (1, 1), (1, 1), (20, 2)"],
        [
            "UPDATE h SET id = id * 7",
            "UPDATE r SET a = a + 12, b = b + 1",
            "DELETE FROM h WHERE id = 14",
            "INSERT INTO r VALUES (5, 5), (50, 5)",
        ],
    ),
    "children that follow their parents": (
        [
            "p (id INT PRIMARY KEY, v INT)",
            "c (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES p (id) ON DELETE CASCADE ON UPDATE CASCADE)",
            "n (id INT PRIMARY KEY, c INT, FOREIGN KEY (c) REFERENCES c (id) ON DELETE SET NULL ON UPDATE SET NULL)",
            "s (id INT PRIMARY KEY, up INT, FOREIGN KEY (up) REFERENCES s (id) ON DELETE CASCADE)",
        ],
        [
            "INSERT INTO p VALUES (1, 0), (2, 0), (3, 0)",
            "INSERT INTO c VALUES (1, 1), (2, 1), (3, 2)",
            "INSERT INTO n VALUES (1, 1), (2, 2), (3, 3)",
            "INSERT INTO s VALUES (1, NULL), (2, 1), (3, 2), (4, 3)",
        ],
        [
            "DELETE FROM p WHERE id = 1",
            "UPDATE p SET id = 20 WHERE id = 2",
            "DELETE FROM s WHERE id = 2",
            "BEGIN",
            "INSERT INTO p VALUES (9, 9)",
            "INSERT INTO c VALUES (9, 9)",
            "INSERT INTO n VALUES (9, 9)",
            "DELETE FROM p WHERE id = 9",
            "COMMIT",
        ],
    ),
    "triggers": (
        ["t (id INT AUTO_INCREMENT PRIMARY KEY, v INT)", "log (n INT AUTO_INCREMENT PRIMARY KEY, id INT, was INT)"],
        [
            "CREATE TRIGGER told AFTER UPDATE ON t FOR EACH ROW INSERT INTO log (id, was) VALUES (OLD.id, OLD.v)",
            "CREATE TRIGGER gone AFTER DELETE ON t FOR EACH ROW INSERT INTO log (id, was) VALUES (OLD.id, -OLD.v)",
            "INSERT INTO t (v) VALUES (1), (2), (3)",
        ],
        ["UPDATE t SET v = v * 2", "DELETE FROM t WHERE v = 4", "INSERT INTO t (v) VALUES (8)"],
    ),
    "checks that a way back would not pass": (
        ["c (id INT PRIMARY KEY, a INT, b INT, CHECK (a < b), CHECK (a > 0) NOT ENFORCED)"],
        ["INSERT INTO c VALUES (1, 1, 2), (2, -5, 9)"],
        ["UPDATE c SET a = a + 10, b = b + 10", "INSERT INTO c VALUES (3, 1, 3)", "DELETE FROM c WHERE id = 2"],
    ),
    "savepoints and what was rolled back": (
        ["t (id INT PRIMARY KEY, v INT)"],
        ["INSERT INTO t VALUES (1, 1)"],
        [
            "BEGIN",
            "UPDATE t SET v = 2",
            "SAVEPOINT `a``b`",
            "DELETE FROM t",
            "ROLLBACK TO `a``b`",
            "INSERT INTO t VALUES (2, 2)",
            "COMMIT",
        ],
    ),
    "checks of keys that were off": (
        ["p (id INT PRIMARY KEY)", "c (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES p (id))"],
        ["INSERT INTO p VALUES (1)", "INSERT INTO c VALUES (1, 1)"],
        [
            "SET foreign_key_checks = 0, unique_checks = 0",
            "INSERT INTO c VALUES (2, 77)",
            "DELETE FROM p",
            "SET foreign_key_checks = 1, unique_checks = 1",
            "DELETE FROM c WHERE id = 1",  # its parent is not there when it comes back
        ],
    ),
    "a part of JSON": (
        ["j (id INT PRIMARY KEY, a JSON, n INT, b JSON)"],
        [
            """INSERT INTO j VALUES (1, '{"x": "aaaaaaaaaaaaaaaa", "y": [1, 2, 3]}', 1, '[1, {"k": "vvvvvvvv"}]'),
               (2, NULL, 2, '{"x": 1}'), (3, '{"x": "bbbbbbbb"}', 3, NULL)"""
        ],
        [
            "SET binlog_row_value_options = 'PARTIAL_JSON'",
            "UPDATE j SET a = JSON_SET(a, '$.x', 'cc'), n = n + 1",
            "UPDATE j SET a = JSON_REMOVE(a, '$.y[1]'), b = JSON_SET(b, '$[1].k', 'w') WHERE id = 1",
            "UPDATE j SET n = n + 1, b = '{}' WHERE id = 2",
            "UPDATE j SET id = 30, a = JSON_SET(a, '$.x', 'd') WHERE id = 3",
            "SET binlog_row_value_options = ''",
        ],
    ),
    "compressed transactions": (
        ["t (id INT PRIMARY KEY, v VARCHAR(200))", "u (v VARCHAR(200))"],
        ["INSERT INTO t VALUES (1, REPEAT('a', 200))"],
        [
            "SET binlog_transaction_compression = ON",
            "BEGIN",
            "INSERT INTO t VALUES (2, REPEAT('b', 200))",
            "UPDATE t SET v = REPEAT('c', 200)",
            "INSERT INTO u SELECT v FROM t",
            "SAVEPOINT s",
            "COMMIT",
            "DELETE FROM t WHERE id = 1",
            "SET binlog_transaction_compression = OFF",
        ],
    ),
    "ids with tags": (
        ["t (id INT PRIMARY KEY, v INT)"],
        ["INSERT INTO t VALUES (1, 1)"],
        [
            "SET gtid_next = 'AUTOMATIC:blue'",
            "UPDATE t SET v = 2",
            "INSERT INTO t VALUES (2, 2)",
            "SET gtid_next = 'AUTOMATIC'",
            "FLUSH BINARY LOGS",
            "DELETE FROM t WHERE id = 1",
        ],
    ),
    "names that need quoting": (
        ["`a``b c\u00e9` (`k 1` INT PRIMARY KEY, `v'\u20ac` INT)"],
        ["INSERT INTO `a``b c\u00e9` VALUES (1, 1)"],
        ["UPDATE `a``b c\u00e9` SET `v'\u20ac` = 2"],
    ),
    "a key on a part, and many columns": (
        [
            "f (a VARCHAR(100) CHARACTER SET latin1 NOT NULL, b INT NOT NULL, PRIMARY KEY (b, a(5)))",
            "w (id INT PRIMARY KEY, " + ", ".join(f"c{n} TINYINT" for n in range(300)) + ")",
        ],
        ["INSERT INTO f VALUES ('abcdefgh', 1), ('abc', 2)", "INSERT INTO w (id, c7, c299) VALUES (1, 1, 2)"],
        ["UPDATE f SET a = 'zzzzzzzzz', b = b + 1 ORDER BY b DESC", "UPDATE w SET c299 = NULL, c0 = 5, c7 = c7 + 1"],
    ),
    "an index over the elements of JSON": (
        ["m (id INT PRIMARY KEY, j JSON, INDEX n ((CAST(j->'$.n' AS UNSIGNED ARRAY))))"],
        ["""INSERT INTO m VALUES (1, '{"n": [1, 2]}'), (2, '{"n": []}')"""],
        ["""UPDATE m SET j = '{"n": [3, 4, 5]}'""", "DELETE FROM m WHERE id = 1", "INSERT INTO m VALUES (3, '{}')"],
    ),
    "texts of every size around the length prefixes": (
        [
            "t (id INT PRIMARY KEY, v VARCHAR(63), w VARCHAR(64), c CHAR(63), d CHAR(64), b BINARY(255),"
            " x VARBINARY(256))"
        ],
        ["INSERT INTO t VALUES (1, REPEAT('\U0001f600', 63), REPEAT('\U0001f600', 64), 'c', 'd', 0x00, 0xff)"],
        [
            "UPDATE t SET v = '', w = '', c = REPEAT('\U0001f600', 63), d = REPEAT('\U0001f600', 64)",
            "UPDATE t SET b = REPEAT(0xff, 255), x = REPEAT(0xff, 256)",
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_every_case_comes_back(on: Undoer, case: str) -> None:
    tables, rows, work = CASES[case]
    on.made(*(f"CREATE TABLE {table}" for table in tables), *rows)
    on.restores(work, checksums="index over" not in case)  # CHECKSUM TABLE then differs for equal rows (measured)


# --- sizes


def test_a_large_row_and_many_small_ones(on: Undoer) -> None:
    """One row of many events' size; events of 8 KiB, over several files; a server that was killed in between."""
    on.made("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, v LONGBLOB)", "INSERT INTO t VALUES (1, '')")

    def work() -> None:
        many = "INSERT INTO t (v) SELECT REPEAT('x', 100) FROM information_schema.collations"
        on.do("UPDATE t SET v = REPEAT('y', 5000000)", many, "FLUSH BINARY LOGS", many, "UPDATE t SET v = id")
        os.kill(on.server.pid, signal.SIGKILL)
        eventually(lambda: on.server.supervisor.incarnation() is None, 30)
        on.restarted()
        on.do("DELETE FROM t WHERE id % 2")

    assert len({place.file for place in on.restores(work).places}) == 3


def test_an_event_of_many_rows_is_split_where_a_packet_is_too_small(odd: Undoer) -> None:
    odd.made("CREATE TABLE t (id INT PRIMARY KEY, v MEDIUMTEXT)", "INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')")
    before, tables = odd.executed(), odd.dump()
    odd.do("UPDATE t SET v = REPEAT(v, 1500000)")
    odd.do("SET GLOBAL max_allowed_packet = 1048576")
    try:
        refused = odd.refusal(before)
        assert refused is not None and refused.reason is Reason.EVENT_TOO_BIG and "make it larger" in refused.why
        odd.do("SET GLOBAL max_allowed_packet = 3145728")  # enough for each row, too small for the event
        odd.undo(before)
    finally:
        odd.do("SET GLOBAL max_allowed_packet = 67108864")
    assert odd.dump() == tables


# --- kills


class Cut:
    """A session that is lost at its n-th statement, counted over all sessions: before it is sent, or after."""

    def __init__(self, open_session: Callable[[], Lasting], at: int, lose: Callable[[], None], *, after: bool) -> None:
        self._open, self._at, self._lose, self._after = open_session, at, lose, after
        self.asked: list[str] = []

    def __call__(self) -> Lasting:
        self._session = self._open()
        return self

    def ask(self, sql: str, arguments: Sequence[object] = (), *, within_s: float | None) -> tuple[Row, ...]:
        self.asked.append(sql.split("(")[0].split(" '")[0])
        if len(self.asked) == self._at and not self._after:
            self._lose()
        rows = self._session.ask(sql, arguments, within_s=within_s)
        if len(self.asked) == self._at:
            self._lose()
            raise DatabaseUnavailable("no answer")
        return rows

    def close(self) -> None:
        self._session.close()


WORK = (
    "INSERT INTO t VALUES (3, 0), (4, 0)",
    "UPDATE t SET v = v + 1",
    "INSERT INTO bare SELECT v FROM t",
    "BEGIN", "DELETE FROM t WHERE id = 1", "UPDATE bare SET v = v * 2", "COMMIT",
)  # fmt: skip
STATEMENTS = 15  # to undo it, two transactions together


def crashing(on: Undoer) -> tuple[GtidSet, dict[str, list[tuple[object, ...]]]]:
    on.made("CREATE TABLE t (id INT PRIMARY KEY, v INT)", "CREATE TABLE bare (v INT)")
    on.do("INSERT INTO t VALUES (1, 0), (2, 5)", "INSERT INTO bare VALUES (6), (6), (NULL)")
    return on.executed(), on.dump()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_kill_of_the_agent_at_any_statement_is_made_good_by_the_next_call(on: Undoer, after: bool) -> None:
    for at in range(1, 100):
        before, tables = crashing(on)
        on.do(*WORK)
        planned = on.plan(before)
        assert isinstance(planned, Undo)
        cut = Cut(on.session, at, lambda: None, after=True) if after else Cut(on.session, at, lost, after=False)
        with on.fenced():
            with suppress(DatabaseUnavailable):
                list(rewind(cut, 7, planned, together=2))
            first = next(rewind(on.session, 7, planned))
            assert first.done in (0, 2, 4) and (on.dump() == tables) is (first.done == 4)
            assert [one.done for one in rewind(on.session, 7, planned, together=1)] == list(range(first.done, 5))
        assert on.dump() == tables
        if len(cut.asked) < at:
            break
    assert at == STATEMENTS + 1 and set(cut.asked) >= {
        "BEGIN",
        "COMMIT",
        "BINLOG",
        "INSERT INTO kembar.reconcile_journal ",
    }


def lost() -> None:
    raise DatabaseUnavailable("not sent")


FEW = [(8, True), (10, False), (10, True)]  # in the middle of the first commit, before it, and after it
ALL = [(at, after) for at in range(1, STATEMENTS + 1) for after in (False, True)]


@pytest.mark.parametrize(("at", "after"), ALL if os.environ.get("KEMBAR_REWIND_RUNS") else FEW)
def test_a_kill_of_mysqld_is_made_good_by_the_next_call(on: Undoer, at: int, after: bool) -> None:
    """With `make rewind` before and after each statement."""
    before, tables = crashing(on)
    on.do(*WORK)
    planned = on.plan(before)
    assert isinstance(planned, Undo)

    def killed() -> None:
        os.kill(on.server.pid, signal.SIGKILL)
        eventually(lambda: on.server.supervisor.incarnation() is None, 30)

    cut = Cut(on.session, at, killed, after=after)
    with on.fenced():
        with pytest.raises(DatabaseUnavailable):
            list(rewind(cut, 7, planned, together=2))
        on.restarted()
        committed = 2 * (cut.asked.count("COMMIT") - (cut.asked[-1] == "COMMIT" and not after))
        done = [one.done for one in rewind(on.session, 7, planned)]
    assert done == ([committed, 4] if committed < 4 else [4])
    assert on.dump() == tables


@pytest.mark.parametrize(
    "grant",
    [
        "REPLICATION_APPLIER ON *.*",
        "SESSION_VARIABLES_ADMIN ON *.*",
        "CONNECTION_ADMIN ON *.*",
        f"DELETE ON {SCHEMA}.*",
        f"UPDATE ON {SCHEMA}.*",
        f"INSERT ON {SCHEMA}.*",
        "INSERT ON kembar.*",
        "SELECT ON kembar.*",
    ],
)
def test_no_grant_can_be_left_out(on: Undoer, grant: str) -> None:
    """And what is missing shows before anything is changed, or changes nothing."""
    before, _ = crashing(on)
    on.do(*WORK)
    planned, changed, account = on.plan(before), on.dump(), f"'{ACCOUNT}'@'localhost'"
    assert isinstance(planned, Undo)
    on.do("SET sql_log_bin = OFF", f"REVOKE {grant} FROM {account}")
    try:
        with on.fenced():
            try:
                stopped = on.refusal(before) is not None
            except (DatabaseUnavailable, StepFailed):
                stopped = True
            if not stopped:
                with pytest.raises((DatabaseUnavailable, StepFailed)):
                    list(rewind(on.session, 7, planned))
    finally:
        on.do("SET sql_log_bin = OFF", f"GRANT {grant} TO {account}", "SET sql_log_bin = ON")
    assert on.dump() == changed


def test_a_lost_session_is_not_opened_again(on: Undoer) -> None:
    """Its sql_log_bin would be gone: what it did next would be logged, under an id of its own."""
    session = on.session()
    session.ask("SET sql_log_bin = 0", within_s=5)
    on.do(f"KILL {session.connection_id}")
    for _ in range(3):
        with pytest.raises(DatabaseUnavailable):
            session.ask("SELECT 1", within_s=5)


# --- refusals

REFUSED = {
    Reason.DDL: ["CREATE TABLE n (id INT PRIMARY KEY)"],
    Reason.ACCOUNT_STATEMENT: ["/* by hand */ create  user 'x'@'localhost'", "DROP USER 'x'@'localhost'"],
    Reason.XA: ["XA START 'x'", "UPDATE t SET v = 2", "XA END 'x'", "XA PREPARE 'x'", "XA COMMIT 'x'"],
    Reason.STATEMENT_EVENT: [
        "SET binlog_format = STATEMENT",
        "UPDATE t SET v = v + 1",
        "SET binlog_format = ROW",
    ],
    Reason.NON_INNODB: ["INSERT INTO mem VALUES (1)"],
    Reason.ROW_IMAGE_NOT_FULL: [
        "SET binlog_row_image = MINIMAL",
        "UPDATE t SET v = 3 WHERE id = 1",
        "SET binlog_row_image = FULL",
    ],
    Reason.METADATA_NOT_FULL: [
        "SET GLOBAL binlog_row_metadata = MINIMAL",
        "UPDATE t SET v = 3",
        "SET GLOBAL binlog_row_metadata = FULL",
    ],
    Reason.PARTIAL_JSON: [
        "SET binlog_row_value_options = PARTIAL_JSON",
        "UPDATE j SET v = JSON_SET(v, '$.a', 'y')",
        "SET binlog_row_value_options = ''",
    ],
    Reason.TABLE_MISSING: [
        "UPDATE t SET v = 3",
        "SET sql_log_bin = 0",
        "DROP TABLE t",
        "SET sql_log_bin = 1",
    ],
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_rows_cannot_undo_is_refused_by_name(on: Undoer, reason: Reason) -> None:
    """The transaction before it could be undone, and is left as it is."""
    on.made(
        "CREATE TABLE t (id INT PRIMARY KEY, v INT)",
        "CREATE TABLE mem (id INT PRIMARY KEY) ENGINE = MEMORY",
        "CREATE TABLE j (v JSON)",
        "INSERT INTO t VALUES (1, 1)",
        """INSERT INTO j VALUES ('{"a": "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}')""",
    )
    before = on.executed()
    on.do("INSERT INTO t VALUES (2, 2)")
    harmless = on.executed()
    on.do(*REFUSED[reason])
    refused = on.refusal(before)
    assert refused is not None and refused.reason is reason and refused.why, str(refused)
    if reason is not Reason.TABLE_MISSING:
        assert GtidSet.parse(refused.gtid) <= on.executed() - harmless


CHANGED = [
    "ALTER TABLE t MODIFY v BIGINT",
    "ALTER TABLE t MODIFY v INT UNSIGNED",
    "ALTER TABLE t MODIFY s VARCHAR(10) CHARACTER SET latin1 NOT NULL",
    "ALTER TABLE t RENAME COLUMN v TO w",
    "ALTER TABLE t ADD COLUMN n INT",
    "ALTER TABLE t ADD COLUMN n INT FIRST",
    "ALTER TABLE t DROP COLUMN s",
    "ALTER TABLE t DROP PRIMARY KEY",
    "ALTER TABLE t DROP PRIMARY KEY, ADD PRIMARY KEY (v, id)",
    "ALTER TABLE t MODIFY e ENUM('a', 'c', 'b')",
    "ALTER TABLE t MODIFY e ENUM('a', 'b', 'c')",
    "ALTER TABLE t MODIFY s VARCHAR(10) CHARACTER SET utf8mb4",
    "ALTER TABLE t MODIFY s VARCHAR(20) CHARACTER SET latin1",
    "ALTER TABLE t MODIFY d DECIMAL(10, 3)",
    "ALTER TABLE t MODIFY m DATETIME(3)",
    "ALTER TABLE t MODIFY vec VECTOR(4)",
    "ALTER TABLE t MODIFY g LINESTRING",
    "ALTER TABLE t MODIFY b MEDIUMBLOB",
    "ALTER TABLE t ENGINE = MEMORY, DROP vec, DROP g, DROP b",
]


@pytest.mark.parametrize("changed", CHANGED)
def test_a_table_that_was_changed_since_is_refused(on: Undoer, changed: str) -> None:
    on.made(
        """CREATE TABLE t (id INT, v INT, s VARCHAR(10) CHARACTER SET latin1, e ENUM('a', 'b'), d DECIMAL(10, 2),
           m DATETIME, vec VECTOR(3), g POINT, b BLOB, PRIMARY KEY (id, v))"""
    )
    before = on.executed()
    on.do("INSERT INTO t (id, v) VALUES (1, 1)")
    assert on.refusal(before) is None
    on.do("SET sql_log_bin = 0", changed, "SET sql_log_bin = 1")
    refused = on.refusal(before)
    expected = Reason.NON_INNODB if "ENGINE" in changed else Reason.TABLE_CHANGED
    assert refused is not None and refused.reason is expected, str(refused)


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("ON DELETE CASCADE", "DELETE FROM p WHERE id = 1"),
        ("ON UPDATE SET NULL", "UPDATE p SET id = 9 WHERE id = 1"),
        ("ON DELETE CASCADE", "UPDATE p SET id = 9 WHERE id = 2"),
        ("", "DELETE FROM p WHERE id = 2"),
    ],
)
def test_cascades_of_the_engine_are_not_in_the_log(odd: Undoer, rule: str, change: str) -> None:
    """With innodb_native_foreign_keys=ON, as before 9.6, only the parent's change is there."""
    odd.made(
        "CREATE TABLE p (id INT PRIMARY KEY)",
        f"CREATE TABLE c (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES p (id) {rule})",
        "INSERT INTO p VALUES (1), (2)",
        "INSERT INTO c VALUES (1, 1)",
    )
    if "id = 2" in change:
        odd.restores([change])
        return
    before = odd.executed()
    odd.do(change)
    refused = odd.refusal(before)
    assert refused is not None and refused.reason is Reason.UNLOGGED_CASCADE, str(refused)


def test_what_is_damaged_or_gone_is_refused(on: Undoer, tmp_path: Path) -> None:
    on.made("CREATE TABLE t (id INT PRIMARY KEY, v INT)")
    before = on.executed()
    on.do("INSERT INTO t VALUES (1, 1)", "FLUSH BINARY LOGS", "UPDATE t SET v = 2")
    errant = on.executed() - before
    files = files_after(on.datadir, on.datadir / "binlog.index", before)
    assert len(files) == 2
    assert isinstance(plan_undo(files, errant), Undo)
    missing = plan_undo(files[1:], errant)
    assert isinstance(missing, Refusal) and missing.reason is Reason.BINLOG_MISSING
    damaged = tmp_path / "damaged"
    shutil.copy(files[0], damaged)
    content = bytearray(damaged.read_bytes())
    content[-60] ^= 1
    damaged.write_bytes(content)
    broken = plan_undo([damaged, files[1]], errant)
    assert isinstance(broken, Refusal) and broken.reason is Reason.BAD_CRC
    on.do(f"PURGE BINARY LOGS TO '{files[1].name}'")
    with pytest.raises(StepFailed, match="no longer"):
        files_after(on.datadir, on.datadir / "binlog.index", before)


def test_a_row_that_is_not_as_the_log_left_it_stops_the_rewind(on: Undoer) -> None:
    """Somebody has written past the binary log. Nothing of that commit stays, and the journal does not name it."""
    before, _ = crashing(on)
    on.do(*WORK, "SET sql_log_bin = 0", "DELETE FROM bare WHERE v = 12 LIMIT 1", "SET sql_log_bin = 1")
    planned, changed = on.plan(before), on.dump()
    assert isinstance(planned, Undo)
    with on.fenced(), pytest.raises(Mismatch) as raised:
        list(rewind(on.session, 7, planned))
    assert raised.value.gtid in {place.gtid for place in planned.places}
    assert on.dump() == changed


def test_a_server_that_is_super_read_only_is_not_rewound(on: Undoer) -> None:
    before, _ = crashing(on)
    on.do(*WORK)
    planned, changed = on.plan(before), on.dump()
    assert isinstance(planned, Undo)
    on.do("SET GLOBAL super_read_only = ON")
    try:
        with pytest.raises(StepFailed, match="read-only"):
            list(rewind(on.session, 7, planned))
    finally:
        on.do("SET GLOBAL super_read_only = OFF, GLOBAL read_only = OFF")
    assert on.dump() == changed


def test_what_passes_by_itself_is_no_mismatch(on: Undoer) -> None:
    """A full disk, or an administrator's setting, in the middle of a commit: the next call goes on."""
    before, tables = crashing(on)
    on.do(*WORK)
    planned = on.plan(before)
    assert isinstance(planned, Undo)

    class Closing:
        def __init__(self) -> None:
            self._session = on.session()

        def ask(self, sql: str, arguments: Sequence[object] = (), *, within_s: float | None) -> tuple[Row, ...]:
            rows = self._session.ask(sql, arguments, within_s=within_s)
            if sql.startswith("INSERT INTO kembar.reconcile_journal"):
                on.do("SET GLOBAL super_read_only = ON")
            return rows

        def close(self) -> None:
            self._session.close()

    with on.fenced():
        try:
            with pytest.raises(StatementRefused, match="super-read-only"):
                list(rewind(Closing, 7, planned))
        finally:
            on.do("SET GLOBAL super_read_only = OFF")
        *_, last = rewind(on.session, 7, planned)
        assert last.done == last.total
    assert on.dump() == tables
