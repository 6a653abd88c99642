"""Wheels: ours, built from the tracked files alone; those it needs, by the hashes of a lock; and unpacking them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from zipfile import ZipFile

PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")


@dataclass(frozen=True, slots=True)
class Target:
    """The interpreter that the packages are for: `3.11`."""

    python: str

    @classmethod
    def of(cls, interpreter: Path) -> Self:
        asked = [str(interpreter), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        return cls(subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip())

    @property
    def debian_python(self) -> str:
        """The relation of a package with compiled modules to its interpreter."""
        major, minor = map(int, self.python.split("."))
        return f"python3 (>= {self.python}~), python3 (<< {major}.{minor + 1}~), python{self.python}"


def build_wheel(root: Path, names: Iterable[str], work: Path, into: Path, date: int) -> Path:
    """The wheel of these files of `root`, in `into`. Raises CalledProcessError."""
    source = work / "source"
    for name in names:
        copy = source / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / name, copy)
        copy.chmod(0o644)
    command = [*PIP, "wheel", "--no-deps", "--no-cache-dir", "--wheel-dir", str(into), str(source)]
    # The umask is in the modes of what setuptools writes itself.
    subprocess.run(command, check=True, env={**os.environ, "SOURCE_DATE_EPOCH": str(date)}, umask=0o022)
    (wheel,) = into.glob("kembar-*.whl")
    return wheel


def downloaded(lock: Path, target: Target, into: Path) -> tuple[Path, ...]:
    """The wheels that a lock names for the target, each with the hash that is written there."""
    command = [*PIP, "--quiet", "download", "--require-hashes", "--no-deps", "--only-binary=:all:"]
    command += ["--python-version", target.python, "--implementation", "cp", "--dest", str(into), "-r", str(lock)]
    subprocess.run(command, check=True)
    return tuple(sorted(into.glob("*.whl")))


def locked(lock: Path) -> frozenset[str]:
    """What a lock names: `aiohttp==3.14.5`."""
    return frozenset(re.findall(r"^([a-z0-9-]+==[^ ;]+)", lock.read_text(), re.M))


def pinned(wheel: Path) -> str:
    """A wheel as a lock names it."""
    name, version = wheel.name.split("-")[:2]
    return f"{name.lower().replace('_', '-')}=={version}"


def unpack(wheels: Iterable[Path], site: Path) -> None:
    """What the wheels hold, where Python finds it. None of ours has scripts or data that belong elsewhere."""
    for wheel in wheels:
        with ZipFile(wheel) as archive:
            elsewhere = [name for name in archive.namelist() if name.split("/")[0].endswith(".data")]
            if elsewhere:
                raise ValueError(f"{wheel.name}: {elsewhere[0]} does not belong into site-packages")
            archive.extractall(site)
