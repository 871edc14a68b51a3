"""Faust's table manager and recovery for tasks.

Tasks keep their rows themselves; what Faust has to know of them is the names of their changelogs, by which its
assignor places active partitions and standbys. Faust's recovery reads a changelog record by record through the
group's consumer; this one has the tasks read theirs in bulk.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

from faust.tables.manager import TableManager
from faust.tables.recovery import RebalanceAgain, Recovery, ServiceStopped
from faust.types import TP
from mode import Service
from mode.services import WaitArgT
from mode.utils.times import Seconds

from streams.kafka.retry import retry_until_available


class TaskRecovery(Recovery):
    """Opens tasks when partitions were assigned, and then lets records flow."""

    actives: frozenset[int] = frozenset()
    standbys: frozenset[int] = frozenset()

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """Note what was assigned, and let the task begin."""
        app: Any = self.app
        if generation_id != app.consumer_generation_id:
            # Another rebalance has begun already.
            return
        self.actives = self._partitions(app.assignor.assigned_actives())
        self.standbys = self._partitions(app.assignor.assigned_standbys())
        self._generation_id = generation_id
        self.signal_recovery_start.set()

    async def _wait(self, coro: WaitArgT, timeout: Seconds | None = None) -> None:
        """Wait until it is done. Raises RebalanceAgain, ServiceStopped, and TimeoutError after `timeout` seconds.

        Faust's own takes what came too late for the end of the service: recovery would be over, and say nothing.
        """
        found = await self.wait_first(coro, self.signal_recovery_start, timeout=timeout)  # type: ignore[arg-type]
        if self.signal_recovery_start.is_set():
            raise RebalanceAgain
        if found.stopped:
            if self._stopped.is_set() or self._crashed.is_set():
                raise ServiceStopped
            raise TimeoutError(f"no answer within {timeout} s")

    def _partitions(self, tps: Iterable[TP]) -> frozenset[int]:
        names = set(self.tables.changelog_topics)
        return frozenset(tp.partition for tp in tps if tp.topic in names)

    @Service.task
    async def _restart_recovery(self) -> None:
        app: Any = self.app
        while not self.should_stop:
            if await self.wait_for_stopped(self.signal_recovery_start):  # type: ignore[arg-type]
                return
            self.signal_recovery_start.clear()
            generation = self._generation_id
            try:
                if await app.task_manager.open(self.actives, self.standbys):
                    # Returns without doing anything where another rebalance has begun.
                    resume = functools.partial(self._resume_streams, generation_id=generation)
                    await retry_until_available(app.settings, "going to the committed offsets", resume)
            except RebalanceAgain:
                continue
            except ServiceStopped:
                return
            except Exception as error:
                app.fail(error)
                return


class TaskTables(TableManager):
    """Names the changelogs of tasks beside those of Faust's own tables."""

    @property
    def changelog_topics(self) -> set[str]:
        """Return the names of all changelogs."""
        app: Any = self.app
        return {*super().changelog_topics, *app.task_manager.changelog_names}

    @property
    def recovery(self) -> Recovery:
        """Recovery service used by this table manager."""
        if self._recovery is None:
            self._recovery = TaskRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery

    async def on_stop(self) -> None:
        """Call when the table manager is stopping."""
        await super().on_stop()
        app: Any = self.app
        await app.task_manager.close()
