"""Every `reprieve …` that a document tells people to type is there, with its options."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.deploy_files import unknown

ROOT = Path(__file__).parents[2]
PAGES = sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("docs/*.md")) + sorted(ROOT.glob("*/**/README.md"))


def commands(text: str) -> Iterator[list[str]]:
    """Yield the command lines of Reprieve in a page's code, without the program's name."""
    blocks = re.findall(r"^ {4}(.+)$", text, re.MULTILINE)
    blocks += re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    spans = re.findall(r"`([^`]+)`", re.sub(r"^(?: {4}|```).*$", "", text, flags=re.MULTILINE))
    for code in [
        *(" ".join(span.split()) for span in spans),
        *(line for block in blocks for line in block.splitlines()),
    ]:
        # What stands behind two spaces says what the line does.
        for said in re.split(r"&&|;|\||\s#\s|(?<=\S)\s{2,}", code):
            found = re.search(r"(?:^|(?<!--namespace)[ /])reprieve (?=[a-z-])(.+)", said.strip())
            if found:
                yield found[1].split()


@pytest.mark.parametrize(
    "page", [p for p in PAGES if not {".venv", "node_modules"} & set(p.parts)], ids=lambda p: str(p.relative_to(ROOT))
)
def test_a_page_names_only_commands_and_options_that_there_are(page: Path) -> None:
    wrong = [problem for words in commands(page.read_text("utf-8")) if (problem := unknown(words))]
    assert not wrong, wrong


def test_what_is_not_there_is_found() -> None:
    page = (
        "Run `reprieve topics aply`, `reprieve\nworker --fast` or\n\n"
        "    reprieve views\n    REPRIEVE_CONFIG=x reprieve topics check --json   # is right\n"
    )
    assert [unknown(words) for words in commands(page)] == [
        "`reprieve topics` has no command aply",
        "`reprieve worker` has no option --fast",
        "`reprieve views` needs a command",
        None,
    ]
