"""Which master keys are still asked for, by what: an older one may be given up once nothing does.

Copies count for themselves: whoever goes back to a backup needs the keys of its day.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from schemas import events as ev
from schemas.codec import Codec
from schemas.errors import BadInput
from streams.privacy.check import NAME, wrapper_of_word
from streams.privacy.log import MARK
from streams.privacy.master import wrapper_of
from streams.privacy.sealed import SEALED
from streams.privacy.vault import is_sealed, wrapped_of

if TYPE_CHECKING:
    from streams.settings import Settings

BORROWERS, LETTERS, LOG, WORDS = "borrowers", "dead letters", "records of the log", "words of the check"


class Asked(Counter[tuple[str, str]]):
    """By master key and what asks for it, how many."""

    def ids(self) -> set[str]:
        """Return the ids that are asked for."""
        return {name for name, _ in self}

    def told(self, key_id: str) -> str:
        """Return in words what asks for a master key, nothing where nothing does."""
        return ", ".join(f"{count} {what}" for (name, what), count in sorted(self.items()) if name == key_id)


def in_directory(folder: Path) -> Asked:
    """Count what asks for each master key in a data directory. Raises Fatal where there is none."""
    from streams.local.beside import ReadTables

    with closing(ReadTables(folder)) as tables:
        db, word, codec = tables.db, tables.meta(NAME), Codec()
        asked = Asked() if word is None else Asked({(wrapper_of_word(word), WORDS): 1})
        for agent in sorted(SEALED):
            rows = db.execute("SELECT value FROM state WHERE agent = ?", (agent,))
            asked.update(_of_rows((value for (value,) in rows), BORROWERS))
        marked = db.execute(
            "SELECT substr(value, ?) FROM log WHERE substr(value, 1, ?) = ?", (len(MARK) + 1, len(MARK), MARK)
        )
        asked.update(_of_rows((value for (value,) in marked), LOG))
        for (value,) in db.execute("SELECT value FROM log WHERE topic = 'dead-letters'"):
            asked.update(_of_letter(value, codec))
    return asked


async def on_kafka(settings: Settings, codec: Codec) -> Asked:
    """Count what asks for each master key in the changelogs and dead letters, as far as they are committed."""
    from streams.kafka.broker import changelog
    from streams.kafka.letters import committed
    from streams.kafka.rows import META, STATE, state_of

    asked = Asked()
    for agent in sorted(SEALED):
        last: dict[tuple[int, bytes], str] = {}
        name = changelog(settings, agent).removeprefix(settings.topics.prefix)
        async for record in committed(settings, name):
            place = record.partition, record.key
            last.pop(place, None)
            if record.value is None:
                continue
            if record.key == META + NAME.encode():
                last[place] = wrapper_of_word(record.value.decode())
            elif record.key[:1] == STATE and is_sealed(state_of(record.value)):
                last[place] = _wrapper(state_of(record.value))
        asked.update((name, BORROWERS if key[:1] == STATE else WORDS) for (_, key), name in last.items())
    async for record in committed(settings, "dead-letters"):
        asked.update(_of_letter(record.value, codec))
    return asked


def _of_rows(values: Iterable[bytes], what: str) -> Iterator[tuple[str, str]]:
    return ((_wrapper(value), what) for value in values if is_sealed(value))


def _of_letter(value: bytes | None, codec: Codec) -> list[tuple[str, str]]:
    try:
        letter = codec.decode(value or b"")
    except BadInput:
        return []
    sealed = letter.sealed if isinstance(letter, ev.DeadLetter) else None
    return [] if sealed is None else [(_wrapper(sealed), LETTERS)]


def _wrapper(sealed: bytes) -> str:
    return wrapper_of(wrapped_of(sealed, b"wrapper"))
