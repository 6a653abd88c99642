"""A standby that differs from its primary is found out, whatever differs; one that does not is not accused."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

import pytest

from agents.reconcile.answering import Answering
from agents.reconcile.chunks import ROWS_FIRST
from agents.reconcile.sweeping import Answered, Question
from orchestrator.core.verifying import Difference, Outcome
from tests.contract.comparing import SCHEMA, Compared, Watch, ask, client, compared, verify_session
from tests.contract.mysqlpair import eventually
from tests.contract.test_images import ALL, KEYS

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def two() -> Iterator[Compared]:
    with compared() as made:
        yield made


TOGETHER = 5  # types in one table; a row for each in which nothing but its column will differ


def test_every_type_is_compared_and_any_other_value_of_it_is_found(two: Compared) -> None:
    kinds = list(ALL)
    groups = {f"t{n:03}": kinds[n : n + TOGETHER] for n in range(0, len(kinds), TOGETHER)}
    two.anew()
    rows = 0
    for name, group in groups.items():
        columns = ", ".join(f"v{n} {kind}" for n, kind in enumerate(group))
        two.do(f"CREATE TABLE {name} (id INT PRIMARY KEY, {columns})")
        for n in range(max(len(ALL[kind]) for kind in group)):
            values = ", ".join(ALL[kind][n % len(ALL[kind])] for kind in group)
            two.do(f"INSERT INTO {name} VALUES ({n}, {values})")
            rows += 1
        two.do(f"INSERT INTO {name} (id) VALUES {', '.join(f'({-1 - n})' for n in range(len(group)))}")
        rows += len(group)
    equal = two.verified()
    assert (equal.outcome, equal.skipped, equal.hot) == (Outcome.EQUAL, (), 0)
    assert equal.rows == rows + heartbeats(two)
    # A NULL becomes a value.
    columns_of = [(name, n, kind) for name, group in groups.items() for n, kind in enumerate(group)]
    two.alone(*(f"UPDATE {name} SET v{n} = {ALL[kind][0]} WHERE id = {-1 - n}" for name, n, kind in columns_of))
    named = [(one.name, one.key, one.primary) for one in two.differences()]
    wanted = [(f"{SCHEMA}.{name}", f"id={-1 - n}", f"v{n}=NULL") for name, n, _ in columns_of]
    assert sorted(named) == sorted(wanted)


def heartbeats(two: Compared) -> int:
    """Rows of the tables of ours that are compared too."""
    return int(ask(two.primary, "SELECT COUNT(*) FROM kembar.quarantine")[0][0])


ONE_OTHER = {
    "a digit of a FLOAT beyond the sixth": ("v FLOAT", "1.1", "1.1000001"),
    "a digit of a DOUBLE beyond the fifteenth": ("v DOUBLE", "0.1", "0.10000000000000002"),
    "the sign of a zero": ("v DOUBLE", "0e0", "-0e0"),
    "a space at the end": ("v VARCHAR(9)", "'a'", "'a '"),
    "the case of a letter": ("v VARCHAR(9)", "'a'", "'A'"),
    "NULL and the empty text": ("v VARCHAR(9)", "NULL", "''"),
    "NULL and the letter that stands for it": ("v VARCHAR(9)", "NULL", "'N'"),
    "a zero date": ("v DATE", "NULL", "'0000-00-00'"),
    "an invisible column": ("v INT INVISIBLE", "1", "2"),
    "the number of a label": ("v ENUM('', 'a')", "1", "0"),
    "the highest of many labels": (f"v SET({', '.join(repr(str(n)) for n in range(64))})", "1", "9223372036854775809"),
    "a byte far inside": ("v LONGTEXT", "REPEAT('a', 6000000)", "CONCAT(REPEAT('a', 5999999), 'b')"),
}


@pytest.mark.parametrize(("column", "here", "there"), ONE_OTHER.values(), ids=ONE_OTHER)
def test_one_value_that_differs_is_found(two: Compared, column: str, here: str, there: str) -> None:
    two.anew(f"CREATE TABLE t (id INT PRIMARY KEY, {column})", f"INSERT INTO t (id, v) VALUES (1, {here}), (2, {here})")
    assert two.differences("shop.t") == []
    two.alone(f"UPDATE t SET v = {there} WHERE id = 2")
    (found,) = two.differences("shop.t")
    assert (found.what, found.name, found.key) == ("row", "shop.t", "id=2")


PAIRS = "CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(9), b VARCHAR(9), c INT)"
SHIFTED = {
    "what is before and after a separator": ("('a,b', 'c', 1)", "a = 'a', b = 'b,c'"),
    "a value and NULL exchanged": ("('a', NULL, 1)", "a = NULL, b = 'a'"),
    "NULLs at the end": ("('a', NULL, NULL)", "b = '', c = NULL"),
    "two columns exchanged": ("('1', '2', 3)", "a = '2', b = '1'"),
    "what looks like a length": ("('1:a', '', 1)", "a = '1', b = ':a'"),
}


@pytest.mark.parametrize(("values", "change"), SHIFTED.values(), ids=SHIFTED)
def test_what_moved_to_its_neighbour_is_found(two: Compared, values: str, change: str) -> None:
    two.anew(PAIRS, f"INSERT INTO t VALUES (1, {values[1:]}")
    two.alone(f"UPDATE t SET {change}")
    assert [one.key for one in two.differences("shop.t")] == ["id=1"]


def test_two_rows_that_were_exchanged_are_both_found(two: Compared) -> None:
    two.anew(PAIRS, "INSERT INTO t VALUES (1, 'x', 'y', 1), (2, 'p', 'q', 2), (3, 'z', 'z', 3)")
    two.alone("UPDATE t SET a = IF(id = 1, 'p', 'x'), b = IF(id = 1, 'q', 'y'), c = 3 - id WHERE id < 3")
    assert {one.key for one in two.differences("shop.t")} == {"id=1", "id=2"}


def test_pairs_of_equal_rows_do_not_hide_each_other(two: Compared) -> None:
    """Under XOR two equal rows are none, and two others neither."""
    two.anew("CREATE TABLE t (a INT, b INT)", "INSERT INTO t VALUES (1, 1), (1, 1), (2, 2)")
    assert two.differences("shop.t") == []
    two.alone("UPDATE t SET b = 5 WHERE a = 1")
    (found,) = two.differences("shop.t")
    assert (found.name, found.key) == ("shop.t", "no key tells which") and "3 rows" in found.primary


@pytest.mark.parametrize("where", ["beyond the first", "in the middle", "beyond the last"])
@pytest.mark.parametrize("side", ["primary", "standby"])
def test_a_row_on_one_side_only_is_found(two: Compared, where: str, side: str) -> None:
    key = {"beyond the first": -7, "in the middle": 5001, "beyond the last": 99999}[where]
    two.anew("CREATE TABLE t (id INT PRIMARY KEY, v INT)", f"INSERT INTO t {series(5000)}")
    if side == "primary":
        two.do(f"INSERT INTO t VALUES ({key}, 1)")
        two.alone(f"DELETE FROM t WHERE id = {key}")
    else:
        two.alone(f"INSERT INTO t VALUES ({key}, 1)")
    (found,) = two.differences("shop.t")
    here, there = f"id={key}, v=1", "absent"
    assert (found.key, found.primary, found.standby) == (
        f"id={key}", *((here, there) if side == "primary" else (there, here)),
    )  # fmt: skip


def series(rows: int) -> str:
    """Even numbers, so that there is room between them."""
    counted = f"SELECT 0 AS n UNION ALL SELECT n + 1 FROM counted WHERE n < {rows - 1}"
    return f"WITH RECURSIVE counted AS ({counted}) SELECT 2 * n, 1 FROM counted WHERE n < {rows}"


@pytest.mark.parametrize("rows", [0, 1, 100_000])
def test_a_table_of_any_size(two: Compared, rows: int) -> None:
    two.anew("CREATE TABLE t (id INT PRIMARY KEY, v INT)", f"INSERT INTO t {series(rows)}")
    watch = Watch()
    told = two.verified("shop.t", watch=watch)
    assert (told.outcome, told.rows, told.hot) == (Outcome.EQUAL, rows, 0)
    assert told.equal == 1 if rows < ROWS_FIRST else told.equal > 5
    percents = [one.told.percent for one in watch.told]
    assert percents == sorted(percents) and percents[-1] == 100.0
    two.alone("INSERT INTO t VALUES (-1, 1)", f"DELETE FROM t WHERE id = {2 * rows - 2}")
    found = {(one.key, one.primary, one.standby) for one in two.differences("shop.t")}
    gone = {(f"id={2 * rows - 2}", f"id={2 * rows - 2}, v=1", "absent")} if rows else set()
    assert found == {("id=-1", "absent", "id=-1, v=1"), *gone}


# keys


@pytest.mark.parametrize("kind", KEYS)
def test_chunks_of_any_key_hold_each_row_once(two: Compared, kind: str) -> None:
    values = [value for value in dict.fromkeys(ALL[kind]) if value != "NULL"]
    rows = [f"({n}, {value})" for n in range(3) for value in values]
    two.anew(f"CREATE TABLE t (n SMALLINT, `k``1` {kind.replace(' NULL', '')}, PRIMARY KEY (`k``1`, n))")
    two.do(f"INSERT INTO t VALUES {', '.join(rows)}")
    primary = two.answering(two.pair.primary)
    table = {"table": [SCHEMA, "t"]}
    shape = primary.answer({"what": "layout", **table})
    assert shape["key"] == ["k`1", "n"]
    seen: list[tuple[str, ...]] = []
    after: list[str] | None = None
    while True:
        asked = {**table, "shape": shape["shape"], "after": after}
        chunk = primary.answer({**asked, "what": "chunk", "rows": 2})
        listed = primary.answer({**asked, "what": "rows", "to": chunk["to"]})["rows"]
        assert chunk["sums"][0] == str(len(listed)) and len(listed) <= 2
        keys = [tuple(row[:-1]) for row in listed]
        assert primary.answer({**asked, "what": "rows_at", "keys": keys})["rows"] == listed if keys else True
        seen += keys
        if chunk["to"] is None:
            break
        after = chunk["to"]
    assert len(seen) == len(set(seen)) == len(rows)
    assert two.differences("shop.t") == []


ONE_CHUNK = {
    "no key": "n INT, v INT",
    "a FLOAT": "n FLOAT PRIMARY KEY, v INT",
    "a DOUBLE beside others": "n DOUBLE, v INT, PRIMARY KEY (v, n)",
    "the beginning of a text": "n VARCHAR(90), v INT, PRIMARY KEY (n(3))",
    "both directions": "n INT, v INT, PRIMARY KEY (n, v DESC)",
}


@pytest.mark.parametrize("columns", ONE_CHUNK.values(), ids=ONE_CHUNK)
def test_what_has_no_key_by_which_it_could_be_cut_is_one_chunk(two: Compared, columns: str) -> None:
    two.anew(f"CREATE TABLE t ({columns})", "INSERT INTO t VALUES (1, 2), (3, 4), (5, 6)")
    told = two.verified("shop.t")
    assert (told.outcome, told.equal, told.rows) == (Outcome.EQUAL, 1, 3)
    two.alone("UPDATE t SET v = 7 WHERE v = 4")
    (found,) = two.differences("shop.t")
    assert (found.what, found.name, found.key) == ("row", "shop.t", "no key tells which")


SORTS = {
    "hash partitions": "id INT PRIMARY KEY, v INT) PARTITION BY HASH (id) PARTITIONS 3",
    "range partitions": "id INT PRIMARY KEY, v INT) PARTITION BY RANGE (id) (PARTITION a VALUES LESS THAN (50),"
    " PARTITION b VALUES LESS THAN MAXVALUE)",
    "generated columns": "id INT PRIMARY KEY, v INT, w INT AS (v + 1), x INT AS (v + 2) STORED, INDEX ((v % 3)))",
    "a hidden key": "id INT, v INT, my_row_id BIGINT UNSIGNED AUTO_INCREMENT INVISIBLE PRIMARY KEY)",
    "a key that descends": "id INT, v INT, PRIMARY KEY (id DESC))",
    "children": "id INT PRIMARY KEY, v INT, p INT, FOREIGN KEY (p) REFERENCES t (id) ON DELETE CASCADE)",
}


@pytest.mark.parametrize("definition", SORTS.values(), ids=SORTS)
def test_tables_of_every_sort(two: Compared, definition: str) -> None:
    two.anew(f"CREATE TABLE t ({definition}", f"INSERT INTO t (id, v) {series(5000)}")
    told = two.verified("shop.t")
    assert (told.outcome, told.rows) == (Outcome.EQUAL, 5000) and told.equal > 1
    two.alone("UPDATE t SET v = 9 WHERE id IN (0, 98, 9998)")
    assert [one.standby for one in two.differences("shop.t")] == ["v=9"] * 3


def test_the_rows_of_a_table_that_differs_everywhere_are_named_up_to_a_bound(two: Compared) -> None:
    two.anew("CREATE TABLE t (id INT PRIMARY KEY, v INT)", f"INSERT INTO t {series(20_000)}")
    two.alone("UPDATE t SET v = 2")
    told = two.verified("shop.t")
    assert 20 <= told.differing < 60 and len(told.differences) == 10 and told.diverged > 1


def test_the_counter_of_a_key_is_each_servers_own(two: Compared) -> None:
    two.anew("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, v INT COMMENT 'x AUTO_INCREMENT=5 y')")
    two.do("INSERT INTO t (v) VALUES (1), (2), (3)", "DELETE FROM t WHERE id > 1")
    two.alone("ALTER TABLE t AUTO_INCREMENT = 1000")
    assert two.differences("shop.t") == []


# what has no rows

OBJECTS = {
    "table": ("CREATE TABLE x (id INT PRIMARY KEY)", "shop.x"),
    "view": ("CREATE VIEW x AS SELECT id FROM t", "shop.x"),
    "trigger": ("CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW SET NEW.v = 1", "shop.x"),
    "function": ("CREATE FUNCTION x () RETURNS INT DETERMINISTIC RETURN 1", "shop.x"),
    "procedure": ("CREATE PROCEDURE x (a INT) SELECT a", "shop.x"),
    "event": ("CREATE EVENT x ON SCHEDULE EVERY 1 YEAR DO SELECT 1", "shop.x"),
    "account": ("CREATE USER IF NOT EXISTS x@'%' IDENTIFIED BY 'secret'", "x@%"),
}


@pytest.mark.parametrize("what", OBJECTS)
def test_what_is_defined_on_both_is_equal_and_on_one_only_is_named(two: Compared, what: str) -> None:
    statement, name = OBJECTS[what]
    two.anew("CREATE TABLE t (id INT PRIMARY KEY, v INT)")
    two.do("DROP USER IF EXISTS x@'%'", statement)
    assert two.differences() == []
    two.alone("DROP USER x@'%'" if what == "account" else f"DROP {what} x")
    (found,) = two.differences()
    assert (found.what, found.name, found.standby) == (what, name, "absent")
    assert found.primary.startswith("digest ")
    # As it was, so that replication finds what it is to drop.
    two.alone("CREATE USER x@'%'" if what == "account" else statement)
    two.do("DROP USER IF EXISTS x@'%'")


ALTERED = {
    "an index": ("CREATE TABLE x (id INT PRIMARY KEY, v INT)", "ALTER TABLE x ADD INDEX (v)", "table"),
    "a default": ("CREATE TABLE x (id INT PRIMARY KEY, v INT)", "ALTER TABLE x ALTER v SET DEFAULT 5", "table"),
    "a right": ("CREATE TABLE x (id INT PRIMARY KEY)", "GRANT DELETE ON shop.x TO app@'%'", "account"),
}


@pytest.mark.parametrize(("statement", "change", "what"), ALTERED.values(), ids=ALTERED)
def test_what_is_defined_otherwise_is_named(two: Compared, statement: str, change: str, what: str) -> None:
    two.anew(statement)
    assert two.differences() == []
    two.alone(change)
    (found,) = two.differences()
    assert found.what == what and found.primary != found.standby and "absent" not in (found.primary, found.standby)
    if what == "account":
        two.alone("REVOKE DELETE ON shop.x FROM app@'%'")


def test_transactions_of_the_standby_alone_are_named(two: Compared) -> None:
    two.anew("CREATE TABLE t (id INT PRIMARY KEY)")
    two.arrived()
    own = "eeeeeeee-0000-0000-0000-00000000000e:1"
    for statement in (f"SET gtid_next = '{own}'", "BEGIN", "COMMIT", "SET gtid_next = 'AUTOMATIC'"):
        ask(two.standby, statement)
    (found,) = two.differences()
    assert (found.what, found.standby) == ("transactions", own)
    two.do(f"SET gtid_next = '{own}'", "BEGIN", "COMMIT", "SET gtid_next = 'AUTOMATIC'")
    assert two.differences() == []


# while both work


def hooked(two: Compared, at: Callable[[Question], bool], do: Callable[[], None]) -> Callable[[Question], Answered]:
    """The primary's answers; once, before such a question, something is done there."""
    answer, done = two.answering(two.pair.primary).answer, threading.Event()

    def asked(question: Question) -> Answered:
        if not done.is_set() and at(question):
            done.set()
            do()
        return answer(question)

    return asked


