"""The README's own code runs."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import pytest

from judges.base import load_judge
from judges.contract import CHECKS, WISHES, Trial

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def test_the_judge_of_the_readme_keeps_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    [code] = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    module = types.ModuleType("my_judge")
    exec(code, module.__dict__)
    monkeypatch.setitem(sys.modules, "my_judge", module)
    trial = Trial(load_judge("my_judge:MyJudge", "m", {}), "my_judge:MyJudge", "m", {})
    assert [trial.run(check) for check in (*CHECKS, *WISHES)] == [None] * len((*CHECKS, *WISHES))
