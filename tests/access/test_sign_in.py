"""Signing in: at a real issuer, with a token, in a real browser; and what a bad issuer or another site cannot do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from streams.http.auth.tokens import Tokens
from tests.support.console_client import Client, Clock, Guarded, access_settings, guarded, sign_in
from tests.support.openid_provider import CLIENT, Provider

# A browser does not see by which key a token is signed.
ONE = pytest.mark.parametrize("provider", ["ES256"], indirect=True)


@pytest.mark.parametrize(
    ("otherwise", "why"),
    [
        ({"aud": "another-program"}, "Audience"),
        ({"aud": [CLIENT, "another"], "azp": "another"}, "another program"),
        ({"iss": "http://localhost:1"}, "issuer"),
        ({"nonce": "of-another-sign-in"}, "another sign-in"),
        ({"nonce": None}, "another sign-in"),
        ({"exp": int(time.time()) - 120}, "expired"),
        ({"sub": 7}, "Subject"),
    ],
)
def test_what_an_issuer_signs_for_another_signs_nobody_in(
    otherwise: dict[str, object], why: str, console: Guarded, provider: Provider
) -> None:
    client = console.client()
    provider.otherwise = otherwise
    try:
        answer = sign_in(client, provider, "hotline")
    finally:
        provider.otherwise = {}
    assert answer.status == 401, answer.body
    assert why in answer.body
    assert "reprieve" not in client.kept
    assert client.ask("GET", "/api/overview").status == 401


def test_a_code_counts_once_and_for_the_browser_that_asked(console: Guarded, provider: Provider) -> None:
    victim, attacker = console.client(), console.client()
    asked = {n: v[0] for n, v in parse_qs(urlsplit(_left(attacker)).query).items()}
    back = provider.authorize(asked, "auditor").removeprefix(console.url)
    # An attacker's code in another's browser would sign that one in as the attacker.
    assert victim.ask("GET", back).status == 401
    _left(victim)
    assert victim.ask("GET", back).status == 401
    # A code that was stolen is worth nothing without what the browser keeps.
    assert console.client().ask("GET", back).status == 401
    kept = dict(attacker.kept)
    assert attacker.ask("GET", back).status == 200
    attacker.kept = kept
    assert attacker.ask("GET", back).status == 401


def test_a_sign_in_takes_ten_minutes_at_most(console: Guarded, provider: Provider, clock: Clock) -> None:
    client = console.client()
    asked = {n: v[0] for n, v in parse_qs(urlsplit(_left(client)).query).items()}
    clock.ahead += 601
    assert client.ask("GET", provider.authorize(asked, "auditor").removeprefix(console.url)).status == 401


def test_users_without_a_role_or_refused_by_the_issuer_are_told(console: Guarded, provider: Provider) -> None:
    client = console.client()
    answer = sign_in(client, provider, "clerk")
    assert answer.status == 403
    assert "You have no role here" in answer.body
    assert "reprieve" not in client.kept
    _left(client)
    assert client.ask("GET", "/login/back?error=access_denied&state=x").status == 401
    said = client.ask("GET", "/login/back?error=<script>alert(1)</script>&state=%00").body
    assert "<script>" not in said


def test_while_the_issuer_is_away_tokens_still_open(lender: Path, provider: Provider, tmp_path: Path) -> None:
    settings = access_settings(tmp_path, provider)
    assert settings.tokens_file is not None
    token = Tokens(settings.tokens_file).make("a", ["hotline"])
    provider.away = True
    try:
        with guarded(lender, settings, Clock()) as console:
            answer = console.client().ask("GET", "/login/issuer")
            assert (answer.status, "Try again later" in answer.body) == (503, True)
            assert console.client(Authorization=f"Bearer {token}").ask("GET", "/api/overview").status == 200
    finally:
        provider.away = False


def test_every_sign_in_is_a_new_session_for_our_pages_only(console: Guarded, provider: Provider) -> None:
    client = console.client()
    client.kept = {"reprieve": "brought-along"}
    answer = sign_in(client, provider, "hotline")
    cookie = answer.cookies()["reprieve"]
    assert cookie["httponly"]
    assert (cookie["samesite"], cookie["path"], cookie["domain"]) == ("Strict", "/", "")
    first = client.kept["reprieve"]
    assert first != "brought-along"
    assert sign_in(client, provider, "hotline").status == 200
    assert client.kept["reprieve"] != first


def test_by_tls_cookies_are_for_this_host_by_tls_alone(lender: Path, provider: Provider, tmp_path: Path) -> None:
    proxied = {"behind_proxy": True, "trusted_proxies": ["127.0.0.1"]}
    settings = access_settings(tmp_path, provider, **proxied)
    assert settings.tokens_file is not None
    token = Tokens(settings.tokens_file).make("a", ["hotline"])
    with Guarded(lender, settings, Clock(), urlsplit(settings.public_url or "").port or 0, secure=True) as console:
        answer = console.client().ask("POST", "/login", {"token": token})
        cookie = answer.cookies()["__Host-reprieve"]
        assert cookie["secure"]
        assert cookie["path"] == "/"
        assert "max-age" in answer.headers["Strict-Transport-Security"]


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """Yield a page of a browser that knows nothing yet."""
    context = browser.new_context(locale="en-GB")
    yield context.new_page()
    context.close()


@ONE
@pytest.mark.parametrize(("role", "views"), [("hotline", ["Overview"]), ("risk", ["Overview", "Learner", "Rules"])])
def test_a_user_signs_in_sees_their_views_and_signs_out(
    role: str, views: list[str], page: Page, console: Guarded, provider: Provider
) -> None:
    page.goto(console.url)
    page.get_by_role("link", name="Sign in").click()
    assert page.url.startswith(provider.issuer)
    page.get_by_role("button", name=role).click()
    expect(page.locator("#state")).to_contain_text("closed through")
    assert page.locator("#views a").all_inner_texts() == views
    expect(page.locator("#search")).to_be_visible()
    (cookie,) = (c for c in page.context.cookies() if c["name"] == "reprieve")
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Strict"
    page.evaluate("location.hash = '#/letters'")
    expect(page.get_by_role("alert")).to_contain_text("which you do not have")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("link", name="Sign in")).to_be_visible()
    page.goto(console.url)
    expect(page).to_have_url(f"{console.url}/login")


@ONE
def test_axe_finds_no_fault_at_the_door(page: Page, console: Guarded, axe: Callable[[Page], list[object]]) -> None:
    page.goto(console.url)
    assert axe(page) == []
    page.get_by_label("Token").fill("not a token")
    page.get_by_role("button", name="Sign in with a token").click()
    expect(page.get_by_role("alert")).to_be_visible()
    assert axe(page) == []


@ONE
def test_a_user_with_a_revoked_token_is_sent_to_sign_in(page: Page, console: Guarded, tokens: Tokens) -> None:
    token = tokens.make("ops", ["operator"])
    page.goto(console.url)
    page.get_by_label("Token").fill("reprieve_0123456789ab_" + "A" * 43)
    page.get_by_role("button", name="Sign in with a token").click()
    expect(page.get_by_role("alert")).to_contain_text("This token is not known")
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Sign in with a token").click()
    expect(page.locator("#state")).to_contain_text("closed through")
    assert page.locator("#views a").all_inner_texts() == ["Overview", "Rules", "Dead letters"]
    expect(page.locator("#search")).to_be_hidden()
    expect(page.get_by_role("button", name="Sign out ops")).to_be_visible()
    tokens.revoke(token.split("_")[1])
    page.reload()
    expect(page.get_by_label("Token")).to_be_visible()


@ONE
def test_a_page_of_another_site_can_request_nothing(page: Page, console: Guarded, tokens: Tokens) -> None:
    page.goto(console.url)
    page.get_by_label("Token").fill(tokens.make("ops", ["operator"]))
    page.get_by_role("button", name="Sign in with a token").click()
    expect(page.locator("#state")).to_contain_text("closed through")
    evil = f"""<!doctype html><title>evil</title>
        <form id=f method=post action="{console.url}/logout"></form>
        <script>
        fetch("{console.url}/api/letters", {{credentials: "include"}}).then(a => a.text()).catch(e => "kept out")
          .then(t => {{ document.title = t; document.forms.f.submit(); }});
        </script>"""
    with OtherSite(evil) as url:
        page.goto(url)
        expect(page.locator("body")).to_contain_text("not asked by a page of the console")
    page.goto(console.url)
    expect(page.locator("#state")).to_contain_text("closed through")


def _left(client: Client) -> str:
    answer = client.ask("GET", "/login/issuer")
    assert answer.status == 303
    return str(answer.headers["Location"])


class OtherSite:
    """Another site's page, at another name of this machine."""

    def __init__(self, content: str) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(content.encode())

            def log_message(self, *_: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self) -> str:
        Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return f"http://localhost:{self._server.server_port}/"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
