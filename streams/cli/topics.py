"""`reprieve topics`: the topics on Kafka as settings ask for them."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from streams.cli.cluster import asked, config_option, settings_of
from streams.cli.common import json_option, say_json


@click.group("topics")
def topics_group() -> None:
    """Make the topics on Kafka, or say what differs."""


@topics_group.command("apply")
@config_option
def apply_command(config: Path | None) -> None:
    """Make what is missing, and set what differs; never what would lose something."""
    from streams.kafka.topology import apply

    settings = settings_of(config)
    for line in asked(apply(settings), settings) or ["All topics are as they have to be."]:
        click.echo(line)


@topics_group.command("check")
@config_option
@json_option
def check_command(config: Path | None, as_json: bool) -> None:
    """Say what differs, a line each; exit code 1 where anything does."""
    from streams.kafka.topology import differences

    settings = settings_of(config)
    found = asked(differences(settings), settings)
    if as_json:
        say_json([{"topic": d.topic, "message": d.message, "mendable": d.mendable} for d in found])
    else:
        for d in found:
            click.echo(f"{d.topic} {d.message}.")
        if not found:
            click.echo("All topics are as they have to be.")
    sys.exit(1 if found else 0)
