"""OpenID Connect: sends a browser to the issuer and back (authorization code with PKCE), and checks what is signed.

What the issuer tells of itself and its keys is fetched when it is first needed, and again when it is old or a key is
unknown. A key counts for the algorithm that it is for; what the token says of that is never believed.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import secrets
import ssl
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlencode

import jwt
from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector
from msgspec import Struct

from schemas.errors import InvalidEventError, RetryableError
from streams.http.auth.permissions import ROLES, Identity
from streams.partners.network import open_socket
from streams.settings import AccessSettings

# Signatures that only the issuer can make; those of a shared secret are not among them.
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
# Seconds: until keys are fetched again; for how long old ones count while the issuer is away; at least between two
# looks for an unknown key, so that nobody makes us ask the issuer without end; by which clocks may differ.
_FRESH, _STALE, _AGAIN, _LEEWAY = 300.0, 3_600.0, 10.0, 30.0
_MOST_BYTES = 1024 * 1024
_PATIENCE = ClientTimeout(total=10)
# Errors of PyJWT that quote nothing of a token.
_FIXED = frozenset(
    {
        jwt.ExpiredSignatureError, jwt.ImmatureSignatureError, jwt.InvalidAudienceError, jwt.InvalidIssuerError,
        jwt.InvalidIssuedAtError, jwt.exceptions.InvalidSubjectError, jwt.InvalidSignatureError,
        jwt.MissingRequiredClaimError, jwt.InvalidKeyError,
    }
)  # fmt: skip


class Leaving(Struct, frozen=True):
    """What must still be known when a browser comes back."""

    state: str
    nonce: str
    verifier: str


class SignInRefusedError(InvalidEventError):
    """What an issuer or a browser brought is not to be trusted."""

    def __init__(self, message: str) -> None:
        super().__init__("not_trusted", message)


class Issuer:
    """The issuer of the settings.

    For one event loop. Raises SignInRefusedError, and RetryableError while the issuer is away.
    """

    def __init__(self, settings: AccessSettings, now: Callable[[], float] = time.time) -> None:
        self._settings, self._now = settings, now
        self._issuer = (settings.oidc_issuer or "").rstrip("/")
        self._http: ClientSession | None = None
        self._lock = asyncio.Lock()
        self._configuration: dict[str, Any] = {}
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._fetched = self._tried = float("-inf")

    async def close(self) -> None:
        """Close the connections."""
        if self._http is not None:
            await self._http.close()

    async def leave(self, back: str) -> tuple[str, Leaving]:
        """Return where to send a browser that shall come back to an address, and what to know then."""
        await self._look()
        leaving = Leaving(*(secrets.token_urlsafe(32) for _ in range(3)))
        challenge = base64.urlsafe_b64encode(hashlib.sha256(leaving.verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "response_type": "code",
            "client_id": self._settings.oidc_client_id,
            "redirect_uri": back,
            "scope": self._settings.oidc_scopes,
            "state": leaving.state,
            "nonce": leaving.nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        endpoint = str(self._configuration["authorization_endpoint"])
        return endpoint + ("&" if "?" in endpoint else "?") + urlencode(asked), leaving

    async def arrive(self, code: str, leaving: Leaving, back: str) -> Identity:
        """Return who came back with a code."""
        await self._look()
        secret = self._settings.oidc_client_secret
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": back,
            "client_id": self._settings.oidc_client_id or "",
            "code_verifier": leaving.verifier,
            **({} if secret is None else {"client_secret": secret.get_secret_value()}),
        }
        answer = await self._ask("POST", str(self._configuration["token_endpoint"]), form)
        if not isinstance(answer.get("id_token"), str):
            raise SignInRefusedError("The issuer takes the code for none of its own.")
        claims = await self._claims(answer["id_token"], self._settings.oidc_client_id or "")
        if not secrets.compare_digest(str(claims.get("nonce", "")), leaving.nonce):
            raise SignInRefusedError("The token was made for another sign-in.")
        if claims.get("azp", self._settings.oidc_client_id) != self._settings.oidc_client_id:
            raise SignInRefusedError("The token was made for another program.")
        return self._identity(claims, "oidc")

    async def bearer(self, token: str) -> Identity:
        """Return who shows an access token that the issuer made for us (RFC 9068)."""
        if self._settings.oidc_audience is None:
            raise SignInRefusedError("Tokens of the issuer are not taken from programs.")
        return self._identity(await self._claims(token, self._settings.oidc_audience), "bearer")

    # -- what is signed

    async def _claims(self, token: str, audience: str) -> dict[str, Any]:
        try:
            key = await self._key(jwt.get_unverified_header(token).get("kid"))
            return jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                audience=audience,
                issuer=self._configuration["issuer"],
                leeway=_LEEWAY,
                options={"require": ["exp", "iat", "iss", "aud", "sub"], "enforce_minimum_key_length": True},
            )
        except jwt.PyJWTError as error:
            raise SignInRefusedError(f"The token is not to be trusted: {_why(error)}.") from error

    def _identity(self, claims: Mapping[str, Any], how: str) -> Identity:
        value: Any = claims
        for part in self._settings.oidc_roles_claim.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        told = [value] if isinstance(value, str) else value if isinstance(value, list) else []
        names = self._settings.oidc_roles or {role: role for role in ROLES}
        roles = {names[str(one)] for one in told if str(one) in names} & set(ROLES)
        subject = str(claims["sub"])[:255]
        return Identity(f"oidc:{subject}", str(claims.get("preferred_username", subject))[:64], frozenset(roles), how)

    async def _key(self, kid: str | None) -> jwt.PyJWK:
        await self._look()
        if kid not in self._keys and self._now() - self._tried >= _AGAIN:
            await self._look(anew=True)
        key = self._keys.get(kid)
        if key is None:
            raise jwt.InvalidKeyError("its key is none of the issuer's")
        return key

    # -- what the issuer tells

    async def _look(self, *, anew: bool = False) -> None:
        """Know what the issuer tells of itself, and its keys."""
        async with self._lock:
            now = self._now()
            age, known = now - self._fetched, bool(self._keys)
            if age < _FRESH and not anew:
                return
            if now - self._tried < _AGAIN:
                if known and age < _STALE:
                    return
                raise RetryableError("The issuer does not answer.")
            self._tried = now
            try:
                told = await self._ask("GET", f"{self._issuer}/.well-known/openid-configuration")
                if str(told.get("issuer", "")).rstrip("/") != self._issuer:
                    raise SignInRefusedError(
                        f"The issuer calls itself {told.get('issuer')!r}, which is not access.oidc_issuer."
                    )
                keys = _signing_keys(await self._ask("GET", str(told.get("jwks_uri"))))
            except RetryableError:
                if known and age < _STALE:
                    return
                raise
            self._configuration, self._keys, self._fetched = told, keys, now

    async def _ask(self, method: str, url: str, form: Mapping[str, str] | None = None) -> dict[str, Any]:
        if not url.startswith("https://") and not self._issuer.startswith("http://"):
            raise SignInRefusedError("The issuer names an address of its own that is not https.")
        if self._http is None:
            context = ssl.create_default_context(cafile=self._settings.oidc_ca_file)
            self._http = ClientSession(
                connector=TCPConnector(ssl=context, socket_factory=partial(open_socket, "any")), timeout=_PATIENCE
            )
        try:
            async with self._http.request(method, url, data=form, allow_redirects=False) as answer:
                body = b""
                async for chunk in answer.content.iter_chunked(65_536):
                    body += chunk
                    if len(body) > _MOST_BYTES:
                        raise SignInRefusedError("The issuer's answer is too long.")
                if answer.status >= 500:
                    raise RetryableError(f"The issuer answers {answer.status}.")
        except (ClientError, TimeoutError, OSError) as error:
            raise RetryableError(f"The issuer does not answer: {type(error).__name__}.") from error
        try:
            told = json.loads(body)
        except ValueError as error:
            raise SignInRefusedError("The issuer's answer is no JSON.") from error
        return told if isinstance(told, dict) else {}


def _why(error: jwt.PyJWTError) -> str:
    """Return why a token is refused; the words of errors that quote the token are left out."""
    return str(error) if type(error) in _FIXED else type(error).__name__


def _signing_keys(told: Mapping[str, Any]) -> dict[str | None, jwt.PyJWK]:
    """Return the keys that an issuer signs with, by id; those that we cannot use are left out."""
    found = {}
    for one in told.get("keys", []):
        if one.get("use", "sig") != "sig" or one.get("kty") == "oct":
            continue
        try:
            key = jwt.PyJWK(one)
        except (jwt.PyJWTError, ValueError, KeyError):
            continue
        if key.algorithm_name in ALGORITHMS:
            found[one.get("kid")] = key
    return found
