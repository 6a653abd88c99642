"""`kembar lab soak` on real servers: some seconds of what otherwise takes a night."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from lab.stand import KEMBAR

pytestmark = pytest.mark.lab


def test_a_short_soak_moves_nothing_and_tells_what_grew() -> None:
    name = f"{os.environ.get('KEMBAR_LAB', 'test')}soak"
    done = subprocess.run(
        [*KEMBAR, "lab", "soak", "--minutes", "0.3", "-o", "json"],
        env={**os.environ, "KEMBAR_LAB": name},
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert (found["failovers"], found["lost"], found["two_answerers"], found["violations"]) == (0, 0, 0, [])
    assert found["acknowledged"] > 500 and 0 < found["write_gap_max_ms"] < 15_000
    assert {name.partition("-")[0] for name in found["processes"]} == {"agent", "orchestrator"}
    for one in found["processes"].values():
        assert one["rss_mb"]["first"] > 5 and one["fds"]["first"] > 3 and one["threads"]["first"] >= 3
    held = [one for one in found["lease_margins"].values() if one["renewals"]]
    assert len(held) == 1 and sum(held[0]["tenths"]) == held[0]["renewals"] > 100
    assert held[0]["smallest_ms"] <= 600
