from collections.abc import Sequence

class Record:
    topic: str
    partition: int
    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]

def read_records(data: memoryview) -> Sequence[Record] | None: ...
