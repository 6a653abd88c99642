"""The last rung on real servers: a node becomes a copy of the primary, and whatever fails leaves it as it was."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from agents.dialect import ChannelTls
from agents.reconcile.cloning import Cloner
from agents.reconcile.copying import Donor, told
from agents.reconcile.evidence import Folder
from agents.reconcile.returner import Place, Returner
from agents.reconcile.swap import PLAN, Swap
from agents.session import Access
from orchestrator.core.errors import KembarError, StepFailed
from orchestrator.core.gtid import GtidSet
from orchestrator.core.reconcile import Merge, Reconcile
from orchestrator.core.returning import Rung, Stage
from orchestrator.process.failpoints import VARIABLE
from tests.contract.cloningagent import DONE, NOT_YET, Given
from tests.contract.mysqlpair import eventually
from tests.contract.returning import Divergence, Two, rejoin_session, two_servers
from tests.contract.rewinding import Undoer

pytestmark = pytest.mark.lab

COPIED_S = 300.0
COPYING = "SELECT COUNT(*) FROM performance_schema.clone_status WHERE STATE = 'In Progress'"


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    with two_servers(tmp_path_factory.mktemp("clone")) as made:
        yield made


@dataclass
class Node:
    """The returning node: its server, and one life of its agent after the other."""

    two: Two
    made: Divergence
    record: Reconcile
    donor: Donor
    facts: Mapping[str, Any] = field(default_factory=dict)  # what the donor's agent says instead
    said: Mapping[str, Any] = field(default_factory=dict)  # what it has said, without asking its server again
    wanted: bool = True
    trouble: str = ""

    def __post_init__(self) -> None:
        self.before = self.server_uuid()
        self.start_agent()

    @property
    def datadir(self) -> Path:
        return self.two.old.datadir

    @property
    def home(self) -> Path:
        return self.made.home / "old"

    def start_agent(self) -> None:
        """Only what is on disk is known."""
        self.swap = Swap(self.datadir, self.home)
        cloner = Cloner(
            self.swap, self.home, self.donor, lambda: rejoin_session(self.two.old), self.ask, lambda _: self.wanted
        )
        place = Place(self.datadir, self.home)
        self.returner = Returner(place, lambda: rejoin_session(self.two.old), self.ask, cloner)

    def ask(self, question: str, what: Mapping[str, Any]) -> Mapping[str, Any]:
        if question == "touched":
            return self.made.merger.touched(what)
        assert question == "donor"
        return self.said or {**told(lambda: rejoin_session(self.two.new), lambda: True), **self.facts}

    def work(self, stage: Stage = Stage.CLONE) -> bool:
        """Whether the stage is reached; why not is in `trouble`."""
        self.record, self.trouble = replace(self.record, stage=stage), ""
        try:
            self.returner.work(self.record, GtidSet())
        except KembarError as error:
            self.trouble = str(error)
        return self.returner.facts.reached is stage

    def tick(self) -> None:
        """What the tick thread does about a complete copy: kill, swap, start."""
        state = self.swap.state
        if state.planned:
            if self.two.old.server.running:
                self.two.old.server.kill()
            self.swap.perform()
        if not self.two.old.server.running:
            restart(self.two.old)

    def copied(self, within_s: float = COPIED_S) -> None:
        """On to the next stage, as worker and tick do it in turn."""

        def done() -> bool:
            if self.work():
                return True
            self.tick()
            return False

        try:
            eventually(done, within_s)
        except AssertionError as error:
            raise AssertionError(f"not copied: {self.trouble or self.returner.facts}") from error

    def server_uuid(self) -> str:
        return str(self.two.old.ask("SELECT @@GLOBAL.server_uuid")[0][0])

    def untouched(self) -> bool:
        """The old server on the old directory, and nothing of a copy."""
        return self.server_uuid() == self.before and self.beside() == [] and not (self.home / PLAN).exists()

    def beside(self) -> list[str]:
        """What there is of copies and of old directories."""
        return sorted(one.name.rpartition("-")[0] for one in self.datadir.parent.glob(f"{self.datadir.name}.*-*"))


@contextmanager
def copying(node: Node, start: Callable[[], object]) -> Iterator[None]:
    """A copy that has been started and whose donor is stopped in the middle of it."""
    old = node.two.old
    old.do("SET GLOBAL clone_max_data_bandwidth = 5")  # MiB/s, or a fast machine is done before it is looked at
    start()
    eventually(lambda: old.ask(COPYING) == [("1",)], 60)
    with node.two.new.server.frozen():
        old.do("SET GLOBAL clone_max_data_bandwidth = DEFAULT")
        yield


def restart(one: Undoer) -> None:
    one.client.close()
    one.server.database.close()
    one.server.start()
    one.connect()


def alike(two: Two) -> None:
    """Two servers with the same small table that may both be written to, neither replicating."""
    two.old.do("STOP REPLICA", "RESET REPLICA ALL")
    two.new.server.database.set_writable()
    two.old.server.database.set_writable()
    two.alike("CREATE TABLE acct (id INT PRIMARY KEY, bal INT)", "INSERT INTO acct VALUES (1, 100), (2, 200), (3, 300)")


@contextmanager
def parted(two: Two, *statements: str) -> Iterator[Node]:
    """A node that did these alone, fenced, with all of it kept on both hosts and merged."""
    alike(two)
    made = two.diverged(*(statements or ("CREATE TABLE only_old (id INT PRIMARY KEY)",)))
    made.merge()
    port = two.new.server.instance.port
    donor = Donor("127.0.0.1", port, "kembar_clone", two.new.server.passwords.clone, two.old.server.tls)
    record = replace(made.record, rung=Rung.CLONE, stage=Stage.CLONE, merge=Merge.DONE)
    two.old.do("SET GLOBAL offline_mode = ON, GLOBAL super_read_only = ON")
    # What a standby that was promoted keeps: a channel to the other, stopped.
    two.new.do("CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = 1, SOURCE_AUTO_POSITION = 1")
    node = Node(two, made, record, donor)
    try:
        yield node
    finally:
        if not two.new.server.running:
            restart(two.new)
        two.new.do("RESET REPLICA ALL")
        if not two.old.server.running:
            node.swap.perform()
            restart(two.old)
        Swap(node.datadir, node.home).end(record.id)


def follow(node: Node) -> None:
    """As the tick does once the node may replicate again."""
    node.two.old.server.follow(node.two.new.server.instance.port)
    node.two.old.server.database.channel.start()


MIXED = (
    "UPDATE acct SET bal = 101 WHERE id = 1",
    "ALTER TABLE acct ADD COLUMN more INT",
    "CREATE USER 'stray'@'%' IDENTIFIED BY 'x'",
    "XA START 'x'", "INSERT INTO acct VALUES (8, 8, 8)", "XA END 'x'", "XA PREPARE 'x'", "XA COMMIT 'x'",
    "CREATE TABLE only_old (id INT PRIMARY KEY)",
    "INSERT INTO only_old VALUES (1)",
)  # fmt: skip


def test_a_node_that_rows_cannot_repair_becomes_a_copy_and_nothing_of_it_is_lost_unseen(two: Two) -> None:
    with parted(two, *MIXED) as node:
        entries = {entry[1] for entry in node.made.entries()}
        assert node.made.merger.facts.verdicts == {"merged": 1, "quarantined": 6}
        assert entries == {"not_by_rows", "schema_differs"}
        two.new.do("INSERT INTO shop.acct VALUES (9, 900)")
        node.copied()
        assert node.server_uuid() not in (node.before, two.new.ask("SELECT @@GLOBAL.server_uuid")[0][0])
        assert node.beside() == [f"{node.datadir.name}.before"]
        (state,) = two.old.ask("SELECT @@GLOBAL.gtid_executed = @@GLOBAL.gtid_purged, @@GLOBAL.super_read_only,"
                               " @@GLOBAL.offline_mode")  # fmt: skip
        assert state == ("1", "1", "1")
        assert two.old.ask("SELECT COUNT(*) FROM performance_schema.replication_connection_configuration"
                           " WHERE HOST <> ''") == [("0",)]  # fmt: skip
        assert GtidSet.parse(node.record.errant) <= two.old.executed() <= two.new.executed()
        two.new.do("INSERT INTO shop.acct VALUES (10, 1000)")
        follow(node)
        eventually(lambda: two.old.executed() == two.new.executed(), 30)
        for table in ("shop.acct", "kembar.quarantine", "mysql.user"):
            everything = f"SELECT * FROM {table}"
            assert sorted(two.old.ask(everything), key=repr) == sorted(two.new.ask(everything), key=repr), table
        assert two.old.ask("SHOW TABLES FROM shop") == [("acct",)]
        assert node.beside() == [f"{node.datadir.name}.before"]
        assert node.work(Stage.VERIFY), node.trouble
        assert node.beside() == [] and not (node.home / PLAN).exists()
        assert Folder.of(node.home, node.record).whole()


def test_rows_that_are_not_yet_equal_keep_the_old_directory(two: Two) -> None:
    with parted(two, "UPDATE acct SET bal = 101 WHERE id = 1", "CREATE TABLE only_old (id INT PRIMARY KEY)") as node:
        node.copied()
        two.old.do("SET GLOBAL super_read_only = OFF", "SET sql_log_bin = OFF")
        two.old.do("UPDATE shop.acct SET bal = 7 WHERE id = 1", "SET sql_log_bin = ON")
        assert not node.work(Stage.VERIFY) and "differ" in node.trouble
        assert node.beside() == [f"{node.datadir.name}.before"]


def test_the_copy_waits_until_the_merge_is_done_or_is_for_a_person(two: Two) -> None:
    with parted(two) as node:
        node.record = replace(node.record, merge=Merge.RUNNING)
        assert not node.work() and not node.trouble and node.untouched()
        assert node.returner.facts.doing == "waiting for the merge"
        node.record = replace(node.record, merge=Merge.WAITING)
        node.copied()


def failpoint(folder: Path, place: str) -> dict[str, str]:
    folder.mkdir(exist_ok=True)
    (folder / place).write_text("kill")
    return {**os.environ, VARIABLE: str(folder)}


def given(node: Node) -> Given:
    old, new = node.two.old.server, node.two.new.server
    own = Access(old.instance.socket, "kembar_rejoin", old.passwords.rejoin)
    theirs = Access(new.instance.socket, "kembar_rejoin", new.passwords.rejoin)
    return Given(node.datadir, node.home, own, theirs, node.donor, node.record)


def agent(node: Node, tmp_path: Path, place: str) -> subprocess.Popen[bytes]:
    """The node's agent as a process that dies at a place; 'never' is none."""
    told = tmp_path / "given.json"
    given(node).write(told)
    argv = [sys.executable, "-m", "tests.contract.cloningagent", str(told)]
    return subprocess.Popen(argv, env=failpoint(tmp_path / "failpoints", place))


