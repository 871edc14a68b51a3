"""A schema registry with Confluent's API, through Confluent's own client.

Without `registry.url` none of it is imported, and events go out in single-object framing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any

from schemas.codec import Codec
from schemas.errors import BadInput, Fatal, Transient
from schemas.events import Event
from schemas.topics import TOPICS
from streams.settings import RegistrySettings, Settings

# How long an id that the registry did not have is not asked for again, in seconds: poison comes in numbers.
_MISSING_SECONDS = 5.0


class _NotThere(Exception):
    """The registry has not got what was asked for."""


class _DoesNotFit(Exception):
    """What is to be registered is not compatible with what is there."""


class ConfluentRegistry:
    """Asks a registry over HTTP, which blocks; what was found once is kept.

    It raises Transient while the registry is away, and Fatal where it refuses us.
    """

    def __init__(self, settings: RegistrySettings) -> None:
        # Its import costs a second.
        from confluent_kafka.schema_registry import SchemaRegistryClient

        if settings.url is None:
            raise ValueError("registry.url is not set")
        self.url = settings.url
        self._register = settings.auto_register
        options: dict[str, Any] = {"url": settings.url, "max.retries": 0, "timeout": 10}
        if settings.username is not None:
            password = "" if settings.password is None else settings.password.get_secret_value()
            options["basic.auth.user.info"] = f"{settings.username}:{password}"
        if settings.ca_file is not None:
            options["ssl.ca.location"] = str(settings.ca_file)
        self._client = SchemaRegistryClient(options)
        self._missing: dict[int, float] = {}

    def schema(self, schema_id: int) -> str:
        """Return the schema of an id. Raises BadInput (`unknown_schema`) where there is none."""
        if self._missing.get(schema_id, 0.0) < time.monotonic():
            with suppress(_NotThere):
                return str(self._asked(lambda: self._client.get_schema(schema_id)).schema_str)
            self._missing[schema_id] = time.monotonic() + _MISSING_SECONDS
        raise BadInput(
            "unknown_schema",
            f"The registry has no schema with id {schema_id}. Register the producer's schema, then replay.",
        )

    def id_of(self, subject: str, schema: str) -> int:
        """Return the id of a schema under a subject; with `auto_register` it is registered where it was not."""
        if self._register:
            return self.register(subject, schema)
        try:
            found = self._asked(lambda: self._client.lookup_schema(subject, _avro(schema)))
        except _NotThere as error:
            raise Fatal(
                f"The registry at {self.url} has no such schema under the subject {subject}. Run `reprieve schemas "
                "register`, or set registry.auto_register."
            ) from error
        return int(found.schema_id)

    def register(self, subject: str, schema: str) -> int:
        """Register a schema under a subject; one that is there keeps its id. Raises Fatal where it is refused."""
        try:
            return int(self._asked(lambda: self._client.register_schema(subject, _avro(schema))))
        except _DoesNotFit as error:
            raise Fatal(
                f"The registry at {self.url} refuses the schema under {subject}: {error}. Another release has "
                "registered one that it does not fit; see its compatibility setting."
            ) from error

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def _asked(self, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except Exception as error:
            status = getattr(error, "http_status_code", None)
            if status == 404:
                raise _NotThere(str(error)) from error
            if status == 409:
                raise _DoesNotFit(str(error)) from error
            if status in (401, 403):
                raise Fatal(
                    f"The registry at {self.url} refuses us: {error}. See to registry.username and registry.password."
                ) from error
            raise Transient(f"The registry at {self.url} does not answer: {type(error).__name__} {error}.") from error


def codec_for(settings: Settings) -> Codec:
    """Return the codec of settings: Confluent framing with a registry, single-object framing without."""
    return Codec(None if settings.registry.url is None else ConfluentRegistry(settings.registry))


def subjects(settings: Settings) -> list[tuple[type[Event], str]]:
    """Return every event with every topic, prefix included, that it may stand on."""
    found = [(kind, settings.topics.prefix + topic.name) for topic in TOPICS.values() for kind in topic.records]
    return sorted(found, key=lambda pair: (pair[1], pair[0].__name__))


class _Registering:
    """Registers what a codec asks for, and keeps what came of it."""

    def __init__(self, registry: ConfluentRegistry) -> None:
        self._registry = registry
        self.ids: list[tuple[str, int]] = []

    def schema(self, schema_id: int) -> str:
        """Return the schema of an id."""
        return self._registry.schema(schema_id)

    def id_of(self, subject: str, schema: str) -> int:
        """Register a schema under a subject."""
        schema_id = self._registry.register(subject, schema)
        self.ids.append((subject, schema_id))
        return schema_id


def register_all(settings: Settings) -> list[tuple[str, int]]:
    """Register every schema under the subject of every topic; returns subjects with ids. It may be done again."""
    with closing(ConfluentRegistry(settings.registry)) as registry:
        registering = _Registering(registry)
        Codec(registering).prepare(subjects(settings))
    return registering.ids


def _avro(schema: str) -> Any:
    from confluent_kafka.schema_registry import Schema

    return Schema(schema, "AVRO")
