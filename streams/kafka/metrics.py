"""What a worker counts, for Prometheus. No account and no borrower is ever in a label."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from schemas.events import ModelUpdated

LANE_READ = Counter("reprieve_records_read_total", "Input records whose outcome is committed.", ["topic"])
LANE_SAID = Counter("reprieve_records_said_total", "Records published and committed, barriers included.", ["topic"])
LANE_REFUSED = Counter("reprieve_records_refused_total", "Records that became dead letters, by cause.", ["code"])
LANE_COMMITTED = Gauge("reprieve_last_commit_timestamp_seconds", "When a batch was last committed.")
LANE_BATCH_SECONDS = Histogram("reprieve_batch_seconds", "Time to decide on a batch.")
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
LANES = Gauge("reprieve_lanes", "Partitions that this worker processes.")
STANDBYS = Gauge("reprieve_standbys", "Partitions whose state this worker keeps warm for another.")
RESTORED = Counter("reprieve_rows_restored_total", "Rows read back from changelogs.")
VIEWS_LAG = Gauge("reprieve_views_lag_rows", "Committed rows that are not yet in Redis.", ["topic", "partition"])
VIEWS_AWAY = Gauge("reprieve_views_redis_away", "1 while Redis does not answer.")
VIEWS_WRITTEN = Counter("reprieve_views_written_total", "Views written to Redis.")
REBUILT = Counter(
    "reprieve_stores_rebuilt_total", "Stores thrown away and built anew from the changelog, by cause.", ["cause"]
)
LEARNER_VERSION = Gauge("reprieve_learner_version", "How often the model that leads offers was updated.")
LEARNER_ROWS = Gauge("reprieve_learner_rows", "Options shown whose outcome the model has learned from.")
LEARNER_TRIPPED = Gauge("reprieve_learner_tripped", "1 while a guardrail has put the fixed order back.")


def see_learned(update: ModelUpdated) -> None:
    """Take notice of what the learner told last."""
    LEARNER_VERSION.set(update.version)
    LEARNER_ROWS.set(update.rows)
    LEARNER_TRIPPED.set(update.tripped is not None)
