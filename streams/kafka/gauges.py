"""What is so of a worker's tasks when Prometheus asks: lag, the age of commits, and what accounts come to.

A worker tells of its own tasks alone, as of their last commit. Whoever takes a partition over has its portfolio from
the changelog and tells of it from then on, so a sum over workers counts each account once, before and after a
rebalance. No account and no borrower is in a label. `python -m streams.kafka.gauges` prints all metrics as a table.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time
from typing import Protocol
from weakref import ref

from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import Collector

from state.portfolio import month_of
from streams import portfolio_metrics
from streams.kafka import metrics
from streams.kafka.task_executor import TaskExecutor

Labels = tuple[str, ...]

# How long something has been so, or is ahead, in months: the first month behind each group, and its name.
_MONTHS = ((1, "0"), (2, "1"), (3, "2"), (6, "3-5"), (12, "6-11"))
_OLDEST = "12+"
# By measure: the metrics of counts and of amounts (None is not told) with what they are, and their labels.
_PORTFOLIO: dict[str, tuple[tuple[str, str] | None, tuple[str, str] | None, list[str]]] = {
    "bucket": (
        ("reprieve_accounts", "Accounts that are open."),
        ("reprieve_owed_minor_units", "What accounts owe; interest and fees once past due or billed."),
        ["currency", "bucket"],
    ),
    "bad_debt": (
        ("reprieve_bad_debts", "Accounts that are or were a bad debt."),
        ("reprieve_bad_debts_owed_minor_units", "What these owe."),
        ["currency", "status"],
    ),
    "bad_since": (
        ("reprieve_bad_debts_by_age", "Bad debts, by the months since they entered their status."),
        ("reprieve_bad_debts_by_age_owed_minor_units", "What these owe."),
        ["currency", "months"],
    ),
    "class": (
        ("reprieve_class_accounts", "Accounts in each class of a classification."),
        ("reprieve_class_owed_minor_units", "What these owe."),
        ["currency", "policy", "class"],
    ),
    "stage": (
        ("reprieve_stage_accounts", "Accounts in each impairment stage."),
        ("reprieve_stage_exposure_minor_units", "What these owe."),
        ["currency", "stage"],
    ),
    "allowance": (None, ("reprieve_allowance_minor_units", "Impairment allowance."), ["currency", "stage"]),
    "standing": (("reprieve_standing_accounts", "Accounts by credit standing."), None, ["standing"]),
    "plan": (
        ("reprieve_plans_active", "Accounts under a repayment plan."),
        ("reprieve_plans_active_owed_minor_units", "What these owe."),
        ["currency"],
    ),
    "plan_due": (
        ("reprieve_plan_instalments_due", "Unpaid instalments of active plans, by the months until they fall due."),
        ("reprieve_plan_cash_due_minor_units", "What these ask for: the cash that is expected of plans."),
        ["currency", "months_ahead"],
    ),
    "recovered": (
        None,
        ("reprieve_bad_debts_recovered_minor_units", "Paid on bad debts, all in all, less what was reversed."),
        ["currency"],
    ),
}


class HasExecutors(Protocol):
    """Whose executors are asked: a TaskManager."""

    def running(self) -> list[TaskExecutor]:
        """Return the executors of the tasks that run."""


class TaskGauges(Collector):
    """Tells of the tasks that it was last given."""

    def __init__(self) -> None:
        self._manager: ref[HasExecutors] | None = None

    def watch(self, manager: HasExecutors) -> None:
        """Tell of its tasks from now on."""
        self._manager = ref(manager)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield all gauges."""
        manager = None if self._manager is None else self._manager()
        executors = [] if manager is None else manager.running()
        yield from _progress(executors)
        yield from _portfolio(executors)


