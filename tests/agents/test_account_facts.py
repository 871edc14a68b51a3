"""The registry of an account's facts: nothing that may come is left out, and no two share a key."""

from __future__ import annotations

from typing import get_args

from agents.account.facts import FACTS
from state.account import AccountFact


def test_every_fact_that_an_account_takes_is_registered_once() -> None:
    assert FACTS.keys() == set(get_args(AccountFact))
    assert len({fact.prefix for fact in FACTS.values()}) == len({fact.rank for fact in FACTS.values()}) == len(FACTS)
