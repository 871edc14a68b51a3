"""Where a request comes from: which machine, and which site's page."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from aiohttp import web

from schemas.errors import UsageError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def networks(named: Iterable[str]) -> list[Network]:
    """Return addresses and networks. Raises UsageError that names one that is none."""
    found = []
    for name in named:
        try:
            found.append(ipaddress.ip_network(name))
        except ValueError as error:
            raise UsageError(
                f"access.trusted_proxies holds {name!r}, which is no address or network: {error}."
            ) from error
    return found


def client_address(request: web.Request, proxies: Sequence[Network]) -> str | None:
    """Return the address of who asks, as the last of our proxies saw it; None where he came past them.

    What stands further left in X-Forwarded-For may be anybody's invention. proxies: empty where there are none.
    """
    peer = request.remote or ""
    if not proxies:
        return peer
    if not _within(peer, proxies) or request.headers.get("X-Forwarded-Proto", "https") != "https":
        return None
    told = [part.strip() for line in request.headers.getall("X-Forwarded-For", []) for part in line.split(",")]
    return next((at for at in reversed(told) if not _within(at, proxies)), peer)


def _within(address: str, proxies: Sequence[Network]) -> bool:
    try:
        at = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(at in network for network in proxies)


def is_same_origin(request: web.Request, public_url: str | None, *, ambient: bool) -> bool:
    """Say whether an unsafe request comes from a page of ours, or from no browser at all.

    Browsers say where a request comes from and no page can change that. ambient: the browser shows who asks by itself,
    with a cookie, so what says nothing of where it comes from is refused.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("Origin")
    if origin is None:
        return not ambient
    told = urlsplit(origin)
    if public_url:
        ours = urlsplit(public_url)
        return (told.scheme, told.netloc) == (ours.scheme, ours.netloc)
    return told.netloc == request.host