def _progress(executors: Iterable[TaskExecutor]) -> Iterator[GaugeMetricFamily]:
    lag = GaugeMetricFamily(
        "reprieve_input_lag_records",
        "Offsets between what a task has taken and the end of its input, as last fetched.",
        labels=["topic", "partition"],
    )
    age = GaugeMetricFamily(
        "reprieve_commit_age_seconds",
        "Since when a task has committed nothing while something waits; 0 where nothing does.",
        labels=["partition"],
    )
    closed = GaugeMetricFamily(
        "reprieve_closed_through_timestamp_seconds",
        "The business date that all tasks of a worker have closed.",
        labels=["agent"],
    )
    parked = GaugeMetricFamily(
        "reprieve_parked_keys", "Accounts and borrowers whose records wait for their opening.", labels=[]
    )
    quarantined = GaugeMetricFamily(
        "reprieve_quarantined_keys",
        "Keys on which an agent failed; their records wait for a release.",
        labels=["agent"],
    )
    through: dict[str, date] = {}
    held: dict[str, int] = {}
    waiting = 0
    for executor in executors:
        task = executor.task
        age.add_metric([str(task.partition)], executor.commit_age)
        for topic, behind in executor.queue.lag().items():
            lag.add_metric([topic, str(task.partition)], behind)
        waiting += len(task.store.parked_keys)
        in_quarantine = list(task.quarantine.held)
        for agent_task in task.agent_tasks:
            count = sum(name == agent_task.name for name, _ in in_quarantine)
            held[agent_task.name] = held.get(agent_task.name, 0) + count
            if agent_task.closed_through is not None:
                through[agent_task.agent.name] = min(
                    agent_task.closed_through, through.get(agent_task.agent.name, date.max)
                )
    for agent, day in through.items():
        closed.add_metric([agent], datetime.combine(day, time(), UTC).timestamp())
    parked.add_metric([], waiting)
    for agent, count in held.items():
        quarantined.add_metric([agent], count)
    yield from (lag, age, closed, parked, quarantined)


def _portfolio(executors: Iterable[TaskExecutor]) -> Iterator[GaugeMetricFamily]:
    counts: dict[str, dict[Labels, int]] = defaultdict(lambda: defaultdict(int))
    amounts: dict[str, dict[Labels, int]] = defaultdict(lambda: defaultdict(int))
    for executor in executors:
        task = executor.task
        day = task.agent_tasks[0].closed_through
        # Before the first close there is neither a bad debt nor a plan.
        month = 0 if day is None else month_of(day.toordinal())
        for (measure, *of), (count, amount) in task.committed_portfolio.items():
            labels = _labels(measure, of, month, task.portfolio.names)
            counts[measure][labels] += count
            amounts[measure][labels] += amount
    for measure, (counted, summed, names) in _PORTFOLIO.items():
        for metric, found in ((counted, counts), (summed, amounts)):
            if metric is not None:
                family = GaugeMetricFamily(*metric, labels=names)
                for labels, value in found[measure].items():
                    family.add_metric(labels, value)
                yield family


def _labels(measure: str, of: list[str], month: int, names: dict[str, list[str]]) -> Labels:
    if measure == "bad_since":
        return (of[0], _months(month - int(of[1])))
    if measure == "plan_due":
        return (of[0], _months(int(of[1]) - month))
    if measure == "class":
        ranks, rank = names.get(of[1], []), int(of[2])
        return (of[0], of[1], ranks[rank] if rank < len(ranks) else f"rank_{rank}")
    return tuple(of)


def _months(count: int) -> str:
    return next((name for behind, name in _MONTHS if count < behind), _OLDEST)


GAUGES = TaskGauges()
REGISTRY.register(GAUGES)


def metrics_table() -> list[str]:
    """Return a row of the operators' table for each metric of workers and of the views' projector, by name."""
    return [f"| `{n}` | {kind} | {', '.join(labels)} | {about} |" for n, kind, labels, about in sorted(_all_metrics())]


def _all_metrics() -> Iterator[tuple[str, str, tuple[str, ...], str]]:
    # The registry's own listing has no labels of what was never counted.
    for metric in [*vars(portfolio_metrics).values(), *vars(metrics).values()]:
        if isinstance(metric, MetricWrapperBase):
            name = metric._name + ("_total" if metric._type == "counter" else "")
            yield name, metric._type or "", tuple(metric._labelnames), metric._documentation
    for family in GAUGES.collect():
        yield family.name, family.type, tuple(family._labelnames), family.documentation


if __name__ == "__main__":
    print("\n".join(metrics_table()))
