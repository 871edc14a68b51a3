"""`reprieve worker`: the agents on Kafka."""

from __future__ import annotations

from pathlib import Path

import click

from streams.cli.cluster import config_option, health_flags, health_port_option, settings_of
from streams.cli.common import book_named


@click.command("worker")
@config_option
@health_port_option
def worker_command(config: Path | None, health_port: int | None) -> None:
    """Process partitions on Kafka, until told to stop.

    As many workers as there are partitions share the work; each needs a data directory of its own.
    """
    # Faust and what it brings are not needed by any other command.
    from streams.kafka.worker import run_worker
    from streams.registry import codec_for

    settings = settings_of(config, **health_flags(health_port))
    run_worker(settings, book_named(settings.worker.policy), codec_for(settings))
