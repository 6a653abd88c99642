"""Packages of a distribution, unpacked into the private cache and never installed. Owns the cache; runs none of them.

apt's own machinery does the work on private directories, so that mirrors, proxies and signature checks of the host
apply. The status file is empty, hence a closure is complete. That of another suite holds its own C library and
loader and runs on any host; that of the host's own release leaves the C library out, since the host has it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from lab.aptsources import Source, for_suite, of_release, parse_deb822, parse_one_line
from orchestrator.core.errors import Refused

APT_ETC = Path("/etc/apt")
LISTS_FRESH_S = 3600
HOST_HAS = ("libc6_",)  # a loader and a C library of different builds do not mix
MANIFEST = "kembar-packages.json"


def cache_dir() -> Path:
    """`$XDG_CACHE_HOME/kembar`, made if missing."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    path = Path(base) / "kembar"
    path.mkdir(parents=True, exist_ok=True)
    return path


def fetch(packages: Sequence[str], *, suite: str | None = None, closure: bool = True) -> Path:
    """The folder that holds the packages with all that they depend on, unpacked; fetched if it is not in the cache.

    `suite` None is the host's own release; without `closure` the named packages only (the closure of ZooKeeper's jars
    is a desktop of 215 packages). A second call returns at once; calls at the same time wait for the first, and one
    that was cut short leaves nothing that a later one would use. What is fetched is said on stderr. Raises Refused if
    the host has no apt or the download fails.
    """
    codename = _codename()
    root = cache_dir() / "roots" / f"{'+'.join(packages)}-{suite or codename}"
    if root.is_dir():
        return root
    with lock("fetch"):
        if not root.is_dir():
            leave_out = HOST_HAS if suite is None else ()
            _build(root, packages, _private_apt(codename, suite), closure=closure, leave_out=leave_out)
    return root


