"""What stands before every handler: no rule, no entry; no other site; not too often, past the proxy, or too much."""

from __future__ import annotations

import asyncio
import re
import ssl
import stat
import time
from http.client import BadStatusLine, HTTPConnection, HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from console.app import ConsoleApp
from console.permissions import RIGHTS
from console.server import ConsoleServer
from console.source import LocalSource
from schemas.errors import FatalError, UsageError
from streams.cli import cli
from streams.http.auth.cookie_keys import CookieKeys
from streams.http.auth.exposure import server_tls
from streams.http.auth.login_routes import LOGIN_PERMISSIONS, LoginRoutes
from streams.http.auth.middleware import Authenticator
from streams.http.auth.permissions import IDENTITY, Permissions
from streams.http.auth.tokens import Tokens
from streams.http.rate_limiter import RateLimiter
from streams.settings import AccessSettings, ConsoleSettings, HealthSettings
from tests.support.console_client import Clock, Guarded, access_settings, guarded


def test_a_route_without_an_entry_is_refused_to_everybody(tmp_path: Path) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(text=request[IDENTITY].name)

    async def run(settings: AccessSettings, token: str) -> None:
        rights = Permissions({"see": frozenset({"risk"})}, {**LOGIN_PERMISSIONS, ("GET", "/known"): "see"})
        access = Authenticator(settings, rights)
        app = web.Application(middlewares=[access.middleware])
        app.add_routes([*LoginRoutes(access).routes(), web.get("/known", handler), web.get("/new", handler)])
        app.router.add_post("/known", handler)
        assert rights.unanswered(app) == ["GET /new", "POST /known"]
        async with TestClient(TestServer(app)) as client:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            assert (await client.get("/known", headers=headers)).status == 200
            for method, path in (("GET", "/new"), ("HEAD", "/new"), ("POST", "/known")):
                assert (await client.request(method, path, headers=headers)).status == 403
            assert (await client.get("/none", headers=headers)).status == 404
            assert (await client.delete("/known", headers=headers)).status == 405

    asyncio.run(run(AccessSettings(), ""))
    token = Tokens(tmp_path / "tokens.json").make("a", ["risk"])
    asyncio.run(run(AccessSettings(tokens_file=tmp_path / "tokens.json"), token))


def test_a_table_with_an_unknown_role_or_permission_is_refused() -> None:
    with pytest.raises(UsageError, match="boss, which are no roles"):
        Permissions({"see": frozenset({"boss"})}, {})
    with pytest.raises(UsageError, match="given to nobody"):
        Permissions({"see": frozenset({"risk"})}, {("GET", "/"): "sea"})


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec_Fetch_Site": "same-origin"}, 303),
        ({"Sec_Fetch_Site": "none"}, 303),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Sec_Fetch_Site": "cross-site", "Origin": "OWN"}, 403),
        ({"Origin": "OWN"}, 303),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "OWN.evil.example"}, 403),
        ({}, 403),
    ],
)
def test_an_unsafe_request_with_a_session_needs_our_origin(
    headers: dict[str, str], status: int, console: Guarded, tokens: Tokens
) -> None:
    client = console.client()
    client.ask("POST", "/login", {"token": tokens.make("a", ["operator"])})
    own = {name: value.replace("OWN", console.url) for name, value in headers.items()}
    assert client.ask("POST", "/logout", {}, **own).status == status
    assert client.ask("GET", "/api/letters").status == (401 if status == 303 else 200)


def test_without_access_on_loopback_other_sites_change_nothing(lender: Path) -> None:
    with ConsoleServer(lender) as served:
        parts = urlsplit(served.url)
        for headers, status in (
            ({"Origin": "http://evil.example"}, 403),
            ({"Sec-Fetch-Site": "cross-site"}, 403),
            ({"Origin": "null"}, 403),
            # What says nothing of where it comes from may be a browser that is too old to.
            ({}, 403),
            ({"Content-Type": "application/json"}, 403),
            # The ways of scripts, and of our own page.
            ({"Origin": served.url}, 303),
            ({"Authorization": "Bearer none"}, 303),
            ({"Sec-Fetch-Site": "same-origin"}, 303),
        ):
            connection = HTTPConnection(parts.hostname or "", parts.port, timeout=120)
            connection.request("POST", "/logout", headers=headers)
            assert connection.getresponse().status == status
            connection.close()


