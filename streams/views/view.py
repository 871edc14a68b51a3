"""Views: what is shown of an account or a borrower in Redis, its places in the indexes, and looking both up.

A view follows from one state alone, so the last state of a key makes the same view however often and from wherever it
is written. Nothing of a borrower's means or words is in it.

A close writes only the accounts for which the day matters, while days past due grow every day. So a hash does not have
the measures that grow, but the terms by which they do (`agents.account.view.Aging`); a reader ages them to the last
closed day of the partition. One written day keeps a million accounts up to date.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from msgspec import Struct, json
from redis.asyncio import Redis

from agents.account.day import outstanding_on
from agents.account.view import Aging, as_closed
from state.account import AccountState
from state.borrower import BorrowerState
from streams.views.keys import Keys

BAD = frozenset({"candidate", "recognised", "charged_off", "recovering"})
# Indexes are sorted sets. bad_debts: the most that is owed of each bad debt until it is visited next, by currency.
# new_bad_debts: the day on which it became so. in_arrears: the first day of the present arrears. expiring: the last day
# of each open offer with options, or to pay at once. people: since when each borrower without a plan waits for a
# person. Days are proleptic ordinals.


class View(Struct, frozen=True):
    """A view. fields: of its hash. scores: by index, where it stands in it; it is in no other."""

    fields: dict[str, str]
    scores: dict[str, int]


def account_view(s: AccountState, aging: Aging, partition: int) -> View:
    """Return the view of an account as it is kept; `account_shown` is how it is shown.

    aging: how its measures go on. partition: of its changelog, whose last closed day it is shown as of.
    """
    s = as_closed(s)
    owed = outstanding_on(s, s.closed_on or s.folded_through)
    scores = {}
    if s.bad_debt in BAD and not s.closed_on:
        # The most that it comes to before it is written next.
        most = aging.on(date.max.toordinal())
        scores[f"bad_debts:{s.currency}"] = owed.principal + owed.penalty + most.interest + most.fees
        scores["new_bad_debts"] = s.bad_debt_on
    if s.overdue_since:
        scores["in_arrears"] = s.overdue_since
    plan = s.plan
    fields = {
        "borrower": s.borrower_id,
        "product": s.product,
        "jurisdiction": s.jurisdiction,
        "currency": s.currency,
        "through": str(s.folded_through),
        "bucket": s.bucket,
        "overdue_since": str(s.overdue_since),
        "missed": str(s.missed),
        "principal": str(owed.principal),
        "penalty": str(owed.penalty),
        "bad_debt": s.bad_debt,
        "bad_debt_on": str(s.bad_debt_on),
        "stage": str(s.ifrs9_stage),
        "allowance": str(s.allowance),
        "standing": s.credit_standing,
        "collection_stopped": str(int(s.collection_stopped)),
        "plan": "" if plan is None else plan.plan_id,
        "plan_kept": "" if plan is None else str(plan.kept),
        "plan_missed": "" if plan is None else str(plan.missed),
        "partition": str(partition),
        "aging": json.encode(aging).decode(),
    }
    return View(fields, scores)


def account_shown(fields: Mapping[str, str], closed: Mapping[str, str]) -> dict[str, str]:
    """Return the view of an account as of the last closed day.

    closed: that day (ordinal) by partition, read before the view: what is visited by a close is written before its day.
    """
    shown = dict(fields)
    kept, partition = shown.pop("aging", None), shown.pop("partition", "")
    if kept is None:
        # An earlier release wrote it. It is as of its last visit until the views are made anew.
        return {**shown, "as_of": shown.get("through", "0")}
    aging = json.decode(kept, type=Aging)
    day = max(aging.since, int(closed.get(partition, 0)))
    return {"as_of": str(day), **shown, **{name: str(value) for name, value in aging.on(day)._asdict().items()}}


def outstanding(shown: Mapping[str, str]) -> int:
    """Return what is owed of an account by its view as it is shown."""
    return sum(int(shown[part]) for part in ("principal", "interest", "fees", "penalty"))


def borrower_view(s: BorrowerState) -> View:
    """Return the view of a borrower."""
    offer = s.open_offer()
    scores = {}
    if offer is not None:
        if offer.choices or offer.kind == "pay_in_full":
            scores["expiring"] = offer.expires
        else:
            scores["people"] = offer.published
    shown = None
    if offer is not None:
        shown = {
            "offer": offer.offer_id,
            "kind": offer.kind,
            "tone": offer.tone,
            "currency": offer.currency,
            "accounts": offer.account_ids,
            "published": offer.published,
            "expires": offer.expires,
            "lead": offer.recommended,
            "options": [
                {"option": c.option_id, "months": c.term_months, "amount": c.instalment} for c in offer.choices
            ],
        }
    fields = {
        "accounts": json.encode(sorted(s.cases)).decode(),
        "plans": json.encode({a: p.plan_id for a, p in sorted(s.plans.items()) if not p.ended}).decode(),
        "open_offer": "" if shown is None else json.encode(shown).decode(),
        "offers": str(s.sequence),
        "paused_until": str(s.paused_until),
    }
    return View(fields, scores)


class Views:
    """The views of the generation in force. Amounts are minor units, days proleptic ordinals."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        # redis-py's types do not say that answers are bytes.
        self._redis: Any = redis
        self._prefix = prefix

    async def _keys(self) -> Keys:
        none = Keys(self._prefix, 0)
        return Keys(self._prefix, int(await self._redis.get(none.generation) or 0))

    async def view(self, agent: str, key: str) -> dict[str, str] | None:
        """Return the view of an account (`account`) or a borrower (`planner`), None where there is none.

        An account is as of `as_of`, the last closed day, whenever it was written.
        """
        keys = await self._keys()
        closed = await self._hash(keys.closed) if agent == "account" else {}
        found = await self._hash(keys.view(agent, key))
        return account_shown(found, closed) if found and agent == "account" else found or None

    async def worst(self, currency: str, count: int = 20) -> list[tuple[str, int]]:
        """Return the largest bad debts in a currency and what is owed of each on the last closed day, highest first."""
        keys = await self._keys()
        closed, found, at = await self._hash(keys.closed), list[tuple[str, int]](), 0
        while True:
            # Scores are what may be owed at most, so whoever is behind those that were read owes no more than the last.
            name = keys.index(f"bad_debts:{currency}")
            part = _pairs(await self._redis.zrange(name, at, at + count - 1, desc=True, withscores=True))
            for account, most in part:
                view = await self._hash(keys.view("account", account))
                found.append((account, outstanding(account_shown(view, closed)) if view else most))
            found.sort(key=lambda debt: (-debt[1], debt[0]))
            at += len(part)
            if len(part) < count or found[count - 1][1] >= part[-1][1]:
                return found[:count]

    async def _hash(self, name: str) -> dict[str, str]:
        return {k.decode(): v.decode() for k, v in (await self._redis.hgetall(name)).items()}

    async def at(self, index: str, low: int, high: int) -> list[tuple[str, int]]:
        """Return those with scores from low to high, at most 1,000 of them, lowest first."""
        name = (await self._keys()).index(index)
        return _pairs(await self._redis.zrange(name, low, high, byscore=True, offset=0, num=1_000, withscores=True))

    async def currencies(self) -> list[str]:
        """Return the currencies in which there are or were bad debts."""
        return sorted(c.decode() for c in await self._redis.smembers((await self._keys()).currencies))


def _pairs(found: list[Any]) -> list[tuple[str, int]]:
    return [(name.decode(), int(score)) for name, score in found]
