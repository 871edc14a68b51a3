"""The partners' file: who receives what and who sends what, read from YAML with a line for every fault.

    partners:
      - id: shop-1
        receives:
          url: https://shop.example/hooks/reprieve
          events: [OfferPublished, OfferWithdrawn, OfferExpired]
          secrets: [{file: /run/secrets/shop-1}, {env: SHOP_1_OLD_SECRET}]
        sends:
          secrets: [{env: SHOP_1_SENDS_SECRET}]
          records:
            ProfileReported: {kind: [third_party]}

docs/partners.md says what each key means.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from schemas.errors import WrongUse
from schemas.openapi import TAKEN, TOLD
from state.pack_problem import PackError, PackProblem
from state.pack_shape import conform
from state.pack_yaml import Node, read_yaml
from streams.partners.fields import Tree, chosen, tree_of, without_private
from streams.partners.rules import check_receives, check_sends
from streams.partners.secrets import SecretRef

Name = Annotated[str, Meta(pattern="^[a-z][a-z0-9-]{0,39}$")]
Text = Annotated[str, Meta(min_length=1, max_length=2_000)]
Purpose = Annotated[str, Meta(min_length=1, max_length=200)]


class Receives(Struct, frozen=True):
    """What a partner is told. consent: needed from each borrower, or processor, which acts for the lender itself.

    fields: by event, dotted paths; without them all that is not private. ground: why private fields or no consent.
    network: where its address may be. concurrent: deliveries at once, of different borrowers.
    """

    url: Text
    events: tuple[Text, ...]
    secrets: tuple[SecretRef, ...]
    consent: Literal["needed", "processor"] = "needed"
    purpose: Purpose = ""
    ground: str = ""
    fields: dict[str, tuple[Text, ...]] = {}
    network: Literal["public", "private", "loopback"] = "public"
    ca_file: str = ""
    concurrent: Annotated[int, Meta(ge=1, le=64)] = 4

    def tree(self, name: str) -> Tree:
        """Return the fields of an event that the partner gets."""
        whole = tree_of(TOLD[name])
        if name in self.fields:
            return chosen(self.fields[name], whole)
        return without_private(whole)


class Sends(Struct, frozen=True):
    """What a partner may send. records: by type, fields that must have one of the values that are listed.

    ids: own, so that nobody's ids can stand in another's way; shared for the lender's own systems.
    """

    secrets: tuple[SecretRef, ...]
    records: dict[str, dict[str, tuple[Text, ...]]]
    ids: Literal["own", "shared"] = "own"
    events_per_second: Annotated[int, Meta(ge=1, le=100_000)] = 50
    burst: Annotated[int, Meta(ge=1, le=1_000_000)] = 1_000


class Partner(Struct, frozen=True):
    """A partner."""

    id: Name
    receives: Receives | None = None
    sends: Sends | None = None


class _Entry(Struct):
    id: Name
    receives: Any = None
    sends: Any = None


class _File(Struct):
    partners: tuple[_Entry, ...]


def read_roster(file: Path | None, setting: str) -> dict[str, Partner]:
    """Return the partners of a file by id. setting: what named the file.

    Raises WrongUse where there is none, and PackError with every fault, its line, field and remedy.
    """
    if file is None:
        raise WrongUse(f"No partners are declared. Name their file with {setting}; docs/partners.md shows one.")
    try:
        text = file.read_text("utf-8")
    except OSError as error:
        raise WrongUse(f"The partners' file {file} cannot be read: {error.strerror}. See to {setting}.") from error
    except UnicodeDecodeError as error:
        raise WrongUse(f"The partners' file {file} is no UTF-8. Save it so.") from error
    return parse_roster(text, str(file))


def parse_roster(text: str, file: str) -> dict[str, Partner]:
    """Return the partners that a text says; `file` is what problems call it. Raises PackError."""
    problems: list[PackProblem] = []
    root = read_yaml(text, file, problems)
    if root is not None:
        conform(root, _File, "", file, problems)
    if problems or root is None:
        raise PackError(problems)
    found: dict[str, Partner] = {}
    for number, node in enumerate(root.value["partners"].value):
        partner = _partner(node, f"partners[{number}]", file, problems)
        if partner is None:
            continue
        if partner.id in found:
            reason = f"There are two partners {partner.id}."
            problems.append(node.value["id"].fault(file, f"partners[{number}].id", reason, "Give one another id."))
        found[partner.id] = partner
    if problems:
        raise PackError(problems)
    return found


def _partner(node: Node, path: str, file: str, problems: list[PackProblem]) -> Partner | None:
    parts: Mapping[str, Node] = node.value
    before = len(problems)
    receives = _part(parts.get("receives"), Receives, f"{path}.receives", file, problems)
    sends = _part(parts.get("sends"), Sends, f"{path}.sends", file, problems)
    if "receives" not in parts and "sends" not in parts:
        reason = "The partner neither receives nor sends."
        problems.append(node.fault(file, path, reason, "Give it `receives:` or `sends:`, or remove it."))
    if receives is not None:
        check_receives(receives, parts["receives"], TOLD, f"{path}.receives", file, problems)
        if receives.consent == "needed" and not receives.purpose:
            receives = msgspec.structs.replace(receives, purpose=f"partner:{parts['id'].value}")
    if sends is not None:
        check_sends(sends, parts["sends"], TAKEN, f"{path}.sends", file, problems)
    return None if len(problems) > before else Partner(parts["id"].value, receives, sends)


def _part(node: Node | None, kind: Any, path: str, file: str, problems: list[PackProblem]) -> Any:
    if node is None:
        return None
    before = len(problems)
    value = conform(node, kind, path, file, problems)
    return None if len(problems) > before else msgspec.convert(value, kind)
