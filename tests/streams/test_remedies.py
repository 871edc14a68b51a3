"""Following the remedy that a dead letter names works: what was refused counts, and nothing is refused anew."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from schemas import events as ev
from schemas.codec import Codec
from schemas.errors import InvalidEventError
from schemas.jsonlines import from_line, read_events, to_line
from state.account import AccountState
from state.borrower import BorrowerState
from state.policy import BadDebt, PolicyBook
from state.policy_packs.loader import default_book, files_of
from streams.local.dead_letters import read_dead_letters, redrive
from streams.local.runtime import LocalRuntime
from tests.support.account_events import AccountEvents, at
from tests.support.file_registry import FileRegistry
from tests.support.policies import book_of, policy

REPOSITORY = Path(__file__).parents[2]
# Codes that are not dead letters of these runtimes, and where their remedies are tried.
ELSEWHERE = {
    "unknown_wire_key": "tests/privacy/test_wire.py",
    "unsealable": "tests/privacy/test_wire.py",
    "wrong_partition": "tests/kafka/test_other_clients.py",
}
JOINT_SELF, JOINT = (ev.Party(borrower_id=name, role="joint") for name in ("B1", "B2"))
STRICT = book_of(policy(bad_debt=BadDebt("strict", charge_off_grounds=("bankruptcy",))))


class Scene:
    """A runtime with an account, and the offer that its borrower got where one is asked for."""

    def __init__(self, rules: PolicyBook | None = None) -> None:
        self.story = AccountEvents(start=date(2026, 1, 1))
        self.runtime = LocalRuntime.open(None, rules or default_book())
        self.offer: ev.OfferPublished | None = None
        self._seen = 0

    def feed(self, *events: ev.Event) -> None:
        self.runtime.feed(events)

    def raw(self, topic: str, key: bytes | None, value: bytes | None) -> None:
        self.runtime.publish_raw(topic, key, value)
        self.runtime.run()

    def refused(self) -> list[ev.DeadLetter]:
        """Return the dead letters since this was last asked."""
        found = [x.letter for x in read_dead_letters(self.runtime)][self._seen :]
        self._seen += len(found)
        return found

    def close(self, first: int, last: int) -> None:
        self.feed(*self.story.closes(first, last))

    def replay(self) -> None:
        """Send the dead letters in again that were not yet."""
        redrive(self.runtime, [x for x in read_dead_letters(self.runtime) if not x.resolved])

    def account(self) -> AccountState:
        state = self.runtime.state("account", "A1")
        assert isinstance(state, AccountState)
        return state

    def borrower(self) -> BorrowerState:
        state = self.runtime.state("planner", "B1")
        assert isinstance(state, BorrowerState)
        return state

    def make_offer(self) -> ev.OfferPublished:
        """Let the borrower fall behind with known means; return the offer."""
        base: dict[str, Any] = {"occurred_at": at(self.story.day(20)), "source": "test", "borrower_id": "B1"}
        self.feed(
            self.story.opened(*range(30, 390, 30), amount=20_000, jurisdiction="US", currency="USD"),
            ev.ConsentGranted(**base, event_id="consent", consent_id="K1", purpose="repayment_planning"),
            ev.ProfileReported(
                **base, event_id="profile", kind="declared", as_of=self.story.day(20), consent_id="K1",
                monthly_income=400_000, monthly_expenses=150_000, household_size=1,
            ),
        )  # fmt: skip
        self.close(20, 62)
        (self.offer,) = [e for _, e in self.runtime.outputs("offers") if isinstance(e, ev.OfferPublished)]
        assert self.offer.options
        return self.offer

    def answer(self, name: str, **said: Any) -> ev.OfferAnswered:
        fields = {
            "event_id": name, "feedback_id": name, "occurred_at": at(self.story.day(63)), "source": "test",
            "borrower_id": "B1", "offer_id": self.offer.offer_id if self.offer else "", "answer": "accepted",
            "channel": "online", "reasons": (),
        }  # fmt: skip
        return ev.OfferAnswered(**{**fields, **said})


@dataclass(frozen=True)
class Case:
    """What is refused with a code, what its message says to do, that being done, and that it counts then.

    also: codes of dead letters that the remedy itself makes, since it takes a statement's place.
    """

    name: str
    code: str
    refused: Callable[[Scene], None]
    says: str
    done: Callable[[Scene], None]
    counts: Callable[[Scene], bool]
    rules: PolicyBook | None = None
    also: tuple[str, ...] = field(default=())


def opened_with(*then: Callable[[Scene], ev.Event]) -> Callable[[Scene], None]:
    """Return what opens the account, and feeds more."""

    def go(s: Scene) -> None:
        s.feed(s.story.opened(30, 60, 90), *[make(s) for make in then])

    return go


def feeding(*make: Callable[[Scene], ev.Event]) -> Callable[[Scene], None]:
    """Return what feeds events."""
    return lambda s: s.feed(*[one(s) for one in make])


def closed(s: Scene, through: int) -> AccountState:
    s.close(0, through)
    return s.account()


def pay(payment_id: str, amount: int, on: int = 5, **more: Any) -> Callable[[Scene], ev.Event]:
    return lambda s: s.story.paid(on, amount, payment_id, **more)


def hold(hold_id: str, start: int, kind: ev.HoldKind) -> Callable[[Scene], ev.Event]:
    return lambda s: s.story.hold(start, 60, kind, hold_id)


def promise(name: str, amount: int, **more: Any) -> Callable[[Scene], ev.Event]:
    return lambda s: replace(s.story.promised(5, 40, amount), promise_id=name, **more)


def contact(name: str, outcome: ev.ContactOutcome) -> Callable[[Scene], ev.Event]:
    return lambda s: replace(s.story.contact(40, outcome), attempt_id=name)


def review(name: str, decision: ev.ReviewDecision, ground: str = "bankruptcy") -> Callable[[Scene], ev.Event]:
    return lambda s: replace(s.story.reviewed(40, decision, ground), review_id=name)


def reported(name: str, income: int, as_of: int = 5, on: int = 5) -> Callable[[Scene], ev.Event]:
    return lambda s: ev.ProfileReported(
        event_id=name, occurred_at=at(s.story.day(on)), source="test", borrower_id="B1", kind="declared",
        as_of=s.story.day(as_of), consent_id="c", monthly_income=income,
    )  # fmt: skip


def reopened(s: Scene) -> ev.Event:
    """Return the opening with another rate, said to have occurred before the first."""
    first = s.story.opened(30, 60, 90, annual_rate_bps=900)
    return replace(first, occurred_at=first.occurred_at - timedelta(seconds=1))


def numbered(s: Scene, *numbers: int) -> ev.AccountOpened:
    opening = s.story.opened(30, 60)
    parts = tuple(replace(i, number=n) for i, n in zip(opening.instalments, numbers, strict=True))
    return replace(opening, instalments=parts)


def position(s: Scene, classes: dict[str, str]) -> ev.OpeningPosition:
    """Return the account's position at the close of the second day, under Chinese rules."""
    o = s.story.opened(30, 60)
    part = ev.PositionInstalment(number=1, due_on=s.story.day(30), principal=10_000, interest=0, fees=0)
    return ev.OpeningPosition(
        event_id="position", occurred_at=at(s.story.day(2)), source="test", account_id="A1", borrower_id="B1",
        product=o.product, jurisdiction=o.jurisdiction, currency=o.currency, opened_on=s.story.day(-300),
        as_of=s.story.day(1), annual_rate_bps=1_800, principal=20_000, instalments=(part,), classes=classes,
    )  # fmt: skip


