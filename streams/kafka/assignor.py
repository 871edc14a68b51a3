"""Faust's assignor for tasks: sticky, co-partitioned, with standbys, and never deceived by half a picture."""

from __future__ import annotations

from typing import Any

from faust.assignor.partition_assignor import PartitionAssignor


class TaskAssignor(PartitionAssignor):
    """Places the partitions of tasks' topics by their number in the settings.

    Faust asks the cluster's metadata and leaves out a topic that these do not name. A broker that has just come
    back names none for a moment: then everybody was assigned nothing, and the group rested so for good.
    """

    def _get_copartitioned_groups(  # type: ignore[override]
        self, topics: set[str], cluster: Any, subscriptions: Any
    ) -> Any:
        app: Any = self.app
        names = {*app.task_manager.input_names, *app.task_manager.changelog_names}
        groups: Any = super()._get_copartitioned_groups(topics - names, cluster, subscriptions)
        ours = topics & names
        if ours:
            count = app.settings.topics.partitions
            groups[count] = [*groups.get(count, ()), *self._group_co_subscribed(ours, subscriptions)]
        return groups
