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

    reconcile: Reconcile | None = Field(None, description="the whole section: what is not named gets its default")
    preferred: str | None = Field(None, description="the node that kembar failback brings the primary back to")
    failovers_per_hour_max: int | None = Field(None, ge=0, description="more than so many begin a hold-down")
    backlog_transactions_max: int | None = Field(None, ge=1, description="a standby further behind is not certified")
