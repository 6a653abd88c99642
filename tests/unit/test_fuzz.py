"""The API is asked what its description allows, and what it does not: it answers as described, and never fails."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from carrier import Carrier
from kept_pairs import OVER, returned
from test_cli import served

from monitoring.backend import Backend
from orchestrator.core.snapshot import Snapshot

# Of each call and phase; `make fuzz RUNS=500` takes its time.
EXAMPLES = os.environ.get("KEMBAR_API_EXAMPLES", "3")
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,"
    "negative_data_rejection,unsupported_method"
)
# An If-Match that is none of ours may as well be that of another world.
CONFIG = """
[checks]
negative_data_rejection.expected-statuses = [400, 401, 403, 404, 405, 409, 412, 415, 422, 428, 429]
"""


class Brisk(Carrier):
    """Each look at its pair is 20 s later: nothing is waited for, and nobody asks for too much at once."""

    def backend(self) -> Backend:
        def fresh() -> dict[str, Snapshot]:
            self.now_s += 20.0
            return {self.snapshot.name: replace(self.snapshot, taken=self.now_s)}

        return replace(super().backend(), snapshots=fresh)


def test_whatever_is_asked_is_answered(tmp_path: Path) -> None:
    carrier = Brisk(returned(), reports={7: OVER})
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    with served(carrier) as url:
        done = subprocess.run(
            [
                str(Path(sys.executable).parent / "schemathesis"),
                "--config-file",
                str(tmp_path / "schemathesis.toml"),
                "run",
                f"{url}/openapi.json",
                "--checks",
                CHECKS,
                "--max-examples",
                EXAMPLES,
                "--seed",
                "5",
                "--header",
                "Authorization: Bearer adam-secret",
                "--exclude-path-regex",
                "/stream$",
                "--no-color",
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=3600,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
