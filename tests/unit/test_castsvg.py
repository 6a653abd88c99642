"""A recorded terminal as a picture: every line when it was there, nothing of it markup."""

from __future__ import annotations

import sys
from xml.etree import ElementTree

import pytest

from lab.casting import output, record
from lab.castsvg import IDLE_MAX_S, Span, lines, svg

SVG = "{http://www.w3.org/2000/svg}"
LIVE = [
    (0.0, "\x1b[1mfirst\x1b[0m\r\n"),
    (60.0, "\r  1 of 3\x1b[K"),
    (60.4, "\r  2 of 3\x1b[K"),
    (61.0, "\r\x1b[Kdone\n"),
]


def test_a_line_that_is_written_over_is_there_for_as_long_as_it_was():
    found = lines(LIVE)
    assert [(line.row, line.spans[0].text) for line in found] == [
        (0, "first"), (1, "  1 of 3"), (1, "  2 of 3"), (1, "done"),
    ]  # fmt: skip
    assert found[0].spans == [Span("first", "b")] and found[0].until_s is None
    assert found[1].since_s == IDLE_MAX_S, "nobody waits for a minute"
    assert (found[1].until_s, found[2].until_s) == (found[2].since_s, found[3].since_s)
    assert found[3].until_s is None


def test_the_picture_is_xml_and_ends_with_the_last_lines():
    said = [*LIVE, *((62.0 + n, f"line <{n}> & more\n") for n in range(40))]
    root = ElementTree.fromstring(svg(lines(said), 80, 10, "what <it> shows"))
    assert root.findtext(f"{SVG}title") == "what <it> shows"
    (group,) = root.iter(f"{SVG}g")
    shown = ["".join(text.itertext()) for text in group if text.get("visibility") != "hidden"]
    assert shown == ["first", "done", *(f"line <{n}> & more" for n in range(40))]
    assert group.get("transform") == f"translate(0 {-(42 - 10) * 18})"


@pytest.mark.parametrize("text", ["\x1b[2J", "\x1b[35mviolet", "\x1b]0;title\x07"])
def test_what_no_teller_writes_is_refused(text):
    with pytest.raises((ValueError, KeyError)):
        lines([(0.0, text)])


def test_a_terminal_is_recorded(tmp_path):
    file = tmp_path / "a.cast"
    program = "import os, sys; print(*os.get_terminal_size()); print(sys.stdout.isatty()); sys.exit(3)"
    assert record([sys.executable, "-c", program], file, 90, 20) == 3
    assert "".join(text for _, text in output(file)).splitlines() == ["90 20", "True"]
