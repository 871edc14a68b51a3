"""Roll rates: how delinquency moves from one month end to the next, on the UCI card data.

`python -m tests.real_data.roll_rates` prints the section of `docs/model.md`, and a test compares them.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from typing import cast

from msgspec import Struct

from schemas import events as ev
from schemas.errors import FatalError, UsageError
from state.account import AccountState
from state.delinquency import bucket_of, measure, pauses
from state.policy import Policy
from state.policy_packs.loader import default_book
from streams.local.runtime import LocalRuntime
from tests.real_data.uci import uci_csv, uci_events

STATES: tuple[ev.Bucket, ...] = ("current", "dpd_1_30", "dpd_31_60", "dpd_61_90", "dpd_over_90")
NAMES = ("current", "1–30", "31–60", "61–90", ">90")


class Standing(Struct, frozen=True, array_like=True, gc=False):
    """An account's delinquency at the close of a day. bucket: as it was last said."""

    days_past_due: int
    missed: int
    bucket: ev.Bucket


def month_ends(
    events: Iterable[ev.Event], runtime: LocalRuntime, policy: Policy
) -> Iterator[tuple[date, dict[str, Standing]]]:
    """Yield the standing of every account at each month end, while a runtime processes events."""
    accounts: list[str] = []
    waiting: list[ev.Event] = []
    for event in events:
        waiting.append(event)
        if isinstance(event, ev.AccountOpened):
            accounts.append(event.account_id)
        if isinstance(event, ev.DayClosed):
            runtime.feed(waiting)
            waiting = []
            today = event.business_date
            if (today + timedelta(days=1)).day == 1:
                yield today, {account: standing(runtime, account, today, policy) for account in accounts}


def standing(runtime: LocalRuntime, account_id: str, day: date, policy: Policy) -> Standing:
    """Return an account's standing at the close of a day, by the account agent's own measures.

    Raises FatalError where the account was not visited on a day on which its delinquency changed.
    """
    state = cast(AccountState, runtime.state("account", account_id))
    now = measure(
        state.receivables,
        pauses(state.holds, ((0, policy.delinquency.pausing_holds),)),
        day.toordinal(),
        policy.delinquency,
    )
    if (now.missed, bucket_of(now.days_past_due, policy.delinquency.grace_days)) != (state.missed, state.bucket):
        raise FatalError(f"Account {account_id} was not visited when its delinquency changed, by {day}.")
    return Standing(now.days_past_due, now.missed, state.bucket)


def count_moves(ends: Iterable[tuple[date, Mapping[str, Standing]]]) -> Counter[tuple[ev.Bucket, ev.Bucket]]:
    """Return how often accounts moved from one state to another between month ends in a row.

    The first month end is left out: nothing is due yet, so nobody could be late.
    """
    moves: Counter[tuple[ev.Bucket, ev.Bucket]] = Counter()
    before: Mapping[str, Standing] = {}
    for number, (_, now) in enumerate(ends):
        if number > 1:
            moves.update((before[account].bucket, s.bucket) for account, s in now.items())
        before = now
    return moves


def render(moves: Mapping[tuple[ev.Bucket, ev.Bucket], int]) -> str:
    """Return the section in Markdown: shares of each state's accounts by the state they are in a month later."""
    lines = [
        "## Roll rates",
        "",
        "`python -m tests.real_data.roll_rates` computes this table from the UCI card data (30,000 accounts; month",
        "ends from May to September 2005, four moves per account) with the account agent under the default policy.",
        "The data have bills and payments only; `tests/real_data/uci.py` says what stands for due dates and minimum",
        "payments. Rows: days past due at one month end; columns: at the next.",
        "",
        "| from \\ to | " + " | ".join(NAMES) + " | accounts |",
        "|---|" + "---:|" * (len(NAMES) + 1),
    ]
    for state, name in zip(STATES, NAMES, strict=True):
        total = sum(moves.get((state, to), 0) for to in STATES)
        shares = [f"{100 * moves.get((state, to), 0) / total:.1f} %" if total else "–" for to in STATES]
        lines.append(f"| {name} | " + " | ".join(shares) + f" | {total:,} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Print the section; return 1 where the data cannot be had."""
    try:
        lines = uci_csv()
    except UsageError as error:
        print(error, file=sys.stderr)
        return 1
    book = default_book()
    with LocalRuntime.open(None, book) as runtime:
        ends = month_ends(uci_events(lines), runtime, book.policy_for("TW", "credit_card"))
        print(render(count_moves(ends)), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
