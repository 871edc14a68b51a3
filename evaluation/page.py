"""An evaluation as a page that stands alone: no script, no other host, readable in print.

`page.html` is the page; here are its figures and its plots, which are SVG.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from evaluation.calibration import Bin, Calibration
from evaluation.drift import MAJOR, MODERATE, Shift
from evaluation.estimators import Estimated
from evaluation.logged import Report
from evaluation.parity import FOUR_FIFTHS, LEAST_GROUP

_NONE = "–"
_WIDE, _HIGH, _EDGE = 360, 260, 36
_INK, _PALE, _BLUE = "#1c2430", "#98a3b3", "#1f5fa8"


def page(report: Report) -> str:
    """Return a report as HTML."""
    return _PAGES.get_template("page.html").render(
        report=report,
        months=sorted({month for s in report.drift for month in s.months}),
        moderate=MODERATE,
        major=MAJOR,
        four_fifths=FOUR_FIFTHS,
        least_group=LEAST_GROUP,
    )


def percent(value: float | None) -> str:
    """Return a share in per cent, or a dash where there is none."""
    return _NONE if value is None else f"{value:.1%}"


def figure(value: float | None) -> str:
    """Return a figure with three decimals, or a dash where there is none."""
    return _NONE if value is None else f"{value:.3f}"


def _interval_text(e: Estimated | None, sign: str = "") -> str:
    return _NONE if e is None else f"{e.value:{sign}.3f} [{e.low:.3f}, {e.high:.3f}]"


def _shift(found: Shift | None) -> str:
    if found is None:
        return ""
    return f"too few ({found.offers:,})" if found.psi is None else f"{found.psi:.3f} {found.reading} ({found.offers:,})"


def _named_bins(found: Calibration) -> list[tuple[str, Bin]]:
    return [(f"bin {number}", b) for number, b in enumerate(found.bins, 1)] + list(found.months.items())


def _reliability(caption: str, bins: Sequence[Bin]) -> Markup:
    """Return a reliability diagram: on the diagonal what was predicted is what was observed."""
    diagonal = f'<path d="M{_x(0)} {_y(0)}L{_x(1)} {_y(1)}" stroke="{_PALE}" stroke-dasharray="4"/>'
    across = (_text(_x(v), _HIGH - 14, "middle", f"{v:g}") for v in (0, 0.5, 1))
    return _drawn(caption, [diagonal, *across, *(_spot(_x(b.predicted), b) for b in bins)])


def _over_months(caption: str, months: Mapping[str, Bin]) -> Markup:
    """Return what was observed, month by month, and what was predicted as a line through it."""
    at = {month: _x((number + 0.5) / len(months)) for number, month in enumerate(sorted(months))}
    every = 1 + (len(at) - 1) // 6
    named = (_text(x, _HIGH - 14, "middle", month) for month, x in list(at.items())[::every])
    line = "L".join(f"{x:.1f} {_y(months[month].predicted):.1f}" for month, x in at.items())
    predicted = f'<path d="M{line}" fill="none" stroke="{_INK}" stroke-width="2"/>'
    return _drawn(caption, [*named, predicted, *(_spot(x, months[month]) for month, x in at.items())])


def _spot(x: float, b: Bin) -> str:
    return (
        f'<path d="M{x:.1f} {_y(b.low):.1f}V{_y(b.high):.1f}" stroke="{_BLUE}"/>'
        f'<circle cx="{x:.1f}" cy="{_y(b.observed):.1f}" r="5" fill="{_BLUE}"><title>{b.offers} offers: '
        f"{b.predicted:.3f} predicted, {b.observed:.3f} observed</title></circle>"
    )


def _text(x: float, y: float, anchor: str, text: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="12" text-anchor="{anchor}">{text}</text>'


def _drawn(caption: str, parts: Iterable[str]) -> Markup:
    axes = f'<path d="M{_x(0)} {_y(1)}V{_y(0)}H{_x(1)}" fill="none" stroke="{_INK}"/>'
    marks = "".join(_text(_EDGE - 8, _y(v) + 4, "end", f"{v:g}") for v in (0, 0.5, 1))
    return Markup(  # nosec B704
        f'<figure><figcaption>{caption}</figcaption><svg role="img" aria-label="{caption}" width="{_WIDE}" '
        f'height="{_HIGH}" viewBox="0 0 {_WIDE} {_HIGH}">{axes}{marks}{"".join(parts)}</svg></figure>'
    )


def _x(value: float) -> float:
    return _EDGE + value * (_WIDE - 2 * _EDGE)


def _y(value: float) -> float:
    return _HIGH - _EDGE - value * (_HIGH - 2 * _EDGE)


_PAGES = Environment(
    loader=PackageLoader("evaluation", "."),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_PAGES.filters |= {
    "count": "{:,}".format,
    "percent": percent,
    "figure": figure,
    "interval": _interval_text,
    "shift": _shift,
}
_PAGES.globals |= {"reliability": _reliability, "over_months": _over_months, "named_bins": _named_bins}