def chunks_of(name: str, number: int) -> Callable[[Question], bool]:
    counted = iter(range(1, 1000))
    return lambda asked: asked["what"] == "chunk" and asked["table"][1] == name and next(counted) == number


def test_a_table_that_appears_is_compared_too(two: Compared) -> None:
    two.anew("CREATE TABLE a (id INT PRIMARY KEY)", "CREATE TABLE z (id INT PRIMARY KEY)")

    def appear() -> None:
        two.do("CREATE TABLE m (id INT PRIMARY KEY)", "INSERT INTO m VALUES (1)")
        two.alone("INSERT INTO m VALUES (2)")

    told = two.verified(theirs=hooked(two, chunks_of("z", 1), appear))
    assert [(one.name, one.key) for one in told.differences] == [("shop.m", "id=2")]


@pytest.mark.parametrize("on_the_standby_too", [True, False])
def test_a_table_that_is_dropped_meanwhile_is_no_difference_unless_it_stays_on_one(
    two: Compared, on_the_standby_too: bool
) -> None:
    two.anew("CREATE TABLE a (id INT PRIMARY KEY, v INT)", f"INSERT INTO a {series(5000)}")

    def drop() -> None:
        two.do("SET sql_log_bin = OFF" if not on_the_standby_too else "DO 0", "DROP TABLE a", "SET sql_log_bin = ON")

    told = two.verified(theirs=hooked(two, chunks_of("a", 2), drop))
    assert [(one.what, one.name, one.primary) for one in told.differences] == (
        [] if on_the_standby_too else [("table", "shop.a", "absent")]
    )
    assert told.skipped == ()


