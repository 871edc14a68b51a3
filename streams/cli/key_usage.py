"""Which master keys are still asked for, by what: an older one may be given up once nothing does.

Copies count for themselves: whoever goes back to a backup needs the keys of its day.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

from schemas import events as ev
from schemas.codec import Codec
from schemas.errors import InvalidEventError
from streams.cli.quarantine import rows_on_kafka
from streams.engine.quarantine import sealed_values
from streams.kafka.changelog_format import META, STATE, changelog_topic, packed_state
from streams.kafka.committed_reader import read_committed
from streams.local.store import ReadTables
from streams.security.key_check import KEY_CHECK, wrapper_of_check_value
from streams.security.sealed_log import MARK
from streams.security.sealed_rows import SEALED
from streams.security.vault import is_sealed, wrapper_of_sealed
from streams.settings import Settings

BORROWERS, LETTERS, LOG, WORDS = "borrowers", "dead letters", "records of the log", "words of the check"
WAITING = "records in quarantine"


class KeyUsage(Counter[tuple[str, str]]):
    """By master key and what asks for it, how many."""

    def ids(self) -> set[str]:
        """Return the ids that are asked for."""
        return {name for name, _ in self}

    def describe(self, key_id: str) -> str:
        """Return in words what asks for a master key, nothing where nothing does."""
        return ", ".join(f"{count} {what}" for (name, what), count in sorted(self.items()) if name == key_id)


def usage_in_directory(folder: Path) -> KeyUsage:
    """Count what asks for each master key in a data directory. Raises FatalError where there is none."""
    with closing(ReadTables(folder)) as tables:
        db, word, codec = tables.db, tables.meta(KEY_CHECK), Codec()
        asked = KeyUsage() if word is None else KeyUsage({(wrapper_of_check_value(word), WORDS): 1})
        for agent in sorted(SEALED):
            rows = db.execute("SELECT value FROM state WHERE agent = ?", (agent,))
            asked.update(_of_rows((value for (value,) in rows), BORROWERS))
        asked.update(_of_rows(sealed_values(tables.quarantined()), WAITING))
        marked = db.execute(
            "SELECT substr(value, ?) FROM log WHERE substr(value, 1, ?) = ?", (len(MARK) + 1, len(MARK), MARK)
        )
        asked.update(_of_rows((value for (value,) in marked), LOG))
        for (value,) in db.execute("SELECT value FROM log WHERE topic = 'dead-letters'"):
            asked.update(_of_letter(value, codec))
    return asked


async def usage_on_kafka(settings: Settings, codec: Codec) -> KeyUsage:
    """Count what asks for each master key in the changelogs and dead letters, as far as they are committed."""
    asked = KeyUsage()
    for agent in sorted(SEALED):
        last: dict[tuple[int, bytes], str] = {}
        name = changelog_topic(settings, agent).removeprefix(settings.topics.prefix)
        async for record in read_committed(settings, [name]):
            place = record.partition, record.key
            last.pop(place, None)
            if record.value is None:
                continue
            if record.key == META + KEY_CHECK.encode():
                last[place] = wrapper_of_check_value(record.value.decode())
            elif record.key[:1] == STATE and is_sealed(packed_state(record.value)):
                last[place] = _wrapper(packed_state(record.value))
        asked.update((name, BORROWERS if key[:1] == STATE else WORDS) for (_, key), name in last.items())
    for rows in await rows_on_kafka(settings):
        asked.update(_of_rows(sealed_values(rows), WAITING))
    async for record in read_committed(settings, ["dead-letters"]):
        asked.update(_of_letter(record.value, codec))
    return asked


def _of_rows(values: Iterable[bytes], what: str) -> Iterator[tuple[str, str]]:
    return ((_wrapper(value), what) for value in values if is_sealed(value))


def _of_letter(value: bytes | None, codec: Codec) -> list[tuple[str, str]]:
    try:
        letter = codec.decode(value or b"")
    except InvalidEventError:
        return []
    sealed = letter.sealed if isinstance(letter, ev.DeadLetter) else None
    return [] if sealed is None else [(_wrapper(sealed), LETTERS)]


def _wrapper(sealed: bytes) -> str:
    return wrapper_of_sealed(sealed, b"wrapper")
