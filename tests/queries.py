"""PromQL as far as the tests need it: which metrics and labels an expression asks for."""

from __future__ import annotations

import re
from collections.abc import Iterator

from monitoring.metric_table import METRICS, Metric

NAMED = re.compile(r"(kembar_\w+)\s*(?:\{([^}]*)\})?")
LABEL = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
GROUPED = re.compile(r"(?:by|on|without|ignoring)\s*\(([^)]*)\)")
FROM_OUTSIDE = {"instance", "le"}  # the scrape's own, and a histogram's


def metrics_of(query: str) -> Iterator[tuple[Metric, set[str]]]:
    """Each metric with the labels that its selector names. Raises KeyError for one that nobody tells."""
    for name, selector in NAMED.findall(query):
        yield metric_named(name), set(LABEL.findall(selector))


def metric_named(name: str) -> Metric:
    """The metric of a series: a histogram is asked for by three names. Raises KeyError."""
    if name in METRICS and METRICS[name].kind != "histogram":
        return METRICS[name]
    base, _, part = name.rpartition("_")
    if part in ("bucket", "sum", "count") and base in METRICS and METRICS[base].kind == "histogram":
        return METRICS[base]
    raise KeyError(f"{name}: nothing of that name is told")


def grouped(query: str) -> set[str]:
    """Every label that the query groups or matches by."""
    return {label.strip() for labels in GROUPED.findall(query) for label in labels.split(",")}


def wrongs(query: str) -> list[str]:
    """What is wrong with it: metrics that are not told, labels that they do not have."""
    try:
        asked = list(metrics_of(query))
    except KeyError as error:
        return [str(error)]
    if not asked:
        return [f"no metric of ours: {query}"]
    known = {label for metric, _ in asked for label in metric.labels} | FROM_OUTSIDE
    of_selectors = [f"{m.name} has no {sorted(ls - set(m.labels))}" for m, ls in asked if ls - set(m.labels)]
    return [*of_selectors, *([f"{sorted(grouped(query) - known)} unknown: {query}"] if grouped(query) - known else [])]
