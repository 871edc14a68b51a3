"""The commands of README and of the operations guide work in the order in which they stand there."""

from __future__ import annotations

import os
import re
import select
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from streams.cli import cli

ROOT = Path(__file__).parents[2]
# What stays at work until it is ended, and what it says once it is at work.
STAYS = {
    "console": "The console is at http://127.0.0.1:",
    "webhooks run": "delivering to 1 partners",
    "intake": "taking events of 1 sources at http://127.0.0.1:",
}
PARTNERS = """
partners:
  - id: shop
    receives:
      url: http://127.0.0.1:9/hooks
      network: loopback
      events: [OfferPublished]
      secrets: [{env: SHOP_SECRET}]
    sends:
      secrets: [{env: SHOP_SECRET}]
      records:
        EducationCompleted: {}
"""


def first_steps() -> list[str]:
    """Return the commands by which README connects a system locally."""
    text = (ROOT / "README.md").read_text("utf-8").partition("## Connect your system")[2]
    return re.findall(r"^ {4}(reprieve .+? --data data)\b", text, re.MULTILINE)


def table() -> list[str]:
    """Return the commands of the first table of the operations guide, in their order."""
    text = (ROOT / "docs" / "operations.md").read_text("utf-8")
    rows = text[text.index("| command | does |") :].partition("\n\n")[0]
    cells = re.findall(r"^\| (`.*?`) \|", rows, re.MULTILINE)
    return [line for cell in cells for line in re.findall(r"`([^`]+)`", cell)]


def words(line: str) -> tuple[list[str], dict[str, str]]:
    """Return what a line gives to the program, and its environment."""
    given = shlex.split(line)
    before = given.index("reprieve")
    return given[before + 1 :], dict(part.split("=", 1) for part in given[:before])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Enter an empty folder that has what the commands name."""
    for name in [name for name in os.environ if name.startswith("REPRIEVE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SHOP_SECRET", "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)
    for part in ("state", "examples"):
        (tmp_path / part).symlink_to(ROOT / part)
    (tmp_path / "partners.yaml").write_text(PARTNERS, "utf-8")
    return tmp_path


def test_the_first_steps_of_readme_lead_to_an_offer(folder: Path) -> None:
    typed = first_steps()
    assert len(typed) == 5
    output = type_all(typed)
    delinquency, offers = (
        next(o for line, o in output.items() if f"consume {t}" in line) for t in ("delinquency", "offers")
    )
    assert '"type":"InstalmentMissed"' in delinquency
    assert '"to":"candidate"' in delinquency
    assert '"type":"OfferPublished"' in offers


def test_the_table_of_operations_works_in_its_order(folder: Path) -> None:
    typed = table()
    assert len(typed) > 20
    type_all(typed)
    for file in ("events.jsonl", "out.jsonl", "report.html", "data/audit.jsonl", "tokens.json"):
        assert (folder / file).stat().st_size, file


def type_all(typed: list[str]) -> dict[str, str]:
    """Run each command; return what those said that end by themselves."""
    output = {}
    for line in typed:
        arguments, environment = words(line)
        short = {"500": "40", "180": "120"} if arguments[0] == "simulate" else {}
        arguments = [short.get(word, word) for word in arguments]
        stays = next((said for name, said in STAYS.items() if " ".join(arguments).startswith(name)), None)
        if stays is None:
            done = CliRunner().invoke(cli, arguments, env=environment)
            assert done.exit_code == 0, f"{line}\n{done.output}\n{done.exception}"
            assert done.output, line
            output[line] = done.output
        else:
            works_until_it_is_ended(arguments, stays)
    return output


def works_until_it_is_ended(arguments: list[str], said: str) -> None:
    """Start a command that stays, on any free port, and end it once it says that it is at work."""
    free = [] if arguments[0] == "webhooks" else ["--port", "0"]
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "streams.cli", *arguments, *free],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        assert process.stdout is not None
        told = ""
        try:
            while said not in told and process.poll() is None:
                assert select.select([process.stdout], [], [], 60)[0], told
                told += process.stdout.readline()
        finally:
            process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=240)
    assert said in told, told + rest
    assert process.returncode in (0, 128 + signal.SIGTERM), told + rest
