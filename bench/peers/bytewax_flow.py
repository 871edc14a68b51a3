"""The account agent on Bytewax: `python -m bench.peers.bytewax_flow` in a venv of its own, until SIGTERM.

Its recovery store is on; snapshots every ten seconds, which is its own default. It keeps no offsets in Kafka, so it
says once in a while how many events it has processed. At least once: its sink to Kafka knows no transactions.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main

from bench.peers.work import TOPICS, Work, flags

# Events between two words about how many were processed.
_EVERY = 1_000


def main() -> None:
    """Run until told to stop."""
    given = flags(__doc__).parse_args()
    work = Work(given.prefix)
    done = 0

    def decide(rows: dict[str, bytes] | None, value: bytes) -> tuple[dict[str, bytes], Iterable[Any]]:
        nonlocal done
        rows = {} if rows is None else rows
        event = work.codec.decode(value)
        key = event.account_id  # type: ignore[attr-defined]
        said = [KafkaSinkMessage(name, out, topic=topic) for topic, name, out, _ in work.decide(key, event, rows)]
        done += 1
        if done % _EVERY == 0:
            sys.stdout.write(f"processed {done}\n")
            sys.stdout.flush()
        return rows, said

    brokers = given.bootstrap.split(",")
    flow = Dataflow("account")
    source = KafkaSource(brokers, [given.prefix + name for name in TOPICS])
    messages = op.input("in", flow, source)
    keyed = op.map("key", messages, lambda message: (message.key.decode(), message.value))
    said = op.stateful_flat_map("account", keyed, decide)
    plain = op.map("plain", said, lambda pair: pair[1])
    op.output("out", plain, KafkaSink(brokers, f"{given.prefix}delinquency"))
    folder = Path(given.state)
    folder.mkdir(parents=True, exist_ok=True)
    if not list(folder.iterdir()):
        init_db_dir(folder, 1)
    cli_main(flow, recovery_config=RecoveryConfig(folder), epoch_interval=timedelta(seconds=10))


if __name__ == "__main__":
    main()
