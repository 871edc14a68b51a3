"""What the commands share: the data directory, the policy book, and how rejected lines are told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from msgspec import json
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from schemas.events import Event
from schemas.jsonlines import read_events
from schemas.rejected import Rejected
from state.pack import book_for, default_book
from state.policy import PolicyBook
from streams.local.runtime import LocalRuntime
from streams.local.store import book_of

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
    "--policy", metavar="PACK", default=None, help="A policy pack or its file; without it, the packs by jurisdiction."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def book_named(name: str | None) -> PolicyBook:
    """Return the policy book of a pack, or the one by jurisdiction and product."""
    return default_book() if name in (None, "default") else book_for(str(name))


@contextmanager
def opened(data: Path, policy: str | None = None, *, create: bool = False) -> Iterator[LocalRuntime]:
    """Open a data directory under the policy that it was made with, or a new one under the policy asked for."""
    if not create and not (data / "reprieve.db").exists():
        raise click.UsageError(
            f"There is no data in {data}. Publish events into it first, or name another with --data."
        )
    made_with = book_of(data)
    with LocalRuntime.open(data, book_named(policy or made_with)) as runtime:
        yield runtime


def say_json(value: object) -> None:
    """Print a value as one line of JSON."""
    click.echo(json.encode(value))


class Rejections:
    """Takes events out of files, and tells each rejected line on standard error as it meets it.

    seal: seals what is personal in an event. fit: raises BadInput where an event is to be rejected.
    """

    def __init__(
        self, seal: Callable[[Event], Event] | None = None, fit: Callable[[Event], None] | None = None
    ) -> None:
        self.count = 0
        self._seal = seal
        self._fit = fit

    def events(self, files: Iterable[Path]) -> Iterator[Event]:
        """Yield the events of files in their order."""
        for file in files:
            for item in read_events(file, self._fit):
                if isinstance(item, Rejected):
                    self.count += 1
                    click.echo(str(item), err=True)
                else:
                    yield item if self._seal is None else self._seal(item)

    def exit_code(self) -> int:
        """Return 1 where a line was rejected, else 0."""
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
