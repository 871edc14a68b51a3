"""`reprieve keys`: the master keys under which personal data are sealed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from schemas.errors import FatalError
from streams.cli.cluster import config_option, kafka_option, run_on_kafka, settings_of
from streams.cli.writing import replacing, reporting_write_errors

if TYPE_CHECKING:
    from streams.cli.key_usage import KeyUsage

in_option = click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), help="Count what asks for each in a data directory."
)
file_argument = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))


@click.group("keys")
def keys_group() -> None:
    """Master keys: they wrap the data key of each borrower. Keep a copy of the file: without it nothing opens."""


@keys_group.command("make")
@file_argument
@config_option
def make_command(file: Path, config: Path | None) -> None:
    """Make a file with a first master key (mode 0600); with privacy.kms_url the KMS wraps it."""
    from streams.security.key_file import make
    from streams.security.vault_factory import kms_of

    kms = kms_of(settings_of(config).privacy)
    name = make(file, None if kms is None else kms.wrap)
    click.echo(f"{file} has the master key {name}. Set privacy.master_keys_file to it, and keep a copy elsewhere.")


@keys_group.command("rotate")
@file_argument
@config_option
def rotate_command(file: Path, config: Path | None) -> None:
    """Add a master key, which wraps from the next start of each process on; the older ones still open."""
    from streams.security.key_file import rotate
    from streams.security.vault_factory import kms_of

    kms = kms_of(settings_of(config).privacy)
    with reporting_write_errors(file):
        name = rotate(file, None if kms is None else kms.wrap)
    click.echo(
        f"{file} has the master key {name} too. Give the file to every process, and restart them one by one. From the "
        "next close of a day on it wraps every row; `reprieve keys list` then says which older one can be dropped."
    )


@keys_group.command("wire")
@file_argument
@click.option("--public", type=click.Path(path_type=Path, dir_okay=False), required=True, help="Where it goes.")
def wire_command(file: Path, public: Path) -> None:
    """Make a key, or a newer one, with which upstream seals personal fields, and write its public part."""
    from streams.security.field_encryption import public_of
    from streams.security.key_file import make, rotate

    # A key whose public part nobody has is of no use: see first that this can be written.
    with replacing(public, read=[file]) as out:
        with reporting_write_errors(file):
            name = rotate(file) if file.exists() else make(file)
        out.write(public_of(file))
    click.echo(f"Upstream seals with {public} ({name}). Set privacy.wire_keys_file to {file}, and keep it here.")


@keys_group.command("list")
@file_argument
@in_option
@kafka_option
@config_option
def list_command(file: Path, data: Path | None, kafka: bool, config: Path | None) -> None:
    """List the ids of a file's master keys, the one that wraps last; no key is shown.

    With --data or --kafka also what asks for each: an older one that nothing asks for can be dropped.
    """
    from streams.security.key_file import read_entries

    counted = _asked_for(data, kafka, config)
    entries = read_entries(file)
    for entry in entries:
        by, wraps = "wrapped by a KMS" if entry.wrapped else "in the file", entry is entries[-1]
        line = f"{entry.id}  {by}{'  wraps' if wraps else ''}"
        if counted is not None:
            unused = "nothing asks for it yet" if wraps else "nothing asks for it: it can be dropped"
            line += f"  {counted.describe(entry.id) or unused}"
        click.echo(line)
    lost = sorted(counted.ids() - {entry.id for entry in entries}) if counted else []
    if lost:
        raise FatalError(f"{file} lacks {', '.join(lost)}, and there are rows that ask for it. Put it back.")


@keys_group.command("drop")
@file_argument
@click.argument("key_id")
@in_option
@kafka_option
@config_option
def drop_command(file: Path, key_id: str, data: Path | None, kafka: bool, config: Path | None) -> None:
    """Take an older master key out of a file, once nothing in --data or on --kafka asks for it any more."""
    from streams.security.key_file import drop

    counted = _asked_for(data, kafka, config)
    if counted is None:
        raise click.UsageError("Say with --data DIRECTORY or --kafka where it is not asked for any more.")
    asking = counted.describe(key_id)
    if asking:
        raise FatalError(
            f"{asking} still ask for {key_id}. Rows are wrapped anew at the first close of a day, or start on a data "
            "directory, under a newer key; dead letters on Kafka go with their retention."
        )
    with reporting_write_errors(file):
        drop(file, key_id)
    click.echo(f"{file} no longer has {key_id}. Give the file to every process; backups from before ask for it still.")


def _asked_for(data: Path | None, kafka: bool, config: Path | None) -> KeyUsage | None:
    """Count what asks for master keys on Kafka or in a data directory, None where neither is named."""
    from streams.cli.key_usage import usage_in_directory, usage_on_kafka
    from streams.registry import codec_for

    if kafka:
        settings = settings_of(config)
        return run_on_kafka(usage_on_kafka(settings, codec_for(settings)), settings)
    return None if data is None else usage_in_directory(data)
