"""An evaluation as a page that stands alone: no script, no other host, readable in print."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from evaluation.calibration import Calibration
from evaluation.drawing import over_months, reliability
from evaluation.drift import MAJOR, MODERATE, Shift, Stability
from evaluation.estimators import Estimated
from evaluation.logged import OptionShare, Report, Share
from evaluation.parity import FOUR_FIFTHS, LEAST_GROUP, Group

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #1c2430; }
table { border-collapse: collapse; margin: 1rem 0; } caption { text-align: left; font-weight: 600; }
th, td { padding: .25rem .75rem; border-bottom: 1px solid #ccd3dc; text-align: right; }
th:first-child, td:first-child { text-align: left; } svg { max-width: 100%; height: auto; } .note { color: #6b2b00; }
figure { display: inline-block; margin: 1rem 1rem 1rem 0; vertical-align: top; } .wide { overflow-x: auto; }
"""
_NONE = "–"


def page(report: Report) -> str:
    """Return a report as HTML."""
    body = [
        "<h1>Evaluation of offers</h1>",
        f"<p>{report.decisions:,} decisions with options from {report.first} to {report.last}, in a log that goes "
        f"through {report.through}. Of {report.answered:,} offers the time to be answered is over and it is known what "
        f"came; of {report.mature:,} offers, {report.maturity_days} days old or more, nothing counts any more. "
        "Acceptance is told of the former, rewards and keeping of the latter alone: younger ones would look worse than "
        "they are. Intervals are 95 %.</p>",
        *(f'<p class="note">{escape(note)}</p>' for note in report.notes),
        *_rewards(report),
        "<h2>Acceptance and keeping</h2>",
        "<p>Accepted is the share of answered offers of which any option was; plans kept the share of mature plans "
        f"whose first three instalments were all kept ({report.unresolved:,} plans left out, of which too few "
        "instalments are known); instalments kept and missed are single ones, of mature offers.</p>",
        _shares("By how the lead was chosen", report.groups),
        _shares("By month of the offer", report.months),
        _options(report.options),
        "<h2>Calibration</h2>",
        "<p>Where probabilities are right, points lie on the diagonal: of offers foretold 0.7, 70 % come true. Bars "
        "are intervals (Wilson). Calibration in the large compares the means, the expected calibration error is the "
        "mean distance from the diagonal, the Brier score the mean squared error of single probabilities: for "
        "all three, the nearer to zero the better.</p>",
        *_calibration(
            "Acceptance",
            "P(accept) of the option that led, against whether that option was the one accepted. It is weighed of an "
            "option by itself; beside others an option is accepted less often, so points below the diagonal may be "
            "their doing. Leads that borrowers had proposed themselves are left out.",
            report.acceptance,
        ),
        *_calibration(
            "Acceptance of a single option",
            "The same, of offers that show one option alone: here nothing else can be accepted in its place.",
            report.acceptance_alone,
        ),
        *_calibration(
            "Keeping",
            "P(keep) of the option that was accepted, against whether its first three instalments were all kept; "
            "mature plans alone.",
            report.keeping,
        ),
        "<h2>Drift</h2>",
        *_drift(report.drift),
        "<h2>Groups</h2>",
        "<p>Each group's rate over that of the group with the highest (adverse impact ratio, interval by Katz). By "
        f"the four-fifths rule, below {FOUR_FIFTHS} is where to look: what differs there besides the group? It is no "
        "verdict, and above it is no proof of equal treatment. Groups of less than "
        f"{LEAST_GROUP} are too small for a ratio. No protected attribute (sex, age, origin, religion, health) is "
        "logged or used, so none can be compared here; language may stand for origin, and a supportive tone for "
        "distress.</p>",
        _groups("Acceptance, of offers whose time to be answered is over", report.acceptance_parity),
        _groups("First three instalments all kept, of mature plans", report.keeping_parity),
        "<h2>Models</h2>",
        "<p>What decided the order of options; a learner has a new version whenever it has learned.</p>",
        _table(
            "Decisions by model",
            ("model", "versions", "decisions"),
            ((escape(m.name), f"{m.versions:,}", f"{m.decisions:,}") for m in report.models),
        ),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Evaluation of offers</title>'
        f"<style>{_STYLE}</style></head>\n<body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def _rewards(report: Report) -> Iterable[str]:
    yield "<h2>Rewards</h2>"
    yield (
        "<p>The reward of an offer is 0.3 once it is accepted, 0.6 with the first kept instalment, 1 with the third, "
        "and nothing where its plan broke.</p>"
    )
    if report.against_fixed is not None:
        yield (
            f"<p>Learned leads against the fixed order: mean reward {told(report.against_fixed, sign=True)}; where the "
            "interval holds zero, no difference is shown.</p>"
        )
    if report.acceptance_ratio is not None:
        yield f"<p>Offers with learned leads are accepted {told(report.acceptance_ratio)} times as often.</p>"
    if not report.estimates:
        return
    yield (
        "<p>Had options been led in another way, the mean reward would have been as follows (off-policy estimates). "
        "IPS weighs what came by how much likelier the other way was to lead so, SNIPS divides by the sum of the "
        "weights, the doubly robust estimate adds a model of the reward. The effective sample says how many offers "
        "the weighted ones are worth: where it is small, so is what can be said.</p>"
    )
    yield _table(
        "Mean reward by way to lead",
        ("led by", "IPS", "SNIPS", "doubly robust", "effective sample"),
        (
            (
                escape(name),
                told(e.ips),
                told(e.snips),
                told(e.doubly_robust),
                f"{e.effective_sample_size:,.1f} of {e.decisions:,}",
            )
            for name, e in report.estimates.items()
        ),
    )


def told(e: Estimated, *, sign: bool = False) -> str:
    """Return an estimate with its interval, in words."""
    return f"{e.value:{'+' if sign else ''}.3f} [{e.low:.3f}, {e.high:.3f}]"


def percent(value: float | None) -> str:
    """Return a share in per cent, or a dash where there is none."""
    return _NONE if value is None else f"{value:.1%}"


def figure(value: float | None) -> str:
    """Return a figure with three decimals, or a dash where there is none."""
    return _NONE if value is None else f"{value:.3f}"


def _shares(caption: str, shares: Sequence[Share]) -> str:
    return _table(
        caption,
        ("", "answered", "accepted", "mature", "reward", "plans", "plans kept", "instalments kept", "missed"),
        (
            (
                escape(s.name),
                f"{s.offers:,}",
                percent(s.accepted),
                f"{s.mature:,}",
                figure(s.reward),
                f"{s.plans:,}",
                percent(s.plans_kept),
                f"{s.kept:,}",
                f"{s.missed:,}",
            )
            for s in shares
        ),
    )


def _options(options: Sequence[OptionShare]) -> str:
    return _table(
        "By option",
        ("", "shown", "led", "accepted", "accepted where it led", "mature, led", "reward", "plans", "plans kept"),
        (
            (
                escape(o.name),
                f"{o.shown:,}",
                f"{o.led:,}",
                f"{o.chosen:,}",
                percent(o.chosen_led),
                f"{o.mature_led:,}",
                figure(o.reward_led),
                f"{o.plans:,}",
                percent(o.plans_kept),
            )
            for o in options
        ),
    )


def _calibration(name: str, explained: str, found: Calibration | None) -> Iterable[str]:
    yield f"<h3>{name}</h3><p>{explained}</p>"
    if found is None:
        yield "<p>Nothing is known yet.</p>"
        return
    yield (
        f"<p>Of {found.overall.offers:,} offers {percent(found.overall.foretold)} were foretold and "
        f"{percent(found.overall.came)} came; expected calibration error {found.expected_error:.3f}, Brier score "
        f"{found.brier:.3f}.</p>"
    )
    yield reliability(f"{name}: foretold (across) and came (up)", found.bins)
    yield over_months(f"{name} by month: came (points) and foretold (line)", found.months)
    named = [(f"bin {number}", b) for number, b in enumerate(found.bins, 1)] + list(found.months.items())
    yield _table(
        f"{name}: by size of what was foretold, and by month of the offer",
        ("", "offers", "foretold", "came", "interval"),
        (
            (n, f"{b.offers:,}", percent(b.foretold), percent(b.came), f"{percent(b.low)} to {percent(b.high)}")
            for n, b in named
        ),
    )


def _drift(found: Sequence[Stability]) -> Iterable[str]:
    months = sorted({month for s in found for month in s.months})
    if not months:
        yield "<p>There is no month behind the first period yet.</p>"
        return
    yield (
        "<p>Population stability index of each figure against its first period, over all options shown: below "
        f"{MODERATE} stable, from {MODERATE} a moderate shift, from {MAJOR} a major one, as is usual. Months with too "
        "few offers, so that chance alone would shift them, have none. Propensity is the probability of an option to "
        "lead, where chance had a part. Drift of calibration is in the tables by month above.</p>"
    )
    yield _table(
        "Population stability index",
        ("", "first period", *months),
        (
            (s.name, f"{s.first} ({s.first_offers:,})", *(_shift(s.months.get(month)) for month in months))
            for s in found
        ),
    )


def _shift(found: Shift | None) -> str:
    if found is None:
        return ""
    return f"too few ({found.offers:,})" if found.psi is None else f"{found.psi:.3f} {found.reading} ({found.offers:,})"


def _groups(caption: str, groups: Sequence[Group]) -> str:
    return _table(
        caption,
        ("", "group", "offers", "rate", "ratio to the highest", "reading"),
        (
            (
                g.attribute,
                escape(g.name),
                f"{g.offers:,}",
                _NONE if g.rate is None else told(g.rate),
                _NONE if g.ratio is None else told(g.ratio),
                f"<strong>{g.reading}</strong>" if g.reading == "look here" else g.reading,
            )
            for g in groups
        ),
    )


def _table(caption: str, head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    top = "".join(f'<th scope="col">{name}</th>' for name in head)
    lines = ("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return (
        f'<div class="wide"><table><caption>{caption}</caption><thead><tr>{top}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )
