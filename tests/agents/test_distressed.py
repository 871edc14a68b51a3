"""A distressed restructuring: a plan that costs the lender more than the limit makes the account defaulted at once.

CRR Art 178(3)(d) and EBA/GL/2016/07: over 1 % of present value; back to non-default a year after it at the earliest.
"""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from agents.planner.answers import loss_of
from console.words import describe
from schemas import events as ev
from state.policy import Policy
from state.policy_packs.loader import default_book, load_pack
from state.policy_packs.merge import BASE_PACK, resolve
from state.policy_packs.pack import parse_pack
from state.policy_packs.problems import PackError
from tests.support.account_events import AccountEvents
from tests.support.agent_driver import AccountDriver, PlannerDriver, only
from tests.support.borrower_events import BorrowerEvents
from tests.support.policies import changing

EU = default_book().policy_for("DE", "loan")
PLACES = {"DE": "EUR", "SE": "SEK"}
DUES = tuple(range(30, 361, 30))
PLAN_ON = 70


class Life:
    """An account of twelve instalments of 2,000.00, lived day by day."""

    def __init__(self, place: str = "DE", *, driver: AccountDriver | None = None) -> None:
        self.story = AccountEvents()
        self.currency = PLACES.get(place, "CNY")
        self.driver = driver or AccountDriver(default_book())
        self.today = 0
        self.driver.feed(self.story.opened(*DUES, amount=2_000_00, jurisdiction=place, currency=self.currency))

    def until(self, day: int, *facts: ev.Event) -> Life:
        """Close the days through one, with facts on it."""
        self.driver.feed(*self.story.closes(self.today, day - 1), *facts, *self.story.closes(day, day))
        self.today = day + 1
        return self

    def plan(self, on: int, loss: int, plan_id: str = "plan1", months: int = 24) -> ev.PlanActivated:
        """Return a plan over the whole debt."""
        part = 24_000_00 // months
        dues = ((on + 30 * n, part) for n in range(1, months + 1))
        return self.story.plan(on, *dues, loss=loss, plan_id=plan_id, currency=self.currency)

    def paid(self, on: int, amount: int) -> ev.PaymentReceived:
        return self.story.paid(on, amount, currency=self.currency)

    def keeping(self, until: int) -> Life:
        """Pay each instalment on its day, and close the days before another."""
        while True:
            r = next((r for r in self.driver.states["A1"].receivables if r.owed()), None)
            due = r.due - self.story.start.toordinal() if r is not None else until
            if due >= until or r is None:
                return self.until(until - 1)
            self.until(due, self.paid(due, r.owed()))

    @property
    def rank(self) -> int:
        return self.driver.states["A1"].classes.get("eu_dod", 0)

    def changes(self) -> list[tuple[int, str, tuple[str, ...]]]:
        """Return the days of changes of class, what they led to, and why."""
        return [
            ((e.business_date - self.story.start).days, e.to, e.reasons)  # type: ignore[attr-defined]
            for e in self.driver.standing_of(ev.ClassificationChanged)
        ]


@pytest.mark.parametrize("place", ["DE", "SE"])
def test_a_distressed_plan_is_default_until_a_year_after_it(place: str) -> None:
    life = Life(place).until(PLAN_ON - 1)
    assert life.changes() == []
    life.until(PLAN_ON, life.plan(PLAN_ON, 652)).keeping(PLAN_ON + 365)
    assert life.rank == 1
    life.until(PLAN_ON + 365)
    assert life.changes() == [
        (PLAN_ON, "default", ("distressed restructuring with a loss of 652 bps",)),
        (PLAN_ON + 365, "performing", ("counter days 0", "clean for 365 days")),
    ]
    # The plan goes on, and what comes after the probation is judged by its days again.
    late = next(r.due for r in life.driver.states["A1"].receivables if r.owed()) - life.story.start.toordinal()
    life.until(late + 20)
    assert life.driver.states["A1"].overdue_since
    assert life.rank == 0


@pytest.mark.parametrize(("loss", "defaulted"), [(-50, False), (0, False), (100, False), (101, True), (4_000, True)])
def test_the_limit_is_passed_by_what_is_above_it(loss: int, defaulted: bool) -> None:
    life = Life().until(PLAN_ON - 1)
    life.until(PLAN_ON, life.plan(PLAN_ON, loss))
    assert life.rank == int(defaulted)


