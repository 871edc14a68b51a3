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

docs/integration.md says what each key means.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec
from msgspec import Meta, Struct
from yarl import URL

from schemas.errors import UsageError
from schemas.openapi import TAKEN, TOLD
from state.policy_packs.located_yaml import Node, read_yaml
from state.policy_packs.problems import PackError, PackProblem, nearest
from state.policy_packs.schema import conform
from streams.partners.fields import PRIVATE, Tree, chosen, tree_of, unknown, without_private
from streams.partners.network import allowed, is_name_of_loopback
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


def read_partners(file: Path | None, setting: str) -> dict[str, Partner]:
    """Return the partners of a file by id. setting: what named the file.

    Raises UsageError where there is none, and PackError with every fault, its line, field and remedy.
    """
    if file is None:
        raise UsageError(f"No partners are declared. Name their file with {setting}; docs/integration.md shows one.")
    try:
        text = file.read_text("utf-8")
    except OSError as error:
        raise UsageError(f"The partners' file {file} cannot be read: {error.strerror}. See to {setting}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"The partners' file {file} is no UTF-8. Save it so.") from error
    return parse_partners(text, str(file))


def parse_partners(text: str, file: str) -> dict[str, Partner]:
    """Return the partners that a text says; `file` is what problems call it. Raises PackError."""
    problems: list[PackProblem] = []
    root = read_yaml(text, file, problems)
    if root is not None:
        conform(root, _File, problems)
    if problems or root is None:
        raise PackError(problems)
    found: dict[str, Partner] = {}
    for node in root.value["partners"].value:
        partner = _partner(node, problems)
        if partner is None:
            continue
        if partner.id in found:
            problems.append(node.value["id"].fault(f"There are two partners {partner.id}.", "Give one another id."))
        found[partner.id] = partner
    if problems:
        raise PackError(problems)
    return found


def _partner(node: Node, problems: list[PackProblem]) -> Partner | None:
    parts: Mapping[str, Node] = node.value
    before = len(problems)
    receives = _part(parts.get("receives"), Receives, problems)
    sends = _part(parts.get("sends"), Sends, problems)
    if "receives" not in parts and "sends" not in parts:
        reason = "The partner neither receives nor sends."
        problems.append(node.fault(reason, "Give it `receives:` or `sends:`, or remove it."))
    if receives is not None:
        _check_receives(receives, _Faults(parts["receives"], problems))
        if receives.consent == "needed" and not receives.purpose:
            receives = msgspec.structs.replace(receives, purpose=f"partner:{parts['id'].value}")
    if sends is not None:
        _check_sends(sends, _Faults(parts["sends"], problems))
    return None if len(problems) > before else Partner(parts["id"].value, receives, sends)


def _part(node: Node | None, kind: Any, problems: list[PackProblem]) -> Any:
    if node is None:
        return None
    before = len(problems)
    value = conform(node, kind, problems)
    return None if len(problems) > before else msgspec.convert(value, kind)


# -- what the file must keep beyond its shape

# What a source must be held to, by record: an open list here would let it speak for others.
HELD_TO = {
    "ProfileReported": "kind",
    "OfferAnswered": "channel",
    "ContactAttempted": "channel",
    "ConsentGranted": "purpose",
    "ConsentWithdrawn": "purpose",
}


class _Faults:
    """Notes faults of one part of the file, by the keys that lead to them."""

    def __init__(self, node: Node, problems: list[PackProblem]) -> None:
        self._node, self._problems = node, problems

    def add(self, keys: tuple[str | int, ...], reason: str, remedy: str, *, name: bool = False) -> None:
        """Note a fault of the value under keys, or of the name that leads to it."""
        node = self._node
        for key in keys:
            if isinstance(node.value, dict) and key not in node.value:
                break
            node = node.value[key]
        self._problems.append((node.name_fault if name else node.fault)(reason, remedy))


def _check_receives(part: Receives, faults: _Faults) -> None:
    """Note what is wrong with what a partner receives."""
    _check_secrets(part, faults)
    _check_url(part, faults)
    if not part.events:
        faults.add(("events",), "The partner is told of nothing.", "Name events, or remove `receives`.")
    for number, name in enumerate(part.events):
        if name not in TOLD:
            faults.add(("events", number), f"Partners are not told of {name}.", nearest(name, TOLD))
    if part.consent == "processor" and not part.ground.strip():
        reason = "Nobody says why this partner needs no consent."
        faults.add(("consent",), reason, "State it as `ground: …`, or use `consent: needed`.")
    for name, paths in part.fields.items():
        if name not in part.events:
            faults.add(("fields", name), f"{name} is not among its events.", "Add it to `events`.", name=True)
        elif name in TOLD:
            tree = tree_of(TOLD[name])
            for number, dotted in enumerate(paths):
                wrong = unknown(dotted, tree)
                if wrong is not None:
                    reason = f"{name} has no field {dotted}."
                    faults.add(("fields", name, number), reason, nearest(wrong[0], wrong[1]))
                elif PRIVATE & set(dotted.split(".")) and not part.ground.strip():
                    reason = f"{dotted} is private, and nobody says why this partner needs it."
                    faults.add(("fields", name, number), reason, "State it as `ground: …`, or leave the field out.")


def _check_sends(part: Sends, faults: _Faults) -> None:
    """Note what is wrong with what a partner may send."""
    _check_secrets(part, faults)
    if not part.records:
        faults.add(("records",), "The partner may send nothing.", "Name records, or remove `sends`.")
    for name, limits in part.records.items():
        if name not in TAKEN:
            reason = f"Nobody may send {name} over HTTP."
            faults.add(("records", name), reason, nearest(name, TAKEN), name=True)
            continue
        known = {field.encode_name: field.type for field in msgspec.structs.fields(TAKEN[name])}
        for field, values in limits.items():
            if field not in known:
                faults.add(("records", name, field), f"{name} has no {field}.", nearest(field, known), name=True)
            for number, value in enumerate(values):
                choices = _choices(known.get(field))
                if choices and value not in choices:
                    reason = f"{name}.{field} is never {value}."
                    faults.add(("records", name, field, number), reason, nearest(value, choices))
        must = HELD_TO.get(name)
        if must is not None and not limits.get(must):
            reason = f"{name} needs a list of what its {must} may be."
            faults.add(("records", name), reason, f"Write `{name}: {{{must}: [...]}}`.")


def _check_secrets(part: Receives | Sends, faults: _Faults) -> None:
    if not part.secrets:
        faults.add(("secrets",), "There is no secret.", "Write `[{file: /run/secrets/…}]` or `[{env: NAME}]`.")
    for number, secret in enumerate(part.secrets):
        if bool(secret.env) == bool(secret.file):
            faults.add(("secrets", number), "A secret is in a variable or in a file.", "Give one of env and file.")


def _check_url(part: Receives, faults: _Faults) -> None:
    try:
        url = URL(part.url)
        host = url.host or ""
    except ValueError:
        url, host = URL(), ""
    if url.scheme not in ("http", "https") or not host:
        faults.add(("url",), "This is no address of HTTP.", "Write https://host/path.")
        return
    if url.user is not None or url.password is not None or url.fragment:
        faults.add(("url",), "The address has a user or a fragment.", "Leave it out; the signature is the password.")
    literal = _address(host)
    loopback = is_name_of_loopback(host) or (literal is not None and literal.is_loopback)
    if url.scheme != "https" and not (loopback and part.network == "loopback"):
        faults.add(("url",), "Borrowers' data would go out unencrypted.", "Write https://.")
    elif literal is not None and not allowed(literal, part.network):
        reason = f"The address is not of the {part.network} network."
        faults.add(("url",), reason, "Correct it, or say `network: private` if it is meant.")


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _choices(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) is Literal else ()
