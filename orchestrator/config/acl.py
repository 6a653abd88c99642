"""Section `zookeeper` of orchestrator.yaml: how we reach ZooKeeper, and who may do what there."""

from __future__ import annotations

from pydantic import Field, ValidationInfo, field_validator

from orchestrator.config.load import Section, Wrong, reject
from orchestrator.config.shared import ZooKeeper
from orchestrator.config.subject import Subject


class Acl(Section):
    """Who may do what in ZooKeeper, by the subject of each one's certificate; `kembar init` puts it in force."""

    provisioning: Subject = Field(description="runs kembar init, and alone may change rights")
    orchestrators: list[Subject] = Field(min_length=1, description="decide and record")
    readers: list[Subject] = Field(default=[], description="read what kembar status shows, no more")


class GuardedZooKeeper(ZooKeeper):
    """ZooKeeper, and who may do what there."""

    acl: Acl | None = Field(
        default=None, description="provisioning, orchestrators, readers; without it, all may do all"
    )

    @field_validator("acl")
    @classmethod
    def _proven(cls, acl: Acl | None, info: ValidationInfo) -> Acl | None:
        tls = info.data.get("tls")
        if acl is None or "tls" not in info.data:
            return acl
        if tls is None:
            reject(Wrong("nobody proves who he is over plain TCP", "give zookeeper.tls too, before acl"))
        if tls.subject not in (acl.provisioning, *acl.orchestrators):
            reject(
                Wrong(
                    f"{tls.certificate} is of {tls.subject}, which is not listed",
                    "list this orchestrator's own, or it could write nothing",
                    ("orchestrators",),
                )
            )
        return acl
