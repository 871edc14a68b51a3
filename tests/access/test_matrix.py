"""Everybody against every endpoint: who is let in where, by every way of showing who one is, and who never is."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jwt
import pytest
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from console.permissions import RIGHTS
from streams.http.auth.cookie_keys import CookieKeys
from streams.http.auth.permissions import ROLES, routed
from streams.http.auth.tokens import Tokens
from tests.support.console_client import Client, Clock, Guarded, access_settings, guarded, sign_in
from tests.support.openid_provider import CLIENT, Provider, SigningKey

EVERYONE = frozenset(ROLES)
STORIES = frozenset({"hotline", "risk", "auditor"})
# Said again, by hand: what the console must answer, so that a slip in its own table is found.
ALLOWED: dict[str, frozenset[str]] = {
    "GET /": EVERYONE,
    "GET /api/me": EVERYONE,
    "GET /api/overview": EVERYONE,
    "GET /api/changes": EVERYONE,
    "GET /api/search": STORIES,
    "GET /api/accounts/{id}": STORIES,
    "GET /api/accounts/{id}/agreements/{plan}": STORIES,
    "GET /api/borrowers/{id}": STORIES,
    "GET /api/rules": frozenset({"operator", "risk", "auditor"}),
    "GET /api/learner": frozenset({"risk", "auditor"}),
    "GET /api/letters": frozenset({"operator", "auditor"}),
    "POST /api/letters/again": frozenset({"operator"}),
    "GET /api/audit": frozenset({"auditor"}),
}
# For whom nobody has to show who he is: the doors, the page's own files, and whether it is alive.
OPEN = {
    "GET /login",
    "POST /login",
    "GET /login/issuer",
    "GET /login/back",
    "POST /logout",
    "GET /static",
    "GET /livez",
    "GET /readyz",
}
WAYS = ("token", "token session", "issuer session", "issuer bearer")


def routes_of(console: Guarded) -> list[tuple[str, str]]:
    """Return the console's own routes, as its router has them."""
    found = sorted({(m, path) for m, path in routed(console.app) if m != "HEAD"})
    assert found
    return found


def test_every_route_has_an_answer_and_the_tables_agree(console: Guarded) -> None:
    assert RIGHTS.unanswered(console.app) == []
    assert {f"{m} {path}" for m, path in routes_of(console)} - OPEN - set(ALLOWED) == set()
    for route, roles in ALLOWED.items():
        method, path = route.split(" ")
        needed = RIGHTS.needed(method, path)
        assert needed is not None, route
        assert RIGHTS.roles.get(needed, EVERYONE) == roles, route


def test_an_auditor_reads_everything_and_changes_nothing() -> None:
    for (method, path), needed in RIGHTS.routes.items():
        if f"{method} {path}" not in OPEN:
            assert ("auditor" in ALLOWED[f"{method} {path}"]) == (method == "GET"), (path, needed)


@pytest.fixture(scope="module")
def paths(console: Guarded, tokens: Tokens) -> dict[str, str]:
    """Return for each route an address that there is: of an account with a plan, and its borrower."""
    asker = console.client(Authorization=f"Bearer {tokens.make('setup', ['auditor'])}")
    while asker.ask("GET", "/readyz").status != 200:
        pass
    for key in json.loads(asker.ask("GET", "/api/search?q=A").body)["accounts"]:
        story = json.loads(asker.ask("GET", f"/api/accounts/{key}").body)
        if story["plans"]:
            known = {"id": key, "plan": story["plans"][0]["plan"]}
            borrower = {"id": story["borrower"]}
            return {
                f"{m} {p}": p.format(**{n: quote(v) for n, v in (borrower if "borrowers" in p else known).items()})
                for m, p in routes_of(console)
            }
    raise AssertionError("no account has a plan")


