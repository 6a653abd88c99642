"""`python -m packages.build DIRECTORY`: wheel and Debian packages of the tracked files, the same bytes each time.

What time it is, which umask the caller has, in which order files are listed and where the work tree lies has no part
in them: times are SOURCE_DATE_EPOCH, else that of the last commit; owners and modes are set, names sorted.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from packages.debian import Package, arrange, pack
from packages.manual import completions, man_pages
from packages.wheels import Target, build_wheel, downloaded, locked, pinned, unpack

ROOT = Path(__file__).resolve().parent.parent
FILES, LOCKS = ROOT / "packages/files", ROOT / "packages"
NAMES = ("kembar", "kembar-agent", "kembar-orchestrator")
PYTHON = Path("/usr/bin/python3")  # the distribution's own: the virtual environment stands on it
SITE = "opt/kembar/lib/python{}/site-packages"


def source_date() -> int:
    """SOURCE_DATE_EPOCH, else the time of the last commit: seconds since 1970."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given is not None:
        return int(given)
    said = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=True)
    return int(said.stdout)


def build(into: Path) -> tuple[Path, ...]:
    """The files made, in `into`: the wheel, and a package for each of NAMES. Raises CalledProcessError."""
    into.mkdir(parents=True, exist_ok=True)
    for stale in (*into.glob("kembar-*.whl"), *into.glob("kembar*.deb")):  # of another version: nobody installs both
        stale.unlink()
    date, target = source_date(), Target.of(PYTHON)
    with tempfile.TemporaryDirectory(prefix="kembar-packages-") as scratch:
        work = Path(scratch)
        wheel = build_wheel(ROOT, tracked(), work, into, date)
        version = wheel.name.split("-")[1]
        every = downloaded(LOCKS / "orchestrator.txt", target, work / "wheels")
        agents = locked(LOCKS / "agent.txt")
        wheels = {
            "kembar": [wheel, *(path for path in every if pinned(path) in agents)],
            "kembar-agent": [],
            "kembar-orchestrator": [path for path in every if pinned(path) not in agents],
        }
        made = [wheel]
        for name in NAMES:
            package = Package(name, version, target.debian_python, work / "tree" / name)
            arrange(package, FILES / name)
            unpack(wheels[name], package.tree / SITE.format(target.python))
            if name == "kembar":
                _environment(package, target)
                _documents(package, version, date)
            made.append(pack(package, into, date))
    return tuple(made)


def tracked() -> tuple[str, ...]:
    """What git knows, as it is in the work tree."""
    said = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return tuple(name for name in sorted(said.split("\0")) if name and (ROOT / name).is_file())


def _environment(package: Package, target: Target) -> None:
    """A virtual environment is a file beside a link to the interpreter: no program is needed to make one."""
    home = package.tree / "opt/kembar"
    (home / "pyvenv.cfg").write_text(f"home = {PYTHON.parent}\ninclude-system-site-packages = false\n")
    (home / "bin").mkdir(exist_ok=True)
    (home / "bin/python3").symlink_to(PYTHON.with_name(f"python{target.python}"))
    command = package.tree / "usr/bin/kembar"
    command.parent.mkdir(parents=True, exist_ok=True)
    command.symlink_to("../../opt/kembar/bin/kembar")


def _documents(package: Package, version: str, date: int) -> None:
    share = package.tree / "usr/share"
    completions(share)
    man_pages(share / "man/man1", version, date)
    examples = share / "doc/kembar/examples"
    examples.mkdir(parents=True, exist_ok=True)
    for example in sorted((ROOT / "templates").glob("*.example")):
        (examples / example.name.removesuffix(".example")).write_bytes(example.read_bytes())
    for name in ("README.md", "CHANGELOG.md"):
        (share / "doc/kembar" / name).write_bytes((ROOT / name).read_bytes())


def main(arguments: Sequence[str]) -> int:
    """Prints a line of SHA-256 and name for each file."""
    (into,) = arguments
    for path in build(Path(into)):
        sys.stdout.write(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
