"""docs/evidence.md is made of the results as they are; what was not run has no row."""

from __future__ import annotations

import json

import pytest

from lab.evidence import main, page

BENCH = {
    "profile": "fast",
    "runs": 20,
    "write_outage_ms": {"p50": 100.1, "p95": 110.2, "p99": 119.9, "max": 120.0},
    "server_side_ms": {"p50": 70.0},
    "zookeeper_write_ms": {"p50": 4.0},
    "acknowledged": 1000,
    "lost": 0,
    "duplicates": 0,
    "two_answerers": 0,
    "phases_ms": {"detect": 5.0},
    "mysql_version": "9.7.4",
}
WHERE = {"date": "2026-11-26", "commit": "abc1234", "machine": "2 cores, 4 GB"}
SOAK = WHERE | {
    "minutes": 30.0,
    "profile": "fast",
    "failovers": 0,
    "acknowledged": 100000,
    "lost": 0,
    "two_answerers": 0,
    "write_gap_max_ms": 41.2,
    "processes": {"agent-db-a": {"rss_mb": {"first": 50.0, "last": 50.5, "growth": 0.5}}},
    "lease_margins": {
        "db-a": {"renewals": 9, "smallest_ms": 310.0, "tenths": []},
        "db-b": {"renewals": 0, "smallest_ms": None, "tenths": []},
    },
}
FAULTS = WHERE | {
    "passed": 31, "failed": 0, "not_run": 3, "acknowledged": 5000, "lost": 0, "duplicates": 0, "two_answerers": 0
}  # fmt: skip
RETURN = {
    "transactions": 1000, "database_mb": 100, "runs": 3, "seconds": {"p50": 5.9, "max": 6.9}, "merged": 2850,
    "phases": {"rewind": 0.8, "merge": 4.1}, "quarantined": 150, "unaccounted": 0, "checksums_equal": True,
    "gtid_sets_equal": False,
}  # fmt: skip
PAIRS = WHERE | {
    "profile": "default", "pairs": 10, "runs": 50, "reaction_ms": {"p50": 21.0, "p99": 80.5},
    "cpu_percent_per_pair": 1.2, "rss_mb_per_pair": 6.5, "zookeeper_writes_per_s": 140.1, "wrong": 0, "unasked": 1,
    "leaders": {"witness": 6, "db-b": 4}, "zookeeper_write_ms": {"p50": 4.0},
}  # fmt: skip
PROVISION = WHERE | {
    "steps": [
        {"what": "rolling_restart.yml", "took_s": 23.4, "changed": 7},
        {"what": "writes during rolling_restart.yml", "outage_ms": 61.2, "acknowledged": 5307, "lost": 0,
         "duplicates": 0, "two_answerers": 0},
    ],
}  # fmt: skip
ALL = {
    "faults-P0": FAULTS,
    "mutants": WHERE | {"found": 40, "planted": 41},
    "mysqld-crash": BENCH,
    "overhead": {"commit_ratio": 0.99, "mysql_version": "9.7.4"},
    "rejoin-rewind-100": RETURN,
    "sim": WHERE | {"seeds": 2000, "violations": 0, "line": "2000 seeds, 60 simulated hours, 0 violations"},
    "soak": SOAK,
}


def test_each_long_run_has_a_row_with_where_it_comes_from():
    text = "\n".join(page(ALL, "this machine", "def5678"))
    for name in ("faults-P0", "mutants", "sim", "soak"):
        assert f"| {name} | 2026-11-26 | abc1234 | 2 cores, 4 GB | " in text
    assert "found 40 of 41" in text and "2000 seeds, 60 simulated hours" in text
    assert "30 minutes, profile fast: failovers 0" in text and "agent-db-a +0.5 MB of 50.0" in text
    assert "smallest margin of the lease 310.0 ms" in text
    assert "passed 31, failed 0, not run 3" in text
    assert "| mysqld-crash | fast | 20 | 100.1 |" in text


def test_each_kind_of_return_has_a_row_that_does_not_hide_what_is_wrong():
    text = "\n".join(page(ALL, "this machine", "def5678"))
    row = "| rejoin-rewind-100 | 1000 | 100 | 3 | 5.9 | 6.9 | rewind 0.8, merge 4.1 | 2850 | 150 | 0 | yes | NO |"
    assert row in text.splitlines()


def test_each_number_of_pairs_has_a_row_in_their_order():
    both = {"pairs-10": PAIRS, "pairs-2": PAIRS | {"pairs": 2}}
    text = [line for line in page(both, "this machine", "def5678") if line.startswith("| pairs-")]
    costs = "21.0 | 80.5 | 1.2 | 6.5 | 140.1 | 4.0 | db-b 4, witness 6 | 0 | 1 |"
    assert text == [f"| pairs-{n} | 2026-11-26 | abc1234 | default | {n} | 50 | {costs}" for n in (2, 10)]


def test_what_was_not_run_has_no_row():
    text = "\n".join(page({"mysqld-crash": BENCH}, "this machine", "def5678"))
    assert "Long runs" not in text and "Many pairs" not in text and "Returns" not in text and "Overhead" not in text


def test_a_result_that_was_cut_off_is_told_and_nothing_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "soak.json").write_text(json.dumps(SOAK)[:50])
    assert main([str(tmp_path)]) == 1
    assert "soak.json" in capsys.readouterr().err and not (tmp_path / "docs/evidence.md").exists()


@pytest.mark.parametrize("folder", ["empty", "absent"])
def test_no_results_is_told(tmp_path, capsys, folder):
    (tmp_path / "empty").mkdir()
    assert main([str(tmp_path / folder)]) == 1
    assert "run make bench first" in capsys.readouterr().err


def test_each_playbook_has_a_row_and_so_has_who_wrote_meanwhile():
    lines = list(page({"provision": PROVISION}, "2 cores, 4 GB", "abc1234"))
    assert "| rolling_restart.yml | 23.4 | 7 |  |  |  |  |  |" in lines
    assert "| writes during rolling_restart.yml |  |  | 61.2 | 5307 | 0 | 0 | 0 |" in lines
