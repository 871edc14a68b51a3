"""`reprieve publish` and `reprieve consume`: events into the local runtime or Kafka, and out of it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import click

from schemas.events import Event
from schemas.jsonlines import to_line
from schemas.topics import TOPICS
from streams.cli.cluster import config_option, settings_of
from streams.cli.common import Rejections, data_option, opened, policy_option, progress
from streams.cli.on_kafka import consume_on_kafka, publish_on_kafka
from streams.security.field_encryption import sealer

CHUNK = 10_000
kafka_option = click.option("--kafka", is_flag=True, help="On Kafka, by the settings, and not in a data directory.")


def chunks(events: Iterator[Event], size: int = CHUNK) -> Iterator[list[Event]]:
    """Yield events in lists of at most `size`."""
    while chunk := list(islice(events, size)):
        yield chunk


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
        raise SystemExit(publish_on_kafka(files, settings_of(config), seal))
    rejections = Rejections(None if seal is None else sealer(seal))
    read = outputs = rejected = 0
    with opened(data, policy, create=True) as runtime, progress("publishing") as bar:
        for events in chunks(rejections.events(files), chunk):
            read += runtime.publish(events)
            if not no_run:
                summary = runtime.run()
                outputs, rejected = outputs + summary.said - summary.refused, rejected + summary.refused
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
@data_option
@kafka_option
@config_option
def consume_command(
    topic: str, start: int, limit: int | None, follow: bool, data: Path, kafka: bool, config: Path | None
) -> None:
    """Print a topic's events as JSON lines; on Kafka only what is committed."""
    if kafka:
        if start:
            raise click.UsageError("--from is for a data directory: on Kafka each partition has offsets of its own.")
        raise SystemExit(consume_on_kafka(topic, limit, follow, settings_of(config)))
    if follow:
        raise click.UsageError("--follow is for Kafka; a data directory changes only when something is published.")
    out = click.get_binary_stream("stdout")
    with opened(data) as runtime:
        for _, event in islice(runtime.outputs(topic, start - 1), limit):
            out.write(to_line(event))
