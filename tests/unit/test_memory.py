"""Memory that runs out is told; other errors are left alone."""

from __future__ import annotations

import pytest
import torch

from harness.errors import TrainingFailed
from trainers.memory import running_out_is


@pytest.mark.parametrize(
    "error", [MemoryError(), torch.OutOfMemoryError("x"), RuntimeError("can't allocate memory: 1")]
)
def test_each_time_is_an_error_of_its_own(error: Exception) -> None:
    """One and the same would keep the frames of the first for ever, and the model in them."""
    found = []
    for _ in range(2):
        with pytest.raises(TrainingFailed) as caught, running_out_is(lambda: TrainingFailed("no room")):
            raise error
        found.append(caught.value)
    assert found[0] is not found[1]


def test_another_error_passes() -> None:
    with pytest.raises(RuntimeError, match="shapes"), running_out_is(lambda: TrainingFailed("no room")):
        raise RuntimeError("shapes do not match")
