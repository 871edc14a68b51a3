"""`reprieve topics`: the topics on Kafka as settings ask for them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from schemas.errors import FatalError, UsageError
from streams.cli.cluster import config_option, run_on_kafka, settings_of
from streams.cli.common import json_option, say_json

if TYPE_CHECKING:
    from streams.settings import Settings


@click.group("topics")
def topics_group() -> None:
    """Make the topics on Kafka, or say what differs."""


@topics_group.command("apply")
@config_option
@click.option(
    "--shorten", is_flag=True, help="Keep records of inbound topics for a shorter time where settings say so."
)
def apply_command(config: Path | None, shorten: bool) -> None:
    """Make what is missing, and set what differs. No topic is deleted, and no number of partitions changed.

    How long records are kept is set too (topics.retention_days). Where that is shorter than now it is said first, since
    Kafka then deletes what is older: of what Reprieve says at once, of what comes in only with --shorten.
    """
    settings = settings_of(config)
    for line in applied(settings, shorten=shorten) or ["All topics are as they have to be."]:
        click.echo(line)


def applied(settings: Settings, *, shorten: bool) -> list[str]:
    """Make the topics as settings ask, and return what was done. shorten: also where inputs are then deleted sooner."""
    from streams.kafka.topic_admin import apply_topics, shorter_retentions

    fewer = run_on_kafka(shorter_retentions(settings), settings)
    for one in fewer:
        click.echo(f"{one}.", err=True)
    if not shorten and any(one.inbound for one in fewer):
        names = ", ".join(one.topic for one in fewer if one.inbound)
        raise FatalError(
            f"Inputs on {names} would be deleted sooner, and nobody says them again. Nothing was changed. See that all "
            "workers have read them and that nothing is to be replayed, then add --shorten; or raise "
            "topics.retention_days."
        )
    return run_on_kafka(apply_topics(settings), settings)


@topics_group.command("check")
@config_option
@json_option
def check_command(config: Path | None, as_json: bool) -> None:
    """Say what differs, a line each; exit code 1 where anything does."""
    from streams.kafka.deployment import disagreements
    from streams.kafka.topic_admin import find_differences

    settings = settings_of(config)
    recorded = run_on_kafka(disagreements(settings), settings)
    found = run_on_kafka(find_differences(settings), settings)
    if as_json:
        say_json(
            [{"topic": d.topic, "message": d.message, "mendable": d.mendable, "refused": d.refused} for d in found]
            + [{"topic": None, "message": fault, "mendable": False, "refused": True} for fault in recorded]
        )
    else:
        for d in found:
            click.echo(f"{d.topic} {d.message}.")
        for fault in recorded:
            click.echo(fault)
        if not found and not recorded:
            click.echo("All topics are as they have to be.")
    sys.exit(1 if found or recorded else 0)


@topics_group.command("acl")
@config_option
@click.option("--user", "users", multiple=True, metavar="ROLE=PRINCIPAL", help="Whose rights a role's are; User:ROLE.")
@click.option("--options", default="", help="What kafka-acls.sh is told of brokers and how to connect.")
@click.option("--apply", "give", is_flag=True, help="Give the rights, and say which there are beyond them.")
@json_option
def acl_command(config: Path | None, users: tuple[str, ...], options: str, give: bool, as_json: bool) -> None:
    """Print who needs which rights on Kafka, as lines of kafka-acls.sh: no more than each role's work asks for."""
    from streams.kafka.acls import ROLES, as_data, kafka_acls_commands, principals

    settings = settings_of(config)
    named = dict(user.partition("=")[::2] for user in users)
    unknown = sorted(set(named) - set(ROLES))
    if unknown or not all(name.startswith("User:") for name in named.values()):
        raise UsageError(f"--user takes ROLE=User:NAME, with a role of {', '.join(ROLES)}; not {', '.join(users)}.")
    who = principals(settings, named)
    if as_json:
        say_json(as_data(settings, who))
    if give:
        from streams.kafka.acls import grant

        for line in grant(settings, who) or ["Everybody has his rights."]:
            click.echo(line, err=as_json)
    elif not as_json:
        for line in kafka_acls_commands(settings, who, options):
            click.echo(line)
