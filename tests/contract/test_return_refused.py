"""A return that meets what it cannot repair says so by its code, and leaves the node as it was."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from agents.binlog.logs import contents, files_after, mapped
from agents.binlog.truncate import Cut, plan_cut
from agents.binlog.undo import Refusal, Undo, plan_undo, row_count, transaction_at, undoing
from agents.reconcile.evidence import Folder
from orchestrator.core.errors import KembarError, StepFailed
from orchestrator.core.gtid import GtidSet
from orchestrator.core.mergepolicy import MergePolicy
from orchestrator.core.reconcile import Facts, Merge, Reconcile, advance
from orchestrator.core.returning import Merging, Rung, Stage
from tests.contract.breaking import Breaking, until
from tests.contract.mysqlpair import eventually
from tests.contract.returning import NODE, NUMBERS, Two, rejoin_session, returner, two_servers, unasked
from tests.contract.test_return_killed import digest

pytestmark = pytest.mark.lab
FLIPS = int(os.environ.get("KEMBAR_FUZZ_RUNS", "400"))
TABLES = (
    "CREATE TABLE acct (id INT PRIMARY KEY, bal INT, note VARCHAR(20))",
    "CREATE TABLE mem (id INT PRIMARY KEY) ENGINE = MEMORY",
    "CREATE TABLE j (id INT PRIMARY KEY, v JSON)",
    "INSERT INTO acct VALUES (1, 100, NULL), (2, 200, '')",
    """INSERT INTO j VALUES (1, '{"a": "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}')""",
)
CHANGE = "UPDATE acct SET bal = bal + 1"


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    with two_servers(tmp_path_factory.mktemp("refused")) as made:
        yield made


class Case:
    """One return of the old server up to where it is refused."""

    def __init__(self, two: Two) -> None:
        two.alike(*TABLES)
        self.two, self.before, self.home = two, two.old.executed(), two.home / f"refused-{next(NUMBERS)}"
        self.record = Reconcile(next(NUMBERS), 1, NODE, Rung.REWIND, Stage.DETECT, acknowledged=True)
        self.returner = returner(two.old, self.home, lambda: rejoin_session(two.old), unasked)
        self.said = ""

    def step(self) -> None:
        """The agent's part once, and what the leader makes of it. What is raised is kept: the agent shows it."""
        self.two.old.do("SET GLOBAL super_read_only = ON, GLOBAL offline_mode = ON")
        try:
            self.returner.work(self.record, self.before)
        except KembarError as error:
            self.said = str(error)
        finally:
            self.two.old.server.database.set_writable()
        merging = Merging(self.record.id, sums=self.returner.facts.sums)
        facts = Facts(1, self.returner.facts, merging, False, self.two.old.executed(), False, MergePolicy())
        self.record = advance(self.record, facts)

    @contextmanager
    def nothing_changed(self) -> Iterator[None]:
        old = self.two.old
        rows, executed = digest(old), old.executed()
        yield
        assert (digest(old), old.executed()) == (rows, executed)
        assert old.ask("SELECT COUNT(*) FROM kembar.reconcile_journal") == [("0",)]


NOT_BY_ROWS = {
    "ddl": ["CREATE TABLE more (id INT PRIMARY KEY)"],
    "account_statement": ["CREATE USER 'x'@'localhost'", "DROP USER 'x'@'localhost'"],
    "xa": ["XA START 'x'", "UPDATE acct SET bal = 2", "XA END 'x'", "XA PREPARE 'x'", "XA COMMIT 'x'"],
    "statement_event": ["SET binlog_format = STATEMENT", CHANGE, "SET binlog_format = ROW"],
    "non_innodb": ["INSERT INTO mem VALUES (1)"],
    "row_image_not_full": ["SET binlog_row_image = MINIMAL", CHANGE, "SET binlog_row_image = FULL"],
    "metadata_not_full": [
        "SET GLOBAL binlog_row_metadata = MINIMAL", CHANGE, "SET GLOBAL binlog_row_metadata = FULL",
    ],
    "table_changed": [
        CHANGE, "SET sql_log_bin = OFF", "ALTER TABLE acct ADD COLUMN more INT", "SET sql_log_bin = ON",
    ],
    "table_missing": [CHANGE, "SET sql_log_bin = OFF", "DROP TABLE acct", "SET sql_log_bin = ON"],
}  # fmt: skip


