"""`kembar lab bench pairs`: real ZooKeeper, real orchestrators, three pairs of simulated agents."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from lab.stand import KEMBAR

pytestmark = pytest.mark.lab
PAIRS, DEATHS = 3, 5


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*KEMBAR, "lab", "bench", *arguments],
        env={**os.environ, "KEMBAR_LAB": f"{os.environ.get('KEMBAR_LAB', 'test')}pairs"},
        capture_output=True,
        text=True,
        timeout=1200,
    )


def test_each_pair_has_one_leader_and_every_death_is_followed_by_the_right_decision() -> None:
    done = bench("pairs", "--pairs", str(PAIRS), "--runs", str(DEATHS), "-o", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert (found["pairs"], found["runs"], found["wrong"], found["unasked"]) == (PAIRS, DEATHS, 0, 0)
    assert sum(found["leaders"].values()) == PAIRS and set(found["leaders"]) <= {"db-b", "witness"}
    assert set(found["reaction_ms"]) == {"p50", "p99"} and len(found["reactions_ms"]) == DEATHS
    assert 0 < found["reaction_ms"]["p50"] <= found["reaction_ms"]["p99"]
    assert found["cpu_percent_per_pair"] > 0 and found["rss_mb_per_pair"] > 0
    assert found["zookeeper_writes_per_s"] > 2 * PAIRS  # each pair renews a lease and tells two reports
    assert {name.partition("-")[0] for name in found["processes"]} == {"orchestrator", "simulated", "zookeeper"}
    assert "3 pairs are ready to fail over" in done.stderr


BAD = {
    "none": (["pairs", "--pairs", "0"], "0 is not in the range 1<=x<=16384"),
    "less than none": (["pairs", "--pairs", "-3"], "-3 is not in the range"),
    "no number": (["pairs", "--pairs", "many"], "'many' is not a valid integer range"),
    "of a bench of one pair": (["page", "--pairs", "3"], "--pairs is for pairs, not page"),
}


@pytest.mark.parametrize(("arguments", "said"), BAD.values(), ids=BAD)
def test_a_number_of_pairs_that_is_none_is_refused_before_anything_starts(arguments: list[str], said: str) -> None:
    done = bench(*arguments)
    assert (done.returncode, done.stdout) == (2, "") and said in done.stderr
