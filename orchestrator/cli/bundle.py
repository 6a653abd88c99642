"""`kembar support-bundle`: what somebody needs who was not there, in one file, without secrets."""

from __future__ import annotations

import io
import json
import os
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from orchestrator.cli import explain, status
from orchestrator.cli.client import path_of
from orchestrator.cli.exits import Exit, Failed
from orchestrator.cli.history import timeline
from orchestrator.cli.local import Local, journals, logs, of_files
from orchestrator.cli.options import Session, client_command
from orchestrator.cli.redaction import redacted, without_rows, without_values

INCIDENTS_MAX = 10
READ = click.Path(exists=True, dir_okay=False, path_type=Path)
# Name in the bundle -> path below that of the cluster. The audit needs role admin, and is left out without it.
PARTS = {
    "readiness": "/readiness",
    "actions": "/actions",
    "operations": "/operations",
    "events": "/events?limit=1000",
    "incidents": "/incidents",
    "reconcile": "/reconcile",
    "policy": "/policy/reconcile",
    "alerts": "/alerts",
    "audit": "/audit?limit=1000",
}


@click.command(name="support-bundle")
@client_command
@click.option(
    "--file", "target", type=click.Path(path_type=Path), help="Where to; else here, named by cluster and time."
)
@click.option("--include", "files", multiple=True, type=READ, help="A configuration file too.")
@click.option("--log", "log_files", multiple=True, type=READ, help="A log too; its end.")
def support_bundle(
    session: Session, target: Path | None, files: tuple[Path, ...], log_files: tuple[Path, ...]
) -> None:  # fmt: skip
    """Write status, events, timelines, redacted configuration and logs to a tar file that holds no secret."""
    local = of_files(files)
    if token_file := session.api.token_file:
        local.hide(Path(token_file))
    parts, left_out = _collected(session, local, log_files)
    cluster = session.named or session.api.settings.cluster or "kembar"
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    target = target or Path(f"kembar-{quote(cluster, safe='')}-{stamp}.tar.gz")
    parts["MANIFEST.json"] = json.dumps({"made": stamp, "parts": sorted(parts), "left_out": left_out}, indent=1)
    try:
        size = write(target, stamp, {name: redacted(text, local.secrets) for name, text in parts.items()})
    except OSError as error:
        raise Failed(Exit.FAILED, f"{target}: {error.strerror}", "--file PATH") from None
    session.say(f"{target}: {len(parts)} parts, {size} bytes", *(f"left out: {one}" for one in left_out))
    session.give({"file": str(target), "bytes": size, "parts": sorted(parts), "left_out": left_out})


def write(target: Path, folder: str, parts: dict[str, str]) -> int:
    """A file that only we can read, and never half of one; its size in bytes. Raises OSError."""
    half = target.with_name(f".{target.name}.half")
    descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream, tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, text in sorted(parts.items()):
            data = text.encode()
            about = tarfile.TarInfo(f"kembar-{folder}/{name}")
            about.size, about.mtime, about.mode = len(data), int(time.time()), 0o600
            tar.addfile(about, io.BytesIO(data))
    half.replace(target)
    return target.stat().st_size


def _collected(session: Session, local: Local, log_files: tuple[Path, ...]) -> tuple[dict[str, str], list[str]]:
    """Every part that can be had, and why the others cannot."""
    parts, left_out = dict(local.parts), list(local.left_out)
    sources: list[tuple[str, Callable[[], Iterator[tuple[str, str]]]]] = [
        ("status", lambda: _status(session)),
        *((name, lambda name=name: _part(session, name)) for name in PARTS),
        ("timelines", lambda: _timelines(session)),
        ("metrics", lambda: iter([("metrics.txt", str(session.api.call("GET", "/metrics").body))])),
    ]
    for what, read in sources:
        try:
            parts.update(read())
        except Failed as failed:
            left_out.append(f"{what}: {failed.format_message()}")
    for found in (logs(log_files), journals()):
        parts.update(found.parts)
        left_out += found.left_out
    return parts, left_out


def _status(session: Session) -> Iterator[tuple[str, str]]:
    shown = status.read_view(session)
    yield "status.json", _json(without_rows(shown))
    shown = without_values(shown)
    yield "status.txt", "\n".join(status.screen(shown, wide=True)) + "\n"
    yield "explain.txt", "\n".join(explain.lines(explain.explained(shown, []))) + "\n"


def _part(session: Session, name: str) -> Iterator[tuple[str, str]]:
    yield f"{name}.json", _json(without_rows(session.api.call("GET", path_of(session.cluster) + PARTS[name]).body))


def _timelines(session: Session) -> Iterator[tuple[str, str]]:
    incidents = session.api.call("GET", path_of(session.cluster, "incidents")).body["incidents"]
    for one in incidents[:INCIDENTS_MAX]:
        whole = session.api.call("GET", path_of(session.cluster, "incidents", str(one["id"]))).body
        whole = without_values(whole)
        yield f"incidents/{one['id']}.json", _json(whole)
        yield f"incidents/{one['id']}.txt", "\n".join(timeline(whole)) + "\n"


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"
