"""What the files of a deployment name: settings, commands and files, held against what there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click
import pytest

from streams.cli import cli
from streams.settings import Settings


def loaded(variables: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return the settings that variables give. Raises UsageError where nobody knows one of them."""
    with monkeypatch.context() as environment:
        for name, value in variables.items():
            environment.setenv(name, value)
        return Settings.load()


def unknown(words: Sequence[str]) -> str | None:
    """Return what of a command line, without its program's name, there is not; None where it is right.

    Words that stand for something (`ID`, `FILE…`) are let be, and so are brackets around what may be left out.
    """
    command: click.Command = cli
    said = ["reprieve"]
    for word in (word.strip("[]…,;.()") for word in words):
        if word.startswith("--"):
            option = word.partition("=")[0]
            if option in {o for p in command.params for o in p.opts + p.secondary_opts} | {"--help"}:
                continue
            return f"`{' '.join(said)}` has no option {option}"
        if isinstance(command, click.Group):
            found = command.get_command(click.Context(command), word)
            if found is None:
                return f"`{' '.join(said)}` has no command {word}"
            command = found
            said.append(word)
    return f"`{' '.join(said)}` needs a command" if isinstance(command, click.Group) and command is not cli else None
