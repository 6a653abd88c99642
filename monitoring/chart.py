"""Charts as inline SVG: text from numbers, and nothing else. What was not measured is a gap, never a zero."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby

WIDTH, HEIGHT = 360, 48  # of the drawing; the page stretches it
ROWS_MAX = 15  # of the table
DASHES = ("", "6 3", "2 3", "8 3 2 3")  # lines differ by dash, not by colour alone


@dataclass(frozen=True, slots=True)
class Line:
    """One value at equal distances in time, oldest first; None where nothing was measured."""

    name: str
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Series:
    """What one chart shows. Every line has one value for each `every_s`, the last one for `until` (UTC)."""

    id: str  # of the element; letters, digits and hyphens
    title: str
    unit: str
    every_s: float
    until: str
    lines: tuple[Line, ...]


def chart(series: Series) -> str:
    """A figure: caption, drawing, and the same in a table that opens; without any value the caption alone."""
    top = max((value for line in series.lines for value in line.values if value is not None), default=0.0)
    paths = "".join(_path(line, top, place) for place, line in enumerate(series.lines))
    caption = "; ".join(_said(line, series.unit) for line in series.lines)
    head = f"<figcaption><b>{escape(series.title)}</b> {escape(caption)}</figcaption>"
    if not any(value is not None for line in series.lines for value in line.values):
        return f'<figure id="{escape(series.id)}" class="chart">{head}</figure>'
    label = f"{series.title}, {_span(series)}: {caption}"
    return (
        f'<figure id="{escape(series.id)}" class="chart">{head}'
        f'<svg role="img" aria-label="{escape(label)}" viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none">'
        f"<title>{escape(label)}</title>{_gaps(series)}{paths}</svg>"
        f'<details id="{escape(series.id)}-table"><summary>Table</summary>{_table(series)}</details></figure>'
    )


def number(value: float | None) -> str:
    """As people read it: three figures, no exponent."""
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _path(line: Line, top: float, place: int) -> str:
    """A run of values is a stroke; one alone is a dot."""
    step = WIDTH / max(len(line.values), 1)
    strokes = []
    for run in _runs(line.values):
        points = [(round((n + 0.5) * step, 1), _height(value, top)) for n, value in run]
        ends = [*points, (points[0][0] + 1, points[0][1])] if len(points) == 1 else points
        strokes.append("M" + "L".join(f"{x:g} {y:g}" for x, y in ends))
    if not strokes:
        return ""
    dash = f' stroke-dasharray="{DASHES[place % len(DASHES)]}"' if DASHES[place % len(DASHES)] else ""
    return f'<path class="line-{place}"{dash} d="{"".join(strokes)}"/>'


def _runs(values: Sequence[float | None]) -> Iterator[list[tuple[int, float]]]:
    run: list[tuple[int, float]] = []
    for n, value in enumerate(values):
        if value is not None:
            run.append((n, value))
        elif run:
            yield run
            run = []
    if run:
        yield run


def _height(value: float, top: float) -> float:
    return round(HEIGHT - 2 - (HEIGHT - 4) * (value / top if top > 0 else 0.0), 1)


def _gaps(series: Series) -> str:
    """Where no line has a value, hatched by the page."""
    count = max((len(line.values) for line in series.lines), default=0)
    step, found, at = WIDTH / max(count, 1), [], 0
    missing = [all(line.values[n] is None for line in series.lines) for n in range(count)]
    for empty, group in groupby(missing):
        length = len(list(group))
        if empty:
            found.append(
                f'<rect class="gap" x="{round(at * step, 1):g}" y="0" width="{round(length * step, 1):g}" '
                f'height="{HEIGHT}"/>'
            )
        at += length
    return "".join(found)


def _said(line: Line, unit: str) -> str:
    known = [value for value in line.values if value is not None]
    name = f"{line.name} " if line.name else ""
    if not known:
        return f"{name}not measured"
    now = "not measured" if line.values[-1] is None else f"{number(line.values[-1])} {unit}"
    return f"{name}{now}, at most {number(max(known))} {unit}"


def _span(series: Series) -> str:
    count = max((len(line.values) for line in series.lines), default=0)
    seconds = count * series.every_s
    return f"{seconds / 60:.0f} min until {series.until}" if seconds >= 120 else f"{seconds:.0f} s until {series.until}"


def _table(series: Series) -> str:
    """The largest of each part of the time, newest first."""
    count = max((len(line.values) for line in series.lines), default=0)
    part = max(-(-count // ROWS_MAX), 1)
    head = "".join(f'<th scope="col" class="number">{escape(line.name or series.unit)}</th>' for line in series.lines)
    rows = []
    for end in range(count, 0, -part):
        ago_s = (count - end) * series.every_s
        cells = "".join(
            f'<td class="number">{number(_largest(line.values[max(end - part, 0) : end]))}</td>'
            for line in series.lines
        )
        rows.append(f'<tr><th scope="row">{ago_s:.0f} s</th>{cells}</tr>')
    return (
        f"<table><caption>Largest in each {part * series.every_s:.0f} s, {escape(series.unit)}</caption>"
        f'<thead><tr><th scope="col">ago</th>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    )


def _largest(values: Sequence[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)
