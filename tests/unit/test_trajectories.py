"""Losses of two tiny trainings stay what they were."""

from __future__ import annotations

import json

import pytest

from tests.golden.trajectories import CASES, KEPT, trajectory


@pytest.mark.parametrize("name", CASES)
def test_trajectories_do_not_drift(name: str) -> None:
    kept = json.loads(KEPT.read_text())
    assert trajectory(CASES[name]) == pytest.approx(kept["losses"][name], rel=1e-4), (
        f"losses drifted from those made with {kept['versions']}; if the mathematics was meant to change,"
        " say so in the commit and renew them: python -m tests.golden.trajectories"
    )
