"""Package sources of an apt host as values: both formats of its lists, and the source of another suite made from one.

Reads no file and names no host: whatever mirror or proxy the host uses is used for the lab too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

GENERIC_SUITES = ("stable", "testing", "unstable", "sid")
_ONE_LINE = re.compile(
    r"^deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)(?P<components>(?:\s+\S+)*)$"
)


@dataclass(frozen=True, slots=True)
class Source:
    """One source of binary packages. `signed_by` is a key file, or a whole key in deb822 continuation lines."""

    uris: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str | None = None

    def render(self) -> str:
        """The source as one deb822 stanza."""
        lines = ["Types: deb", f"URIs: {' '.join(self.uris)}", f"Suites: {' '.join(self.suites)}"]
        if self.components:
            lines.append(f"Components: {' '.join(self.components)}")
        if self.signed_by is not None:
            lines.append(f"Signed-By: {self.signed_by}")
        return "\n".join(lines) + "\n"


def parse_deb822(text: str) -> tuple[Source, ...]:
    """The enabled binary sources of a `.sources` file; stanzas without URIs or Suites are passed over."""
    sources = []
    for stanza in re.split(r"\n\s*\n", text):
        fields = _fields(stanza)
        enabled = fields.get("enabled", "yes").strip().lower() not in ("no", "false", "without", "off", "disable", "0")
        if enabled and "deb" in fields.get("types", "").split() and fields.get("uris") and fields.get("suites"):
            uris, suites, components = (tuple(fields.get(k, "").split()) for k in ("uris", "suites", "components"))
            sources.append(Source(uris, suites, components, fields.get("signed-by")))
    return tuple(sources)


def _fields(stanza: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line.startswith("#"):
            continue
        if line[:1].isspace() and name:
            fields[name] += "\n" + line.rstrip()
        elif ":" in line:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()
    return fields


def parse_one_line(text: str) -> tuple[Source, ...]:
    """The binary sources of a `sources.list`; comments and `deb-src` are passed over."""
    sources = []
    for line in text.splitlines():
        if match := _ONE_LINE.match(line.split("#", 1)[0].strip()):
            options = dict(o.split("=", 1) for o in (match["options"] or "").split() if "=" in o)
            components = tuple(match["components"].split())
            sources.append(Source((match["uri"],), (match["suite"],), components, options.get("signed-by")))
    return tuple(sources)


def of_release(sources: Iterable[Source], codename: str) -> tuple[Source, ...]:
    """The sources of the release itself, with its updates and security suites; those of third parties are left out."""
    return tuple(
        source
        for source in sources
        if any(re.split(r"[-/]", suite)[0] in (codename, *GENERIC_SUITES) for suite in source.suites)
    )


def for_suite(sources: Sequence[Source], codename: str, suite: str) -> Source | None:
    """The source of another suite on the same mirror, signed by the same keys; None if the release has no source.

    The code name itself comes first: the host of a security suite does not carry the other suites.
    """
    for names in ((codename,), GENERIC_SUITES):
        for source in sources:
            if "main" in source.components and set(names) & set(source.suites):
                return Source(source.uris, (suite,), ("main",), source.signed_by)
    return None