def test_an_account_never_in_arrears_defaults_and_recovers() -> None:
    life = Life().until(9)
    life.until(10, life.plan(10, 200, months=6)).keeping(10 + 365)
    assert [day for day, _, _ in life.changes()] == [10]
    life.until(10 + 365).until(10 + 800)
    assert [(day, to) for day, to, _ in life.changes()] == [(10, "default"), (10 + 365, "performing")]
    account = life.driver.states["A1"]
    assert (
        account.next_fold_on,
        account.distressed_restructuring,
        account.had_plan,
        account.credit_standing,
        account.ifrs9_stage,
    ) == (
        0,
        None,
        False,
        "good",
        1,
    )


def _without_distressed() -> Policy:
    """Return the rules of Germany with a classification that knows no distressed restructuring, and no probation."""
    (rule,) = EU.classifications
    plain = replace(rule, policy="plain", distressed="", probation_months=0, after_plan_months=0)
    return replace(EU, classifications=(plain,))


@pytest.mark.parametrize("later", [PLAN_ON + 20, PLAN_ON + 300])
def test_rules_that_count_it_later_count_a_year_from_then(later: int) -> None:
    life = Life(driver=AccountDriver(changing(_without_distressed(), (AccountEvents().day(later), EU)))).until(
        PLAN_ON - 1
    )
    life.until(PLAN_ON, life.plan(PLAN_ON, 652)).keeping(later + 366)
    assert [(day, to) for day, to, _ in life.changes()] == [(later, "default"), (later + 365, "performing")]


def test_rules_that_count_it_after_its_year_do_not_count_it() -> None:
    late = PLAN_ON + 400
    life = Life(driver=AccountDriver(changing(_without_distressed(), (AccountEvents().day(late), EU)))).until(
        PLAN_ON - 1
    )
    life.until(PLAN_ON, life.plan(PLAN_ON, 652)).keeping(late + 30)
    assert life.changes() == []


def test_a_default_by_days_is_not_repeated_and_runs_from_plan() -> None:
    life = Life().until(159)
    assert [(day, to) for day, to, _ in life.changes()] == [(121, "default")]
    life.until(160, life.plan(160, 300)).keeping(160 + 365)
    assert life.rank == 1
    life.until(160 + 365)
    assert [(day, to) for day, to, _ in life.changes()] == [(121, "default"), (160 + 365, "performing")]


def test_a_broken_plan_ends_no_default_before_a_clean_year() -> None:
    life = Life().until(PLAN_ON - 1)
    life.until(PLAN_ON, life.plan(PLAN_ON, 652)).until(PLAN_ON + 70)
    assert len(life.driver.standing_of(ev.PlanBroken)) == 1
    assert life.rank == 1
    cleared = PLAN_ON + 90
    life.until(cleared, life.paid(cleared, 24_000_00)).until(cleared + 364)
    assert life.rank == 1
    life.until(cleared + 365)
    assert [(day, to) for day, to, _ in life.changes()] == [(PLAN_ON, "default"), (cleared + 365, "performing")]


@pytest.mark.parametrize("agreed", [True, False])
@pytest.mark.parametrize(("loss", "from_second"), [(0, False), (100, False), (150, True)])
def test_a_replacing_plan_restarts_the_year_only_if_distressed(agreed: bool, loss: int, from_second: bool) -> None:
    life = Life().until(PLAN_ON - 1)
    second = PLAN_ON + 200
    life.until(PLAN_ON, life.plan(PLAN_ON, 652)).keeping(second)
    if agreed:
        life.until(second - 1, life.story.plan_review(second - 1))
    life.until(second, life.plan(second, loss, "plan2"))
    assert len(life.driver.standing_of(ev.PlanReplaced)) == int(agreed)
    healed = (second if from_second else PLAN_ON) + 365
    life.keeping(healed)
    assert life.rank == 1
    life.until(healed)
    assert [(day, to) for day, to, _ in life.changes()] == [(PLAN_ON, "default"), (healed, "performing")]


def test_a_plan_completed_early_ends_no_default_in_the_year() -> None:
    life = Life().until(PLAN_ON - 1)
    life.until(PLAN_ON, life.plan(PLAN_ON, 652)).until(PLAN_ON + 10, life.paid(PLAN_ON + 10, 24_000_00))
    assert len(life.driver.standing_of(ev.PlanCompleted)) == 1
    life.until(PLAN_ON + 364)
    assert life.rank == 1
    assert life.until(PLAN_ON + 365).rank == 0


def test_it_follows_from_the_facts_in_whatever_order_they_come() -> None:
    straight = Life().until(PLAN_ON - 1)
    plan = straight.plan(PLAN_ON, 652)
    straight.until(PLAN_ON, plan).until(PLAN_ON + 60)
    late = Life().until(PLAN_ON + 40)
    late.driver.feed(plan)
    # What was said of the closed days is said anew as of the day of the plan.
    assert [day for day, _, _ in late.changes()] == [PLAN_ON]
    late.until(PLAN_ON + 60)
    assert late.driver.standing() == straight.driver.standing()
    assert late.driver.states["A1"] == straight.driver.states["A1"]


