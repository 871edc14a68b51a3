"""Whether pages may be served where they are asked to be, and by which certificate."""

from __future__ import annotations

import ipaddress
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from schemas.errors import UsageError
from streams.http.auth.permissions import ROLES
from streams.http.request_origin import networks
from streams.settings import AccessSettings


def is_loopback(host: str) -> bool:
    """Say whether only this machine reaches what listens on a host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_exposure(access: AccessSettings, host: str, *, tls: bool) -> None:
    """Raise UsageError where a page would be open to others, or would show who asks to whoever listens on the way."""
    if access.behind_proxy and not networks(access.trusted_proxies):
        raise UsageError(
            "access.behind_proxy needs access.trusted_proxies: the addresses from which requests may come."
        )
    unknown = sorted(set(access.oidc_roles.values()) - set(ROLES))
    if unknown:
        raise UsageError(
            f"access.oidc_roles gives {', '.join(map(repr, unknown))}, which is no role. There are {', '.join(ROLES)}."
        )
    if access.oidc_issuer is not None:
        _see_to_the_issuer(access)
    if is_loopback(host):
        return
    if not access.configured:
        raise UsageError(
            f"Nobody would be asked who he is on {host}. Set access.tokens_file (`reprieve access token` makes one) or "
            "access.oidc_issuer, or listen on 127.0.0.1."
        )
    if not tls and not access.behind_proxy:
        raise UsageError(
            f"Whoever listens on the way to {host} would read what is shown. Set console.tls_cert_file and "
            "console.tls_key_file, or access.behind_proxy and access.trusted_proxies where a proxy speaks TLS."
        )


def _see_to_the_issuer(access: AccessSettings) -> None:
    if access.oidc_client_id is None or access.public_url is None:
        raise UsageError(
            "access.oidc_issuer needs access.oidc_client_id, and access.public_url, the address to which it sends back."
        )
    if access.oidc_audience is not None and access.oidc_audience == access.oidc_client_id:
        raise UsageError(
            "access.oidc_audience is access.oidc_client_id: what tells a page who signed in would open it to programs. "
            "Let the issuer name the console as an audience of its own."
        )
    for name, url in (("oidc_issuer", access.oidc_issuer), ("public_url", access.public_url)):
        parts = urlsplit(url or "")
        if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
            raise UsageError(f"access.{name} is {url}: it must begin with https://, except on this machine.")


def server_tls(cert: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """Return what a server needs to speak TLS, None without a certificate.

    Raises UsageError where it cannot be read.
    """
    if cert is None and key is None:
        return None
    if cert is None or key is None:
        raise UsageError("console.tls_cert_file and console.tls_key_file belong together; set both.")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"The certificate {cert} with the key {key} cannot be used: {error}. Both are PEM.") from error
    return context
