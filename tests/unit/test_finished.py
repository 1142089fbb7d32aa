"""A run of the store, before it is compared again."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.commands.parsing import prepared
from harness.errors import HarnessError
from harness.finished import find_run
from harness.store import Store


def test_a_run_that_is_not_finished_says_what_is_missing(tmp_path: Path, tiny_folder: Path) -> None:
    file, store = tmp_path / "matrix.yaml", Store(tmp_path / "runs")
    file.write_text(
        f"name: judged\ndata: starter-en\naxes: {{model: [{tiny_folder}], method: [none]}}\nmetrics: [bleu]\n"
        "judges: [{backend: scripted, name: openai}]\n"
    )
    _, plan, _, text = prepared(file)
    store.write_matrix(plan, text)
    late = [stage for stage in plan.stages if stage.key.stage in ("score", "ask", "judge")]
    for stages, missing in (
        ([s for s in plan.stages if s not in late], "score (1 object), judge openai (4 objects)"),
        ([s for s in late if s.key.stage != "judge"], "judge openai (2 objects)"),
        ([s for s in late if s.key.stage == "judge"], "the comparison"),
    ):
        for each in stages:
            with store.making(each) as writer:
                writer.finish()
        with pytest.raises(HarnessError, match=re.escape(f"'judged' is not finished; missing: {missing}\n")):
            find_run(store, "judged")
