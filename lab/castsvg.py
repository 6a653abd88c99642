"""An asciicast of lines as one animated SVG: each line appears when it did, the window follows the last.

Made for what `lab.teller` writes: lines, colours, and a last line that is written over. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from xml.sax.saxutils import escape

IDLE_MAX_S = 1.2  # of real time that nothing is shown of
LIVE_EVERY_S = 0.25  # a line that is written over faster than anybody reads
HOLD_S = 6.0  # the end stays before it begins again
LINE, GLYPH, PAD = 18, 8.43, 14  # pixels, of a 14 px monospace font
PART = re.compile(r"\x1b\[(?P<code>[0-9;]*)(?P<verb>[mK])|(?P<end>\r\n|\n)|(?P<back>\r)|(?P<text>[^\x1b\r\n]+)")
COLOURS = {"1": "b", "1;32": "b g", "1;31": "b r", "36": "c", "0": "", "": ""}
STYLE = (
    "text{{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace}}"
    "text{{fill:#d6deeb;white-space:pre}}"
    ".b{{font-weight:bold}}.g{{fill:#7ee787}}.r{{fill:#ff8a80}}.c{{fill:#7fdbff}}"
    "@media (prefers-reduced-motion:no-preference){{{moves}}}"
)


@dataclass(frozen=True, slots=True)
class Span:
    """Text of one colour."""

    text: str
    colour: str = ""


@dataclass(slots=True)
class Line:
    """One version of a line: on which row, from when, and until when; None: it stays."""

    row: int
    spans: list[Span]
    since_s: float
    until_s: float | None = None


@dataclass(slots=True)
class _Screen:
    """The lines so far, and the last one as it is being written."""

    done: list[Line] = field(default_factory=list)
    row: int = 0
    spans: list[Span] = field(default_factory=list)
    colour: str = ""

    def write(self, text: str, now_s: float) -> None:
        """Raises ValueError for what no teller writes."""
        place = 0
        for part in PART.finditer(text):
            if part.start() != place:
                break
            place = part.end()
            self._take(part, now_s)
        if place != len(text):
            raise ValueError(f"not understood at {place}: {text[place : place + 20]!r}")

    def show(self, now_s: float) -> None:
        """The last line as it is now, in the place of its version before."""
        before = self.done[-1] if self.done and self.done[-1].row == self.row else None
        if before is not None:
            if before.spans == self.spans:
                return
            if now_s - before.since_s < LIVE_EVERY_S:
                before.spans = list(self.spans)
                return
            before.until_s = now_s
        if self.spans:
            self.done.append(Line(self.row, list(self.spans), now_s))

    def _take(self, part: re.Match[str], now_s: float) -> None:
        if part["text"]:
            self.spans.append(Span(part["text"], self.colour))
        elif part["end"]:
            self.show(now_s)
            self.row, self.spans = self.row + 1, []
        elif part["back"]:
            self.spans = []
        elif part["verb"] == "m":
            self.colour = COLOURS[part["code"]]


def lines(output: Iterable[tuple[float, str]]) -> list[Line]:
    """Every version of every line, in seconds of what is shown. Raises ValueError, KeyError for an unknown escape."""
    screen, before_s, now_s = _Screen(), 0.0, 0.0
    for at_s, text in output:
        now_s += min(at_s - before_s, IDLE_MAX_S)
        before_s = at_s
        screen.write(text, now_s)
        screen.show(now_s)
    return screen.done


def svg(found: Sequence[Line], columns: int, rows: int, title: str) -> str:
    """The whole picture; who wants no motion sees the end."""
    whole_s = found[-1].since_s + HOLD_S
    width, height = round(columns * GLYPH) + 2 * PAD, rows * LINE + 2 * PAD
    moves = [_scroll(found, rows, whole_s)]
    texts = []
    for number, line in enumerate(found):
        last = line.until_s is None
        moves.append(_shown(number, line, whole_s))
        hidden = "" if last else ' visibility="hidden"'
        spans = "".join(_tspan(span) for span in line.spans)
        texts.append(f'<text id="l{number}" y="{(line.row + 1) * LINE - 4}"{hidden}>{spans}</text>')
    end = min(0, rows - 1 - found[-1].row) * LINE
    style = STYLE.format(moves="".join(moves))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        f' role="img"><title>{escape(title)}</title><style>{style}</style>'
        f'<rect width="100%" height="100%" rx="8" fill="#0b1622"/>'
        f'<svg x="{PAD}" y="{PAD}" width="{width - 2 * PAD}" height="{rows * LINE}">'
        f'<g id="all" transform="translate(0 {end})">{"".join(texts)}</g></svg></svg>\n'
    )


def _shown(number: int, line: Line, whole_s: float) -> str:
    """Hidden before and after its time."""
    since = 100 * line.since_s / whole_s
    until = "" if line.until_s is None else f"{100 * line.until_s / whole_s:.2f}%{{visibility:hidden}}"
    frames = f"0%{{visibility:hidden}}{since:.2f}%{{visibility:visible}}{until}"
    return f"@keyframes k{number}{{{frames}}}#l{number}{{animation:k{number} {whole_s:.1f}s step-end infinite}}"


def _scroll(found: Sequence[Line], rows: int, whole_s: float) -> str:
    """Up by a line for each that does not fit."""
    frames = ["0%{transform:none}"]
    for before, line in pairwise(found):
        if line.row > before.row and line.row >= rows:
            frames.append(
                f"{100 * line.since_s / whole_s:.2f}%{{transform:translateY({(rows - 1 - line.row) * LINE}px)}}"
            )
    return f"@keyframes up{{{''.join(frames)}}}#all{{animation:up {whole_s:.1f}s step-end infinite}}"


def _tspan(span: Span) -> str:
    text = escape(span.text)
    return f'<tspan class="{span.colour}">{text}</tspan>' if span.colour else text
