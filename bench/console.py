"""The console over Kafka: how long it takes to catch up, how large its file is, and how far behind the event a page is.

python -m bench.console --accounts 200000
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.local import START, closes, instant, payment
from bench.measure import peak_mib
from deploy.local.kafka import KafkaCluster
from schemas import events as ev
from tests.support.worker_cluster import WorkerCluster

# Payments of the account whose history is long; so many a day, since an account keeps no more than twice that of an
# open one; and rounds of the latency.
LONG, A_DAY, ROUNDS = 10_000, 1_000, 20


def undisturbed(name: str) -> ev.AccountOpened:
    """Return the opening of an account on which nothing is due for long."""
    due = START + timedelta(days=900)
    return ev.AccountOpened(
        event_id=f"open-{name}",
        occurred_at=instant(START),
        source="bench",
        account_id=name,
        borrower_id=f"B{name}",
        product="personal_loan",
        jurisdiction="CN",
        currency="CNY",
        opened_on=START,
        annual_rate_bps=0,
        principal=10_000_000,
        instalments=(ev.Instalment(number=1, due_on=due, principal=10_000_000, interest=0, fees=0),),
    )


def history(accounts: int) -> Iterator[ev.Event]:
    """Yield accounts with three payments each, and one with a long history."""
    for n in range(accounts):
        yield undisturbed(f"A{n:07d}")
    for number in range(3):
        for n in range(accounts):
            yield payment(f"A{n:07d}", f"A{n:07d}-{number}", 100, START)
    for number in range(3, LONG):
        day = START + timedelta(days=number // A_DAY)
        yield payment("A0000000", f"A0000000-{number}", 100, day)
        if number % A_DAY == A_DAY - 1:
            yield from closes(day, day)


def asked(url: str, path: str) -> Any:
    """Return what the console answers; None where it is not ready."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=120)
    connection.request("GET", path)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return text if answer.status == 200 else None


def begun(workers: WorkerCluster) -> tuple[subprocess.Popen[str], str, float]:
    """Start a console; return it, where it is, and the seconds until it was ready."""
    command = [sys.executable, "-m", "streams.cli", "console", "--kafka", "--port=0"]
    command += [f"--data={workers.folder / 'console'}", f"--config={workers.folder / 'one.toml'}"]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
    try:
        assert process.stdout is not None
        found = re.search(r"http://\S+(?=;)", process.stdout.readline())
        assert found is not None
        while asked(found[0], "/readyz") is None:
            time.sleep(0.05)
    except BaseException:
        process.kill()
        raise
    return process, found[0], time.perf_counter() - began


def measured(workers: WorkerCluster, accounts: int) -> None:
    """Print what was measured on workers."""
    workers.start("one")
    began = time.perf_counter()
    workers.publish(history(accounts))
    workers.wait_until_idle(patience=1_800)
    print(f"published and processed in {time.perf_counter() - began:.0f} s", flush=True)
    process, _, took = begun(workers)
    size = sum(f.stat().st_size for f in (workers.folder / "console").iterdir())
    print(f"caught up in {took:.1f} s, {size / 2**20:.0f} MiB, {peak_mib(process.pid):.0f} MiB RSS", flush=True)
    # What it counted is written when it has caught up; then it is killed.
    time.sleep(10)
    process.kill()
    process.wait()
    process, url, took = begun(workers)
    try:
        counted = json.loads(asked(url, "/api/overview"))["accounts"]
        memory = peak_mib(process.pid)
        print(f"started again in {took:.1f} s, {memory:.0f} MiB RSS, {counted:,} accounts counted", flush=True)
        began = time.perf_counter()
        shown = json.loads(asked(url, "/api/accounts/A0000000"))
        print(f"{shown['timeline']['count']} events of one account told in {time.perf_counter() - began:.2f} s")
        delays = []
        for n in range(ROUNDS):
            name = f"Z{n:05d}"
            # Making a producer and closing it is in it, so this is the most that it can be.
            began = time.perf_counter()
            workers.publish([undisturbed(name)])
            while json.loads(asked(url, "/api/overview"))["accounts"] != accounts + n + 1:
                time.sleep(0.01)
            delays.append(time.perf_counter() - began)
        delays.sort()
        print(f"an account sent is counted after {delays[ROUNDS // 2]:.2f} s (median), {delays[-1]:.2f} s at most")
    finally:
        process.kill()
        process.wait()


def main() -> None:
    """Measure on a broker of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=200_000)
    accounts = parser.parse_args().accounts
    with tempfile.TemporaryDirectory() as folder, KafkaCluster(Path(folder) / "kafka") as cluster:
        (Path(folder) / "stage").mkdir()
        with WorkerCluster(cluster.bootstrap, Path(folder) / "stage", "bench", partitions=3) as workers:
            measured(workers, accounts)


if __name__ == "__main__":
    main()
