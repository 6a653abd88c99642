"""client.yaml: where the orchestrators are, with which token, and ZooKeeper for when none of them answers."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from orchestrator.cli.exits import Exit, Failed

SYSTEM_FILE = Path("/etc/kembar/client.yaml")


@dataclass(frozen=True, slots=True)
class Settings:
    """client.yaml."""

    endpoints: tuple[str, ...] = ()
    token_file: str = ""
    authority: str = ""  # whose certificates https endpoints must have; without it, the host's own list
    cluster: str = ""
    zookeeper: tuple[str, ...] = ()  # ADDRESS:PORT, for `status` when no orchestrator answers
    zookeeper_tls: Mapping[str, str] = field(default_factory=dict)  # authority, certificate, key
    vip: str = ""  # shown then

    @property
    def zookeeper_files(self) -> tuple[str, ...] | None:
        """Authority, certificate, key; None: plain TCP."""
        return tuple(self.zookeeper_tls[key] for key in FILES) if self.zookeeper_tls else None


KEYS = ("endpoints", "token_file", "authority", "cluster", "zookeeper", "zookeeper_tls", "vip")
FILES = ("authority", "certificate", "key")


def lab_file(environ: Mapping[str, str]) -> Path:
    """Where the lab leaves the client.yaml of its cluster."""
    state = environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state, "kembar", "lab", environ.get("KEMBAR_LAB") or "demo", "client.yaml")


def find_file(given: str | None, environ: Mapping[str, str]) -> Path | None:
    """The client.yaml that applies: named ones must exist, then a person's own, the host's, the lab's."""
    named = given or environ.get("KEMBAR_CLIENT")
    if named:
        return Path(named)
    # With KEMBAR_LAB the lab is meant, whatever else this host belongs to.
    usual = [Path.home() / ".config" / "kembar" / "client.yaml", SYSTEM_FILE, lab_file(environ)]
    if environ.get("KEMBAR_LAB"):
        usual.reverse()
    return next((path for path in usual if path.is_file()), None)


def read_settings(path: Path) -> Settings:
    """The file as Settings. Raises Failed with every mistake."""
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise Failed(Exit.USAGE, f"{path}: {error}") from None
    if not isinstance(content, dict):
        raise Failed(Exit.USAGE, f"{path}:1:1: file: expected keys, known here: {', '.join(KEYS)}")
    problems = [_unknown(path, str(key)) for key in content if key not in KEYS]
    for key in ("endpoints", "zookeeper"):
        value = content.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            problems.append(f"{path}: {key}: expected a list of texts")
    authority = str(content.get("authority") or "")
    if authority:
        problems += _unreadable(path, authority)
    files = content.get("zookeeper_tls", {})
    if files and not (isinstance(files, dict) and set(files) == set(FILES) and all(map(str, files.values()))):
        problems.append(f"{path}: zookeeper_tls: expected {', '.join(FILES)}, each a file in PEM")
    if problems:
        raise Failed(Exit.USAGE, "\n".join(problems))
    return Settings(
        endpoints=tuple(content.get("endpoints", ())),
        token_file=str(content.get("token_file") or ""),
        authority=authority,
        cluster=str(content.get("cluster") or ""),
        zookeeper=tuple(content.get("zookeeper", ())),
        zookeeper_tls={key: str(file) for key, file in (files or {}).items()},
        vip=str(content.get("vip") or ""),
    )


def _unreadable(path: Path, authority: str) -> list[str]:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=authority)
    except ssl.SSLError:
        return [f"{path}: authority: {authority} holds no certificate  hint: expected in PEM"]
    except OSError as error:
        return [f"{path}: authority: {authority}: {error.strerror}  hint: expected a certificate in PEM"]
    return []


def _unknown(path: Path, key: str) -> str:
    close = get_close_matches(key, KEYS, n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"known here: {', '.join(KEYS)}"
    return f"{path}: {key}: unknown key  hint: {hint}"
