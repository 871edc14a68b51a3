"""Several people on one account: who may be contacted, whose answer binds, and what each may know of the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from itertools import permutations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from test_figures import PLACE, means

from console.borrower_page import borrower_page
from schemas import events as ev
from state.account import AccountState
from state.borrower import BorrowerState
from state.contact_rules import broken
from state.policy import Parties, PolicyBook
from state.policy_packs.loader import default_book
from streams.local.runtime import LocalRuntime
from streams.security.disclosure import disclosed_fields_of
from tests.support.account_events import AccountEvents
from tests.support.agent_driver import AccountDriver
from tests.support.policies import book_of, policy

START = date(2026, 1, 1)
DUES = range(30, 390, 30)


def party(person: str, role: ev.PartyRole = "joint", **more: object) -> ev.Party:
    """Return a joint borrower or a guarantor."""
    return ev.Party(borrower_id=person, role=role, **more)  # type: ignore[arg-type]


def changed(
    story: AccountEvents, on: int, person: str, role: ev.PartyRole | None = "joint", **more: object
) -> ev.PartyChanged:
    """Return that somebody is a party from a day on."""
    return ev.PartyChanged(
        event_id=f"{story.account_id}-party-{person}-{on}-{role}",
        occurred_at=story.paid(on, 1).occurred_at,
        source="test",
        account_id=story.account_id,
        borrower_id=person,
        from_on=story.day(on),
        role=role,
        **more,  # type: ignore[arg-type]
    )


def loan(*parties: ev.Party, account: str = "A1", **more: object) -> tuple[AccountEvents, ev.AccountOpened]:
    """Return a loan of 12 instalments with these parties."""
    story = AccountEvents(account, START)
    opened = story.opened(*DUES, amount=20_000, interest=500, **{**PLACE, **more})
    return story, replace(opened, parties=parties)


def together(acceptance: str = "any") -> PolicyBook:
    """Return the default book with a rule of who has to accept."""
    shipped = default_book()

    def resolve(jurisdiction: str, product: str, currency: str = "") -> object:
        found = shipped.policy_for(jurisdiction, product, currency)
        return replace(found, parties=replace(found.parties, joint_acceptance=acceptance))

    return PolicyBook("together", resolve, resolve_in=resolve)  # type: ignore[arg-type]


def feed(
    runtime: LocalRuntime, story: AccountEvents, events: Iterable[ev.Event], first: int, last: int
) -> list[ev.Event]:
    """Feed events on the days on which they occurred, and close the days."""
    said: list[ev.Event] = []
    left = list(events)
    for close in story.closes(first, last):
        now = [e for e in left if e.occurred_at.date() <= close.business_date]
        left = [e for e in left if e not in now]
        said += runtime.feed([*now, close])
    return said


def words(said: Iterable[ev.Event], person: str) -> list[tuple[int, str, bool]]:
    """Return what was said of contacting a person: on which day, why not, and whether they may be."""
    return [
        ((e.business_date - START).days, e.reason, bool(e.contact.channels))
        for e in said
        if isinstance(e, ev.PartyContactChanged) and e.borrower_id == person
    ]


# -- who may be contacted


def run(*parties: ev.Party, more: Sequence[ev.Event] = (), last: int = 130) -> list[ev.Event]:
    """Return what is said of a loan of which nothing is paid."""
    story, opened = loan(*parties)
    with LocalRuntime.open(None, default_book()) as runtime:
        return feed(runtime, story, [opened, *means(START), *more], 0, last)


def test_a_joint_borrower_may_be_contacted_once_in_arrears() -> None:
    assert words(run(party("B2")), "B2")[0] == (31, "", True)


@pytest.mark.parametrize(
    ("guarantor", "first"),
    [
        (party("G1", "guarantor"), None),
        (party("G1", "guarantor", enforced=True), 61),
        (party("G1", "guarantor", suretyship="joint_and_several"), 61),
    ],
)
def test_a_guarantor_is_not_contacted_before_enforcement(guarantor: ev.Party, first: int | None) -> None:
    found = words(run(guarantor), "G1")
    assert (found[0][0] if found else None) == first


@pytest.mark.parametrize(("rule", "first"), [("never", None), ("dpd_31_60", 61), ("dpd_over_90", 121)])
def test_policy_says_from_which_bucket_a_guarantor_is_called(rule: str, first: int | None) -> None:
    chosen = policy(parties=Parties(guarantors_from=rule))  # type: ignore[arg-type]
    story, opened = loan(party("G1", "guarantor", suretyship="joint_and_several"))
    with LocalRuntime.open(None, book_of(chosen)) as runtime:
        found = words(feed(runtime, story, [opened], 0, 130), "G1")
    assert (found[0][0] if found else None) == first


def test_a_guarantor_is_contacted_once_enforcement_failed() -> None:
    story = AccountEvents("A1", START)
    said = run(party("G1", "guarantor"), more=[changed(story, 70, "G1", "guarantor", enforced=True)])
    assert words(said, "G1")[0] == (70, "", True)


@pytest.mark.parametrize("ending", ["paid", "hold", "own_hold", "left"])
def test_the_end_of_the_right_to_contact_is_published_at_once(ending: str) -> None:
    story = AccountEvents("A1", START)
    facts: dict[str, tuple[ev.Event, tuple[int, str]]] = {
        "paid": (story.paid(40, 20_500, currency="EUR"), (40, "not_in_arrears")),
        "hold": (replace(story.hold(40, 60, "bankruptcy"), borrower_id="B2"), (40, "collection_stopped")),
        "own_hold": (replace(story.hold(40, 60, "vulnerability"), borrower_id="B2"), (40, "hold")),
        "left": (changed(story, 40, "B2", None), (40, "no_party")),
    }
    fact, expected = facts[ending]
    said = run(party("B2"), party("B3"), more=[fact], last=64)
    assert (*expected, False) in words(said, "B2")
    if ending in ("own_hold", "left"):
        assert all(may for _, _, may in words(said, "B3"))
    if ending in ("hold", "own_hold"):
        assert words(said, "B2")[-1][1:] == ("", True), "the hold has ended"


def test_one_persons_hold_may_leave_the_account_as_it_is() -> None:
    for kind, person, stops in (
        ("breathing_space", "B2", True),
        ("deceased", "B2", False),
        ("vulnerability", "B2", False),
        ("breathing_space", "G1", False),
        ("dispute", "G1", False),
        ("deceased", None, True),
    ):
        story = AccountEvents("A1", START)
        hold = replace(story.hold(40, 80, kind), borrower_id=person)  # type: ignore[arg-type]
        said = run(party("B2"), party("G1", "guarantor"), more=[hold], last=60)
        stopped = [e for e in said if isinstance(e, ev.CollectionStopped)]
        assert bool(stopped) == stops, (kind, person)
        withdrawn = [e for e in said if isinstance(e, ev.OfferWithdrawn)]
        assert bool(withdrawn) == (stops and kind != "bankruptcy") or not withdrawn


def test_a_hold_of_a_person_is_released_like_any() -> None:
    story = AccountEvents("A1", START)
    own = replace(story.hold(40, None, "vulnerability"), borrower_id="B2")
    said = run(party("B2"), more=[own, story.released(50)], last=64)
    assert words(said, "B2")[1:3] == [(40, "hold", False), (50, "", True)]
    assert not [e for e in said if isinstance(e, ev.InputNotApplied)]


# -- limits are a person's


def test_contacts_with_a_joint_borrower_count_for_them_alone() -> None:
    story = AccountEvents("A1", START)
    calls = [
        replace(
            story.contact(62, "reached"),
            borrower_id="B2",
            occurred_at=story.contact(62).occurred_at + timedelta(minutes=n),
        )
        for n in range(8)
    ]
    said = run(party("B2"), more=calls, last=63)
    breached = [e for e in said if isinstance(e, ev.ContactBreached)]
    assert [(e.borrower_id, e.rules) for e in breached] == [("B2", ("cap_reached",))]
    revised = [e for e in said if isinstance(e, ev.ContactRevised)]
    assert revised == [], "the borrower may be reached as before"
    last = [e for e in said if isinstance(e, ev.PartyContactChanged)][-1]
    open_on = {(w.not_before.date() - START).days for w in last.contact.windows}
    assert open_on == {60, 61, 69, 70, 71, 72, 73}, "a cap of seven within seven days"


@pytest.mark.parametrize("person", ["G1", "X9"])
def test_a_contact_with_somebody_not_to_be_asked_is_flagged(person: str) -> None:
    story = AccountEvents("A1", START)
    said = run(party("G1", "guarantor"), more=[replace(story.contact(62), borrower_id=person)], last=64)
    breached = [e for e in said if isinstance(e, ev.ContactBreached)]
    assert [(e.borrower_id, e.rules) for e in breached] == [(person, ("not_contactable",))]


def test_a_failed_call_to_a_guarantor_is_no_collection_attempt() -> None:
    for person, attempts in (("B2", 1), ("G1", 0), (None, 1), ("B1", 1)):
        story, opened = loan(party("B2"), party("G1", "guarantor"))
        driver = AccountDriver(book_of())
        driver.feed(opened, *story.closes(0, 39), replace(story.contact(40), borrower_id=person), *story.closes(40, 40))
        assert driver.states["A1"].failed_contact_attempts == attempts, person


# -- whose answer binds


def offered(runtime: LocalRuntime, *parties: ev.Party) -> tuple[AccountEvents, ev.OfferPublished]:
    """Return the first offer with options of a loan with these parties."""
    story, opened = loan(*parties)
    said = feed(runtime, story, [opened, *means(START)], 0, 62)
    return story, next(e for e in said if isinstance(e, ev.OfferPublished) and e.options)


def accepts(offer: ev.OfferPublished, person: str | None, number: int = 1, option: int = 0) -> ev.OfferAnswered:
    """Return an acceptance of an option."""
    return ev.OfferAnswered(
        event_id=f"accept-{number}",
        occurred_at=offer.occurred_at + timedelta(hours=12 + number),
        source="test",
        feedback_id=f"f{number}",
        offer_id=offer.offer_id,
        borrower_id=offer.borrower_id,
        answer="accepted",
        option_id=offer.options[option].option_id,
        channel="online",
        answered_by=person,
    )


@pytest.mark.parametrize("person", [None, "B1", "B2"])
def test_any_of_those_who_owe_the_debt_accepts_for_all(person: str | None) -> None:
    with LocalRuntime.open(None, together("any")) as runtime:
        _, offer = offered(runtime, party("B2"), party("G1", "guarantor"))
        assert (offer.joint_borrower_ids, offer.acceptance) == (("B2",), "any")
        (plan,) = [e for e in runtime.feed([accepts(offer, person)]) if isinstance(e, ev.PlanActivated)]
        assert plan.agreed_by == (person or "B1",)


def test_an_agreement_ends_contact_with_the_joint_borrower() -> None:
    with LocalRuntime.open(None, together("any")) as runtime:
        story, offer = offered(runtime, party("B2"))
        at_once = words(runtime.feed([accepts(offer, None)]), "B2")
        assert [word[1:] for word in at_once] == [("collection_stopped", False)]
        assert words(feed(runtime, story, [], 63, 70), "B2") == []


@pytest.mark.parametrize("person", ["G1", "X9"])
def test_a_guarantor_accepts_nothing(person: str) -> None:
    with LocalRuntime.open(None, together("any")) as runtime:
        _, offer = offered(runtime, party("B2"), party("G1", "guarantor"))
        said = runtime.feed([accepts(offer, person)])
        assert [e.code for e in said if isinstance(e, ev.DeadLetter)] == ["not_a_joint_borrower"]


def test_where_all_must_accept_the_plan_begins_with_the_last() -> None:
    for order in permutations([None, "B2", "B3"]):
        with LocalRuntime.open(None, together("all")) as runtime:
            _, offer = offered(runtime, party("B2"), party("B3"))
            assert offer.acceptance == "all"
            said = [runtime.feed([accepts(offer, person, n)]) for n, person in enumerate(order, 1)]
            codes = [[e.code for e in s if isinstance(e, ev.AnswerNotApplied)] for s in said]
            assert codes == [["others_to_accept"], ["others_to_accept"], []]
            (plan,) = [e for e in said[-1] if isinstance(e, ev.PlanActivated)]
            assert plan.agreed_by == ("B1", "B2", "B3")


def test_acceptances_of_different_options_make_no_plan() -> None:
    with LocalRuntime.open(None, together("all")) as runtime:
        _, offer = offered(runtime, party("B2"))
        said = runtime.feed([accepts(offer, None, 1), accepts(offer, "B2", 2, option=1)])
        assert not [e for e in said if isinstance(e, ev.PlanActivated)]
        said = runtime.feed([accepts(offer, "B2", 3)])
        (plan,) = [e for e in said if isinstance(e, ev.PlanActivated)]
        assert plan.option_id == offer.options[0].option_id


def test_a_joint_acceptance_in_time_counts_when_received_late() -> None:
    with LocalRuntime.open(None, together("all")) as runtime:
        story, offer = offered(runtime, party("B2"))
        runtime.feed([accepts(offer, None, 1)])
        feed(runtime, story, [], 63, 85)
        said = runtime.feed([accepts(offer, "B2", 2)])
        assert [e.agreed_by for e in said if isinstance(e, ev.PlanActivated)] == [("B1", "B2")]


def test_a_joint_borrower_who_joins_takes_the_open_offer_back() -> None:
    with LocalRuntime.open(None, together("all")) as runtime:
        story, _ = offered(runtime)
        said = feed(runtime, story, [changed(story, 63, "B2")], 63, 64)
        assert [e.reason for e in said if isinstance(e, ev.OfferWithdrawn)] == ["parties_changed"]
        (next_one,) = [e for e in said if isinstance(e, ev.OfferPublished)]
        assert next_one.joint_borrower_ids == ("B2",)


def test_accounts_that_others_owe_too_are_offered_apart() -> None:
    """A joint borrower is not shown what the borrower owes elsewhere."""
    story, own = loan(account="A1")
    _, joint = loan(party("B2"), account="A2")
    with LocalRuntime.open(None, default_book()) as runtime:
        said = feed(runtime, story, [own, joint, *means(START)], 0, 62)
        offers = [e for e in said if isinstance(e, ev.OfferPublished) and e.options]
        (first,) = offers
        assert (first.account_ids, first.joint_borrower_ids) in ((("A1",), ()), (("A2",), ("B2",)))
        more = runtime.feed([accepts(first, None)])
        more += feed(runtime, story, [], 63, 64)
        second = next(e for e in more if isinstance(e, ev.OfferPublished))
        assert {first.account_ids, second.account_ids} == {("A1",), ("A2",)}


# -- disputes


def test_a_dispute_of_a_joint_borrower_is_one_of_the_debt() -> None:
    story = AccountEvents("A1", START)
    for person, disputed in (("B2", True), ("G1", False)):
        call = replace(story.contact(64, "disputed"), borrower_id=person)
        said = run(party("B2"), party("G1", "guarantor"), more=[call], last=66)
        withdrawn = [e.reason for e in said if isinstance(e, ev.OfferWithdrawn)]
        assert withdrawn == (["dispute"] if disputed else []), person


# -- what each may know


MARKS = ("income-of-two", "region-of-two", "comment-of-two")


def test_a_joint_borrowers_own_data_is_not_the_borrowers() -> None:
    story, opened = loan(party("B2"))
    theirs = [
        ev.ConsentGranted(
            event_id="grant-2",
            occurred_at=story.paid(1, 1).occurred_at,
            source="test",
            borrower_id="B2",
            consent_id="consent-2",
            purpose="repayment_planning",
        ),
        ev.ProfileReported(
            event_id="income-of-two",
            occurred_at=story.paid(2, 1).occurred_at,
            source="test",
            borrower_id="B2",
            kind="interview",
            as_of=story.day(2),
            consent_id="consent-2",
            monthly_income=7_654_321,
            monthly_expenses=1_234_567,
            region="region-of-two",
            time_zone="Asia/Tokyo",
        ),
    ]
    with LocalRuntime.open(None, default_book()) as runtime:
        said = feed(runtime, story, [opened, *means(START), *theirs], 0, 62)
        offer = next(e for e in said if isinstance(e, ev.OfferPublished) and e.options)
        declined = replace(
            accepts(offer, "B2"),
            answer="declined",
            option_id=None,
            reasons=("distress", "income_change", "too_high"),
            comment="comment-of-two",
            rating=1,
        )
        said += runtime.feed([declined])
        said += feed(runtime, story, [], 63, 64)
        mine, other = runtime.state("planner", "B1"), runtime.state("planner", "B2")
        assert isinstance(mine, BorrowerState)
        assert isinstance(other, BorrowerState)
        assert (mine.distressed, mine.income_changed, mine.too_high) == (False, 0, 1)
        page = msgspec.json.encode(borrower_page(mine, runtime.history("planner", "B1"), [], None)).decode()
        held = msgspec.json.encode([mine, [e for _, e in runtime.history("planner", "B1")]]).decode()
        to_borrower = msgspec.json.encode([e for e in said if getattr(e, "borrower_id", "") == "B1"]).decode()
        theirs_page = msgspec.json.encode(borrower_page(other, runtime.history("planner", "B2"), [], None)).decode()
    for text in (page, held, to_borrower):
        assert not [m for m in (*MARKS, "7654321", "1234567", "Asia/Tokyo", 'distress"') if m in text]
    assert offer.offer_id not in theirs_page
    assert offer.message not in theirs_page


def test_an_erasure_of_one_leaves_the_other() -> None:
    story, opened = loan(party("B2"))
    with LocalRuntime.open(None, default_book()) as runtime:
        feed(runtime, story, [opened, *means(START)], 0, 62)
        before = runtime.state("planner", "B1")
        runtime.feed(
            [
                ev.ErasureRequested(
                    event_id="erase", occurred_at=story.paid(63, 1).occurred_at, source="t", borrower_id="B2"
                )
            ]
        )
        assert runtime.state("planner", "B1") == before
        after = runtime.state("planner", "B2")
        assert isinstance(after, BorrowerState)
        assert list(after.parties) == ["A1"], "what they answer for stays: it is the lender's ledger"


# -- input


def test_the_borrower_is_no_party_and_nobody_is_one_twice() -> None:
    for parties in ((party("B1"),), (party("B2"), party("B2", "guarantor"))):
        _, opened = loan(*parties)
        with LocalRuntime.open(None, default_book()) as runtime:
            said = runtime.feed([opened])
        assert [e.code for e in said if isinstance(e, ev.DeadLetter)] == ["duplicate_party"]
    story, opened = loan()
    with LocalRuntime.open(None, default_book()) as runtime:
        said = runtime.feed([opened, changed(story, 1, "B1")])
        assert [e.code for e in said if isinstance(e, ev.DeadLetter)] == ["duplicate_party"]


# -- properties


persons = st.sampled_from(["B2", "G1", "G2"])
acts = st.lists(
    st.tuples(
        st.integers(0, 150),
        st.sampled_from(["joins", "leaves", "guarantees", "enforced", "several", "hold", "call", "paid"]),
        persons,
        st.integers(0, 30),
    ),
    max_size=14,
)


def drawn_events(story: AccountEvents, drawn: list[tuple[int, str, str, int]]) -> list[ev.Event]:
    """Return the events of drawn acts; of two of one identity only the first."""
    made: dict[str, ev.Event] = {}
    for n, (on, act, person, more) in enumerate(drawn):
        kinds: tuple[ev.HoldKind, ...] = ("dispute", "breathing_space", "vulnerability", "deceased")
        event: ev.Event
        if act == "hold":
            held = story.hold(on, on + more, kinds[more % 4], f"h{n}")
            event = replace(held, borrower_id=person if more % 2 else None)
        elif act == "call":
            event = replace(story.contact(on, "reached" if more % 3 else "no_answer"), borrower_id=person)
        elif act == "paid":
            event = story.paid(on, 10_000 + 2_000 * more, currency="EUR")
        else:
            terms: dict[str, tuple[ev.PartyRole | None, dict[str, object]]] = {
                "joins": ("joint", {}),
                "leaves": (None, {}),
                "guarantees": ("guarantor", {}),
                "enforced": ("guarantor", {"enforced": True}),
                "several": ("guarantor", {"suretyship": "joint_and_several"}),
            }
            role, fields = terms[act]
            event = changed(story, on, person, role, **fields)
        key = f"{act}-{n}" if not isinstance(event, ev.PartyChanged) else f"{person}-{on}"
        made.setdefault(key, event)
    return sorted(made.values(), key=lambda e: e.occurred_at)


def may_be_asked(s: AccountState, person: str) -> bool:
    """Say by the plain rules whether a person may be asked for the debt, after the close of an account's last day."""
    found = next((p for p in s.parties if p.borrower_id == person), None)
    if found is None or not s.overdue_since or s.closed_on or s.plan is not None:
        return False
    if any(h.covers(s.folded_through) for h in s.holds) or any(
        w == person and h.covers(s.folded_through) for w, h in s.party_holds
    ):
        return False
    if found.role == "joint":
        return True
    return (found.suretyship == "joint_and_several" or found.enforced) and s.days_past_due > 30


