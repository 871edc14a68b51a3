"""What a partners' file must keep beyond its shape, each fault with its line and a remedy."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import msgspec
from yarl import URL

from schemas import events as ev
from state.pack_problem import PackProblem, nearest
from state.pack_yaml import Node
from streams.partners.fields import PRIVATE, tree_of, unknown
from streams.partners.network import allowed, is_name_of_loopback

if TYPE_CHECKING:
    from streams.partners.roster import Receives, Sends

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

    def __init__(self, node: Node, path: str, file: str, problems: list[PackProblem]) -> None:
        self._node, self._path, self._file, self._problems = node, path, file, problems

    def add(self, keys: tuple[str | int, ...], reason: str, remedy: str, *, name: bool = False) -> None:
        """Note a fault of the value under keys, or of the name that leads to it."""
        node, path = self._node, self._path
        for key in keys:
            if isinstance(node.value, dict) and key not in node.value:
                break
            node = node.value[key]
            path += f"[{key}]" if isinstance(key, int) else f".{key}"
        fault = node.name_fault if name else node.fault
        self._problems.append(fault(self._file, path, reason, remedy))


def check_receives(
    part: Receives,
    node: Node,
    told: Mapping[str, type[ev.Event]],
    path: str,
    file: str,
    problems: list[PackProblem],
) -> None:
    """Add to `problems` what is wrong with what a partner receives."""
    faults = _Faults(node, path, file, problems)
    _check_secrets(part, faults)
    _check_url(part, faults)
    if not part.events:
        faults.add(("events",), "The partner is told of nothing.", "Name events, or remove `receives`.")
    for number, name in enumerate(part.events):
        if name not in told:
            faults.add(("events", number), f"Partners are not told of {name}.", nearest(name, told))
    if part.consent == "processor" and not part.ground.strip():
        reason = "Nobody says why this partner needs no consent."
        faults.add(("consent",), reason, "State it as `ground: …`, or use `consent: needed`.")
    for name, paths in part.fields.items():
        if name not in part.events:
            faults.add(("fields", name), f"{name} is not among its events.", "Add it to `events`.", name=True)
        elif name in told:
            tree = tree_of(told[name])
            for number, dotted in enumerate(paths):
                wrong = unknown(dotted, tree)
                if wrong is not None:
                    reason = f"{name} has no field {dotted}."
                    faults.add(("fields", name, number), reason, nearest(wrong[0], wrong[1]))
                elif PRIVATE & set(dotted.split(".")) and not part.ground.strip():
                    reason = f"{dotted} is private, and nobody says why this partner needs it."
                    faults.add(("fields", name, number), reason, "State it as `ground: …`, or leave the field out.")


def check_sends(
    part: Sends, node: Node, taken: Mapping[str, type[ev.Event]], path: str, file: str, problems: list[PackProblem]
) -> None:
    """Add to `problems` what is wrong with what a partner may send."""
    faults = _Faults(node, path, file, problems)
    _check_secrets(part, faults)
    if not part.records:
        faults.add(("records",), "The partner may send nothing.", "Name records, or remove `sends`.")
    for name, limits in part.records.items():
        if name not in taken:
            reason = f"Nobody may send {name} over HTTP."
            faults.add(("records", name), reason, nearest(name, taken), name=True)
            continue
        known = {field.encode_name: field.type for field in msgspec.structs.fields(taken[name])}
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
