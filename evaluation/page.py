"""An evaluation as a page that stands alone: no script, no other host, readable in print."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from evaluation.estimators import Estimated
from evaluation.logged import Bin, Report, Share

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #1c2430; }
table { border-collapse: collapse; margin: 1rem 0; } caption { text-align: left; font-weight: 600; }
th, td { padding: .25rem .75rem; border-bottom: 1px solid #ccd3dc; text-align: right; }
th:first-child, td:first-child { text-align: left; } svg { max-width: 100%; height: auto; } .note { color: #6b2b00; }
"""
_WIDE, _HIGH, _EDGE = 360, 260, 36


def page(report: Report) -> str:
    """Return a report as HTML."""
    body = [
        "<h1>Evaluation of offers</h1>",
        f"<p>{report.decisions:,} decisions with options from {report.first} to {report.last}; of {report.answered:,} "
        "it is known what came of them. The reward of an offer is 0.3 once it is accepted, 0.6 with the first kept "
        "instalment, 1 with the third, and nothing where its plan broke.</p>",
        *(f'<p class="note">{escape(note)}</p>' for note in report.notes),
    ]
    if report.against_fixed is not None:
        ratio = "" if report.acceptance_ratio is None else f" Accepted {report.acceptance_ratio:.2f} times as often."
        body.append(
            f"<p>Learned leads against the fixed order: reward {_told(report.against_fixed, sign=True)}.{ratio}</p>"
        )
    if report.estimates:
        rows = (
            (
                name,
                _told(e.ips),
                _told(e.snips),
                _told(e.doubly_robust),
                f"{e.effective_sample_size:,.0f} of {e.decisions:,}",
            )
            for name, e in report.estimates.items()
        )
        head = ("led by", "IPS", "SNIPS", "doubly robust", "effective sample")
        body.append(_table("What the reward would have been, with 95 % intervals", head, rows))
    body.append(_shares("By how the lead was chosen", report.groups))
    body.append(_drawn("Acceptance foretold (across) and what came (up)", report.acceptance))
    body.append(_drawn("Kept instalments foretold (across) and what came (up)", report.keeping))
    body.append(_shares("By the option that led", report.leads))
    body.append(_shares("By month", report.months))
    for caption, versions in (
        ("What chose the lead", report.model_versions),
        ("What valued the options", report.estimate_versions),
    ):
        body.append(_table(caption, ("version", "decisions"), ((escape(n), f"{c:,}") for n, c in versions.items())))
    if report.updates is not None:
        first, last = report.updates
        body.append(
            f"<p>What was learned decided as it stood from update {first:,} to update {last:,} of the model.</p>"
        )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Evaluation of offers</title>'
        f"<style>{_STYLE}</style></head>\n<body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def _told(e: Estimated, *, sign: bool = False) -> str:
    return f"{e.value:{'+' if sign else ''}.3f} [{e.low:.3f}, {e.high:.3f}]"


def _shares(caption: str, shares: Sequence[Share]) -> str:
    rows = (
        (escape(s.name), f"{s.offers:,}", f"{s.accepted:.1%}", f"{s.reward:.3f}", f"{s.kept:,}", f"{s.missed:,}")
        for s in shares
    )
    return _table(caption, ("", "offers", "accepted", "reward", "instalments kept", "missed"), rows)


def _table(caption: str, head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    top = "".join(f'<th scope="col">{name}</th>' for name in head)
    lines = ("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><caption>{caption}</caption><thead><tr>{top}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _drawn(caption: str, bins: Sequence[Bin]) -> str:
    """Return a calibration plot: on the diagonal what was foretold is what came."""
    if not bins:
        return f"<p>{caption}: nothing is known yet.</p>"
    spots = "".join(
        f'<circle cx="{_x(b.foretold):.1f}" cy="{_y(b.came):.1f}" r="5" fill="#1f5fa8"><title>{b.offers} offers: '
        f"{b.foretold:.2f} foretold, {b.came:.2f} came</title></circle>"
        for b in bins
    )
    axes = (
        f'<path d="M{_x(0)} {_y(1)}V{_y(0)}H{_x(1)}" fill="none" stroke="#1c2430"/>'
        f'<path d="M{_x(0)} {_y(0)}L{_x(1)} {_y(1)}" stroke="#98a3b3" stroke-dasharray="4"/>'
    )
    marks = "".join(
        f'<text x="{_x(v)}" y="{_HIGH - 14}" font-size="12" text-anchor="middle">{v:g}</text>'
        f'<text x="{_EDGE - 8}" y="{_y(v) + 4}" font-size="12" text-anchor="end">{v:g}</text>'
        for v in (0, 0.5, 1)
    )
    return (
        f'<figure><figcaption>{caption}</figcaption><svg role="img" aria-label="{caption}" width="{_WIDE}" '
        f'height="{_HIGH}" viewBox="0 0 {_WIDE} {_HIGH}">{axes}{marks}{spots}</svg></figure>'
    )


def _x(value: float) -> float:
    return _EDGE + value * (_WIDE - 2 * _EDGE)


def _y(value: float) -> float:
    return _HIGH - _EDGE - value * (_HIGH - 2 * _EDGE)
