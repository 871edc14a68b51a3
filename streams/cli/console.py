"""`reprieve console`: the page, over a data directory."""

from __future__ import annotations

import threading
from pathlib import Path

import click

from streams.cli.cluster import config_option, settings_of
from streams.cli.common import data_option


@click.command("console")
@data_option
@config_option
@click.option("--port", type=click.IntRange(0, 65535), help="0 takes any free port.  [default: console.port, 8700]")
def console_command(data: Path, config: Path | None, port: int | None) -> None:
    """Serve the console: what goes on, and one account's or borrower's story.

    On this machine alone unless `console.host` says otherwise; then `access` must say who may see it.
    """
    # Imported where it is needed: no other command serves pages.
    from console.server import ServedConsole

    settings = settings_of(config)
    own, chosen = settings.console, settings.console.port if port is None else port
    with ServedConsole(data, own.host, chosen, access=settings.access, console=own) as served:
        click.echo(f"The console is at {served.url}; Ctrl-C ends it.")
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            click.echo("Stopped.")
