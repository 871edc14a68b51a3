from collections.abc import Callable

from schemas.events import Event
from schemas.read_plan import Record

def reader_of(plan: Record) -> Callable[[bytes, int], tuple[Event, int]]: ...
