"""`reprieve console`: the page, over a data directory."""

from __future__ import annotations

import threading
from pathlib import Path

import click

from streams.cli.common import data_option


@click.command("console")
@data_option
@click.option("--port", type=click.IntRange(0, 65535), default=8700, show_default=True, help="0 takes any free port.")
def console_command(data: Path, port: int) -> None:
    """Serve the console on this machine: what goes on, and one account's or borrower's story."""
    # Imported where it is needed: no other command serves pages.
    from console.server import ServedConsole

    with ServedConsole(data, port=port) as served:
        click.echo(f"The console is at {served.url}; Ctrl-C ends it.")
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            click.echo("Stopped.")
