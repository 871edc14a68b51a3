"""What comes in over HTTP, for Prometheus. Sources are a closed set from their file."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

REQUESTS = Counter("reprieve_intake_requests_total", "Messages answered, by source and status.", ["source", "status"])
EVENTS = Counter("reprieve_intake_events_total", "Events of messages, by what became of them.", ["source", "outcome"])
SECONDS = Histogram("reprieve_intake_seconds", "Time to answer a message.")
OPEN = Gauge("reprieve_intake_open", "1 while events can be taken.")
