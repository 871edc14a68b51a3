"""Two policies over one history: what would have been offered, to whom, at what cost and value."""

from __future__ import annotations

import json
from pathlib import Path

import yaml
from click.testing import CliRunner

from schemas import events as ev
from schemas.jsonlines import from_line, to_line
from simulator.runs import simulate
from state.policy_packs.loader import default_book
from streams.cli import cli


def test_a_comparison_adds_up_to_what_either_policy_really_says(tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    events.write_bytes(b"".join(to_line(e) for e in simulate(accounts=300, days=150, seed=3)))
    # No waiver and no cut of rates: dearer for borrowers, worth more to the lender.
    strict = tmp_path / "strict.yaml"
    rules = {
        "waivers": {"value": [[]], "verified": True, "source": "test"},
        "rate_cuts_bps": {"value": [0], "verified": True, "source": "test"},
    }
    strict.write_text(yaml.safe_dump({"pack": "strict", "version": 1, "title": "t", "sections": {"options": rules}}))
    out = {name: tmp_path / f"{name}.jsonl" for name in ("ours", "theirs")}
    done = CliRunner().invoke(
        cli, ["replay", "--input", str(events), "--output", str(out["ours"]), "--compare", str(strict), "--json"]
    )
    assert done.exit_code == 0, done.output
    alone = CliRunner().invoke(
        cli, ["replay", "--input", str(events), "--output", str(out["theirs"]), "--policy", str(strict)]
    )
    assert alone.exit_code == 0, alone.output
    found = json.loads(done.stdout)
    assert found["policies"][0] == default_book().name
    for side, name in enumerate(out):
        offers = [
            e for line in out[name].read_bytes().splitlines() if isinstance(e := from_line(line), ev.OfferPublished)
        ]
        assert offers
        for currency in {o.currency for o in offers}:
            mine = [o for o in offers if o.currency == currency]
            plans = [o for o in mine if o.kind == "plan"]
            leads = [c for o in plans for c in o.options if c.option_id == o.recommended_option_id]
            assert found["offered"][currency][side] == {
                "offers": len(mine),
                "with_plan": len(leads),
                "owed": sum(b.principal + b.interest + b.fees + b.penalty for o in plans for b in o.balances),
                "cost": sum(c.total_cost for c in leads),
                "waived": sum(c.waived.interest + c.waived.penalty for c in leads),
                "value": sum(c.npv for c in leads),
            }
    ours, theirs = (sum(both[side]["waived"] for both in found["offered"].values()) for side in (0, 1))
    assert ours > theirs == 0
    assert found["offers"]
    assert all(one != other for one, other in found["offers"].values())
