"""Dead letters of a local runtime: which there are, and sending the originals in again."""

from __future__ import annotations

from collections.abc import Sequence

from schemas import events as ev
from streams.letters import REPLAYED, Letter
from streams.local.runtime import LocalRuntime
from streams.privacy.letters import opened_letter


def letters(runtime: LocalRuntime) -> list[Letter]:
    """Return all dead letters, oldest first."""
    found = [event for _, event in runtime.outputs("dead-letters") if isinstance(event, ev.DeadLetter)]
    again = runtime.replayed()
    return [Letter(x, x.event_id in again) for x in found]


def send_again(runtime: LocalRuntime, chosen: Sequence[Letter]) -> int:
    """Send the originals of dead letters in again and process them; returns how many were refused anew.

    That a letter was sent is noted in the transaction that appends its original: a crash sends none twice.
    """
    for x in chosen:
        letter = opened_letter(x.letter, runtime.vault)
        runtime.publish_raw(
            letter.topic,
            letter.key,
            letter.value,
            [*letter.headers.items(), (REPLAYED, letter.event_id.encode())],
            int(letter.occurred_at.timestamp() * 1000),
            replay_of=letter.event_id,
        )
    return runtime.run().refused