def test_a_table_that_is_altered_meanwhile_is_compared_as_it_is_now(two: Compared) -> None:
    two.anew("CREATE TABLE a (id INT PRIMARY KEY, v INT)", f"INSERT INTO a {series(5000)}")

    def alter() -> None:
        two.do("ALTER TABLE a ADD COLUMN w INT NOT NULL DEFAULT 7")
        two.alone("UPDATE a SET w = 8 WHERE id = 0")

    told = two.verified("shop.a", theirs=hooked(two, chunks_of("a", 2), alter))
    assert [(one.key, one.primary, one.standby) for one in told.differences] == [("id=0", "w=7", "w=8")]


def test_an_equal_table_that_is_written_all_the_time_is_not_accused_and_what_differs_in_it_is_found(
    two: Compared,
) -> None:
    """Rows that come and go, that change to and fro, and that are added at the end, by three clients."""
    two.anew("CREATE TABLE t (id INT PRIMARY KEY, v INT)", f"INSERT INTO t {series(20_000)}")
    two.alone("UPDATE t SET v = 3 WHERE id = 20002", "INSERT INTO t VALUES (30001, 1)", "DELETE FROM t WHERE id = 6")
    assert differing_while_busy(two) == ["id=20002", "id=30001", "id=6"]
    two.alone("UPDATE t SET v = 1 WHERE id = 20002", "DELETE FROM t WHERE id = 30001", "INSERT INTO t VALUES (6, 1)")
    assert differing_while_busy(two) == []


