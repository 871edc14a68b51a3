"""Inputs to begin with: the contracts' examples in every form in which they may come in."""

from __future__ import annotations

import io
import json
from functools import cache
from importlib.resources import files
from typing import Any

import fastavro
import msgspec

from schemas import contracts
from schemas import events as ev
from schemas.codec import Codec
from schemas.jsonlines import from_line
from state.policy_packs.loader import pack_names


@cache
def lines() -> list[bytes]:
    """Return the example of every event as a JSON line."""
    return (files("schemas") / "examples.jsonl").read_bytes().splitlines()


@cache
def examples() -> list[ev.Event]:
    """Return the example of every event."""
    return [from_line(line) for line in lines()]


def framed() -> list[bytes]:
    """Return the examples in single-object framing."""
    codec = Codec()
    return [codec.encode(event) for event in examples()]


def with_their_schemas() -> list[bytes]:
    """Return the examples as a writer's schema in JSON, a zero, and the Avro that it wrote."""
    codec = Codec()
    out = []
    for event in examples():
        schema = json.dumps(contracts.schema_of(type(event).__name__), separators=(",", ":")).encode()
        out.append(schema + b"\0" + codec.encode(event)[10:])
    return out


def containers() -> list[bytes]:
    """Return container files: of one record a file, deflated and not, and one of a union."""
    out = []
    for event in examples()[:12]:
        schema = contracts.schema_of(type(event).__name__)
        for codec in ("null", "deflate"):
            stream = io.BytesIO()
            fastavro.writer(stream, fastavro.parse_schema(schema), [_plain(event)], codec=codec, sync_marker=b"0" * 16)
            out.append(stream.getvalue())
    return out


def packs() -> list[bytes]:
    """Return the text of every pack that comes with the package, and small ones."""
    folder = files("state") / "policy_packs" / "packs"
    small = [
        b"pack: x\nversion: 1\ntitle: X\nsections:\n  plans:\n"
        b"    max_term_months: {value: 60, verified: true, source: law}\n",
        b"pack: x\nversion: 1\ntitle: X\nextends: house\nsections:\n  affordability:\n    alpha_bps:\n"
        b"      {value: 4000, verified: false, source: s}\n",
        b"pack: x\nversion: 1\ntitle: X\nsections:\n  options:\n"
        b"    token_payment: {value: {default: 10, JPY: 1}, verified: false, source: s}\n",
        b"pack: x\nversion: 1\ntitle: X\nsections:\n  lender:\n"
        b"    name: {value: {default: Bank, zh: B}, verified: true, source: s}\n"
        b"    reply_link: {value: 'https://b.example/{offer_id}', verified: true, source: s}\n  texts_en:\n"
        b"    reason-affordable:\n      value: |\n        { $count ->\n            [one] One\n"
        b"           *[other] { $count }\n        }\n      verified: true\n      source: s\n",
    ]
    return small + [(folder / f"{name}.yaml").read_bytes() for name in pack_names()]


def books() -> list[bytes]:
    """Return the package's book, and a small one."""
    small = (
        b"book: b\nversion: 1\nrows:\n  - {jurisdictions: ['*'], products: ['*'], packs: [house]}\n"
        b"places:\n  CN: {currency: CNY, time_zone: Asia/Shanghai, locale: zh, calendar: CN}\n"
    )
    return [small, (files("state") / "policy_packs" / "packs" / "book.yaml").read_bytes()]


def settings() -> list[bytes]:
    """Return settings files."""
    return [
        b'[kafka]\nbootstrap_servers = ["127.0.0.1:9092"]\nrequest_timeout_seconds = 5\n',
        b'[kafka]\nbootstrap_servers = "a:1,b:2"\n[worker]\nlog_level = "INFO"\nbatch_records = 10\n',
        b'[topics]\nprefix = "x."\nretention_days = {payments = 7}\n[registry]\nurl = "http://127.0.0.1:8081"\n',
        b'[redis]\nurl = "redis://127.0.0.1"\npassword = "s"\n[worker]\nstandby_replicas = 1\n',
    ]


def requests() -> list[bytes]:
    """Return paths of the console with their queries."""
    paths = ["/", "/livez", "/readyz", "/api/overview", "/api/search?q=A", "/api/search?q=%00%ff", "/api/rules"]
    paths += ["/api/learner", "/api/letters", "/api/accounts/A1", "/api/accounts/%2e%2e%2fetc", "/api/borrowers/B1"]
    paths += ["/api/accounts/A1/agreements/p?locale=zh", "/static/../server.py", "/static/%2e%2e/server.py", "//x/y"]
    return [path.encode() for path in paths]


def _plain(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return {f.encode_name: _plain(getattr(value, f.name)) for f in msgspec.structs.fields(type(value))}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value
