"""`pytest tests/sim --seed N [--storm SECONDS]` plays that seed alone, and prints its timeline if it fails."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, help="play this seed of the simulator alone")
    parser.addoption("--storm", type=float, default=60.0, help="simulated seconds of faults in that seed")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "asked" in metafunc.fixturenames:
        seed = metafunc.config.getoption("seed")
        metafunc.parametrize("asked", [] if seed is None else [(seed, metafunc.config.getoption("storm"))], ids=str)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    nothing = [item for item in items if "NOTSET" in item.name]  # a test over no values would count as skipped
    config.hook.pytest_deselected(items=nothing)
    items[:] = [item for item in items if item not in nothing]
    if config.getoption("seed") is not None:
        chosen = [item for item in items if "asked" in getattr(item, "fixturenames", ())]
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen
