"""`reprieve policy`: what it shows of packs, books and accounts, and what it refuses to change."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from schemas import events as ev
from schemas.errors import UsageError
from schemas.jsonlines import from_line, to_line
from state.policy_packs.book import book_of
from state.policy_packs.loader import files_of, load_book, load_pack, pack_names
from streams.cli import cli
from tests.support.account_events import AccountEvents

DOCS = Path(__file__).parents[2] / "docs" / "rules.md"
MINE = """pack: {name}
version: 1
title: t
sections:
  plans:
    max_broken: {{value: 9, verified: true, source: internal rule}}
"""


def policy(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["policy", *map(str, arguments)])


def refused(*arguments: object) -> str:
    found = policy(*arguments).exception
    assert isinstance(found, UsageError), found
    return str(found)


def change_in(path: Path) -> ev.PolicyChanged:
    found = from_line(path.read_bytes().splitlines()[0])
    assert isinstance(found, ev.PolicyChanged)
    return found


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(MINE.format(name="mine"), "utf-8")
    return path


def test_one_pack_is_not_made_the_policy_of_every_account(mine: Path, tmp_path: Path) -> None:
    out = tmp_path / "change.jsonl"
    said = refused("change", mine, "--from", "2026-12-24", "--output", out)
    packs = set(pack_names()) - {"house", "learning_on"}
    assert f"take {len(packs)} packs from all accounts" in said
    assert all(name in said for name in packs)
    assert "--jurisdiction CODE" in said
    assert "--everywhere" in said
    assert not out.exists()


def test_everywhere_makes_it_so_when_that_is_meant(mine: Path, tmp_path: Path) -> None:
    out = tmp_path / "change.jsonl"
    assert policy("change", mine, "--everywhere", "--from", "2026-12-24", "--output", out).exit_code == 0
    assert book_of(change_in(out).files).policy_for("CN", "credit_card").name == "house+mine"
    assert "say two things" in refused("change", mine, "--everywhere", "--product", "loan", "--from", "2026-12-24")


def test_a_pack_for_some_accounts_leaves_the_others_as_they_are(mine: Path, tmp_path: Path) -> None:
    out = tmp_path / "change.jsonl"
    scope = ("--jurisdiction", "EU", "--product", "credit_card")
    assert policy("change", mine, *scope, "--from", "2026-12-24", "--output", out).exit_code == 0
    made, default = book_of(change_in(out).files), load_book()
    assert made.policy_for("DE", "credit_card").plans.max_broken == 9
    for place, product in (("DE", "loan"), ("CN", "credit_card"), ("US", "credit_card"), ("AR", "credit_card")):
        assert made.policy_for(place, product).name == "+".join(default.packs_for(place, product))


def test_a_second_change_is_laid_over_the_first(mine: Path, tmp_path: Path) -> None:
    first, second, other = tmp_path / "first.jsonl", tmp_path / "second.jsonl", tmp_path / "other.yaml"
    other.write_text(MINE.format(name="other").replace("max_broken", "kept_within_days"), "utf-8")
    policy("change", mine, "--jurisdiction", "EU", "--from", "2026-12-24", "--output", first)
    arguments = ("--jurisdiction", "DE", "--over", first, "--from", "2026-12-25", "--output", second)
    assert policy("change", other, *arguments).exit_code == 0
    made = book_of(change_in(second).files)
    plans = {place: made.policy_for(place, "loan").plans for place in ("DE", "FR", "CN")}
    found = {place: (p.max_broken, p.kept_within_days) for place, p in plans.items()}
    assert found == {"DE": (9, 9), "FR": (9, 5), "CN": (3, 5)}
    assert "is no policy book" in refused("change", other, *arguments[:2], "--over", mine, "--from", "2026-12-25")


def test_a_change_lists_the_rules_that_differ_and_for_whom(mine: Path, tmp_path: Path) -> None:
    first, rule = tmp_path / "first.jsonl", "  plans.max_broken: 3 -> 9\n"
    change = ("change", mine, "--from", "2026-12-24")
    said = policy(*change, "--jurisdiction", "GB", "--product", "loan", "--output", first).stderr
    assert said == f"Rules that differ from default:\n{rule}    GB: loan\n"
    assert policy(*change[:3], "2026-12-25", "--jurisdiction", "GB", "--product", "loan", "--over", first).stderr == (
        f"No rule differs from {first}.\n"
    )
    # Georgia, which the sender of a change for Germany did not mean.
    assert f"{rule}    GE: any product\n" in policy(*change, "--jurisdiction", "GE").stderr
    # What a program reads is the event alone.
    assert isinstance(from_line(policy(*change, "--all-accounts").stdout_bytes.splitlines()[0]), ev.PolicyChanged)


def test_a_change_is_compared_over_a_history_as_it_applies(mine: Path, tmp_path: Path) -> None:
    rule = "max_broken: {value: 9,"
    text = mine.read_text("utf-8").replace("plans:", "bad_debt:").replace(rule, "missed_at_least: {value: 1,")
    mine.write_text(text, "utf-8")
    change, story = tmp_path / "change.jsonl", []
    policy("change", mine, "--jurisdiction", "DE", "--from", "2026-12-24", "--output", change)
    for n, place in enumerate(("DE", "FR")):
        s = AccountEvents(f"A{n}")
        story += [s.opened(30, jurisdiction=place, borrower_id=f"B{n}"), *(s.contact(day) for day in (31, 32, 33))]
    (tmp_path / "in.jsonl").write_bytes(b"".join(to_line(e) for e in [*story, *AccountEvents().closes(0, 34)]))
    replay = ["replay", "--input", str(tmp_path / "in.jsonl"), "--output", str(tmp_path / "out.jsonl"), "--json"]
    found = json.loads(CliRunner().invoke(cli, [*replay, "--compare", str(change)]).stdout)
    assert found["policies"] == ["default", "change.jsonl"]
    pack = CliRunner().invoke(cli, [*replay, "--compare", str(mine)])
    assert "is one pack, and is compared as the policy of every account" in pack.stderr
    assert json.loads(pack.stdout)["bad_debts"].keys() == {"A0", "A1"}
    assert found["bad_debts"] == {"A0": ["none", "candidate"]}
    alone = json.loads(CliRunner().invoke(cli, [*replay, "--policy", str(change), "--compare", "default"]).stdout)
    assert alone["bad_debts"] == {"A0": ["candidate", "none"]}


@pytest.mark.parametrize(
    ("scope", "meant"),
    [(("--jurisdiction", "Germany"), "DE"), (("--jurisdiction", "DE", "--product", "Ratenkredit"), "instalment_loan")],
)
def test_a_scope_that_no_account_can_have_is_refused(scope: tuple[str, ...], meant: str, mine: Path) -> None:
    assert f"Did you mean {meant}?" in refused("change", mine, *scope, "--from", "2026-12-24")


def test_a_book_is_checked_changed_to_and_compared_by_its_file(mine: Path, tmp_path: Path) -> None:
    book = tmp_path / "book.yaml"
    everywhere = "{jurisdictions: ['*'], products: ['*'], packs: [house]}"
    rows = f"[{{jurisdictions: [DE], products: ['*'], packs: [house, mine]}}, {everywhere}]"
    book.write_text(f"book: own\nversion: 1\nproducts: {{loan: []}}\nrows: {rows}\n", "utf-8")
    assert policy("check", book).output == f"{book} is a valid policy book.\n"
    out = tmp_path / "change.jsonl"
    assert policy("change", book, "--from", "2026-12-24", "--output", out).exit_code == 0
    assert book_of(change_in(out).files).policy_for("DE", "loan").plans.max_broken == 9
    assert "Change its rows" in refused("change", book, "--jurisdiction", "DE", "--from", "2026-12-24")
    assert "mine" in policy("show", book).output
    book.write_text(f"book: own\nversion: 1\nrows: {rows}\n", "utf-8")
    assert "takes accounts of any product" in policy("check", book).output


def test_the_rules_of_an_account_are_shown_with_their_sources() -> None:
    shown = policy("show", "--jurisdiction", "CN", "--product", "credit_card").output
    assert "Packs, in order: house 3, cn_2023" in shown
    for name in load_book().packs_for("CN", "credit_card")[1:]:
        pack = load_pack(name)
        assert all(f"{name}: {s.source}" in shown for s in pack.manual)
    assert "No row of the book" not in shown
    by_default = policy("show", "--jurisdiction", "AR").output
    assert "No row of the book default names AR: the row for every other place" in by_default
    assert "Did you mean DE?" in refused("show", "--jurisdiction", "Germany")
    said = json.loads(policy("show", "--jurisdiction", "AR", "--product", "loan", "--json").output)
    assert said["by_default"] is True
    assert all({"verified", "source", "pack"} <= rule.keys() for rule in said["rules"])


def test_the_default_book_shows_how_much_is_unverified() -> None:
    shown = policy("show", "default").output
    for name in files_of("default").keys() & set(pack_names()):
        pack = load_pack(name)
        unverified = sum(not r.verified for r in pack.rules) + sum(not s.verified for s in pack.manual)
        count = len(pack.rules) + len(pack.manual)
        assert re.search(rf"^{name} +{count} rules, +{unverified} UNVERIFIED", shown, re.MULTILINE)


def test_the_page_on_packs_lists_every_pack_with_valid_example(tmp_path: Path) -> None:
    text = DOCS.read_text("utf-8").split("\n## Policy packs\n")[1]
    listed = re.findall(r"^\| `(\w+)` \| ", text[: text.index("### A book")], re.MULTILINE)
    assert sorted(listed) == sorted(pack_names())
    pack, book = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "my_cards.yaml").write_text(pack, "utf-8")
    (tmp_path / "book.yaml").write_text(book, "utf-8")
    assert policy("check", tmp_path / "my_cards.yaml").exit_code == 0
    assert policy("check", tmp_path / "book.yaml").exit_code == 0


def test_a_warning_of_a_place_is_no_part_of_the_output(tmp_path: Path) -> None:
    s = AccountEvents()
    story = [s.opened(30, jurisdiction="AR", currency="USD"), *s.closes(0, 2)]
    (tmp_path / "in.jsonl").write_bytes(b"".join(to_line(e) for e in story))
    command = ["replay", "--input", "in.jsonl", "--output", "out.jsonl", "--compare", "default", "--json"]
    program = [sys.executable, "-m", "streams.cli", *command]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True)
    assert json.loads(done.stdout)["policies"] == ["default", "default"]
    assert "policy_by_default" in done.stderr
