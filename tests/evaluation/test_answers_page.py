"""The section on answers in the docs says what the agents do."""

from __future__ import annotations

from pathlib import Path

from tests.evaluation import answers_page

DOCS = Path(__file__).parents[2] / "docs"


def test_the_docs_show_what_follows_on_each_kind_of_answer() -> None:
    said = answers_page.answers_section()
    assert said in (DOCS / "integration.md").read_text("utf-8"), "put in what the module prints"
    assert all(f"| {a.title} |" in said for a in answers_page.ANSWERS)
