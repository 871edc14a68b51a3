"""The learner agent: adds up what offers have taught, and tells all planners once a day.

Evidence only adds up, so its order does not matter and what several workers gathered is one model. At a day's close
what is old fades, guardrails are looked at, and what was learned is published to every partition; planners decide by
it from the next business date on, wherever they run.
"""

from __future__ import annotations

from copy import copy

from agents import input_limits
from agents.base import DecisionContext, EventHeader, Step, day_identity, derived_id
from agents.learner.guardrails import breach_of, count, recent
from schemas import events as ev
from schemas.errors import InvalidEventError
from state.learning import UNIT, WIDTH, LearnerState, share
from state.policy import PolicyBook

SOURCE = "reprieve.learner"
_LONGEST_FADE = 3_650
# Far above any figure of one offer, and small enough that statistics fit 64 bits for ever.
MOST = 10**6


class ModelHeader(EventHeader):
    """The fields that all events of a model have in common."""

    model: str


class LearnerAgent:
    """Keeps one model. It knows no borrower: what reaches it are rows of figures."""

    name = "learner"
    daily = False
    waiting = None
    accepts: frozenset[type[ev.Event]] = frozenset({ev.OfferOutcomeReported})

    def fact_key(self, event: ev.Event) -> str:
        """Return the fact's identity within its model."""
        return f"evidence:{event.event_id}"

    def due(self, state: LearnerState) -> int | None:
        """Return the day at whose close there is something to tell."""
        return state.publish_on or None

    def needs_policy_refold(self, state: LearnerState, policies: PolicyBook, through: int) -> bool:
        """Say that other policies apply to what is decided from then on, and leave what was decided."""
        return False

    def handle(self, state: LearnerState | None, event: ev.Event, context: DecisionContext) -> Step[LearnerState]:
        """Add evidence. It is not kept as a fact: the runtime hands it over exactly once.

        Raises InvalidEventError where no planner can have gathered it.
        """
        assert isinstance(event, ev.OfferOutcomeReported)
        input_limits.check_event(event)
        _check(event)
        s = _copied(state) if state is not None else LearnerState(event.model)
        for row in event.rows:
            s.statistics.add(row)
        for cell in event.cells:
            kept, missed = s.cells.get(cell.cell, (0, 0))
            s.cells[cell.cell] = (kept + cell.kept * UNIT, missed + cell.missed * UNIT)
        for name, moved in event.counts.items():
            s.counts[name] = s.counts.get(name, 0) + moved
        count(s, event)
        day = event.business_date.toordinal()
        s.publish_on = min(s.publish_on, day) if s.publish_on else day
        return Step(s)

    def close(self, state: LearnerState, day: ev.DayClosed, context: DecisionContext) -> Step[LearnerState]:
        """Let what is old fade, look at the guardrails, and tell what was learned.

        Once a guardrail tripped, the model ranks no options until a person raises the policy's `guardrail_reset_id`
        above all earlier values. Guardrails then count again, from the offers of that day on.
        """
        s = _copied(state)
        today = day.business_date.toordinal()
        rules = context.policies.in_force_on(today).policy_for("", "").learning
        if s.through:
            for _ in range(min(today - s.through, _LONGEST_FADE)):
                s.statistics.fade(rules.fade_bps)
                s.cells = {
                    name: (share(kept, rules.fade_bps), share(missed, rules.fade_bps))
                    for name, (kept, missed) in s.cells.items()
                }
        s.through, s.publish_on = today, 0
        s.version += 1
        outputs: list[ev.Event] = []

        def header(kind: type[ev.Event]) -> ModelHeader:
            return {
                "event_id": derived_id(day_identity(day), kind.__name__, s.model),
                "occurred_at": day.occurred_at,
                "source": SOURCE,
                "model": s.model,
                "business_date": day.business_date,
                "caused_by": day.event_id,
            }

        if s.tripped and rules.guardrail_reset_id > s.guardrail_reset_id:
            s.tripped, s.learned, s.control, s.since = "", {}, {}, today
        s.guardrail_reset_id = max(s.guardrail_reset_id, rules.guardrail_reset_id)
        learned, control = recent(s, rules, today)
        breach = breach_of(learned, control, rules) if not s.tripped else None
        if breach is not None:
            s.tripped = breach.guardrail
            outputs.append(
                ev.GuardrailTripped(
                    **header(ev.GuardrailTripped),
                    guardrail=breach.guardrail,
                    measured_bps=breach.measured,
                    limit_bps=breach.limit,
                    offers=breach.offers,
                )
            )
        outputs.append(
            ev.ModelUpdated(
                **header(ev.ModelUpdated),
                version=s.version,
                rows=s.statistics.rows,
                outer=tuple(s.statistics.outer),
                accepted=tuple(s.statistics.accepted),
                reward=tuple(s.statistics.reward),
                cells=tuple(ev.CapacityCell(cell=c, kept=k, missed=m) for c, (k, m) in sorted(s.cells.items())),
                unit=UNIT,
                counts=dict(sorted(s.counts.items())),
                tripped=s.tripped or None,
            )
        )
        return Step(s, outputs)


def _check(event: ev.OfferOutcomeReported) -> None:
    """Raise InvalidEventError where rows have another width than the model's, or figures are too large."""
    if any(len(row.x) != WIDTH for row in event.rows):
        raise InvalidEventError(
            "out_of_range",
            f"A row of evidence {event.event_id} has not the {WIDTH} features of this release. Let workers of one "
            "deployment run one release.",
            "rows",
        )
    figures = [*event.counts.values()]
    for row in event.rows:
        figures += (*row.x, row.accepted, row.reward)
    for cell in event.cells:
        figures += (cell.kept, cell.missed)
    if any(abs(figure) > MOST for figure in figures) or any(row.shown not in (0, 1) for row in event.rows):
        raise InvalidEventError(
            "out_of_range",
            f"Evidence {event.event_id} holds a figure beyond {MOST}, or an option shown other than once. Only "
            "planners write evidence; find out who else does.",
        )


def _copied(s: LearnerState) -> LearnerState:
    """Return a copy that may be changed in place: what was read may still be another's."""
    made = copy(s)
    made.statistics = copy(s.statistics)
    made.statistics.outer, made.statistics.accepted = list(s.statistics.outer), list(s.statistics.accepted)
    made.statistics.reward = list(s.statistics.reward)
    made.cells, made.counts = dict(s.cells), dict(s.counts)
    made.learned, made.control = dict(s.learned), dict(s.control)
    return made
