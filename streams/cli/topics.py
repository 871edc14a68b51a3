"""`reprieve topics`: the topics on Kafka as settings ask for them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import click
from aiokafka.errors import KafkaError

from schemas.errors import Fatal
from streams.cli.common import json_option, say_json
from streams.settings import Settings

T = TypeVar("T")

config_option = click.option(
    "--config", type=click.Path(path_type=Path, dir_okay=False), default=None, help="A settings file (TOML)."
)


def asked(question: Coroutine[Any, Any, T], settings: Settings) -> T:
    """Run something that asks Kafka. Raises Fatal with a sentence where the broker does not answer."""
    try:
        return asyncio.run(question)
    except (KafkaError, OSError) as error:
        servers = ", ".join(settings.kafka.bootstrap_servers)
        raise Fatal(
            f"Kafka at {servers} does not answer: {type(error).__name__} {error}. Start it (reprieve up), or set "
            "kafka.bootstrap_servers."
        ) from error


@click.group("topics")
def topics_group() -> None:
    """Make the topics on Kafka, or say what differs."""


@topics_group.command("apply")
@config_option
def apply_command(config: Path | None) -> None:
    """Make what is missing, and set what differs; never what would lose something."""
    from streams.kafka.topology import apply

    settings = Settings.load(config)
    for line in asked(apply(settings), settings) or ["All topics are as they have to be."]:
        click.echo(line)


@topics_group.command("check")
@config_option
@json_option
def check_command(config: Path | None, as_json: bool) -> None:
    """Say what differs, a line each; exit code 1 where anything does."""
    from streams.kafka.topology import differences

    settings = Settings.load(config)
    found = asked(differences(settings), settings)
    if as_json:
        say_json([{"topic": d.topic, "message": d.message, "mendable": d.mendable} for d in found])
    else:
        for d in found:
            click.echo(f"{d.topic} {d.message}.")
        if not found:
            click.echo("All topics are as they have to be.")
    sys.exit(1 if found else 0)
