"""What it costs to seal: the planner's and the account agent's events on disk, with rows sealed and in the clear.

`python -m bench.privacy [--borrowers N] [--runs N]`: the two ways take turns in one process.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path

from bench.local import START, instant, opening, payments
from bench.measure import machine, spread
from schemas import events as ev
from state.account import AccountState
from state.policy_packs.loader import default_book
from state.storage import pack
from streams.engine.agents import all_agents
from streams.local.runtime import LocalRuntime
from streams.local.store import Store
from streams.security.key_file import make, read_master_keys
from streams.security.sealed_rows import scope_of
from streams.security.vault import Vault, seal_part


def reports(borrowers: int, day: int) -> Iterator[ev.Event]:
    """Yield a report of the means of each borrower, with the consent for it on the first day."""
    on = START + timedelta(days=day)
    for n in range(borrowers):
        name = f"B{n:07d}"
        base = {"occurred_at": instant(on), "source": "bench", "borrower_id": name, "consent_id": f"c-{n}"}
        if not day:
            yield ev.ConsentGranted(**base, event_id=f"grant-{n}", purpose="repayment_planning")  # type: ignore[arg-type]
        yield ev.ProfileReported(
            **base,  # type: ignore[arg-type]
            event_id=f"report-{day}-{n}",
            kind="interview",
            as_of=on,
            monthly_income=800_000 + n,
            monthly_expenses=400_000,
            household_size=3,
            credit_score=640,
            region="CN-SH",
        )


def rate(runtime: LocalRuntime, events: Sequence[ev.Event]) -> float:
    """Return events a second of CPU time, from bytes in the log to durable state."""
    runtime.publish(events)
    began = time.process_time()
    runtime.run()
    return len(events) / (time.process_time() - began)


def micros(act: Callable[[], object], times: int = 20_000) -> float:
    """Return the µs that something takes."""
    began = time.perf_counter()
    for _ in range(times):
        act()
    return (time.perf_counter() - began) / times * 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--borrowers", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=4)
    given = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        keys = Path(folder) / "keys.json"
        make(keys)
        vault = Vault(read_master_keys(keys))
        ways = {
            "sealed": LocalRuntime(Store(Path(folder) / "sealed"), all_agents(), default_book(), vault=vault),
            "clear": LocalRuntime(Store(Path(folder) / "clear"), all_agents(), default_book()),
        }
        found: dict[str, dict[str, list[float]]] = {"planner": {}, "account": {}}
        for way, runtime in ways.items():
            runtime.feed(opening(given.borrowers))
            runtime.feed(reports(given.borrowers, 0))
            found["planner"][way], found["account"][way] = [], []
        for run in range(1, given.runs + 1):
            told = list(reports(given.borrowers, run))
            paid = list(payments(given.borrowers, run))
            for way in sorted(ways, reverse=bool(run % 2)):
                found["planner"][way].append(rate(ways[way], told))
                found["account"][way].append(rate(ways[way], paid))
        for agent, by_way in found.items():
            for way, rates in by_way.items():
                print(f"{agent} events a second of CPU time, {way}: {spread(rates)}")
        state = ways["clear"].state("account", "A0000001")
        assert isinstance(state, AccountState)
        for runtime in ways.values():
            runtime.close()
    data, scope = pack(state), scope_of("account", "A0000001")
    key = vault.new_key(scope)
    sealed = vault.seal(data, scope, key)
    costs = {
        "sealed": micros(lambda: vault.seal(data, scope, key)),
        "opened with its key at hand": micros(lambda: vault.open(sealed, scope, key)),
        "opened without": micros(lambda: vault.open(sealed, scope)),
        "a fact of it sealed": micros(lambda: seal_part(data[:150], scope, key)),
    }
    told_costs = ", ".join(f"{what} {cost:.1f}" for what, cost in costs.items())
    print(f"an account's state of {len(data)} bytes, µs: {told_costs}")


if __name__ == "__main__":
    main()
