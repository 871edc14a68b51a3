"""The page of answers in the docs says what the agents do."""

from __future__ import annotations

from pathlib import Path

import evaluation.answers as answers

DOCS = Path(__file__).parents[2] / "docs"


def test_the_docs_show_what_follows_on_each_kind_of_answer() -> None:
    said = answers.page()
    assert (DOCS / "answers.md").read_text("utf-8") == said, "run `python -m evaluation.answers > docs/answers.md`"
    assert all(f"| {a.title} |" in said for a in answers.ANSWERS)
