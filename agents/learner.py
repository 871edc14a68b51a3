"""The learner agent: adds up what offers have taught, and tells all planners once a day.

Evidence only adds up, so its order does not matter and what several workers gathered is one model. At a day's close
what is old fades, guardrails are looked at, and what was learned is told to every partition; planners decide by it from
the next business date on, wherever they run.
"""

from __future__ import annotations

from copy import copy

from agents import plausible
from agents.base import Environment, Step, derived_id
from agents.guardrails import breach_of, count, recent
from schemas import events as ev
from schemas.errors import BadInput
from state.keeping import UNIT
from state.learner import LearnerState
from state.learning import WIDTH, share
from state.policy import PolicyBook

SOURCE = "reprieve.learner"
_LONGEST_FADE = 3_650
# Far above any figure of one offer, and small enough that sums fit 64 bits for ever.
MOST = 10**6


class LearnerAgent:
    """Keeps one model. It knows no borrower: what reaches it are rows of figures."""

    name = "learner"
    daily = False
    accepts: frozenset[type[ev.Event]] = frozenset({ev.EvidenceGathered})

    def fact_key(self, event: ev.Event) -> str:
        """Return the fact's identity within its model."""
        return f"evidence:{event.event_id}"

    def due(self, state: LearnerState) -> int | None:
        """Return the day at whose close there is something to tell."""
        return state.tell_on or None

    def outdated(self, state: LearnerState, policies: PolicyBook, through: int) -> bool:
        """Say that other policies apply to what is decided from then on, and leave what was decided."""
        return False

    def handle(self, state: LearnerState | None, event: ev.Event, env: Environment) -> Step[LearnerState]:
        """Add evidence. It is not kept as a fact: the runtime hands it over exactly once.

        Raises BadInput where no planner can have gathered it.
        """
        assert isinstance(event, ev.EvidenceGathered)
        plausible.check(event)
        _check(event)
        s = _copied(state) if state is not None else LearnerState(event.model)
        for row in event.rows:
            s.sums.add(row)
        for cell in event.cells:
            kept, missed = s.cells.get(cell.cell, (0, 0))
            s.cells[cell.cell] = (kept + cell.kept * UNIT, missed + cell.missed * UNIT)
        for name, moved in event.counts.items():
            s.counts[name] = s.counts.get(name, 0) + moved
        count(s, event)
        day = event.business_date.toordinal()
        s.tell_on = min(s.tell_on, day) if s.tell_on else day
        return Step(s)

    def close(self, state: LearnerState, day: ev.DayClosed, env: Environment) -> Step[LearnerState]:
        """Let what is old fade, look at the guardrails, and tell what was learned.

        Once a guardrail tripped, learned leads stay out until the rules of a day have a higher `trial` than any before:
        the word of a person who has looked. Guardrails then count anew, of offers from that day on.
        """
        s = _copied(state)
        today = day.business_date.toordinal()
        rules = env.policies.on(today).policy_for("", "").learning
        if s.through:
            for _ in range(min(today - s.through, _LONGEST_FADE)):
                s.sums.fade(rules.fade_bps)
                s.cells = {
                    name: (share(kept, rules.fade_bps), share(missed, rules.fade_bps))
                    for name, (kept, missed) in s.cells.items()
                }
        s.through, s.tell_on = today, 0
        s.version += 1
        outputs: list[ev.Event] = []
        if s.tripped and rules.trial > s.trial:
            s.tripped, s.learned, s.control, s.since = "", {}, {}, today
        s.trial = max(s.trial, rules.trial)
        learned, control = recent(s, rules, today)
        breach = breach_of(learned, control, rules) if not s.tripped else None
        if breach is not None:
            s.tripped = breach.guardrail
            outputs.append(
                ev.GuardrailTripped(
                    event_id=derived_id(day.event_id, "GuardrailTripped", s.model),
                    occurred_at=day.occurred_at,
                    source=SOURCE,
                    model=s.model,
                    business_date=day.business_date,
                    caused_by=day.event_id,
                    guardrail=breach.guardrail,
                    measured_bps=breach.measured,
                    limit_bps=breach.limit,
                    offers=breach.offers,
                )
            )
        outputs.append(
            ev.ModelUpdated(
                event_id=derived_id(day.event_id, "ModelUpdated", s.model),
                occurred_at=day.occurred_at,
                source=SOURCE,
                model=s.model,
                business_date=day.business_date,
                caused_by=day.event_id,
                version=s.version,
                rows=s.sums.rows,
                outer=tuple(s.sums.outer),
                accepted=tuple(s.sums.accepted),
                reward=tuple(s.sums.reward),
                cells=tuple(ev.CapacityCell(cell=c, kept=k, missed=m) for c, (k, m) in sorted(s.cells.items())),
                unit=UNIT,
                counts=dict(sorted(s.counts.items())),
                tripped=s.tripped or None,
            )
        )
        return Step(s, outputs)


def _check(event: ev.EvidenceGathered) -> None:
    """Raise BadInput where rows are of another width than the model's, or figures larger than any that are told."""
    if any(len(row.x) != WIDTH for row in event.rows):
        raise BadInput(
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
        raise BadInput(
            "out_of_range",
            f"Evidence {event.event_id} holds a figure beyond {MOST}, or an option shown other than once. Only "
            "planners write evidence; find out who else does.",
        )


def _copied(s: LearnerState) -> LearnerState:
    """Return a copy that may be changed in place: what was read may still be another's."""
    made = copy(s)
    made.sums = copy(s.sums)
    made.sums.outer, made.sums.accepted = list(s.sums.outer), list(s.sums.accepted)
    made.sums.reward = list(s.sums.reward)
    made.cells, made.counts = dict(s.cells), dict(s.counts)
    made.learned, made.control = dict(s.learned), dict(s.control)
    return made