@pytest.mark.parametrize("place", ["repair.before.copy", "repair.after.copy"])
def test_an_agent_that_is_killed_around_the_copy_begins_it_again(two: Two, tmp_path: Path, place: str) -> None:
    """Nobody wrote down that the copy is complete, so it counts as unfinished."""
    with parted(two) as node:
        assert agent(node, tmp_path, place).wait(COPIED_S) < 0
        assert node.server_uuid() == node.before and not (node.home / PLAN).exists()
        node.start_agent()
        node.copied()
        assert node.beside() == [f"{node.datadir.name}.before"]


@pytest.mark.parametrize("place", ["repair.before.unfollow", "repair.after.unfollow"])
def test_an_agent_that_is_killed_around_the_end_of_the_channels_ends_them_again(
    two: Two, tmp_path: Path, place: str
) -> None:
    with parted(two) as node:
        assert agent(node, tmp_path, "never").wait(COPIED_S) == NOT_YET
        node.start_agent()
        node.tick()
        assert agent(node, tmp_path, place).wait(COPIED_S) < 0
        assert agent(node, tmp_path, "never").wait(COPIED_S) == DONE


def test_an_agent_that_is_killed_while_it_copies_leaves_a_copy_that_its_successor_ends(
    two: Two, tmp_path: Path
) -> None:
    with parted(two) as node:
        node.said = node.ask("donor", {})
        started: list[subprocess.Popen[bytes]] = []
        with copying(node, lambda: started.append(agent(node, tmp_path, "never"))):
            (process,) = started
            process.kill()
            process.wait(30)
            assert two.old.ask(COPYING) == [("1",)]  # it goes on, though nobody waits for it
            node.start_agent()
            assert not node.work() and "still being ended" in node.trouble
        eventually(lambda: two.old.ask(COPYING) == [("0",)], 30)
        node.copied()


