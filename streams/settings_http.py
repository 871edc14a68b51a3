"""Settings of what listens: how much a client may take of console, intake and probes."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class HttpSettings(BaseModel):
    """Limits of the servers of console and intake; docs/operations.md says how they act. Probes have tighter ones.

    header_seconds: for a request's line and headers, and for a TLS handshake. body_seconds: for a body; the intake has
    a limit of its own. idle_seconds: between two requests of a connection. write_seconds: for which a client may not
    read its answer. connections_per_address: by IPv4 address or IPv6 /64; behind `access.trusted_proxies`, requests at
    once.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    header_seconds: Annotated[float, Field(gt=0, le=120)] = 10
    body_seconds: Annotated[float, Field(gt=0, le=120)] = 10
    idle_seconds: Annotated[float, Field(gt=0, le=3_600)] = 75
    write_seconds: Annotated[float, Field(gt=0, le=600)] = 30
    connections: Annotated[int, Field(ge=1, le=100_000)] = 512
    connections_per_address: Annotated[int, Field(ge=1, le=100_000)] = 128
