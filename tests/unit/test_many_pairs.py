"""One orchestrator of many pairs: who leads which, what a signal does to them, and whom a command is about."""

from __future__ import annotations

import os
import signal
import urllib.request
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from builders import NOW, PAIR, STEADY
from carrier import Carrier
from pairs import healthy

from lab.processes import kill, spawn
from lab.stand import KEMBAR, listen, wait_for
from orchestrator.cli.exits import NAMES_MAX, which_cluster
from orchestrator.config.load import load
from orchestrator.config.orchestrator import OrchestratorConfig
from orchestrator.coordination.paths import Paths
from orchestrator.core.history import Recent
from orchestrator.core.model import Cluster, Mode, Phase, Policy
from orchestrator.core.ports import Seen, Stored
from orchestrator.core.requests import Pause
from orchestrator.core.wire import encode
from orchestrator.hangup import reread
from orchestrator.loop import RESIGN_AFTER_S, Orchestrator, lot_of
from orchestrator.watching import Watching
from tests.fakes import FakeClock, FakeCoordinator

THREE = ("one", "two", "three")


# --- leaders


class Leading:
    """The election of an orchestrator that leads until it resigns."""

    tenure: tuple[int, int] | None = (12, 3)

    def resign(self) -> None:
        self.tenure = None

    def recheck(self) -> None:
        raise AssertionError("nothing was written")


@dataclass
class Watched:
    """What a pair at rest shows, with these candidates."""

    paths: Paths
    candidates: tuple[str, ...]
    cluster: Cluster = STEADY

    def snapshot(self) -> dict[str, Seen]:
        records = {
            self.paths.desired: self.cluster,
            self.paths.policy: Policy(),
            self.paths.pause: Pause(),
            self.paths.recent: Recent(),
        }
        seen = {path: Seen(Stored(encode(record), 1), NOW) for path, record in records.items()}
        stand = [f"{self.paths.candidate_prefix(name)}{number:010d}" for number, name in enumerate(self.candidates)]
        return seen | {path: Seen(Stored(b"", 0), NOW) for path in stand}


def leads_for(owner: str, watched: Watched, at_most_s: float = 60.0) -> float:
    """Seconds until `owner` makes way for another; `at_most_s` if it does not."""
    clock, leading = FakeClock(NOW), Leading()
    loop = Orchestrator(
        owner, watched.paths, PAIR, clock, FakeCoordinator(), watched, leading, Watching(watched.paths, PAIR),
        lambda look: None,
    )  # fmt: skip
    while leading.tenure is not None and clock.now - NOW < at_most_s:
        clock.now += 0.5
        loop.tick()
    return clock.now - NOW


def test_of_many_pairs_each_orchestrator_leads_its_share():
    best = Counter(min(THREE, key=lambda name: lot_of(f"pair-{number}", name)) for number in range(300))
    assert set(best) == set(THREE) and min(best.values()) > 70


@pytest.mark.parametrize("owner", THREE)
def test_who_leads_another_s_share_makes_way_and_the_best_stays(owner):
    for cluster in ("shop", "stock", "pair-7"):
        took_s = leads_for(owner, Watched(Paths(cluster), THREE))
        if owner == min(THREE, key=lambda name: lot_of(cluster, name)):
            assert took_s >= 60.0
        else:
            assert RESIGN_AFTER_S <= took_s <= 2 * RESIGN_AFTER_S + 1


def test_they_do_not_all_change_hands_at_once():
    took = []
    for number in range(20):
        worst = max(THREE, key=lambda name: lot_of(f"pair-{number}", name))
        took.append(leads_for(worst, Watched(Paths(f"pair-{number}"), THREE)))
    assert len(set(took)) > 5


def test_a_share_is_no_reason_to_change_leaders_in_a_failover():
    worst = max(THREE, key=lambda name: lot_of("shop", name))
    busy = replace(STEADY, phase=Phase.REJOINING, mode=Mode.ASYNC, promotable=None)
    assert leads_for(worst, Watched(Paths("shop"), THREE, busy), 30.0) >= 30.0


