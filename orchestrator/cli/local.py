"""What a support bundle takes from this host: configuration without its secrets, the ends of logs, the journal."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.cli.redaction import LEFT_OUT, secrets_of

USUAL = tuple(Path("/etc/kembar", name) for name in ("agent.yaml", "orchestrator.yaml", "client.yaml"))
UNITS = ("kembar-agent", "kembar-orchestrator")
LOG_BYTES_MAX = 2 * 1024 * 1024
SECRET_BYTES_MAX = 64 * 1024
JOURNAL_S = 20.0


@dataclass(slots=True)
class Local:
    """Parts of a bundle, what must not be in any of them, and what could not be had."""

    parts: dict[str, str] = field(default_factory=dict)
    secrets: set[str] = field(default_factory=set)
    left_out: list[str] = field(default_factory=list)

    def hide(self, path: Path) -> None:
        """No part may hold what this file holds."""
        try:
            self.secrets.update(held(path))
        except OSError as error:
            self.left_out.append(f"{path}: {error.strerror}, so it is not known what to look for in the logs")


def of_files(more: Iterable[Path]) -> Local:
    """The usual configuration files that are there, and those named, which must be."""
    import yaml

    found, named = Local(), tuple(more)
    for path in (*(one for one in USUAL if one.is_file()), *named):
        try:
            text = path.read_text(encoding="utf-8")
            value = yaml.safe_load(text)
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            # What cannot be understood may hold a secret anywhere.
            found.left_out.append(f"{path}: {type(error).__name__}")
            continue
        secrets, files = secrets_of(value)
        found.secrets.update(secrets)
        for name in files:
            found.hide(Path(name))
        for secret in secrets:
            text = text.replace(secret, LEFT_OUT)
        found.parts[f"config/{path.name}" if f"config/{path.name}" not in found.parts else f"config{path}"] = text
    return found


def logs(files: Iterable[Path]) -> Local:
    """The end of each."""
    found = Local()
    for path in files:
        try:
            with path.open("rb") as stream:
                stream.seek(max(path.stat().st_size - LOG_BYTES_MAX, 0))
                text = stream.read().decode(errors="replace")
        except OSError as error:
            found.left_out.append(f"{path}: {error.strerror}")
            continue
        found.parts[f"logs{path.absolute()}"] = text
    return found


def journals() -> Local:
    """The last lines of our units in this host's journal, where there is one."""
    found, program = Local(), shutil.which("journalctl")
    if program is None:
        found.left_out.append("journal: this host has no journalctl")
        return found
    for unit in UNITS:
        command = [program, "--no-pager", "--quiet", "--output=short-iso-precise", "--lines=5000", f"--unit={unit}"]
        try:
            done = subprocess.run(command, capture_output=True, timeout=JOURNAL_S, check=False)
        except subprocess.TimeoutExpired:
            found.left_out.append(f"journal of {unit}: journalctl gave no answer in {JOURNAL_S:.0f} s")
            continue
        text = done.stdout.decode(errors="replace")
        if text:
            found.parts[f"logs/journal-{unit}.txt"] = text
        else:
            found.left_out.append(f"journal of {unit}: {done.stderr.decode(errors='replace').strip() or 'no line'}")
    return found


def held(path: Path) -> set[str]:
    """What a file of secrets holds: the whole of it, or the secrets in it if it is YAML. Raises OSError."""
    import yaml

    text = path.read_text(encoding="utf-8", errors="replace")[:SECRET_BYTES_MAX]
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = None
    inner = secrets_of(value)[0] if isinstance(value, dict | list) else []
    return {text.strip(), *inner}
