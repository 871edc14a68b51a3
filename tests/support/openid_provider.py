"""An OpenID provider: a real server with real keys, which can be told to sign what a good one would not.

It implements what is needed of OpenID Connect Discovery, the authorization code flow with PKCE, and JWKS, and keeps to
the standards itself: a code counts once, for its redirect address and its challenge.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

CLIENT, AUDIENCE = "reprieve-console", "reprieve-api"


class SigningKey:
    """A private key of the provider, by its id."""

    def __init__(self, algorithm: str) -> None:
        self.algorithm, self.kid = algorithm, secrets.token_hex(4)
        self.private: Any = (
            rsa.generate_private_key(65537, 2048) if algorithm == "RS256" else ec.generate_private_key(ec.SECP256R1())
        )

    def public(self) -> dict[str, Any]:
        """Return the public half as a JWK."""
        kind = jwt.get_algorithm_by_name(self.algorithm)
        return json.loads(kind.to_jwk(self.private.public_key())) | {
            "kid": self.kid,
            "alg": self.algorithm,
            "use": "sig",
        }


class Provider:
    """The provider, at `issuer`. people: roles by name; whoever is named signs in. algorithm: of its keys."""

    def __init__(self, people: dict[str, list[str]], algorithm: str = "RS256") -> None:
        self.people, self.algorithm = people, algorithm
        self.keys = [SigningKey(algorithm)]
        self.codes: dict[str, dict[str, str]] = {}
        # Claims that the next tokens have otherwise than they should.
        self.otherwise: dict[str, Any] = {}
        self.away = False
        self.asked: list[str] = []
        self.seconds = 300
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def issuer(self) -> str:
        """Where it is. By another name than the console's: so it is another site, as a real one would be."""
        return f"http://localhost:{self._server.server_port}"

    def __enter__(self) -> Provider:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def rotate(self) -> None:
        """Sign with a new key, and forget the old one."""
        self.keys = [SigningKey(self.algorithm)]

    def claims(self, person: str, audience: str = AUDIENCE, **other: Any) -> dict[str, Any]:
        """Return the claims of a token that is right in all, but for what is said otherwise."""
        now = int(time.time())
        made = {"iss": self.issuer, "sub": person, "aud": audience, "iat": now, "exp": now + self.seconds}
        return made | {"realm": {"roles": self.people.get(person, [])}, "preferred_username": person} | other

    def sign(self, claims: dict[str, Any], key: SigningKey | None = None) -> str:
        """Return a signed token."""
        key = key or self.keys[0]
        return jwt.encode(claims, key.private, key.algorithm, headers={"kid": key.kid})

    def discovery(self) -> dict[str, Any]:
        """Return what it tells of itself."""
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["S256"],
        }

    def authorize(self, asked: dict[str, str], person: str) -> str:
        """Return where to send the browser of somebody who signed in."""
        assert asked["response_type"] == "code"
        assert asked["client_id"] == CLIENT
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked | {"person": person}
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"

    def exchange(self, form: dict[str, str]) -> dict[str, Any]:
        """Return the tokens for a code, or the error of RFC 6749."""
        asked = self.codes.pop(form.get("code", ""), None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if (
            asked is None
            or asked["redirect_uri"] != form.get("redirect_uri")
            or form.get("client_id") != CLIENT
            or challenge.rstrip(b"=").decode() != asked["code_challenge"]
        ):
            return {"error": "invalid_grant"}
        claims = self.claims(asked["person"], CLIENT, nonce=asked["nonce"]) | self.otherwise
        return {"token_type": "Bearer", "access_token": "unused", "id_token": self.sign(claims)}


def _handler(provider: Provider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
            provider.asked.append(parts.path)
            if provider.away:
                self._say(503, b"", "text/plain")
            elif parts.path == "/.well-known/openid-configuration":
                self._json(provider.discovery())
            elif parts.path == "/jwks":
                self._json({"keys": [key.public() for key in provider.keys]})
            elif parts.path == "/authorize" and "person" in asked:
                person = asked.pop("person")
                self.send_response(302)
                self.send_header("Location", provider.authorize(asked, person))
                self.end_headers()
            elif parts.path == "/authorize":
                hidden = "".join(
                    f'<input type="hidden" name="{html.escape(n)}" value="{html.escape(v)}">' for n, v in asked.items()
                )
                buttons = "".join(f'<button name="person" value="{p}">{p}</button>' for p in provider.people)
                self._say(200, f"<!doctype html><title>P</title><form>{hidden}{buttons}</form>".encode(), "text/html")
            else:
                self._say(404, b"", "text/plain")

        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            told = provider.exchange({name: values[0] for name, values in form.items()})
            self._say(400 if "error" in told else 200, json.dumps(told).encode(), "application/json")

        def _json(self, told: dict[str, Any]) -> None:
            self._say(200, json.dumps(told).encode(), "application/json")

        def _say(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
