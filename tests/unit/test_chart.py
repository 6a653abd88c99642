"""Charts from numbers: what was not measured is a gap, and whatever is given is text."""

from __future__ import annotations

from browsing import named, parsed
from hypothesis import given
from hypothesis import strategies as st

from monitoring.chart import HEIGHT, WIDTH, Line, Series, chart, number


def drawn(*lines: Line, **more):
    text = chart(
        Series(
            **{"id": "lag-x", "title": "Lag", "unit": "s", "every_s": 5, "until": "18:59:04Z", "lines": lines, **more}
        )
    )
    return parsed(f'<!doctype html><html lang="en"><head><title>x</title></head><body>{text}</body></html>')


def ends(document):
    return [path.get("d") for path in named(document, "path")]


def test_a_line_from_side_to_side():
    (path,) = ends(drawn(Line("", (0.0, 2.0, 1.0))))
    assert path == f"M60 {HEIGHT - 2}L180 2L300 {HEIGHT / 2:g}"


def test_missing_samples_are_gaps_and_never_zeros():
    document = drawn(Line("", (1.0, 1.0, None, None, 1.0, None)))
    assert ends(document) == ["M30 2L90 2M270 2L271 2"], "two strokes, the second of which is a dot"
    gaps = [(one.get("x"), one.get("width")) for one in named(document, "rect")]
    assert gaps == [("120", "120"), ("300", "60")]
    assert "not measured, at most 1" in "".join(document.find(".//figcaption").itertext())


def test_where_nothing_was_measured_there_is_no_drawing():
    document = drawn(Line("", (None,) * 4))
    assert not list(named(document, "svg"))
    assert "".join(document.find(".//figcaption").itertext()) == "Lag not measured"


def test_lines_differ_by_dash():
    document = drawn(Line("db-a", (1.0, 2.0)), Line("db-b", (2.0, 1.0)))
    assert [path.get("stroke-dasharray") for path in named(document, "path")] == [None, "6 3"]
    (svg,) = named(document, "svg")
    assert svg.get("role") == "img"
    assert svg.get("aria-label") == "Lag, 10 s until 18:59:04Z: db-a 2 s, at most 2 s; db-b 1 s, at most 2 s"


def test_the_table_says_the_same_newest_first():
    rows = [["".join(cell.itertext()) for cell in row] for row in drawn(Line("", (1.0, None, 3.0))).iter("tr")]
    assert rows == [["ago", "s"], ["0 s", "3"], ["5 s", "-"], ["10 s", "1"]]
    long = drawn(Line("", tuple(float(n) for n in range(180))))
    rows = [["".join(cell.itertext()) for cell in row] for row in long.iter("tr")][1:]
    assert (len(rows), rows[0], rows[-1]) == (15, ["0 s", "179"], ["840 s", "11"])


def test_names_are_text():
    document = drawn(Line("<b>", (1.0,)), title="<script>alert(1)</script>", id='x"><p>')
    assert not list(document.iter("script")) and not list(document.iter("p"))


@given(st.lists(st.none() | st.floats(0, 1e12), min_size=1, max_size=200))
def test_every_point_lies_within(values):
    document = drawn(Line("", tuple(values)))
    for path in ends(document):
        for point in path.replace("M", "L").split("L")[1:]:
            x, y = map(float, point.split())
            assert 0 <= x <= WIDTH + 1 and 0 <= y <= HEIGHT


def test_numbers_as_people_read_them():
    assert [number(one) for one in (None, 0.0, 0.1234, 12.34, 1234.5)] == ["-", "0", "0.123", "12.3", "1234"]
