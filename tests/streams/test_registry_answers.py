"""What a registry, or what stands before it, answers counts by Confluent's API alone; nothing waits for ever unseen."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import pytest
from prometheus_client import REGISTRY

from deploy.local.processes import free_port
from schemas.codec import Codec
from schemas.errors import FatalError, InvalidEventError, RetryableError
from streams import registry as module
from streams.registry import ConfluentRegistry
from streams.settings import RegistrySettings
from tests.support.canaries import NAME, PHONE

V1 = "application/vnd.schemaregistry.v1+json"
SCHEMA = json.dumps({"type": "record", "name": "R", "fields": [{"name": "a", "type": "string"}]})
GOOD = json.dumps({"schema": SCHEMA}).encode()
# A record that asks for schema 7.
RECORD = b"\0" + (7).to_bytes(4, "big") + b"\x02a"


def answer(status: int, body: bytes, kind: str | None = V1, *more: str, length: int | None = None) -> bytes:
    """Return an answer as it stands on the wire."""
    lines = [f"HTTP/1.1 {status} X", *([] if kind is None else [f"Content-Type: {kind}"]), *more]
    lines.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + body


def error(status: int, code: Any, message: str = f"{NAME} {PHONE}") -> bytes:
    """Return an error as Confluent's API has it."""
    return answer(status, json.dumps({"error_code": code, "message": message}).encode())


