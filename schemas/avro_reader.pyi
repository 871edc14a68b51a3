from collections.abc import Callable

from schemas.events import Event
from schemas.read_plan import RecordPlan

def reader_of(plan: RecordPlan) -> Callable[[bytes, int], tuple[Event, int]]: ...