@settings(max_examples=60, deadline=None, derandomize=True)
@given(acts)
def test_nobody_who_may_not_be_contacted_is(drawn: list[tuple[int, str, str, int]]) -> None:
    story, opened = loan()
    last: dict[str, ev.PartyContactChanged] = {}
    called: list[tuple[ev.ContactAttempted, bool]] = []
    breached: set[str] = set()
    events = drawn_events(story, drawn)
    rules = default_book().policy_for("EU", "personal_loan", "EUR").contacts
    with LocalRuntime.open(None, default_book()) as runtime:
        for close in story.closes(0, 160):
            now = [e for e in events if e.occurred_at.date() == close.business_date]
            called += [
                (e, e.borrower_id in last and bool(last[e.borrower_id].contact.channels))
                for e in now
                if isinstance(e, ev.ContactAttempted)
            ]
            said = runtime.feed([*([opened] if close.business_date == START else []), *now, close])
            breached |= {
                e.attempt_id for e in said if isinstance(e, ev.ContactBreached) and "not_contactable" in e.rules
            }
            for e in said:
                if isinstance(e, ev.PartyContactChanged):
                    assert e.number == (last[e.borrower_id].number if e.borrower_id in last else 0) + 1
                    last[e.borrower_id] = e
            state = runtime.state("account", "A1")
            assert isinstance(state, AccountState)
            for person in ("B2", "G1", "G2"):
                word = last.get(person)
                may = word is not None and bool(word.contact.channels)
                assert may == may_be_asked(state, person), (close.business_date, person, word)
                if word is not None and may:
                    tried = [c.occurred_at for c, _ in called if c.borrower_id == person]
                    spoken = [c.occurred_at for c, _ in called if c.borrower_id == person and c.outcome == "reached"]
                    for w in word.contact.windows:
                        before = [t for t in tried if t < w.not_after], [t for t in spoken if t < w.not_after]
                        assert not broken(w.not_before, rules, "", *before)
                    assert word.contact.windows[-1].not_after.date() >= close.business_date
    # By what was said before its day, or taken back on it.
    assert breached >= {c.attempt_id for c, may in called if not may}


