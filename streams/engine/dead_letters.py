"""Dead letters: what was refused, as it came, with the reason."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from agents.base import derived_id
from schemas import events as ev
from schemas.errors import InvalidEventError

# The end of the year 9999, in milliseconds since 1970.
_LAST_INSTANT = 253_402_300_799_000

# The code of records of a key in quarantine.
QUARANTINED = "quarantined"

# The header by which a record that was sent in again names its dead letter.
REPLAY_HEADER = "reprieve-replay-of"


@dataclass(frozen=True, slots=True)
class DeadLetterEntry:
    """A dead letter, and whether it was sent in again."""

    letter: ev.DeadLetter
    resolved: bool


def can_be_sent_again(letter: ev.DeadLetter) -> bool:
    """Say whether the original of a letter may be sent in again: what is in quarantine waits there for its release."""
    return letter.code != QUARANTINED


def dead_letter(
    source: str,
    place: tuple[str, int, int],
    key: bytes | None,
    value: bytes | None,
    headers: Iterable[tuple[str, bytes]],
    timestamp: int,
    bad: InvalidEventError,
    identity: str,
) -> ev.DeadLetter:
    """Return the dead letter of a record.

    place: its topic, partition and offset; -1 where it was never a record of its own.
    timestamp: the record's, in milliseconds since 1970.
    identity: names what was refused; the same refusal of the same thing has the same id.
    """
    topic, partition, offset = place
    # A record's timestamp is whatever its producer wrote.
    at = datetime.fromtimestamp(min(max(timestamp, 0), _LAST_INSTANT) / 1000, UTC)
    return ev.DeadLetter(
        event_id=derived_id(identity, "DeadLetter", bad.code),
        occurred_at=at,
        source=source,
        topic=topic,
        partition=partition,
        offset=offset,
        key=key,
        value=value,
        headers=dict(headers),
        code=bad.code,
        message=bad.message,
        field=bad.field,
    )
