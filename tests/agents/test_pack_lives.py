"""One life of an account under each pack: arrears, a plan that is kept or breaks, and the day on which it heals."""

from __future__ import annotations

from functools import lru_cache

import pytest
from dateutil.relativedelta import relativedelta
from msgspec import Struct
from msgspec.structs import replace

from schemas import events as ev
from state.policy_packs.loader import default_book, load_book, pack_names
from tests.support.account_events import AccountEvents
from tests.support.agent_driver import AccountDriver

BOOK = lru_cache(default_book)
DUES = tuple(range(30, 361, 30))


class Pack(Struct, frozen=True):
    """A kind of account, and the days that its packs say.

    amount: of each of twelve instalments. plan_on: day of the plan, on which the account is at its worst. worst: its
    class by then, by the pack, with the day on which it came. after_plan, without_plan: clean calendar months before an
    upgrade.
    charged_off: days past due at which it is charged off by itself, 0 for never.
    """

    packs: tuple[str, ...]
    place: str
    product: str
    currency: str
    amount: int
    plan_on: int
    worst: dict[str, tuple[int, str]]
    best: str
    after_plan: int
    without_plan: int
    charged_off: int = 0


# The first instalment is due on day 30: a class from N days past due on begins on day 30 + N. The counter of the EU
# starts on day 31 as day 1, where the first instalment is material, else when a later one makes the arrears so.
PACKS = {
    "cn_card": Pack(
        ("cn_2023", "cn_card", "cn_writeoff", "cn_collection", "cn_repair", "cn_cost"),
        "CN",
        "credit_card",
        "CNY",
        200_00,
        152,
        {"cn_2023": (121, "substandard"), "cn_card": (151, "doubtful")},
        "normal",
        12,
        6,
    ),
    "cn_loan": Pack(
        ("cn_2023", "cn_writeoff", "cn_collection", "cn_repair", "cn_cost"),
        "CN",
        "personal_loan",
        "CNY",
        200_00,
        130,
        {"cn_2023": (121, "substandard")},
        "normal",
        12,
        6,
    ),
    "us_closed_end": Pack(
        ("us_ffiec", "us_reg_f"),
        "US",
        "personal_loan",
        "USD",
        200_00,
        130,
        {"us_ffiec": (120, "substandard")},
        "pass",
        3,
        3,
        120,
    ),
    "us_open_end": Pack(
        ("us_ffiec", "us_ffiec_open_end", "us_reg_f", "us_reg_z"),
        "US",
        "credit_card",
        "USD",
        200_00,
        160,
        {"us_ffiec": (120, "substandard")},
        "pass",
        3,
        3,
        180,
    ),
    "eu": Pack(
        ("eu_dod", "eu_ccd2", "ifrs9"),
        "DE",
        "loan",
        "EUR",
        200_00,
        130,
        {"eu_dod": (121, "default")},
        "performing",
        12,
        3,
    ),
    # SEK 700 a month: only the second instalment takes the arrears over SEK 1,000, so the counter starts on day 61.
    "eu_local": Pack(
        ("eu_dod", "eu_dod_local", "eu_ccd2", "ifrs9"),
        "SE",
        "loan",
        "SEK",
        700_00,
        160,
        {"eu_dod": (151, "default")},
        "performing",
        12,
        3,
    ),
    "pl": Pack(
        ("eu_dod", "eu_dod_pl", "eu_ccd2", "ifrs9"),
        "PL",
        "loan",
        "PLN",
        500_00,
        130,
        {"eu_dod": (121, "default")},
        "performing",
        12,
        3,
    ),
    "uk": Pack(("ifrs9", "uk_breathing_space", "uk_conc7"), "GB", "loan", "GBP", 200_00, 130, {}, "", 0, 0),
    "elsewhere": Pack(("house", "ifrs9"), "AR", "loan", "EUR", 200_00, 130, {}, "", 0, 0),
}
WITH_CLASSES = [name for name, pack in PACKS.items() if pack.worst]


