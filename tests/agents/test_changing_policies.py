"""A change of policy counts from a business date on: before it nothing is touched, behind it all is of the new one."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from test_account_orders import LAST, histories, in_time, policies

from agents.account.agent import AccountAgent
from agents.account.opening import Opening
from agents.account.rules import OF_OTHERS, Rules
from agents.policies import MOST_CHANGES, changed, check_change
from schemas import events as ev
from schemas.errors import InvalidEventError
from state.account import AccountHead, AccountState
from state.policy import BadDebt, Charges, Classification, ClassThreshold, Delinquency, Impairment, Policy, PolicyBook
from state.policy_packs.loader import files_of
from tests.support.account_events import AccountEvents, at
from tests.support.agent_driver import AccountDriver
from tests.support.policies import book_of, changing, policy

OLD = policy()
LENIENT = policy(
    name="lenient",
    delinquency=Delinquency(grace_days=10, pausing_holds=("dispute", "breathing_space")),
    impairment=Impairment(stage2_over_days=45),
)
CHEAP = policy(charges=Charges(penalty_rate_bps=1_800, cap_bps=10_000))
DEAR = policy(charges=Charges(penalty_rate_bps=3_600, cap_bps=10_000))


def late(*dues: int) -> tuple[AccountEvents, ev.AccountOpened]:
    """Return a story and an account in it of which nothing is ever paid."""
    story = AccountEvents()
    return story, story.opened(*dues)


def test_each_instalment_is_missed_by_the_rules_of_its_day() -> None:
    story, opened = late(10, 40)
    driver = AccountDriver(changing(OLD, (story.day(30), LENIENT)))
    driver.feed(opened, *story.closes(1, 60))
    missed = [(e.number, e.business_date) for e in driver.standing_of(ev.InstalmentMissed)]  # type: ignore[attr-defined]
    # The first on the day behind its due date, the second only when ten days of grace are over.
    assert missed == [(1, story.day(11)), (2, story.day(51))]


def test_a_repetition_is_not_judged_by_rules_that_came_later() -> None:
    story, opened = late(10, 40)
    strict = policy(bad_debt=BadDebt("strict", charge_off_grounds=("bankruptcy",)))
    driver = AccountDriver(changing(OLD, (story.day(30), strict)))
    review = story.reviewed(20, "charge_off", ground="fraud")
    driver.feed(opened, *story.closes(1, 20), review, *story.closes(21, 40))
    assert driver.feed(review) == driver.rejected_events == []


def test_a_day_on_which_rules_change_is_visited() -> None:
    story, opened = late(10)
    driver = AccountDriver(changing(OLD, (story.day(25), LENIENT)))
    driver.feed(opened, *story.closes(1, 24))
    bucket = driver.states["A1"].bucket
    driver.feed(*story.closes(25, 25))
    # At 15 days past due nothing is due but the change; the same days are within no grace of ten.
    assert (bucket, driver.states["A1"].bucket) == ("dpd_1_30", "dpd_1_30")
    assert driver.states["A1"].folded_through == story.day(25).toordinal()


def test_longer_grace_takes_an_account_back_into_grace() -> None:
    story, opened = late(10)
    driver = AccountDriver(changing(OLD, (story.day(15), LENIENT)))
    driver.feed(opened, *story.closes(1, 15))
    changes = [(e.business_date, e.from_, e.to) for e in driver.standing_of(ev.DelinquencyChanged)]  # type: ignore[attr-defined]
    assert changes == [(story.day(11), "current", "dpd_1_30"), (story.day(15), "dpd_1_30", "grace")]


def test_penalty_interest_uses_the_rate_of_each_day() -> None:
    # 10,000 are due on day 9. Days 10 to 39 cost 18 % a year of 365 days, days 40 to 99 cost 36 %:
    # 10,000 x (30 x 18 % + 60 x 36 %) / 365 = 739.73.
    story, opened = late(9)
    driver = AccountDriver(changing(CHEAP, (story.day(40), DEAR)))
    driver.feed(opened, *story.closes(1, 98), story.paid(99, 1), *story.closes(99, 99))
    assert driver.states["A1"].charged == 740


def test_a_class_keeps_its_name_or_becomes_the_next_lower() -> None:
    five = OLD.classifications[0]
    finer = Classification("five", (ClassThreshold("pass", 0), ClassThreshold("watch", 1), *five.thresholds[1:]), 60)
    coarse = Classification("five", (ClassThreshold("pass", 0), ClassThreshold("loss", 181)), 60)
    story, opened = late(10)
    for rules, wanted in ((finer, "special_mention"), (coarse, "pass")):
        driver = AccountDriver(changing(OLD, (story.day(30), replace(OLD, classifications=(rules,)))))
        driver.feed(opened, *story.closes(1, 29))
        assert five.thresholds[driver.states["A1"].classes["five"]].name == "special_mention"
        driver.feed(*story.closes(30, 30))
        assert rules.thresholds[driver.states["A1"].classes.get("five", 0)].name == wanted


def test_a_dropped_classification_ends_and_another_begins() -> None:
    other = Classification("other", (ClassThreshold("fine", 0), ClassThreshold("late", 5)))
    story, opened = late(10)
    driver = AccountDriver(changing(OLD, (story.day(30), replace(OLD, classifications=(other,)))))
    driver.feed(opened, *story.closes(1, 40))
    assert driver.states["A1"].classes == {"other": 1}
    said = [(e.policy, e.business_date, e.to) for e in driver.standing_of(ev.ClassificationChanged)]  # type: ignore[attr-defined]
    assert said == [("five", story.day(11), "special_mention"), ("other", story.day(30), "late")]


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(p=policies(), events=histories(), day=st.integers(2, LAST))
def test_a_change_to_the_same_rules_leaves_no_trace(p, events, day):  # type: ignore[no-untyped-def]
    arrivals = in_time([*events, *AccountEvents().closes(1, LAST)])
    there, never = AccountDriver(changing(p, (AccountEvents().day(day), replace(p)))), AccountDriver(p)
    there.feed(*arrivals)
    never.feed(*arrivals)
    assert there.outputs == never.outputs
    assert there.states == never.states
    assert there.visits == never.visits


class Unread:
    """A section of a policy that fails whoever looks into it."""

    def __getattr__(self, name: str) -> None:
        raise AssertionError(f"the account agent reads {name} of another's section")


def of_others(p: Policy) -> Policy:
    """Return a policy without the sections from which nothing follows for an account."""
    return replace(p, **{name: Unread() for name in OF_OTHERS})


@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(p=policies(), events=histories())
def test_sections_of_other_agents_are_not_read(p, events):  # type: ignore[no-untyped-def]
    arrivals = in_time([*events, *AccountEvents().closes(1, LAST)])
    whole, part = AccountDriver(p), AccountDriver(of_others(p))
    whole.feed(*arrivals)
    part.feed(*arrivals)
    assert part.outputs == whole.outputs
    assert part.states == whole.states


class VisitingAll(AccountAgent):
    """The account agent, but every account is folded where a policy begins, whether it differs or not."""

    def rules(self, policies: PolicyBook, of: AccountState | AccountHead | Opening) -> Rules:
        rules = super().rules(policies, of)
        rules.changes = tuple(first for first, _ in rules.later)
        return rules


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(old=policies(), new=policies(), events=histories(), days=st.lists(st.integers(2, LAST), min_size=4, max_size=4))
def test_a_change_visits_only_whom_it_concerns(old, new, events, days):  # type: ignore[no-untyped-def]
    first, second, third, fourth = map(AccountEvents().day, sorted(days))
    changes = ((first, of_others(old)), (second, new), (third, replace(new, version="2")), (fourth, old))
    arrivals = in_time([*events, *AccountEvents().closes(1, LAST + 60)])
    some, every = AccountDriver(changing(old, *changes)), AccountDriver(changing(old, *changes))
    every.agent = VisitingAll()
    some.feed(*arrivals)
    every.feed(*arrivals)
    assert some.outputs == every.outputs
    assert some.visits <= every.visits


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(old=policies(), new=policies(), events=histories(), day=st.integers(20, LAST), ahead=st.integers(1, 15))
def test_when_a_change_becomes_known_does_not_matter(old, new, events, day, ahead):  # type: ignore[no-untyped-def]
    arrivals = in_time([*events, *AccountEvents().closes(1, LAST)])
    both = changing(old, (AccountEvents().day(day), new))
    always, learned = AccountDriver(both), AccountDriver(old)
    always.feed(*arrivals)
    for event in arrivals:
        if isinstance(event, ev.DayClosed) and event.business_date >= AccountEvents().day(day - ahead):
            learned.book = both
        learned.feed(event)
    assert learned.states == always.states
    assert learned.standing() == always.standing()


@pytest.mark.parametrize("change", [9, 11, 30, 41, 59])
def test_no_money_is_lost_by_a_change_whenever_it_comes(change: int) -> None:
    story, opened = late(10, 40, 70)
    driver = AccountDriver(changing(OLD, (story.day(change), replace(LENIENT, charges=CHEAP.charges))))
    driver.feed(opened, *story.closes(1, 60), story.paid(61, 15_000), *story.closes(61, 75))
    state = driver.states["A1"]
    assert state.received == 15_000 == state.paid.total() + state.credit
    assert state.paid.principal + state.owed().principal == 30_000


# -- which changes are believed


STORY = AccountEvents()
FILES = files_of("cn_card")


def change(day: int, name: str = "C1", hour: int = 9, files: dict[str, str] | None = None) -> ev.PolicyChanged:
    """Return a change of policy that counts from a day of the story."""
    return ev.PolicyChanged(
        event_id=f"e-{name}",
        occurred_at=at(STORY.day(0), hour),
        source="risk",
        change_id=name,
        effective_on=STORY.day(day),
        files=files or FILES,
    )


def test_of_two_changes_for_a_day_the_later_decision_counts() -> None:
    first, second = change(10, "C1", 9), change(10, "C2", 15, files_of("us_ffiec"))
    for arrived in ((first, second), (second, first)):
        made = changed(book_of(OLD), arrived)
        assert [day for day, _ in made.later] == [STORY.day(10).toordinal()]
        assert made.in_force_on(STORY.day(9).toordinal()).policy_for("CN", "x") is OLD
        assert made.in_force_on(STORY.day(10).toordinal()).policy_for("CN", "x").name == "house+us_ffiec"


def test_two_changes_on_one_day_are_each_of_their_own_date() -> None:
    made = changed(book_of(OLD), [change(20, "C2"), change(10, "C1", files=files_of("us_ffiec"))])
    names = [made.in_force_on(STORY.day(day).toordinal()).policy_for("CN", "x").name for day in (9, 10, 19, 20)]
    assert names == ["test", "house+us_ffiec", "house+us_ffiec", "house+cn_card"]


def test_a_change_that_was_sent_before_changes_nothing() -> None:
    assert not check_change(change(10), [change(10)], STORY.day(3), 366)


BROKEN = FILES | {"cn_card": FILES["cn_card"].replace("cn_card", "cn_kard", 1)}


@pytest.mark.parametrize(
    ("sent", "code", "words"),
    [
        (change(10, files=files_of("us_ffiec")), "conflicting_duplicate", "under a new id"),
        (change(5, "C2"), "out_of_range", "is closed, and what was said of closed days stands"),
        (change(3, "C2"), "out_of_range", "Send it with a later date"),
        (change(500, "C2"), "out_of_range", "more than 366 days"),
        (
            replace(change(9, "C2"), effective_on=at(STORY.day(0)).date() + timedelta(days=400_000)),
            "out_of_range",
            "2199",
        ),
        (change(9, "C2", files={"house": "pack: house"}), "invalid_policy", "There is no book"),
        (change(9, "C2", files={**FILES, "book": "rows: ["}), "invalid_policy", "reprieve policy check"),
        (
            change(9, "C2", files={**FILES, "book": FILES["book"].replace("cn_card", "cn_lost")}),
            "invalid_policy",
            "cn_lost",
        ),
        (change(9, "C2", files=BROKEN), "invalid_policy", "calls itself cn_kard"),
        (change(9, "C2", files={n: t for n, t in FILES.items() if n != "house"}), "invalid_policy", "house"),
        (change(9, "C2", files={**FILES, "house": "x" * 300_000}), "invalid_policy", "house"),
    ],
)
def test_a_change_that_cannot_be_meant_is_refused(sent: ev.PolicyChanged, code: str, words: str) -> None:
    with pytest.raises(InvalidEventError) as refused:
        check_change(sent, [change(10)], STORY.day(5), 366)
    assert refused.value.code == code
    assert words in refused.value.message


def test_changes_have_room_for_forty_years() -> None:
    known = [change(10 + n, f"C{n}") for n in range(MOST_CHANGES)]
    assert check_change(change(9, "other"), known[:-1], STORY.day(5), 366)
    with pytest.raises(InvalidEventError) as refused:
        check_change(change(9, "other"), known, STORY.day(5), 366)
    assert refused.value.code == "too_many"
