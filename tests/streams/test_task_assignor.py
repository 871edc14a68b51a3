"""The assignor of tasks on a cluster whose metadata name nothing yet."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiokafka.cluster import ClusterMetadata
from faust.assignor.partition_assignor import PartitionAssignor

from schemas.codec import Codec
from state.policy_packs.loader import default_book
from streams.kafka.app import make_app
from streams.settings import Settings


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_all_partitions_are_placed_without_topics_in_metadata(tmp_path: Path, workers: int) -> None:
    async def scene() -> None:
        app = make_app(Settings.load(worker={"data_dir": tmp_path}), default_book(), Codec())
        topics = {*app.task_manager.input_names, *app.task_manager.changelog_names}
        subscriptions = {f"worker-{n}": sorted(topics) for n in range(workers)}
        ours = app.assignor._get_copartitioned_groups(topics, ClusterMetadata(), subscriptions)
        assert {count: [set(group) for group in groups] for count, groups in ours.items()} == {12: [topics]}
        # Faust's own places nothing, and the group rests so.
        assert PartitionAssignor._get_copartitioned_groups(topics, ClusterMetadata(), subscriptions) == {}

    # Within a loop: mode makes one where there is none, and never closes it.
    asyncio.run(scene())
