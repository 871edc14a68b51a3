"""Keys on which their agent failed: a bug of an agent stops one account, and not its partition.

What an agent did to a state before it failed cannot be trusted, so the driver abandons the batch, the task expects the
fault at its position, and the same batch is processed again. At the position the key goes into quarantine: this record,
all that come behind it and all closes wait there in their order, each with what its decision depends on (the day closed
before it, the policies, the model). A release repeats them, and comes to what a run without the bug would have.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date

from msgspec import Struct, msgpack
from msgspec.structs import replace

from schemas.errors import FatalError, ReprieveError
from streams.engine.output import Record, StoredRecord, headers_of
from streams.engine.state_store import TaskStore
from streams.redaction import describe_error
from streams.security.sealed_rows import SEALED, require_vault
from streams.security.vault import Vault

# How many keys of a task may be in quarantine; a bug that meets more of them stops the task.
LIMIT = 100


class AgentError(FatalError):
    """An agent failed on one key, by a bug of ours. The message names both, and never the error's own words.

    place: the record or the close on which it failed; None where only its batch is known. kind: of the error, and where
    it was raised.
    """

    def __init__(self, agent: str, key: str, place: str | None, error: BaseException, message: str) -> None:
        super().__init__(f"{message} This is a fault of Reprieve.")
        self.agent = agent
        self.key = key
        self.place = place
        self.kind = describe_error(error)


def is_of_agent(error: Exception, faults: tuple[type[Exception], ...]) -> bool:
    """Say whether an error is a bug of an agent, and not one of what it runs on. faults: what its store raises."""
    return not isinstance(error, (ReprieveError, MemoryError, *faults))


def place_of(record: Record) -> str:
    """Return how a record is named."""
    return f"{record.topic}/{record.partition}/{record.offset}"


def close_of(day: date) -> str:
    """Return how a close is named."""
    return f"close/{day}"


class HeldKey(Struct, array_like=True, frozen=True, tag="key"):
    """A key in quarantine. place: on which its agent failed first. error: its kind, the last one's."""

    agent: str
    key: str
    place: str
    error: str
    # When the record of the place was appended, in ms.
    since: int


class HeldItem(Struct, array_like=True, frozen=True, tag="item"):
    """A record that waits for a key's release; day: it is the close of a business date (ordinal).

    closed_through: of the agent (ordinal) when it came. policies: how many changes applied. model: the number of the
    row that has the model.
    """

    agent: str
    key: str
    record: StoredRecord
    day: int | None
    closed_through: int | None
    policies: int
    model: int | None
    # Whether the record's value is sealed.
    sealed: bool = False


class HeldModel(Struct, array_like=True, frozen=True, tag="model"):
    """A model by which decisions went while keys were in quarantine, as text."""

    text: str


Row = HeldKey | HeldItem | HeldModel
_encode = msgpack.Encoder().encode
decode_row = msgpack.Decoder(Row).decode


@dataclass(slots=True)
class Held:
    """What is known of a key in quarantine: its row, and how much waits."""

    row: HeldKey
    numbers: list[int] = field(default_factory=list)
    records: int = 0
    closes: int = 0
    last_day: int = 0

    def count(self, number: int, item: HeldItem) -> None:
        """Count an item that waits."""
        self.numbers.append(number)
        if item.day is None:
            self.records += 1
        else:
            self.closes += 1
            self.last_day = item.day


def held_in(rows: Iterable[tuple[int, bytes]]) -> dict[tuple[str, str], Held]:
    """Return keys in quarantine by agent and key, from stored rows in their order."""
    found: dict[tuple[str, str], Held] = {}
    for number, value in rows:
        row = decode_row(value)
        if isinstance(row, HeldKey):
            found[row.agent, row.key] = Held(row, [number])
        elif isinstance(row, HeldItem):
            found[row.agent, row.key].count(number, row)
    return found


def sealed_values(rows: Iterable[tuple[int, bytes]]) -> Iterator[bytes]:
    """Yield the values of records that wait, as far as they are sealed."""
    for _, value in rows:
        row = decode_row(value)
        if isinstance(row, HeldItem) and row.sealed and row.record.value is not None:
            yield row.record.value


def items_of(rows: Iterable[tuple[int, bytes]], held: Held) -> list[HeldItem]:
    """Return what waits for a key, in order; a value that is sealed stays so."""
    numbers = set(held.numbers)
    found = (decode_row(value) for number, value in rows if number in numbers)
    return [row for row in found if isinstance(row, HeldItem)]