@pytest.mark.parametrize("renames", range(3))
def test_an_agent_that_is_killed_between_the_renames_finishes_them(two: Two, renames: int) -> None:
    with parted(two) as node:
        eventually(lambda: not node.work() and node.swap.state.planned != 0, COPIED_S)
        two.old.server.kill()
        number = node.record.id
        for source, target in ((node.datadir, node.swap.old(number)), (node.swap.copy(number), node.datadir))[:renames]:
            source.rename(target)
        node.start_agent()
        node.copied()
        assert node.server_uuid() != node.before


@contextmanager
def half_way(node: Node) -> Iterator[Callable[[], bool]]:
    """A copy whose donor has stopped for as long; what is yielded waits for its end: whether it was complete."""
    outcome: list[bool] = []
    thread = threading.Thread(target=lambda: outcome.append(node.work()), daemon=True)

    def ended() -> bool:
        thread.join(60)
        assert not thread.is_alive()
        return outcome[0] or bool(node.swap.state.planned)

    with copying(node, thread.start):
        yield ended
    thread.join(60)


def test_a_donor_that_dies_half_way_is_said_and_the_copy_is_begun_again_once_it_is_back(two: Two) -> None:
    with parted(two) as node:
        with half_way(node) as ended:
            two.new.server.kill()
            assert not ended()
        assert "clone_failed" in node.trouble and node.untouched()
        assert node.returner.facts.refusal == ""  # it may help to try again
        restart(two.new)
        two.new.server.database.set_writable()
        node.copied()


