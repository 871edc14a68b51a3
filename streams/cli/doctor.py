"""`reprieve doctor`: whether all that a worker needs is there."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click

from streams.cli.cluster import config_option, settings_of
from streams.cli.common import json_option, say_json


@click.command("doctor")
@config_option
@json_option
def doctor_command(config: Path | None, as_json: bool) -> None:
    """Look at packages, disk, Kafka, topics, registry and Redis, and say what to do; exit code 1 where one is bad."""
    from streams.doctor import examined

    found = asyncio.run(examined(settings_of(config)))
    if as_json:
        say_json([{"part": f.part, "verdict": f.verdict, "message": f.message} for f in found])
    else:
        for finding in found:
            click.echo(f"{finding.verdict:<7}  {finding.part}: {finding.message}")
    sys.exit(1 if any(finding.verdict == "bad" for finding in found) else 0)