def shown(way: str, role: str, console: Guarded, provider: Provider, tokens: Tokens) -> Client:
    """Return somebody of a role, who shows it in one of the ways."""
    if way == "token":
        return console.client(Authorization=f"Bearer {tokens.make(role, [role])}")
    if way == "issuer bearer":
        return console.client(Authorization=f"Bearer {provider.sign(provider.claims(role))}")
    client = console.client()
    if way == "token session":
        assert client.ask("POST", "/login", {"token": tokens.make(role, [role])}).status == 303
    else:
        assert sign_in(client, provider, role).status == 200
    return client


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("role", ROLES)
def test_each_role_has_what_the_table_gives_it_and_nothing_else(
    role: str, way: str, console: Guarded, provider: Provider, tokens: Tokens, paths: dict[str, str]
) -> None:
    client = shown(way, role, console, provider, tokens)
    me = json.loads(client.ask("GET", "/api/me").body)
    assert me["roles"] == [role]
    for route, path in paths.items():
        method = route.split(" ")[0]
        if route in OPEN:
            continue
        answer = client.ask(method, path, {} if method == "POST" else None, Sec_Fetch_Site="same-origin")
        if role in ALLOWED[route]:
            assert answer.status == 200 or method == "POST", (route, answer.status, answer.body)
            assert answer.status not in (401, 403), (route, answer.body)
        else:
            assert answer.status == 403, (route, answer.status)
            assert "which you do not have" in answer.body
            assert "borrower" not in answer.body


@pytest.mark.parametrize("role", ROLES)
def test_a_view_is_offered_only_to_those_who_may_read_it(role: str, console: Guarded, tokens: Tokens) -> None:
    client = console.client(Authorization=f"Bearer {tokens.make(role, [role])}")
    views = set(json.loads(client.ask("GET", "/api/me").body)["views"])
    asks = {
        "": "GET /api/overview",
        "account": "GET /api/accounts/{id}",
        "borrower": "GET /api/borrowers/{id}",
        "rules": "GET /api/rules",
        "learner": "GET /api/learner",
        "letters": "GET /api/letters",
        "audit": "GET /api/audit",
    }
    assert set(RIGHTS.views) == set(asks)
    assert views == {view for view, route in asks.items() if role in ALLOWED[route]}


