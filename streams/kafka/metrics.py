"""What a worker counts, for Prometheus: once a batch is committed. No account and no borrower is ever in a label."""

from __future__ import annotations

import time
from collections import Counter as Tally
from typing import Any

import structlog
from prometheus_client import Counter, Gauge, Histogram

from schemas.events import ModelUpdated
from streams.engine.output import TaskOutput
from streams.engine.policies import Policies
from streams.portfolio_metrics import COUNTED_ON_INTAKE, add_counts, counts_of
from streams.traceparent import trace_ids

log: Any = structlog.get_logger(__name__)

RECORDS_READ = Counter("reprieve_records_read_total", "Input records whose outcome is committed.", ["topic"])
RECORDS_PRODUCED = Counter(
    "reprieve_records_produced_total", "Records published and committed, barriers included.", ["topic"]
)
RECORDS_REFUSED = Counter("reprieve_records_refused_total", "Records that became dead letters, by cause.", ["code"])
LAST_COMMIT = Gauge("reprieve_last_commit_timestamp_seconds", "When a batch was last committed.")
BATCH_SECONDS = Histogram("reprieve_batch_seconds", "Time to decide on a batch.")
DELAY_SECONDS = Histogram(
    "reprieve_delay_seconds",
    "From when the broker took the oldest record of a batch until its outcome was committed.",
    buckets=(0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300),
)
COMMIT_SECONDS = Histogram("reprieve_transaction_seconds", "Time to commit a batch as a transaction.")
COMMIT_RETRIES = Counter("reprieve_transaction_retries_total", "Transactions tried again, since the broker was away.")
BROKER_AWAY = Gauge("reprieve_broker_wait_seconds", "The pause before the broker is tried again; 0 while it is there.")
UNREADABLE = Gauge(
    "reprieve_unreadable", "1 while what Kafka has of a partition cannot be read.", ["topic", "partition"]
)
TOPICS_DIFFER = Gauge(
    "reprieve_topics_differ",
    "1 while a topic has other settings than asked for, and workers work on all the same.",
    ["topic"],
)
TASKS = Gauge("reprieve_tasks", "Partitions that this worker processes.")
STANDBYS = Gauge("reprieve_standbys", "Partitions whose state this worker keeps warm for another.")
RESTORED = Counter("reprieve_rows_restored_total", "Rows read back from changelogs.")
VIEWS_LAG = Gauge("reprieve_views_lag_rows", "Committed rows that are not yet in Redis.", ["topic", "partition"])
VIEWS_AWAY = Gauge("reprieve_views_redis_away", "1 while Redis does not answer.")
VIEWS_EVICT = Gauge(
    "reprieve_views_redis_evicts", "1 where Redis throws views away when it is full, as it was when views began."
)
VIEWS_WRITTEN = Counter("reprieve_views_written_total", "Views written to Redis.")
REBUILT = Counter(
    "reprieve_stores_rebuilt_total", "Stores thrown away and built anew from the changelog, by cause.", ["cause"]
)
BY_DEFAULT = Gauge(
    "reprieve_policy_by_default",
    "1 for accounts of a place that no row of the policy book names, since the worker met one.",
    ["jurisdiction"],
)
CALENDAR_MISSING = Gauge(
    "reprieve_calendar_missing",
    "1 where due dates are rolled by weekdays, since the calendar is not known.",
    ["calendar"],
)
LEARNER_VERSION = Gauge("reprieve_learner_version", "How often the model that leads offers was updated.")
LEARNER_ROWS = Gauge("reprieve_learner_rows", "Options shown whose outcome the model has learned from.")
LEARNER_TRIPPED = Gauge("reprieve_learner_tripped", "1 while a guardrail has put the fixed order back.")


def see_policies(policies: Policies) -> None:
    """Take notice of what a policy book leaves open."""
    # A product may be any text.
    for jurisdiction, _ in policies.by_default:
        BY_DEFAULT.labels(jurisdiction).set(1)
    for calendar in policies.missing_calendars:
        CALENDAR_MISSING.labels(calendar).set(1)


def see_learned(update: ModelUpdated) -> None:
    """Take notice of what the learner told last."""
    LEARNER_VERSION.set(update.version)
    LEARNER_ROWS.set(update.rows)
    LEARNER_TRIPPED.set(update.tripped is not None)


def count_committed(output: TaskOutput) -> None:
    """Count a batch that was committed."""
    now = time.time()
    LAST_COMMIT.set(now)
    if output.oldest_append_ms:
        DELAY_SECONDS.observe(max(0.0, now - output.oldest_append_ms / 1000))
    for topic, count in output.consumed.items():
        RECORDS_READ.labels(topic).inc(count)
    for topic, count in Tally([record.topic for record in output.records]).items():
        RECORDS_PRODUCED.labels(topic).inc(count)
    events = [record.event for record in output.records if record.event is not None]
    events += [event for event in output.recorded if type(event) in COUNTED_ON_INTAKE]
    add_counts(Tally(found for event in events for found in counts_of(event)))
    for code, count in output.dead_lettered.items():
        RECORDS_REFUSED.labels(code=code).inc(count)
        # A line a code and batch, whatever comes: a flood of bad records must not become one of lines. What a record
        # says, and its key, is in no line; the dead letter has them.
        topic, partition, offset, trace = output.first_dead_lettered[code]
        log.warning(
            "dead_letter",
            code=code,
            count=count,
            topic=topic,
            partition=partition,
            offset=offset,
            **trace_ids(trace),
        )
