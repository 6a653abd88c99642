"""Packages for booted hosts of the lab, which have no way out: they name what is fetched and bound into each host.

A stand-in has the name, the unit, the user and the programs of the distribution's package, so that playbooks meet a
host as they would elsewhere; the files themselves lie under /opt/lab, bound from the cache, read-only.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.fetch import fetch
from lab.mysqld import fetched_mysqld
from lab.programs import library_folder
from lab.zookeeper import JARS, PACKAGES
from orchestrator.core.errors import Refused

INSIDE = "/opt/lab"

MYSQL_SERVICE = """[Unit]
Description=MySQL, from the lab's cache
After=network.target

[Service]
Type=notify
User=mysql
Group=mysql
ExecStart=/usr/sbin/mysqld --defaults-file=/etc/mysql/my.cnf
TimeoutSec=infinity
Restart=on-failure
RuntimeDirectory=mysqld
RuntimeDirectoryMode=755
LimitNOFILE=10000

[Install]
WantedBy=multi-user.target
"""
POSTINST = """#!/bin/sh
set -e
getent passwd {user} >/dev/null || useradd --system --user-group --home-dir {home} --shell /usr/sbin/nologin {user}
install -d -m 0750 -o {user} -g {user} {home}
"""


@dataclass(frozen=True, slots=True)
class StandIns:
    """The packages, and what must be bound: folder of this machine -> folder of the host."""

    packages: tuple[Path, ...]
    binds: Mapping[Path, str]


def stand_ins(into: Path) -> StandIns:
    """Packages `mysql-server` and `zookeeper` in that folder. Raises Refused if something cannot be fetched."""
    into.mkdir(parents=True, exist_ok=True)
    mysql = fetch(("mysql-server-core",), suite="unstable")
    java = fetch(("default-jre-headless",))
    jars = fetch(PACKAGES, closure=False)
    packages = (_mysql(into, mysql), _zookeeper(into, java))
    return StandIns(packages, {mysql: f"{INSIDE}/mysql", java: f"{INSIDE}/java", jars: f"{INSIDE}/zookeeper"})


def _mysql(into: Path, root: Path) -> Path:
    binary = fetched_mysqld(root)
    moved = [part.replace(str(root), f"{INSIDE}/mysql") for part in binary.command]
    usr = f"{INSIDE}/mysql/usr"
    # Behind what is asked for: --defaults-file must come first.
    places = f"--basedir={usr} --lc-messages-dir={usr}/share/mysql --plugin-dir={usr}/lib/mysql/plugin"
    files = {
        "usr/sbin/mysqld": f'#!/bin/sh\nexec {" ".join(moved)} "$@" {places} --secure-file-priv=NULL\n',
        "usr/lib/systemd/system/mysql.service": MYSQL_SERVICE,
        "etc/mysql/my.cnf": "!includedir /etc/mysql/mysql.conf.d/\n",
        "etc/mysql/mysql.conf.d/mysqld.cnf": "[mysqld]\n",
    }
    return _pack(into, "mysql-server", binary.version, "mysql", "/var/lib/mysql", files)


def _zookeeper(into: Path, java: Path) -> Path:
    program = next((path for path in sorted(java.glob("usr/lib/jvm/*/bin/java")) if path.is_file()), None)
    if program is None:
        raise Refused(f"{java}: no java in it; remove that folder and try again")
    inside = f"{INSIDE}/java"
    libraries = f"{inside}/{library_folder(java).relative_to(java)}"
    wrapper = f'#!/bin/sh\nLD_LIBRARY_PATH={libraries} exec {inside}/{program.relative_to(java)} "$@"\n'
    links = {f"usr/share/java/{jar}.jar": f"{INSIDE}/zookeeper/usr/share/java/{jar}.jar" for jar in JARS}
    files = {"usr/bin/java": wrapper}
    return _pack(into, "zookeeper", "3.8.0", "zookeeper", "/var/lib/zookeeper", files, links)


def _pack(
    into: Path,
    name: str,
    version: str,
    user: str,
    home: str,
    files: Mapping[str, str],
    links: Mapping[str, str] | None = None,
) -> Path:
    tree = into / name
    shutil.rmtree(tree, ignore_errors=True)
    control = (
        f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: Kembar <kembar@localhost>\n"
        f"Description: {name} of the lab's cache\n"
    )
    for place, text in {
        **files,
        "DEBIAN/control": control,
        "DEBIAN/postinst": POSTINST.format(user=user, home=home),
    }.items():
        path = tree / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755 if text.startswith("#!") else 0o644)
    for place, target in (links or {}).items():
        path = tree / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)
    made = into / f"{name}.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "--build", str(tree), str(made)], check=True, stdout=subprocess.DEVNULL
    )
    return made
