"""The section `reconcile` in YAML: in orchestrator.yaml, and in the file that `kembar config set` takes."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from orchestrator.config.load import Section
from orchestrator.core.mergepolicy import MergePolicy

SWITCHES = ("mode", "merge")


def _spelled(value: Any) -> Any:
    """Without quotation marks `off` is False to YAML."""
    if not isinstance(value, dict):
        return value
    return {key: "off" if key in SWITCHES and one is False else one for key, one in value.items()}


Reconcile = Annotated[MergePolicy, BeforeValidator(_spelled)]


class PolicyFile(Section):
    """What `kembar config show` prints and `kembar config set` takes."""

    reconcile: Reconcile = Field(description="the whole section: what is not named gets its default")
