"""Programs of the host that the lab needs: found where they are, else fetched and wrapped so that a path is enough.

A fetched program comes from the host's own release and runs with the host's C library; the wrapper only names the
folder of its other libraries. Nothing is installed.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

from lab.fetch import cache_dir, fetch
from orchestrator.core.errors import Refused

PACKAGES = {
    "nft": "nftables",
    "ip": "iproute2",
    "ss": "iproute2",
    "tc": "iproute2",
    "bridge": "iproute2",
    "nsenter": "util-linux",
    "java": "default-jre-headless",
    "logrotate": "logrotate",
}
_PLACES = ("usr/sbin", "usr/bin", "sbin", "bin", "usr/lib/jvm/*/bin")


@dataclass(frozen=True, slots=True)
class SharedLibrary:
    """A library for ctypes. `folder` must be in LD_LIBRARY_PATH when the process starts; None: the host has it."""

    path: str
    folder: Path | None

    def environment(self) -> dict[str, str]:
        """What a process needs that loads it: KEMBAR_LIBNFTABLES and, if it was fetched, LD_LIBRARY_PATH."""
        found = {"KEMBAR_LIBNFTABLES": self.path}
        if self.folder is not None:
            found["LD_LIBRARY_PATH"] = ":".join(filter(None, (str(self.folder), os.environ.get("LD_LIBRARY_PATH"))))
        return found


def program(name: str) -> Path:
    """The path of a program: the host's own, also in sbin, else a wrapper in the cache around a fetched one.

    Raises KeyError for a name that no package is known for, Refused if it cannot be fetched.
    """
    package = PACKAGES[name]
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/bin:/bin")
    if found is not None:
        return Path(found)
    root = fetch((package,))
    for place in _PLACES:
        for path in sorted(root.glob(f"{place}/{name}")):
            return _wrapper(name, path, library_folder(root))
    raise Refused(f"{name} is not in the package {package} as fetched; install it, then try again")


def search_path() -> str:
    """PATH for processes of the lab: the folders of fetched programs come after the host's own."""
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:{cache_dir() / 'bin'}"


def libnftables() -> SharedLibrary:
    """libnftables of the host, else a fetched one. Raises Refused if it cannot be fetched."""
    if (found := ctypes.util.find_library("nftables")) is not None:
        return SharedLibrary(found, None)
    root = fetch(("nftables",))
    folder = library_folder(root)
    return SharedLibrary(str(next(path for path in sorted(folder.glob("libnftables.so.1")))), folder)


def library_folder(root: Path) -> Path:
    """The folder of a fetched root's libraries; those that older releases keep in /lib are linked into it."""
    folder = next(path for path in sorted(root.glob("usr/lib/*-linux-gnu*")) if path.is_dir())
    for library in sorted((root / "lib").glob(f"{folder.name}/*.so*")):
        link = folder / library.name
        if not link.is_symlink() and not link.exists():
            try:
                link.symlink_to(os.path.relpath(library, folder))
            except FileExistsError:  # another process was first
                continue
    return folder


def _wrapper(name: str, program_path: Path, libraries: Path) -> Path:
    """A script of that name which becomes the program, so that the pid is the program's."""
    folder = cache_dir() / "bin"
    folder.mkdir(exist_ok=True)
    script = folder / name
    text = f'#!/bin/sh\nLD_LIBRARY_PATH={shlex.quote(str(libraries))} exec {shlex.quote(str(program_path))} "$@"\n'
    if not script.exists() or script.read_text() != text:
        fresh = folder / f".{name}.{os.getpid()}"
        fresh.write_text(text)
        fresh.chmod(0o755)
        fresh.rename(script)
    return script