def test_a_host_apart_from_the_pair_comes_before_any_lot():
    assert leads_for("db-b", Watched(Paths("shop"), ("db-b", "one"))) == RESIGN_AFTER_S + 0.5
    assert leads_for("one", Watched(Paths("shop"), ("db-b", "one"))) >= 60.0


# --- the file


CONFIG = """\
name: witness
listen: 127.0.0.1:0
anonymous_viewers: true
zookeeper: {{hosts: ["127.0.0.1:1"]}}
clusters:
{clusters}"""
CLUSTER = """\
  - name: {name}
    nodes: [{{name: a, address: 192.0.2.{at}1}}, {{name: b, address: 192.0.2.{at}2}}]
    vip: {{address: 192.0.2.{at}3, subnet: 192.0.2.0/24}}
"""


def written(path: Path, *names: str) -> Path:
    clusters = "".join(CLUSTER.format(name=name, at=at + 1) for at, name in enumerate(names))
    path.write_text(CONFIG.format(clusters=clusters).replace(":0\n", ":8080\n"))
    return path


def test_a_file_that_is_read_again_is_judged_and_not_taken_over(tmp_path):
    path = written(tmp_path / "orchestrator.yaml", "shop", "stock")

    def read() -> OrchestratorConfig:
        return load(OrchestratorConfig, path, {})

    present = read()
    assert reread(present, read) == (True, "the file says what is in force")
    written(path, "shop", "bank")
    path.write_text(path.read_text() + "log: {level: debug}\n")
    good, text = reread(present, read)
    assert good and "clusters added: bank; clusters removed: stock; keys changed: log" in text and "restart" in text
    written(path, "shop", "shop")
    good, text = reread(present, read)
    assert not good and f"{path}:9:11: clusters[1].name: 'shop' is listed twice" in text and "in force" in text

    def replaced() -> OrchestratorConfig:
        raise FileNotFoundError(2, "No such file or directory", "page.pem")

    good, text = reread(present, replaced)
    assert not good and "page.pem" in text and "in force" in text


def test_a_hangup_ends_no_orchestrator(tmp_path):
    path = written(tmp_path / "orchestrator.yaml", "shop")
    with listen(0) as listening:  # a port that was only free a moment ago may be another test's by now
        at = f"127.0.0.1:{listening.getsockname()[1]}"
        program = spawn(
            [*KEMBAR, "orchestrator", "-c", str(path)], lab_dir=tmp_path, name="program",
            log_path=tmp_path / "log", pass_fds=(listening.fileno(),),
        )  # fmt: skip
    try:
        wait_for(lambda: answers(f"http://{at}/healthz"), 60.0, "no answer")
        for _ in range(2):
            os.kill(program, signal.SIGHUP)
            assert answers(f"http://{at}/healthz")
        os.kill(program, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(program, 0)[1]) == 0
    finally:
        kill(tmp_path, "program")


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.status == 200
    except OSError:
        return False


# --- whom it is about


def test_one_pair_that_nothing_is_known_of_does_not_make_the_others_unready():
    lost = replace(healthy(), name="lost", connected=False)
    carrier = Carrier()
    both = replace(carrier.backend(), snapshots=lambda: {"lost": lost, "shop": carrier.snapshot})
    assert both.ready() and not replace(both, snapshots=lambda: {"lost": lost}).ready()
    assert not replace(both, snapshots=dict).ready()


def test_a_command_that_names_none_of_many_is_told_some_of_them():
    names = [f"pair-{number}" for number in range(200)]
    assert which_cluster(names).message.endswith(f"|{names[NAMES_MAX - 1]}, and 180 more")
    assert which_cluster(["shop", "stock"]).message == "which cluster? --cluster shop|stock"
    assert which_cluster([]).message == "which cluster? --cluster NAME"
