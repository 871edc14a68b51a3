"""Traces are carried through, told in log lines, and made where a collector is named."""

from __future__ import annotations

import asyncio
import gzip
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import msgspec
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from structlog.testing import capture_logs

from schemas import events as ev
from schemas.codec import Codec
from schemas.topics import TOPIC_OF, key_of
from simulator.runs import simulate
from state.policy_packs.loader import default_book
from streams.local.runtime import LocalRuntime
from streams.security.sealed_log import read_headers
from streams.settings import Settings
from streams.traceparent import parsed, trace_ids, traceparent_of
from streams.tracing import Tracing
from tests.support.in_memory_cluster import InMemoryCluster, InMemoryWorker

SAID = ("delinquency", "workout-requests", "offers", "plans", "decisions")
DAYS = 100


def traceparent(number: int, sampled: bool = True) -> bytes:
    """Return the trace context of a producer's span; trace and span have the same number."""
    return f"00-{number:032x}-{number:016x}-{'01' if sampled else '00'}".encode()


def history() -> list[ev.Event]:
    """Return a population's events, with offers among what comes of them."""
    return list(simulate(accounts=60, days=DAYS, seed=3, start=date(2026, 1, 5)))


async def taken(
    cluster: InMemoryCluster, owner: InMemoryWorker, events: Sequence[ev.Event], sampled: bool = True
) -> None:
    """Let a house take events, each of a trace of its own."""
    cluster.open(owner, 0)
    for number, event in enumerate(events, 1):
        cluster.publish([event], (("traceparent", traceparent(number, sampled)),))
    cluster.append("payments", 0, b"A1", b"no event", (("traceparent", traceparent(9_999_999, sampled)),))
    await cluster.settle(owner)
    for executor in owner.running():
        await executor.stop(5)


@given(st.binary(max_size=70) | st.integers(1, 2**64 - 1).map(traceparent))
def test_a_trace_context_is_taken_as_the_standard_says(came: bytes) -> None:
    found = parsed(came)
    if found is not None:
        version, trace, span, flags, *_ = came.split(b"-")
        assert (found[0].encode(), found[1].encode()) == (trace, span)
        assert found[2] == bool(int(flags, 16) & 1)
        assert (len(version), len(trace), len(span), len(flags)) == (2, 32, 16, 2)
        assert trace_ids(came) == {"trace_id": found[0], "span_id": found[1]}
    else:
        assert trace_ids(came) == {}


@pytest.mark.parametrize(
    "came",
    [b"", b"00-0", b"ff" + traceparent(1)[2:], traceparent(1) + b"-more", b"00-" + b"0" * 32 + traceparent(1)[35:],
     traceparent(1).replace(b"01", b"zz"), traceparent(171).upper(), None],
)  # fmt: skip
def test_what_is_no_trace_context_is_none(came: bytes | None) -> None:
    assert parsed(came) is None


def test_tasks_carry_the_trace_of_a_record_to_all_outputs(tmp_path: Path) -> None:
    cluster, owner, events = InMemoryCluster(tmp_path, 1), InMemoryWorker(), history()
    with capture_logs() as lines:
        asyncio.run(taken(cluster, owner, events))
    came = {event.event_id: traceparent(number) for number, event in enumerate(events, 1)}
    said = 0
    for topic in SAID:
        for record, event in cluster.said(topic):
            cause = getattr(event, "caused_by", "")
            found = traceparent_of(record.headers)
            # What caused it may itself have been caused; the trace is always that of a record from outside.
            assert found in came.values()
            if cause in came:
                assert found == came[cause]
                said += 1
    assert said > 10
    assert cluster.said("offers")
    ((letter, _),) = cluster.said("dead-letters")
    assert traceparent_of(letter.headers) == traceparent(9_999_999)
    (line,) = [line for line in lines if line["event"] == "dead_letter"]
    assert line["trace_id"] == f"{9_999_999:032x}"
    assert {k: line[k] for k in ("code", "count", "topic", "partition")} == {
        "code": "unreadable", "count": 1, "topic": "payments", "partition": 0
    }  # fmt: skip
    names = {key_of(event) for event in events} - {None}
    assert not [name for name in names if name in str(lines)]
    cluster.close()


def test_a_thousand_bad_records_are_a_line_a_batch(tmp_path: Path) -> None:
    cluster, owner = InMemoryCluster(tmp_path, 1), InMemoryWorker()

    async def run() -> None:
        cluster.open(owner, 0)
        for number in range(1_000):
            cluster.append("payments", 0, f"Secret-{number}".encode(), b"Secret")
        await cluster.settle(owner)
        await owner.executors[0].stop(5)

    with capture_logs() as lines:
        asyncio.run(run())
    assert sum(line["count"] for line in lines) == 1_000
    assert len(lines) <= 10
    assert "Secret" not in str(lines)
    cluster.close()


def test_the_local_runtime_carries_traces_through_too(tmp_path: Path) -> None:
    codec = Codec()
    came = {}
    with LocalRuntime.open(None, default_book()) as runtime:
        for number, event in enumerate(history(), 1):
            came[event.event_id] = traceparent(number)
            key = key_of(event)
            headers = [("traceparent", traceparent(number))]
            at = int(event.occurred_at.timestamp() * 1000)
            runtime.publish_raw(
                TOPIC_OF[type(event)].name, None if key is None else key.encode(), codec.encode(event), headers, at
            )
        runtime.run()
        said = 0
        for topic in SAID:
            events = [event for _, event in runtime.outputs(topic)]
            for row, event in zip(runtime._store.of_topic(topic), events, strict=True):
                found = traceparent_of(read_headers(row[5]))
                assert found in came.values()
                cause = getattr(event, "caused_by", "")
                said += cause in came
                assert cause not in came or found == came[cause]
        assert said > 10


