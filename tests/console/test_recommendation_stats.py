"""Recommendations is counted as the log has it, whatever is read first, and nothing is kept of what is over."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, date, datetime
from itertools import permutations
from pathlib import Path

import pytest
from msgspec import msgpack
from msgspec.structs import replace
from playwright.sync_api import Browser, expect

from console.cache import redacted
from console.learner_page import learner_page
from console.overview_projection import OverviewProjection
from console.read_store import ReadStore
from console.recommendation_stats import BUCKETS, CELLS, OTHER, ROWS, RecommendationStats, bucket_of, kind_of
from console.server import ConsoleServer
from schemas import events as ev
from schemas.jsonlines import from_line
from state.intervals import wilson
from state.learning import FEATURES

LINES = (Path(__file__).parents[2] / "schemas" / "examples.jsonl").read_bytes().splitlines()
_MADE = next(e for e in map(from_line, LINES) if isinstance(e, ev.OfferPublished) and e.options)
_LONG = replace(_MADE.options[0], option_id="long", term_months=60, shape="step_up")
OFFER = replace(_MADE, options=(_MADE.options[0], _LONG), recommended_option_id=_MADE.options[0].option_id)
OPENED = next(e for e in map(from_line, LINES) if isinstance(e, ev.AccountOpened))
PLAN = next(e for e in map(from_line, LINES) if isinstance(e, ev.PlanActivated))
AT, DAY = datetime(2026, 3, 1, tzinfo=UTC), date(2026, 3, 1)


def figures(days: int) -> tuple[int, ...]:
    return tuple(min(1000, days * 1000 // 360) if name == "arrears" else 500 for name in FEATURES)


def opened(account: str, jurisdiction: str = "US-CA") -> ev.AccountOpened:
    return replace(OPENED, account_id=account, jurisdiction=jurisdiction, product="personal_loan")


def offer(name: str, account: str = "A1") -> ev.OfferPublished:
    return replace(OFFER, event_id=name, offer_id=name, borrower_id="B1", account_ids=(account,))


def decided(made: ev.OfferPublished, days: int = 45, group: str = "learned") -> ev.DecisionLogged:
    """Return the decision of an offer, of which the lead had three chances in four."""
    others = len(made.options) - 1
    return ev.DecisionLogged(
        event_id=f"decision-{made.offer_id}",
        occurred_at=AT,
        source="test",
        offer_id=made.offer_id,
        borrower_id=made.borrower_id,
        policy_version="p",
        model_version="m",
        candidates=(),
        feasible=(),
        chosen=made.recommended_option_id,
        propensity=0.75,
        features_hash="",
        seed=1,
        reasons=(),
        business_date=DAY,
        caused_by="",
        shown=tuple(
            ev.OptionRow(
                option_id=o.option_id,
                propensity=0.75 if o.option_id == made.recommended_option_id else 0.25 / others,
                x=figures(days),
            )
            for o in made.options
        ),
        arm=group,
    )


def over(made: ev.OfferPublished, reason: str = "") -> ev.Event:
    base = {
        "event_id": f"over-{made.offer_id}",
        "occurred_at": AT,
        "source": "test",
        "offer_id": made.offer_id,
        "borrower_id": made.borrower_id,
        "business_date": DAY,
        "caused_by": "",
    }
    return ev.OfferWithdrawn(**base, reason=reason) if reason else ev.OfferExpired(**base)


def plan(made: ev.OfferPublished, account: str = "A1") -> ev.PlanActivated:
    return replace(
        PLAN,
        event_id=f"plan-{made.offer_id}-{account}",
        offer_id=made.offer_id,
        borrower_id=made.borrower_id,
        account_id=account,
        option_id=made.recommended_option_id or "",
    )


def after(*events: ev.Event) -> OverviewProjection:
    projection = OverviewProjection()
    for event in events:
        projection.apply(event)
    return projection


def lead_row(projection: OverviewProjection) -> dict[str, object]:
    (row,) = [r for r in projection.recommendations.table()["rows"] if r["recommended"]]
    return {k: row[k] for k in ("jurisdiction", "product", "bucket", "arm", "recommended", "accepted", "answered")}


ENDS = {
    "accepted": ([plan], 1, 1),
    "of two accounts": ([plan, lambda o: plan(o, "A2")], 1, 1),
    "expired": ([over], 0, 1),
    "accepted in time, heard of late": ([over, plan], 1, 1),
    "declined": ([lambda o: over(o, "declined")], 0, 1),
    "ended from outside": ([lambda o: over(o, "debts_changed")], 0, 0),
    "open": ([], 0, 0),
}


@pytest.mark.parametrize("end", ENDS)
def test_an_offer_counts_once_whichever_topic_is_read_first(end: str) -> None:
    ways, accepted, answered = ENDS[end]
    made = offer("O1")
    # Published and expired are on one partition, so they stay in order; so do plans.
    ends = [way(made) for way in ways]
    offers = [made, *(e for e in ends if not isinstance(e, ev.PlanActivated))]
    plans = [e for e in ends if isinstance(e, ev.PlanActivated)]
    for order in permutations([[opened("A1")], offers, [decided(made)], plans]):
        projection = after(*(event for place in order for event in place))
        assert lead_row(projection) == {
            "jurisdiction": "US",
            "product": "personal_loan",
            "bucket": "dpd_31_60",
            "arm": "learned",
            "recommended": 1,
            "accepted": accepted,
            "answered": answered,
        }
        kept = projection.recommendations.snapshot()
        # Of what is over nothing is left but counters, and eight bytes of what may still be accepted.
        assert len(kept.pending) == (end == "open")
        assert len(kept.expired) == (end == "expired")


def test_probabilities_are_means_over_offers_with_the_option() -> None:
    events: list[ev.Event] = [opened("A1")]
    for n in range(4):
        made = offer(f"O{n}")
        events += [made, decided(made), over(made)]
    rows = after(*events).recommendations.table()["rows"]
    kinds = Counter(kind_of(o) for o in OFFER.options)
    assert {(r["term"], r["shape"], r["relief"]): r["shown"] for r in rows} == {k: 4 * n for k, n in kinds.items()}
    assert sum(r["propensity"] * r["shown"] for r in rows) == pytest.approx(4.0)
    first = rows[0]
    assert first["recommended"] == 4
    assert (first["rate"], first["low"]) == (0.0, 0.0)
    assert first["high"] == pytest.approx(0.4899, abs=1e-4)


def test_the_table_is_what_a_plain_recount_of_the_log_gives(lived: Path) -> None:
    store = ReadStore(lived)
    log = [event for _, event in store.after(0, 10**9) if event is not None]
    shown = learner_page(store, after(*log))["recommendations"]
    store.close()
    places = {e.account_id: (e.jurisdiction, e.product) for e in log if isinstance(e, ev.AccountOpened)}
    made = {e.offer_id: e for e in log if isinstance(e, ev.OfferPublished) and e.kind == "plan"}
    became = {e.offer_id for e in log if isinstance(e, ev.PlanActivated)}
    refused = {e.offer_id for e in log if isinstance(e, ev.OfferExpired)}
    refused |= {e.offer_id for e in log if isinstance(e, ev.OfferWithdrawn) and e.reason in ("declined", "countered")}
    led: Counter[tuple[str, ...]] = Counter()
    taken: Counter[tuple[str, ...]] = Counter()
    judged: Counter[tuple[str, ...]] = Counter()
    for decision in log:
        if not isinstance(decision, ev.DecisionLogged) or decision.offer_id not in made:
            continue
        published = made[decision.offer_id]
        lead = next(o for o in published.options if o.option_id == published.recommended_option_id)
        days = decision.shown[0].x[FEATURES.index("arrears")] * 0.36
        late = "over_90" if days > 90 else "61_90" if days > 60 else "31_60" if days > 30 else "1_30"
        place, product = places[published.account_ids[0]]
        cell = (place.split("-")[0], product, f"dpd_{late}" if days > 0 else "current", decision.arm, *kind_of(lead))
        led[cell] += 1
        taken[cell] += published.offer_id in became
        judged[cell] += published.offer_id in became | refused
    assert sum(led.values()) > 50
    names = ("jurisdiction", "product", "bucket", "arm", "term", "shape", "relief")
    told = {tuple(r[n] for n in names): r for r in shown["rows"]}
    if shown["count"] <= ROWS:
        assert {cell for cell, r in told.items() if r["recommended"]} == set(led)
    for cell, r in told.items():
        assert (r["recommended"], r["accepted"], r["answered"]) == (led[cell], taken[cell], judged[cell]), cell
        assert 0 <= r["propensity"] <= 1
        assert r["shown"] >= r["recommended"]


def test_over_kafka_decisions_keep_no_figure_of_means() -> None:
    decision = decided(offer("O1"), days=45)
    kept = redacted(decision)
    assert isinstance(kept, ev.DecisionLogged)
    assert [(row.option_id, row.propensity) for row in kept.shown] == [
        (row.option_id, row.propensity) for row in decision.shown
    ]
    for row in kept.shown:
        assert {name: x for name, x in zip(FEATURES, row.x, strict=True) if x} == {"arrears": 125}


def test_an_interval_is_wilsons() -> None:
    # Brown, Cai and DasGupta (2001) and R's prop.test(correct = FALSE).
    for (successes, trials), (low, high) in {
        (0, 10): (0.0, 0.2775),
        (5, 10): (0.2366, 0.7634),
        (10, 10): (0.7225, 1.0),
        (15, 50): (0.1910, 0.4375),
    }.items():
        assert wilson(successes, trials) == pytest.approx((low, high), abs=1e-4)
    assert wilson(0, 0) is None


@pytest.mark.parametrize(
    ("days", "bucket"), [(0, 0), (1, 1), (30, 1), (31, 2), (60, 2), (61, 3), (90, 3), (91, 4), (359, 4), (900, 4)]
)
def test_days_past_due_are_read_back_exactly_from_the_log(days: int, bucket: int) -> None:
    assert bucket_of(min(1000, days * 1000 // 360)) == BUCKETS[bucket]


def test_products_without_end_are_one_behind_so_many_cells() -> None:
    stats = RecommendationStats()
    for n in range(CELLS + 50):
        made = offer(f"O{n}")
        stats.published(made, ("US", f"product-{n}"), accepted=False)
        stats.decided(decided(made))
        assert len(stats.snapshot().cells) <= CELLS + len(OFFER.options)
    assert any(cell[1] == OTHER for cell, _ in stats.snapshot().cells)


def test_what_is_kept_goes_on_with_offers_that_were_half_known() -> None:
    made, dice = [offer(f"O{n}", f"A{n % 3}") for n in range(30)], random.Random(5)
    events: list[ev.Event] = [opened(f"A{n}", "CN") for n in range(3)]
    events += [e for o in made for e in (o, decided(o, dice.randrange(200)), dice.choice([over, plan])(o))]
    dice.shuffle(events)
    # An offer ends behind where it was published.
    events.sort(key=lambda e: isinstance(e, ev.OfferExpired))
    whole = after(*events)
    projection = OverviewProjection()
    for n, event in enumerate(events):
        projection.apply(event)
        if n % 5 == 0:
            parts, projection = projection.snapshot(), OverviewProjection()
            for part in parts:
                projection.restore(part)
    assert projection.recommendations.table() == whole.recommendations.table()
    assert len(msgpack.encode(whole.recommendations.snapshot().pending)) < 10


@pytest.mark.parametrize(("language", "title"), [("en-GB", "Recommendations"), ("zh-CN", "对谁以什么为首选")])
def test_a_risk_officer_reads_what_leads_for_whom(
    browser: Browser, served: ConsoleServer, language: str, title: str
) -> None:
    page = browser.new_page(locale=language, viewport={"width": 1280, "height": 900})
    page.goto(served.url + "/#/learner")
    section = page.locator("section", has=page.get_by_role("heading", name=title))
    rows = page.evaluate("fetch('/api/learner').then(a => a.json())")["recommendations"]["rows"]
    expect(section.locator("tbody tr")).to_have_count(len(rows))
    first = rows[0]
    row = section.locator("tbody tr").first
    expect(row).to_contain_text(first["jurisdiction"])
    expect(row).to_contain_text(f"{first['recommended']} / {first['shown']}")
    if first["rate"] is not None:
        expect(row).to_contain_text(f"{first['accepted']} / {first['answered']}: {100 * first['rate']:.0f} %")
    # On an ordinary screen no column has to be scrolled to.
    scroll = section.locator(".scroll")
    assert scroll.evaluate("e => e.scrollWidth <= e.clientWidth")
    # No name of a band is left without a word.
    assert "_" not in section.inner_text()
    page.close()
