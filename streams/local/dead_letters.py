"""Dead letters of a local runtime: which there are, and sending the originals in again."""

from __future__ import annotations

from collections.abc import Sequence

from schemas import events as ev
from streams.engine.dead_letters import REPLAY_HEADER, DeadLetterEntry, can_be_sent_again
from streams.local.runtime import LocalRuntime
from streams.security.dead_letters import open_dead_letter


def read_dead_letters(runtime: LocalRuntime) -> list[DeadLetterEntry]:
    """Return all dead letters, oldest first."""
    found = [event for _, event in runtime.outputs("dead-letters") if isinstance(event, ev.DeadLetter)]
    again = runtime.replayed()
    return [DeadLetterEntry(x, x.event_id in again) for x in found]


def redrive(runtime: LocalRuntime, chosen: Sequence[DeadLetterEntry]) -> int:
    """Send the originals of dead letters in again and process them; returns how many were refused anew.

    That a letter was sent is noted in the transaction that appends its original: a crash sends none twice.
    """
    for x in chosen:
        if not can_be_sent_again(x.letter):
            continue
        letter = open_dead_letter(x.letter, runtime.vault)
        runtime.publish_raw(
            letter.topic,
            letter.key,
            letter.value,
            [*letter.headers.items(), (REPLAY_HEADER, letter.event_id.encode())],
            int(letter.occurred_at.timestamp() * 1000),
            replay_of=letter.event_id,
        )
    return runtime.run().refused