@settings(max_examples=60, deadline=None, derandomize=True)
@given(acts, st.randoms(use_true_random=False))
def test_parties_do_not_depend_on_the_order_of_facts(drawn: list[tuple[int, str, str, int]], random: object) -> None:
    story, opened = loan(party("G2", "guarantor"))
    events = drawn_events(story, drawn)
    in_time = AccountDriver(book_of())
    in_time.feed(opened)
    for close in story.closes(0, 160):
        in_time.feed(*(e for e in events if e.occurred_at.date() == close.business_date), close)
    shuffled, late = [*events, *events[:3]], AccountDriver(book_of())
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    half = len(shuffled) // 2
    late.feed(opened, *shuffled[:half], *story.closes(0, 90), *shuffled[half:], *story.closes(91, 160))
    one, other = in_time.states["A1"], late.states["A1"]
    assert (one.parties, one.party_holds, one.last_party_signals) == (
        other.parties,
        other.party_holds,
        other.last_party_signals,
    )
    assert in_time.standing() == late.standing()


def test_looks_at_an_account_are_on_record_for_each_person() -> None:
    story, opened = loan(party("B2"), party("G1", "guarantor"))
    driver = AccountDriver(book_of())
    driver.feed(opened, *story.closes(0, 1))
    assert [person for person, _ in disclosed_fields_of(driver.states["A1"])] == ["B1", "B2", "G1"]
