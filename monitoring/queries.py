"""What may stand behind the question mark of a call: unknown names and wrong values are refused, never ignored."""

from __future__ import annotations

from typing import Literal, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from monitoring.problems import invalid

Query = TypeVar("Query", bound=BaseModel)
NUMBER_MAX = 2**53 - 1


class NoQuery(BaseModel):
    """None."""

    model_config = ConfigDict(extra="forbid")


class LimitQuery(NoQuery):
    """How many at most."""

    limit: int = Field(default=100, ge=1, le=1000)


class EventsQuery(LimitQuery):
    """From which number on, and how grave at least."""

    after: int | None = Field(default=None, ge=-1, le=NUMBER_MAX)  # the number that was seen last
    severity: Literal["info", "warning", "critical"] = "info"


class WaitQuery(NoQuery):
    """How long the answer may take."""

    wait: str = Field(default="0", pattern=r"^[0-9]{1,6}[smhd]?$")  # for example 30s; a minute at most is waited


class RowsQuery(NoQuery):
    """Which rows are shown."""

    rows: Literal["", "all"] = ""


def query_of(request: web.Request, model: type[Query]) -> Query:
    """The query of a call. Raises Problem with every mistake."""
    given = {name: request.query.getall(name) for name in request.query}
    repeated = [(f"?{name}", f"stands there {len(values)} times") for name, values in given.items() if len(values) > 1]
    if repeated:
        raise invalid(repeated)
    try:
        return model.model_validate({name: values[0] for name, values in given.items()})
    except ValidationError as error:
        raise invalid(
            [("?" + ".".join(map(str, one["loc"])), one["msg"]) for one in error.errors(include_url=False)]
        ) from None
