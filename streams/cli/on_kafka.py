"""`publish` and `consume` on Kafka."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from schemas.errors import InvalidEventError
from schemas.events import Event
from schemas.jsonlines import to_line
from schemas.topics import TOPIC_OF, TOPICS
from streams.cli.cluster import asked
from streams.cli.common import Rejections, Unreadable, progress

if TYPE_CHECKING:
    from streams.settings import Settings


def publish_on_kafka(files: tuple[Path, ...], settings: Settings, seal: Path | None = None) -> int:
    """Publish events from files to Kafka; returns the exit code. seal: the public key to seal personal fields with."""
    from streams.kafka.publishing import publish
    from streams.registry import codec_for
    from streams.security.field_encryption import sealer

    rejections = Rejections(None if seal is None else sealer(seal), see_that_it_comes_in)
    with progress("publishing") as bar:
        advance = partial(bar.advance, bar.task_ids[0])
        sent = asked(publish(settings, codec_for(settings), rejections.events(files), advance), settings)
    click.echo(f"{sent} events published, {rejections}", err=True)
    return rejections.exit_code()


def see_that_it_comes_in(event: Event) -> None:
    """Raise InvalidEventError for an event of a topic that only the engine writes."""
    topic = TOPIC_OF[type(event)]
    if not topic.inbound:
        names = ", ".join(t.name for t in TOPICS.values() if t.inbound)
        raise InvalidEventError(
            "unknown_topic",
            f"{type(event).__name__} belongs to {topic.name}, which Reprieve alone writes. Leave it out: what comes in "
            f"goes to {names}.",
        )


def consume_on_kafka(topic: str, limit: int | None, follow: bool, settings: Settings) -> int:
    """Print a topic's events as JSON lines, and name the records that cannot be read; returns the exit code."""
    from streams.kafka.publishing import consume
    from streams.registry import codec_for

    out = click.get_binary_stream("stdout")
    unreadable = Unreadable()

    async def run() -> None:
        printed = 0
        async for event in consume(settings, codec_for(settings), [topic], follow=follow, skip=unreadable.skip):
            out.write(to_line(event))
            out.flush()
            printed += 1
            if printed == limit:
                return

    asked(run(), settings)
    return unreadable.exit_code()