class Quarantine:
    """The quarantine of a task, in its store. vault: seals what is personal in the records that wait.

    expected: faults of the batch in hand, by agent, key and place, with the error's kind.
    """

    def __init__(self, store: TaskStore, vault: Vault | None, limit: int) -> None:
        self._store = store
        self._vault = vault
        self._limit = limit
        self.expected: dict[tuple[str, str, str | None], str] = {}
        self.load()

    def load(self) -> None:
        """Begin from what the store has."""
        rows = list(self._store.quarantined())
        self.held = held_in(rows)
        self._next = rows[-1][0] + 1 if rows else 0
        # The number of the row that has a model, and its text.
        self._model: tuple[int, str] | None = None
        for number, value in rows:
            row = decode_row(value)
            if isinstance(row, HeldModel):
                self._model = (number, row.text)

    def keys(self, agent: str) -> Collection[str]:
        """Return the keys of an agent that are in quarantine."""
        return {key for name, key in self.held if name == agent}

    def values(self) -> Iterator[bytes]:
        """Yield the values of all records that wait."""
        for _, value in self._store.quarantined() if self.held else ():
            row = decode_row(value)
            if isinstance(row, HeldItem):
                yield self._opened(row).record.value or b""

    # -- faults

    def expect(self, fault: AgentError) -> None:
        """Expect a fault when its batch is processed again, which was abandoned. Raises FatalError where it goes on."""
        at = (fault.agent, fault.key, fault.place)
        if at in self.expected:
            raise fault
        keys = {*self.held, *((agent, key) for agent, key, _ in (*self.expected, at))}
        if len(keys) > self._limit:
            more = (
                f" worker.quarantine_limit allows {self._limit} keys in quarantine a partition." if self._limit else ""
            )
            # A driver that goes on nevertheless processes its batch as if it were the first time.
            self.expected = {}
            raise FatalError(f"{fault}{more}") from fault
        self.expected[at] = fault.kind

    def expected_at(self, agent: str, key: str, place: str) -> str | None:
        """Return the kind of the error with which a key's agent fails at a place, None where it does not."""
        found = self.expected.get((agent, key, place))
        return found or self.expected.get((agent, key, None))

    def expected_keys(self, agent: str, place: str) -> list[str]:
        """Return the keys on which an agent fails at a place, sorted."""
        return sorted({key for name, key, at in self.expected if name == agent and at in (place, None)})

    # -- keys

    def hold(self, agent: str, key: str, record: Record, place: str, error: str) -> None:
        """Put a key into quarantine."""
        row = HeldKey(agent, key, place, error, record.timestamp)
        self.held[agent, key] = Held(row, [self._put(row)])

    def note_error(self, agent: str, key: str, error: str) -> None:
        """Note that a release failed."""
        held = self.held[agent, key]
        held.row = replace(held.row, error=error)
        self._store.put_quarantined(held.numbers[0], _encode(held.row))

    def add(
        self,
        agent: str,
        key: str,
        record: Record,
        closed_through: date | None,
        policies: int,
        model: str | None,
        day: date | None = None,
    ) -> None:
        """Let a record of a key wait, or the close of a day."""
        if model is not None and (self._model is None or self._model[1] != model):
            self._model = (self._put(HeldModel(model)), model)
        value, sealed = self._sealed(agent, key, record.value)
        item = HeldItem(
            agent,
            key,
            StoredRecord(
                record.topic,
                record.partition,
                record.offset,
                record.key,
                value,
                headers_of(record),
                record.timestamp,
            ),
            None if day is None else day.toordinal(),
            None if closed_through is None else closed_through.toordinal(),
            policies,
            None if model is None or self._model is None else self._model[0],
            sealed,
        )
        self.held[agent, key].count(self._put(item), item)

    def items(self, agent: str, key: str) -> Iterator[tuple[HeldItem, str | None]]:
        """Yield what waits for the release of a key, in order, each with the text of its model."""
        numbers = set(self.held[agent, key].numbers)
        models: dict[int, str] = {}
        for number, value in list(self._store.quarantined()):
            row = decode_row(value)
            if isinstance(row, HeldModel):
                models[number] = row.text
            elif isinstance(row, HeldItem) and number in numbers:
                yield self._opened(row), None if row.model is None else models[row.model]

    def take(self, agent: str, key: str) -> list[tuple[HeldItem, str | None]]:
        """Remove a key; returns what `items` yields of it."""
        items = list(self.items(agent, key))
        numbers = set(self.held.pop((agent, key)).numbers)
        rows = {number: decode_row(value) for number, value in self._store.quarantined()}
        used = {row.model for number, row in rows.items() if isinstance(row, HeldItem) and number not in numbers}
        unused = {number for number, row in rows.items() if isinstance(row, HeldModel) and number not in used}
        if self._model is not None and self._model[0] in unused:
            self._model = None
        self._store.remove_quarantined(sorted(numbers | unused))
        return items

    def change_values(self, agent: str, key: str, change: Callable[[StoredRecord], bytes | None]) -> None:
        """Have the records that wait for a key hold other values, without the headers of before; None leaves one."""
        numbers = set(self.held[agent, key].numbers)
        for number, value in list(self._store.quarantined()):
            row = decode_row(value)
            if isinstance(row, HeldItem) and number in numbers and row.day is None:
                changed = change(self._opened(row).record)
                if changed is not None:
                    stored, sealed = self._sealed(agent, key, changed)
                    record = replace(row.record, value=stored, headers=())
                    self._store.put_quarantined(number, _encode(replace(row, record=record, sealed=sealed)))

    def rewrap(self) -> None:
        """Have the data keys of what waits wrapped by the current master key."""
        if self._vault is None:
            return
        for number, value in list(self._store.quarantined()):
            row = decode_row(value)
            if isinstance(row, HeldItem) and row.sealed and row.record.value is not None:
                again = self._vault.rewrapped(row.record.value, _scope(row.agent, row.key))
                self._store.put_quarantined(number, _encode(replace(row, record=replace(row.record, value=again))))

    def _put(self, row: Row) -> int:
        number, self._next = self._next, self._next + 1
        self._store.put_quarantined(number, _encode(row))
        return number

    def _sealed(self, agent: str, key: str, value: bytes | None) -> tuple[bytes | None, bool]:
        """Return a value as it is stored, and whether it is sealed, each value under a data key of its own."""
        if value is None or self._vault is None or agent not in SEALED:
            return value, False
        return self._vault.seal(value, _scope(agent, key)), True

    def _opened(self, item: HeldItem) -> HeldItem:
        value = item.record.value
        if value is None or not item.sealed:
            return item
        opened = require_vault(self._vault, item.agent, item.key).open(value, _scope(item.agent, item.key))
        return replace(item, record=replace(item.record, value=opened))


def _scope(agent: str, key: str) -> bytes:
    return f"quarantine\x1f{agent}\x1f{key}".encode()
