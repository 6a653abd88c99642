"""The runbooks as files, which lie beside the packages: in docs/runbooks of a work tree, and installed with them."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "docs" / "runbooks"
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def names() -> tuple[str, ...]:
    """Of every runbook, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.md")))


def read(name: str) -> str | None:
    """One runbook, in Markdown; None if there is none of that name."""
    path = FOLDER / f"{name}.md"
    return path.read_text(encoding="utf-8") if _NAME.fullmatch(name) and path.is_file() else None


def title(text: str) -> str:
    """Its first line, without the mark."""
    return text.partition("\n")[0].removeprefix("# ")
