"""Sockets that listen, and which addresses count as one."""

from __future__ import annotations

import ipaddress
import socket

_BACKLOG = 512


def listening(host: str, port: int) -> list[socket.socket]:
    """Return sockets that listen at every address of a host. Raises OSError where one cannot be had."""
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    found: list[socket.socket] = []
    try:
        for family, _, _, _, address in sorted(infos, key=lambda info: info[0] != socket.AF_INET):
            if not found or port:
                found.append(socket.create_server(address, family=family, backlog=_BACKLOG))
    except OSError:
        for one in found:
            one.close()
        raise
    return found


def block_of(address: str) -> str:
    """Return what counts as one address: of IPv6 the network that one customer is given."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(found), 64), strict=False))
