"""The stylesheet: text can be read in both schemes, and nothing is fetched from elsewhere."""

from __future__ import annotations

import re

import pytest

from monitoring.rendering import STATIC

STYLE = (STATIC / "page.css").read_text()
SCRIPT = (STATIC / "page.js").read_text()
LIGHT, DARK = (
    dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block)) for block in re.findall(r":root \{(.*?)\}", STYLE, re.S)[:2]
)
NAMES = ("good", "warn", "bad", "move", "none")
PAIRS = [
    *((text, behind) for text in ("text", "quiet", *NAMES) for behind in ("block", "page")),
    *((text, f"{name}-block") for name in NAMES for text in ("text", name)),
    *((text, "soft") for text in ("text", "bad")),
]


def luminance(colour: str) -> float:
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize(("text", "behind"), PAIRS)
def test_text_stands_out_from_what_is_behind_it(scheme, text, behind):
    one, two = sorted((luminance(scheme[text]), luminance(scheme[behind])), reverse=True)
    assert (one + 0.05) / (two + 0.05) >= 4.5


def test_both_schemes_have_every_token():
    assert set(LIGHT) == set(DARK)
    assert set(re.findall(r"var\(--([\w-]+)\)", STYLE)) <= set(LIGHT)


def test_nothing_is_fetched_from_elsewhere():
    assert "url(" not in STYLE and "@import" not in STYLE
    assert not re.findall(r"https?://|\bimport\b|eval\(|\.style\b", SCRIPT)


def test_whoever_wants_no_motion_has_none():
    moving = re.sub(r"@media \(prefers-reduced-motion: no-preference\) \{.*?\} \}", "", STYLE, flags=re.S)
    assert "animation:" not in moving and "transition:" not in moving
