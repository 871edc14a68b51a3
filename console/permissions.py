"""Who may see and do what in the console: the table by which every request is judged.

Hotline staff help one borrower at a time, so they read cases, and neither the rules by which offers are limited nor
what was learned. Risk officers answer for rules and the learner, and read cases to judge them. Operators keep the
machine running: they send dead letters in again, and need nobody's case for that. Auditors read everything and change
nothing.
"""

from __future__ import annotations

from streams.http.auth.login_routes import LOGIN_PERMISSIONS
from streams.http.auth.permissions import ANYBODY, PUBLIC, Permissions


def _roles(*names: str) -> frozenset[str]:
    return frozenset(names)


PERMISSIONS = {
    "portfolio": _roles("operator", "hotline", "risk", "auditor"),
    "cases": _roles("hotline", "risk", "auditor"),
    "rules": _roles("operator", "risk", "auditor"),
    "learner": _roles("risk", "auditor"),
    "letters": _roles("operator", "auditor"),
    "replay_letters": _roles("operator"),
    "audit": _roles("auditor"),
}

RIGHTS = Permissions(
    roles=PERMISSIONS,
    routes={
        **LOGIN_PERMISSIONS,
        ("GET", "/"): ANYBODY,
        ("GET", "/static"): PUBLIC,
        ("GET", "/livez"): PUBLIC,
        ("GET", "/readyz"): PUBLIC,
        ("GET", "/api/overview"): "portfolio",
        ("GET", "/api/changes"): "portfolio",
        ("GET", "/api/search"): "cases",
        ("GET", "/api/accounts/{id}"): "cases",
        ("GET", "/api/accounts/{id}/agreements/{plan}"): "cases",
        ("GET", "/api/borrowers/{id}"): "cases",
        ("GET", "/api/rules"): "rules",
        ("GET", "/api/learner"): "learner",
        ("GET", "/api/letters"): "letters",
        ("POST", "/api/letters/again"): "replay_letters",
        ("GET", "/api/audit"): "audit",
    },
    views={
        "": "portfolio",
        "account": "cases",
        "borrower": "cases",
        "rules": "rules",
        "learner": "learner",
        "letters": "letters",
        "audit": "audit",
    },
    background=frozenset({"/api/changes"}),
)
