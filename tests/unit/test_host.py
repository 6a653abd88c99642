"""What an agent tells of its host: looked at beside the loop, never waited for."""

from __future__ import annotations

import threading
from pathlib import Path

import psutil

from agents.host import HostWatch, look
from orchestrator.core.model import HostFacts


def test_this_host(tmp_path):
    found = look(tmp_path, "lo", HostFacts())
    assert found.cpus == psutil.cpu_count() and found.memory_total_mib > 0 and found.uptime_s > 0
    assert 0 <= found.disk_used_percent <= 100 and found.disk_total_mib > 0
    assert found.hardware == "00:00:00:00:00:00"
    assert look(tmp_path, "none0", HostFacts()).hardware == ""


def test_while_the_directory_cannot_be_asked_its_size_is_as_before(tmp_path):
    before = HostFacts(disk_used_percent=12.0, disk_total_mib=34)
    found = look(tmp_path / "gone", "lo", before)
    assert (found.disk_used_percent, found.disk_total_mib) == (12.0, 34)


def test_the_loop_is_told_what_was_seen_last_and_waits_for_nothing():
    watch = HostWatch(Path("/"), "lo")
    assert watch.facts(None) == HostFacts(), "not looked yet"
    thread = threading.Thread(target=watch.run)
    thread.start()
    watch.stop()
    thread.join()
    assert watch.facts(None).memory_total_mib > 0
