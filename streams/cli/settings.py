"""`reprieve settings`: every setting, and what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from msgspec import json

from streams.cli.cluster import config_option, settings_of
from streams.cli.common import json_option


@click.command("settings")
@config_option
@json_option
def settings_command(config: Path | None, as_json: bool) -> None:
    """Show all settings as a worker would take them, and where each that was set was set; secrets are masked."""
    from streams.settings import origins, without_password

    found: dict[str, dict[str, Any]] = {
        group: {name: without_password(value) if isinstance(value, str) else value for name, value in values.items()}
        for group, values in settings_of(config).model_dump(mode="json").items()
    }
    if as_json:
        click.echo(json.encode(found))
        return
    places = origins(config)
    for group, values in found.items():
        click.echo(f"[{group}]")
        for name, value in values.items():
            place = places.get((group, name))
            click.echo(f"{name} = {json.encode(value).decode()}" + (f"  # {place}" if place else ""))
        click.echo()
