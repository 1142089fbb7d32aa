"""Judging until it is decided, through the command line: what is asked, what is spared, and what is said of it."""

from __future__ import annotations

import json
import random
from pathlib import Path

from harness.records.result import Result
from tests.pipeline.matrix import make_place

ITEMS = 160
SPEC = """\
name: tiny
data: data.jsonl
split: {train: 4, test: 160, validation: 4}
axes: {model: [model], method: [none], seed: [1]}
exclude: [{method: none}]
include: [{imported: {file: good.json}}, {imported: {file: bad.json}}, {imported: {file: like.json}}]
metrics: [chrf]
judges: [{backend: scripted, rubric: book-100}]
compare: {primary: scripted, permutations: 1000, stop_when_decided: true}
"""


def test_a_judge_stops_when_it_is_decided(tmp_path: Path) -> None:
    place = make_place(tmp_path / "p")
    draw = random.Random(3)
    words = [f"word{i}" for i in range(60)]
    texts = [" ".join(draw.sample(words, 10)) for _ in range(ITEMS + 8)]
    entries = [{"instruction": f"Say it, number {i}.", "input": "", "output": text} for i, text in enumerate(texts)]
    (place.folder / "data.jsonl").write_text("\n".join(map(json.dumps, entries)))

    def spoiled(share: float) -> str:
        answers = [" ".join(w if draw.random() > share else "no" for w in text.split()) for text in texts]
        return json.dumps([e | {"model_response": a} for e, a in zip(entries, answers, strict=True)])

    for name, share in (("good", 0.2), ("bad", 0.8), ("like", 0.2)):
        (place.folder / f"{name}.json").write_text(spoiled(share))
    place.matrix.write_text(SPEC)
    done = place.harness("run", "matrix.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    result = Result.model_validate_json(place.comparison())
    pairs = {c.b if c.a == result.baseline else c.a: c for c in result.comparisons if c.measure == "scripted"}
    bad, like = (next(c for c in result.comparisons if c.measure == "scripted" and {c.a, c.b} == {
        "good/imported", f"{other}/imported"}) for other in ("bad", "like"))  # fmt: skip
    assert result.baseline == "good/imported" and len(pairs) == 2
    assert bad.until_decided is not None and like.until_decided is not None
    assert {bad.verdict, like.verdict} == {"better", "not shown"} and bad.method == "betting"
    assert bad.until_decided.items < 80 < like.until_decided.items == like.until_decided.out_of == ITEMS
    assert [test.name for test in bad.tests] == ["betting (checkpoint)"], "no test that needs a number fixed beforehand"
    assert like.until_decided.fixed_half_width is not None
    assert like.until_decided.half_width > like.until_decided.fixed_half_width
    left_out = bad.left_out_b if bad.a == result.baseline else bad.left_out_a
    assert [(each.reason, each.responses) for each in left_out] == [("decided", ITEMS - bad.until_decided.items)]
    spared = ITEMS - bad.until_decided.items
    assert any(f"{spared} of {3 * ITEMS} questions were spared" in warning for warning in result.warnings)
    again = place.harness("run", "matrix.yaml")
    assert "Nothing to do" in again.stdout, again.stdout + again.stderr
    shown = place.harness("compare", "matrix.yaml", "--a", "bad")
    assert "judged until it was decided, on" in " ".join(shown.stdout.split()), shown.stdout + shown.stderr
    refused = place.harness("baseline", "save", "matrix.yaml", "--as", "main")
    assert refused.returncode == 2 and "only until something was decided" in refused.stderr, refused.stderr
    place.edit("method: [none], seed: [1]}\nexclude: [{method: none}]", "method: [full], seed: [1, 2]}")
    seeds = place.harness("plan", "matrix.yaml")
    assert seeds.returncode == 2 and "stop_when_decided" in seeds.stderr and "2 seeds" in seeds.stderr
