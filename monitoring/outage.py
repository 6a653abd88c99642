"""The time in which nobody could write, as a drawing: one lane a node, and a hatched band between. Pure."""

from __future__ import annotations

from html import escape

WIDTH, LANE, GAP = 1000, 16, 6
BEFORE = 200  # of the width, before and after the band


def outage(origin: str, target: str, total_ms: float) -> str:
    """A figure for an incident that is over: `origin` served until 0 ms, `target` from `total_ms` on."""
    ends = WIDTH - BEFORE
    label = f"{origin} could be written to until 0 ms, {target} from {total_ms:.0f} ms on; nobody in between"
    height = 2 * LANE + GAP
    return (
        '<figure id="outage" class="chart outage">'
        f"<figcaption><b>Who could be written to</b> upper lane {escape(origin)}, until 0 ms; lower lane "
        f"{escape(target)}, from {total_ms:.0f} ms on</figcaption>"
        f'<svg role="img" aria-label="{escape(label)}" viewBox="0 0 {WIDTH} {height}" preserveAspectRatio="none">'
        f"<title>{escape(label)}</title>"
        '<defs><pattern id="nobody" width="8" height="8" patternUnits="userSpaceOnUse">'
        '<path class="hatch" d="M0 8L8 0"/></pattern></defs>'
        f'<rect class="serves" x="0" y="0" width="{BEFORE}" height="{LANE}"/>'
        f'<rect x="{BEFORE}" y="0" width="{ends - BEFORE}" height="{height}" fill="url(#nobody)"/>'
        f'<rect class="serves" x="{ends}" y="{LANE + GAP}" width="{BEFORE}" height="{LANE}"/>'
        "</svg></figure>"
    )
