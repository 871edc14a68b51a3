"""Random rules: books of drawn policies and of the shipped packs, and changes of them on the way."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from functools import lru_cache
from random import Random

import msgspec

from state.policy import (
    Affordability,
    Allocation,
    Arrangements,
    BadDebt,
    Charges,
    Classification,
    ClassThreshold,
    Contacts,
    Delinquency,
    Impairment,
    Learning,
    Offers,
    Options,
    Plans,
    Policy,
    PolicyBook,
)  # fmt: skip
from state.policy_packs.loader import default_book

COMPONENTS = ("penalty", "fees", "interest", "principal")
HOLDS = ("dispute", "breathing_space", "bankruptcy", "deceased", "fraud", "vulnerability")
OUTCOMES = ("no_answer", "refused", "wrong_party", "reached", "promised", "disputed", "hardship", "complaint")
PLACES = {
    "CN": "CNY", "DE": "EUR", "EU": "EUR", "US": "USD", "GB": "GBP", "JP": "JPY", "KW": "KWD", "PL": "PLN", "TW": "TWD",
}  # fmt: skip
PRODUCTS = ("personal_loan", "credit_card")

shipped = lru_cache(default_book)


def drawn_book(rng: Random, start: date, days: int) -> PolicyBook:
    """Return a book: the shipped one, or drawn policies, with up to three changes on the way."""
    books = [_book(rng) for _ in range(1 + rng.choice((0, 0, 0, 1, 1, 2, 3)))]
    changes = sorted(rng.sample(range(1, max(2, days)), min(len(books) - 1, max(1, days - 1))))
    later = [((start + timedelta(days=day)).toordinal(), book) for day, book in zip(changes, books[1:], strict=False)]
    return books[0].with_amendments(later) if later else books[0]


def _book(rng: Random) -> PolicyBook:
    kind = rng.random()
    if kind < 0.3:
        return shipped()
    if kind < 0.45:
        place, product = rng.choice(list(PLACES)), rng.choice(PRODUCTS)
        return _for_all(shipped().policy_for(place, product))
    if kind < 0.6:
        # The shipped rules with some sections drawn anew.
        near = drawn_policy(rng, shipped().policy_for(rng.choice(list(PLACES)), rng.choice(PRODUCTS)))
        return _for_all(near)
    here, elsewhere = drawn_policy(rng), drawn_policy(rng)
    return PolicyBook("drawn", lambda place, product: here if place in ("CN", "DE", "US", "JP") else elsewhere)


def _for_all(policy: Policy) -> PolicyBook:
    return PolicyBook("one", lambda place, product: policy)


def drawn_policy(rng: Random, base: Policy | None = None) -> Policy:
    """Return a policy of which every rule that acts on an account is drawn; near a base, only some sections."""
    name = f"p{rng.randrange(1000)}"
    sections: dict[str, Callable[[Random], object]] = {
        "allocation": _allocation,
        "delinquency": _delinquency,
        "charges": _charges,
        "classifications": _classifications,
        "bad_debt": _bad_debt,
        "impairment": _impairment,
        "plans": _plans,
        "arrangements": _arrangements,
        "options": _options,
    }
    if base is not None:
        some = rng.sample(sorted(sections), rng.randint(1, 3))
        return msgspec.structs.replace(base, **{s: sections[s](rng) for s in some})
    return Policy(
        name=name,
        version="1",
        affordability=Affordability(),
        offers=Offers(),
        contacts=Contacts(),
        learning=Learning(),
        business_time_zone=rng.choice(("UTC", "UTC", "Asia/Shanghai", "America/New_York")),
        unknown_account_wait_days=rng.choice((0, 3, 10)),
        holiday_calendar=rng.choice((None, None, "CN", "US", "DE", "JP")),
        **{s: draw(rng) for s, draw in sections.items()},  # type: ignore[arg-type]
    )


def _steps(rng: Random, mixed: bool) -> tuple[str, ...]:
    now = []
    for timing in ("past_due", "due"):
        now += [f"{timing}.{c}" for c in rng.sample(COMPONENTS, 4)]
    if mixed:
        rng.shuffle(now)
    return (*now, *(f"advance.{c}" for c in rng.sample(COMPONENTS, 4)))


def _allocation(rng: Random) -> Allocation:
    sweep = rng.choice(("component", "instalment"))
    mixed = sweep == "component" and rng.random() < 0.3
    return Allocation(_steps(rng, mixed), _steps(rng, mixed), sweep)  # type: ignore[arg-type]


def _delinquency(rng: Random) -> Delinquency:
    return Delinquency(
        tolerance_absolute=rng.choice((0, 0, 1, 100, 500)),
        tolerance_bps=rng.choice((0, 0, 100, 1000)),
        grace_days=rng.choice((0, 0, 3, 10, 35)),
        material_absolute=rng.choice((0, 0, 1000, 10_000)),
        material_relative_bps=rng.choice((0, 0, 100, 1000)),
        pausing_holds=(pausing := tuple(rng.sample(HOLDS, rng.randint(0, 4)))),  # type: ignore[arg-type]
        hold_days={} if len(pausing) % 2 else {"breathing_space": 25, "dispute": 40},
    )


def _charges(rng: Random) -> Charges:
    flat, markup = rng.choice(((0, 0), (500, 0), (2000, 0), (0, 3000), (0, 5000)))
    return Charges(
        penalty_rate_bps=flat,
        late_fee_flat=rng.choice((0, 0, 50, 2500)),
        late_fee_bps=rng.choice((0, 0, 500)),
        late_fee_cap=rng.choice((0, 0, 100, 3000)),
        cap_bps=rng.choice((0, 50, 500, 2400, 20_000)),
        penalty_markup_bps=markup,
        penalty_on_interest=rng.random() < 0.4,
    )


def _classifications(rng: Random) -> tuple[Classification, ...]:
    found = []
    for name in rng.sample(("five", "three", "two"), rng.randint(1, 2)):
        days = sorted({0, *rng.sample((1, 5, 31, 61, 90, 91, 121, 181), {"five": 4, "three": 2, "two": 1}[name])})
        classes = ("pass", "special_mention", "substandard", "doubtful", "loss", "lost")
        names = [rng.choice(("pass", "normal")), *sorted(rng.sample(classes[1:], len(days) - 1), key=classes.index)]
        found.append(
            Classification(
                name,
                tuple(ClassThreshold(n, d) for n, d in zip(names, days, strict=True)),
                probation_days=rng.choice((0, 1, 30, 60, 90)),
                after_plan_days=rng.choice((0, 30, 90, 180)),
                material_counter=rng.random() < 0.3,
                distressed=rng.choice(("", "", names[-1])),
                probation_months=rng.choice((0, 0, 1, 3)),
                after_plan_months=rng.choice((0, 0, 2, 6)),
            )
        )
    return tuple(found)


def _bad_debt(rng: Random) -> BadDebt:
    return BadDebt(
        "drawn",
        missed_at_least=rng.choice((0, 1, 2, 3)),
        days_past_due_over=rng.choice((5, 30, 90)),
        attempts_at_least=rng.choice((0, 0, 1, 3)),
        failed_outcomes=tuple(rng.sample(OUTCOMES, rng.randint(1, 4))),  # type: ignore[arg-type]
        broken_promise_counts=rng.random() < 0.7,
        blocking_holds=tuple(rng.sample(HOLDS, rng.randint(0, 3))),  # type: ignore[arg-type]
        recognition=rng.choice(("automatic", "automatic", "review")),
        recognise_after_days=rng.choice((0, 0, 10, 40)),
        charge_off_after=rng.choice((None, None, 40, 120)),
        cure_probation_days=rng.choice((0, 20, 90)),
        recovery_lapse_days=rng.choice((10, 30, 90)),
        cure_probation_months=rng.choice((0, 0, 0, 1)),
        charge_off_after_hold=rng.choice(({}, {}, {"bankruptcy": 60}, {"fraud": 20, "deceased": 30})),
    )


def _impairment(rng: Random) -> Impairment:
    return Impairment(
        stage2_over_days=rng.choice((5, 30)),
        stage3_from_days=rng.choice((20, 60, 90)),
        coverage_bps=rng.choice(((100, 1_000, 5_000), (0, 500, 10_000))),
        bad_debt_coverage_bps=rng.choice((5_000, 8_000, 10_000)),
        probation_days=rng.choice((0, 1, 30, 90)),
        probation_months=rng.choice((0, 0, 0, 1)),
    )


def _plans(rng: Random) -> Plans:
    return Plans(
        max_term_months=rng.choice((3, 4, 6, 12, 60)),
        kept_within_days=rng.choice((0, 1, 5, 20)),
        broken_after_missed=rng.choice((1, 2, 2, 3)),
        waiver_returns=rng.random() < 0.6,
        probation_days=rng.choice((0, 20, 90, 180)),
        due_date_convention=rng.choice(("none", "none", "following", "modified_following", "preceding")),
    )


def _arrangements(rng: Random) -> Arrangements:
    return Arrangements(days_past_due=rng.choice(("run_on", "deferred")))


def _options(rng: Random) -> Options:
    return Options(rounding=rng.choice(("half_up", "up", "half_even")), distressed_over_bps=rng.choice((0, 100)))