def test_whoever_tries_tokens_has_to_wait_and_nobody_else(lender: Path, tmp_path: Path) -> None:
    proxied = {"behind_proxy": True, "trusted_proxies": ["127.0.0.0/8"], "failures_per_quarter_hour": 3}
    settings = access_settings(tmp_path, None, **proxied)
    assert settings.tokens_file is not None
    token = Tokens(settings.tokens_file).make("a", ["hotline"])
    with guarded(lender, settings, Clock()) as console:
        client = console.client(X_Forwarded_For="203.0.113.9")
        for _ in range(3):
            assert client.ask("POST", "/login", {"token": "guess"}).status == 401
        late = client.ask("POST", "/login", {"token": token})
        assert late.status == 429
        assert 0 < int(late.headers["Retry-After"]) <= 300
        assert client.ask("GET", "/api/overview", Authorization=f"Bearer {token}").status == 429
        # What stands further left is anybody's invention; only what the proxy adds counts.
        spoofed = console.client(X_Forwarded_For="198.51.100.1, 203.0.113.9")
        assert spoofed.ask("POST", "/login", {"token": token}).status == 429
        assert console.client(X_Forwarded_For="203.0.113.10").ask("POST", "/login", {"token": token}).status == 303


def test_one_address_and_one_identity_ask_only_so_often(lender: Path, tmp_path: Path) -> None:
    settings = access_settings(tmp_path, None, requests_per_minute=5)
    assert settings.tokens_file is not None
    token = Tokens(settings.tokens_file).make("a", ["hotline"])
    with guarded(lender, settings, Clock()) as console:
        client = console.client(Authorization=f"Bearer {token}")
        found = [client.ask("GET", "/api/me").status for _ in range(8)]
        assert found[:5] == [200] * 5
        assert set(found[5:]) == {429}
        # Whether it is alive is asked by machines, and never refused.
        assert client.ask("GET", "/livez").status == 200


@given(
    count=st.integers(1, 20),
    seconds=st.floats(0.5, 100),
    steps=st.lists(st.floats(0, 50), min_size=1, max_size=80),
)
def test_no_interval_has_more_requests_than_burst_and_rate(count: int, seconds: float, steps: list[float]) -> None:
    at = 0.0
    limits = RateLimiter(count, seconds, lambda: at)
    taken: list[float] = []
    for step in steps:
        at += step
        wait = limits.take("one")
        if not wait:
            taken.append(at)
        else:
            # Whoever waits as long as he was told is let in.
            at += wait
            assert limits.take("one") == 0
            taken.append(at)
    for i, begin in enumerate(taken):
        for j in range(i, len(taken)):
            assert j - i + 1 <= count + (taken[j] - begin) * count / seconds + 1e-6
    assert RateLimiter(count, seconds, lambda: at).take("another") == 0


def test_whoever_comes_past_the_proxy_is_refused(lender: Path, tmp_path: Path) -> None:
    settings = access_settings(tmp_path, None, behind_proxy=True, trusted_proxies=["10.0.0.0/8"])
    with guarded(lender, settings, Clock()) as console:
        assert console.client().ask("GET", "/livez").status == 200
        assert console.client(X_Forwarded_For="10.1.1.1").ask("GET", "/login").status == 403
        answer = console.client(X_Forwarded_For="10.1.1.1").ask("POST", "/login", {"token": "x"})
        assert (answer.status, "by the proxy" in answer.body) == (403, True)
        assert console.client().ask("GET", "/api/overview").status == 403


def test_a_proxy_that_does_not_speak_tls_to_browsers_is_refused(lender: Path, tmp_path: Path) -> None:
    settings = access_settings(tmp_path, None, behind_proxy=True, trusted_proxies=["127.0.0.1"])
    with guarded(lender, settings, Clock()) as console:
        assert console.client(X_Forwarded_Proto="http").ask("GET", "/api/overview").status == 403
        assert console.client(X_Forwarded_Proto="https").ask("GET", "/api/overview").status == 401


def test_a_request_that_is_too_large_is_not_read(console: Guarded) -> None:
    assert console.client().ask("POST", "/login", {"token": "x" * 200_000}).status == 413