@contextmanager
def answering(*answers: bytes, endless: bytes = b"") -> Iterator[str]:
    """Serve answers, the last of them again and again, byte by byte from `endless` on; yields the address."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.1)
    left, over = list(answers), threading.Event()

    def run() -> None:
        while not over.is_set():
            with suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(5)
                    connection.recv(65_536)
                    connection.sendall(left.pop(0) if len(left) > 1 else left[0])
                    while endless and not over.wait(0.02):
                        connection.sendall(endless)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        over.set()
        thread.join()
        listener.close()


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


ODD = {
    "an ingress's page for what is not there": answer(404, b"<html>default backend - 404</html>", "text/html"),
    "a 404 without a body": answer(404, b"", None),
    "a 404 of another API": error(404, 404),
    "a 404 of another API with a text as code": error(404, "not_found"),
    "a JSON 404 without a code": answer(404, b'{"detail": "Not Found"}'),
    "a JSON 404 that is no object": answer(404, b"[40403]"),
    "400": error(400, 400),
    "400 as a page": answer(400, b"bad", "text/plain"),
    "405": answer(405, b"", None),
    "409": error(409, 409),
    "410": answer(410, b"gone", "text/plain"),
    "422": error(422, 42201),
    "a proxy's 401": answer(401, b"<html>", "text/html"),
    "a proxy's 403": answer(403, b"<html>", "text/html"),
    "a redirect": answer(302, b"", None, "Location: http://127.0.0.1:1/login"),
    "a permanent redirect": answer(308, b"{}", V1, "Location: http://127.0.0.1:1/login"),
    "a page to sign in": answer(200, b"<html>login</html>", "text/html"),
    "a page that is called JSON": answer(200, b"<html>login</html>"),
    "JSON that breaks off": answer(200, GOOD[:20]),
    "an empty answer": answer(200, b""),
    "204": answer(204, b""),
    "null": answer(200, b"null"),
    "a list": answer(200, b"[]"),
    "a text": answer(200, b'"schema"'),
    "no schema": answer(200, b"{}"),
    "an empty schema": answer(200, b'{"schema": ""}'),
    "a schema that is no text": answer(200, b'{"schema": 7}'),
    "deep nesting": answer(200, b"[" * 100_000),
    "more than a schema can have": answer(200, b" " * (5 * 1024 * 1024) + GOOD),
    "not UTF-8": answer(200, b'{"schema": "\xff\xfe"}'),
}
AWAY = {
    "500": error(500, 50001),
    "502 as a page": answer(502, b"<html>bad gateway</html>", "text/html"),
    "503": answer(503, b"", None),
    "429": error(429, 42901),
    "408": error(408, 408),
    "nothing": b"",
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "an answer that breaks off": answer(200, GOOD[:20], length=len(GOOD)),
    "headers without an end": b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 50_000,
}


@pytest.mark.parametrize("wire", ODD.values(), ids=ODD.keys())
def test_a_wrong_server_counts_as_away_and_later_as_an_error(wire: bytes) -> None:
    now = [0.0]
    with answering(wire) as url, closing(ConfluentRegistry(RegistrySettings(url=url), lambda: now[0])) as registry:
        before = sample("reprieve_registry_answers_total", kind="odd")
        with pytest.raises(RetryableError, match="is no schema registry: ") as caught:
            Codec(registry).fetch_schema(RECORD)
        assert sample("reprieve_registry_answers_total", kind="odd") == before + 1
        assert sample("reprieve_registry_unusable") == 1
        now[0] += 299
        for ask in (lambda: registry.id_of("s", SCHEMA), lambda: registry.schema(8)):
            with pytest.raises((RetryableError, FatalError)) as other:
                ask()
            assert NAME not in str(other.value)
        now[0] += 2
        with pytest.raises(FatalError, match=r"for 301 s now: .* See to registry\.url"):
            registry.schema(7)
        assert NAME not in str(caught.value)
        assert PHONE not in str(caught.value)


@pytest.mark.parametrize("wire", AWAY.values(), ids=AWAY.keys())
def test_a_registry_that_is_away_is_waited_for_however_long(wire: bytes) -> None:
    now = [0.0]
    with answering(wire) as url, closing(ConfluentRegistry(RegistrySettings(url=url), lambda: now[0])) as registry:
        before = sample("reprieve_registry_answers_total", kind="away")
        for _ in range(3):
            now[0] += 1_000
            with pytest.raises(RetryableError, match="answer") as caught:
                Codec(registry).fetch_schema(RECORD)
            assert NAME not in str(caught.value)
        assert sample("reprieve_registry_answers_total", kind="away") == before + 3


@pytest.mark.parametrize("code", [40401, 40402, 40403])
def test_only_the_registry_says_that_a_schema_is_missing(code: int) -> None:
    with answering(error(404, code)) as url, closing(ConfluentRegistry(RegistrySettings(url=url))) as registry:
        with pytest.raises(InvalidEventError) as caught:
            Codec(registry).decode(RECORD)
        assert caught.value.code == "unknown_schema"
        with pytest.raises(FatalError, match="reprieve schemas register"):
            registry.id_of("s", SCHEMA)
        assert sample("reprieve_registry_unusable") == 0


@pytest.mark.parametrize(("status", "code"), [(401, 401), (401, 40101), (403, 403), (403, 40301)])
def test_a_registry_that_refuses_us_ends_it_at_once(status: int, code: int) -> None:
    with answering(error(status, code)) as url, closing(ConfluentRegistry(RegistrySettings(url=url))) as registry:
        with pytest.raises(FatalError, match=r"refuses us: HTTP 40[13]") as caught:
            registry.schema(7)
        assert NAME not in str(caught.value)


@pytest.mark.parametrize(("status", "code"), [(409, 409), (422, 42201)])
def test_a_schema_that_the_registry_refuses_is_said(status: int, code: int) -> None:
    with answering(error(status, code)) as url:
        settings = RegistrySettings(url=url, auto_register=True)
        with (
            closing(ConfluentRegistry(settings)) as registry,
            pytest.raises(FatalError, match="refuses the schema under s"),
        ):
            registry.id_of("s", SCHEMA)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"schemaType": "PROTOBUF", "schema": 'syntax = "proto3";'}, "of the kind PROTOBUF"),
        ({"schemaType": "JSON", "schema": '{"type":"object"}'}, "of the kind JSON"),
        ({"schema": SCHEMA, "references": [{"name": "o.T", "subject": "o", "version": 1}]}, "refers to others"),
        ({"schema": "no JSON"}, "is not JSON"),
        ({"schema": '{"type": "no type"}'}, "cannot be used"),
    ],
)
def test_an_unreadable_schema_is_a_dead_letter_with_its_reason(found: dict[str, Any], words: str) -> None:
    wire = answer(200, json.dumps(found).encode())
    with answering(wire) as url, closing(ConfluentRegistry(RegistrySettings(url=url))) as registry:
        codec = Codec(registry)
        codec.fetch_schema(RECORD)
        with pytest.raises(InvalidEventError, match=words) as caught:
            codec.decode(RECORD)
        assert caught.value.code == "unknown_schema"


def test_an_oddity_that_passes_is_forgotten() -> None:
    now = [0.0]
    wires = [ODD["410"], error(404, 40403), ODD["410"], ODD["a redirect"], answer(200, GOOD)]
    with answering(*wires) as url, closing(ConfluentRegistry(RegistrySettings(url=url), lambda: now[0])) as registry:
        for number, kind in enumerate((RetryableError, InvalidEventError, RetryableError, RetryableError)):
            now[0] += 200
            with pytest.raises(kind):
                registry.schema(number)
        assert registry.schema(9) == SCHEMA
        assert sample("reprieve_registry_unusable") == 0


def test_an_answer_that_comes_byte_by_byte_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ANSWER_SECONDS", 0.5)
    wire = answer(200, b"", length=10_000)
    with (
        answering(wire, endless=b" ") as url,
        closing(ConfluentRegistry(RegistrySettings(url=url))) as registry,
        pytest.raises(RetryableError, match="without an end"),
    ):
        registry.schema(7)


def test_a_missing_registry_and_a_password_in_its_address() -> None:
    url = f"http://user:hunter2@127.0.0.1:{free_port()}"  # pragma: allowlist secret
    with closing(ConfluentRegistry(RegistrySettings(url=url))) as registry:
        with pytest.raises(RetryableError, match="does not answer") as caught:
            registry.schema(7)
        assert "hunter2" not in str(caught.value)
