"""The cut on real servers: what was never acknowledged is gone after it, and nothing else; each refusal leaves all."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from agents.binlog.capture import TailState, capture
from agents.binlog.parse import events, head
from agents.binlog.truncate import transactions
from orchestrator.core.errors import StepFailed
from orchestrator.core.gtid import GtidSet, errant
from tests.contract.mysqlpair import Background, Pair, Server, eventually, replicating

pytestmark = pytest.mark.lab

INSERT = "INSERT INTO shop.t (v) VALUES (77)"


@pytest.fixture(scope="module")
def running() -> Iterator[Pair]:
    with replicating() as pair:
        yield pair


@pytest.fixture
def pair(running: Pair) -> Iterator[Pair]:
    """Both hold the same, with rows 1 to 5 of value 1; afterwards the primary runs again, whatever was done to it."""
    if not running.primary.answers():
        running.primary.start()
    running.reset()
    running.primary.sql(
        "DROP TABLE IF EXISTS shop.new", "TRUNCATE shop.t", "INSERT INTO shop.t (v) VALUES (1)" + ",(1)" * 4
    )
    eventually(lambda: held(running.standby) == held(running.primary), 60)
    yield running


@dataclass(frozen=True)
class Dead:
    """A killed primary: what the standby holds, and its own uuid."""

    server: Server
    primary: GtidSet
    own: str
    folder: Path

    @property
    def index(self) -> Path:
        return self.server.instance.datadir / "binlog.index"

    @property
    def last(self) -> Path:
        return self.server.instance.datadir / self.index.read_text().split()[-1]

    def capture(self) -> tuple[TailState, str]:
        done = capture(self.server.instance.datadir, self.folder, self.index, 7, self.primary, self.own)
        return done.state, done.why


def held(server: Server) -> GtidSet:
    return GtidSet.parse(server.database.executed())


def rows(server: Server) -> str:
    return server.sql("SELECT CONCAT(COUNT(*), '/', SUM(v)) FROM shop.t")


def kill(server: Server) -> None:
    os.kill(server.pid, signal.SIGKILL)
    eventually(lambda: server.supervisor.incarnation() is None, 30)


@contextmanager
def waiting(pair: Pair, statements: Sequence[str]) -> Iterator[None]:
    """Clients whose commits are in the binary log and wait for a standby that will never receive them.

    The receiver is stopped, not frozen: a frozen standby reads the tail from its socket once it goes on. Only the first
    of several is counted by the server as waiting; the others stand behind it.
    """
    server = pair.primary
    server.database.semisync.require_ack()
    pair.standby.database.channel.stop_receiver()
    with ExitStack() as stack:
        for statement in statements:
            session, logged = server.session("app"), len(held_in_log(server))
            stack.callback(session.close)
            session.login(5)
            client = Background(lambda s=session, t=statement: s.ask(t, within_s=60))  # type: ignore[misc]
            stack.callback(client.ends_within, 10)
            eventually(lambda n=logged: len(held_in_log(server)) > n, 30)  # type: ignore[misc]
            assert client.waiting
        if statements:
            eventually(lambda: server.database.facts().wait_sessions > 0, 30)
        yield


def held_in_log(server: Server) -> list[str]:
    """The ids of the complete transactions in the last file."""
    datadir = server.instance.datadir
    data = (datadir / (datadir / "binlog.index").read_text().split()[-1]).read_bytes()
    return [str(one.gtid) for one in transactions(data, head(data).end) if one.complete]


def died_with(pair: Pair, folder: Path, *statements: str) -> Dead:
    """kill -9 while these wait."""
    primary, own = held(pair.primary), pair.primary.database.facts().server_uuid
    with waiting(pair, statements):
        kill(pair.primary)
    return Dead(pair.primary, primary, own, folder)


def test_after_the_cut_the_transaction_was_never_there(pair: Pair, tmp_path: Path) -> None:
    dead = died_with(pair, tmp_path, INSERT)
    before = dead.last
    assert dead.capture()[0] is TailState.CUT
    pair.primary.start()
    assert rows(pair.primary) == "5/5"
    assert held(pair.primary) == dead.primary
    # The server may have one of its own for a moment; one that recovery left would stay.
    eventually(lambda: pair.primary.sql("SELECT COUNT(*) FROM information_schema.innodb_trx") == "0", 10)
    data = before.read_bytes()
    assert not head(data).in_use and dead.last != before, "recovery closes the file, and a new one is written"
    assert list(events(data, head(data).end))[-1].kind != 33


def test_a_pair_goes_on_after_the_cut(pair: Pair, tmp_path: Path) -> None:
    dead = died_with(pair, tmp_path, INSERT)
    assert dead.capture()[0] is TailState.CUT
    pair.primary.start()
    pair.reset()
    pair.primary.sql("INSERT INTO shop.t (v) VALUES (5)")
    eventually(lambda: rows(pair.standby) == "6/10", 60)
    assert held(pair.primary) == held(pair.standby)


def test_a_group_of_waiters_is_cut_as_a_whole(pair: Pair, tmp_path: Path) -> None:
    dead = died_with(
        pair, tmp_path, INSERT, "UPDATE shop.t SET v = 9 WHERE id = 1", "DELETE FROM shop.t WHERE id = 3", INSERT
    )
    state, why = dead.capture()
    assert state is TailState.CUT and "-" in why.split()[0].rsplit(":", 1)[1], why
    pair.primary.start()
    assert (rows(pair.primary), held(pair.primary)) == ("5/5", dead.primary)


def test_a_half_written_event_goes_too(pair: Pair, tmp_path: Path) -> None:
    dead = died_with(pair, tmp_path, INSERT)
    data = dead.last.read_bytes()
    last = list(events(data, head(data).end))[-1]
    half = bytearray(data[last.position : last.position + 25])
    half[13:17] = (len(data) + last.length).to_bytes(4, "little")
    dead.last.write_bytes(data + half)
    assert dead.capture()[0] is TailState.CUT
    pair.primary.start()
    assert (rows(pair.primary), held(pair.primary)) == ("5/5", dead.primary)


def test_without_the_cut_recovery_commits_what_nobody_acknowledged(pair: Pair, tmp_path: Path) -> None:
    """What the cut is for."""
    dead = died_with(pair, tmp_path, INSERT)
    pair.primary.start()
    assert rows(pair.primary) == "6/82"
    assert len(errant(held(pair.primary), dead.primary)) == 1


def test_a_primary_without_a_tail_is_left_as_it_is(pair: Pair, tmp_path: Path) -> None:
    dead = died_with(pair, tmp_path)
    size = dead.last.stat().st_size
    assert dead.capture() == (TailState.CLEAN, "")
    assert dead.last.stat().st_size == size and not list(tmp_path.iterdir())


def test_a_waiting_ddl_is_kept(pair: Pair, tmp_path: Path) -> None:
    dead = died_with(pair, tmp_path, "CREATE TABLE shop.new (id INT PRIMARY KEY)")
    size = dead.last.stat().st_size
    state, why = dead.capture()
    assert state is TailState.KEPT and "CREATE TABLE" in why
    assert dead.last.stat().st_size == size


def test_a_tail_that_was_recovered_is_kept(pair: Pair, tmp_path: Path) -> None:
    """mysqld was started once since: the engine holds the tail, which is in an earlier file now."""
    dead = died_with(pair, tmp_path, INSERT)
    pair.primary.start()
    kill(pair.primary)
    state, why = dead.capture()
    assert state is TailState.KEPT and why.startswith("files before"), why
    pair.primary.start()
    assert rows(pair.primary) == "6/82"


def test_the_evidence_is_what_was_there(pair: Pair, tmp_path: Path) -> None:
    dead = died_with(pair, tmp_path, INSERT)
    data = dead.last.read_bytes()
    assert dead.capture()[0] is TailState.CUT
    kept = tmp_path / "7/binlog"
    assert (kept / dead.last.name).read_bytes() == data != dead.last.read_bytes()
    assert kept.stat().st_mode & 0o777 == 0o700
    checked = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=kept, capture_output=True, text=True, check=False)
    assert checked.returncode == 0 and checked.stdout.count("OK") == 2, checked.stdout


KILLED_AT = """
import os, sys
from pathlib import Path
from agents.binlog import capture as module
from orchestrator.core.gtid import GtidSet

