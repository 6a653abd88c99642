"""Runs the module of the same name, and adds between which two moments of our own clock its host was asked."""

from __future__ import annotations

import time
from typing import Any

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """No host's clock is set: how far one is off can be told only as far as the call took."""

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        began_s = time.time()
        result.update(self._execute_module(task_vars=task_vars))
        if "preflight" in result:
            result["preflight"]["asked_s"] = [began_s, time.time()]
        return result
