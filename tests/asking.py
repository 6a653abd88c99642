"""schemathesis asks a running API what its description allows, and what it does not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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


def ask_everything(url: str, token: str, folder: Path) -> None:
    """Everything but the stream. `folder` is for its own files."""
    (folder / "schemathesis.toml").write_text(CONFIG)
    done = subprocess.run(
        [
            str(Path(sys.executable).parent / "schemathesis"),
            "--config-file",
            str(folder / "schemathesis.toml"),
            "run",
            f"{url}/openapi.json",
            "--checks",
            CHECKS,
            "--max-examples",
            EXAMPLES,
            "--seed",
            "5",
            "--header",
            f"Authorization: Bearer {token}",
            "--exclude-path-regex",
            "/stream$",
            "--no-color",
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=3600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