datadir, folder, primary, own, wanted = Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:5], int(sys.argv[5])
seen = 0

def step():
    global seen
    seen += 1
    if seen == wanted:
        os.kill(os.getpid(), 9)

def watch(event, arguments):
    # Audit events are raised before the call that they name.
    if event in ("open", "os.rename", "os.mkdir") and any(str(p) in str(arguments[0]) for p in (datadir, folder)):
        step()

sync = os.fsync

def counted(handle):
    step()
    sync(handle)
    step()

os.fsync = counted
sys.addaudithook(watch)
module.capture(datadir, folder, datadir / "binlog.index", 7, GtidSet.parse(primary), own)
print("done")
"""


def test_a_kill_at_any_step_is_made_good_by_the_next_call(pair: Pair, tmp_path: Path) -> None:
    dead = died_with(pair, tmp_path / "all", INSERT)
    datadir, full = tmp_path / "data", dead.last.read_bytes()
    wholly = dead.capture()
    cut_bytes = dead.last.read_bytes()
    assert wholly[0] is TailState.CUT and full.startswith(cut_bytes)
    sizes: list[int] = []
    for step in range(1, 100):
        shutil.rmtree(datadir, ignore_errors=True)
        datadir.mkdir()
        (datadir / "binlog.index").write_text(f"./{dead.last.name}\n")
        (datadir / dead.last.name).write_bytes(full)
        folder = tmp_path / str(step)
        argv = [sys.executable, "-c", KILLED_AT, str(datadir), str(folder), str(dead.primary), dead.own, str(step)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
        sizes.append((datadir / dead.last.name).stat().st_size)
        again = capture(datadir, folder, datadir / "binlog.index", 7, dead.primary, dead.own)
        assert again.state is TailState.CUT, (step, again)
        assert (datadir / dead.last.name).read_bytes() == cut_bytes
        assert (folder / "7/binlog" / dead.last.name).read_bytes() == full, "never copied from what was cut"
        if "done" in done.stdout:
            break
        assert done.returncode == -9, done.stderr
    assert step > 20, "too few steps: the program no longer stops where it should"
    assert set(sizes) == {len(full), len(cut_bytes)} and sizes == sorted(sizes, reverse=True)


def test_a_file_of_another_size_than_planned_is_not_cut(pair: Pair, tmp_path: Path) -> None:
    """Somebody has started mysqld, or written, between plan and cut."""
    dead = died_with(pair, tmp_path, INSERT)
    full = dead.last.read_bytes()
    assert dead.capture()[0] is TailState.CUT
    dead.last.write_bytes(full + b"more")
    with pytest.raises(StepFailed, match="neither"):
        dead.capture()
    assert dead.last.read_bytes() == full + b"more"
    dead.last.write_bytes(full)


def test_a_wrong_cut_is_seen_after_the_start(pair: Pair, tmp_path: Path) -> None:
    """A commit that was let go without a copy is in the engine, which remembers its id: the errant check fences.

    The last test: of this the pair does not recover, as the primary has an id that its binary log has not.
    """
    primary, own = held(pair.primary), pair.primary.database.facts().server_uuid
    with waiting(pair, [INSERT]):
        pair.primary.database.semisync.relax()
        eventually(lambda: rows(pair.primary) == "6/82", 30)
        kill(pair.primary)
    dead = Dead(pair.primary, primary, own, tmp_path)
    assert dead.capture()[0] is TailState.CUT
    pair.primary.start()
    assert rows(pair.primary) == "6/82"
    assert len(errant(held(pair.primary), primary)) == 1
