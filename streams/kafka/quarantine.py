"""The quarantine of a deployment on Kafka, read from the changelog of what belongs to its tasks."""

from __future__ import annotations

from collections.abc import Sequence

from streams.engine.agents import all_agents
from streams.kafka.changelog_format import QUARANTINE
from streams.kafka.committed_reader import read_committed
from streams.settings import Settings


async def quarantine_rows(settings: Settings) -> list[Sequence[tuple[int, bytes]]]:
    """Return the rows of the quarantine by partition, each with its number, the lowest first."""
    found: dict[int, dict[int, bytes]] = {}
    # What belongs to a task stands in the changelog of its first agent.
    async for record in read_committed(settings, [f"{all_agents()[0][0].name}-changelog"]):
        if record.key[:1] == QUARANTINE:
            number = int.from_bytes(record.key[1:], "big")
            if record.value is None:
                found.get(record.partition, {}).pop(number, None)
            else:
                found.setdefault(record.partition, {})[number] = record.value
    return [sorted(rows.items()) for _, rows in sorted(found.items())]
