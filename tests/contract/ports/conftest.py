"""One suite a port, for the real adapter, the simulator's model and the unit tests' fake alike."""

from __future__ import annotations

import pytest

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
