"""`make security`: each privilege and capability is taken away in turn, and docs/security.md is printed. Needs root."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from lab.stand import Stand
from orchestrator.core.errors import StepFailed
from tests.security.cluster import Cluster
from tests.security.document import printed
from tests.security.ensemble import rights
from tests.security.granted import Grant, grants
from tests.security.repairs import repairs
from tests.security.seen import Noticed
from tests.security.units import AGENT, capabilities, exposures

DOCUMENT = Path(__file__).parents[2] / "docs/security.md"
Seen = dict[tuple[str, str], Noticed]


def say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def found(grant: Grant, noticed: Noticed | None) -> Noticed:
    """Raises StepFailed for a privilege that nobody misses."""
    if noticed is None:
        raise StepFailed(f"nobody misses {grant.named} of {grant.user}: exercise it here, or do not grant it")
    say(f"{grant.user} without {grant.named}: {noticed.step}: {noticed.said}")
    return noticed


def of_repairs(seen: Seen) -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as home, repairs(Path(home)) as scene:
        if noticed := scene.notice():
            raise StepFailed(f"refused with every privilege: {noticed}")
        for grant in grants():
            if grant.user != "kembar_agent":
                scene.take(grant)
                try:
                    seen[grant.user, grant.named] = found(grant, scene.notice())
                finally:
                    scene.give(grant)


def of_the_pair(seen: Seen, dropped: dict[str, Noticed]) -> str:
    """The version of the servers."""
    stand = Stand("security")
    with stand.lent("fast", say) as facts:
        cluster = Cluster(stand)
        for grant in grants():
            if grant.user == "kembar_agent":
                cluster.take(grant)
                seen[grant.user, grant.named] = found(grant, cluster.notice())
                cluster.give(grant)
        for capability in capabilities(AGENT):
            node = cluster.drop(capability)
            noticed = cluster.notice()
            cluster.restore(node)
            if noticed is None:
                raise StepFailed(f"nobody misses {capability}: take it out of {AGENT}")
            dropped[capability] = noticed
        return f"MySQL {facts.mysql_version}"


def main() -> int:
    began = time.monotonic()
    seen: Seen = {}
    dropped: dict[str, Noticed] = {}
    version = of_the_pair(seen, dropped)
    of_repairs(seen)
    seconds = time.monotonic() - began
    text = printed(seen, dropped, exposures(), rights(), version=version, seconds=seconds)
    DOCUMENT.write_text(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
