"""Debian packages: a tree as it will be installed, packed by dpkg-deb with nothing of this machine in it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SCRIPTS = ("preinst", "postinst", "prerm", "postrm")


@dataclass(frozen=True, slots=True)
class Package:
    """One package; `python` is its relation to the interpreter, as control spells it."""

    name: str
    version: str
    python: str
    tree: Path


def arrange(package: Package, files: Path) -> None:
    """Copy the files that lie in the source as they will be installed; control's @MARKS@ are filled in."""
    shutil.copytree(files, package.tree)
    control = package.tree / "DEBIAN/control"
    text = control.read_text()
    for mark, value in (("VERSION", package.version), ("PYTHON", package.python), ("ARCHITECTURE", architecture())):
        text = text.replace(f"@{mark}@", value)
    control.write_text(text)


def architecture() -> str:
    said = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True)
    return said.stdout.strip()


def pack(package: Package, into: Path, date: int) -> Path:
    """The package as a file. Raises CalledProcessError."""
    for path in _inside_out(package.tree):
        if not path.is_symlink():
            path.chmod(_mode(path, package.tree))
        os.utime(path, (date, date), follow_symlinks=False)
    made = into / f"{package.name}_{package.version}_{architecture()}.deb"
    command = ["dpkg-deb", "--root-owner-group", "-Zxz", "--threads-max=1", "--build", str(package.tree), str(made)]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(date)}
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    return made


def _mode(path: Path, tree: Path) -> int:
    relative = path.relative_to(tree)
    program = relative.parent.name == "bin" or relative in [Path("DEBIAN", name) for name in SCRIPTS]
    return 0o755 if path.is_dir() or program else 0o644


def _inside_out(tree: Path) -> Iterator[Path]:
    """A folder after what is in it, whose changes would touch its time."""
    for folder, _, names in os.walk(tree, topdown=False):
        for name in names:
            yield Path(folder) / name
        for entry in Path(folder).iterdir():
            if entry.is_symlink() and entry.is_dir():
                yield entry
        yield Path(folder)
