"""How a task begins: its agents over their rows, and where it goes on in topics that may have been made anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from msgspec import Struct

from agents.base import Agent
from schemas.codec import Codec
from schemas.errors import FatalError
from state.policy import PolicyBook
from streams.engine.agent_task import AgentTask
from streams.engine.day_close import repeated_barriers
from streams.engine.partitioning import partition_of
from streams.engine.task import StreamTask
from streams.kafka.changelog_format import COMMIT_MARKER, CommitMarker
from streams.kafka.committer import TransactionalCommitter
from streams.kafka.deployment import ORIGIN, Deployment, Origin
from streams.kafka.rocksdb_store import RocksDBStore
from streams.kafka.store_transaction import StoreTransaction, TaskStores
from streams.security.vault import Vault
from streams.settings import Settings
from streams.traceparent import Untraced

log: Any = structlog.get_logger(__name__)

# States whose place is looked at where nothing says by how many partitions they were placed.
_LOOKED_AT = 1_000


def make_task(
    settings: Settings,
    partition: int,
    agents: Sequence[tuple[Agent[Any], type[Struct]]],
    stores: Mapping[tuple[str, int], RocksDBStore],
    book: PolicyBook,
    codec: Codec,
    cached: int,
    vault: Vault | None,
    tracer: Untraced | None,
) -> tuple[StreamTask, TaskStores]:
    """Return the task of a partition whose stores are open, and its rows. cached: states an agent holds in memory."""
    rows = TaskStores({agent.name: StoreTransaction(stores[agent.name, partition]) for agent, _ in agents})
    task = StreamTask(
        partition,
        settings.topics.partitions,
        [AgentTask(agent, kind, rows.agents[agent.name], book, cached, vault) for agent, kind in agents],
        rows.task,
        book,
        codec,
        prefix=settings.topics.prefix,
        rekey=settings.worker.wrong_partition == "rekey",
        vault=vault,
        tracer=tracer,
        quarantine_limit=settings.worker.quarantine_limit,
    )
    return task, rows


async def resume(
    task: StreamTask,
    stores: TaskStores,
    committer: TransactionalCommitter,
    topics: Sequence[str],
    deployment: Deployment | None,
) -> Mapping[str, int]:
    """Return where a task goes on, by topic without its prefix, and note what its rows are of.

    deployment: what is there; None where nobody has looked. Raises FatalError where its rows are of something
    else, and what TransactionalCommitter.resume_offsets raises.
    """
    remade = set() if deployment is None else _remade(task, stores, deployment)
    marker = CommitMarker.parse(stores.task.meta(COMMIT_MARKER))
    begin = await committer.resume_offsets(topics, marker, remade & set(topics))
    task.output.offsets.update(committer.behind)
    if deployment is not None:
        text = deployment.origin().text()
        changed = [agent_task for agent_task in task.agent_tasks if agent_task.rows.meta(ORIGIN) != text]
        for agent_task in changed:
            agent_task.rows.set_meta(ORIGIN, text)
        if "barriers" in remade:
            # What others wait for may have been in the topic that is gone.
            closed = {agent_task.name: agent_task.closed_through for agent_task in task.agent_tasks}
            for event in repeated_barriers(task.partition, closed):
                task.broadcast(event)
        if changed:
            # Before the consumer asks the group where to go on: its offsets may be of a topic that is gone.
            stores.apply(await committer.commit(task.prepare_commit(), stores))
            task.post_commit()
    return begin


def _remade(task: StreamTask, stores: TaskStores, deployment: Deployment) -> set[str]:
    """Return the topics that others have replaced since the task read them, without their prefix."""
    remade: set[str] = set()
    for agent_task in task.agent_tasks:
        origin = Origin.of(agent_task.rows.meta(ORIGIN))
        if origin is not None:
            remade |= origin.remade(task.partition, deployment)
        elif f"{agent_task.name}-changelog" in deployment.replaced.values():
            raise FatalError(
                f"The rows of {agent_task.name} in partition {task.partition} are lost: its changelog was made "
                "anew, and nothing in it says that it was copied from the one before. Restore it from a copy, with all "
                "that was in it; or begin a new deployment under another topics.prefix and "
                "worker.application_id, and publish history to it."
            )
        else:
            _check_placement(task, agent_task.name, stores.agents[agent_task.name])
    for name in sorted(remade):
        log.warning("topic_remade", topic=deployment.prefix + name, partition=task.partition)
    return remade


def _check_placement(task: StreamTask, agent: str, rows: StoreTransaction) -> None:
    """See that states of an earlier release lie where this number of partitions places them. Raises FatalError."""
    for key in rows.first_keys(_LOOKED_AT):
        place = partition_of(key.encode(), task.partitions)
        if place != task.partition:
            raise FatalError(
                f"Partition {task.partition} has states of {agent} that belong to partition {place} "
                f"where there are {task.partitions}: this deployment began with another number of partitions. Set "
                'topics.partitions to that number, and see "Partitions were added" in docs/operations.md.'
            )
