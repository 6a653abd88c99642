"""Stories of a pair: commands, a line, then everything that happens. `pytest --rewrite` writes what happens now."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stories import tell

STORIES = sorted((Path(__file__).parent.parent / "scenarios").glob("*.txt"))
LINE = "----\n"


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_story(path, request):
    commands, line, then = path.read_text().partition(LINE)
    now = tell(commands)
    if request.config.getoption("--rewrite"):
        path.write_text(f"{commands}{LINE}{now}")
    else:
        assert line, f"{path} has not been told yet: pytest --rewrite"
        assert now == then


def test_there_are_stories():
    assert len(STORIES) >= 7