def _unsigned(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def _confused(p: Provider) -> str:
    """Sign with the public key as if it were a shared secret."""
    pem = p.keys[0].private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    header, claims = {"alg": "HS256", "kid": p.keys[0].kid, "typ": "JWT"}, p.claims("auditor")
    unsigned = _unsigned(header, claims).rstrip(".")
    mac = hmac.HMAC(pem, hashes.SHA256())
    mac.update(unsigned.encode())
    return f"{unsigned}.{base64.urlsafe_b64encode(mac.finalize()).rstrip(b'=').decode()}"


def _own_key(p: Provider, kid: str, **header: Any) -> str:
    """Sign with a key of one's own, under the provider's id or with the key itself in the header."""
    own = SigningKey(p.algorithm)
    own.kid = kid
    more = {name: own.public() if value is None else value for name, value in header.items()}
    return jwt.encode(p.claims("auditor"), own.private, own.algorithm, headers={"kid": kid, **more})


def _changed(p: Provider) -> str:
    """Make an auditor of somebody in a token that was signed for him."""
    header, claims, signature = p.sign(p.claims("clerk")).split(".")
    raw = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    raw["realm"] = {"roles": ["auditor"]}
    return ".".join([header, base64.urlsafe_b64encode(json.dumps(raw).encode()).rstrip(b"=").decode(), signature])


def _without(p: Provider, name: str) -> str:
    claims = p.claims("auditor")
    del claims[name]
    return p.sign(claims)


FORGED: dict[str, Callable[[Provider], str]] = {
    "ended": lambda p: p.sign(p.claims("auditor", exp=int(time.time()) - 120)),
    "not yet": lambda p: p.sign(p.claims("auditor", nbf=int(time.time()) + 600)),
    "for another audience": lambda p: p.sign(p.claims("auditor", "another-api")),
    "made to sign in": lambda p: p.sign(p.claims("auditor", CLIENT)),
    "of another issuer": lambda p: p.sign(p.claims("auditor", iss="http://localhost:1")),
    "alg none": lambda p: _unsigned({"alg": "none", "kid": p.keys[0].kid}, p.claims("auditor")),
    "alg none without a kid": lambda p: _unsigned({"alg": "none"}, p.claims("auditor")),
    "signed with the public key": _confused,
    "signed by another under the same kid": lambda p: _own_key(p, p.keys[0].kid),
    "signed by a key that it brings": lambda p: _own_key(p, "mine", jwk=None),
    "signed by a key that it names": lambda p: _own_key(p, "mine", jku="http://127.0.0.1:1/jwks"),
    "changed": _changed,
    "cut": lambda p: p.sign(p.claims("auditor")).rpartition(".")[0] + ".",
    "without an end": lambda p: _without(p, "exp"),
    "of nobody": lambda p: _without(p, "sub"),
    "without an audience": lambda p: _without(p, "aud"),
    "no token": lambda p: "auditor",
    "a token's form": lambda p: "reprieve_0123456789ab_" + "A" * 43,
}


@pytest.mark.parametrize("kind", FORGED)
def test_a_token_that_is_not_right_opens_nothing(
    kind: str, console: Guarded, provider: Provider, paths: dict[str, str]
) -> None:
    client = console.client(Authorization=f"Bearer {FORGED[kind](provider)}")
    refused_everywhere(client, paths)


def test_invalid_or_missing_credentials_open_no_route(console: Guarded, paths: dict[str, str], tokens: Tokens) -> None:
    token = tokens.make("hotline", ["hotline"])
    refused_everywhere(console.client(), paths)
    for header in ("", "Bearer", "Bearer  ", f"Basic {token}", token, f"Bearer {token}x", f"Bearer {token[:-1]}"):
        if header:
            refused_everywhere(console.client(Authorization=header), paths)
    for cookie in ("", "x", "gAAAAA", "逾期".encode().hex(), token):
        client = console.client()
        client.kept = {"reprieve": cookie}
        refused_everywhere(client, paths)


def test_a_withdrawn_signing_key_fails_and_the_new_one_works(
    console: Guarded, provider: Provider, clock: Clock, paths: dict[str, str]
) -> None:
    before = provider.sign(provider.claims("risk"))
    assert console.client(Authorization=f"Bearer {before}").ask("GET", "/api/rules").status == 200
    provider.rotate()
    after = console.client(Authorization=f"Bearer {provider.sign(provider.claims('risk'))}")
    # Nobody makes us ask the issuer for keys more often than once in ten seconds.
    clock.ahead += 11
    assert after.ask("GET", "/api/rules").status == 200
    refused_everywhere(console.client(Authorization=f"Bearer {before}"), paths)
    assert after.ask("GET", "/api/rules").status == 200


def test_unknown_keys_do_not_make_us_ask_the_issuer_without_end(console: Guarded, provider: Provider) -> None:
    token = provider.sign(provider.claims("risk"))
    assert console.client(Authorization=f"Bearer {token}").ask("GET", "/api/me").status == 200
    asked = len(provider.asked)
    for n in range(20):
        bad = console.client(Authorization=f"Bearer {_own_key(provider, f'unknown-{n}')}")
        assert bad.ask("GET", "/api/me").status == 401
    # What it tells of itself, and its keys, once.
    assert len(provider.asked) <= asked + 2


def test_while_the_issuer_is_away_its_keys_count_for_an_hour(
    console: Guarded, provider: Provider, clock: Clock
) -> None:
    client = console.client(
        Authorization=f"Bearer {provider.sign(provider.claims('risk', exp=int(time.time()) + 9_000))}"
    )
    assert client.ask("GET", "/api/me").status == 200
    provider.away = True
    try:
        clock.ahead += 1_000
        assert client.ask("GET", "/api/me").status == 200
        clock.ahead += 3_000
        assert client.ask("GET", "/api/me").status == 503
    finally:
        provider.away = False
    clock.ahead += 11
    assert client.ask("GET", "/api/me").status == 200


def test_a_revoked_or_expired_token_opens_nothing(
    console: Guarded, tokens: Tokens, clock: Clock, paths: dict[str, str]
) -> None:
    for end in ("revoked", "ended"):
        token = tokens.make("a", ["hotline"], days=1)
        bearer, session = console.client(Authorization=f"Bearer {token}"), console.client()
        assert session.ask("POST", "/login", {"token": token}).status == 303
        for client in (bearer, session):
            assert client.ask("GET", "/api/overview").status == 200
        if end == "revoked":
            tokens.revoke(token.split("_")[1])
        else:
            clock.ahead += 86_401
        refused_everywhere(bearer, paths)
        refused_everywhere(session, paths)
        assert console.client().ask("POST", "/login", {"token": token}).status == 401


def test_a_session_ends_when_idle_expired_or_signed_out(
    console: Guarded, tokens: Tokens, clock: Clock, paths: dict[str, str]
) -> None:
    token = tokens.make("a", ["hotline"])

    def signed_in() -> Client:
        client = console.client()
        assert client.ask("POST", "/login", {"token": token}).status == 303
        return client

    idle = signed_in()
    clock.ahead += 29 * 60
    assert idle.ask("GET", "/api/overview").status == 200
    clock.ahead += 29 * 60
    assert idle.ask("GET", "/api/overview").status == 200
    # What the page asks for by itself keeps nobody signed in.
    for _ in range(2):
        clock.ahead += 16 * 60
        last = idle.ask("GET", "/api/changes").status
    assert last == 401
    refused_everywhere(idle, paths)

    busy = signed_in()
    for _ in range(25):
        clock.ahead += 24 * 60 - 1
        assert busy.ask("GET", "/api/overview").status == 200
    clock.ahead += 60
    refused_everywhere(busy, paths)

    leaver = signed_in()
    stolen = console.client()
    stolen.kept = dict(leaver.kept)
    assert stolen.ask("GET", "/api/overview").status == 200
    assert leaver.ask("POST", "/logout", {}, Sec_Fetch_Site="same-origin").status == 303
    assert leaver.kept == {}
    refused_everywhere(stolen, paths)


def test_a_session_of_another_key_fails_and_keys_can_rotate(lender: Path, provider: Provider, tmp_path: Path) -> None:
    clock = Clock()
    file = tmp_path / "keys.json"
    keys = CookieKeys(file, clock)
    keys.rotate(1_800)
    settings = access_settings(tmp_path, provider, keys_file=file)
    assert settings.tokens_file is not None
    token = Tokens(settings.tokens_file, clock).make("a", ["hotline"])
    with guarded(lender, settings, clock) as console:
        client = console.client()
        client.ask("POST", "/login", {"token": token})
        keys.rotate(1_800)
        assert client.ask("GET", "/api/overview").status == 200
    # A restart with the same keys lets people go on; so does a second server.
    with guarded(lender, settings, clock) as console:
        assert client.ask("GET", "/api/overview").status == 200
        # Once the first key is dropped, what it closed is closed for good.
        clock.ahead += 1_801
        assert keys.rotate(1_800) == 2
        clock.ahead -= 1_801
        assert client.ask("GET", "/api/overview").status == 401


def refused_everywhere(client: Client, paths: dict[str, str]) -> None:
    """See that nothing but what is open to all is answered, and that a browser is shown where to sign in."""
    for route, path in paths.items():
        method = route.split(" ")[0]
        if route not in OPEN:
            answer = client.ask(method, path, {} if method == "POST" else None)
            assert answer.status in (401, 403) if method == "POST" else answer.status == 401, (route, answer.status)
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
    page = client.ask("GET", "/", Accept="text/html")
    assert (page.status, page.headers["Location"]) == (303, "/login")


def test_what_is_open_asks_nobody_who_he_is(console: Guarded) -> None:
    for path in ("/login", "/login/issuer", "/login/back", "/livez", "/readyz", "/static/app.js"):
        assert console.client().ask("GET", path).status in (200, 303, 401), path
