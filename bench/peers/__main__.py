"""`python -m bench.peers [--rounds N] [--accounts N …] [--engines NAME,…]`: the same events through each engine.

Each run has topics, a group and an empty folder of its own on one Apache Kafka; engines alternate, round by round.
Loans are opened first; what is timed is a running engine on payments that wait for it in random order, from its first
progress past a twentieth of them to the last one, or for as long as a run may take. Rates are of one process beside
the broker on the same machine; CPU is the engine's own, per event. An engine that stands still is named with the end of
its log, the others go on, and the run ends with 1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.kafka import committed, cpu_seconds, months_of
from bench.local import opening
from bench.measure import chart, machine, note
from bench.peers.engines import ENGINES, Engine, Run, environment
from deploy.local.kafka import KafkaCluster
from schemas.codec import Codec
from streams.kafka.publishing import publish
from streams.kafka.topic_admin import apply_topics
from streams.settings import Settings

PARTITIONS = 4
# Seconds that an engine may take to take loans, and each of them; to begin with the payments; that it is timed at most.
_OPENED, _BEGIN, _TIMED = (240.0, 0.006), 90.0, 30.0


def processed(engine: Engine, settings: Settings, log: Path) -> int:
    """Return how many events an engine has behind it."""
    if not engine.counts_itself:
        return asyncio.run(committed(settings))
    found = re.findall(rb"processed (\d+)", log.read_bytes())
    return int(found[-1]) if found else 0


@contextmanager
def running(engine: Engine, run: Run) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """Run an engine; yields its process and its log."""
    log = run.folder / "log"
    with log.open("wb") as out:
        child = subprocess.Popen(engine.command(run), stdout=out, stderr=out, env=environment(), cwd=run.folder)
    try:
        yield child, log
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def take_loans(engine: Engine, run: Run, settings: Settings, accounts: int) -> None:
    """Let an engine take the loans: those that read several topics read them in no order."""
    with running(engine, run) as (child, log):
        deadline = time.monotonic() + _OPENED[0] + _OPENED[1] * accounts
        while processed(engine, settings, log) < accounts - accounts % 1_000:
            if child.poll() is not None or time.monotonic() > deadline:
                raise _stuck(engine, log)
            time.sleep(0.2)
        # Its snapshot or commit of the last of them; Bytewax makes one every ten seconds.
        time.sleep(12 if engine.counts_itself else 3)


def measured(engine: Engine, run: Run, settings: Settings, before: int, count: int) -> tuple[float, float]:
    """Time an engine on `count` payments; returns events a second, and microseconds of CPU an event."""
    with running(engine, run) as (child, log):
        before = 0 if engine.counts_itself else before
        began: tuple[float, int, float] | None = None
        last: tuple[float, int, float] | None = None
        deadline = time.monotonic() + _BEGIN
        while time.monotonic() < deadline and child.poll() is None:
            now = (time.monotonic(), processed(engine, settings, log) - before, cpu_seconds(child.pid))
            if began is None and now[1] >= count // 20:
                began, deadline = now, now[0] + _TIMED
            elif began is not None and now[1] > (last or began)[1]:
                last = now
            if now[1] >= count - count % 1_000:
                break
            time.sleep(0.1)
        if began is None or last is None:
            raise _stuck(engine, log)
        done = last[1] - began[1]
        return done / (last[0] - began[0]), (last[2] - began[2]) / done * 1e6


class StuckError(Exception):
    """An engine does not go on, or ended."""


def _stuck(engine: Engine, log: Path) -> StuckError:
    return StuckError(f"{engine.name} does not go on: {log.read_text('utf-8', 'replace')[-3000:]}")


def table_of_engines(rates: dict[str, list[float]], cpus: dict[str, list[float]], engines: Sequence[Engine]) -> str:
    """Return what was measured as a Markdown table."""
    ours = statistics.median(rates[engines[0].name] or [0.0])
    lines = [
        f"| engine | guarantee | events/s, median (range) | {engines[0].name} is faster by | CPU, µs an event |",
        "|---|---|---|---|---|",
    ]
    for engine in engines:
        rate = rates[engine.name]
        if not rate:
            lines.append(f"| {engine.name} | {engine.guarantee} | did not go on | | |")
            continue
        middle = statistics.median(rate)
        ratio = "" if engine is engines[0] else f"{ours / middle:.1f} ×"
        lines.append(
            f"| {engine.name} | {engine.guarantee} | {middle:,.0f} ({min(rate):,.0f}–{max(rate):,.0f}) | {ratio} | "
            f"{statistics.median(cpus[engine.name]):.0f} |"
        )
    return "\n".join(lines)


def plot(rates: Mapping[str, Sequence[float]], file: Path) -> None:
    """Draw the median of each engine, and every round as a point."""
    with chart(file, 3.2) as axes:
        names = sorted(filter(rates.get, rates), key=lambda name: statistics.median(rates[name]))
        for place, name in enumerate(names):
            axes.barh(place, statistics.median(rates[name]), color="#1f4e79" if "eprieve" in name else "#9db4c8")
            axes.plot(rates[name], [place] * len(rates[name]), "o", color="#1b2430", markersize=4)
        axes.set_yticks(range(len(names)), names)
        axes.set_xlabel("payments a second, one process; bars are medians, points are rounds")


def main() -> int:
    """Measure and print; return 1 where an engine did not go on."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--accounts", type=int, nargs="+", default=[40_000, 300_000])
    parser.add_argument("--payments", type=int, default=200_000)
    parser.add_argument("--engines", help="names, or beginnings of them, with commas between")
    parser.add_argument("--json", type=Path, help="a file for what was measured")
    parser.add_argument("--plot", type=Path, help="a file for a picture of the first number of accounts")
    given = parser.parse_args()
    names = given.engines.split(",") if given.engines else [""]
    engines = [engine for engine in ENGINES if any(engine.name.startswith(name) for name in names)]
    rates: dict[int, dict[str, list[float]]] = {count: {e.name: [] for e in engines} for count in given.accounts}
    cpus: dict[int, dict[str, list[float]]] = {count: {e.name: [] for e in engines} for count in given.accounts}
    failed = 0
    print(machine())
    with tempfile.TemporaryDirectory() as temporary, KafkaCluster(Path(temporary) / "kafka") as cluster:
        for number in range(given.rounds):
            for accounts in given.accounts:
                for place, engine in enumerate(engines):
                    folder = Path(temporary) / f"run-{number}-{accounts}-{place}"
                    try:
                        rate, cpu = _run(cluster.bootstrap, folder, engine, accounts, given.payments)
                    except StuckError as stuck:
                        failed = 1
                        print(stuck, flush=True)
                        continue
                    finally:
                        shutil.rmtree(folder)
                    rates[accounts][engine.name].append(rate)
                    cpus[accounts][engine.name].append(cpu)
                    told = (
                        f"round {number + 1}: {engine.name}, {accounts:,} accounts: {rate:,.0f} events/s, {cpu:.0f} µs"
                    )
                    print(told, flush=True)
    for accounts in given.accounts:
        print(f"\n{accounts:,} accounts, {PARTITIONS} partitions, one process each, {given.rounds} rounds\n")
        print(table_of_engines(rates[accounts], cpus[accounts], engines))
        ours = engines[0].name
        for engine in engines:
            what, found = f"payments through {engine.name}, {accounts:,} accounts", rates[accounts][engine.name]
            if not found:
                continue
            note(what, "events/s", found, beside=() if engine.name == ours else rates[accounts][ours])
            note(what, "µs of CPU an event", cpus[accounts][engine.name])
    if given.plot is not None:
        plot(rates[given.accounts[0]], given.plot)
    if given.json is not None:
        given.json.write_text(json.dumps({"rates": rates, "cpu_us": cpus}, indent=1), "utf-8")
    return failed


def _run(bootstrap: str, folder: Path, engine: Engine, accounts: int, wanted: int) -> tuple[float, float]:
    """Run an engine on topics of its own; returns what `measured` does."""
    folder.mkdir()
    run = Run(bootstrap, f"{folder.name}.", folder.name, folder, PARTITIONS)
    settings = Settings.load(
        kafka={"bootstrap_servers": run.bootstrap},
        topics={"prefix": run.prefix, "partitions": PARTITIONS},
        worker={"application_id": run.group},
    )
    asyncio.run(apply_topics(settings))
    loans = asyncio.run(publish(settings, Codec(), opening(accounts)))
    take_loans(engine, run, settings, loans)
    total = asyncio.run(publish(settings, Codec(), months_of(accounts, wanted)))
    return measured(engine, run, settings, loans, total)


if __name__ == "__main__":
    sys.exit(main())
