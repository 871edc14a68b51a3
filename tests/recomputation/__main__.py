"""Compare Reprieve with the recomputation over many drawn histories: `make recompute ARGS="--account-days 2000000"`."""

from __future__ import annotations

import argparse
import sys
import time
from multiprocessing import Pool

from tests.recomputation.drawn import drawn
from tests.recomputation.lives import difference
from tests.recomputation.shrink import story


def compared(seed: int) -> tuple[int, int, int, str]:
    """Return a seed, its account-days, how many records differ, and an error's text."""
    history = drawn(seed)
    try:
        theirs, ours = difference(history)
    except Exception as error:
        return seed, history.days + 1, 1, repr(error)
    return seed, history.days + 1, len(theirs) + len(ours), ""


def main() -> int:
    """Run the long form; 1 where anything differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--account-days", type=int, default=2_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--stop-after", type=int, default=1, help="differing accounts after which to stop")
    parser.add_argument("--only", type=int, help="tell one seed's story")
    args = parser.parse_args()
    if args.only is not None:
        print(story(drawn(args.only)))
        return 0
    days = accounts = 0
    wrong: list[int] = []
    started = time.monotonic()
    with Pool(args.processes) as pool:
        seeds = range(args.seed * 1_000_000, (args.seed + 1) * 1_000_000)
        for seed, lived, differs, error in pool.imap_unordered(compared, seeds, chunksize=4):
            days += lived
            accounts += 1
            if differs:
                wrong.append(seed)
                print(f"seed {seed}: {differs} records differ {error}", flush=True)
            if days >= args.account_days or len(wrong) >= args.stop_after:
                pool.terminate()
                break
    seconds = time.monotonic() - started
    print(f"{days:,} account-days, {accounts:,} accounts, {len(wrong)} differ, {seconds:,.0f} s")
    if wrong:
        print(story(drawn(min(wrong))))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
