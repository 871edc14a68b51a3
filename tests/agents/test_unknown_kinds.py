"""Accounts of a jurisdiction or product that the policy book does not know are refused with what is known."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from msgspec.structs import replace

from agents.account.opening import check_kind
from schemas import events as ev
from schemas.errors import InvalidEventError
from state.policy_packs.book import BOOK, book_of
from state.policy_packs.loader import default_book, files_of
from streams.local.runtime import LocalRuntime
from tests.support.account_events import AccountEvents
from tests.support.agent_driver import AccountDriver


def refusal(jurisdiction: str, product: str) -> InvalidEventError:
    with pytest.raises(InvalidEventError) as caught:
        check_kind(AccountEvents().opened(30, jurisdiction=jurisdiction, product=product), default_book())
    return caught.value


@pytest.mark.parametrize(
    ("jurisdiction", "product", "code", "field", "meant"),
    [
        ("Germany", "personal_loan", "unknown_jurisdiction", "jurisdiction", "DE"),
        ("UK", "personal_loan", "unknown_jurisdiction", "jurisdiction", "GB"),
        ("DE", "Ratenkredit", "unknown_product", "product", "instalment_loan"),
        ("CN", "信用卡", "unknown_product", "product", "credit_card"),
        ("Germany", "Ratenkredit", "unknown_jurisdiction", "jurisdiction", "instalment_loan"),
    ],
)
def test_an_unknown_kind_is_refused_with_a_suggestion(
    jurisdiction: str, product: str, code: str, field: str, meant: str
) -> None:
    found = refusal(jurisdiction, product)
    assert (found.code, found.field) == (code, field)
    assert f"Did you mean {meant}?" in found.message
    assert "Known are" in found.message


def test_an_opening_is_taken_once_the_book_knows_its_kind() -> None:
    s = AccountEvents()
    opened = s.opened(30, 60, jurisdiction="DE", product="Ratenkredit", currency="EUR")
    files = files_of("default")
    own = {**files, BOOK: files[BOOK].replace("\nrows:", "\n  Ratenkredit: []\nrows:", 1)}
    book_of(own)
    change = ev.PolicyChanged(
        event_id="c", occurred_at=opened.occurred_at, source="t", change_id="c", effective_on=s.day(3), files=own
    )
    with LocalRuntime.open(None, default_book()) as runtime:
        (letter,) = (e for e in runtime.feed([opened]) if isinstance(e, ev.DeadLetter))
        assert (letter.code, letter.field) == ("unknown_product", "product")
        assert "Did you mean instalment_loan?" in letter.message
        runtime.feed([*s.closes(0, 1), change])
        # The eve of the change: the book of the open day does not know it yet.
        assert any(isinstance(e, ev.DeadLetter) for e in runtime.feed([replace(opened, event_id="again")]))
        runtime.feed(s.closes(2, 2))
        assert not any(isinstance(e, ev.DeadLetter) for e in runtime.feed([replace(opened, event_id="after")]))
        assert runtime.state("account", "A1") is not None


def test_a_known_opening_stays_so_under_later_books() -> None:
    s = AccountEvents()
    opened = s.opened(30, 60, product="loan")
    files = files_of("default")
    fewer = book_of({**files, BOOK: files[BOOK].replace("\n  loan: ", "\n  other_loan: ", 1)})
    assert "product" in fewer.problems("CN", "loan")
    driver = AccountDriver(default_book().with_amendments([(s.day(5).toordinal(), fewer)]))
    driver.feed(opened, *s.closes(0, 10), opened, *s.closes(11, 40))
    assert driver.rejected_events == []
    assert driver.states["A1"].missed == 1
    # Another account of that product comes too late.
    assert driver.feed(replace(opened, account_id="A2")) == []
    assert [e.account_id for e in driver.rejected_events] == ["A2"]  # type: ignore[attr-defined]


def test_a_correction_to_an_unknown_place_is_refused() -> None:
    s = AccountEvents()
    opened = s.opened(30, 60)
    earlier = replace(opened, event_id="e0", occurred_at=opened.occurred_at - timedelta(hours=1), jurisdiction="China")
    driver = AccountDriver(default_book())
    driver.feed(opened, earlier, *s.closes(0, 31))
    assert driver.rejected_events == [earlier]
    assert driver.states["A1"].jurisdiction == "CN"


def test_an_account_that_is_taken_over_is_held_to_the_same() -> None:
    s = AccountEvents()
    position = ev.OpeningPosition(
        event_id="o",
        occurred_at=s.opened(30).occurred_at,
        source="t",
        account_id="A1",
        borrower_id="B1",
        product="loan",
        jurisdiction="Germany",
        currency="EUR",
        opened_on=date(2025, 1, 1),
        as_of=s.day(0),
        annual_rate_bps=1_000,
        principal=10_000,
        instalments=(ev.PositionInstalment(number=1, due_on=s.day(30), principal=10_000, interest=0, fees=0),),
    )
    driver = AccountDriver(default_book())
    driver.feed(position)
    assert driver.rejected_events == [position]
    driver.feed(replace(position, jurisdiction="DE"))
    assert driver.states["A1"].jurisdiction == "DE"


def test_what_waits_for_a_refused_opening_is_a_dead_letter() -> None:
    s = AccountEvents()
    with LocalRuntime.open(None, default_book()) as runtime:
        runtime.feed([s.opened(30, jurisdiction="Germany", currency="EUR"), s.paid(0, 100, currency="EUR")])
        said = runtime.feed(s.closes(0, 5))
        assert [e.code for e in said if isinstance(e, ev.DeadLetter)] == ["unknown_account"]


def test_a_country_without_a_row_is_taken_and_told_of_once(capsys: pytest.CaptureFixture[str]) -> None:
    s = AccountEvents()
    with LocalRuntime.open(None, default_book()) as runtime:
        runtime.feed([s.opened(30, jurisdiction="AR", currency="USD"), *s.closes(0, 2)])
        assert runtime.state("account", "A1") is not None
        assert runtime._task.policies.by_default == {("AR", "personal_loan")}
        assert runtime._task.policies.missing_calendars == set()
    told = capsys.readouterr()
    assert (told.out + told.err).count("policy_by_default") == 1


def test_a_missing_calendar_is_reported_and_stops_nothing() -> None:
    s = AccountEvents(start=date(2026, 1, 1))
    files = files_of("default")
    places = files[BOOK].replace("calendar: US}", "calendar: USS}", 1)
    with LocalRuntime.open(None, book_of({**files, BOOK: places})) as runtime:
        opened = s.opened(30, jurisdiction="US", product="credit_card", currency="USD")
        said = runtime.feed([opened, *s.closes(0, 40)])
        assert runtime._task.policies.missing_calendars == {"USS"}
        assert any(isinstance(e, ev.InstalmentMissed) for e in said)
