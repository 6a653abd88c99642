"""The page as it is read: without JavaScript, on a phone, in the dark, by a screen reader."""

from __future__ import annotations

import urllib.request
from collections import Counter
from collections.abc import Callable

import html5lib
import pytest

from lab.stand import Stand
from tests.lab.story import Story
from tests.web.window import Window

pytestmark = pytest.mark.lab

PAGE_KB = 100
PHONE, DESK = 390, 1280
INCIDENT = "/c/shop/incidents/{}"  # of the last one
PATHS = ("/", "/login", "/c/shop/actions/switchover", "/c/shop/actions/failover", INCIDENT)


def fetched(stand: Stand, path: str) -> str:
    with urllib.request.urlopen(f"{stand.facts().url}{path}", timeout=10) as answer:
        return str(answer.read().decode())


def test_whole_without_javascript(story: Story, window: Callable[..., Window]) -> None:
    page = window(javascript=False)
    page.until(lambda: "HEALTHY" in page.open().text("verdict"), "it does not say that the pair is healthy")
    assert story.healthy()["verdict"] in page.text("verdict")
    for node in story.stand.topology.pair:
        assert story.row(node)["mysql_version"] in page.text(f"node-{node.name}")
    assert str(story.stand.topology.vip) in page.text("vip") + page.text("freshness")
    page.until(
        lambda: story.view()["events"][0]["text"] in page.open().text("events"), "the last event is not among them"
    )
    assert page.all("noscript meta[http-equiv=refresh]")
    assert len(page.driver.page_source) <= PAGE_KB * 1024
    page.picture("plain")


@pytest.fixture
def paths(story: Story) -> tuple[str, ...]:
    """Something has happened, and is shown on a page of its own."""
    if story.view()["last_incident"] is None:
        story.move_to(story.node("standby"))
    last = story.until(lambda shown: shown["last_incident"] is not None, "no incident")["last_incident"]
    return tuple(path.format(last["id"]) for path in PATHS)


@pytest.mark.parametrize("number", range(len(PATHS)))
def test_html_is_valid(stand: Stand, paths: tuple[str, ...], number: int) -> None:
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    parsed = parser.parse(fetched(stand, paths[number]))
    ids = Counter(element.get("id") for element in parsed.iter() if element.get("id"))
    assert [id for id, count in ids.items() if count > 1] == []


@pytest.mark.parametrize(("width", "dark"), [(DESK, False), (DESK, True), (PHONE, False), (PHONE, True)])
def test_nothing_keeps_anybody_out(
    paths: tuple[str, ...], window: Callable[..., Window], width: int, dark: bool
) -> None:
    page = window(width=width, dark=dark)
    for path in paths:
        page.open(path)
        assert page.violations() == [], path
        measured = page.driver.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
        assert measured == [width, width], path
    page.open()
    page.picture(f"{'dark' if dark else 'light'}-{width}")


def test_dark_where_the_person_wants_it_dark(story: Story, window: Callable[..., Window]) -> None:
    light, dark = (window(dark=chosen).open().colour("body") for chosen in (False, True))
    assert brightness(light) > 200 and brightness(dark) < 60


def brightness(colour: str) -> float:
    """0 to 255, of `rgb(r, g, b)`."""
    red, green, blue = (float(part) for part in colour.partition("(")[2].rstrip(")").split(",")[:3])
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
