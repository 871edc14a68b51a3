"""Which topics a cluster has behind their names: the id that Kafka gives a topic once (KIP-516), and its partitions.

A topic that is deleted and made anew has its name again and another id, and offsets in the old one mean nothing in the
new one. aiokafka asks for metadata in a version without ids; the requests here are of version 12 (Kafka 3.0).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from uuid import UUID

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    KafkaError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Boolean, CompactArray, CompactString, Int16, Int32, Schema, TaggedFields

from schemas.errors import FatalError
from streams.kafka.auth_check import FORBIDDEN
from streams.settings import Settings
from streams.shutdown import cancel_and_wait

_TAGS: tuple[str, type[TaggedFields]] = ("tags", TaggedFields)
_NO_ID = bytes(16)
# Brokers that are asked first; seconds that others may take once one has answered.
_FIRST, _PATIENCE = 5, 1.0


class _Uuid(AbstractType[bytes]):  # type: ignore[misc]
    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        return data.read(16)


class _MetadataResponse(Response):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32), ("host", CompactString()), ("port", Int32), ("rack", CompactString()), _TAGS
            ),
        ),
        ("cluster_id", CompactString()),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("topic", CompactString()),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        _TAGS,
                    ),
                ),
                ("authorized_operations", Int32),
                _TAGS,
            ),
        ),
        _TAGS,
    )


class _MetadataRequestStruct(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 12
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", _Uuid), ("topic", CompactString()), _TAGS)),
        ("allow_auto_topic_creation", Boolean),
        ("include_authorized_operations", Boolean),
        _TAGS,
    )


class _MetadataRequest(Request[_MetadataRequestStruct]):  # type: ignore[misc]
    API_KEY = 3

    def __init__(self, topics: Collection[str]) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[_MetadataRequestStruct]) -> _MetadataRequestStruct:
        return request_struct_class([(_NO_ID, name, {}) for name in self._topics], False, False, {})


@dataclass(frozen=True, slots=True)
class BrokerTopic:
    """A topic as a broker knows it. topic_id: in hexadecimal."""

    topic_id: str
    partitions: int


Seen = Mapping[str, BrokerTopic]


class TopicIds:
    """Asks brokers for topics by name; connected by the first question, until `stop`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: AIOKafkaClient | None = None
        # The brokers that led partitions of these topics when they were last asked for.
        self._leaders: set[int] = set()

    async def __aenter__(self) -> TopicIds:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def ask(self, names: Collection[str]) -> list[Seen]:
        """Return what brokers say of topics, one answer each; a topic that a broker does not have is left out.

        Each is asked that leads a partition of these: who serves a topic's records knows the topic, while another that
        was frozen may still know the one before. One that does not answer soon after the others serves nothing either,
        and is left out. Raises what aiokafka raises while brokers are away or refuse, FatalError where they give topics
        no ids.
        """
        client = self._client = self._client or await self._connected()
        asked = self._leaders or {broker.nodeId for broker in sorted(client.cluster.brokers())[:_FIRST]}
        self._leaders = set()
        answers = await self._answers(client, asked, names, None)
        self._leaders = {leader for _, leaders in answers for leader in leaders}
        with contextlib.suppress(KafkaError, OSError):
            answers += await self._answers(client, self._leaders - asked, names, _PATIENCE)
        return [seen for seen, _ in answers]

    async def _connected(self) -> AIOKafkaClient:
        client = AIOKafkaClient(**self._settings.kafka.client_options())
        try:
            await client.bootstrap()
        except BaseException:
            await client.close()
            raise
        return client

    async def _answers(
        self, client: AIOKafkaClient, nodes: Collection[int], names: Collection[str], patience: float | None
    ) -> list[tuple[Seen, set[int]]]:
        """Return the answers that come before the others have been waited for too long.

        patience: seconds to wait for the first one, None for as long as a request may take.
        """
        waiting = {asyncio.ensure_future(self._ask_node(client, node, names)) for node in nodes}
        found: list[tuple[Seen, set[int]]] = []
        try:
            while waiting:
                done, waiting = await asyncio.wait(
                    waiting, timeout=_PATIENCE if found else patience, return_when=asyncio.FIRST_COMPLETED
                )
                if not done:
                    break
                failed = [error for one in done if (error := one.exception()) is not None]
                found += [one.result() for one in done if one.exception() is None]
                # Where one is away, another may answer.
                final = [e for e in failed if isinstance(e, FORBIDDEN) or not isinstance(e, KafkaError | OSError)]
                if final or (failed and not found and not waiting):
                    raise (final or failed)[0]
        finally:
            for one in waiting:
                await cancel_and_wait(one)
        return found

    async def _ask_node(self, client: AIOKafkaClient, node: int, names: Collection[str]) -> tuple[Seen, set[int]]:
        try:
            answer: Any = await client.send(node, _MetadataRequest(names))
        except NotImplementedError as error:
            raise _too_old() from error
        found, leaders = {}, set()
        for code, name, topic_id, _, partitions, *_ in answer.topics:
            kind = for_code(code)
            if kind is UnknownTopicOrPartitionError:
                continue
            if kind is TopicAuthorizationFailedError:
                raise TopicAuthorizationFailedError(name)
            if code and not partitions:
                raise kind(name)
            if topic_id == _NO_ID:
                raise _too_old()
            found[name] = BrokerTopic(UUID(bytes=topic_id).hex, len(partitions))
            leaders |= {leader for _, _, leader, *_ in partitions if leader >= 0}
        return found, leaders

    async def stop(self) -> None:
        """Disconnect."""
        if self._client is not None:
            client, self._client = self._client, None
            await client.close()


def _too_old() -> FatalError:
    return FatalError(
        "Kafka gives topics no ids, by which a topic that was made anew is told from the one before. Run brokers of "
        "Kafka 3.0 or later, with metadata.version (or inter.broker.protocol.version) 3.0 or later."
    )
