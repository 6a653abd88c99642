"""A clean Debian in a folder, made by debootstrap from the host's own package source, and overlays on it.

The made one lies in the cache and is never changed; who needs one that changes lays an overlay over it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lab.aptsources import for_suite
from lab.fetch import cache_dir, fetch, host_sources, lock, say
from orchestrator.core.errors import Refused

FORMAT = 1  # grows when a made one would be another


def clean_root(codename: str, packages: Sequence[str]) -> Path:
    """The folder of a minimal Debian of that release with these packages and what they depend on. Root only.

    Made once, in a minute or more. Raises Refused with debootstrap's last words, or without a package source.
    """
    named = hashlib.sha256("\n".join((str(FORMAT), *sorted(packages))).encode()).hexdigest()[:12]
    root = cache_dir() / "debian" / f"{codename}-{named}"
    if root.is_dir():
        return root
    with lock("debian"):
        if not root.is_dir():
            _make(codename, packages, root)
    return root


def _make(codename: str, packages: Sequence[str], root: Path) -> None:
    source = for_suite(host_sources(), codename, codename)
    if source is None:
        raise Refused(f"no apt source of {codename} is configured here: no Debian can be made")
    work = root.with_name(f".unfinished-{root.name}")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    say(f"kembar: making a clean Debian {codename} with {len(packages)} more packages in {root}")
    program, environment = _debootstrap()
    command = [*program, "--variant=minbase", f"--include={','.join(packages)}", codename, str(work), source.uris[0]]
    if source.signed_by is not None and source.signed_by.startswith("/"):
        command.insert(-3, f"--keyring={source.signed_by}")
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})
    if done.returncode != 0:
        raise Refused(f"debootstrap ended with {done.returncode}:\n" + "\n".join(done.stdout.splitlines()[-8:]))
    shutil.rmtree(work / "var/cache/apt/archives")
    (work / "var/cache/apt/archives/partial").mkdir(parents=True)
    work.rename(root)


def _debootstrap() -> tuple[list[str], dict[str, str]]:
    """The host's own, else a fetched one: it is a shell script with a folder beside it."""
    found = shutil.which("debootstrap", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is not None:
        return [found], {}
    fetched = fetch(("debootstrap",), closure=False)
    return ["/bin/sh", str(fetched / "usr/sbin/debootstrap")], {
        "DEBOOTSTRAP_DIR": str(fetched / "usr/share/debootstrap")
    }


@contextmanager
def overlay(root: Path, place: Path) -> Iterator[Path]:
    """A root that looks like `root` and may be changed, for as long as the block lasts; its changes lie in `place`."""
    changes, work, merged = (place / name for name in ("changes", "work", "root"))
    for folder in (changes, work, merged):
        folder.mkdir(parents=True)
    options = f"lowerdir={root},upperdir={changes},workdir={work}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, str(merged)], check=True)
    try:
        yield merged
    finally:
        subprocess.run(["umount", "--lazy", str(merged)], check=True)
