"""The agreement that a borrower keeps: complete, exact, in both languages, and word for word what was agreed."""

from __future__ import annotations

from datetime import date, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from console.account_page import account_page
from schemas import events as ev
from schemas.jsonlines import to_line
from simulator.world import World
from state.calendars import add_months
from state.policy import Delinquency
from state.policy_packs.loader import default_book
from state.texts import LOCALES, Lender, Localised, Money, messages_of
from streams.agreement import agreement, current, recording_of, standing
from streams.cli import cli
from streams.local.runtime import LocalRuntime
from streams.security.audit import file_records
from tests.support.account_events import AccountEvents
from tests.support.agent_driver import AccountDriver
from tests.support.policies import policy

START = date(2025, 1, 1)
WORDS = {locale: messages_of(Localised(), Lender(), locale) for locale in LOCALES}
ARTICLE_70 = default_book().policy_for("CN", "credit_card").offers.stated


def number(amount: int, currency: str) -> str:
    """Return an amount as tables have it: alike in both languages."""
    return WORDS["en"].number(amount, currency)


class Page(HTMLParser):
    """The text of a page: its table cells row by row, its clauses, and the tags that it has."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.clauses: dict[str, str] = {}
        self.tags: set[str] = set()
        self.text = ""
        self._clause = ""
        self._in = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        elif tag == "li":
            self._clause = dict(attrs)["id"] or ""
            self.clauses[self._clause] = ""
        self._in = tag

    def handle_endtag(self, tag: str) -> None:
        self._in = ""

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._in in ("td", "th"):
            self.rows[-1][-1] += data
        elif self._in == "span":
            self.clauses[self._clause] += data


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[ev.PlanActivated], dict[str, str]]:
    """Return a data directory in which borrowers agreed to plans, the plans, and what each account is."""
    folder = tmp_path_factory.mktemp("agreed")
    world = World(accounts=420, seed=5, start=START)
    plans: list[ev.PlanActivated] = []
    products: dict[str, str] = {}
    with LocalRuntime.open(folder, default_book()) as runtime:
        opening = list(world.opening())
        products = {e.account_id: f"{e.jurisdiction}/{e.product}" for e in opening if isinstance(e, ev.AccountOpened)}
        said = runtime.feed(opening)
        for offset in range(150):
            arrived = list(world.day(START + timedelta(days=offset), said))
            products |= {
                e.account_id: f"{e.jurisdiction}/{e.product}" for e in arrived if isinstance(e, ev.AccountOpened)
            }
            said = runtime.feed(arrived)
            plans += [e for e in said if isinstance(e, ev.PlanActivated)]
    return folder, plans, products


def test_every_agreement_states_balance_clauses_and_payments(lived) -> None:  # type: ignore[no-untyped-def]
    _, plans, products = lived
    cards = [p for p in plans if products[p.account_id] == "CN/credit_card"]
    assert len(plans) > 10
    assert cards
    for plan in plans:
        for locale in ("zh", "en"):
            page = Page(agreement(plan, locale, "House & Sons"))
            assert "House & Sons" in page.text
            assert page.tags.isdisjoint({"script", "link", "img", "iframe"})
            assert (WORDS[locale].format("agreement-translation") in page.text) == (locale != plan.locale)
            owed, waived = plan.balance, plan.waived
            for part in ("principal", "interest", "fees", "penalty"):
                had, off = getattr(owed, part), getattr(waived, part)
                assert [
                    WORDS[locale].format(f"agreement-{part}"),
                    *(number(x, plan.currency) for x in (had, off, had - off)),
                ] in page.rows
            schedule = [row for row in page.rows if row and row[0].isdigit()]
            left = sum(i.principal for i in plan.instalments)
            assert len(schedule) == len(plan.instalments)
            for row, i in zip(schedule, plan.instalments, strict=True):
                left -= i.principal
                amounts = [number(x, plan.currency) for x in (i.amount, i.principal, i.interest, left)]
                assert row == [str(i.number), WORDS[locale].day(i.due_on), *amounts]
            assert left == 0
            assert page.rows[-1][2] == number(sum(i.amount for i in plan.instalments), plan.currency)
            assert list(page.clauses) == list(plan.clauses)
            if locale == plan.locale:
                assert page.clauses == plan.clauses
            assert not any("{" in clause or "}" in clause for clause in page.clauses.values())
    for plan in cards:
        assert tuple(plan.clauses) == ARTICLE_70
        last = plan.instalments[-1].due_on
        assert f"{last.year}年{last.month}月{last.day}日" in plan.clauses["method_currency_dates_amounts"]
        total = plan.balance.principal + plan.balance.interest + plan.balance.fees + plan.balance.penalty
        assert WORDS["zh"].money(total, plan.currency) in plan.clauses["balance_structure_currency"]
        assert plan.recording_ref is None


def test_the_page_alone_names_the_kept_recording(lived, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    folder, plans, products = lived
    cards = [p for p in plans if products[p.account_id] == "CN/credit_card"]
    with LocalRuntime.open(folder, default_book()) as runtime:
        kept = {p.plan_id: recording_of(p, [e for _, e in runtime.history("planner", p.borrower_id)]) for p in cards}
        assert all(b"rec-" not in to_line(e) for topic in ("plans", "offers") for _, e in runtime.outputs(topic))
    spoken = [p for p in cards if kept[p.plan_id]]
    assert spoken
    for plan in spoken:
        assert kept[plan.plan_id] == f"rec-{plan.offer_id}"
        done = CliRunner().invoke(cli, ["agreement", plan.account_id, "--plan", plan.plan_id, "--data", str(folder)])
        assert f"rec-{plan.offer_id}" in done.output
    looked = [r for r in file_records(folder) if r.borrower_id == spoken[-1].borrower_id]
    assert looked[-1].fields == ("agreement", "answers.recording_ref")


def test_the_page_uses_the_policys_words_and_countrys_format(lived) -> None:  # type: ignore[no-untyped-def]
    _, plans, _ = lived
    lender = Lender(name=Localised(en="Example Bank", zh="示例银行"), telephone=Localised(en="030 1234", zh="95500"))
    own = Localised(en="agreement-title = How you repay us\n")
    policy = replace(default_book().policy_for("DE", "loan"), lender=lender, texts=own)
    plan = replace(plans[0], annual_rate_bps=1_825)
    page = Page(agreement(plan, "en", policy=policy, jurisdiction="DE")).text
    assert "How you repay us" in page
    assert "Example Bank" in page
    assert "030 1234" in page
    assert "18,25\u00a0%" in page
    assert "示例银行" in agreement(plan, "zh", policy=policy)
    assert "Another name" in agreement(plan, "en", "Another name", policy=policy)


def test_the_plan_repays_the_balance_less_what_is_waived(lived) -> None:  # type: ignore[no-untyped-def]
    for plan in (p for p in lived[1] if p.arrangement == "repayment"):
        parts = ("principal", "interest", "fees", "penalty")
        owed = sum(getattr(plan.balance, part) - getattr(plan.waived, part) for part in parts)
        assert sum(i.principal for i in plan.instalments) == owed


def test_the_command_writes_the_latest_agreement_or_says_none(lived, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    folder, plans, _ = lived
    plan = plans[0]
    latest = [p for p in plans if p.account_id == plan.account_id][-1]
    target = tmp_path / "a.html"
    args = ["agreement", plan.account_id, "--data", str(folder), "--locale", "zh"]
    done = CliRunner().invoke(cli, [*args, "--output", str(target)])
    assert done.exit_code == 0, done.output
    with LocalRuntime.open(folder, default_book()) as runtime:
        _, adjusted = standing(e for _, e in runtime.history("account", plan.account_id))
        told = [e for _, e in runtime.history("planner", plan.borrower_id)]
    page = agreement(latest, "zh", adjusted=adjusted.get(latest.plan_id), recording=recording_of(latest, told))
    assert target.read_text("utf-8") == page
    absent = CliRunner().invoke(cli, [*args, "--plan", "P0"])
    assert isinstance(absent.exception, SystemExit | Exception)
    assert "P0" in str(absent.exception) + absent.output


def test_changes_before_acceptance_are_on_the_page(lived) -> None:  # type: ignore[no-untyped-def]
    folder, plans, _ = lived
    changed = 0
    with LocalRuntime.open(folder, default_book()) as runtime:
        for account in sorted({p.account_id for p in plans}):
            made, adjusted = standing(e for _, e in runtime.history("account", account))
            for plan in made:
                change = adjusted.get(plan.plan_id)
                page = Page(agreement(plan, "en", adjusted=change))
                schedule = [row for row in page.rows if row and row[0].isdigit()][len(plan.instalments) :]
                assert ("Schedule that applies now" in page.text) == bool(schedule) == (change is not None)
                if change is None:
                    continue
                changed += 1
                assert WORDS["en"].money(abs(change.difference), plan.currency) in page.text
                assert [row[:3] for row in schedule] == [
                    [str(i.number), WORDS["en"].day(i.due_on), number(i.amount, plan.currency)]
                    for i in change.instalments
                ]
                assert schedule[-1][-1] == number(0, plan.currency)
    assert changed > 3


def test_a_plan_weighs_on_means_until_its_schedule_ends(lived) -> None:  # type: ignore[no-untyped-def]
    folder, plans, _ = lived
    moved = 0
    with LocalRuntime.open(folder, default_book()) as runtime:
        for made in plans:
            account, borrower = runtime.state("account", made.account_id), runtime.state("planner", made.borrower_id)
            if account.plan is None or account.plan.plan_id != made.plan_id or account.plan.is_temporary:
                continue
            last = max(r.due for r in account.receivables if r.plan)
            assert borrower.plans[made.account_id].until == last
            moved += last != made.instalments[-1].due_on.toordinal()
    assert moved


def test_nothing_that_an_id_contains_becomes_markup(lived) -> None:  # type: ignore[no-untyped-def]
    hostile = replace(lived[1][0], account_id="<script>alert(1)</script>", clauses={"x": "<b>bold</b>"})
    page = agreement(hostile)
    assert "<script>" not in page
    assert "<b>" not in page


def test_an_old_releases_plan_is_shown_with_its_balance(lived) -> None:  # type: ignore[no-untyped-def]
    before = replace(lived[1][0], balance=None, clauses={}, broken_after_missed=0, policy="")
    page = Page(agreement(before))
    assert page.clauses == {}
    assert number(sum(i.principal for i in before.instalments), before.currency) in page.text


@pytest.mark.parametrize(
    ("difference", "forgiven", "amounts", "notes"),
    [
        (1_000, 0, [20_000, 20_000, 1_000], ["more"]),
        (-1_000, 0, [20_000, 19_000], ["less"]),
        (1_000, 0, [20_500, 20_500], ["spread"]),
        (-39_950, 50, [], ["less", "forgiven"]),
        (50, 50, [20_000, 20_000], ["forgiven"]),
        (0, 0, [20_000, 20_000], []),
    ],
)
@pytest.mark.parametrize("billed", [0, 9_000])
def test_each_change_of_schedule_is_shown_in_both_languages(
    lived,  # type: ignore[no-untyped-def]
    difference: int,
    forgiven: int,
    amounts: list[int],
    notes: list[str],
    billed: int,
) -> None:
    def instalments(asked: list[int]) -> tuple[ev.PlanInstalment, ...]:
        return tuple(
            ev.PlanInstalment(number=n, due_on=add_months(START, n), amount=amount, principal=amount, interest=0)
            for n, amount in enumerate(asked, 1)
        )

    plan = replace(lived[1][0], instalments=instalments([20_000, 20_000]))
    bill = ev.Instalment(number=9, due_on=START + timedelta(days=10), principal=billed, interest=0, fees=0)
    change = ev.PlanScheduleAdjusted(
        event_id="adjusted",
        occurred_at=plan.occurred_at,
        source="test",
        account_id=plan.account_id,
        business_date=plan.activated_on,
        caused_by=plan.event_id,
        plan_id=plan.plan_id,
        offer_id=plan.offer_id,
        difference=difference,
        agreed=2,
        instalments=instalments(amounts),
        forgiven=forgiven,
        beside=(bill,) if billed else (),
    )
    said = {"forgiven": Money(forgiven, plan.currency), "beside": Money(billed, plan.currency)}
    for locale, words in WORDS.items():
        text = Page(agreement(plan, locale, adjusted=change)).text
        found = [
            way
            for way in ("more", "less", "onto-last", "spread", "forgiven", "beside")
            if words.format(
                f"agreement-{way}",
                amount=said.get(way, Money(abs(difference), plan.currency)),
                **({"due_on": bill.due_on} if way == "beside" else {}),
            )
            in text
        ]
        assert found == [*notes, *(["beside"] if billed else [])]


def test_a_paused_agreement_shows_its_present_due_dates() -> None:
    start = date(2026, 1, 31)
    story, driver = (
        AccountEvents(start=start),
        AccountDriver(policy(delinquency=Delinquency(pausing_holds=("breathing_space",)))),
    )
    accepted = story.plan(40, (88, 5_000), (119, 5_000), (149, 5_000), (180, 5_000))
    driver.feed(story.opened(10, 41, amount=10_000), accepted, *story.closes(0, 88), story.paid(88, 5_000))
    # 28 June and 29 July 2026 fall into a pause until the end of July; two months on, 28 August.
    driver.feed(story.hold(100, 181, "breathing_space"), *story.closes(89, 190))
    account = driver.states["A1"]
    (postponed,) = driver.standing_of(ev.PlanPostponed)
    now = current(accepted, None, account)
    assert [i.amount for i in now] == [5_000] * 4
    assert now[0].due_on == accepted.instalments[0].due_on
    assert (now[1].due_on, now[-1].due_on) == (postponed.next_due_on, postponed.last_due_on)  # type: ignore[attr-defined]
    page = Page(agreement(accepted, "en", account=account)).text
    assert "Payments were paused." in page
    assert "还款曾暂停" in Page(agreement(accepted, "zh", account=account)).text
    assert "paused" not in Page(agreement(accepted, "en")).text
    assert current(replace(accepted, plan_id="another"), None, account) == accepted.instalments
    shown = account_page(
        account,
        driver.agent.rules(driver.book, account),
        driver.facts_by_key["A1"].items(),
        [],
        story.day(190).toordinal(),
    )
    assert [due for due, _ in shown["plans"][0]["instalments"]] == [i.due_on.isoformat() for i in now]
