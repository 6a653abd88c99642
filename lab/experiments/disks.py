"""A file system of its own in a file, for one experiment: it can be frozen, and it can be full."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from orchestrator.core.errors import Refused, StepFailed


@dataclass(frozen=True)
class Disk:
    """A mounted ext4."""

    root: Path

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Every write waits, as on a disk that does not answer; whoever waits cannot even be killed."""
        _run("fsfreeze", "--freeze", str(self.root))
        try:
            yield
        finally:
            _run("fsfreeze", "--unfreeze", str(self.root))

    @contextmanager
    def full(self) -> Iterator[None]:
        """No room for anything more."""
        ballast = self.root / "ballast"
        try:
            with ballast.open("wb") as file, suppress(OSError):
                while True:
                    file.write(bytes(4096))
                    file.flush()
            yield
        finally:
            ballast.unlink()


@contextmanager
def disk(size_mb: int) -> Iterator[Disk]:
    """Made, mounted, and removed at the end. Raises Refused where no file can be mounted."""
    folder = Path(tempfile.mkdtemp(prefix="kembar-exp-disk-", dir="/var/tmp"))
    image, root = folder / "image", folder / "mount"
    try:
        image.touch()
        _run("truncate", "--size", f"{size_mb}M", str(image))
        _run("mkfs.ext4", "-q", "-m", "0", str(image))
        root.mkdir()
        try:
            _run("mount", "-o", "loop", str(image), str(root))
        except StepFailed as error:
            raise Refused(f"a file cannot be mounted here, which takes root and a loop device: {error}") from error
        try:
            yield Disk(root)
        finally:
            _run("umount", str(root))
    finally:
        shutil.rmtree(folder)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StepFailed(f"{' '.join(command)}: {done.stderr.strip()}")
