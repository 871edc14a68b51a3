"""What a trial of workers on Kafka needs: topics, events in, workers as processes, and what came out."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from msgspec import Struct
from msgspec.structs import replace

from schemas import events as ev
from schemas.codec import Codec
from schemas.topics import TOPICS
from state.policy_packs.loader import book_for
from state.storage import unpack
from streams.engine.agent_store import join
from streams.engine.agents import all_agents
from streams.engine.stored_facts import waiting_day
from streams.kafka.changelog_format import FACT, STATE, changelog_topic, packed_state
from streams.kafka.committed_reader import high_watermarks, read_committed
from streams.kafka.compat import connected, learn_topics, patch_fetchers
from streams.kafka.publishing import consume, publish
from streams.kafka.topic_admin import apply_topics
from streams.local.runtime import LocalRuntime
from streams.security.key_file import make, read_master_keys
from streams.security.sealed_rows import open_state
from streams.security.vault import Vault
from streams.settings import Settings
from streams.state_rows import SEPARATOR
from tests.support.servers import group_offsets, offsets_of

OUTPUT_TOPICS = [t.name for t in TOPICS.values() if not t.inbound and t.name != "barriers"]
INPUT_TOPICS = [t.name for t in TOPICS.values() if t.inbound]
INTERNAL_TOPICS = ["plans", "workout-requests", "evidence", "learning", "barriers"]
# Seconds that a condition may take on a slow machine.
TIMEOUT = 240.0
# Seconds between two looks whether workers are idle, the first and the longest.
_PAUSE, _LONGEST_PAUSE = 0.1, 1.0

Headers = Sequence[tuple[str, bytes]]
# States by agent and key.
States = dict[tuple[str, str], Struct | None]


def expected_outputs(events: Sequence[ev.Event], policy: str = "default") -> list[ev.Event]:
    """Return what the pure agents say to events under a policy, by the local runtime."""
    return expected_outputs_and_states(events, policy)[0]


def expected_outputs_and_states(events: Sequence[ev.Event], policy: str = "default") -> tuple[list[ev.Event], States]:
    """Return what the pure agents say to events under a policy, and what they keep of each key."""
    with LocalRuntime.open(None, book_for(policy)) as runtime:
        said = runtime.feed(events)
        kept = [(agent.name, key) for agent, _ in all_agents() for key in runtime.keys(agent.name)]
        return said, {(agent, key): runtime.state(agent, key) for agent, key in kept}


# By topic and partition: how far it was read or committed, and where it ends.
Behind = dict[tuple[str, int], tuple[int, int]]


def reader(bootstrap: str, isolation: str = "read_committed") -> AIOKafkaConsumer:
    """Return a consumer of no group that is not connected yet."""
    patch_fetchers()
    return AIOKafkaConsumer(bootstrap_servers=bootstrap, isolation_level=isolation)


class Watch:
    """Asks how far a group has come, by clients that are kept for as long as somebody waits."""

    def __init__(self, bootstrap: str, group: str) -> None:
        self._bootstrap = bootstrap
        self._group = group
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Watch:
        async with AsyncExitStack() as stack:
            admin = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap)
            self._admin = await stack.enter_async_context(connected(admin))
            self._stable = await stack.enter_async_context(connected(reader(self._bootstrap)))
            self._last = await stack.enter_async_context(connected(reader(self._bootstrap, "read_uncommitted")))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def behind(self, everything: Sequence[TopicPartition], read: Sequence[TopicPartition]) -> Behind:
        """Return what is not committed to its end of all partitions, or not read to its end of those to be read."""
        try:
            found = await offsets_of(self._admin, self._group)
        except KafkaError:
            # A group that nobody was of has no coordinator yet.
            found = {}
        for consumer in (self._last, self._stable):
            await learn_topics(consumer, {tp.topic for tp in everything})
        ends = await self._last.end_offsets(everything)
        stable = await self._stable.end_offsets(everything)
        behind = {(tp.topic, tp.partition): (stable[tp], ends[tp]) for tp in everything if stable[tp] < ends[tp]}
        if behind:
            return behind
        unread = [tp for tp in read if found.get(tp, 0) < ends[tp]]
        # Behind the last record there may be markers of transactions, which nobody reads. By a consumer of its own: one
        # that is kept would fetch on.
        async with connected(reader(self._bootstrap)) as consumer:
            consumer.assign(unread)
            for tp in unread:
                consumer.seek(tp, found.get(tp, 0))
            while any([await consumer.position(tp) < ends[tp] for tp in unread]):
                if await consumer.getmany(timeout_ms=100):
                    return {(tp.topic, tp.partition): (found.get(tp, 0), ends[tp]) for tp in unread}
        return {}


class WorkerCluster:
    """Topics with a prefix of their own on a running cluster.

    connection: settings of `kafka` by which workers connect otherwise than the workers itself. environment: of each
    new worker, by its name.
    """

    def __init__(
        self,
        bootstrap: str,
        folder: Path,
        name: str,
        *,
        partitions: int = 3,
        replicas: int = 1,
        connection: Mapping[str, object] | None = None,
        environment: Callable[[str], Mapping[str, str]] = lambda name: {},
        policy: str = "default",
    ) -> None:
        self.bootstrap = bootstrap
        self.policy = policy
        self._connection = connection or {}
        self._environment = environment
        self.folder = folder
        self.partitions = partitions
        self.prefix = f"{name}."
        self.group = name
        self.replicas = replicas
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.codec = Codec()
        # The address of a schema registry, where there is one.
        self.registry: str | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self.keys = folder / "master-keys.json"
        if not self.keys.exists():
            make(self.keys)
        # Settings of `health` of workers that are started from now on.
        self.health_settings: dict[str, object] = {}
        # What Python runs as workers that are started from now on.
        self.program: Sequence[str] = ("-m", "streams.cli")
        asyncio.run(apply_topics(self.settings()))

    def settings(self, **worker: object) -> Settings:
        """Return the settings of these workers."""
        return Settings.load(**self._options(worker))

    def _options(self, worker: Mapping[str, object]) -> dict[str, Any]:
        return {
            "kafka": {
                "bootstrap_servers": self.bootstrap,
                "retry_pause_max_seconds": 1,
                "request_timeout_seconds": 10,
            },
            "topics": {
                "prefix": self.prefix,
                "partitions": self.partitions,
                "replication_factor": self.replicas,
                "min_insync_replicas": min(self.replicas, 2),
            },
            "privacy": {"master_keys_file": str(self.keys)},
            "worker": {"application_id": self.group, "policy": self.policy, **worker},
            **({} if self.registry is None else {"registry": {"url": self.registry}}),
        }

    def __enter__(self) -> WorkerCluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in list(self.processes):
            self.kill(name)

    # -- workers

    def start(self, name: str = "one", **worker: object) -> subprocess.Popen[bytes]:
        """Start a worker process with a data directory of its own."""
        options = self._options(
            {"data_dir": str(self.data_dir(name)), "session_timeout_seconds": 3, "log_format": "json", **worker}
        )
        options["kafka"] |= self._connection
        options["health"] = {"port": 0, **self.health_settings}
        config = self.folder / f"{name}.toml"
        # A number or a string is the same in JSON and in TOML.
        config.write_text(
            "".join(
                f"[{group}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
                for group, values in options.items()
            ),
            "utf-8",
        )
        with open(self.folder / f"{name}.log", "ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, *self.program, "worker", "--config", str(config)],
                stdout=log,
                stderr=log,
                env={k: v for k, v in os.environ.items() if not k.startswith("REPRIEVE_")}
                | dict(self._environment(name)),
            )
        return self.processes[name]

    def data_dir(self, name: str = "one") -> Path:
        """Return a worker's data directory."""
        return self.folder / f"data-{name}"

    def kill(self, name: str = "one") -> None:
        """End a worker as a crash would."""
        worker = self.processes.pop(name)
        worker.send_signal(signal.SIGKILL)
        worker.wait()

    def stop(self, name: str = "one") -> int:
        """Ask a worker to end, and return its exit code."""
        worker = self.processes.pop(name)
        worker.terminate()
        return worker.wait(TIMEOUT)

    def log(self, name: str = "one") -> str:
        """Return what a worker wrote."""
        return (self.folder / f"{name}.log").read_text("utf-8")

    def assert_running(self) -> None:
        """See that no worker has ended by itself; says its last words where one has."""
        for name, worker in self.processes.items():
            assert worker.poll() is None, f"{name} ended with {worker.poll()}\n{self.log(name)[-4000:]}"

    # -- events

    def publish(self, events: Iterable[ev.Event]) -> None:
        """Publish events in their order, a day's close behind all that came before it."""
        asyncio.run(publish(self.settings(), self.codec, events))

    def produce(
        self, topic: str, partition: int, key: bytes | None, value: bytes | None, headers: Headers = ()
    ) -> None:
        """Append one record as it is."""

        async def send() -> None:
            # A record that is sent twice would be refused twice, and rightly.
            async with connected(
                AIOKafkaProducer(bootstrap_servers=self.bootstrap, enable_idempotence=True)
            ) as producer:
                more = {"key": key, "partition": partition, "headers": list(headers)}
                await producer.send_and_wait(self.prefix + topic, value, **more)

        asyncio.run(send())

    def log_lines(self, event: str, name: str = "one") -> list[dict[str, Any]]:
        """Return a worker's log lines of a kind."""
        return [json.loads(line) for line in self.log(name).splitlines() if f'"event": "{event}"' in line]

    def http_get(self, path: str, name: str = "one") -> tuple[int, str]:
        """Return the status and the text with which a worker's health server answers; 0 where there is none yet."""
        served = self.log_lines("health_served", name)
        if not served:
            return 0, ""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{served[-1]['port']}{path}", timeout=TIMEOUT) as answer:  # nosec B310
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    # -- what came of them

    def wait(self, condition: Callable[[], bool], what: str, patience: float = TIMEOUT, pause: float = 0.1) -> None:
        """Wait for a condition, asked every `pause` seconds.

        Fails with the logs where it does not come within `patience` seconds.
        """
        deadline = time.monotonic() + patience
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(self._did_not_come(what, patience))
            time.sleep(pause)

    def _did_not_come(self, what: str, patience: float) -> str:
        logs = "\n".join(
            f"--- {name} {self.http_get('/livez', name)}\n{self.log(name)[-3000:]}" for name in self.processes
        )
        return f"{what} did not come within {patience:.0f} s\n{logs}"

    def wait_until_idle(self, patience: float = TIMEOUT) -> None:
        """Wait until workers have processed all that was published, and all that came of it."""
        behind = asyncio.run(self._idle(time.monotonic() + patience))
        assert not behind, f"{self._did_not_come('the end of the work', patience)}\nnot read to the end: {behind}"

    async def _idle(self, deadline: float) -> Behind:
        """Wait until workers are idle; returns what is not read to the end by the deadline."""
        while True:
            try:
                async with Watch(self.bootstrap, self.group) as watch:
                    return await self._watched(watch, deadline)
            except (KafkaError, OSError):
                # A broker that ends, or begins: all clients are made anew.
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(_PAUSE)

    async def _watched(self, watch: Watch, deadline: float) -> Behind:
        read = self._tps(INPUT_TOPICS + INTERNAL_TOPICS)
        changelogs = [changelog_topic(self.settings(), agent.name) for agent, _ in all_agents()]
        written = {*OUTPUT_TOPICS, *(name.removeprefix(self.prefix) for name in changelogs)}
        everything = self._tps(sorted({*INPUT_TOPICS, *INTERNAL_TOPICS, *written}))
        pause = _PAUSE
        while (behind := await watch.behind(everything, read)) and time.monotonic() < deadline:
            # What asks takes the processor from those who are asked for.
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)
        return behind

    def committed(self) -> dict[TopicPartition, int]:
        """Return the group's offsets."""
        return asyncio.run(group_offsets(self.bootstrap, self.group))

    async def end_offsets(self, tps: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the offsets behind the last records, those of open transactions too."""
        return await high_watermarks(self.settings(), tps)

    def outputs(self) -> list[ev.Event]:
        """Return all that was said and committed, of all topics but barriers."""

        async def read() -> list[ev.Event]:
            return [event async for event in consume(self.settings(), self.codec, OUTPUT_TOPICS, follow=False)]

        return asyncio.run(read())

    def states(self) -> States:
        """Return the states that the agents' changelogs have, as committed."""
        settings, vault = self.settings(), Vault(read_master_keys(self.keys))
        found: States = {}

        async def read() -> None:
            for agent, kind in all_agents():
                name = changelog_topic(settings, agent.name).removeprefix(self.prefix)
                rows = {r.key: r.value async for r in read_committed(settings, [name]) if r.key[:1] in (STATE, FACT)}
                waited = defaultdict(list)
                for row, value in rows.items():
                    if row[:1] == FACT and value and waiting_day(value):
                        waited[row[1:].decode().partition(SEPARATOR)[0]].append(value)
                for row, value in rows.items():
                    if row[:1] == STATE and value is not None:
                        key = row[1:].decode()
                        state = unpack(open_state(vault, agent.name, key, packed_state(value)), kind)
                        facts = waited.get(key)
                        if facts and agent.waiting is not None:
                            state = join(agent.waiting, state, facts)
                        found[agent.name, key] = state

        asyncio.run(read())
        return found

    def _tps(self, topics: Sequence[str]) -> list[TopicPartition]:
        return [TopicPartition(self.prefix + topic, part) for topic in topics for part in range(self.partitions)]

    def assert_exact(self, events: Sequence[ev.Event], letters: Counter[str] | None = None) -> Counter[str]:
        """Hold what was said, and each state, against the pure agents' answer: nothing lost, twice, or otherwise.

        Returns how many events of each kind were compared.
        """
        return self.assert_same(*expected_outputs_and_states(events, self.policy), letters)

    def assert_same(
        self, told_alone: Sequence[ev.Event], kept_alone: States, letters: Counter[str] | None = None
    ) -> Counter[str]:
        """Hold what was said, and each state, against outputs and states: nothing lost, twice, or otherwise.

        Returns how many events of each kind were compared.
        """
        said = self.outputs()
        refused = Counter(e.code for e in said if isinstance(e, ev.DeadLetter))
        assert refused == (letters or Counter()), f"dead letters: {refused}, wanted: {letters}"
        got = Counter(e.event_id for e in said if not isinstance(e, ev.DeadLetter))
        # What was learned is said once to every partition.
        told = {e.event_id for e in said if isinstance(e, ev.ModelUpdated)}
        twice = [name for name, count in got.items() if count != (self.partitions if name in told else 1)]
        assert not twice, f"said twice: {twice[:10]}"
        wanted = {e.event_id: e for e in told_alone if not isinstance(e, ev.DeadLetter)}
        found = {e.event_id: e for e in said if not isinstance(e, ev.DeadLetter)}
        lost = Counter(type(wanted[name]).__name__ for name in wanted.keys() - found.keys())
        extra = Counter(type(found[name]).__name__ for name in found.keys() - wanted.keys())
        assert (lost, extra) == (Counter(), Counter()), f"lost: {lost}, extra: {extra}"
        ends = Counter((e.borrower_id, e.business_date) for e in wanted.values() if isinstance(e, ev.WorkoutEnded))
        other = []
        for name, event in wanted.items():
            heard = found[name]
            of_several = isinstance(heard, ev.OfferWithdrawn) and ends[heard.borrower_id, heard.business_date] > 1
            if of_several or isinstance(heard, ev.ContactRevised):
                # Of several accounts that end, or that are called about, the tasks may hear first of another.
                heard = replace(heard, caused_by=event.caused_by, occurred_at=event.occurred_at)  # type: ignore[attr-defined]
            if heard != event:
                other.append((event, heard))
        assert not other, f"said otherwise: {other[0]}"
        kept = self.states()
        assert kept.keys() == kept_alone.keys()
        differ = [(place, state, kept[place]) for place, state in kept_alone.items() if kept[place] != state]
        assert not differ, f"{len(differ)} states differ: {differ[0]}"
        return Counter(type(event).__name__ for event in wanted.values())
