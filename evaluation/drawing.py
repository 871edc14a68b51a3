"""Plots of calibration, as SVG that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from evaluation.calibration import Bin

_WIDE, _HIGH, _EDGE = 360, 260, 36
_INK, _PALE, _BLUE = "#1c2430", "#98a3b3", "#1f5fa8"


def reliability(caption: str, bins: Sequence[Bin]) -> str:
    """Return a reliability diagram: on the diagonal what was foretold is what came."""
    diagonal = f'<path d="M{_x(0)} {_y(0)}L{_x(1)} {_y(1)}" stroke="{_PALE}" stroke-dasharray="4"/>'
    return _drawn(caption, [diagonal, *_across(), *(_spot(_x(b.foretold), b) for b in bins)])


def over_months(caption: str, months: Mapping[str, Bin]) -> str:
    """Return what came, month by month, and what was foretold as a line through it."""
    at = {month: _x((number + 0.5) / len(months)) for number, month in enumerate(sorted(months))}
    every = 1 + (len(at) - 1) // 6
    named = [
        f'<text x="{x:.1f}" y="{_HIGH - 14}" font-size="12" text-anchor="middle">{month}</text>'
        for month, x in list(at.items())[::every]
    ]
    line = "L".join(f"{x:.1f} {_y(months[month].foretold):.1f}" for month, x in at.items())
    foretold = f'<path d="M{line}" fill="none" stroke="{_INK}" stroke-width="2"/>'
    return _drawn(caption, [*named, foretold, *(_spot(x, months[month]) for month, x in at.items())])


def _spot(x: float, b: Bin) -> str:
    return (
        f'<path d="M{x:.1f} {_y(b.low):.1f}V{_y(b.high):.1f}" stroke="{_BLUE}"/>'
        f'<circle cx="{x:.1f}" cy="{_y(b.came):.1f}" r="5" fill="{_BLUE}"><title>{b.offers} offers: '
        f"{b.foretold:.3f} foretold, {b.came:.3f} came</title></circle>"
    )


def _across() -> list[str]:
    return [f'<text x="{_x(v)}" y="{_HIGH - 14}" font-size="12" text-anchor="middle">{v:g}</text>' for v in (0, 0.5, 1)]


def _drawn(caption: str, parts: Iterable[str]) -> str:
    axes = f'<path d="M{_x(0)} {_y(1)}V{_y(0)}H{_x(1)}" fill="none" stroke="{_INK}"/>'
    marks = "".join(
        f'<text x="{_EDGE - 8}" y="{_y(v) + 4}" font-size="12" text-anchor="end">{v:g}</text>' for v in (0, 0.5, 1)
    )
    return (
        f'<figure><figcaption>{caption}</figcaption><svg role="img" aria-label="{caption}" width="{_WIDE}" '
        f'height="{_HIGH}" viewBox="0 0 {_WIDE} {_HIGH}">{axes}{marks}{"".join(parts)}</svg></figure>'
    )


def _x(value: float) -> float:
    return _EDGE + value * (_WIDE - 2 * _EDGE)


def _y(value: float) -> float:
    return _HIGH - _EDGE - value * (_HIGH - 2 * _EDGE)
