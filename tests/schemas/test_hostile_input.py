"""Input made to hurt: it becomes an event or a reason, and takes no more time or memory than its size allows."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import tracemalloc
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fastavro
import pytest

from schemas import containers, contracts
from schemas import events as ev
from schemas.binary_encoding import bytes_of_instant, bytes_of_long
from schemas.codec import CONFLUENT, Codec
from schemas.containers import Ahead, read
from schemas.errors import InvalidEventError, Rejected
from schemas.jsonlines import from_line, read_events, to_line
from tests.support.file_registry import FileRegistry
from tests.support.strategies import avro_value

CLOSED = ev.AccountClosed(
    event_id="e-1", occurred_at=datetime(2026, 3, 1, tzinfo=UTC), source="core", account_id="a-1", reason="repaid"
)


def container(codec: str, *events: ev.Event) -> bytes:
    """Return a container file of events of one type."""
    stream = io.BytesIO()
    schema = fastavro.parse_schema(contracts.schema_of(type(events[0]).__name__))
    fastavro.writer(stream, schema, [avro_value(e) for e in events], codec=codec, sync_marker=b"m" * 16)
    return stream.getvalue()


def with_block(codec: str, count: int, block: bytes) -> bytes:
    """Return a container file whose only block says that it is in a codec and holds so many records."""
    header = container("null", CLOSED).partition(b"m" * 16)[0]
    header = header.replace(b"\x08null", bytes_of_long(len(codec)) + codec.encode())
    return header + b"m" * 16 + bytes_of_long(count) + bytes_of_long(len(block)) + block + b"m" * 16


def found(data: bytes) -> list[ev.Event | Rejected]:
    """Return what a container file holds."""
    return list(read(Ahead(io.BytesIO(data)), "file"))


def deflated(data: bytes) -> bytes:
    """Return bytes as Avro deflates them."""
    packer = zlib.compressobj(9, wbits=-15)
    return packer.compress(data) + packer.flush()


COMPRESS: dict[str, Any] = {"deflate": deflated, "bzip2": bz2.compress, "xz": lzma.compress}


@pytest.mark.parametrize("codec", sorted(COMPRESS))
def test_a_decompression_bomb_is_refused_within_a_block(codec: str) -> None:
    record = Codec().encode(CLOSED)[10:]
    assert found(with_block(codec, 1, COMPRESS[codec](record))) == [CLOSED]

    bomb = COMPRESS[codec](bytes(4 * containers.MOST))
    assert len(bomb) < containers.MOST // 100
    tracemalloc.start()
    (refused,) = found(with_block(codec, 1, bomb))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(refused, Rejected)
    assert (refused.code, refused.line) == ("too_long", 1)
    assert peak < 3 * containers.MOST


def test_a_codec_that_is_not_read_is_named_with_what_to_do() -> None:
    (refused,) = found(with_block("zstandard", 1, b"x"))
    assert isinstance(refused, Rejected)
    assert refused.code == "unreadable"
    assert "'zstandard'" in refused.message
    assert "null or deflate" in refused.message


@pytest.mark.parametrize(
    ("block", "count"),
    [(b"", 2**62), (b"\0", 2), (deflated(b"\0")[:-1], 1), (b"\xff" * 40, 1)],
)
def test_a_block_that_lies_ends_its_file_with_a_reason(block: bytes, count: int) -> None:
    (refused,) = found(with_block("deflate", count, block))
    assert isinstance(refused, Rejected)
    assert refused.code == "unreadable"


def test_a_file_announcing_more_than_it_holds_costs_nothing() -> None:
    header = container("null", CLOSED).partition(b"m" * 16)[0] + b"m" * 16
    for size in (2**40, containers.MOST, -1):
        tracemalloc.start()
        (refused,) = found(header + bytes_of_long(1) + bytes_of_long(size) + b"x" * 50)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert isinstance(refused, Rejected)
        assert refused.code == "unreadable"
        assert peak < 2**22


def test_a_gzip_bomb_of_one_line_is_one_refusal(tmp_path: Path) -> None:
    file = tmp_path / "bomb.jsonl.gz"
    with gzip.open(file, "wb", compresslevel=9) as out:
        for _ in range(80):
            out.write(bytes(2**20))
        out.write(b"\n" + to_line(CLOSED))
    assert file.stat().st_size < 2**18
    first, second = read_events(file)
    assert isinstance(first, Rejected)
    assert first.code == "too_long"
    assert second == CLOSED


@pytest.mark.parametrize("depth", [70, 300, 5_000, 200_000])
@pytest.mark.parametrize("text", ['{"a":', "[", '{"type":"AccountClosed","reason":['])
def test_json_that_is_nested_deeply_is_refused(text: str, depth: int) -> None:
    with pytest.raises(InvalidEventError) as refused:
        from_line((text * depth).encode())
    assert refused.value.code in ("invalid_json", "wrong_type", "missing_field")


@pytest.mark.parametrize("depth", [60, 200, 900, 100_000])
def test_a_schema_that_is_nested_deeply_is_read_over_or_refused(depth: int) -> None:
    schema = json.dumps(contracts.schema_of("AccountClosed"))
    extra = '{"name":"extra","type":' + '{"type":"array","items":' * depth + '"int"' + "}" * depth + "},"
    deep = schema.replace('"fields": [', '"fields": [' + extra, 1)
    registry = FileRegistry()
    registry.id_of("s", deep)
    body = b"\0" + Codec().encode(CLOSED)[10:]
    value = CONFLUENT + (1).to_bytes(4, "big") + body
    found: ev.Event | str
    try:
        found = Codec(registry).decode(value)
    except InvalidEventError as refused:
        found = refused.code
    # Where Python's stack ends depends on who asks.
    wanted = [CLOSED, "unknown_schema"] if depth == 900 else [CLOSED] if depth < 900 else ["unknown_schema"]
    assert found in wanted


HOSTILE_IDS = {
    "NUL": "A1\x00",
    "escape": "\x1b[31mA1",
    "new line": "A1\n",
    "next line": "A\x851",
    "no-break space": "A\xa01",
    "ideographic space": "A\u30001",
    "empty": "",
    "too long": "a" * 65,
}


@pytest.mark.parametrize("name", HOSTILE_IDS.values(), ids=HOSTILE_IDS.keys())
def test_an_id_with_space_or_controls_is_refused_by_name(name: str) -> None:
    event = ev.AccountClosed(**{f: getattr(CLOSED, f) for f in CLOSED.__struct_fields__} | {"account_id": name})
    for attempt in (lambda: from_line(to_line(event)), lambda: Codec().decode(Codec().encode(event))):
        with pytest.raises(InvalidEventError) as refused:
            attempt()
        assert (refused.value.code, refused.value.field) == ("out_of_range", "account_id")
        assert "visible" in refused.value.message or "length" in refused.value.message


@pytest.mark.parametrize(
    "name", ["a", "𝔘" * 64, "é", "e\u0301", "借款人-1", "ЖЖ", "مدين", "a/b|c:d", "';DROP--", "../..", "%00", "🦊"]
)
def test_an_id_that_is_visible_is_kept_to_the_letter(name: str) -> None:
    event = ev.AccountClosed(**{f: getattr(CLOSED, f) for f in CLOSED.__struct_fields__} | {"account_id": name})
    assert from_line(to_line(event)) == event
    assert Codec().decode(Codec().encode(event)) == event


def test_ids_are_never_normalised() -> None:
    assert from_line(to_line(CLOSED).replace(b"a-1", "é".encode())) != from_line(
        to_line(CLOSED).replace(b"a-1", "e\u0301".encode())
    )


@pytest.mark.parametrize("escape", ["\\ud800", "\\udfff", "\\ud800\\ud800", "\\u0000"])
def test_half_a_character_and_nul_are_no_text_of_an_id(escape: str) -> None:
    with pytest.raises(InvalidEventError) as refused:
        from_line(to_line(CLOSED).replace(b"a-1", escape.encode()))
    assert refused.value.code in ("invalid_json", "out_of_range")


@pytest.mark.parametrize("raw", [b"\xed\xa0\x80", b"\xc0\x80", b"\xff", b"a\x80"])
def test_bytes_that_are_no_utf_8_are_refused_in_every_form(raw: bytes) -> None:
    with pytest.raises(InvalidEventError):
        from_line(to_line(CLOSED).replace(b"a-1", raw))
    value = Codec().encode(CLOSED).replace(b"\x06a-1", bytes_of_long(len(raw)) + raw)
    with pytest.raises(InvalidEventError) as refused:
        Codec().decode(value)
    assert refused.value.code == "unreadable"


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b'"2026-03-01T00:00:00"', "out_of_range"),
        (b'"0001-01-01T00:00:00+14:00"', "out_of_range"),
        (b'"9999-12-31T23:59:59-12:00"', "out_of_range"),
        (b'"2026-02-30T00:00:00Z"', "out_of_range"),
        (b'"2026-03-01T24:00:00Z"', "out_of_range"),
        (b"1e999", "invalid_json"),
        (b"null", "wrong_type"),
        (b"99999999999999999999999", "wrong_type"),
    ],
)
def test_an_instant_that_is_none_is_refused(said: bytes, code: str) -> None:
    with pytest.raises(InvalidEventError) as refused:
        from_line(to_line(CLOSED).replace(b'"2026-03-01T00:00:00Z"', said))
    assert refused.value.code == code


@pytest.mark.parametrize("millis", [-62_135_596_800_001, 253_402_300_800_000, 2**63 - 1, -(2**63)])
def test_milliseconds_beyond_the_calendar_are_refused(millis: int) -> None:
    value = Codec().encode(CLOSED)
    at = value.index(b"\x06e-1") + 4
    end = at + len(bytes_of_instant(CLOSED.occurred_at))
    with pytest.raises(InvalidEventError) as refused:
        Codec().decode(value[:at] + bytes_of_long(millis) + value[end:])
    assert (refused.value.code, refused.value.field) == ("out_of_range", "occurred_at")