class Life:
    """An account that is lived day by day."""

    def __init__(self, name: str) -> None:
        self.pack = PACKS[name]
        self.story = AccountEvents()
        self.driver = AccountDriver(BOOK())
        self.today = 0
        self.driver.feed(
            self.story.opened(
                *DUES,
                amount=self.pack.amount,
                jurisdiction=self.pack.place,
                product=self.pack.product,
                currency=self.pack.currency,
            )
        )

    def until(self, day: int, *facts: ev.Event) -> Life:
        """Close the days through one, with facts on it."""
        self.driver.feed(*self.story.closes(self.today, day - 1), *facts, *self.story.closes(day, day))
        self.today = day + 1
        return self

    def paid(self, on: int, amount: int) -> ev.PaymentReceived:
        return self.story.paid(on, amount, currency=self.pack.currency)

    def planned(self, on: int | None = None) -> Life:
        """Have a plan of twelve instalments over all that is owed, the first a month on."""
        on = on or self.pack.plan_on
        self.until(on - 1)
        owed = self.driver.states["A1"].owed().total()
        parts = [owed // 12] * 11 + [owed - owed // 12 * 11]
        dues = ((on + 30 * n, part) for n, part in enumerate(parts, 1))
        return self.until(on, self.story.plan(on, *dues, currency=self.pack.currency))

    def keeping(self, most: int = 99, *, until: int | None = None) -> Life:
        """Pay so many instalments on the days on which they are due."""
        for r in self.driver.states["A1"].receivables[:most]:
            due = r.due - self.story.start.toordinal()
            if until is not None and due >= until:
                return self
            self.until(due, self.paid(due, r.owed()))
        return self

    def clearing(self, on: int) -> Life:
        """Pay all that is owed on a day."""
        self.until(on - 1)
        return self.until(on, self.paid(on, self.driver.states["A1"].owed().total() + 100_00))

    def months_on(self, day: int, months: int) -> int:
        """Return the day so many calendar months after one."""
        return (self.story.day(day) + relativedelta(months=months) - self.story.start).days

    def classes(self) -> dict[str, str]:
        """Return the class under each pack."""
        policy = BOOK().policy_for(self.pack.place, self.pack.product)
        ranks = self.driver.states["A1"].classes
        return {rule.policy: rule.thresholds[ranks.get(rule.policy, 0)].name for rule in policy.classifications}

    def said(self, kind: type[ev.Event]) -> list[tuple[int, str]]:
        """Return the days of transitions, and what each led to."""
        return [((e.business_date - self.story.start).days, e.to) for e in self.driver.standing_of(kind)]  # type: ignore[attr-defined]

    def of_class(self, name: str) -> list[tuple[int, str]]:
        return [
            ((e.business_date - self.story.start).days, e.to)  # type: ignore[attr-defined]
            for e in self.driver.standing_of(ev.ClassificationChanged)
            if e.policy == name  # type: ignore[attr-defined]
        ]

    def heals_on(self, day: int) -> None:
        """Assert that every class is its pack's best on a day, and as bad as it was on the eve."""
        worst = {name: worst for name, (_, worst) in self.pack.worst.items()}
        self.until(day - 1)
        assert self.classes() == worst
        self.until(day)
        assert self.classes() == dict.fromkeys(worst, self.pack.best)


def test_every_pack_of_the_book_has_a_life() -> None:
    used = {name for row in load_book().rows for name in row.packs}
    assert used == {name for pack in PACKS.values() for name in pack.packs}
    assert used | {"learning_on"} == set(pack_names())
    for pack in PACKS.values():
        name = BOOK().policy_for(pack.place, pack.product).name
        assert set(pack.packs) <= set(name.split("+"))


@pytest.mark.parametrize("name", WITH_CLASSES)
class TestClasses:
    def test_arrears_paid_without_a_plan_cure_after_probation(self, name: str) -> None:
        life = Life(name)
        for policy, (day, worst) in life.pack.worst.items():
            life.until(day - 1)
            assert life.classes()[policy] != worst
            life.until(day)
            assert life.classes()[policy] == worst
        cleared = life.pack.plan_on
        life.clearing(cleared).heals_on(life.months_on(cleared, life.pack.without_plan))

    def test_a_kept_plan_cures_the_class_after_probation(self, name: str) -> None:
        life = Life(name).planned()
        healed = life.months_on(life.pack.plan_on, life.pack.after_plan)
        life.keeping(until=healed).heals_on(healed)
        # Twelve instalments of 30 days end before a year does, and behind 90 days.
        life.keeping().until(healed + 400)
        assert [to for _, to in life.said(ev.CreditStandingChanged)][-1] == "good"
        assert len(life.driver.standing_of(ev.PlanCompleted)) == 1
        assert life.classes() == dict.fromkeys(life.pack.worst, life.pack.best)
        assert life.driver.states["A1"].next_fold_on == 0

    def test_a_missed_plan_instalment_restarts_the_probation(self, name: str) -> None:
        life = Life(name).planned().keeping(1)
        late = life.pack.plan_on + 60 + 7
        life.until(late - 1).until(late, life.paid(late, life.driver.states["A1"].receivables[0].owed()))
        healed = life.months_on(late, life.pack.after_plan)
        life.keeping(until=healed).heals_on(healed)

    def test_a_broken_plan_leaves_the_class_until_paid_and_served(self, name: str) -> None:
        life = Life(name).planned().keeping(1)
        # The second and third are missed, each five days after it was due.
        broken = life.pack.plan_on + 90 + 6
        life.until(broken - 1)
        assert life.driver.standing_of(ev.PlanBroken) == []
        life.until(broken)
        assert len(life.driver.standing_of(ev.PlanBroken)) == 1
        before = life.classes()
        cleared = broken + 10
        life.clearing(cleared)
        if life.pack.charged_off:
            # By its first dates it was charged off at once, and stays a loss however it is paid.
            assert life.until(cleared + 400).classes() == dict.fromkeys(before, "loss")
            return
        healed = life.months_on(cleared, life.pack.after_plan)
        life.until(healed - 1)
        assert all(life.classes()[name] != life.pack.best for name in before)
        life.until(healed)
        assert set(life.classes().values()) == {life.pack.best}


@pytest.mark.parametrize("name", PACKS)
class TestStagesAndStanding:
    def test_stage_three_comes_at_90_days_and_ends_90_after_plan(self, name: str) -> None:
        life = Life(name).planned()
        plan_on = life.pack.plan_on
        stages = [
            ((e.business_date - life.story.start).days, e.stage) for e in life.driver.standing_of(ev.ImpairmentChanged)
        ]  # type: ignore[attr-defined]
        assert (120, 3) in stages
        assert (61, 2) in stages
        life.keeping(until=plan_on + 90).until(plan_on + 89)
        assert life.driver.states["A1"].ifrs9_stage == 3
        life.until(plan_on + 90)
        assert life.driver.states["A1"].ifrs9_stage == 2

    def test_credit_standing_recovers_180_days_after_payment(self, name: str) -> None:
        life = Life(name)
        life.clearing(140).until(140 + 179)
        assert life.driver.states["A1"].credit_standing == "repairing"
        life.until(140 + 180)
        assert life.driver.states["A1"].credit_standing == "good"


def called(life: Life) -> Life:
    """Let three calls of an account in arrears find nobody."""
    for day in (70, 80, 90):
        life.until(day, life.story.contact(day))
    return life


@pytest.mark.parametrize("name", ["cn_card", "cn_loan"])
def test_in_china_recognition_needs_review_and_cure_a_year(
    name: str,
) -> None:
    life = called(Life(name)).until(126)
    # A candidate with the third missed instalment; no number of days makes it more.
    assert life.said(ev.BadDebtChanged) == [(91, "candidate")]
    life.until(127, life.story.reviewed(127, "recognise"))
    plan_on = life.pack.plan_on
    life.planned().keeping().until(plan_on + 400)
    (completed,) = ((e.business_date - life.story.start).days for e in life.driver.standing_of(ev.PlanCompleted))  # type: ignore[attr-defined]
    # Not before it is paid to the last, nor before what the classes wait for after forbearance.
    cured = max(completed, life.months_on(plan_on, life.pack.after_plan))
    assert life.said(ev.BadDebtChanged) == [(91, "candidate"), (127, "recognised"), (cured, "cured")]


@pytest.mark.parametrize("name", ["eu", "eu_local", "pl", "uk", "elsewhere"])
def test_elsewhere_recognition_follows_impairment(name: str) -> None:
    life = called(Life(name)).until(119)
    assert life.said(ev.BadDebtChanged) == [(91, "candidate")]
    life.until(120)
    assert life.driver.states["A1"].bad_debt == "recognised"
    # 90 days are the house's; three calendar months from 21 May end on 21 August, two days later.
    cured = life.months_on(140, 3) if name.startswith(("eu", "pl")) else 140 + 90
    life.clearing(140).until(cured - 1)
    assert life.driver.states["A1"].bad_debt == "recognised"
    life.until(cured)
    assert life.said(ev.BadDebtChanged)[-1] == (cured, "cured")


@pytest.mark.parametrize("name", ["us_closed_end", "us_open_end"])
def test_in_the_us_charge_off_comes_by_days_and_recovers(name: str) -> None:
    life = called(Life(name))
    day = 30 + life.pack.charged_off
    life.until(day - 1)
    assert life.driver.states["A1"].bad_debt == "recognised"
    assert life.classes() == {"us_ffiec": "substandard"}
    life.until(day)
    assert life.driver.states["A1"].bad_debt == "charged_off"
    assert life.classes() == {"us_ffiec": "loss"}
    life.until(day + 5, life.paid(day + 5, 1_00))
    assert life.driver.states["A1"].bad_debt == "recovering"


@pytest.mark.parametrize("name", ["us_closed_end", "us_open_end"])
def test_in_the_us_a_broken_plan_charges_off_by_first_dates(
    name: str,
) -> None:
    life = called(Life(name)).planned()
    broken = life.pack.plan_on + 60 + 6
    life.until(broken - 1)
    assert life.driver.states["A1"].bad_debt == "recognised"
    life.until(broken)
    # Days past due run from day 30 again, as if there had been no plan.
    assert life.driver.states["A1"].days_past_due == broken - 30 >= life.pack.charged_off
    assert life.said(ev.BadDebtChanged)[-1] == (broken, "charged_off")
    assert life.classes() == {"us_ffiec": "loss"}


def test_in_the_uk_a_breathing_space_pauses_days_and_bad_debt() -> None:
    life = called(Life("uk")).until(94)
    life.until(95, life.story.hold(95, 95 + 59, "breathing_space"))
    life.until(120 + 59)
    # 60 days from day 95 on were paused: the 90th day past due is 60 days later.
    assert life.driver.states["A1"].ifrs9_stage == 2
    assert life.said(ev.BadDebtChanged) == [(91, "candidate")]
    life.until(180)
    assert (life.driver.states["A1"].ifrs9_stage, life.driver.states["A1"].days_past_due) == (3, 90)
    assert life.said(ev.BadDebtChanged)[-1] == (180, "recognised")
    life.clearing(190).until(279)
    assert life.driver.states["A1"].bad_debt == "recognised"
    assert life.until(280).said(ev.BadDebtChanged)[-1] == (280, "cured")


@pytest.mark.parametrize(("kind", "days"), [("bankruptcy", 60), ("fraud", 90)])
def test_in_the_us_a_notice_of_hold_charges_off_after_its_days(kind: ev.HoldKind, days: int) -> None:
    life = Life("us_closed_end").until(9)
    life.until(10, life.story.hold(10, None, kind))
    life.until(10 + days - 1)
    assert life.driver.states["A1"].bad_debt == "none"
    life.until(10 + days)
    # By days past due alone it would be charged off on day 150.
    assert life.said(ev.BadDebtChanged)[-1] == (10 + days, "charged_off")
    assert 10 + days < 30 + life.pack.charged_off


def test_in_china_penalty_interest_is_half_the_rate_on_top() -> None:
    # CNY 10,000 with CNY 150 of interest, overdue for 30 days, at 18 % and half as much again: 27 % a year.
    s = AccountEvents()
    driver = AccountDriver(BOOK())
    driver.feed(s.opened(30, amount=1_000_000, interest=15_000, annual_rate_bps=1_800), *s.closes(0, 60))
    driver.feed(s.paid(60, 2_000_000), *s.closes(61, 62))
    charged = sum(e.amount for e in driver.outputs if isinstance(e, ev.ChargeAccrued))
    assert charged == round(1_015_000 * 0.27 * 30 / 365) == 22_525


def test_in_the_uk_one_day_of_arrears_brings_a_plan() -> None:
    first = {}
    for name in ("uk", "elsewhere", "eu"):
        life = Life(name)
        for day in range(29, 70):
            life.until(day)
            if any(isinstance(e, ev.WorkoutRequested) for e in life.driver.outputs):
                first[name] = day
                break
    # The first instalment is due on day 30, the second on day 60: over 30 days past due, or two missed.
    assert first == {"uk": 31, "elsewhere": 61, "eu": 61}


def resumed(life: Life) -> list[int]:
    """Return the days on which collection went on."""
    return [(e.business_date - life.story.start).days for e in life.driver.standing_of(ev.CollectionResumed)]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("crisis", "released", "last"), [(False, None, 69), (False, 40, 39), (True, None, None), (True, 99, 98)]
)
def test_in_the_uk_an_open_breathing_space_lasts_sixty_days(
    crisis: bool, released: int | None, last: int | None
) -> None:
    life = Life("uk").until(9)
    hold = replace(life.story.hold(10, None, "breathing_space"), crisis=crisis)
    life.until(10, hold)
    if released is not None:
        life.until(released, life.story.released(released))
    life.until(130)
    assert resumed(life) == ([] if last is None else [last + 1])


@pytest.mark.parametrize("kind", ["dispute", "bankruptcy", "vulnerability", "fraud", "deceased"])
def test_in_britain_every_other_hold_lasts_until_it_is_released(kind: ev.HoldKind) -> None:
    life = Life("uk").until(9)
    life.until(10, life.story.hold(10, None, kind)).until(200)
    assert resumed(life) == []


def test_elsewhere_an_open_breathing_space_lasts_until_release() -> None:
    life = Life("eu").until(9)
    life.until(10, life.story.hold(10, None, "breathing_space")).until(200)
    assert resumed(life) == []
