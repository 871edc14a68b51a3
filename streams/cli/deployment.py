"""`reprieve deployment`: what a deployment is made of, and taking other topics as its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from msgspec import to_builtins

from schemas.errors import FatalError
from streams.cli.cluster import config_option, run_on_kafka, settings_of
from streams.cli.common import json_option, say_json


@click.group("deployment")
def deployment_group() -> None:
    """What a deployment on Kafka is made of: its topics by their ids, and its partitions."""


@deployment_group.command("show")
@config_option
@json_option
def show_command(config: Path | None, as_json: bool) -> None:
    """Show what is recorded, and what is otherwise now; exit code 1 where anything is."""
    from streams.kafka.deployment import disagreements, recorded_deployment

    settings = settings_of(config)
    known = run_on_kafka(recorded_deployment(settings), settings)
    if known is None:
        raise FatalError("Nothing is recorded yet: a worker does so when it starts.")
    found = run_on_kafka(disagreements(settings), settings)
    if as_json:
        data: dict[str, Any] = to_builtins(known)
        say_json(data | {"differs": found})
    else:
        click.echo(f"{known.application_id}: {known.partitions} partitions under {known.prefix}")
        for name, topic_id in sorted(known.topics.items()):
            click.echo(f"{topic_id}  {known.prefix}{name}")
        for line in found:
            click.echo(line, err=True)
    if found:
        raise SystemExit(1)


@deployment_group.command("adopt")
@config_option
@click.option(
    "--replaces", multiple=True, metavar="ID", help="A topic's id, as a worker names it, whose offsets are given up."
)
def adopt_command(config: Path | None, replaces: tuple[str, ...]) -> None:
    """Take topics that were made anew as this deployment's: workers read them from their beginning.

    Run it where a worker says so, with all workers stopped, and only after what had not been read of the old topics was
    published to the new ones. What is there already counts once. Changelogs that are empty, and another number of
    partitions, are refused.
    """
    from streams.kafka.deployment import adopt

    settings = settings_of(config)
    for line in run_on_kafka(adopt(settings, replaces), settings) or ["Everything is as recorded."]:
        click.echo(line)
