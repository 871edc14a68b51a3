"""A payment system: publishes payments of a CSV file (payment_id, account_id, amount, currency, value_on, channel).

Amounts are minor units. The event_id follows from the payment, so a file that is sent again has no effect.
"""

from __future__ import annotations

import argparse
import csv
from datetime import UTC, date, datetime, time
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from confluent_kafka import Producer
from contracts import Contracts

TOPIC = "payments"


def main() -> None:
    """Publish a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--bootstrap", default="127.0.0.1:9092")
    parser.add_argument("--prefix", default="reprieve.")
    given = parser.parse_args()
    contracts = Contracts()
    # librdkafka places keys by CRC-32 unless told otherwise; everybody else's hash is murmur2.
    producer = Producer(
        {"bootstrap.servers": given.bootstrap, "enable.idempotence": True, "partitioner": "murmur2_random"}
    )
    failed = []
    with given.file.open(newline="", encoding="utf-8") as rows:
        for row in csv.DictReader(rows):
            value_on = date.fromisoformat(row["value_on"])
            record = {
                "event_id": str(uuid5(NAMESPACE_URL, f"payment/{row['payment_id']}")),
                "occurred_at": datetime.combine(value_on, time(10), UTC),
                "source": "payment-system",
                "payment_id": row["payment_id"],
                "account_id": row["account_id"],
                "amount": int(row["amount"]),
                "currency": row["currency"],
                "value_on": value_on,
                "channel": row["channel"],
            }
            producer.produce(
                given.prefix + TOPIC,
                contracts.encode("PaymentReceived", record),
                row["account_id"],
                on_delivery=lambda error, _: failed.append(error) if error else None,
            )
            producer.poll(0)
    producer.flush()
    if failed:
        raise SystemExit(f"{len(failed)} payments were not taken: {failed[0]}. Send the file again.")


if __name__ == "__main__":
    main()
