"""One chaos run: a seeded schedule of faults during processing, then a comparison with the pure agents' outputs.

What is compared: every output topic, read committed. By event id nothing may be missing, doubled or added, and each
event must equal what the pure agents say of the same input in one process; each poison record must have become one
dead letter. Ids are derived from causes, so an effect that happened twice has the same id twice, and one that
was computed from a state that lost or doubled something has other content.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from deploy.local.processes import addresses
from schemas import events as ev
from schemas.topics import TOPIC_OF
from simulator.runs import simulate
from state.policy_packs.loader import files_of
from streams.kafka.deployment import adopt
from streams.kafka.topic_admin import topic_specs
from tests.chaos.answer_order import answers_apart
from tests.chaos.faulty_disk import FaultyDisk, compile_library
from tests.support import topics
from tests.support.faulty_proxy import FaultyProxy
from tests.support.servers import KafkaTestCluster
from tests.support.worker_cluster import INPUT_TOPICS, TIMEOUT, WorkerCluster

START = date(2026, 1, 5)
# Seconds that a frozen process sleeps: some below the group's session timeout of 3 s, some above.
FREEZES = (0.5, 2.0, 5.0)
WORKERS = ("one", "two", "three")


def _change(number: int, day: date) -> ev.PolicyChanged:
    """Return the trial's first or second change of policy."""
    return ev.PolicyChanged(
        event_id=f"policy-{number}",
        occurred_at=datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=1),
        source="chaos",
        change_id=f"C{number}",
        effective_on=day,
        files=files_of(("us_ffiec", "eu_dod")[number - 1]),
    )