def raised(name: str, rule: str, to: int, on: int) -> Callable[[Scene], ev.Event]:
    """Return a change of the policy in which one rule of business has another value from a day on."""

    def change(s: Scene) -> ev.Event:
        files = files_of("default")
        lines = files["house"].splitlines()
        files["house"] = "\n".join(
            line.replace(line.split("value: ")[1].split(",")[0], str(to)) if rule in line else line for line in lines
        )
        assert str(to) in files["house"]
        return ev.PolicyChanged(
            event_id=name, occurred_at=at(s.story.day(0)), source="test", change_id=name,
            effective_on=s.story.day(on), files=files,
        )  # fmt: skip

    return change


def value_of(event: ev.Event) -> bytes:
    return Codec().encode(event)


def as_json(s: Scene) -> None:
    s.feed(s.story.opened(30))
    s.raw("payments", b"A1", to_line(pay("p1", 10_000)(s)))


def published(s: Scene) -> None:
    """Put what the letter holds on a line of a file, and publish that."""
    (letter,) = [x.letter for x in read_dead_letters(s.runtime)]
    s.feed(from_line(letter.value or b""))


def received(amount: int) -> Callable[[Scene], bool]:
    return lambda s: closed(s, 10).received == amount


CASES = [
    Case(
        "a payment is corrected", "conflicting_duplicate", opened_with(pay("p1", 10_000), pay("p1", 12_000)),
        "send PaymentReversed for the first, and the right amount under a new payment_id",
        feeding(lambda s: s.story.reversed(6, "p1"), pay("p2", 12_000)), received(12_000),
    ),
    Case(
        "a second payment had the id of the first", "conflicting_duplicate",
        opened_with(pay("p1", 10_000), pay("p1", 12_000)), "send it under a payment_id of its own",
        feeding(pay("p2", 12_000)), received(22_000),
    ),
    Case(
        "a hold is corrected", "conflicting_duplicate",
        opened_with(hold("h1", 3, "dispute"), hold("h1", 3, "fraud")),
        "send HoldReleased for the first with released_on its from_on, and place the right one under a new hold_id",
        feeding(lambda s: s.story.released(3, "h1"), hold("h2", 3, "fraud")),
        lambda s: [h.kind for h in closed(s, 10).holds if h.covers(s.story.day(10).toordinal())] == ["fraud"],
    ),
    Case(
        "another promise", "conflicting_duplicate", opened_with(promise("r1", 5_000), promise("r1", 6_000)),
        "send it under a promise_id of its own", feeding(promise("r2", 6_000)),
        lambda s: {p.amount for p in closed(s, 10).promises} == {5_000, 6_000},
    ),
    Case(
        "another decision", "conflicting_duplicate",
        opened_with(review("v1", "recognise"), review("v1", "reject")), "under a review_id of its own",
        feeding(review("v2", "reject")),
        lambda s: ("review:v2" in dict(s.runtime.history("account", "A1"))),
    ),
    Case(
        "another contact", "conflicting_duplicate",
        opened_with(contact("c1", "no_answer"), contact("c1", "refused")), "under an attempt_id of its own",
        feeding(contact("c2", "refused")), lambda s: "contact:c2" in dict(s.runtime.history("account", "A1")),
    ),
    Case(
        "an opening is corrected", "conflicting_duplicate",
        opened_with(lambda s: s.story.opened(30, 60, 90, annual_rate_bps=900)),
        "send it with an occurred_at before 2026-01-01T09:00:00Z", feeding(reopened),
        lambda s: closed(s, 10).annual_rate_bps == 900, also=("conflicting_duplicate",),
    ),
    Case(
        "a report of means is corrected", "conflicting_duplicate",
        feeding(reported("e1", 100), reported("e1", 200)), "Send a correction under a new event_id",
        feeding(reported("e2", 200)), lambda s: [r.value for r in s.borrower().readings][-1] == 200,
    ),
    Case(
        "a change of policy", "conflicting_duplicate",
        feeding(raised("c1", "most_days_ahead", 400, 9), raised("c1", "most_days_ahead", 401, 9)),
        "under a new id", feeding(raised("c2", "most_days_ahead", 401, 9)),
        lambda s: s.runtime.policies.in_force_on(s.story.day(9).toordinal()).policy_for("", "").most_days_ahead == 401,
    ),
    Case(
        "another currency", "wrong_currency", opened_with(pay("p1", 900, currency="EUR")),
        "Convert it upstream and send it with a new id", feeding(pay("p2", 10_000)), received(10_000),
    ),
    Case(
        "a hold that ends before it begins", "out_of_range",
        opened_with(lambda s: replace(s.story.hold(10, 20), until_on=s.story.day(9))),
        "Send it with until_on on or after from_on", feeding(lambda s: s.story.hold(10, 20)),
        lambda s: [h.hold_id for h in closed(s, 10).holds] == ["h1"],
    ),
    Case(
        "an unknown ground", "unknown_ground", opened_with(review("v1", "charge_off", "whim")),
        "bankruptcy. Send the review with one of these", feeding(review("v1", "charge_off")),
        lambda s: "review:v1" in dict(s.runtime.history("account", "A1")), rules=STRICT,
    ),
    Case(
        "an unknown jurisdiction", "unknown_jurisdiction",
        feeding(lambda s: s.story.opened(30, jurisdiction="Germany")),
        "Did you mean DE?", feeding(lambda s: s.story.opened(30, jurisdiction="DE")),
        lambda s: s.account().jurisdiction == "DE",
    ),
    Case(
        "an unknown product", "unknown_product", feeding(lambda s: s.story.opened(30, product="car")),
        "Did you mean auto?", feeding(lambda s: s.story.opened(30, product="auto")),
        lambda s: s.account().product == "auto",
    ),
    Case(
        "a principal that the schedule does not repay", "schedule_does_not_add_up",
        feeding(lambda s: replace(s.story.opened(30, 60), principal=5)),
        "Send the principal that the schedule repays", feeding(lambda s: s.story.opened(30, 60)),
        lambda s: s.account().original_principal == 20_000,
    ),
    Case(
        "an instalment number twice", "duplicate_number", feeding(lambda s: numbered(s, 1, 1)),
        "Give each its own number", feeding(lambda s: numbered(s, 1, 2)),
        lambda s: [r.number for r in s.account().receivables] == [1, 2],
    ),
    Case(
        "a class that the policy has not", "unknown_class", feeding(lambda s: position(s, {"cn_2023": "dubious"})),
        "Send one of these", feeding(lambda s: position(s, {"cn_2023": "special_mention"})),
        lambda s: "cn_2023" in str(s.account().classes),
    ),
    Case(
        "an account opened after its position", "out_of_range",
        feeding(lambda s: replace(position(s, {}), opened_on=s.story.day(5))), "Send AccountOpened",
        feeding(lambda s: s.story.opened(30)), lambda s: s.account().original_principal == 10_000,
    ),
    Case(
        "an account that is not opened", "unknown_account",
        lambda s: (s.close(0, 0), s.feed(pay("p1", 500, 0)(s)), s.close(1, 4)),
        "Send its AccountOpened or OpeningPosition, then replay the dead letter",
        lambda s: (s.feed(s.story.opened(30)), s.replay()),
        lambda s: closed(s, 10).received == 500,
    ),
    Case(
        "means of a day to come", "out_of_range", feeding(reported("e1", 100, as_of=9)),
        "Send it with the date on which it was true", feeding(reported("e1", 100)),
        lambda s: [r.value for r in s.borrower().readings] == [100],
    ),
    Case(
        "an amount of nothing", "out_of_range", opened_with(pay("p1", 0)),
        "expected int >= 1. Correct it at its source", feeding(pay("p1", 1)), received(1),
    ),
    Case(
        "an amount beyond all", "out_of_range", opened_with(pay("p1", 10**15)), "Check the amount and its unit",
        feeding(pay("p1", 10**3)), received(1_000),
    ),
    Case(
        "an id that cannot be seen", "out_of_range", opened_with(pay("p\u200b1", 5)), "send the one that is meant",
        feeding(pay("p1", 5)), received(5),
    ),
    Case(
        "a year that is none", "out_of_range",
        opened_with(lambda s: replace(pay("p1", 5)(s), value_on=date(1777, 1, 1))), "Send the real date",
        feeding(pay("p1", 5)), received(5),
    ),
    Case(
        "a text that is too long", "too_long",
        feeding(lambda s: replace(reported("e1", 100)(s), employment="x" * 600)), "Send less",
        feeding(reported("e1", 100)), lambda s: [r.value for r in s.borrower().readings] == [100],
    ),
    Case(
        "a payment of the year after next", "out_of_range",
        lambda s: (opened_with()(s), s.close(0, 1), s.feed(pay("p1", 5, 600)(s))),
        "send it nearer to its day", lambda s: (s.close(2, 240), s.replay()),
        lambda s: closed(s, 601).received == 5,
    ),
    Case(
        "the same under a policy that looks further", "out_of_range",
        lambda s: (opened_with()(s), s.close(0, 1), s.feed(pay("p1", 5, 600)(s))),
        "raise the policy's business.most_days_ahead",
        lambda s: (s.feed(raised("c", "most_days_ahead", 700, 3)(s)), s.close(2, 3), s.replay()),
        lambda s: closed(s, 601).received == 5,
    ),
    Case(
        "a close of the next year", "out_of_range", lambda s: (s.close(0, 0), s.close(360, 360)),
        "close the days in between first", lambda s: (s.close(1, 359), s.replay()),
        lambda s: s.runtime.closed_through == s.story.day(360),
    ),
    Case(
        "the same under a policy that skips more", "out_of_range",
        lambda s: (s.close(0, 0), s.close(360, 360)),
        "raise the policy's business.most_days_skipped",
        lambda s: (s.feed(raised("c", "most_days_skipped", 400, 1)(s)), s.replay()),
        lambda s: s.runtime.closed_through == s.story.day(360),
    ),
    Case(
        "a policy for a day that is closed", "out_of_range",
        lambda s: (s.close(0, 5), s.feed(raised("c", "most_days_ahead", 700, 3)(s))),
        "Send it with a later date", feeding(raised("c", "most_days_ahead", 700, 6)),
        lambda s: s.runtime.policies.in_force_on(s.story.day(6).toordinal()).policy_for("", "").most_days_ahead == 700,
    ),
    Case(
        "a policy that is none", "invalid_policy",
        feeding(lambda s: replace(raised("c1", "most_days_ahead", 700, 6)(s), files={"house": "pack: house"})),
        "send the change under a new id", feeding(raised("c2", "most_days_ahead", 700, 6)),
        lambda s: s.runtime.policies.in_force_on(s.story.day(6).toordinal()).policy_for("", "").most_days_ahead == 700,
    ),
    Case(
        "more than one account keeps", "too_many",
        opened_with(*[pay(f"p{n}", 1) for n in range(1_998)]), "Close the days for which they wait",
        lambda s: (s.close(0, 6), s.replay()), lambda s: closed(s, 10).received == 1_998,
    ),
    Case(
        "the borrower is a party too", "duplicate_party",
        feeding(lambda s: replace(s.story.opened(30), parties=(JOINT_SELF, JOINT))),
        "Name the borrower in borrower_id alone", feeding(lambda s: replace(s.story.opened(30), parties=(JOINT,))),
        lambda s: closed(s, 1).parties == (JOINT,),
    ),
    Case(
        "a stranger answers an offer", "not_a_joint_borrower",
        lambda s: (
            s.make_offer(), s.feed(s.answer("f1", option_id=s.offer.options[0].option_id, answered_by="B9")),
        ),
        "Leave answered_by out where the borrower answered",
        lambda s: s.feed(s.answer("f2", option_id=s.offer.options[0].option_id)),
        lambda s: bool(s.borrower().plans),
    ),
    Case(
        "no such offer", "unknown_offer", lambda s: (s.make_offer(), s.feed(s.answer("f1", offer_id="o9"))),
        "Check offer_id and borrower_id, and send the answer again under a new feedback_id",
        feeding(lambda s: s.answer("f2", answer="declined")), lambda s: s.borrower().offer.end == "declined",
    ),
    Case(
        "no option", "missing_option", lambda s: (s.make_offer(), s.feed(s.answer("f1"))),
        "under a new feedback_id with option_id",
        feeding(lambda s: s.answer("f2", option_id=s.offer.recommended_option_id)),
        lambda s: s.borrower().offer.end == "accepted",
    ),
    Case(
        "no such option", "unknown_option",
        lambda s: (s.make_offer(), s.feed(s.answer("f1", option_id="x"))),
        "under a new feedback_id with one of",
        feeding(lambda s: s.answer("f2", option_id=s.offer.options[-1].option_id)),
        lambda s: s.borrower().offer.end == "accepted",
    ),
    Case(
        "no amount", "missing_counter_amount",
        lambda s: (s.make_offer(), s.feed(s.answer("f1", answer="countered"))),
        "under a new feedback_id with counter_amount",
        feeding(lambda s: s.answer("f2", answer="countered", counter_amount=9_000)),
        lambda s: "feedback:f2" in dict(s.runtime.history("planner", "B1")),
    ),
    Case(
        "JSON on a topic", "unreadable", as_json,
        "Put the event on a line of a file and send it with `reprieve publish`",
        published, received(10_000),
    ),
    Case(
        "no value", "unreadable", lambda s: (opened_with(pay("p1", 5))(s), s.raw("payments", b"A1", None)),
        "Send an event that takes back what was sent, such as PaymentReversed",
        feeding(lambda s: s.story.reversed(6, "p1")), received(0),
    ),
    Case(
        "bytes that are cut", "unreadable",
        lambda s: (opened_with()(s), s.raw("payments", b"A1", value_of(pay("p1", 5)(s))[:-3])),
        "that nothing cut it short", lambda s: s.raw("payments", b"A1", value_of(pay("p1", 5)(s))), received(5),
    ),
    Case(
        "another topic's event", "unexpected_type",
        lambda s: (opened_with()(s), s.raw("collections", b"A1", value_of(pay("p1", 5)(s)))),
        "Send it to its own topic", lambda s: s.raw("payments", b"A1", value_of(pay("p1", 5)(s))), received(5),
    ),
    Case(
        "another key", "wrong_key",
        lambda s: (opened_with()(s), s.raw("payments", b"A2", value_of(pay("p1", 5)(s)))),
        "another key than A1", lambda s: s.raw("payments", b"A1", value_of(pay("p1", 5)(s))), received(5),
    ),
    Case(
        "no such topic", "unknown_topic",
        lambda s: (opened_with()(s), s.raw("paymnts", b"A1", value_of(pay("p1", 5)(s)))),
        "payments", lambda s: s.raw("payments", b"A1", value_of(pay("p1", 5)(s))), received(5),
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.code}: {case.name}")
def test_the_remedy_of_a_dead_letter_works(case: Case) -> None:
    scene = Scene(case.rules)
    with scene.runtime:
        case.refused(scene)
        (letter,) = scene.refused()
        assert letter.code == case.code
        assert case.says in letter.message
        case.done(scene)
        assert case.counts(scene)
        assert tuple(x.code for x in scene.refused()) == case.also


PAID = replace(AccountEvents(start=date(2026, 1, 1)).paid(5, 5, "p1"), event_id="e1")
LINE = to_line(PAID)
# What is refused of a line, what its message says, and the line that follows it.
LINES = {
    "wrong_type": (LINE.replace(b'"amount":5', b'"amount":0.05'), "12.50 in a currency of two decimals is 1250", LINE),
    "missing_field": (LINE.replace(b'"channel":"transfer"', b'"chanel":"transfer"'), "It has 'chanel'", LINE),
    "unknown_value": (
        to_line(AccountEvents().hold(1, 2)).replace(b'"dispute"', b'"quarrel"'),
        "Send one of bankruptcy, breathing_space, deceased, dispute, fraud, vulnerability.",
        to_line(AccountEvents().hold(1, 2)),
    ),
    "unknown_schema": (LINE.replace(b"PaymentReceived", b"PaymentRecieved"), "Did you mean PaymentReceived", LINE),
    "out_of_range": (LINE.replace(b"CNY", b"cny"), "three capital letters (ISO 4217)", LINE),
    "invalid_json": (LINE.replace(b"}", b""), "ends too early", LINE),
}


@pytest.mark.parametrize("code", LINES)
def test_the_remedy_of_a_line_works(code: str, tmp_path: Path) -> None:
    bad, says, good = LINES[code]
    file = tmp_path / "events.jsonl"
    file.write_bytes(bad + good)
    (rejected, event) = read_events(file)
    assert not isinstance(rejected, ev.Event)
    assert rejected.code == code
    assert says in rejected.message
    assert isinstance(event, ev.Event)


def test_a_schema_that_only_a_registry_has_is_read_with_it(tmp_path: Path) -> None:
    registry = FileRegistry(tmp_path / "registry.json")
    value = Codec(registry).encode(PAID)
    with pytest.raises(InvalidEventError, match=r"Set registry\.url to the producer's") as refused:
        Codec().decode(value)
    assert refused.value.code == "unknown_schema"
    assert Codec(registry).decode(value) == PAID


def raised_codes() -> set[str]:
    """Return the codes that are named where InvalidEventError is raised, by the source."""
    found = set()
    for folder in ("schemas", "agents", "state", "streams"):
        for file in (REPOSITORY / folder).rglob("*.py"):
            # What partners send has its own tests.
            if "intake" in file.parts or file.name == "event_sink.py":
                continue
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                named = isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("InvalidEventError", "Refusal")
                if named and isinstance(node.args[0], ast.Constant):
                    found.add(str(node.args[0].value))
    return found


def test_every_code_has_its_remedy_tried() -> None:
    tried = {case.code for case in CASES} | LINES.keys() | ELSEWHERE.keys()
    assert raised_codes() - tried == set()
    for code, file in ELSEWHERE.items():
        assert code.replace("_", "-") in (REPOSITORY / file).read_text("utf-8").replace("_", "-")
