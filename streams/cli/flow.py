"""`reprieve publish` and `reprieve consume`: events into the local runtime or Kafka, and out of it."""

from __future__ import annotations

from contextlib import aclosing
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from schemas.errors import InvalidEventError
from schemas.events import Event
from schemas.jsonlines import to_line
from schemas.topics import TOPIC_OF, TOPICS
from streams.cli.cluster import config_option, kafka_option, run_on_kafka, settings_of
from streams.cli.common import Rejections, Unreadable, data_option, opened, policy_option, progress, source_options
from streams.security.field_encryption import sealer

if TYPE_CHECKING:
    from streams.settings import Settings

CHUNK = 10_000


@click.command("publish")
@click.argument("files", metavar="FILE…", nargs=-1, required=True, type=click.Path(path_type=Path, allow_dash=True))
@data_option
@policy_option
@click.option(
    "--chunk",
    type=click.IntRange(1),
    default=CHUNK,
    envvar="REPRIEVE_CHUNK",
    show_default=True,
    help="How many events are read, made durable and processed at a time.",
)
@click.option(
    "--seal",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    default=None,
    help="A public key: personal fields are sealed with it before they are published.",
)
@click.option("--no-run", is_flag=True, help="Only append to the topics; the next publish processes them.")
@kafka_option
@config_option
def publish_command(
    files: tuple[Path, ...],
    data: Path,
    policy: str | None,
    chunk: int,
    seal: Path | None,
    no_run: bool,
    kafka: bool,
    config: Path | None,
) -> None:
    """Publish events from JSON lines or Avro container files (- is standard input), and process them.

    Publishing a file twice does no harm: an event that was seen before has no effect. On Kafka the workers
    process them.
    """
    if kafka:
        raise SystemExit(_publish_on_kafka(files, settings_of(config), seal))
    rejections = Rejections(None if seal is None else sealer(seal))
    read = outputs = rejected = 0
    with opened(data, policy, create=True) as runtime, progress("publishing") as bar:
        given = rejections.events(files)
        while events := list(islice(given, chunk)):
            read += runtime.publish(events)
            if not no_run:
                summary = runtime.run()
                outputs, rejected = outputs + summary.published - summary.refused, rejected + summary.refused
            bar.update(bar.task_ids[0], completed=read)
    click.echo(f"{read} events published, {outputs} outputs, {rejected} dead letters, {rejections}", err=True)
    if rejected:
        click.echo(f"`reprieve dead-letters list --data {data}` gives the reasons.", err=True)
    raise SystemExit(rejections.exit_code())


@click.command("consume")
@click.argument("topic", type=click.Choice(sorted(TOPICS)))
@click.option("--from", "start", type=click.IntRange(min=0), default=0, show_default=True, help="First offset.")
@click.option("--limit", type=click.IntRange(min=1), default=None, help="At most so many events.")
@click.option("--follow", is_flag=True, help="Go on with what comes (on Kafka).")
@source_options
def consume_command(
    topic: str, start: int, limit: int | None, follow: bool, data: Path, kafka: bool, config: Path | None
) -> None:
    """Print a topic's events as JSON lines; on Kafka only what is committed."""
    if kafka:
        if start:
            raise click.UsageError("--from is for a data directory: on Kafka each partition has offsets of its own.")
        raise SystemExit(_consume_on_kafka(topic, limit, follow, settings_of(config)))
    if follow:
        raise click.UsageError("--follow is for Kafka; a data directory changes only when something is published.")
    out = click.get_binary_stream("stdout")
    with opened(data) as runtime:
        for _, event in islice(runtime.outputs(topic, start - 1), limit):
            out.write(to_line(event))


def _publish_on_kafka(files: tuple[Path, ...], settings: Settings, seal: Path | None) -> int:
    """Publish events from files to Kafka; returns the exit code. seal: the public key to seal personal fields with."""
    from streams.kafka.publishing import publish
    from streams.registry import codec_for

    rejections = Rejections(None if seal is None else sealer(seal), see_that_it_comes_in)
    with progress("publishing") as bar:
        advance = partial(bar.advance, bar.task_ids[0])
        sent = run_on_kafka(publish(settings, codec_for(settings), rejections.events(files), advance), settings)
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


def _consume_on_kafka(topic: str, limit: int | None, follow: bool, settings: Settings) -> int:
    """Print a topic's events as JSON lines, and name the records that cannot be read; returns the exit code."""
    from streams.kafka.publishing import consume
    from streams.registry import codec_for

    out = click.get_binary_stream("stdout")
    unreadable = Unreadable()

    async def run() -> None:
        printed = 0
        async with aclosing(
            consume(settings, codec_for(settings), [topic], follow=follow, skip=unreadable.skip)
        ) as events:
            async for event in events:
                out.write(to_line(event))
                out.flush()
                printed += 1
                if printed == limit:
                    return

    run_on_kafka(run(), settings)
    return unreadable.exit_code()
