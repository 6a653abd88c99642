"""A browser for the tests of pages: it keeps cookies, follows nothing by itself, and reads HTML strictly."""

from __future__ import annotations

import asyncio
import re
from xml.etree.ElementTree import Element

import html5lib
from aiohttp import CookieJar
from aiohttp.test_utils import TestClient, TestServer

from monitoring.app import application

PAGE = {"Accept": "text/html"}
NAMESPACE = "{http://www.w3.org/1999/xhtml}"


def browsing(carrier, talk):
    """Run `talk(browser)` against the real application."""

    async def run():
        jar = CookieJar(unsafe=True)
        async with TestClient(TestServer(application(carrier.backend())), cookie_jar=jar) as browser:
            return await talk(browser)

    return asyncio.run(run())


async def logged_in(browser, who="olga", **more):
    """The answer to a login; where nothing else is said it leads to the only cluster."""
    form = {"token": f"{who}-secret", "next": "/c/shop", **more}
    return await browser.post("/login", data=form, allow_redirects=False)


def parsed(text: str) -> Element:
    """The document. Fails on whatever HTML does not permit."""
    return html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(text)


def named(document: Element, name: str) -> list[Element]:
    """Every element of that name, those of a drawing too."""
    return [one for one in document.iter() if str(one.tag).rpartition("}")[2] == name]


def fields(document: Element) -> dict[str, str]:
    """What the only form of a page sends if nothing is typed."""
    (form,) = [one for one in document.iter("form") if one.get("action") != "/logout"]
    chosen = {one.get("name", ""): one.get("value", "") for one in form.iter("input")}
    for select in form.iter("select"):
        options = list(select.iter("option"))
        picked = next((one for one in options if one.get("selected") is not None), options[0])
        chosen[select.get("name", "")] = picked.get("value", picked.text or "")
    return chosen


def text_of(document: Element, id: str) -> str:
    """The text of one element, on one line."""
    (found,) = [one for one in document.iter() if one.get("id") == id]
    return re.sub(r" ([,:;.])", r"\1", " ".join(" ".join(found.itertext()).split()))


def page_of(carrier, path="/c/shop", who="vera") -> str:
    """A page as one who has logged in gets it."""

    async def talk(browser):
        await logged_in(browser, who)
        async with browser.get(path, headers=PAGE) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.text()

    return browsing(carrier, talk)
