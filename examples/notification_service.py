"""A notification service: keeps what is to be told to borrowers, each offer once, and when it may be told.

What is read and how far it is read are one transaction of the outbox, so a crash loses and doubles nothing.
An offer that was withdrawn or ran out is not sent any more. It may be sent in the hours of any day on which it is open,
and where others have tried to reach the borrower since (`ContactRevised`), in the hours and on the channels that are
stated then. Your own sender calls `due`, sends, and calls `sent`.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import Consumer, TopicPartition
from contracts import Contracts

TOPIC = "offers"
TABLES = """
CREATE TABLE IF NOT EXISTS offer (
    offer_id TEXT PRIMARY KEY, borrower_id TEXT NOT NULL, message TEXT NOT NULL, locale TEXT NOT NULL,
    channels TEXT NOT NULL, state TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS hours (offer_id TEXT NOT NULL, not_before TEXT NOT NULL, not_after TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS hours_of ON hours (offer_id);
CREATE TABLE IF NOT EXISTS place (partition INTEGER PRIMARY KEY, "offset" INTEGER NOT NULL);
"""


class Outbox:
    """What is to be told, in one SQLite file."""

    def __init__(self, file: str) -> None:
        self.db = sqlite3.connect(file, isolation_level=None)
        self.db.execute("PRAGMA secure_delete = ON")
        self.db.executescript(TABLES)

    def places(self) -> dict[int, int]:
        """Return by partition how far it has been read."""
        return dict(self.db.execute('SELECT partition, "offset" FROM place'))

    def take(self, name: str, record: dict[str, Any]) -> None:
        """Note an event of the topic `offers`."""
        if name == "OfferPublished":
            contact = record["contact"]
            new = self.db.execute(
                "INSERT OR IGNORE INTO offer VALUES (?, ?, ?, ?, ?, 'waiting')",
                (
                    record["offer_id"],
                    record["borrower_id"],
                    record["message"],
                    record["locale"],
                    json.dumps(contact["channels"]),
                ),
            )
            if new.rowcount:
                self._hours(record["offer_id"], contact)
        elif name == "ContactRevised":
            # Others have called the borrower meanwhile: the hours that the offer stated hold no longer.
            contact = record["contact"]
            self.db.execute(
                "UPDATE offer SET channels = ? WHERE offer_id = ?",
                (json.dumps(contact["channels"]), record["offer_id"]),
            )
            self._hours(record["offer_id"], contact)
        elif name in ("OfferWithdrawn", "OfferExpired"):
            # What an offer says is personal: no longer here than it is of use, and no trace in the file's free pages.
            self.db.execute(
                "UPDATE offer SET state = 'over', message = '' WHERE offer_id = ? AND state = 'waiting'",
                (record["offer_id"],),
            )

    def _hours(self, offer_id: str, contact: dict[str, Any]) -> None:
        """Note when a borrower may be reached: a window on each day; the first one alone in events of before."""
        self.db.execute("DELETE FROM hours WHERE offer_id = ?", (offer_id,))
        for window in contact.get("windows") or [contact]:
            self.db.execute(
                "INSERT INTO hours VALUES (?, ?, ?)",
                (offer_id, window["not_before"].isoformat(), window["not_after"].isoformat()),
            )

    def due(self, now: datetime) -> list[tuple[str, str, str, list[str]]]:
        """Return offer, borrower, message and channels of all that may be told at this instant."""
        # All instants are UTC in one format, so their texts compare as they do.
        at = now.astimezone(UTC).isoformat()
        rows = self.db.execute(
            "SELECT offer_id, borrower_id, message, channels FROM offer JOIN hours USING (offer_id) "
            "WHERE state = 'waiting' AND not_before <= ? AND ? < not_after AND channels != '[]' "
            "ORDER BY not_before, offer_id",
            (at, at),
        )
        return [(offer, borrower, message, json.loads(channels)) for offer, borrower, message, channels in rows]

    def sent(self, offer_id: str) -> None:
        """Note that an offer was told."""
        self.db.execute("UPDATE offer SET state = 'sent', message = '' WHERE offer_id = ?", (offer_id,))


def follow(bootstrap: str, prefix: str, outbox: Outbox, *, until_end: bool = False, most: int | None = None) -> None:
    """Read offers into the outbox. until_end: stop where the topic ends now. most: stop after so many records."""
    contracts = Contracts()
    # Reprieve commits transactions: what is not committed was never said.
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "notification-service",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
        }
    )
    try:
        topic = prefix + TOPIC
        found = consumer.list_topics(topic, timeout=30).topics[topic].partitions
        places = outbox.places()
        consumer.assign([TopicPartition(topic, number, places.get(number, 0)) for number in found])
        ended: set[int] = set()
        while (most is None or most > 0) and not (until_end and ended == set(found)):
            record = consumer.poll(1.0)
            if record is None:
                continue
            if record.error():
                ended.add(record.partition())
                continue
            name, fields = contracts.decode(record.value())
            outbox.db.execute("BEGIN")
            outbox.take(name, fields)
            outbox.db.execute("INSERT OR REPLACE INTO place VALUES (?, ?)", (record.partition(), record.offset() + 1))
            outbox.db.execute("COMMIT")
            most = None if most is None else most - 1
    finally:
        consumer.close()


def main() -> None:
    """Follow the topic, and say what may be told now."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", default="127.0.0.1:9092")
    parser.add_argument("--prefix", default="reprieve.")
    parser.add_argument("--outbox", default="outbox.db")
    parser.add_argument("--until-end", action="store_true", help="stop where the topic ends now")
    given = parser.parse_args()
    outbox = Outbox(given.outbox)
    follow(given.bootstrap, given.prefix, outbox, until_end=given.until_end)
    for offer, borrower, message, channels in outbox.due(datetime.now(UTC)):
        print(f"{offer} to {borrower} by {' or '.join(channels)}: {message}")


if __name__ == "__main__":
    main()
