"""What a worker says whose transactional ids another program has, too."""

from __future__ import annotations

import pytest

from streams.kafka.transactions import fencing_remedy
from streams.settings import Settings


@pytest.mark.parametrize("instance", [None, "worker-0"])
def test_the_advice_names_the_settings_that_are_shared(instance: str | None) -> None:
    told = fencing_remedy(Settings.load(worker={"application_id": "loans", "instance_id": instance}))
    assert "worker.application_id (this one: loans)" in told
    assert ("worker.instance_id (worker-0)" in told) == (instance is not None)
