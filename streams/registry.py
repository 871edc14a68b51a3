"""A schema registry with Confluent's API, through Confluent's own client.

Without `registry.url` none of it is imported, and events go out in single-object framing.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any, TypeVar

import prometheus_client

from schemas.codec import Codec, subject_of
from schemas.contracts import schema_of
from schemas.errors import FatalError, InvalidEventError, RetryableError
from schemas.events import Event
from schemas.topics import TOPICS
from streams.settings import RegistrySettings, Settings, without_password

T = TypeVar("T")
ANSWERS = prometheus_client.Counter(
    "reprieve_registry_answers_total", "What the schema registry answered: answered, away, odd, refused.", ["kind"]
)
UNUSABLE = prometheus_client.Gauge("reprieve_registry_unusable", "1 while the schema registry is not there for us.")
# What Confluent's API says where a subject, a version or a schema is not there, and where a schema is refused.
_ABSENT = frozenset({40401, 40402, 40403})
_UNFIT = {409: frozenset({409, 40901}), 422: frozenset({42201, 42202, 42203})}
_KINDS = frozenset(
    {"application/json", "application/vnd.schemaregistry+json", "application/vnd.schemaregistry.v1+json"}
)
# Seconds and bytes that an answer may take: one that comes byte by byte would never end.
_ANSWER_SECONDS, _MOST_BYTES = 20.0, 4 * 1024 * 1024
# How long an id that the registry did not have is not asked for again, in seconds: poison comes in numbers.
_MISSING_SECONDS = 5.0


class _NotFoundError(Exception):
    """The registry has not got what was asked for."""


class _IncompatibleError(Exception):
    """What is to be registered is not compatible with what is there, or is no schema."""


class _UnexpectedAnswerError(Exception):
    """What answers is not a registry as Confluent's API defines one."""


