"""The contracts and the codec, held against avro-python3 and fastavro."""

from __future__ import annotations

import io
import json
from typing import Any

import avro.io
import avro.schema
import avro.schemanormalization
import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import contracts
from schemas.codec import SINGLE_OBJECT, Codec
from schemas.events import EVENT_TYPES
from tests.support.strategies import avro_value, events_of, raw_value

NAMES = sorted(EVENT_TYPES)
CODEC = Codec()
few = settings(max_examples=15, derandomize=True, deadline=None)
each_record = pytest.mark.parametrize("name", NAMES)


def reference(name: str) -> Any:
    return avro.schema.parse(json.dumps(contracts.schema_of(name)))


def body(encoded: bytes) -> bytes:
    return encoded[10:]


@each_record
def test_avro_python3_agrees_on_canonical_form_and_fingerprint(name: str) -> None:
    canonical = avro.schemanormalization.ToParsingCanonicalForm(reference(name))
    assert canonical == contracts.canonical_form(contracts.schema_of(name))
    theirs = avro.schemanormalization.Fingerprint(canonical, "CRC-64-AVRO")
    assert theirs == contracts.fingerprint(contracts.schema_of(name))


def test_the_fingerprint_is_that_of_the_specification() -> None:
    # The Avro project's own test data: the schema "null" has 0x63dd24e7cc258f8a, little-endian in a frame.
    assert contracts.fingerprint("null") == (0x63DD24E7CC258F8A).to_bytes(8, "little")


@each_record
@few
@given(data=st.data())
def test_avro_python3_reads_what_the_codec_writes(name: str, data: st.DataObject) -> None:
    event = data.draw(events_of(EVENT_TYPES[name]))
    decoder = avro.io.BinaryDecoder(io.BytesIO(body(CODEC.encode(event))))
    assert avro.io.DatumReader(reference(name)).read(decoder) == raw_value(event)


@each_record
@few
@given(data=st.data())
def test_the_codec_reads_what_avro_python3_writes(name: str, data: st.DataObject) -> None:
    event = data.draw(events_of(EVENT_TYPES[name]))
    stream = io.BytesIO()
    avro.io.DatumWriter(reference(name)).write(raw_value(event), avro.io.BinaryEncoder(stream))
    frame = SINGLE_OBJECT + contracts.fingerprint(contracts.schema_of(name))
    assert CODEC.decode(frame + stream.getvalue()) == event


@each_record
@few
@given(data=st.data())
def test_fastavro_writes_the_same_bytes_and_reads_them(name: str, data: st.DataObject) -> None:
    event = data.draw(events_of(EVENT_TYPES[name]))
    schema = fastavro.parse_schema(contracts.schema_of(name))
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, schema, avro_value(event))
    assert body(CODEC.encode(event)) == stream.getvalue()
    stream.seek(0)
    assert fastavro.schemaless_reader(stream, schema, None) == avro_value(event)
