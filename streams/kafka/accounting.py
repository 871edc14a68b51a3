"""Counts what a batch has done, once it is committed, and tells of what was refused."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import structlog

from streams.kafka import business
from streams.kafka.batch import Batch
from streams.kafka.metrics import DELAY_SECONDS, LANE_COMMITTED, LANE_READ, LANE_REFUSED, LANE_SAID
from streams.traceparent import trace_ids

log: Any = structlog.get_logger(__name__)


def committed(batch: Batch) -> None:
    """Count a batch that was committed."""
    now = time.time()
    LANE_COMMITTED.set(now)
    if batch.oldest:
        DELAY_SECONDS.observe(max(0.0, now - batch.oldest / 1000))
    for topic, count in batch.read.items():
        LANE_READ.labels(topic).inc(count)
    for topic, count in Counter([saying.topic for saying in batch.said]).items():
        LANE_SAID.labels(topic).inc(count)
    business.count(batch.counted)
    for code, count in batch.refused.items():
        LANE_REFUSED.labels(code=code).inc(count)
        # A line a code and batch, whatever comes: a flood of bad records must not become one of lines. What a record
        # says, and its key, is in no line; the dead letter has them.
        topic, partition, offset, trace = batch.first_refused[code]
        log.warning(
            "dead_letter",
            code=code,
            count=count,
            topic=topic,
            partition=partition,
            offset=offset,
            **trace_ids(trace),
        )
