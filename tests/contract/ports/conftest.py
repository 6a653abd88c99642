"""One suite a port, for the real adapter, the simulator's model and the unit tests' fake alike."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract import mysqlpair
from tests.contract.ports.databases import Pair, real_pair, simulated_pair
from tests.contract.ports.pace import VirtualPace


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """A case of a model runs as a strand, so that it may wait in virtual time."""
    paces = {getattr(given, "pace", None) for given in pyfuncitem.funcargs.values()}
    virtual = [pace for pace in paces if isinstance(pace, VirtualPace)]
    if not virtual:
        return None
    given = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    virtual[0].play(lambda: pyfuncitem.obj(**given))
    return True


@pytest.fixture(scope="session")
def running() -> Iterator[mysqlpair.Pair]:
    with mysqlpair.replicating() as pair:
        yield pair


@pytest.fixture(params=[pytest.param("mysqld", marks=pytest.mark.lab), "simulator"])
def pair(request: pytest.FixtureRequest) -> Pair:
    return real_pair(request.getfixturevalue("running")) if request.param == "mysqld" else simulated_pair(seed=7)
