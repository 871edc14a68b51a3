"""Which addresses may be called: looked at in each connection, not only when a name was written down.

What is public is decided by IANA's registries of special-purpose addresses (`special/`, with their date), not by the
interpreter, whose table differs by its release. The most specific block counts. Of IPv6, what the registry does not
name is public only within 2000::/3, from which IANA gives out all global unicast addresses; what is beyond it
(site-local, IPv4-compatible, multicast) is nobody's.
"""

from __future__ import annotations

import csv
import ipaddress
import re
import socket
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

# any: neither the neighbours on the wire, where clouds keep their credentials, nor what is no host at all.
Network = Literal["public", "private", "loopback", "any"]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Block = ipaddress.IPv4Network | ipaddress.IPv6Network

_GLOBAL_IPV6 = ipaddress.IPv6Network("2000::/3")
_PRIVATE = frozenset({"Private-Use", "Unique-Local"})
# An IPv4 address in the last four bytes, which a translator calls (RFC 6052).
_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")


@cache
def special_blocks() -> tuple[tuple[Block, str, bool], ...]:
    """Return IANA's blocks, the most specific first, with their names and whether all of the internet reaches them."""
    found: list[tuple[Block, str, bool]] = []
    for name in ("ipv4.csv", "ipv6.csv"):
        lines = files("streams.partners").joinpath("special", name).read_text("utf-8").splitlines()
        for row in csv.DictReader(lines):
            reachable = row["Globally Reachable"] == "True"
            blocks = re.sub(r" \[\d+\]", "", row["Address Block"]).split(", ")
            found += [(ipaddress.ip_network(block), row["Name"], reachable) for block in blocks]
    return tuple(sorted(found, key=lambda one: -one[0].prefixlen))


def allowed(address: Address, network: Network) -> bool:
    """Say whether an address is of a network: public is what all of the internet can reach, and nothing else.

    An IPv4 address that is mapped into IPv6 counts as itself; one that a translator calls (64:ff9b::/96) counts where
    it is public. Other wrappings (6to4, Teredo) are of no network.
    """
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return allowed(address.ipv4_mapped, network)
        if address in _TRANSLATED:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
            return network in ("public", "any") and allowed(inner, "public")
    if network == "loopback":
        return address.is_loopback
    name, reachable = _block_of(address)
    if network == "any":
        return reachable or address.is_loopback or name in (*_PRIVATE, "Shared Address Space")
    return name in _PRIVATE if network == "private" else reachable


def _block_of(address: Address) -> tuple[str, bool]:
    """Return the name of an address's block, and whether all of the internet reaches it."""
    if address.is_multicast:
        return "Multicast", False
    for block, name, reachable in special_blocks():
        if block.version == address.version and address in block:
            return name, reachable
    return "", isinstance(address, ipaddress.IPv4Address) or address in _GLOBAL_IPV6


def is_name_of_loopback(host: str) -> bool:
    """Say whether a name is this machine's own."""
    return host == "localhost" or host.endswith(".localhost")


class Resolver(AbstractResolver):
    """Resolves names to addresses of one network; whatever else a name resolves to is not called."""

    def __init__(self, network: Network, resolver: AbstractResolver | None = None) -> None:
        self._network: Network = network
        self._resolver = resolver or ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses that may be called. Raises OSError where there is none."""
        found = await self._resolver.resolve(host, port, family)
        fit = [one for one in found if allowed(_address(one["host"]), self._network)]
        if not fit:
            raise OSError(None, f"{host} has no address in the {self._network} network")
        return fit

    async def close(self) -> None:
        """Release the resolver."""
        await self._resolver.close()


def open_socket(network: Network, info: tuple[Any, ...]) -> socket.socket:
    """Return a client's socket for an address as `getaddrinfo` gives it: whatever led to it, it is of the network.

    Raises OSError where it may not be called.
    """
    family, kind, protocol, _, address = info
    if not allowed(_address(str(address[0])), network):
        raise OSError(None, f"an address is not in the {network} network")
    return socket.socket(family=family, type=kind, proto=protocol)


def _address(text: str) -> Address:
    return ipaddress.ip_address(text.partition("%")[0])