def test_a_copy_of_which_nothing_comes_any_more_ends_if_its_donor_does_not_serve(two: Two) -> None:
    """By itself it would wait for 300 s."""
    with parted(two) as node:
        with half_way(node) as ended:
            node.said = {"serves": False}
            assert not ended()
        assert "donor_not_primary" in node.trouble and node.untouched()
        node.said = {}
        node.copied()


def test_a_node_that_dies_half_way_begins_again(two: Two) -> None:
    with parted(two) as node:
        with half_way(node) as ended:
            two.old.server.kill()
            assert not ended()
        restart(two.old)
        assert node.server_uuid() == node.before
        node.copied()


def test_a_copy_that_nobody_wants_any_more_ends(two: Two) -> None:
    with parted(two) as node:
        with half_way(node) as ended:
            node.wanted = False
            assert not ended()
        assert "no longer asked for" in node.trouble and node.untouched()
        eventually(lambda: two.old.ask(COPYING) == [("0",)], 30)


def test_a_wrong_password_is_said_with_the_servers_words_and_the_right_one_helps(two: Two) -> None:
    with parted(two) as node:
        right = node.donor
        node.donor = replace(right, password="wrong")
        node.start_agent()
        assert not node.work()
        assert "clone_failed" in node.trouble and "Access denied" in node.trouble
        assert "wrong" not in node.trouble and node.untouched()
        node.donor = right
        node.start_agent()
        node.copied()


def test_a_node_without_a_certificate_gets_no_copy(two: Two) -> None:
    with parted(two) as node:
        right = node.donor
        node.donor = replace(right, tls=ChannelTls())
        node.start_agent()
        assert not node.work()
        assert "clone_failed" in node.trouble and "Access denied" in node.trouble and node.untouched()
        node.donor = right
        node.start_agent()
        node.copied()


def test_no_copy_is_begun_where_it_finds_no_room(two: Two) -> None:
    with parted(two) as node:
        node.facts = {"data_bytes": 1 << 60}
        assert not node.work() and node.trouble.startswith("no_space_side_by_side")
        assert node.untouched() and node.returner.facts.refusal == ""  # somebody may make room
        node.facts = {}
        node.copied()


def test_a_node_is_no_copy_of_one_that_does_not_serve(two: Two) -> None:
    with parted(two) as node:
        node.facts = {"serves": False}
        assert not node.work() and "donor_not_primary" in node.trouble and node.untouched()


def test_rows_that_a_copy_would_not_bring_are_named(two: Two) -> None:
    with parted(two) as node:
        two.new.do("CREATE TABLE shop.fleeting (id INT PRIMARY KEY) ENGINE = MEMORY")
        assert not node.work() and node.untouched()
        assert node.returner.facts.refusal.startswith("clone: non_innodb") and "shop.fleeting" in (
            node.returner.facts.refusal
        )


def test_a_person_may_let_one_go_on_that_was_refused(two: Two) -> None:
    with parted(two) as node:
        node.facts = {"version": "8.0.40"}
        assert not node.work() and "version_differs: 9." in node.returner.facts.refusal
        node.facts = {}
        node.record = replace(node.record, attempt=1)
        node.copied()
        assert (node.returner.facts.rung, node.returner.facts.refusal) == (Rung.CLONE, "")


def test_nothing_is_replaced_whose_evidence_is_not_whole(two: Two) -> None:
    with parted(two) as node:
        (*_, last) = Folder.of(node.home, node.record).files()
        content = last.read_bytes()
        last.write_bytes(content[:-1])
        assert not node.work() and node.untouched()
        assert node.returner.facts.refusal.startswith("clone: evidence_incomplete")


def test_what_was_written_since_the_evidence_was_kept_is_not_replaced(two: Two) -> None:
    with parted(two) as node:
        two.old.do("SET GLOBAL super_read_only = OFF", "DELETE FROM shop.acct")
        assert not node.work() and node.untouched()
        assert node.returner.facts.refusal.startswith("clone: evidence_incomplete")


def test_a_node_without_the_account_says_so(two: Two) -> None:
    with parted(two) as node:
        swap = Swap(node.datadir, node.home)
        cloner = Cloner(swap, node.home, None, lambda: rejoin_session(two.old), node.ask, lambda _: True)
        with pytest.raises(StepFailed, match=r"mysql\.clone"):
            cloner.work(node.record, lambda doing, percent: None)
