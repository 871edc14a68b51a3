"""OpenTelemetry traces of tasks, where settings name a collector; otherwise nothing of it is even imported.

A batch is a span, sampled by `tracing.sample_ratio`, with links to the producers' spans of records that were sampled. A
sampled record that something is said about has a span of its own in its producer's trace, and what is said carries that
on; what a record without a trace makes carries the batch's. Names and attributes are those of the semantic conventions
for messaging. No key and no content of a record is in a span.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from schemas.errors import UsageError
from streams.settings import Settings
from streams.traceparent import Carries, Untraced, parsed, traceparent_of

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext

# A batch has thousands of records; where all are sampled, so many have links and spans of their own.
_MOST = 64
# Seconds that a collector has to take what is sent, and what is left at the end.
_PATIENCE = 5.0
# What an error says may name an account, and is told elsewhere.
_QUIET: dict[str, Any] = {"record_exception": False, "set_status_on_exception": False}


class TaskTracer(Untraced):
    """Makes the spans of one task."""

    def __init__(self, tracer: Any, group: str, partition: int) -> None:
        from opentelemetry import trace
        from opentelemetry.semconv._incubating.attributes import messaging_attributes as names

        self._trace, self._names, self._tracer = trace, names, tracer
        self._attributes = {
            names.MESSAGING_SYSTEM: "kafka",
            names.MESSAGING_OPERATION_TYPE: "process",
            names.MESSAGING_OPERATION_NAME: "process",
            names.MESSAGING_CONSUMER_GROUP_NAME: group,
            names.MESSAGING_DESTINATION_PARTITION_ID: str(partition),
        }
        self._began = 0
        self._own = 0

    @contextmanager
    def batch(self, records: Mapping[str, Sequence[Carries]]) -> Iterator[None]:
        """Make a span of a batch, with links to the producers of its sampled records."""
        from opentelemetry.context import Context

        self._began, self._own = time.time_ns(), 0
        count = sum(map(len, records.values()))
        attributes = self._attributes | {self._names.MESSAGING_BATCH_MESSAGE_COUNT: count}
        if len(records) == 1:
            attributes[self._names.MESSAGING_DESTINATION_NAME] = next(iter(records.values()))[0].topic
        with self._tracer.start_as_current_span(
            "process",
            context=Context(),
            kind=self._trace.SpanKind.CONSUMER,
            attributes=attributes,
            links=list(self._links(records)),
            **_QUIET,
        ):
            yield

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Make a span of a step of a batch."""
        with self._tracer.start_as_current_span(name, **_QUIET):
            yield

    def carried(self, record: Carries) -> bytes | None:
        """Return the trace context of what is said about a record, which has a span from now on."""
        came = traceparent_of(record.headers)
        here = self._trace.get_current_span().get_span_context()
        if came is None:
            return _written(here) if here.is_valid and here.trace_flags.sampled else None
        producer = self._producer(came)
        if producer is None or self._own == _MOST:
            return came
        self._own += 1
        span = self._tracer.start_span(
            f"process {record.topic}",
            context=self._trace.set_span_in_context(self._trace.NonRecordingSpan(producer)),
            kind=self._trace.SpanKind.CONSUMER,
            links=[self._trace.Link(here)] if here.is_valid else (),
            start_time=self._began or None,
            attributes=self._attributes
            | {
                self._names.MESSAGING_DESTINATION_NAME: record.topic,
                self._names.MESSAGING_DESTINATION_PARTITION_ID: str(record.partition),
                self._names.MESSAGING_KAFKA_OFFSET: record.offset,
            },
        )
        span.end()
        return _written(span.get_span_context())

    def _links(self, records: Mapping[str, Sequence[Carries]]) -> Iterator[Any]:
        left = _MOST
        for some in records.values():
            for record in some:
                came = traceparent_of(record.headers) if record.headers else None
                producer = None if came is None else self._producer(came)
                if producer is not None:
                    yield self._trace.Link(producer)
                    left -= 1
                    if not left:
                        return

    def _producer(self, came: bytes) -> SpanContext | None:
        """Return the span that a record comes from, None where it is not sampled."""
        found = parsed(came)
        if found is None or not found[2]:
            return None
        flags = self._trace.TraceFlags(self._trace.TraceFlags.SAMPLED)
        return self._trace.SpanContext(int(found[0], 16), int(found[1], 16), is_remote=True, trace_flags=flags)


class Tracing:
    """Sends the spans of a worker to a collector. Raises UsageError where OpenTelemetry is not installed."""

    def __init__(self, settings: Settings) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
        except ImportError as error:
            raise UsageError(
                f"tracing.otlp_endpoint is set, but OpenTelemetry is not installed ({error.name}). Install "
                "`reprieve[otel]`, or leave tracing.otlp_endpoint out."
            ) from error
        self._group = settings.worker.application_id
        endpoint = (settings.tracing.otlp_endpoint or "").rstrip("/").removesuffix("/v1/traces") + "/v1/traces"
        resource = {"service.name": self._group}
        if settings.worker.instance_id is not None:
            resource["service.instance.id"] = settings.worker.instance_id
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(settings.tracing.sample_ratio)),
            resource=Resource.create(resource),
            shutdown_on_exit=False,
        )
        exporter = OTLPSpanExporter(endpoint=endpoint, timeout=_PATIENCE)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))

    def tracer(self, partition: int) -> TaskTracer:
        """Return what traces a task."""
        return TaskTracer(self._provider.get_tracer("reprieve"), self._group, partition)

    async def close(self) -> None:
        """Send what is left, as long as the collector takes it."""
        await asyncio.wait([asyncio.ensure_future(asyncio.to_thread(self._provider.shutdown))], timeout=_PATIENCE)


def tracing_of(settings: Settings) -> Tracing | None:
    """Return what sends spans, None where settings name no collector."""
    return None if settings.tracing.otlp_endpoint is None else Tracing(settings)


def _written(context: SpanContext) -> bytes:
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}".encode()
