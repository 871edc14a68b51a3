"""`reprieve topics`: the topics on Kafka as settings ask for them."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from schemas.errors import WrongUse
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


@topics_group.command("acl")
@config_option
@click.option("--user", "users", multiple=True, metavar="ROLE=PRINCIPAL", help="Whose rights a role's are; User:ROLE.")
@click.option("--options", default="", help="What kafka-acls.sh is told of brokers and how to connect.")
@click.option("--apply", "give", is_flag=True, help="Give the rights, and say which there are beyond them.")
@json_option
def acl_command(config: Path | None, users: tuple[str, ...], options: str, give: bool, as_json: bool) -> None:
    """Print who needs which rights on Kafka, as lines of kafka-acls.sh: no more than each role's work asks for."""
    from streams.kafka.rights import ROLES, as_data, commands, principals

    settings = settings_of(config)
    named = dict(user.partition("=")[::2] for user in users)
    unknown = sorted(set(named) - set(ROLES))
    if unknown or not all(name.startswith("User:") for name in named.values()):
        raise WrongUse(f"--user takes ROLE=User:NAME, with a role of {', '.join(ROLES)}; not {', '.join(users)}.")
    who = principals(settings, named)
    if as_json:
        say_json(as_data(settings, who))
    if give:
        from streams.kafka.granting import grant

        for line in grant(settings, who) or ["Everybody has his rights."]:
            click.echo(line, err=as_json)
    elif not as_json:
        for line in commands(settings, who, options):
            click.echo(line)
