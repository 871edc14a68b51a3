"""Permissions as data: which permission a route asks for, and which roles have it.

What is not in the table is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from aiohttp import web

from schemas.errors import UsageError

# The people who use our pages. A token or an issuer's claim gives one or more of these.
ROLES = ("operator", "hotline", "risk", "auditor")
# What needs no role: what is open to all, machines too; the login pages, where people authenticate; and what everyone
# who has authenticated may do.
PUBLIC, LOGIN, ANYBODY = "public", "door", "anybody"
OPEN = frozenset({PUBLIC, LOGIN})


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks. subject: stable, for the audit log. name: for the page. how: `open`, `token`, `bearer`, `oidc`."""

    subject: str
    name: str
    roles: frozenset[str]
    how: str


# Where a request keeps who asks: `request[IDENTITY]`.
IDENTITY = web.RequestKey("identity", Identity)
# Who asks where nobody is asked who he is: on loopback, without access settings.
SOMEBODY_HERE = Identity("open", "", frozenset(ROLES), "open")


@dataclass(frozen=True, slots=True)
class Permissions:
    """An app's table.

    roles: who has each permission. routes: what each route asks for, by method and path as it was added. views: what
    each view of the page asks for. background: paths that a page asks for by itself; they keep no session awake, and
    end after a while to be asked for anew.
    """

    roles: Mapping[str, frozenset[str]]
    routes: Mapping[tuple[str, str], str]
    views: Mapping[str, str] = field(default_factory=dict)
    background: frozenset[str] = field(default_factory=frozenset)

    def __post_init__(self) -> None:
        for permission, roles in self.roles.items():
            if not roles <= set(ROLES):
                raise UsageError(
                    f"{permission} is given to {', '.join(sorted(roles - set(ROLES)))}, which are no roles."
                )
        for what, permission in [*self.routes.items(), *self.views.items()]:
            if permission not in OPEN | {ANYBODY} and permission not in self.roles:
                raise UsageError(f"{what} asks for {permission}, which is given to nobody.")

    def needed(self, method: str, path: str) -> str | None:
        """Return what a route asks for, None where the table does not say."""
        return self.routes.get(("GET" if method == "HEAD" else method, path))

    def may(self, identity: Identity, permission: str) -> bool:
        """Say whether somebody has a permission."""
        return permission in OPEN | {ANYBODY} or bool(self.roles.get(permission, frozenset()) & identity.roles)

    def permissions(self, identity: Identity) -> list[str]:
        """Return all permissions that somebody has, in order."""
        return sorted(name for name in self.roles if self.may(identity, name))

    def unanswered(self, app: web.Application) -> list[str]:
        """Return the routes of an app that the table does not know."""
        return sorted(f"{m} {path}" for m, path in routed(app) if m != "HEAD" and self.needed(m, path) is None)


def routed(app: web.Application) -> Iterator[tuple[str, str]]:
    """Yield the method and the path of every route of an app."""
    for route in app.router.routes():
        if route.resource is not None:
            yield route.method, route.resource.canonical