@pytest.mark.parametrize("place", ["CN", "US", "GB", "AR"])
def test_where_no_pack_says_what_follows_nothing_does(place: str) -> None:
    plain, distressed = Life(place).until(PLAN_ON - 1), Life(place).until(PLAN_ON - 1)
    plain.until(PLAN_ON, plain.plan(PLAN_ON, 0)).keeping(PLAN_ON + 500)
    distressed.until(PLAN_ON, distressed.plan(PLAN_ON, 4_000)).keeping(PLAN_ON + 500)
    assert distressed.driver.standing() == plain.driver.standing()


def test_a_plan_is_judged_by_the_limit_of_its_day() -> None:
    lax = replace(EU, options=replace(EU.options, distressed_over_bps=1_000))
    life = Life(driver=AccountDriver(changing(lax, (AccountEvents().day(PLAN_ON), EU))))
    life.until(PLAN_ON - 1).until(PLAN_ON, life.plan(PLAN_ON, 652))
    assert life.rank == 1
    before = Life(driver=AccountDriver(changing(lax, (AccountEvents().day(PLAN_ON + 1), EU))))
    before.until(PLAN_ON - 1).until(PLAN_ON, before.plan(PLAN_ON, 652)).until(PLAN_ON + 30)
    assert before.rank == 0


def test_the_loss_of_a_joint_option_is_on_each_accounts_plan() -> None:
    driver, teller = PlannerDriver(), BorrowerEvents()
    european: dict[str, Any] = {"jurisdiction": "DE", "product": "loan", "currency": "EUR"}
    driver.feed(teller.granted(0), teller.report(0))
    driver.feed(teller.request(0, "A1", **european), teller.request(0, "A2", principal=400_000, **european))
    driver.close(0)
    offer = driver.offer()
    option = max(offer.options, key=lambda o: o.distressed_obligation_bps)
    assert option.distressed_obligation_bps > EU.options.distressed_over_bps
    plans = only(
        driver.feed(teller.answer(1, offer.offer_id, "accepted", option_id=option.option_id)), ev.PlanActivated
    )
    assert {p.account_id for p in plans} == {"A1", "A2"}
    (loss,) = {p.distressed_obligation_bps for p in plans}
    assert loss == loss_of(offer, option)
    assert 0 <= loss - (1_400_000 - option.npv) * 10_000 / 1_400_000 < 1


def test_a_loss_is_rounded_up_against_the_limit() -> None:
    driver, teller = PlannerDriver(), BorrowerEvents()
    driver.feed(teller.granted(0), teller.report(0), teller.request(0))
    driver.close(0)
    offer = driver.offer()
    option = offer.options[0]
    for npv, loss in (
        (1_000_000, 0),
        (990_000, 100),
        (989_999, 101),
        (989_900, 101),
        (989_899, 102),
        (1_010_000, -100),
    ):
        assert loss_of(offer, replace(option, npv=npv)) == loss
    unsaid = replace(offer, balances=())
    assert loss_of(unsaid, option) == option.distressed_obligation_bps


def test_the_reason_is_said_in_both_languages() -> None:
    life = Life().until(PLAN_ON - 1)
    life.until(PLAN_ON, life.plan(PLAN_ON, 652))
    (changed,) = life.driver.standing_of(ev.ClassificationChanged)
    assert describe(changed, "EUR") == {
        "zh": "风险分类（eu_dod）：正常履约 → 违约：困境重组，现值损失652个基点",
        "en": "Class under eu dod: performing → default: distressed restructuring with a loss of 652 bps",
    }


@pytest.mark.parametrize(
    ("said", "remedy"), [("performing", "Known here: default."), ("defualt", "Did you mean default?")]
)
def test_a_pack_names_a_class_below_its_best_one(said: str, remedy: str) -> None:
    text = (
        "pack: mine\nversion: 1\ntitle: t\nextends: eu_dod\nsections:\n"
        f"  classification:\n    distressed: {{value: {said}, verified: true, source: s}}\n"
    )
    mine = parse_pack(text, "mine.yaml")
    with pytest.raises(PackError, match="no class below the best one") as caught:
        resolve([load_pack(BASE_PACK), load_pack("eu_dod"), mine], "p")
    (problem,) = caught.value.problems
    assert (problem.file, problem.line, problem.remedy) == ("mine.yaml", 7, remedy)
