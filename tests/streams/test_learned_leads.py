"""The learner in the loop: what it learns leads, survives a restart, and can be judged from what was logged."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from evaluation.joined import Ages, joined
from evaluation.parity import ATTRIBUTES
from schemas import events as ev
from schemas.jsonlines import to_line
from simulator.world import START, World
from state.policy_packs.loader import book_for
from streams.cli import cli
from streams.local.runtime import LocalRuntime

ACCOUNTS, DAYS, SEED = 800, 150, 4
# Long enough for offers to become mature.
LONG = 330
AGES = Ages(maturity=150, answer=14)


def run(folder: Path | None, restart: frozenset[int] = frozenset(), days: int = DAYS) -> list[ev.Event]:
    """Return what is said to a population that answers; the runtime ends and starts again before some days."""
    world, book = World(ACCOUNTS, SEED, START), book_for("learning_on")
    runtime = LocalRuntime.open(folder, book)
    said: list[ev.Event] = []
    try:
        arrived = list(world.opening())
        for n in range(days):
            if n in restart:
                runtime.close()
                runtime = LocalRuntime.open(folder, book)
            found = runtime.feed(arrived)
            said += found
            arrived = list(world.day(START + timedelta(days=n), found))
        return said + runtime.feed(arrived)
    finally:
        runtime.close()


@pytest.fixture(scope="module")
def said() -> list[ev.Event]:
    """Return what is said without a restart."""
    return run(None)


@pytest.fixture(scope="module")
def long() -> list[ev.Event]:
    """Return what is said until many offers are mature."""
    return run(None, days=LONG)


def test_what_was_learned_leads_and_is_the_same_after_restarts(said: list[ev.Event], tmp_path: Path) -> None:
    groups = {e.arm for e in said if isinstance(e, ev.DecisionLogged)}
    assert {"fixed", "learned"} <= groups <= {"fixed", "learned", "holdout", "borrower"}
    assert max(e.version for e in said if isinstance(e, ev.ModelUpdated)) > 20
    again = run(tmp_path / "data", frozenset({40, 41, 90, 140}))
    assert [to_line(e) for e in again] == [to_line(e) for e in said]


def test_all_evidence_adds_up_to_what_is_told_of_it(said: list[ev.Event]) -> None:
    counts: dict[str, int] = {}
    kept: dict[str, int] = {}
    # The same in millionths, of which each day takes a thousandth.
    faded: dict[str, int] = {}
    through = 0
    for event in said:
        if isinstance(event, ev.OfferOutcomeReported):
            for name, count in event.counts.items():
                counts[name] = counts.get(name, 0) + count
            for cell in event.cells:
                kept[cell.cell] = kept.get(cell.cell, 0) + cell.kept
                faded[cell.cell] = faded.get(cell.cell, 0) + cell.kept * 1_000_000
        elif isinstance(event, ev.ModelUpdated):
            assert counts == {name: count for name, count in event.counts.items() if count or name in counts}
            for _ in range(event.business_date.toordinal() - through if through else 0):
                faded = {cell: count * 9_990 // 10_000 for cell, count in faded.items()}
            through = event.business_date.toordinal()
            assert {c.cell: c.kept for c in event.cells} == faded
    plans = [e for e in said if isinstance(e, ev.PlanInstalmentKept)]
    assert 0 < sum(kept.values()) <= len(plans)
    accepted = {e.offer_id for e in said if isinstance(e, ev.PlanActivated) and e.arrangement == "repayment"}
    assert sum(count for name, count in counts.items() if name.endswith(".accepted")) == len(accepted)


def test_every_decision_says_how_likely_each_option_was_to_lead(said: list[ev.Event]) -> None:
    offers = {e.offer_id: e for e in said if isinstance(e, ev.OfferPublished)}
    for decision in (e for e in said if isinstance(e, ev.DecisionLogged)):
        offer = offers[decision.offer_id]
        # An arrangement for a time is not ranked.
        if not decision.shown or offer.kind != "plan":
            assert not decision.shown
            continue
        assert [o.option_id for o in decision.shown] == [o.option_id for o in offer.options]
        assert sum(o.propensity for o in decision.shown) == pytest.approx(1)
        lead = next(o for o in decision.shown if o.option_id == offer.recommended_option_id)
        assert lead.propensity == decision.propensity
        if decision.arm == "learned" and len(decision.shown) > 1:
            assert min(o.propensity for o in decision.shown) >= 0.05 / len(decision.shown) - 1e-9


def test_every_decision_names_its_model_update(said: list[ev.Event]) -> None:
    known = 0
    by_model: set[int] = set()
    for event in said:
        if isinstance(event, ev.ModelUpdated):
            known = event.version
        elif isinstance(event, ev.DecisionLogged) and event.shown:
            learned = event.arm == "learned"
            if learned and len(event.shown) > 1:
                # Nothing is decided by what is told at the same close, only by what was told before.
                assert event.model_version == f"linear-thompson-1@{known}"
                by_model.add(known)
            else:
                assert "@" not in event.model_version
            if event.candidates and event.arm != "borrower":
                assert event.estimate_version == (f"keep-curve-1@{known}" if learned else "prior-1")
    assert len(by_model) > 20


def test_a_risk_officer_reads_the_report(long: list[ev.Event], tmp_path: Path) -> None:
    log, html = tmp_path / "said.jsonl", tmp_path / "report.html"
    log.write_bytes(b"".join(to_line(e) for e in long))
    found = CliRunner().invoke(cli, ["evaluate", "--input", str(log), "--html", str(html), "--json"])
    assert found.exit_code == 0, found.output
    told = msgspec.json.decode(found.stdout)
    decisions = [e for e in long if isinstance(e, ev.DecisionLogged) and e.shown]
    assert told["decisions"] == len(decisions)
    assert set(told["estimates"]) == {"as it was", "fixed order", "uniform"}
    for estimated in told["estimates"].values():
        for way in ("ips", "snips", "doubly_robust"):
            assert estimated[way]["low"] <= estimated[way]["value"] <= estimated[way]["high"]
    assert sum(share["offers"] for share in told["groups"]) == told["answered"] > told["mature"] > 50
    assert {g["attribute"] for g in told["acceptance_parity"]} == set(ATTRIBUTES)
    assert {"CN", "EU", "US"} <= {g["name"] for g in told["acceptance_parity"]}
    assert {"fixed-order-1", "linear-thompson-1"} <= {m["name"] for m in told["models"]}
    assert {m["name"] for m in told["valued_by"]} == {"prior-1", "keep-curve-1"}
    page = html.read_text("utf-8")
    assert page.count("<svg") == 6
    assert "http" not in page.replace("http://www.w3.org", "")
    shown = CliRunner().invoke(cli, ["evaluate", "--input", str(log)])
    assert shown.exit_code == 0
    assert "Estimated reward" in shown.output


def test_evidence_names_the_accepted_option_and_its_keeping(
    long: list[ev.Event],
) -> None:
    activated: dict[str, str] = {}
    accounts: dict[str, int] = {}
    outcomes: dict[str, dict[tuple[str, int], dict[str, int]]] = {}
    offers = {e.offer_id: e for e in long if isinstance(e, ev.OfferPublished)}
    for event in long:
        if isinstance(event, ev.PlanActivated):
            activated[event.offer_id] = event.option_id
            accounts[event.offer_id] = accounts.get(event.offer_id, 0) + 1
        elif isinstance(event, ev.PlanProgressed) and 0 < event.number <= 3 and event.outcome in ("kept", "missed"):
            age = (event.business_date - offers[event.offer_id].business_date).days
            if age <= AGES.maturity:
                said = outcomes.setdefault(event.offer_id, {}).setdefault((event.account_id, event.number), {})
                said[event.outcome] = said.get(event.outcome, 0) + (-1 if event.taken_back else 1)
    compared = 0
    for j in joined(long, AGES).judged:
        assert j.option == activated.get(j.logged.offer_id, "")
        assert j.accepted is (j.logged.offer_id in activated)
        if j.accepted and j.mature:
            first = outcomes.get(j.logged.offer_id, {}).values()
            missed = any(said.get("missed", 0) > 0 for said in first)
            kept = sum(said.get("kept", 0) for said in first)
            known = missed or kept == 3 * accounts[j.logged.offer_id]
            assert j.first_kept is (None if not known else not missed), j.logged.offer_id
            compared += 1
    assert compared > 30


def test_a_log_without_decisions_is_told(tmp_path: Path) -> None:
    log = tmp_path / "none.jsonl"
    log.write_bytes(b"")
    found = CliRunner().invoke(cli, ["evaluate", "--input", str(log)])
    assert found.exit_code == 1
    assert "no decision with options was logged" in str(found.exception)
