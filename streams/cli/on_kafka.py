"""`publish` and `consume` on Kafka."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path

import click

from schemas.codec import Codec
from schemas.jsonlines import to_line
from streams.cli.common import Rejections, progress
from streams.cli.topics import asked
from streams.settings import Settings


def publish_on_kafka(files: tuple[Path, ...], settings: Settings) -> int:
    """Publish events from files to Kafka; returns the exit code."""
    from streams.kafka.publishing import publish

    rejections = Rejections()
    with progress("publishing") as bar:
        step: Callable[[], None] = lambda: bar.advance(bar.task_ids[0])  # noqa: E731
        sent = asked(publish(settings, Codec(), rejections.events(files), step), settings)
    click.echo(f"{sent} events published, {rejections.count} lines rejected", err=True)
    return rejections.exit_code()


def consume_on_kafka(topic: str, limit: int | None, follow: bool, settings: Settings) -> None:
    """Print a topic's events as JSON lines."""
    from streams.kafka.publishing import consume

    out = click.get_binary_stream("stdout")

    async def run() -> None:
        printed = count(1)
        async for event, _ in consume(settings, Codec(), topic, follow=follow):
            out.write(to_line(event))
            out.flush()
            if next(printed) == limit:
                return

    asked(run(), settings)
