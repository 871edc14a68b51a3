"""Where a console reads from: a data directory of the local runtime, or a Kafka deployment."""

from __future__ import annotations

import sqlite3
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from heapq import merge
from pathlib import Path
from typing import Any

from console.audit_page import TABLES, add, audit_page
from console.read_store import ReadStore
from schemas import events as ev
from schemas.errors import FatalError
from state.policy import PolicyBook
from streams.engine.policies import book_named, changes_in, first_files, stored_book
from streams.local.dead_letters import read_dead_letters, redrive
from streams.local.runtime import LocalRuntime
from streams.local.store import FILE, book_of
from streams.redaction import describe_error
from streams.security.audit import Audit, FileAudit, file_records


class Source(ABC):
    """Where a console reads from; what is not abstract is that of a store to which another process only appends.

    failure: the error that ended reading, None while it continues. audit: records who is shown a borrower's data.
    has_snapshots: whether it has a cache file in which snapshots of the overview outlast a restart.
    """

    failure: BaseException | None = None
    audit: Audit
    has_snapshots = False

    def start(self) -> None:  # noqa: B027
        """Begin to follow. Raises FatalError where that is impossible."""

    def stop(self) -> None:  # noqa: B027
        """Stop following, and release all resources."""

    @abstractmethod
    def open(self) -> ReadStore:
        """Return a store of what is committed, for the calling thread. Raises FatalError where there is none."""

    def caught_up(self) -> bool:
        """Return whether the store contains all that was committed when the source was started."""
        return True

    def store_generation(self, store: ReadStore) -> str:
        """Return an id that changes whenever the store is rebuilt."""
        return ""

    def load_snapshot(self, store: ReadStore) -> tuple[int, Iterator[bytes]] | None:
        """Return the position and the parts of the saved snapshot, None where there is no valid one."""
        return None

    def save_snapshot(self, generation: str, position: int, parts: Sequence[bytes]) -> bool:
        """Save a snapshot through a position of a store's generation; returns whether it was saved. Blocks."""
        return False

    @abstractmethod
    def in_force(self, store: ReadStore) -> str | None:
        """Return the name of the policy book with which it began."""

    @abstractmethod
    def policy_values(self, store: ReadStore) -> Callable[[str], str | None]:
        """Return how to look up, by name, what it keeps of its policies."""

    def changes(self, store: ReadStore) -> list[ev.PolicyChanged]:
        """Return the changes of policy that came since, in the order in which they were taken."""
        return changes_in(self.policy_values(store))

    def first_files(self, store: ReadStore) -> dict[str, str] | None:
        """Return the texts of the book with which it began, as they are kept; None where none are."""
        return first_files(self.policy_values(store))

    def policies(self, store: ReadStore) -> PolicyBook:
        """Return the policies by which it decides, with all changes. Raises PackError where they cannot be read."""
        return stored_book(self.policy_values(store), lambda: book_named(self.in_force(store)))

    @abstractmethod
    def health(self, store: ReadStore) -> dict[str, Any]:
        """Return how the workers are doing."""

    @abstractmethod
    def audit_page(self, who: str) -> dict[str, Any]:
        """Return the records of who was shown whose data; who: a borrower or an actor, empty for all. Blocks."""

    @abstractmethod
    def redrive(self, ids: Collection[str], code: str | None) -> dict[str, int]:
        """Send dead letters in again, those with these ids or all of a code; returns counts of the outcomes.

        Blocks. Raises FatalError with a sentence for operators.
        """


class LocalSource(Source):
    """A data directory of the local runtime, which another process writes.

    It has no cache file of the console, so each start counts the whole log.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.audit: Audit = FileAudit(folder, "reprieve.console")
        # One at a time: each takes the data directory.
        self._sending = threading.Lock()

    def open(self) -> ReadStore:
        """Return the directory's store. Raises FatalError where it has no data."""
        return ReadStore(self._folder)

    def in_force(self, store: ReadStore) -> str | None:
        """Return the policy book that the directory was made with."""
        return store.meta("book")

    def policy_values(self, store: ReadStore) -> Callable[[str], str | None]:
        """Return how to look up what the directory keeps of its policies."""
        return store.meta

    def health(self, store: ReadStore) -> dict[str, Any]:
        """Return what there is to say of one process: what waits, and when it last wrote."""
        newest = max(
            (f.stat().st_mtime for f in self._folder.glob(FILE + "*") if not f.name.endswith("-shm")), default=0
        )
        return {"kind": "local", "lag": store.waiting(), "newest_commit_ms": int(newest * 1000), "problem": None}

    def audit_page(self, who: str) -> dict[str, Any]:
        """Return the records, verified from the first to the last each time."""
        with closing(self.open()) as store, closing(sqlite3.connect(":memory:")) as db:
            db.executescript(TABLES)
            add(db, merge(store.erasures(), file_records(self._folder), key=lambda e: e.occurred_at))
            return audit_page(db, who)

    def redrive(self, ids: Collection[str], code: str | None) -> dict[str, int]:
        """Send dead letters in again and process them. Raises FatalError where another process has the directory."""
        with self._sending, LocalRuntime.open(self._folder, book_named(book_of(self._folder))) as runtime:
            wanted = [x for x in read_dead_letters(runtime) if x.letter.event_id in ids or x.letter.code == code]
            chosen = [x for x in wanted if not x.resolved]
            refused = redrive(runtime, chosen)
        return {"sent": len(chosen), "before": len(wanted) - len(chosen), "refused": refused}


def seconds_since(moment: float) -> float:
    """Return how long ago a moment of the monotonic clock is."""
    return time.monotonic() - moment


def sentence(error: BaseException) -> str:
    """Return what went wrong as a sentence for operators."""
    return str(error) if isinstance(error, FatalError) else f"The console failed with {describe_error(error)}."
