"""What deliveries count, for Prometheus. Partners are a closed set from their file; no borrower is in a label."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

ATTEMPTS = Counter("reprieve_webhooks_attempts_total", "Attempts to deliver, by outcome.", ["partner", "outcome"])
ENDED = Counter("reprieve_webhooks_ended_total", "Deliveries that are over, by how they ended.", ["partner", "state"])
TRIES = Histogram(
    "reprieve_webhooks_attempts_each", "Attempts that a delivery took.", ["partner"], buckets=(1, 2, 3, 5, 8, 13, 21)
)
ANSWER_SECONDS = Histogram("reprieve_webhooks_answer_seconds", "Time until a partner answered.", ["partner"])
QUEUED = Counter("reprieve_webhooks_queued_total", "Deliveries queued.")
SKIPPED = Counter("reprieve_webhooks_skipped_total", "Events that a partner was not told of, by reason.", ["reason"])
PENDING = Gauge("reprieve_webhooks_pending", "Deliveries that wait.", ["partner"])
PARKED = Gauge("reprieve_webhooks_parked", "Deliveries that were given up and wait to be sent again.", ["partner"])
OLDEST = Gauge("reprieve_webhooks_oldest_pending_seconds", "Age of the oldest delivery that waits.", ["partner"])
GONE = Gauge("reprieve_webhooks_gone", "1 where a partner's endpoint has said that it is gone.", ["partner"])
CONSENT_AGE = Gauge("reprieve_webhooks_consent_age_seconds", "Since when a withdrawal could have gone unseen.")
