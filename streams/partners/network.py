"""Which addresses may be called: what a partner's name resolves to is looked at each time, not only once."""

from __future__ import annotations

import ipaddress
import socket
from typing import Literal

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

Network = Literal["public", "private", "loopback"]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# IPv6 addresses in which others are wrapped: what they lead to cannot be told from them by `is_global`.
_WRAPPED = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96")))


def allowed(address: Address, network: Network) -> bool:
    """Say whether an address is of a network: public is what all of the internet can reach, and nothing else."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return allowed(address.ipv4_mapped, network)
        if not address.is_loopback and any(address in wrapped for wrapped in _WRAPPED):
            return False
    if network == "loopback":
        return address.is_loopback
    if address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified:
        return False
    if network == "private":
        return address.is_private and not address.is_reserved
    return address.is_global


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
        fit = [one for one in found if allowed(ipaddress.ip_address(one["host"].partition("%")[0]), self._network)]
        if not fit:
            raise OSError(None, f"{host} has no address in the {self._network} network")
        return fit

    async def close(self) -> None:
        """Release the resolver."""
        await self._resolver.close()
