"""`reprieve keys`: the master keys under which personal data are sealed."""

from __future__ import annotations

from pathlib import Path

import click

from streams.cli.cluster import config_option, settings_of

file_argument = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))


@click.group("keys")
def keys_group() -> None:
    """Master keys: they wrap the data key of each borrower. Keep a copy of the file: without it nothing opens."""


@keys_group.command("make")
@file_argument
@config_option
def make_command(file: Path, config: Path | None) -> None:
    """Make a file with a first master key (mode 0600); with privacy.kms_url the KMS wraps it."""
    from streams.privacy.key_file import make
    from streams.privacy.opening import kms_of

    kms = kms_of(settings_of(config).privacy)
    name = make(file, None if kms is None else kms.wrap)
    click.echo(f"{file} has the master key {name}. Set privacy.master_keys_file to it, and keep a copy elsewhere.")


@keys_group.command("rotate")
@file_argument
@config_option
def rotate_command(file: Path, config: Path | None) -> None:
    """Add a master key, which wraps from the next start of each process on; the older ones still open."""
    from streams.privacy.key_file import rotate
    from streams.privacy.opening import kms_of

    kms = kms_of(settings_of(config).privacy)
    name = rotate(file, None if kms is None else kms.wrap)
    click.echo(f"{file} has the master key {name} too. Give the file to every process, and restart them one by one.")


@keys_group.command("wire")
@file_argument
@click.option("--public", type=click.Path(path_type=Path, dir_okay=False), required=True, help="Where it goes.")
def wire_command(file: Path, public: Path) -> None:
    """Make a key, or a newer one, with which upstream seals personal fields, and write its public part."""
    from streams.privacy.key_file import make, rotate
    from streams.privacy.wire import public_of

    name = rotate(file) if file.exists() else make(file)
    public.write_bytes(public_of(file))
    click.echo(f"Upstream seals with {public} ({name}). Set privacy.wire_keys_file to {file}, and keep it here.")


@keys_group.command("list")
@file_argument
def list_command(file: Path) -> None:
    """List the ids of a file's master keys, the one that wraps last; no key is shown."""
    from streams.privacy.key_file import read_entries

    entries = read_entries(file)
    for entry in entries:
        by = "wrapped by a KMS" if entry.wrapped else "in the file"
        click.echo(f"{entry.id}  {by}{'  wraps' if entry is entries[-1] else ''}")
