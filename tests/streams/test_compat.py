"""The private parts of aiokafka and Faust that `streams.kafka.compat` and the Faust app use are as they were."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.conn import AIOKafkaConnection
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator, NoGroupCoordinator
from aiokafka.errors import KafkaConnectionError, KafkaError, NoOffsetForPartitionError, ProducerFenced
from aiokafka.producer import sender
from aiokafka.producer.message_accumulator import MessageBatch
from aiokafka.structs import OffsetAndMetadata
from faust.app.base import App
from faust.assignor.partition_assignor import PartitionAssignor
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from faust.transport.drivers import aiokafka as driver

from streams.kafka import compat
from streams.kafka.app import TaskAssignor, TaskRecovery, TaskTables, WorkerApp
from streams.kafka.transport import TaskConsumer, TaskConsumerThread
from streams.shutdown import cancel_and_wait

TP = TopicPartition("payments", 0)


def test_positions_are_read_and_restored_without_a_broker() -> None:
    async def run() -> None:
        consumer = AIOKafkaConsumer()
        try:
            assert compat.assignment_of(consumer) is None
            assert compat.position_of(consumer, TP) is None
            consumer.assign([TP])
            assignment = compat.assignment_of(consumer)
            state = assignment.state_value(TP)
            assert compat.positions_of(assignment) == {TP: (None, None)}
            compat.reset_to_beginning(consumer, TP)
            ((_, strategy),) = compat.positions_of(assignment).values()
            assert strategy == compat.OffsetResetStrategy.EARLIEST
            assignment.state_value(TP).seek(7)
            before = compat.positions_of(assignment)
            assert before == {TP: (7, None)}
            assert compat.position_of(consumer, TP) == 7
            assert compat.position_and_end(consumer, TP) is None
            state.lso = 9
            assert compat.position_and_end(consumer, TP) == (7, 9)
            state.consumed_to(9)
            consumer._fetcher = type("Seeks", (), {"seek_to": lambda self, tp, at: state.seek(at)})()
            compat.restore_positions(consumer, assignment, before)
            assert compat.position_of(consumer, TP) == 7
            # Assigned anew: another object.
            consumer.unsubscribe()
            consumer.assign([TP])
            assert compat.assignment_of(consumer) is not assignment
        finally:
            consumer._fetcher = None
            await consumer.stop()

    asyncio.run(run())


def test_a_second_error_of_a_partition_ends_no_fetcher() -> None:
    """After a change of leader, two looks for an offset can be under way, and find none."""

    async def run() -> None:
        consumer = AIOKafkaConsumer(auto_offset_reset="none")
        compat.patch_fetchers()
        subscriptions = consumer._subscription
        consumer.assign([TP])
        assignment = compat.assignment_of(consumer)
        fetcher = Fetcher(consumer._client, subscriptions, auto_offset_reset="none")
        try:
            looks = [asyncio.ensure_future(fetcher._update_fetch_positions(assignment, node, [TP])) for node in (1, 2)]
            await asyncio.sleep(0)
            assignment.state_value(TP).update_committed(OffsetAndMetadata(-1, ""))
            assert await asyncio.gather(*looks) == [True, True]
            with pytest.raises(NoOffsetForPartitionError):
                fetcher._records[TP].check_raise()
        finally:
            await fetcher.close()
            await consumer.stop()

    asyncio.run(run())


def test_what_ended_a_fetcher_stands_in_it() -> None:
    async def run() -> None:
        consumer = AIOKafkaConsumer()
        try:
            assert compat.fetcher_error(consumer) is None
            fetcher = Fetcher(consumer._client, consumer._subscription)
            consumer._fetcher = fetcher
            assert compat.fetcher_error(consumer) is None
            fetcher._subscriptions = None
            consumer.assign([TP])
            await asyncio.wait([fetcher.error_future])
            assert isinstance(compat.fetcher_error(consumer), KafkaError)
        finally:
            consumer._fetcher = None
            await consumer.stop()

    asyncio.run(run())


def test_a_consumer_may_be_stopped_as_soon_as_it_started() -> None:
    class Started:
        """What a consumer without a group does of its own as it starts and stops, and no broker is asked for."""

        def __init__(self) -> None:
            self._consumer = AIOKafkaConsumer()

        async def start(self) -> None:
            self._coordinator = NoGroupCoordinator(self._consumer._client, self._consumer._subscription)

        async def stop(self) -> None:
            await self._coordinator.close()
            await self._consumer.stop()

    async def run() -> None:
        async with compat.connected(Started()):  # type: ignore[type-var]
            pass

    asyncio.run(run())


def test_why_a_transaction_ended_stands_in_the_producer() -> None:
    async def run() -> None:
        producer = AIOKafkaProducer(transactional_id="t")
        try:
            assert compat.producer_error(producer) is None
            with pytest.raises(KafkaError, match="ended early"), compat.transaction_errors(producer):
                raise AssertionError
            waiter = asyncio.get_running_loop().create_future()
            waiter.set_exception(ProducerFenced())
            producer._txn_manager._transaction_waiter = waiter
            with pytest.raises(ProducerFenced), compat.transaction_errors(producer):
                raise AssertionError
        finally:
            producer._txn_manager._transaction_waiter = None
            await producer.stop()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("owner", "names"),
    [
        (Fetcher.__init__, ["self._records"]),
        (Fetcher, ["def _set_error(self, tp, error)", "return self._fetch_task"]),
        (GroupCoordinator.__init__, ["self._coordination_task"]),
        (GroupCoordinator, ["def fetch_committed_offsets", "def _push_error_to_user", "def request_rejoin"]),
        (AIOKafkaConsumer.start, ["self._coordinator", "self._fetcher"]),
        (MessageBatch.__init__, ["self._drain_waiter"]),
        (sender, ["BACKOFF_OVERRIDE", "sender_task"]),
    ],
)
def test_aiokafka_still_has_its_private_parts(owner: Any, names: list[str]) -> None:
    source = inspect.getsource(owner)
    assert [name for name in names if name not in source] == []


def test_aiokafka_still_needs_what_works_around_it() -> None:
    # Once this returns metadata too, `committed_with_metadata` may go.
    assert inspect.signature(AIOKafkaConsumer.committed).parameters.keys() == {"self", "partition"}
    assert "commit_map[partition].offset" in inspect.getsource(AIOKafkaConsumer.committed)
    assert sender.BACKOFF_OVERRIDE == 0.003


@pytest.mark.parametrize(
    ("ours", "faust", "more"),
    [
        (WorkerApp, App, ()),
        (TaskAssignor, PartitionAssignor, ("_group_co_subscribed",)),
        (TaskRecovery, Recovery, ("_resume_streams",)),
        (TaskTables, TableManager, ()),
        (TaskConsumerThread, driver.AIOKafkaConsumerThread, ("_ensure_consumer",)),
        (TaskConsumer, driver.Consumer, ()),
    ],
)
def test_faust_still_has_the_methods_that_ours_override(ours: type, faust: type, more: tuple[str, ...]) -> None:
    for name in more:
        assert callable(getattr(faust, name)), name
    for name, method in vars(ours).items():
        theirs: Callable[..., Any] | None = getattr(faust, name, None)
        if theirs is not None and inspect.isfunction(method):
            known, taken = (inspect.signature(one).parameters.keys() - {"self"} for one in (theirs, method))
            assert taken == known or "args" in taken, f"{faust.__name__}.{name} takes {sorted(known)}"


def test_no_other_module_uses_private_parts_of_aiokafka(repository: Path) -> None:
    private = re.compile(
        r"(?<!\bself)\._(?:coordinator|client|subscription|fetcher|sender|txn_manager|message_accumulator|tp_state|"
        r"position|reset_strategy)\b|from aiokafka[.\w]* import (?:\w+, )*_"
    )
    found = {
        str(path.relative_to(repository))
        for folder in ("streams", "console")
        for path in (repository / folder).rglob("*.py")
        if private.search(path.read_text("utf-8"))
    }
    assert found == {"streams/kafka/compat.py"}


@pytest.mark.parametrize("kind", [AIOKafkaConsumer, AIOKafkaProducer])
def test_a_client_that_cannot_start_is_closed(kind: type[AIOKafkaConsumer] | type[AIOKafkaProducer]) -> None:
    async def scene() -> None:
        client = kind(bootstrap_servers="127.0.0.1:1")
        with pytest.raises(KafkaConnectionError):
            async with compat.connected(client):
                pass
        # Otherwise it warns once it is collected, in whatever runs by then.
        assert client._closed

    asyncio.run(scene())


def test_a_client_cancelled_as_it_begins_closes_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker takes the connection, tells its versions, and then says nothing."""
    made: list[AIOKafkaConnection] = []

    async def lookup(self: AIOKafkaConnection) -> None:
        self._versions = {3: (0, 1)}
        made.append(self)

    monkeypatch.setattr(AIOKafkaConnection, "_do_version_lookup", lookup)

    async def scene() -> None:
        over = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()
            await writer.wait_closed()
            over.set()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            consumer = AIOKafkaConsumer(bootstrap_servers=f"127.0.0.1:{port}")
            starting = asyncio.create_task(consumer.start())
            while not made:
                await asyncio.sleep(0)
            await cancel_and_wait(starting)
            await consumer.stop()
            assert not made[0].connected()
            await over.wait()

    asyncio.run(scene())
