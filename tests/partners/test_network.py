"""Which addresses are called is decided by IANA's registries, for the address that is connected to."""

from __future__ import annotations

import asyncio
import csv
import ipaddress
import re
import socket
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from streams.partners import network
from streams.partners.network import Network, allowed, open_socket, special_blocks
from streams.partners.partner_registry import Receives
from streams.partners.secrets import SecretRef
from streams.settings import WebhookSettings
from streams.webhooks.http_client import EndpointClient
from tests.support.webhook_receivers import SECRETS

SPECIAL = Path(network.__file__).parent / "special"
NETWORKS: tuple[Network, ...] = ("public", "private", "loopback")


@pytest.mark.parametrize(
    ("address", "networks"),
    [
        ("93.184.215.14", "public"), ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", "public"), ("10.1.2.3", "private"),
        ("192.168.0.1", "private"), ("172.31.255.255", "private"), ("172.32.0.0", "public"), ("fd00::1", "private"),
        ("127.0.0.1", "loopback"), ("127.9.9.9", "loopback"), ("::1", "loopback"), ("::ffff:127.0.0.1", "loopback"),
        ("::ffff:10.0.0.1", "private"), ("::ffff:93.184.215.14", "public"), ("169.254.169.254", ""),
        ("::ffff:169.254.169.254", ""), ("fe80::1", ""), ("224.0.0.1", ""), ("ff02::1", ""), ("ff0e::1", ""),
        ("0.0.0.0", ""), ("::", ""), ("100.64.0.1", ""), ("100.100.100.200", ""), ("255.255.255.255", ""),
        # Taken as public by interpreters of some releases.
        ("fec0::1", ""), ("::ffff:0:127.0.0.1", ""), ("192.0.0.192", ""), ("192.0.0.9", "public"), ("3fff::1", ""),
        ("5f00::1", ""), ("64:ff9b:1::808:808", ""), ("100:0:0:1::1", ""), ("192.88.99.1", ""),
        # Addresses in addresses: translated (NAT64), 6to4, Teredo, IPv4-compatible.
        ("64:ff9b::7f00:1", ""), ("64:ff9b::a9fe:a9fe", ""), ("64:ff9b::a00:1", ""), ("64:ff9b::808:808", "public"),
        ("2002:7f00:1::", ""), ("2002:808:808::1", ""), ("2001:0:808:808:0:0:f7f7:f7f7", ""), ("::127.0.0.1", ""),
        ("::8.8.8.8", ""), ("4000::1", ""), ("1234::1", ""),
    ],
)  # fmt: skip
def test_an_address_is_of_one_network_at_most(address: str, networks: str) -> None:
    found = [one for one in NETWORKS if allowed(ipaddress.ip_address(address), one)]
    assert found == ([networks] if networks else [])


def test_each_registry_block_is_public_where_iana_says_so() -> None:
    rows = 0
    for name in ("ipv4.csv", "ipv6.csv"):
        for row in csv.DictReader((SPECIAL / name).read_text("utf-8").splitlines()):
            for text in re.findall(r"[0-9a-f:.]+/\d+", row["Address Block"]):
                block = ipaddress.ip_network(text)
                rows += 1
                for address in (block[0], block[-1]):
                    inner = [b for b, _, _ in special_blocks() if b.version == block.version and address in b]
                    if max(inner, key=lambda b: b.prefixlen) != block or text in ("::ffff:0:0/96", "64:ff9b::/96"):
                        # A smaller block in it, or the address within, says what it is.
                        continue
                    assert allowed(address, "public") == (row["Globally Reachable"] == "True"), address
    assert rows == len(special_blocks()) == 26 + 25
    assert re.search(r"as of 20\d\d-\d\d-\d\d", (SPECIAL / "README.md").read_text("utf-8"))


def test_no_name_stands_for_a_neighbour_or_a_multicast_group() -> None:
    for address in ("169.254.169.254", "fe80::1", "224.0.0.1", "ff02::1", "0.0.0.0", "::", "255.255.255.255"):
        assert not allowed(ipaddress.ip_address(address), "any"), address
    for address in ("10.0.0.1", "127.0.0.1", "fd00::1", "93.184.215.14", "100.64.0.1"):
        assert allowed(ipaddress.ip_address(address), "any"), address


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "localhost",
        "[::ffff:127.0.0.1]",
        "[::1]",
        "0.0.0.0",
    ],
)
def test_no_spelling_of_a_local_address_passes_as_public(host: str) -> None:
    came: list[str] = []

    async def play() -> None:
        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            came.append(host)
            writer.close()

        family = socket.AF_INET6 if host == "[::1]" else socket.AF_INET
        server = await asyncio.start_server(connected, "::1" if host == "[::1]" else "127.0.0.1", 0, family=family)
        port = server.sockets[0].getsockname()[1]
        part = Receives(
            url=f"http://{host}:{port}/", events=("OfferExpired",), secrets=(SecretRef(env="PARTNER_SECRET"),)
        )
        async with server, EndpointClient(part, WebhookSettings(connect_seconds=2, answer_seconds=2)) as caller:
            answer = await caller.call({}, b"{}")
        assert answer.outcome == "unreachable"

    asyncio.run(play())
    assert came == []
    assert SECRETS


def test_the_connected_address_is_checked_not_the_resolved_one() -> None:
    async def play() -> None:
        came = asyncio.Event()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            came.set()
            writer.close()

        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        # No resolver of ours stands before it: as if one had answered otherwise, or a cache had.
        connector = aiohttp.TCPConnector(socket_factory=partial(open_socket, "public"))
        async with server, aiohttp.ClientSession(connector=connector) as session:
            with pytest.raises(aiohttp.ClientConnectorError):
                await session.get(f"http://localhost:{port}/")
        assert not came.is_set()

    asyncio.run(play())
