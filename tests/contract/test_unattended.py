"""What apt makes of the role common's settings, beside those of the host."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.unit.test_rendered import rendered

pytestmark = pytest.mark.lab

HOSTS = """Unattended-Upgrade::Package-Blacklist { "linux-"; };
Unattended-Upgrade::Automatic-Reboot "true";
"""


def test_a_host_neither_reboots_by_itself_nor_upgrades_what_the_cluster_stands_on(tmp_path: Path) -> None:
    parts, settings = tmp_path / "apt.conf.d", tmp_path / "apt.conf"
    parts.mkdir()
    (parts / "50unattended-upgrades").write_text(HOSTS)
    (parts / "52kembar").write_text(rendered("common", "52kembar.j2"))
    settings.write_text(f'Dir::Etc::parts "{parts}";\n')
    command = ["apt-config", "dump", "--no-empty"]
    environment = {**os.environ, "APT_CONFIG": str(settings)}
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout
    found = [line for line in said.splitlines() if line.startswith("Unattended-Upgrade::")]
    assert found == [
        *(f'Unattended-Upgrade::Package-Blacklist:: "{one}";' for one in ("linux-", "^mysql", "^zookeeper", "^kembar")),
        'Unattended-Upgrade::Automatic-Reboot "false";',
    ]
