"""What experiments make of what they saw; the seeing itself takes real servers."""

from __future__ import annotations

import struct

from lab.experiments import killed_session, unstall
from lab.experiments.capture import content
from lab.experiments.catalogue import EXPERIMENTS

PORT = 3306


def segment(source: int, payload: bytes, *, protocol: int = 6, options: bytes = b"") -> bytes:
    """An IPv4 packet as a capture gives it, without link header."""
    total = 20 + 20 + len(options) + len(payload)
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, total, 0, 0, 64, protocol, 0, bytes(4), bytes(4))
    offset = (20 + len(options)) // 4 << 4
    tcp = struct.pack("!HHIIBBHHH", source, 40000, 0, 0, offset, 0x18, 0, 0, 0)
    return ip + tcp + options + payload


def test_content_is_what_follows_the_headers():
    assert content(segment(PORT, b"x" * 7, options=bytes(12)), PORT) == 7


def test_an_acknowledgement_has_no_content():
    """The kernel of a dying process still sends those, and they tell a client nothing."""
    assert content(segment(PORT, b""), PORT) == 0


def test_what_comes_from_another_port_does_not_count():
    assert content(segment(PORT + 1, b"x"), PORT) == 0
    assert content(segment(PORT, b"x", protocol=17), PORT) == 0


def test_a_session_that_never_ended_counts_as_longer_than_a_second():
    def seen(gone_s: float | None) -> dict[str, object]:
        return {"gone_s": gone_s, "effect": "0", "before": False, "answer": "connection lost"}

    found = killed_session.summary([seen(0.5), seen(1.5), seen(None)])
    assert found["longer_than_1_s"] == 2
    assert found["gone_ms"]["max"] == 1500


def test_a_commit_that_was_not_let_go_is_late_and_has_no_time():
    found = unstall.summary([{"release": 3.0, "answer": 4.0, "login": 5.0}, {"late": 1.0, "login": 9.0}])
    assert (found["late"], found["release_ms"]["max"], found["login_ms"]["max"]) == (1, 3.0, 9.0)


def test_every_experiment_is_found_by_its_name_and_says_what_it_asks():
    assert all(one.name == name and one.question and one.runs > 0 for name, one in EXPERIMENTS.items())