@pytest.mark.parametrize("code", NOT_BY_ROWS)
def test_what_rows_cannot_undo_takes_the_next_rung_by_its_code(two: Two, code: str) -> None:
    case = Case(two)
    two.old.do(CHANGE, *NOT_BY_ROWS[code])
    with case.nothing_changed():
        case.step()
        assert (case.record.rung, case.record.stage) == (Rung.CLONE, Stage.BUNDLE)
        assert f"({code})" in case.record.reasons[-1] and case.record.reasons[-1].startswith("rewind: ")
        case.step()  # its evidence is kept all the same
        assert case.record.stage is Stage.CLONE and case.record.sums


@contextmanager
def broken(path: Path, damage: Callable[[Path], None]) -> Iterator[None]:
    aside = path.with_name(path.name + ".whole")
    shutil.copy2(path, aside)
    damage(path)
    try:
        yield
    finally:
        aside.replace(path)


def _flipped(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def _encrypted(path: Path) -> None:
    path.write_bytes(b"\xfdbin" + path.read_bytes()[4:])


DAMAGED: dict[str, tuple[Callable[[Path], None], str, Stage]] = {
    "its head": (lambda path: _flipped(path, 60), "bad_crc", Stage.STOPPED),
    "an event": (lambda path: _flipped(path, path.stat().st_size - 60), "bad_crc", Stage.CLONE),
    "all of it": (lambda path: path.unlink(), "binlog_missing", Stage.STOPPED),
    "its end": (lambda path: os.truncate(path, path.stat().st_size - 60), "incomplete", Stage.CLONE),
    "its key": (_encrypted, "encrypted", Stage.STOPPED),
    "everything in it": (lambda path: path.write_bytes(b""), "bad_crc", Stage.STOPPED),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_a_log_that_is_damaged_is_refused_by_its_code(two: Two, what: str) -> None:
    """A person is asked where not even evidence can be kept; else the next rung needs no log."""
    damage, code, ends = DAMAGED[what]
    case = Case(two)
    two.old.do(CHANGE, "FLUSH BINARY LOGS", CHANGE)
    first = files_after(two.old.datadir, two.old.datadir / "binlog.index", case.before)[0]
    with case.nothing_changed(), broken(first, damage):
        for _ in range(3):
            case.step()
        assert f"({code})" in case.record.reasons[1]
        assert case.record.stage is ends
        assert (ends is Stage.CLONE) or case.record.stopped.startswith("evidence_incomplete: ")


def test_a_purged_range_is_refused_and_a_person_is_asked(two: Two) -> None:
    case = Case(two)
    two.old.do(CHANGE, "FLUSH BINARY LOGS", CHANGE)
    last = files_after(two.old.datadir, two.old.datadir / "binlog.index", case.before)[-1]
    two.old.do(f"PURGE BINARY LOGS TO '{last.name}'")
    with case.nothing_changed():
        for _ in range(3):
            case.step()
    assert case.record.stage is Stage.STOPPED
    assert case.record.stopped.startswith("evidence_incomplete: ") and "no longer has the file" in case.record.stopped


def test_a_log_that_is_purged_after_it_was_looked_at_is_refused_too(two: Two) -> None:
    case = Case(two)
    two.old.do(CHANGE, "FLUSH BINARY LOGS", CHANGE)
    case.step()
    assert (case.record.rung, case.record.stage) == (Rung.REWIND, Stage.BUNDLE)
    last = files_after(two.old.datadir, two.old.datadir / "binlog.index", case.before)[-1]
    two.old.do(f"PURGE BINARY LOGS TO '{last.name}'")
    with case.nothing_changed():
        for _ in range(3):
            case.step()
    assert case.record.stage is Stage.STOPPED and case.record.stopped.startswith("evidence_incomplete: ")


def test_a_primary_that_no_longer_has_what_the_node_lacks_leads_to_the_next_rung(two: Two) -> None:
    case, channel = Case(two), two.old.server.database.channel
    two.old.do(CHANGE)
    two.new.do(CHANGE, "FLUSH BINARY LOGS")
    two.new.do(f"PURGE BINARY LOGS TO '{two.new.ask('SHOW BINARY LOGS')[-1][0]}'")
    for _ in range(3):
        case.step()
    assert (case.record.rung, case.record.stage) == (Rung.REWIND, Stage.REJOIN)
    two.old.server.follow(two.new.server.instance.port)

    def cloned() -> bool:
        case.step()
        return case.record.rung is Rung.CLONE

    try:
        with suppress(StepFailed):  # the source may have refused before anybody has seen the receiver run
            channel.start()
        eventually(cloned, 30)
    finally:
        two.old.do("STOP REPLICA", "RESET REPLICA ALL")
    assert case.record.stage is Stage.CLONE
    assert case.record.reasons[-1].startswith("rewind: binlog_missing: ") and "purged" in case.record.reasons[-1]


def test_evidence_that_was_damaged_later_is_not_undone(two: Two) -> None:
    """Up to then nothing is changed; then the next rung is taken."""
    case = Case(two)
    two.old.do(CHANGE)
    case.step()
    case.step()
    assert case.record.stage is Stage.REWIND
    (kept,) = Folder.of(case.home, case.record).files()
    _flipped(kept, kept.stat().st_size - 60)
    with case.nothing_changed():
        case.step()
    assert (case.record.rung, case.record.stage) == (Rung.CLONE, Stage.CLONE)
    assert "(bad_crc)" in case.record.reasons[-1]


def test_what_was_written_after_the_evidence_is_not_lost_with_the_log(two: Two) -> None:
    """An administrator may write to a fenced server: of that nothing is known on the other host."""
    case = Case(two)
    two.old.do(CHANGE)
    case.step()
    case.step()
    two.old.do("INSERT INTO acct VALUES (77, 7, 'late')")
    log = two.old.ask("SHOW BINARY LOGS")
    case.step()
    assert case.record.stage is Stage.STOPPED and case.record.stopped.startswith("stray_gtid: ")
    assert case.returner.facts.rewinding and two.old.ask("SHOW BINARY LOGS") == log


def test_what_an_earlier_return_took_out_of_the_log_did_not_come_after_the_evidence(two: Two) -> None:
    """It left all that had been executed until then as purged, in a log that does not begin with that."""
    case = Case(two)
    two.old.do(CHANGE)
    case.before = two.old.executed()
    two.old.do("RESET BINARY LOGS AND GTIDS", f"SET GLOBAL gtid_purged = '{case.before}'", CHANGE)
    for _ in range(3):
        case.step()
    assert (case.record.stage, case.record.stopped, case.said) == (Stage.REJOIN, "", "")
    assert two.old.executed() == case.before


def test_no_event_of_the_server_writes_while_its_rows_are_changed_back(two: Two) -> None:
    """One of an administrator's would: neither offline_mode nor read_only holds it."""
    case = Case(two)
    two.old.do(CHANGE)
    case.step()
    case.step()
    two.old.do("SET GLOBAL super_read_only = ON, GLOBAL offline_mode = ON, GLOBAL event_scheduler = ON")
    state = "SELECT @@GLOBAL.event_scheduler, @@GLOBAL.super_read_only"
    (before,) = two.old.ask(state)
    life = Breaking(lambda: rejoin_session(two.old))
    with suppress(KembarError):
        returner(two.old, case.home, until(life, "INSERT INTO kembar.reconcile"), unasked).work(case.record, GtidSet())
    assert (before, two.old.ask(state)) == (("ON", "1"), [("OFF", "0")])
    returner(two.old, case.home, lambda: rejoin_session(two.old), unasked).work(case.record, GtidSet())
    assert two.old.ask(state) == [before]
    two.old.server.database.set_writable()


def test_a_write_between_the_reset_and_the_numbers_asks_a_person(two: Two) -> None:
    """It has a number that another transaction had, so nothing is undone of it and nothing is taken over it."""
    case = Case(two)
    two.old.do(CHANGE, CHANGE)
    case.step()
    case.step()
    life = Breaking(lambda: rejoin_session(two.old))
    two.old.do("SET GLOBAL super_read_only = ON, GLOBAL offline_mode = ON")
    with suppress(KembarError):
        returner(two.old, case.home, until(life, "RESET BINARY LOGS"), unasked).work(case.record, case.before)
    assert not two.old.executed()
    two.old.server.database.set_writable()
    two.old.do("INSERT INTO acct VALUES (78, 7, 'late')")
    case.step()
    assert case.record.stage is Stage.STOPPED and case.record.stopped.startswith("stray_gtid: ")
    assert ("78", "7", "late") in two.rows("acct", two.old)
    two.old.do("RESET BINARY LOGS AND GTIDS")


def test_evidence_that_cannot_be_read_asks_a_person_before_anything_is_merged(two: Two) -> None:
    two.alike(*TABLES)
    made = two.diverged(CHANGE)
    (path,) = Folder.of(made.home / "old", made.record).files()
    made.merger.work(replace(made.record, merge=Merge.UNKNOWN), GtidSet())
    (copy,) = (made.home / "new").glob(f"*/binlog/{path.name}")
    _flipped(copy, copy.stat().st_size - 60)
    before = two.rows("acct")
    with pytest.raises(KembarError):
        made.merge()
    assert two.rows("acct") == before and made.merger.facts.refusal.startswith("evidence_unreadable: ")
    facts = Facts(1, None, made.merger.facts, False, GtidSet(), False, MergePolicy())
    assert advance(made.record, facts).merge is Merge.WAITING


def test_numbers_with_tags_are_undone_and_merged_as_any_other(two: Two) -> None:
    case = Case(two)
    work = (
        "SET gtid_next = 'AUTOMATIC:blue'",
        "UPDATE acct SET bal = 101 WHERE id = 1",
        "UPDATE acct SET bal = 202 WHERE id = 2",
        "SET gtid_next = 'AUTOMATIC'",
        "INSERT INTO acct VALUES (3, 3, 'c')",
    )
    two.old.do(*work)
    errant, rows = two.old.executed() - case.before, two.rows("acct", two.new)
    assert any(":" in source for source in errant.intervals) and len(errant) == 3
    for _ in range(3):
        case.step()
    assert case.record.stage is Stage.REJOIN, case.said
    assert (two.rows("acct", two.old), two.old.executed()) == (rows, case.before)
    two.alike(*TABLES)
    made = two.diverged(*work)
    two.new.do("UPDATE acct SET note = 'x' WHERE id = 2")
    assert made.merge() == {"merged": 2, "quarantined": 1}
    assert GtidSet.parse(made.record.errant) <= two.new.executed()


# --- whatever may stand in a file


def everything(files: list[Path], errant: GtidSet) -> Any:
    """What is undone of these files, as bytes; or the code of what is refused."""
    planned = plan_undo(files, errant)
    if isinstance(planned, Refusal):
        return planned.reason
    events = []
    for place in planned.places:
        with mapped(place.file) as data:
            one = transaction_at(data, place)
            with contents(data, one) as changes:
                events += list(undoing(changes, one))
    return str(planned.gtids), row_count(planned), events


@pytest.mark.parametrize("compression", ["OFF", "ON"])
def test_a_flipped_bit_or_a_lost_end_is_refused_or_changes_nothing(two: Two, tmp_path: Path, compression: str) -> None:
    """Of some hundred bits and ends at random: neither an undo nor a cut that is other than that of the whole file."""
    two.alike(*TABLES)
    before = two.old.executed()
    two.old.do(
        CHANGE,
        "INSERT INTO acct VALUES (3, 3, 'c'), (4, 4, NULL)",
        f"SET binlog_transaction_compression = {compression}",
        "UPDATE acct SET note = REPEAT('z', 20)",
        "SET binlog_transaction_compression = OFF",
        "BEGIN", "DELETE FROM acct WHERE id = 1", "SAVEPOINT s", "UPDATE j SET v = '[1]'", "COMMIT",
    )  # fmt: skip
    errant = two.old.executed() - before
    (path,) = files_after(two.old.datadir, two.old.datadir / "binlog.index", before)
    whole, rng, copy = path.read_bytes(), Random(7), tmp_path / "fuzzed"
    expected, own = everything([path], errant), two.old.ask("SELECT @@server_uuid")[0][0]
    assert isinstance(expected, tuple) and len(expected[2]) >= 5
    planned, cut, refused = plan_undo([path], errant), plan_cut(path.name, whole, before, own), 0
    assert isinstance(planned, Undo) and isinstance(cut, Cut) is (compression == "OFF")
    for number in range(FLIPS):
        content = bytearray(whole)
        if number % 4:
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        else:
            del content[rng.randrange(len(content)) :]
        copy.write_bytes(content)
        found = everything([copy], errant)
        assert found == expected or not isinstance(found, tuple), number
        refused += found != expected
        again = plan_cut(path.name, bytes(content), before, own)
        if isinstance(again, Cut):
            assert (again.position, again.size) == (planned.places[0].position, len(content)), number
    assert refused > FLIPS * 0.9


SMALL = """
import subprocess, sys
from pathlib import Path
from agents.reconcile.evidence import Folder
from agents.reconcile.quarantine import Entry
from agents.reconcile.judging import Conflict
from orchestrator.core.errors import StepFailed

home, files, index = Path(sys.argv[1]), [Path(one) for one in sys.argv[3:]], Path(sys.argv[2])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", home], check=True)
folder, other = Folder(home / "here"), Folder(home / "there")
for what in (lambda: folder.keep(files, index), lambda: folder.note("reset.json", {"before": "x" * (2 << 20)})):
    try:
        what()
    except StepFailed as error:
        print(error)
    else:
        sys.exit("a full disk was not noticed")
assert folder.sums() == "" and folder.noted("reset.json") is None
subprocess.run(["mount", "-o", "remount,size=32m", home], check=True)
print(folder.keep(files, index))
subprocess.run(["mount", "-o", "remount,size=6m", home], check=True)
fetch = lambda name, target: target.write_bytes((folder.logs / name).read_bytes())
try:
    other.take(fetch)
except StepFailed as error:
    print(error)
assert other.sums() == ""
subprocess.run(["mount", "-o", "remount,size=32m", home], check=True)
other.take(fetch)
print(other.sums())
"""


def test_a_disk_that_is_full_while_evidence_is_kept(two: Two, tmp_path: Path) -> None:
    """Nothing counts as kept that is not whole; once there is space again the same call goes on, on both hosts."""
    two.alike("CREATE TABLE big (id INT PRIMARY KEY, v LONGBLOB)")
    before = two.old.executed()
    two.old.do("INSERT INTO big VALUES (1, REPEAT('x', 3 << 20))")
    index = two.old.datadir / "binlog.index"
    files = files_after(two.old.datadir, index, before)
    argv = ["unshare", "--mount", sys.executable, "-c", SMALL, str(tmp_path), str(index), *map(str, files)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    first, note, kept, fetched, taken = done.stdout.splitlines()
    assert first.startswith("evidence_no_space: ") and "No space left" in note and "No space left" in fetched
    assert kept == taken == Folder(tmp_path / "expected").keep(files, index)
