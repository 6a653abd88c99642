"""A running orchestrator that is told to read its certificate again: the daemon itself, as systemd reloads it."""

from __future__ import annotations

import signal
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lab.certificates import issue
from lab.stand import KEMBAR
from monitoring.app import bound_socket

CONFIG = """\
name: witness
listen: 127.0.0.1:{port}
tls: {{certificate: {tls}/page.pem, key: {tls}/page.key}}
zookeeper: {{hosts: ["127.0.0.1:1"]}}
clusters:
  - name: shop
    nodes:
      - {{name: db-a, address: 192.0.2.11}}
      - {{name: db-b, address: 192.0.2.12}}
    vip: {{address: 192.0.2.100, subnet: 192.0.2.0/24}}
"""


@contextmanager
def orchestrator(folder: Path) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """A real one, with ZooKeeper out of its reach; it serves all the same."""
    with bound_socket("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    file = folder / "orchestrator.yaml"
    file.write_text(CONFIG.format(port=port, tls=folder / "ours"))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*KEMBAR, "orchestrator", "-c", str(file)], stderr=log)
    try:
        yield port, process
    finally:
        process.kill()
        process.wait(10)


def until_served(port: int, but: str = "") -> str:
    """The certificate that is served, in PEM, once it is another than `but`."""
    end = time.monotonic() + 60
    while True:
        with suppress(OSError):
            if (found := ssl.get_server_certificate(("127.0.0.1", port), timeout=5.0)) != but:
                return found
        assert time.monotonic() < end
        time.sleep(0.05)


def test_sighup_has_a_running_orchestrator_read_its_certificate_again(tmp_path: Path) -> None:
    """A wrong one ends nothing; the right one after it is taken."""
    issue(tmp_path / "ours", {"page": "127.0.0.1"})
    issue(tmp_path / "theirs", {"page": "127.0.0.1"})
    with orchestrator(tmp_path) as (port, process):
        before = until_served(port)
        (tmp_path / "ours/page.pem").write_bytes((tmp_path / "theirs/page.pem").read_bytes())
        process.send_signal(signal.SIGHUP)
        issue(tmp_path / "ours", {"page": "127.0.0.1"})
        process.send_signal(signal.SIGHUP)
        until_served(port, but=before)
        process.terminate()
        assert process.wait(60) == 0
