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

from console.ledger import Ledger
from console.trail import TABLES, take, trail
from schemas import events as ev
from schemas.errors import Fatal
from state.pack import book_for, default_book
from streams.local.beside import FILE
from streams.local.letters import letters, send_again
from streams.local.runtime import LocalRuntime
from streams.local.store import book_of
from streams.policies import changes_in, first_files
from streams.privacy.audit import Audit, FileAudit, file_records


class Source(Protocol):
    """What a console needs of where it reads.

    failure: what ended it, None while it goes on. audit: takes down who is shown a borrower's data. keeps: whether it
    has a file of the console's own, in which what was counted outlasts a restart.
    """

    failure: BaseException | None
    audit: Audit
    keeps: bool

    def start(self) -> None:
        """Begin to follow. Raises Fatal where that cannot be."""
        ...

    def stop(self) -> None:
        """End, and let go of all that is held."""
        ...

    def open(self) -> Ledger:
        """Return what is committed, to be read by the thread that asks."""
        ...

    def caught_up(self) -> bool:
        """Say whether the ledger has come to where the source was when it began."""
        ...

    def built(self, ledger: Ledger) -> str:
        """Return a word that is another one where the ledger was made anew."""
        ...

    def kept(self, ledger: Ledger) -> tuple[int, Iterator[bytes]] | None:
        """Return through which position of the ledger was counted and what, in parts; None where nothing counts."""
        ...

    def keep(self, built: str, position: int, parts: Sequence[bytes]) -> bool:
        """Keep what was counted through a position of a ledger that was built so; says whether it is kept. Blocks."""
        ...

    def in_force(self, ledger: Ledger) -> str | None:
        """Return the name of the policy book with which it began."""
        ...

    def changes(self, ledger: Ledger) -> list[ev.PolicyChanged]:
        """Return the changes of policy that came since, in the order in which they were taken."""
        ...

    def first_files(self, ledger: Ledger) -> dict[str, str] | None:
        """Return the texts of the book with which it began, as they are kept; None where none are."""
        ...

    def health(self, ledger: Ledger) -> dict[str, Any]:
        """Return how whoever processes events is doing."""
        ...

    def trail(self, who: str) -> dict[str, Any]:
        """Return what is on record of who was shown whose data, of all or of somebody. Blocks."""
        ...

    def send_again(self, ids: Collection[str], code: str | None) -> dict[str, int]:
        """Send dead letters in again, those with these ids or all of a code; returns what came of it.

        Blocks. Raises Fatal with a sentence where it cannot be done.
        """
        ...


class LocalSource:
    """A data directory, written by whoever has it.

    It has no file of the console's own, so what is counted is counted from its log at each start.
    """

    keeps = False

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

    def open(self) -> Ledger:
        """Return the directory's ledger. Raises Fatal where it has no data."""
        return Ledger(self._folder)

    def caught_up(self) -> bool:
        """Return True: what is committed is there."""
        return True

    def built(self, ledger: Ledger) -> str:
        """Return the same word always: a log is only appended to."""
        return ""

    def kept(self, ledger: Ledger) -> tuple[int, Iterator[bytes]] | None:
        """Return None: nothing is kept in a directory that another process writes."""
        return None

    def keep(self, built: str, position: int, parts: Sequence[bytes]) -> bool:
        """Return False: nothing is kept."""
        return False

    def in_force(self, ledger: Ledger) -> str | None:
        """Return the policy book that the directory was made with."""
        return ledger.meta("book")

    def changes(self, ledger: Ledger) -> list[ev.PolicyChanged]:
        """Return the changes that the directory has taken."""
        return changes_in(ledger.meta)

    def first_files(self, ledger: Ledger) -> dict[str, str] | None:
        """Return the texts that the directory keeps of the book that it was made with."""
        return first_files(ledger.meta)

    def health(self, ledger: Ledger) -> dict[str, Any]:
        """Return what there is to say of one process: what waits, and when it last wrote."""
        newest = max(
            (f.stat().st_mtime for f in self._folder.glob(FILE + "*") if not f.name.endswith("-shm")), default=0
        )
        return {"kind": "local", "lag": ledger.waiting(), "newest_commit_ms": int(newest * 1000), "problem": None}

    def trail(self, who: str) -> dict[str, Any]:
        """Return what is on record, each time checked from its first line to its last."""
        ledger = self.open()
        try:
            with closing(sqlite3.connect(":memory:")) as db:
                db.executescript(TABLES)
                take(db, merge(ledger.erasures(), file_records(self._folder), key=lambda e: e.occurred_at))
                return trail(db, who)
        finally:
            ledger.close()

    def send_again(self, ids: Collection[str], code: str | None) -> dict[str, int]:
        """Send letters in again and process them. Raises Fatal where another process has the directory."""
        with self._sending:
            name = book_of(self._folder)
            book = default_book() if name in (None, "default") else book_for(str(name))
            with LocalRuntime.open(self._folder, book) as runtime:
                wanted = [x for x in letters(runtime) if x.letter.event_id in ids or x.letter.code == code]
                chosen = [x for x in wanted if not x.resolved]
                refused = send_again(runtime, chosen)
        return {"sent": len(chosen), "before": len(wanted) - len(chosen), "refused": refused}


def seconds_since(moment: float) -> float:
    """Return how long ago a moment of the monotonic clock is."""
    return time.monotonic() - moment


def sentence(error: BaseException) -> str:
    """Return what went wrong as a sentence for operators."""
    return str(error) if isinstance(error, Fatal) else f"The console failed with {type(error).__name__}: {error}."