def test_a_stream_ends_in_time_and_with_the_right_to_it(lender: Path, tmp_path: Path) -> None:
    settings = access_settings(tmp_path, None, recheck_seconds=0.5)
    assert settings.tokens_file is not None
    tokens = Tokens(settings.tokens_file)
    token = tokens.make("a", ["hotline"])
    with guarded(lender, settings, Clock()) as console:
        parts = urlsplit(console.url)
        connection = HTTPConnection(parts.hostname or "", parts.port, timeout=120)
        connection.request("GET", "/api/changes", headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        tokens.revoke(token.split("_")[1])
        began = time.monotonic()
        assert b"data: " in answer.read()
        assert time.monotonic() - began < 15
        connection.request("GET", "/api/changes", headers={"Authorization": f"Bearer {token}"})
        assert connection.getresponse().status == 401
        connection.close()


# -- where it may be served


@pytest.mark.parametrize(
    ("access", "console", "told"),
    [
        ({}, {}, "Nobody would be asked who he is on 0.0.0.0"),
        ({"tokens_file": "t"}, {}, "Whoever listens on the way"),
        ({"tokens_file": "t", "behind_proxy": True}, {}, "needs access.trusted_proxies"),
        ({"tokens_file": "t", "behind_proxy": True, "trusted_proxies": ["proxy"]}, {}, "holds 'proxy', which is no"),
        ({"tokens_file": "t"}, {"tls_cert_file": "c"}, "belong together"),
        ({"tokens_file": "t"}, {"tls_cert_file": "c", "tls_key_file": "k"}, "cannot be used"),
        ({"oidc_issuer": "https://i.example"}, {}, "needs access.oidc_client_id"),
        (
            {"oidc_issuer": "http://i.example", "oidc_client_id": "c", "public_url": "https://c.example"},
            {},
            "access.oidc_issuer is http://i.example: it must begin with https://",
        ),
        (
            {"oidc_issuer": "https://i.example", "oidc_client_id": "c", "public_url": "http://c.example"},
            {},
            "access.public_url is http://c.example",
        ),
        (
            {
                "oidc_issuer": "https://i.example",
                "oidc_client_id": "c",
                "oidc_audience": "c",
                "public_url": "https://c.example",
            },
            {},
            "an audience of its own",
        ),
    ],
)
def test_beyond_loopback_it_does_not_start_open_or_in_clear(
    access: dict[str, object], console: dict[str, object], told: str, lender: Path
) -> None:
    with pytest.raises(UsageError, match=told):
        ConsoleServer(
            lender,
            "0.0.0.0",
            access=AccessSettings.model_validate(access),
            console=ConsoleSettings.model_validate(console),
        )


def test_an_unknown_role_is_refused_before_any_sign_in(lender: Path) -> None:
    told = "access.oidc_roles gives 'hotlin', which is no role. There are operator, hotline, risk, auditor."
    with pytest.raises(UsageError, match=told):
        ConsoleServer(lender, access=AccessSettings(oidc_roles={"dept-collections": "hotlin", "dept-risk": "risk"}))


def test_refusals_are_counted_in_metrics_and_not_on_the_page(lender: Path, tmp_path: Path) -> None:
    access = AccessSettings(tokens_file=tmp_path / "tokens.json")
    token = Tokens(tmp_path / "tokens.json").make("a", ["operator"])

    def refused() -> float:
        text = answer(f"http://127.0.0.1:{served.health_port}", "/metrics")[1]
        found = re.search(r'^reprieve_access_refused_total\{why="unknown"\} (\S+)$', text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def answer(url: str, path: str, **headers: str) -> tuple[int, str]:
        connection = HTTPConnection(urlsplit(url).netloc, timeout=120)
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        said = response.status, response.read().decode()
        connection.close()
        return said

    with ConsoleServer(lender, access=access, probes=HealthSettings(port=0)) as served:
        before = refused()
        assert answer(served.url, "/api/overview")[0] == 401
        assert refused() == before + 1
        assert answer(served.url, "/metrics", Authorization=f"Bearer {token}")[0] == 404
        assert answer(f"http://127.0.0.1:{served.health_port}", "/api/overview")[0] == 404
        assert answer(f"http://127.0.0.1:{served.health_port}", "/livez") == (200, "ok\n")
        port = served.health_port
        with (
            pytest.raises(FatalError, match=f"health.port {port} on 127.0.0.1 cannot be had"),
            ConsoleServer(lender, access=access, probes=HealthSettings(port=port)),
        ):
            pass
    with pytest.raises(ConnectionRefusedError):
        answer(f"http://127.0.0.1:{port}", "/livez")
    with ConsoleServer(lender) as served:
        assert served.health_port is None


def test_with_a_certificate_of_its_own_it_speaks_tls_alone(lender: Path, tmp_path: Path) -> None:
    ca = trustme.CA()
    cert = ca.issue_cert("127.0.0.1")
    cert.private_key_pem.write_to_path(tmp_path / "key.pem")
    for blob in cert.cert_chain_pems:
        blob.write_to_path(tmp_path / "cert.pem", append=True)
    tls = ConsoleSettings(tls_cert_file=tmp_path / "cert.pem", tls_key_file=tmp_path / "key.pem")
    access = AccessSettings(tokens_file=tmp_path / "tokens.json")
    token = Tokens(tmp_path / "tokens.json").make("a", ["hotline"])
    context = ssl.create_default_context()
    ca.configure_trust(context)
    with ConsoleServer(lender, access=access, console=tls) as served:
        assert served.url.startswith("https://")
        parts = urlsplit(served.url)
        connection = HTTPSConnection("127.0.0.1", parts.port, timeout=120, context=context)
        connection.request("GET", "/api/overview", headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        assert answer.status == 200
        assert answer.headers["Strict-Transport-Security"]
        connection.close()
        plain = HTTPConnection("127.0.0.1", parts.port, timeout=120)
        plain.request("GET", "/livez")
        with pytest.raises((BadStatusLine, ConnectionError)):
            plain.getresponse()
        plain.close()
    made = server_tls(tls.tls_cert_file, tls.tls_key_file)
    assert made is not None
    assert made.minimum_version == ssl.TLSVersion.TLSv1_2


def test_names_by_which_it_is_not_public_are_not_answered(console: Guarded) -> None:
    assert console.client(Host="evil.example").ask("GET", "/login").status == 403


# -- tokens and keys, by command


def test_a_token_is_printed_once_and_only_its_hash_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "secrets" / "tokens.json"
    monkeypatch.setenv("REPRIEVE_ACCESS__TOKENS_FILE", str(file))
    run = CliRunner()
    made = run.invoke(cli, ["access", "token", "--role", "hotline", "--role", "risk", "--name", "X", "--days", "2"])
    assert made.exit_code == 0, made.output
    token = made.output.strip()
    assert len(token.split("_", 2)[2]) == 43
    assert token.split("_", 2)[2] not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    held = Tokens(file).holder(token)
    assert held is not None
    assert (held.name, held.roles) == ("X", ("hotline", "risk"))
    listed = run.invoke(cli, ["access", "tokens"]).output
    assert held.id in listed
    assert "hotline, risk" in listed
    assert held.sha256 not in listed
    assert run.invoke(cli, ["access", "revoke", held.id]).exit_code == 0
    assert Tokens(file).holder(token) is None
    again = run.invoke(cli, ["access", "revoke", held.id])
    assert isinstance(again.exception, UsageError)
    assert run.invoke(cli, ["access", "token", "--role", "boss", "--name", "X"]).exit_code == 2


def test_tokens_and_keys_that_others_may_change_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    Tokens(file).make("a", ["hotline"])
    file.chmod(0o666)
    with pytest.raises(UsageError, match="Others may write"):
        Tokens(file).all()
    file.chmod(0o600)
    file.write_text("[{}]")
    with pytest.raises(UsageError, match="does not hold tokens"):
        Tokens(file).all()
    with pytest.raises(UsageError, match="cannot name a token"):
        Tokens(tmp_path / "new.json").make("<b>", ["hotline"])
    keys = tmp_path / "keys.json"
    with pytest.raises(UsageError, match="There is no file of keys"):
        CookieKeys(keys).close("session", {})
    CookieKeys(keys).rotate(1)
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600
    keys.chmod(0o604)
    with pytest.raises(UsageError, match="Others may read or write"):
        CookieKeys(keys).close("session", {})
    keys.chmod(0o600)
    for wrong in ("[]", "{", '[{"key": "x", "made": 1}]'):
        keys.write_text(wrong)
        with pytest.raises(UsageError, match="rotate-keys"):
            CookieKeys(keys).close("session", {})


def test_a_token_opens_one_purpose_for_a_limited_time() -> None:
    at = 1_000_000.0
    keys = CookieKeys(None, lambda: at)
    closed = keys.close("leaving", {"a": 1})
    assert keys.open("leaving", closed, 60) == {"a": 1}
    assert keys.open("session", closed, 60) is None
    assert CookieKeys(None).open("leaving", closed, 60) is None
    at += 61
    assert keys.open("leaving", closed, 60) is None


def test_without_settings_commands_say_which_setting_is_missing() -> None:
    for command, name in (("tokens", "access.tokens_file"), ("rotate-keys", "access.keys_file")):
        assert name in str(CliRunner().invoke(cli, ["access", command]).exception)
    shown = CliRunner().invoke(cli, ["access", "rights"]).output
    for permission in RIGHTS.roles:
        assert permission in shown


def test_the_console_has_no_route_without_a_rule(lender: Path) -> None:
    assert RIGHTS.unanswered(ConsoleApp(LocalSource(lender)).application()) == []
