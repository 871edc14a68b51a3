"""Dead letters on Kafka: which there are, and sending the originals in again, each once.

That a letter was sent in again is a record of the compacted topic `replayed`, keyed by the letter's id and written in
the transaction that sends the original. Whoever sends first starts one transactional id anew, which ends and fences
whoever else was sending, and then reads `replayed` to its end: so two clicks, two people or a crash at any point send a
letter once. What an agent refuses anew becomes a new dead letter with an id of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import InvalidProducerEpoch, KafkaError, ProducerFenced
from msgspec import json

from schemas import events as ev
from schemas.codec import Codec
from schemas.errors import FatalError, InvalidEventError
from schemas.topics import TOPICS
from streams.engine.dead_letters import REPLAY_HEADER, DeadLetterEntry, can_be_sent_again
from streams.engine.partitioning import partition_of
from streams.kafka.committed_reader import read_committed
from streams.kafka.compat import error_of
from streams.kafka.transactions import DENIED, transactional_producer
from streams.security.dead_letters import open_dead_letter
from streams.security.vault import Vault
from streams.settings import Settings

log: Any = structlog.get_logger(__name__)

REPLAYED_TOPIC = "replayed"
# Letters a transaction, and bytes: it is to be over long before Kafka would end it.
_LETTERS, _BYTES = 200, 8 * 1024 * 1024
# A broker that goes away, or does not know what became of a transaction, is asked anew this often.
_ATTEMPTS = 3

Wanted = Callable[[ev.DeadLetter], bool]


@dataclass(frozen=True, slots=True)
class Redriven:
    """What came of sending letters in again: how many were sent, and how many had been before."""

    sent: int
    before: int


async def read_dead_letters(settings: Settings, codec: Codec) -> AsyncGenerator[DeadLetterEntry, None]:
    """Yield all dead letters that are committed, each partition's oldest first."""
    again = await _sent_again(settings)
    async with aclosing(read_committed(settings, ["dead-letters"])) as records:
        async for record in records:
            try:
                letter = codec.decode(record.value or b"")
            except InvalidEventError as bad:
                place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
                log.warning("record_skipped", **place, code=bad.code)
                continue
            if isinstance(letter, ev.DeadLetter):
                yield DeadLetterEntry(letter, letter.event_id in again)


async def redrive(settings: Settings, codec: Codec, vault: Vault | None, wanted: Wanted) -> Redriven:
    """Send the originals of those letters that are wanted in again, each once however often it is asked.

    vault: opens letters that are sealed. What is in quarantine is not sent: it waits there.
    Raises FatalError where another process began to send meanwhile; what is marked as sent was sent, and nothing else.
    """
    tried: set[str] = set()
    for left in reversed(range(_ATTEMPTS)):
        try:
            return await _attempt(settings, codec, vault, lambda x: can_be_sent_again(x) and wanted(x), tried)
        except (ProducerFenced, InvalidProducerEpoch) as error:
            raise FatalError(
                "Another process began to send dead letters in again, so this one stopped. No letter was sent twice: "
                "see which are left with `reprieve dead-letters list --kafka`."
            ) from error
        except DENIED as error:
            raise FatalError(
                f"Kafka refuses to take dead letters in again: {type(error).__name__} {error}. Give this user Write "
                "on the topics, and Write and Describe on the transactional id "
                f"{settings.worker.application_id}-letters."
            ) from error
        except KafkaError:
            # Whether the last transaction was committed is known once the id is started anew.
            if not left:
                raise
    raise AssertionError("the last attempt returns or raises")


async def _attempt(settings: Settings, codec: Codec, vault: Vault | None, wanted: Wanted, tried: set[str]) -> Redriven:
    name, seconds = f"{settings.worker.application_id}-letters", settings.worker.transaction_timeout_seconds
    # Within, nobody else can commit under the id, and what was open is ended: `replayed` is final.
    async with transactional_producer(settings, name, seconds) as producer:
        return await _sent(settings, codec, vault, wanted, tried, producer)


async def _sent(
    settings: Settings,
    codec: Codec,
    vault: Vault | None,
    wanted: Wanted,
    tried: set[str],
    producer: AIOKafkaProducer,
) -> Redriven:
    """Send what is wanted and was not sent before. tried: takes what may have been sent by this call."""
    held: list[ev.DeadLetter] = []
    sent = before = size = 0
    async with aclosing(read_dead_letters(settings, codec)) as letters:
        async for found in letters:
            if not wanted(found.letter):
                continue
            if found.resolved:
                mine = found.letter.event_id in tried
                sent, before = sent + mine, before + (not mine)
                continue
            held.append(open_dead_letter(found.letter, vault))
            tried.add(found.letter.event_id)
            size += len(held[-1].value or b"")
            if len(held) >= _LETTERS or size >= _BYTES:
                await _commit(settings, producer, held)
                sent += len(held)
                held, size = [], 0
    if held:
        await _commit(settings, producer, held)
    return Redriven(sent + len(held), before)


async def _commit(settings: Settings, producer: AIOKafkaProducer, chosen: list[ev.DeadLetter]) -> None:
    pending: list[asyncio.Future[Any]] = []

    async def send(topic: str, value: bytes | None, **more: Any) -> None:
        pending.append(await producer.send(settings.topics.prefix + topic, value, **more))
        pending[-1].add_done_callback(error_of)

    async with producer.transaction():
        for letter in chosen:
            name, partition = letter.event_id.encode(), _partition(letter, settings.topics.partitions)
            headers = list({**letter.headers, REPLAY_HEADER: name}.items())
            await send(letter.topic, letter.value, key=letter.key, partition=partition, headers=headers)
            mark = json.encode({"topic": letter.topic, "partition": partition, "at": datetime.now(UTC)})
            await send(REPLAYED_TOPIC, mark, key=name)
        for one in pending:
            await one


def _partition(letter: ev.DeadLetter, partitions: int) -> int:
    """Return where the original belongs: its key's partition, else where it stood."""
    known = TOPICS.get(letter.topic)
    if letter.key is not None and known is not None and known.key is not None:
        return partition_of(letter.key, partitions)
    return letter.partition if 0 <= letter.partition < partitions else 0


async def _sent_again(settings: Settings) -> set[str]:
    return {(record.key or b"").decode() async for record in read_committed(settings, [REPLAYED_TOPIC])}
