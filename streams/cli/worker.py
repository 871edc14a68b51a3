"""`reprieve worker`: the agents on Kafka."""

from __future__ import annotations

from pathlib import Path

import click

from schemas.codec import Codec
from streams.cli.common import book_named
from streams.settings import Settings


@click.command("worker")
@click.option("--config", type=click.Path(path_type=Path, dir_okay=False), default=None, help="A settings file (TOML).")
def worker_command(config: Path | None) -> None:
    """Process partitions on Kafka, until told to stop.

    As many workers as there are partitions share the work; each needs a data directory of its own.
    """
    # Faust and what it brings are not needed by any other command.
    from streams.kafka.worker import run_worker

    settings = Settings.load(config)
    run_worker(settings, book_named(settings.worker.policy), Codec())
