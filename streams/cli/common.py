"""What the commands share: the data directory, the policy book, and how rejected lines are told."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import click
from msgspec import json
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from schemas.errors import InvalidEventError, Rejected, UsageError
from schemas.events import Event, PolicyChanged
from schemas.jsonlines import read_events, without_place
from streams.cli.cluster import config_option, kafka_option
from streams.engine import policies
from streams.local.runtime import LocalRuntime
from streams.local.store import book_of, faults_of_data

data_option = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("data"),
    envvar="REPRIEVE_DATA",
    show_default=True,
    show_envvar=True,
    help="The data directory of the local runtime.",
)
policy_option = click.option(
    "--policy",
    metavar="PACK",
    default=None,
    help="A policy pack, or the file of a pack or book; without it, the default book, by jurisdiction and product.",
)
Command = TypeVar("Command", bound=Callable[..., object])


def source_options(command: Command) -> Command:
    """Add the options that say where a command reads: a data directory, or Kafka by the settings."""
    return data_option(kafka_option(config_option(command)))


def inputs_option(about: str) -> Callable[[Command], Command]:
    """Return the option that names the files of events that a command reads, one behind the other."""
    files = click.Path(path_type=Path, allow_dash=True)
    return click.option("--input", "inputs", metavar="FILE", multiple=True, required=True, type=files, help=about)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


# How many unknown fields of a run are told apart.
MOST_WARNINGS = 50

book_named = policies.book_named


def is_change(name: str) -> bool:
    """Return whether a name is that of a file of events, such as `reprieve policy change` writes."""
    return name.endswith(".jsonl")


def files_of_change(name: str) -> dict[str, str]:
    """Return the texts of the change of policy in a file. Raises UsageError where it has none."""
    for item in read_events(Path(name)):
        if isinstance(item, PolicyChanged):
            return item.files
    raise UsageError(f"There is no change of policy in {name}. Give a file that `reprieve policy change` wrote.")


@contextmanager
def opened(data: Path, policy: str | None = None, *, create: bool = False) -> Iterator[LocalRuntime]:
    """Open a data directory under the policy that it was made with, or a new one under the policy asked for."""
    if not create and not (data / "reprieve.db").exists():
        raise click.UsageError(
            f"There is no data in {data}. Publish events into it first, or name another with --data."
        )
    made_with = book_of(data)
    with LocalRuntime.open(data, book_named(policy or made_with)) as runtime, faults_of_data(data / "reprieve.db"):
        yield runtime


def say_json(value: object) -> None:
    """Print a value as one line of JSON."""
    click.echo(json.encode(value))


class Rejections:
    """Takes events out of files, and tells each rejected line on standard error as it meets it.

    A field that no contract has is warned of where it comes first, and counted.

    seal: seals what is personal in an event. fit: raises InvalidEventError where an event is to be rejected.
    """

    def __init__(
        self, seal: Callable[[Event], Event] | None = None, fit: Callable[[Event], None] | None = None
    ) -> None:
        self.count = 0
        self.strange: Counter[str] = Counter()
        self._seal = seal
        self._fit = fit

    def events(self, files: Iterable[Path]) -> Iterator[Event]:
        """Yield the events of files in their order."""
        for file in files:
            for item in read_events(file, self._fit, partial(self._warn, file)):
                if isinstance(item, Rejected):
                    self.count += 1
                    click.echo(str(item), err=True)
                else:
                    yield item if self._seal is None else self._seal(item)

    def _warn(self, file: Path, line: int, event: Event, fields: list[str]) -> None:
        for field in fields:
            path = re.sub(r"\[\d+\]", "", field)[:80]
            name = f"{type(event).__name__}.{path}"
            if name not in self.strange and len(self.strange) >= MOST_WARNINGS:
                name = "others"
            self.strange[name] += 1
            if self.strange[name] == 1:
                why = without_place(type(event), field)
                click.echo(f"{file}:{line}: warning: {why} The event is taken without it. (unknown_field)", err=True)

    def __str__(self) -> str:
        """Return what the summary of a command says of the lines."""
        said = f"{self.count} lines rejected"
        if self.strange:
            fields = ", ".join(f"{name} ({count:,})" for name, count in self.strange.most_common())
            said += f"; fields that no contract has were left out: {fields}"
        return said

    def exit_code(self) -> int:
        """Return 1 where a line was rejected, else 0: a warning is no failure."""
        return 1 if self.count else 0


# Records that cannot be read and are named one by one; the rest is counted.
MOST_NAMED = 10


class Unreadable:
    """Counts records that cannot be read, and names the first ones on standard error."""

    def __init__(self) -> None:
        self.count = 0

    def skip(self, topic: str, partition: int, offset: int, bad: InvalidEventError) -> None:
        """Take notice of one."""
        self.count += 1
        if self.count <= MOST_NAMED:
            click.echo(f"{topic}/{partition}/{offset}: left out: {bad} ({bad.code})", err=True)

    def exit_code(self) -> int:
        """Say how many there were, and return 1 where there were any, else 0."""
        if self.count:
            click.echo(f"{self.count} records could not be read and were left out", err=True)
        return 1 if self.count else 0


@contextmanager
def progress(label: str, total: int | None = None) -> Iterator[Progress]:
    """Show the progress of long work on a terminal's standard error; elsewhere nothing."""
    console = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        bar.add_task(label, total=total)
        yield bar