class ConfluentRegistry:
    """Asks a registry over HTTP, which blocks; what was found once is kept.

    An answer counts by Confluent's API alone: its status with its error code. Only 404 with 40401 to 40403 means that
    something is not there, and only 401 and 403 with a code of their own that it refuses us: whatever stands before a
    registry answers such statuses too. All else is taken for a registry that is away: it raises RetryableError. What
    answers otherwise than a registry for longer than `registry.odd_seconds` raises FatalError, since no waiting mends
    an address that is wrong. clock: seconds.
    """

    def __init__(self, settings: RegistrySettings, clock: Callable[[], float] = time.monotonic) -> None:
        # Its import costs a second.
        from confluent_kafka.schema_registry import SchemaRegistryClient

        if settings.url is None:
            raise ValueError("registry.url is not set")
        # A password in the address is told to nobody.
        self.url = without_password(settings.url)
        self._register = settings.auto_register
        self._patience, self._clock = settings.odd_seconds, clock
        options: dict[str, Any] = {"url": settings.url, "max.retries": 0, "timeout": 10}
        if settings.username is not None:
            password = "" if settings.password is None else settings.password.get_secret_value()
            options["basic.auth.user.info"] = f"{settings.username}:{password}"
        if settings.ca_file is not None:
            options["ssl.ca.location"] = str(settings.ca_file)
        self._client = SchemaRegistryClient(options)
        self._client._rest_client.session.event_hooks = {"response": [_checked]}
        self._missing: dict[int, float] = {}
        # Since when what answers is no registry.
        self._odd_since: float | None = None

    def schema(self, schema_id: int) -> str:
        """Return the schema of an id.

        Raises InvalidEventError (`unknown_schema`) where there is none that can be used.
        """
        if self._missing.get(schema_id, -math.inf) < self._clock():
            with suppress(_NotFoundError):
                return self._request(lambda: self._read(self._client.get_schema(schema_id), schema_id))
            self._missing[schema_id] = self._clock() + _MISSING_SECONDS
        raise InvalidEventError(
            "unknown_schema",
            f"The registry has no schema with id {schema_id}. Register the producer's schema, then replay.",
        )

    def _read(self, found: Any, schema_id: int) -> str:
        text, kind = found.schema_str, found.schema_type or "AVRO"
        if not isinstance(text, str) or not text:
            raise _UnexpectedAnswerError("an answer without a schema")
        if kind != "AVRO":
            raise InvalidEventError(
                "unknown_schema",
                f"The registry's schema {schema_id} is of the kind {str(kind)[:20]}, and records are Avro. Let the "
                "producer write Avro.",
            )
        if found.references:
            raise InvalidEventError(
                "unknown_schema",
                f"The registry's schema {schema_id} refers to others, which is not followed. Register it as one "
                "schema, with what it refers to in it.",
            )
        return text

    def id_of(self, subject: str, schema: str) -> int:
        """Return the id of a schema under a subject; with `auto_register` it is registered where it was not."""
        if self._register:
            return self.register(subject, schema)
        try:
            return self._request(lambda: _id(self._client.lookup_schema(subject, _avro(schema)).schema_id))
        except _NotFoundError as error:
            raise FatalError(
                f"The registry at {self.url} has no such schema under the subject {subject}. Run `reprieve schemas "
                "register`, or set registry.auto_register."
            ) from error

    def register(self, subject: str, schema: str) -> int:
        """Register a schema under a subject; one that is there keeps its id. Raises FatalError where it is refused."""
        try:
            return self._request(lambda: _id(self._client.register_schema(subject, _avro(schema))), fits=True)
        except _IncompatibleError as error:
            raise FatalError(
                f"The registry at {self.url} refuses the schema under {subject}: {error}. Another release has "
                "registered one that it does not fit; see its compatibility setting."
            ) from error
        except _NotFoundError as error:
            raise FatalError(
                f"The registry at {self.url} has no subject {subject}, and makes none when it is asked to. See what it "
                "may register."
            ) from error

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def _request(self, ask: Callable[[], T], *, fits: bool = False) -> T:
        """Return an answer, noting of what kind it was. fits: whether it may say that a schema does not fit."""
        try:
            found = ask()
        except InvalidEventError:
            self._note("answered")
            raise
        except (_UnexpectedAnswerError, ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
            raise self._strange(
                str(error) if isinstance(error, _UnexpectedAnswerError) else "no answer of a registry"
            ) from error
        except Exception as error:
            raise self._meaning(error, fits) from error
        self._note("answered")
        return found

    def _meaning(self, error: Exception, fits: bool) -> Exception:
        """Return what an error of Confluent's client means."""
        status, code = getattr(error, "http_status_code", None), getattr(error, "error_code", None)
        if status is None:
            self._note("away")
            return RetryableError(f"The registry at {self.url} does not answer: {type(error).__name__}.")
        if status == 404 and code in _ABSENT:
            self._note("answered")
            return _NotFoundError()
        if fits and code in _UNFIT.get(status, ()):
            self._note("answered")
            return _IncompatibleError(f"HTTP {status}, error code {code}")
        if status in (401, 403) and str(code).startswith(str(status)):
            self._note("refused")
            return FatalError(
                f"The registry at {self.url} refuses us: HTTP {status}, error code {code}. See to registry.username "
                "and registry.password."
            )
        if status in (408, 425, 429) or status >= 500:
            self._note("away")
            return RetryableError(f"The registry at {self.url} cannot answer now: HTTP {status}.")
        return self._strange(f"HTTP {status}, " + ("no JSON" if code in (-1, None) else f"error code {str(code)[:9]}"))

    def _strange(self, what: str) -> Exception:
        """Return what is raised of an answer that is no registry's."""
        self._note("odd")
        now = self._clock()
        since = self._odd_since = now if self._odd_since is None else self._odd_since
        if now - since >= self._patience:
            return FatalError(
                f"What answers at {self.url} is no schema registry, for {now - since:.0f} s now: {what}. See to "
                "registry.url (with the path of Confluent's API, as /apis/ccompat/v7), and to what stands before it."
            )
        return RetryableError(f"What answers at {self.url} is no schema registry: {what}.")

    def _note(self, kind: str) -> None:
        ANSWERS.labels(kind).inc()
        UNUSABLE.set(kind != "answered")
        # That nothing answers in between makes no registry of it.
        if kind in ("answered", "refused"):
            self._odd_since = None


def _checked(response: Any) -> None:
    """Read an answer within its limits, and see that it is of the kind that registries give."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if response.status_code < 500 and kind not in _KINDS:
        # The text of others may be anything, and is not repeated.
        raise _UnexpectedAnswerError(f"HTTP {response.status_code}, and no JSON of a registry")
    ends, found = time.monotonic() + _ANSWER_SECONDS, bytearray()
    for part in response.iter_bytes():
        found += part
        if len(found) > _MOST_BYTES or time.monotonic() > ends:
            raise _UnexpectedAnswerError(f"HTTP {response.status_code}, and an answer without an end")
    response._content = bytes(found)


def codec_for(settings: Settings) -> Codec:
    """Return the codec of settings: Confluent framing with a registry, single-object framing without."""
    return Codec(None if settings.registry.url is None else ConfluentRegistry(settings.registry))


def subjects(settings: Settings) -> list[tuple[type[Event], str]]:
    """Return every event with every topic, prefix included, that it may stand on."""
    found = [(kind, settings.topics.prefix + topic.name) for topic in TOPICS.values() for kind in topic.records]
    return sorted(found, key=lambda pair: (pair[1], pair[0].__name__))


def register_all(settings: Settings) -> list[tuple[str, int]]:
    """Register every schema under the subject of every topic; returns subjects with ids. It may be done again."""
    with closing(ConfluentRegistry(settings.registry)) as registry:
        named = [
            (subject_of(event, topic), json.dumps(schema_of(event.__name__))) for event, topic in subjects(settings)
        ]
        return [(subject, registry.register(subject, schema)) for subject, schema in named]


def _id(value: Any) -> int:
    if not isinstance(value, int) or not 0 < value < 2**31:
        raise _UnexpectedAnswerError("an answer without the id of a schema")
    return value


def _avro(schema: str) -> Any:
    from confluent_kafka.schema_registry import Schema

    return Schema(schema, "AVRO")
