"""The metrics of workers and of the views' projector as a table: `python -m streams.kafka.metrics_table`."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics import MetricWrapperBase

from streams import portfolio_metrics
from streams.kafka import metrics
from streams.kafka.gauges import GAUGES


def rows() -> list[str]:
    """Return a row of the table for each metric, by name."""
    return [f"| `{n}` | {kind} | {', '.join(labels)} | {about} |" for n, kind, labels, about in sorted(_metrics())]


def _metrics() -> Iterator[tuple[str, str, tuple[str, ...], str]]:
    # The registry's own listing has no labels of what was never counted.
    for metric in [*vars(portfolio_metrics).values(), *vars(metrics).values()]:
        if isinstance(metric, MetricWrapperBase):
            name = metric._name + ("_total" if metric._type == "counter" else "")
            yield name, metric._type or "", tuple(metric._labelnames), metric._documentation
    for family in GAUGES.collect():
        yield family.name, family.type, tuple(family._labelnames), family.documentation


if __name__ == "__main__":
    print("\n".join(rows()))
