"""Where a console reads from: a data directory of the local runtime, or a Kafka deployment."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from heapq import merge
from pathlib import Path
from typing import Any, Protocol

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


class Source(Protocol):
    """Where a console reads from.

    failure: the error that ended reading, None while it continues. audit: records who is shown a borrower's data.
    has_snapshots: whether it has a cache file in which snapshots of the overview outlast a restart.
    """

    failure: BaseException | None
    audit: Audit
    has_snapshots: bool

    def start(self) -> None:
        """Begin to follow. Raises FatalError where that is impossible."""
        ...

    def stop(self) -> None:
        """Stop following, and release all resources."""
        ...

    def open(self) -> ReadStore:
        """Return a store of what is committed, for the calling thread."""
        ...

    def caught_up(self) -> bool:
        """Return whether the store contains all that was committed when the source was started."""
        ...

    def store_generation(self, store: ReadStore) -> str:
        """Return an id that changes whenever the store is rebuilt."""
        ...

    def load_snapshot(self, store: ReadStore) -> tuple[int, Iterator[bytes]] | None:
        """Return the position and the parts of the saved snapshot, None where there is no valid one."""
        ...

    def save_snapshot(self, generation: str, position: int, parts: Sequence[bytes]) -> bool:
        """Save a snapshot through a position of a store's generation; returns whether it was saved. Blocks."""
        ...

    def in_force(self, store: ReadStore) -> str | None:
        """Return the name of the policy book with which it began."""
        ...

    def changes(self, store: ReadStore) -> list[ev.PolicyChanged]:
        """Return the changes of policy that came since, in the order in which they were taken."""
        ...

    def first_files(self, store: ReadStore) -> dict[str, str] | None:
        """Return the texts of the book with which it began, as they are kept; None where none are."""
        ...

    def policies(self, store: ReadStore) -> PolicyBook:
        """Return the policies by which it decides, with all changes. Raises PackError where they cannot be read."""
        ...

    def health(self, store: ReadStore) -> dict[str, Any]:
        """Return how the workers are doing."""
        ...

    def audit_page(self, who: str) -> dict[str, Any]:
        """Return the records of who was shown whose data; who: a borrower or an actor, empty for all. Blocks."""
        ...

    def redrive(self, ids: Collection[str], code: str | None) -> dict[str, int]:
        """Send dead letters in again, those with these ids or all of a code; returns counts of the outcomes.

        Blocks. Raises FatalError with a sentence for operators.
        """
        ...


class LocalSource:
    """A data directory of the local runtime, which another process writes.

    It has no cache file of the console, so each start counts the whole log.
    """

    has_snapshots = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.failure: BaseException | None = None
        self.audit: Audit = FileAudit(folder, "reprieve.console")
        # One at a time: each takes the data directory.
        self._sending = threading.Lock()

    def start(self) -> None:
        """Do nothing: another process writes."""

    def stop(self) -> None:
        """Do nothing."""

    def open(self) -> ReadStore:
        """Return the directory's store. Raises FatalError where it has no data."""
        return ReadStore(self._folder)

    def caught_up(self) -> bool:
        """Return True: what is committed is there."""
        return True

    def store_generation(self, store: ReadStore) -> str:
        """Return a constant: the log is only appended to."""
        return ""

    def load_snapshot(self, store: ReadStore) -> tuple[int, Iterator[bytes]] | None:
        """Return None: the console writes nothing into another process's directory."""
        return None

    def save_snapshot(self, generation: str, position: int, parts: Sequence[bytes]) -> bool:
        """Return False: nothing is saved."""
        return False

    def in_force(self, store: ReadStore) -> str | None:
        """Return the policy book that the directory was made with."""
        return store.meta("book")

    def changes(self, store: ReadStore) -> list[ev.PolicyChanged]:
        """Return the changes that the directory has taken."""
        return changes_in(store.meta)

    def first_files(self, store: ReadStore) -> dict[str, str] | None:
        """Return the texts that the directory keeps of the book that it was made with."""
        return first_files(store.meta)

    def policies(self, store: ReadStore) -> PolicyBook:
        """Return the policies that the directory keeps."""
        return stored_book(store.meta, lambda: book_named(store.meta("book")))

    def health(self, store: ReadStore) -> dict[str, Any]:
        """Return what there is to say of one process: what waits, and when it last wrote."""
        newest = max(
            (f.stat().st_mtime for f in self._folder.glob(FILE + "*") if not f.name.endswith("-shm")), default=0
        )
        return {"kind": "local", "lag": store.waiting(), "newest_commit_ms": int(newest * 1000), "problem": None}

    def audit_page(self, who: str) -> dict[str, Any]:
        """Return the records, verified from the first to the last each time."""
        store = self.open()
        try:
            with closing(sqlite3.connect(":memory:")) as db:
                db.executescript(TABLES)
                add(db, merge(store.erasures(), file_records(self._folder), key=lambda e: e.occurred_at))
                return audit_page(db, who)
        finally:
            store.close()

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
