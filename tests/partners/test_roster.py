"""The partners' file: every fault has its line, its field and a remedy; and which addresses may be called."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import UsageError
from schemas.openapi import TOLD
from state.policy_packs.problems import PackError, PackProblem
from streams.cli import cli
from streams.partners.fields import PRIVATE, tree_of, without_private
from streams.partners.network import Resolver
from streams.partners.partner_registry import parse_partners, read_partners
from tests.support.webhook_receivers import SECRETS

GOOD = """partners:
  - id: shop-1
    receives:
      url: https://shop.example/hooks
      events: [OfferPublished, OfferExpired]
      secrets: [{env: SHOP_SECRET}]
  - id: sms
    receives:
      url: https://sms.example/hooks
      events: [OfferPublished]
      secrets: [{file: /run/secrets/sms}]
      consent: processor
      ground: writes to borrowers for the lender (data processing agreement 12)
      fields: {OfferPublished: [borrower_id, message, contact]}
  - id: employer
    sends:
      secrets: [{env: EMPLOYER_SECRET}]
      records:
        ProfileReported: {kind: [third_party]}
"""


def test_a_good_file_is_read() -> None:
    found = parse_partners(GOOD, "partners.yaml")
    assert found["shop-1"].receives is not None
    assert found["shop-1"].receives.purpose == "partner:shop-1"
    assert found["employer"].sends is not None
    assert found["employer"].sends.ids == "own"


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("https://shop.example", "http://shop.example", 4, "unencrypted"),
        ("https://shop.example/hooks", "https://u:p@shop.example/", 4, "user"),
        ("https://shop.example/hooks", "https://10.0.0.7/", 4, "not of the public network"),
        ("https://shop.example/hooks", "https://[::ffff:169.254.169.254]/", 4, "not of the public network"),
        ("https://shop.example/hooks", "ftp://shop.example", 4, "no address of HTTP"),
        ("[OfferPublished, OfferExpired]", "[OfferPublished, OfferExpird]", 5, "Did you mean OfferExpired?"),
        ("[OfferPublished, OfferExpired]", "[DecisionLogged]", 5, "not told of DecisionLogged"),
        ("[OfferPublished, OfferExpired]", "[]", 5, "told of nothing"),
        ("[{env: SHOP_SECRET}]", "[]", 6, "no secret"),
        ("[{env: SHOP_SECRET}]", "[{env: A, file: B}]", 6, "one of env and file"),
        ("id: sms", "id: shop-1", 7, "two partners shop-1"),
        ("id: sms", "id: Sms!", 7, "matches"),
        ("      ground: writes to borrowers for the lender (data processing agreement 12)\n", "", 12, "no consent"),
        ("consent: processor\n      ground: writes to borrowers for the lender (data processing agreement 12)",
         "concurrent: 2", 13, "private"),
        ("message, contact]", "massage]", 14, "Did you mean message?"),
        ("{OfferPublished: [borrower_id", "{OfferExpired: [borrower_id", 14, "not among its events"),
        ("{kind: [third_party]}", "{}", 19, "needs a list of what its kind may be"),
        ("{kind: [third_party]}", "{kind: [third-party]}", 19, "Did you mean third_party?"),
        ("ProfileReported: {kind: [third_party]}", "DayClosed: {}", 19, "Nobody may send DayClosed"),
        ("    sends:", "    send:", 16, "send"),
    ],
)  # fmt: skip
def test_a_fault_is_named_with_its_line_and_a_remedy(old: str, new: str, line: int, words: str) -> None:
    assert old in GOOD
    with pytest.raises(PackError) as caught:
        parse_partners(GOOD.replace(old, new), "partners.yaml")
    problems = caught.value.problems
    assert any(problem.line == line and words in str(problem) for problem in problems), str(caught.value)
    assert all(problem.remedy for problem in problems)


broken = st.builds(lambda at, text: GOOD[:at] + text + GOOD[at:], st.integers(0, 700), st.text(max_size=5))


# A busy machine is no fault of the text.
@settings(derandomize=True, deadline=None)
@given(st.text(max_size=200) | broken)
def test_any_text_is_read_or_refused_with_problems(text: str) -> None:
    problems: Sequence[PackProblem] = ()
    try:
        partners = parse_partners(text, "f")
    except PackError as caught:
        problems = caught.problems
    else:
        assert set(partners) == {partner.id for partner in partners.values()}
    assert all(problem.line >= 1 and problem.reason and problem.remedy for problem in problems)


def test_a_file_that_is_not_there_or_not_named_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"webhooks\.partners_file"):
        read_partners(None, "webhooks.partners_file")
    with pytest.raises(UsageError, match="cannot be read"):
        read_partners(tmp_path / "none", "x")


def test_check_shows_recipients_and_missing_secrets_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "partners.yaml"
    (tmp_path / "sms").write_text(SECRETS[1])
    file.write_text(GOOD.replace("/run/secrets/sms", str(tmp_path / "sms")))
    monkeypatch.setenv("SHOP_SECRET", "whsec_not base64, and long enough to be seen")
    monkeypatch.delenv("EMPLOYER_SECRET", raising=False)
    done = CliRunner().invoke(cli, ["webhooks", "check", "--partners", str(file)])
    assert done.exit_code == 1
    assert "as processor: writes to borrowers" in done.output
    assert "with consent for partner:shop-1" in done.output
    assert "shop-1: The secret in the variable SHOP_SECRET cannot be used" in done.output
    assert "employer: The secret in the variable EMPLOYER_SECRET is not set." in done.output
    assert "not base64, and" not in done.output
    assert SECRETS[1] not in done.output
    monkeypatch.setenv("SHOP_SECRET", SECRETS[0])
    monkeypatch.setenv("EMPLOYER_SECRET", SECRETS[2])
    assert CliRunner().invoke(cli, ["webhooks", "check", "--partners", str(file)]).exit_code == 0


class Rebinding(AbstractResolver):
    """A name server whose answer is another each time."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        none: Any = {"hostname": host, "port": port, "family": family, "proto": 0, "flags": 0}
        return [{**none, "host": address} for address in self.answers.pop(0)]

    async def close(self) -> None:
        pass


def test_a_name_that_comes_to_point_inside_is_not_called() -> None:
    async def play() -> None:
        resolver = Resolver("public", Rebinding(["93.184.215.14", "10.0.0.1"], ["127.0.0.1", "169.254.169.254"]))
        assert [one["host"] for one in await resolver.resolve("shop.example")] == ["93.184.215.14"]
        with pytest.raises(OSError, match="public network"):
            await resolver.resolve("shop.example")

    asyncio.run(play())


def test_without_named_fields_no_private_one_is_sent() -> None:
    def names(tree: Any) -> set[str]:
        return set(tree or ()) | {n for inside in (tree or {}).values() for n in names(inside)}

    for record in TOLD.values():
        assert not names(without_private(tree_of(record))) & PRIVATE
        assert "event_id" in without_private(tree_of(record))
