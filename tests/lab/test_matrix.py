"""The fault matrix, priority 0, on a lab of its own: `kembar lab faults --priority P0`."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from lab.stand import KEMBAR

pytestmark = pytest.mark.lab


def test_no_fault_of_priority_0_loses_a_write_or_brings_two_answerers():
    done = subprocess.run(
        [*KEMBAR, "lab", "faults", "--priority", "P0", "-o", "json"],
        env={**os.environ, "KEMBAR_LAB": "test_faults"},
        stdout=subprocess.PIPE,
        text=True,
        timeout=7200,  # eight minutes on two cores that have nothing else to do
        check=False,
    )
    found = json.loads(done.stdout)
    sys.stderr.write(f"{ {key: value for key, value in found.items() if key != 'scenarios'} }\n")

    wrong = [one for one in found["scenarios"] if one["outcome"] == "failed"]
    assert not wrong, json.dumps(wrong, indent=1)
    assert (found["failed"], found["lost"], found["duplicates"], found["two_answerers"]) == (0, 0, 0, 0)
    assert found["passed"] > 0 and found["acknowledged"] > 0
    assert done.returncode == 0