@contextmanager
def lock(name: str) -> Iterator[None]:
    """Hold the cache's lock of that name; it is released by the kernel when the process ends."""
    folder = cache_dir() / "locks"
    folder.mkdir(exist_ok=True)
    with (folder / name).open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def say(line: str) -> None:
    """One line for the person, on stderr: stdout belongs to the command's result."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def host_sources(etc: Path = APT_ETC) -> tuple[Source, ...]:
    """Every enabled binary source configured on the host, whatever its format."""
    files = [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]
    found: list[Source] = []
    for file in files:
        if file.is_file() and file.suffix in (".list", ".sources"):
            parse = parse_deb822 if file.suffix == ".sources" else parse_one_line
            found += parse(file.read_text(errors="replace"))
    return tuple(found)


def _codename() -> str:
    try:
        return platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    except OSError:
        return ""


def _private_apt(codename: str, suite: str | None) -> list[str]:
    """The options that keep apt-get inside the cache; the source list is written. Raises Refused without a source."""
    sources = host_sources()
    other = None if suite is None else for_suite(sources, codename, suite)
    chosen = of_release(sources, codename) if suite is None else (other,) if other is not None else ()
    if not chosen or shutil.which("apt-get") is None:
        raise Refused(f"no apt source of {codename or 'this release'} is configured here: nothing can be fetched")
    base = cache_dir() / "apt" / (suite or codename)
    for folder in ("state/lists/partial", "cache/archives/partial"):
        (base / folder).mkdir(parents=True, exist_ok=True)
    listed = base / "kembar.sources"  # the extension tells apt the format
    listed.write_text("\n".join(source.render() for source in chosen))
    (base / "status").touch()
    options = {
        "Dir::State": base / "state",
        "Dir::State::status": base / "status",
        "Dir::Cache": base / "cache",
        "Dir::Etc::SourceList": listed,
        "Dir::Etc::SourceParts": "-",
        "Dir::Etc::Preferences": "/dev/null",
        "Dir::Etc::PreferencesParts": "-",
        "Acquire::Languages": "none",
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root" if os.geteuid() == 0 else "",  # the cache may be readable to us alone
    }
    return [part for key, value in options.items() for part in ("-o", f"{key}={value}")]


def _build(
    root: Path, packages: Sequence[str], apt: Sequence[str], *, closure: bool, leave_out: tuple[str, ...]
) -> None:
    """Download and unpack beside the final place, then rename: a folder of the final name is always complete."""
    root.parent.mkdir(parents=True, exist_ok=True)
    for stale in root.parent.glob(".unfinished-*"):  # of a run that was killed; we hold the lock
        shutil.rmtree(stale)
    with tempfile.TemporaryDirectory(dir=root.parent, prefix=".unfinished-") as scratch:
        archives, tree = Path(scratch) / "archives", Path(scratch) / "tree"
        (archives / "partial").mkdir(parents=True)
        tree.mkdir()
        say(f"kembar: fetching {' '.join(packages)}{' and what it depends on' if closure else ''} into {root}")
        verb = ["-y", "--download-only", "install"] if closure else ["download"]
        _download([*verb, *packages], apt, archives)
        debs = sorted(deb for deb in archives.glob("*.deb") if not deb.name.startswith(leave_out))
        _unpack(debs, tree)
        _relative_links(tree)
        digests = {deb.name: hashlib.sha256(deb.read_bytes()).hexdigest() for deb in debs}
        (tree / MANIFEST).write_text(json.dumps(digests, indent=1))
        tree.rename(root)


def _download(command: Sequence[str], apt: Sequence[str], archives: Path) -> None:
    """Run it on package lists younger than an hour; if it fails with lists that were not just made, make them anew."""
    stamp = _lists_stamp(apt)
    fresh = stamp.exists() and time.time() - stamp.stat().st_mtime < LISTS_FRESH_S
    for update in (False, True) if fresh else (True,):
        if update:
            _apt_get([*apt, "update"], "package lists", archives)
            stamp.touch()
        try:
            _apt_get([*apt, "-o", f"Dir::Cache::archives={archives}", *command], "packages", archives)
        except Refused:
            if update:
                raise
        else:
            return


def _lists_stamp(apt: Sequence[str]) -> Path:
    status = next(option for option in apt if option.startswith("Dir::State::status="))
    return Path(status.partition("=")[2]).with_name("lists-updated")


def _apt_get(arguments: Sequence[str], what: str, folder: Path) -> None:
    """Run apt-get in that folder (`download` leaves its files there), its progress as a bar on stderr.

    Raises Refused with apt's own last words.
    """
    read_end, write_end = os.pipe()
    draw = bar(what)
    with tempfile.TemporaryFile("w+") as output, os.fdopen(read_end) as progress:
        with subprocess.Popen(
            ["apt-get", "-q", "-o", f"APT::Status-Fd={write_end}", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=(write_end,),
            cwd=folder,
            env={**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
        ) as process:
            os.close(write_end)
            for line in progress:
                kind, _, rest = line.partition(":")
                if kind == "dlstatus":
                    draw(float(rest.split(":")[1]) / 100)
        if process.returncode != 0:
            output.seek(0)
            last = "\n".join(output.read().splitlines()[-8:])
            raise Refused(f"apt-get could not fetch {what} (exit {process.returncode}):\n{last}")
    draw(1.0)


def bar(what: str, width: int = 30) -> Callable[[float], None]:
    """A progress bar on stderr: call it with a part from 0 to 1. Off a terminal only the end is said."""
    done = False

    def draw(part: float) -> None:
        nonlocal done
        if done:
            return
        done = part >= 1
        if sys.stderr.isatty():
            filled = int(width * min(part, 1.0))
            end = "\n" if done else ""
            sys.stderr.write(f"\r  [{'#' * filled}{'.' * (width - filled)}] {part:4.0%} {what}{end}")
            sys.stderr.flush()
        elif done:
            say(f"  {what}: done")

    return draw


def _unpack(debs: Sequence[Path], tree: Path) -> None:
    draw = bar(f"unpacking {len(debs)} packages")
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        tasks = [pool.submit(_unpack_one, deb, tree) for deb in debs]
        for count, task in enumerate(tasks, 1):
            task.result()
            draw(count / len(tasks))


def _unpack_one(deb: Path, tree: Path) -> None:
    done = subprocess.run(["dpkg-deb", "-x", str(deb), str(tree)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Refused(f"{deb.name} could not be unpacked: {done.stderr.strip()}")


def _relative_links(tree: Path) -> None:
    """Point absolute links into the tree itself: Java's own configuration is reached through links into /etc."""
    for folder, folders, files in os.walk(tree):
        for name in (*folders, *files):
            path = Path(folder) / name
            if path.is_symlink() and (target := path.readlink()).is_absolute():
                inside = tree / target.relative_to("/")
                if inside.exists() or inside.is_symlink():
                    path.unlink()
                    path.symlink_to(os.path.relpath(inside, path.parent))


def main(packages: Sequence[str]) -> int:
    """`python -m lab.fetch PACKAGE...`: fetch just these of the host's release, print the folder. For `make setup`."""
    try:
        sys.stdout.write(f"{fetch(packages, closure=False)}\n")
    except Refused as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