def differing_while_busy(two: Compared) -> list[str]:
    """The keys, which are the same however often it is compared, until a part of it was written meanwhile."""
    found: list[list[str]] = []
    with busy(two, toggling, coming_and_going, adding):
        for _ in range(100):
            told = two.verified("shop.t", watch=Patient())
            found.append(sorted(one.key for one in told.differences))
            if told.hot:
                break
    assert told.hot and all(keys == found[0] for keys in found)
    return found[0]


class Patient(Watch):
    """As the thread of the comparisons: a pause lasts."""

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)


def toggling(n: int) -> str:
    key = 2 * (n * 37 % 500)
    return f"UPDATE t SET v = 1 - v WHERE id = {key}" if key != 6 else "DO 0"  # one row is missing on the standby


def coming_and_going(n: int) -> str:
    key = 10001 + 2 * (n // 2 % 50)
    return f"REPLACE INTO t VALUES ({key}, {n})" if n % 2 else f"DELETE FROM t WHERE id = {key}"


def adding(n: int) -> str:
    return f"REPLACE INTO t VALUES ({100_000 + n}, {n})"


@contextmanager
def busy(two: Compared, *writes: Callable[[int], str]) -> Iterator[None]:
    """Clients of the primary that write without a pause."""
    stop = threading.Event()
    failures: list[Exception] = []

    def write(statement: Callable[[int], str]) -> None:
        try:
            with closing(client(two.pair.primary)) as own:
                ask(own, f"USE {SCHEMA}")
                n = 0
                while not stop.wait(0.01):
                    n += 1
                    ask(own, statement(n))
        except Exception as error:  # noqa: BLE001 - raised below, in the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=write, args=(one,)) for one in writes]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []


def test_nothing_is_locked_and_nothing_is_written(two: Compared) -> None:
    two.anew("CREATE TABLE t (id INT PRIMARY KEY, v INT)", f"INSERT INTO t {series(5000)}")
    with closing(client(two.pair.primary)) as other:
        ask(other, f"USE {SCHEMA}")
        ask(other, "BEGIN")
        ask(other, "UPDATE t SET v = 2")
        two.arrived()
        before = ask(two.primary, "SELECT @@GLOBAL.gtid_executed")
        locks = (
            "SELECT COUNT(*) FROM performance_schema.data_locks JOIN performance_schema.threads USING (THREAD_ID)"
            " WHERE PROCESSLIST_USER = 'kembar_rejoin'"
        )
        found: list[Any] = []

        def look() -> None:
            found.append(ask(two.primary, locks))

        assert two.verified(theirs=hooked(two, chunks_of("t", 2), look)).outcome is Outcome.EQUAL
        assert found == [[("0",)]]
        assert ask(two.primary, "SELECT @@GLOBAL.gtid_executed") == before
        ask(other, "COMMIT")
    assert two.verified("shop.t").outcome is Outcome.EQUAL


def test_it_waits_while_the_standby_lags(two: Compared) -> None:
    two.anew("CREATE TABLE t (id INT PRIMARY KEY, v INT)")
    two.arrived()
    ask(two.standby, "STOP REPLICA SQL_THREAD")
    watch, ended = Watch(), []
    try:
        two.do("INSERT INTO t VALUES (1, 1)")
        thread = threading.Thread(target=lambda: ended.append(two.verified("shop.t", watch=watch)))
        thread.start()
        eventually(lambda: any(one.told.doing == "waiting: the standby lags" for one in watch.told), 30)
        assert not ended
    finally:
        ask(two.standby, "START REPLICA SQL_THREAD")
    thread.join(30)
    assert [(one.outcome, one.rows) for one in ended] == [(Outcome.EQUAL, 1)]


def test_it_waits_while_the_primary_is_busy(two: Compared) -> None:
    two.anew("CREATE TABLE t (id INT PRIMARY KEY, v INT)", "INSERT INTO t VALUES (1, 1)")
    primary = two.answering(two.pair.primary)
    table = {"what": "layout", "table": [SCHEMA, "t"]}
    assert primary.answer({**table, "threads_max": 0})["busy"] > 0
    left = iter([30, 30])

    def asked(question: Question) -> Answered:
        running = next(left, 0) if question["what"] == "chunk" else 0
        return {"busy": running} if running else primary.answer(question)

    watch = Watch()
    assert two.verified("shop.t", watch=watch, theirs=asked).outcome is Outcome.EQUAL
    assert any(one.told.doing == "waiting: 30 threads run on the primary" for one in watch.told)


# what is asked wrongly


def test_a_table_that_nobody_has_is_named(two: Compared) -> None:
    two.anew("CREATE TABLE t (id INT PRIMARY KEY)")
    told = two.verified("shop.t", "shop.nothing")
    assert (told.outcome, told.why) == (Outcome.FAILED, "shop.nothing: neither server has such a table")


def test_tables_that_the_account_may_not_read_are_told(two: Compared) -> None:
    two.do("CREATE DATABASE apart", "CREATE TABLE apart.x (id INT PRIMARY KEY)")
    try:
        told = two.verified()
        assert told.skipped == ("schema apart: the account may not read it",)
    finally:
        two.do("DROP DATABASE apart")


WRONG: dict[str, Mapping[str, Any]] = {
    "no such question": {"what": "everything", "table": [SCHEMA, "t"]},
    "SQL for a key": {"what": "rows_at", "keys": [["1 OR 1"]]},
    "SQL for a bound": {"what": "sums", "after": ["1); DROP TABLE t; --"]},
    "a key of another table": {"what": "sums", "to": ["1", "2"]},
    "too many rows": {"what": "chunk", "rows": 10**9},
    "no rows": {"what": "middle", "rows": 0},
    "no table": {"what": "sums", "table": None},
}


@pytest.mark.parametrize("question", WRONG.values(), ids=WRONG)
def test_a_question_that_is_none_is_refused(two: Compared, question: Mapping[str, Any]) -> None:
    two.anew("CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1)")
    primary = two.answering(two.pair.primary)
    shape = primary.answer({"what": "layout", "table": [SCHEMA, "t"]})["shape"]
    with pytest.raises(Exception, match="a question that cannot be answered") as refused:
        primary.answer({"table": [SCHEMA, "t"], "shape": shape, **question})
    assert type(refused.value).__name__ == "StepFailed"
    assert ask(two.primary, "SELECT COUNT(*) FROM shop.t") == [("1",)]


def test_a_node_that_does_not_serve_answers_nothing(two: Compared) -> None:
    closed = Answering(lambda: verify_session(two.pair.primary), lambda: False)
    with pytest.raises(Exception, match="does not serve now"):
        closed.answer({"what": "state"})


def test_values_are_cut_where_they_are_shown(two: Compared) -> None:
    two.anew("CREATE TABLE t (id INT PRIMARY KEY, v TEXT, w INT)", "INSERT INTO t VALUES (1, REPEAT('a', 500), 5)")
    two.alone("UPDATE t SET v = NULL")
    assert two.differences() == [Difference("row", "shop.t", "id=1", f"v={'a' * 64}...", "v=NULL")]
