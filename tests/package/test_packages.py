"""What `make packages` makes is the same twice, holds what it should, and runs in a Debian that has nothing else."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.debroot import clean_root, overlay
from lab.hosts import PACKAGES

ROOT = Path(__file__).parents[2]
NAMES = ("kembar", "kembar-agent", "kembar-orchestrator")
# The exposure that systemd computes, times ten: lower is better, 0 is a unit that can do nothing.
EXPOSED_AT_MOST = {"kembar-agent": 26, "kembar-orchestrator": 12}
SECRETS = ("agent", "replication", "tokens")

pytestmark = pytest.mark.lab


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The packages twice, with all that differs between two persons' machines: folder, umask, time zone, language."""
    first, second = tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("second") / "deeper"
    for into, mask, zone, language in ((first, 0o022, "UTC", "C"), (second, 0o077, "Asia/Jakarta", "C.UTF-8")):
        subprocess.run(
            [sys.executable, "-m", "packages.build", str(into)],
            cwd=ROOT,
            env={**os.environ, "TZ": zone, "LC_ALL": language},
            check=True,
            umask=mask,
        )
    return first, second


@pytest.fixture(scope="session")
def installed(built: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A Debian of this host's release in which nothing but the packages was installed."""
    root = clean_root(platform.freedesktop_os_release()["VERSION_CODENAME"], PACKAGES)
    with overlay(root, tmp_path_factory.mktemp("installed")) as merged:
        debs = [next(built[0].glob(f"{name}_*.deb")) for name in NAMES]
        for deb in debs:
            (merged / "tmp" / deb.name).write_bytes(deb.read_bytes())
        inside(merged, "dpkg", "--install", *(f"/tmp/{deb.name}" for deb in debs))
        yield merged


def inside(root: Path, *command: str, status: int = 0) -> str:
    done = subprocess.run(["chroot", str(root), *command], capture_output=True, text=True, check=False)
    assert done.returncode == status, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def listed(deb: Path) -> list[str]:
    said = subprocess.run(["dpkg-deb", "--contents", str(deb)], capture_output=True, text=True, check=True).stdout
    return [line.split(maxsplit=5)[5].split(" -> ")[0] for line in said.splitlines()]


def test_the_same_tree_gives_the_same_bytes(built):
    digests = [
        {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()} for folder in built
    ]
    assert len(digests[0]) == 1 + len(NAMES)
    assert digests[0] == digests[1]


@pytest.mark.parametrize("name", ["kembar", "kembar-agent"])
def test_an_agent_carries_nothing_that_only_others_need(built, name):
    (deb,) = built[0].glob(f"{name}_*.deb")
    assert not [
        path
        for path in listed(deb)
        for part in Path(path).parts
        if part.partition("-")[0].lower() in ("ansible", "ansible_core", "ansible_runner", "jinja2", "rich")
    ]


def test_nothing_in_a_package_is_writable_by_others_or_owned_by_the_builder(built):
    for name in NAMES:
        (deb,) = built[0].glob(f"{name}_*.deb")
        said = subprocess.run(["dpkg-deb", "--contents", str(deb)], capture_output=True, text=True, check=True).stdout
        modes = {tuple(line.split(maxsplit=2)[:2]) for line in said.splitlines()}
        assert modes <= {
            ("drwxr-xr-x", "root/root"),
            ("-rwxr-xr-x", "root/root"),
            ("-rw-r--r--", "root/root"),
            ("lrwxrwxrwx", "root/root"),
        }


def test_the_command_runs_in_a_clean_debian(installed):
    version = inside(installed, "dpkg-query", "-W", "-f", "${Version}", "kembar")
    assert inside(installed, "kembar", "--version") == f"kembar {version}\n"
    assert "Usage: kembar agent" in inside(installed, "kembar", "agent", "--help")
    assert "Usage: kembar orchestrator" in inside(installed, "kembar", "orchestrator", "--help")


def test_the_examples_that_come_with_it_are_valid_there(installed):
    secrets = installed / "etc/kembar/secrets.d"
    for name in SECRETS:
        (secrets / name).write_text("[]\n")
        (secrets / name).chmod(0o600)
    for name in ("agent.yaml", "orchestrator.yaml"):
        example = installed / "usr/share/doc/kembar/examples" / name
        (installed / "etc/kembar" / name).write_bytes(example.read_bytes())
    said = inside(installed, "kembar", "config", "validate", "/etc/kembar/agent.yaml", "/etc/kembar/orchestrator.yaml")
    assert said.endswith(": valid\n")


def test_a_wrong_key_is_named_with_its_place_there(installed):
    (installed / "tmp/agent.yaml").write_text("cluster: shop\nnoed: {}\n")
    said = inside(installed, "kembar", "config", "validate", "/tmp/agent.yaml", status=1)
    assert "/tmp/agent.yaml:2:1: noed: " in said


def test_the_folder_of_the_secrets_is_shut_to_others(installed):
    group = inside(installed, "getent", "group", "kembar").split(":")[2]
    found = (installed / "etc/kembar/secrets.d").stat()
    assert (found.st_uid, str(found.st_gid), found.st_mode & 0o777) == (0, group, 0o750)


def test_man_pages_and_completions_are_of_the_commands(installed):
    pages = {path.name for path in (installed / "usr/share/man/man1").glob("kembar*.gz")}
    assert {"kembar.1.gz", "kembar-agent.1.gz", "kembar-config-validate.1.gz"} <= pages
    for place in ("bash-completion/completions/kembar", "zsh/vendor-completions/_kembar"):
        assert "_KEMBAR_COMPLETE" in (installed / "usr/share" / place).read_text()


def test_the_units_are_sound(installed):
    inside(installed, "useradd", "--system", "mysql")  # which comes with the server
    units = ["/usr/lib/systemd/system/kembar-agent.service", "/usr/lib/systemd/system/kembar-orchestrator.service"]
    assert inside(installed, "systemd-analyze", "verify", "--man=no", *units) == ""


@pytest.mark.parametrize("name", EXPOSED_AT_MOST)
def test_a_unit_is_exposed_no_more_than_it_must_be(installed, name):
    unit, bound = f"/usr/lib/systemd/system/{name}.service", EXPOSED_AT_MOST[name]
    inside(installed, "systemd-analyze", "security", "--offline=true", f"--threshold={bound}", unit)
    inside(installed, "systemd-analyze", "security", "--offline=true", "--threshold=5", unit, status=1)


def test_a_purge_leaves_nothing_of_the_program(built, tmp_path):
    root = clean_root(platform.freedesktop_os_release()["VERSION_CODENAME"], PACKAGES)
    with overlay(root, tmp_path) as merged:
        (deb,) = built[0].glob("kembar_*.deb")
        (merged / "tmp" / deb.name).write_bytes(deb.read_bytes())
        inside(merged, "dpkg", "--install", f"/tmp/{deb.name}")
        assert (merged / "opt/kembar").exists()
        inside(merged, "dpkg", "--purge", "kembar")
        assert not (merged / "opt/kembar").exists()