class ChaosRun:
    """Two workers, a cluster, and a proxy before it that knows where its brokers are.

    `run` does so many faults and raises AssertionError where the answer is wrong. Without a C compiler disks stay
    well, and `skipped_faults` says so.
    """

    def __init__(
        self, folder: Path, cluster: KafkaTestCluster, proxy: FaultyProxy, seed: int, say: Callable[[str], None] = print
    ) -> None:
        self.chance = random.Random(seed)
        self.cluster = cluster
        self.proxy = proxy
        brokers = len(cluster.ports)
        self.workers = WorkerCluster(
            cluster.bootstrap,
            folder,
            f"chaos-{seed}",
            partitions=3,
            replicas=min(brokers, 3),
            connection={"bootstrap_servers": addresses(proxy.ports)},
            environment=lambda name: self.disks[name].environment if name in self.disks else {},
        )
        self.disks: dict[str, FaultyDisk] = {}
        self.skipped_faults = ""
        if shutil.which("cc"):
            library = compile_library(folder)
            self.disks = {name: FaultyDisk(library, self.workers.data_dir(name)) for name in WORKERS}
        else:
            self.skipped_faults = "no slow and no full disk: there is no C compiler (cc)"
        self.done: Counter[str] = Counter()
        self.injected = 0
        self.poison: Counter[str] = Counter()
        self._log = say
        self._frozen: list[threading.Timer] = []
        self._published: list[ev.Event] = []

    def run(self, faults: int, accounts: int = 120, days: int = 100) -> Counter[str]:
        """Inject faults while events are published, wait until the workers are idle, and compare.

        Returns how many events of each kind were compared.
        """
        # Before instalments are missed, offered plans for and paid again there is little to be wrong about.
        days = max(days, faults)
        changes = [_change(n, START + timedelta(days=days * n // 3)) for n in (1, 2)]
        seed = self.chance.randrange(2**32)
        events = answers_apart(list(simulate(accounts=accounts, days=days, seed=seed, start=START, changes=changes)))
        ends = [n + 1 for n, event in enumerate(events) if isinstance(event, ev.DayClosed)]
        for name in WORKERS[:2]:
            self._start(name)
        at = 0
        for number, end in enumerate(ends, 1):
            self._publish(events[at:end])
            at = end
            while self.injected < faults * number // len(ends):
                self._inject_fault()
        self._heal()
        self.workers.wait_until_idle()
        for name in WORKERS:
            # No fault here damages a disk, so no store may have been thrown away as damaged.
            rebuilt = self.workers.log_lines("store_rebuilt", name) if name in self.workers.processes else []
            assert not [line for line in rebuilt if line["cause"] == "corrupt"], rebuilt
        return self.workers.assert_exact(events, self.poison)

    def _publish(self, events: list[ev.Event]) -> None:
        self.workers.publish(events)
        self._published += events

    def _inject_fault(self) -> None:
        fault = self.chance.choice(
            (
                self.kill_worker,
                self.kill_worker,
                self.freeze_worker,
                self.end_worker,
                self.wipe_disk,
                self.kill_broker,
                self.freeze_broker,
                self.poison_input,
                self.repeat_input,
                self.add_worker,
                self.cut_connections,
                self.truncate_connections,
                self.hold_connections,
                self.change_codec,
                self.recreate_topic,
                self.add_partition,
                *((self.slow_disk, self.full_disk, self.start_on_full_disk) if self.disks else ()),
            )
        )
        fault()
        self._restart_exited()
        self.done[fault.__name__] += 1
        self.injected += 1
        self._log(f"{self.injected} {fault.__name__}")
        time.sleep(self.chance.random())

    # -- faults

    def kill_worker(self) -> None:
        """Kill a worker, and start it again."""
        name = self._worker()
        self.workers.kill(name)
        self._start(name)

    def end_worker(self) -> None:
        """End a worker in order, and start it again."""
        name = self._worker()
        code = self.workers.stop(name)
        said = self.workers.log(name)[-2000:]
        # One that was only just started has not yet learned to end in order; one whose disk was full a moment ago may
        # say so first.
        in_order = code in (0, -signal.SIGTERM, 128 + signal.SIGTERM) or (code == 1 and "reprieve: The disk of" in said)
        assert in_order, f"worker {name} ended with {code}: {said}"
        self._start(name)

    def add_worker(self) -> None:
        """Let a third worker join, or leave."""
        if "three" in self.workers.processes:
            self.workers.kill("three")
        else:
            self._start("three")

    def wipe_disk(self) -> None:
        """Kill a worker and take its disk away."""
        name = self._worker()
        self.workers.kill(name)
        shutil.rmtree(self.workers.data_dir(name), ignore_errors=True)
        self._start(name)

    def freeze_worker(self) -> None:
        """Stop a worker for a while, long enough that another may take its partitions."""
        worker = self.workers.processes[self._worker()]
        worker.send_signal(signal.SIGSTOP)
        later = threading.Timer(self.chance.choice(FREEZES), worker.send_signal, [signal.SIGCONT])
        later.start()
        self._frozen.append(later)

    def kill_broker(self) -> None:
        """Kill a broker, and start it again."""
        broker = self.chance.randrange(len(self.cluster.ports))
        self.cluster.kill(broker)
        self.cluster.restart(broker)

    def freeze_broker(self) -> None:
        """Stop a broker for a while."""
        broker = self.chance.randrange(len(self.cluster.ports))
        self.cluster.pause(broker)
        time.sleep(self.chance.choice(FREEZES))
        self.cluster.resume(broker)

    def cut_connections(self) -> None:
        """Reset all connections of workers."""
        self.proxy.cut()

    def truncate_connections(self) -> None:
        """Reset all connections of workers in the middle of an answer."""
        self.proxy.truncate_after(self.chance.randrange(2_000))

    def hold_connections(self) -> None:
        """Let nothing through between workers and brokers for a while."""
        self.proxy.hold()
        time.sleep(self.chance.choice(FREEZES))
        self.proxy.release()

    def slow_disk(self) -> None:
        """Let a worker's disk be slow until the next fault at one."""
        self._heal_disks()
        self.disks[self._worker()].slow(self.chance.choice((1_000, 20_000)))

    def full_disk(self) -> None:
        """Let a worker's disk be full for a while; one that met it ends, and is started again."""
        self._heal_disks()
        disk = self.disks[self._worker()]
        disk.full()
        time.sleep(self.chance.choice(FREEZES))
        disk.heal()

    def start_on_full_disk(self) -> None:
        """Kill a worker and start it while its disk is full, which ends it; then it is started again."""
        self._heal_disks()
        name = self._worker()
        self.workers.kill(name)
        self.disks[name].full()
        self._start(name)
        worker = self.workers.processes.pop(name)
        try:
            assert worker.wait(TIMEOUT) == 1, self.workers.log(name)[-3_000:]
        finally:
            worker.kill()
        last = self.workers.log(name).strip().splitlines()[-1]
        assert "is full" in last, last
        self.disks[name].heal()
        self._start(name)

    def poison_input(self) -> None:
        """Append a record that nobody can read."""
        topic = self.chance.choice(("accounts", "payments", "collections", "profiles", "feedback", "clock"))
        value = self.chance.choice((None, b"", b"\xff" + self.chance.randbytes(40)))
        self.workers.produce(topic, self.chance.randrange(self.workers.partitions), b"poison", value)
        self.poison["unreadable"] += 1

    def repeat_input(self) -> None:
        """Publish again, in another order, some of what was published."""
        some = [e for e in self._published[-2_000:] if not isinstance(e, ev.DayClosed)]
        self.workers.publish(self.chance.sample(some, min(len(some), 50)))

    def change_codec(self) -> None:
        """Let the brokers compress a topic otherwise from now on."""
        plan = self.chance.choice(topic_specs(self.workers.settings()))
        codec = self.chance.choice(("gzip", "lz4", "snappy", "zstd", "uncompressed", "producer"))
        topics.configure(self.workers, plan.name.removeprefix(self.workers.prefix), {"compression.type": codec})

    def recreate_topic(self) -> None:
        """Delete a topic and make it anew; every worker must end, and goes on once an operator has said so."""
        self._drain()
        topic = self.chance.choice(INPUT_TOPICS)
        topics.recreate(self.workers, topic)
        self._adopt_topic(topic, "is another topic than the one", "was deleted")

    def add_partition(self) -> None:
        """Add a partition to a topic; every worker must end, and goes on once the topic is as it has to be."""
        self._drain()
        topic = self.chance.choice(INPUT_TOPICS)
        topics.add_partition(self.workers, topic)
        self._adopt_topic(topic, f"has {self.workers.partitions + 1} partitions now")

    def _drain(self) -> None:
        """Have all that was published be processed; what was not would be gone with its topic, poison too."""
        self._heal()
        self.workers.wait_until_idle()

    def _adopt_topic(self, topic: str, *sentences: str) -> None:
        """See that all workers end with one of some sentences, do what they ask for, and start them again."""
        names = list(self.workers.processes)
        for name in names:
            worker = self.workers.processes.pop(name)
            assert worker.wait(TIMEOUT) == 1, self.workers.log(name)[-3_000:]
            last = self.workers.log(name).strip().splitlines()[-1]
            assert any(sentence in last for sentence in sentences), last
        if topics.partitions(self.workers, topic) != self.workers.partitions:
            topics.recreate(self.workers, topic)
        self.workers.publish(event for event in self._published if TOPIC_OF[type(event)].name == topic)
        asyncio.run(adopt(self.workers.settings()))
        for name in names:
            self._start(name)

    # -- healing

    def _start(self, name: str) -> None:
        # In small batches a day is closed in many transactions, between which it can be injected.
        self.workers.start(name, batch_records=self.chance.choice((5, 5_000)))

    def _worker(self) -> str:
        return self.chance.choice(WORKERS[:2])

    def _heal_disks(self) -> None:
        for disk in self.disks.values():
            disk.heal()

    def _restart_exited(self) -> None:
        """Start again those workers that ended by themselves, as a supervisor does; each must have said why."""
        for name, worker in list(self.workers.processes.items()):
            if worker.poll() is not None:
                said = self.workers.log(name)[-3_000:]
                assert "reprieve: " in said, f"{name} ended with {worker.poll()} and no sentence: {said}"
                self.done["ended by itself"] += 1
                self._start(name)

    def _heal(self) -> None:
        self.proxy.release()
        self._heal_disks()
        for later in self._frozen:
            later.join()
        for number, runs in enumerate(self.cluster.running):
            self.cluster.resume(number)
            if not runs:
                self.cluster.restart(number)
        self._restart_exited()