# -- OpenTelemetry


class Collector:
    """An OTLP receiver: keeps the spans that come in."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.bytes = b""
        self.services: set[str] = set()

    async def take(self, request: web.Request) -> web.Response:
        """Take a request as the protocol has it."""
        body = await request.read()
        # aiohttp has undone what Content-Encoding says.
        assert request.headers["Content-Type"] == "application/x-protobuf"
        self.bytes += gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
        sent = ExportTraceServiceRequest.FromString(self.bytes[-len(body) :])
        for resource in sent.resource_spans:
            self.services |= {a.value.string_value for a in resource.resource.attributes if a.key == "service.name"}
            for scope in resource.scope_spans:
                self.spans.extend(scope.spans)
        return web.Response(body=b"", content_type="application/x-protobuf")


def traced(
    folder: Path, events: Sequence[ev.Event], *, ratio: float, sampled: bool
) -> tuple[InMemoryCluster, Collector]:
    """Return a house that has taken events, and what a collector was sent."""
    cluster, owner, collector = InMemoryCluster(folder, 1), InMemoryWorker(), Collector()

    async def run() -> None:
        app = web.Application()
        app.add_routes([web.post("/v1/traces", collector.take)])
        served = web.AppRunner(app)
        await served.setup()
        site = web.TCPSite(served, "127.0.0.1", 0)
        await site.start()
        port = served.addresses[0][1]
        settings = Settings.load(tracing={"otlp_endpoint": f"http://127.0.0.1:{port}", "sample_ratio": ratio})
        tracing = Tracing(settings)
        cluster.trace = tracing.tracer
        await taken(cluster, owner, events, sampled)
        await tracing.close()
        await served.cleanup()

    asyncio.run(run())
    return cluster, collector


def test_spans_reach_a_collector_and_go_on_in_outputs(tmp_path: Path) -> None:
    events = history()
    cluster, collector = traced(tmp_path, events, ratio=1, sampled=True)
    assert collector.services == {"reprieve"}
    spans = {span.span_id: span for span in collector.spans}
    by_name: dict[str, list[Span]] = defaultdict(list)
    for span in collector.spans:
        by_name[span.name.split()[0] if " " not in span.name else "record"].append(span)
    batches = by_name["process"]
    assert batches
    for batch in batches:
        assert not batch.parent_span_id
        assert batch.kind == Span.SPAN_KIND_CONSUMER
        steps = {s.name for s in collector.spans if s.parent_span_id == batch.span_id}
        assert "decide" in steps
        assert steps <= {"decide", "commit"}
        assert len(batch.links) <= 64
        found = {a.key: a.value for a in batch.attributes}
        assert found["messaging.system"].string_value == "kafka"
        assert found["messaging.operation.type"].string_value == "process"
        assert found["messaging.batch.message_count"].int_value >= len(batch.links)
    assert any(batch.links for batch in batches)
    assert by_name["commit"]
    # Every sampled record that was spoken of has a span in its producer's trace.
    records = by_name["record"]
    assert records
    for span in records:
        number = int.from_bytes(span.parent_span_id, "big")
        assert int.from_bytes(span.trace_id, "big") == number or span.parent_span_id in spans
        assert {a.key for a in span.attributes} >= {"messaging.destination.name", "messaging.kafka.offset"}
    own = {span.span_id for span in records}
    carried = [parsed(traceparent_of(r.headers)) for topic in SAID for r, _ in cluster.said(topic)]
    assert all(found is not None and found[2] for found in carried)
    assert {bytes.fromhex(found[1]) for found in carried if found is not None} & own
    names = {name for name in map(key_of, events) if name}
    assert not [name for name in names if name.encode() in collector.bytes]
    cluster.close()


def test_an_unsampled_trace_passes_through_as_it_came(
    tmp_path: Path,
) -> None:
    events = history()
    cluster, collector = traced(tmp_path, events, ratio=0, sampled=False)
    assert collector.spans == []
    came = {traceparent(number, sampled=False) for number in range(1, len(events) + 1)}
    carried = [traceparent_of(r.headers) for topic in SAID for r, _ in cluster.said(topic)]
    assert carried
    assert set(carried) <= came
    cluster.close()


def _run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_without_a_collector_opentelemetry_is_not_imported() -> None:
    assert _run("import sys, streams.kafka.worker; print([m for m in sys.modules if 'opentelemetry' in m])") == "[]"


def test_a_collector_without_packages_is_told_what_to_install() -> None:
    told = _run(
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from schemas.errors import UsageError\nfrom streams.settings import Settings\n"
        "from streams.tracing import tracing_of\n"
        "assert tracing_of(Settings.load()) is None\n"
        "try: tracing_of(Settings.load(tracing={'otlp_endpoint': 'http://127.0.0.1:1'}))\n"
        "except UsageError as error: print(error)"
    )
    assert "OpenTelemetry is not installed" in told
    assert "reprieve[otel]" in told


@pytest.mark.parametrize(
    ("came", "goes"),
    [
        (b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", True),
        (b"01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-Wang Xiaoming", True),
        (b"Wang Xiaoming 13800001234", False),
        (b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-Wang Xiaoming", False),
        (b"", False),
    ],
)
def test_nothing_but_a_trace_is_carried_on_in_the_place_of_one(came: bytes, goes: bool) -> None:
    # What is said goes to topics that hold nothing personal, and a header may be anything.
    wanted = came[:55] if goes else None
    assert traceparent_of([("x", b"y"), ("traceparent", came)]) == wanted
    assert traceparent_of(read_headers(msgspec.msgpack.encode([("traceparent", came)]))) == wanted
