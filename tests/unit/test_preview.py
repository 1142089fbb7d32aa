"""`harness preview` and `harness prompts` as a user calls them, and the masks in the reports."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from harness.cli import main
from harness.commands.parsing import prepared
from harness.pipeline import make_sealed
from harness.records.masks import MaskedRow, MaskedToken, MaskPreview
from harness.stages import Workshop
from harness.store import Store
from reports.mask_terminal import row_text
from reports.masks import CellMask, cards

MATRIX = """\
name: small
data: starter-en
split: {train: 6, test: 2}
axes:
  {model: MODEL, prompt_style: [phi, mine.yaml], masking: [prompt, none], prompt_loss_weight: [0, 0.5], seed: [1, 2]}
"""
MINE = 'user: "Q: {instruction}{input}"\nassistant: "\\nA:"\nresponse: " {output}"\n'


@pytest.fixture
def matrix(tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "mine.yaml").write_text(MINE)
    (tmp_path / "m.yaml").write_text(MATRIX.replace("MODEL", str(tiny_folder)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")
    return "m.yaml"


def test_preview_of_one_variant(matrix: str, tiny_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["preview", matrix, "--variant", f"{tiny_folder}/mine.yaml/full/mask-prompt#2", "--rows", "2"]) == 0
    shown = capsys.readouterr().out
    assert "prompt style mine, masking prompt: " in shown and "in 2 training rows" in shown
    rows = re.split(r"row \d, example \w+: ", shown)[1:]
    assert len(rows) == 2
    for row in rows:
        text = row.replace("│", "")
        count, learned = re.match(r"(\d+) of \d+ tokens", text), re.search(r"⟦(.*)⟧", text, re.DOTALL)
        assert count and learned and learned[1].startswith(" ") and learned[1].endswith("</s>")
        assert "Q: " in text[: learned.start()] and text[: learned.start()].endswith("A:")


def test_preview_of_all_shows_each_trained_cell_once_and_ids_on_request(
    matrix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["preview", matrix, "--rows", "1"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("row 1, example") == 6  # 2 styles x (prompt at 2 weights, none)
    assert "the rest at weight 0.5" in shown and "⟦×0.5 " in shown
    assert "[" not in shown.split("row 1", 1)[1].split("\n\n")[0]
    assert main(["preview", matrix, "--rows", "1", "--ids"]) == 0
    assert re.search(r"</s>\[\d+\]⟧", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("name", "said"),
    [("NOTHING", "no variant 'NOTHING'"), ("{}/phi/untuned", "is not trained")],
)
def test_preview_of_what_has_no_mask(
    matrix: str, tiny_folder: Path, name: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["preview", matrix, "--variant", name.format(tiny_folder)]) == 2
    assert said in capsys.readouterr().err


def test_a_matrix_that_trains_nothing_has_no_variant_to_show(matrix: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path(matrix).write_text(Path(matrix).read_text().replace("axes:\n  {", "axes:\n  {method: none, "))
    assert main(["preview", matrix]) == 2
    assert "matrix 'small': trains no variant" in capsys.readouterr().err


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize(
    ("settings", "first"),
    [
        ("audit: {leaks: drop}", "LONG"),
        ("audit: {leaks: drop, truncated: drop}\ntrain: {max_length: 80}", "CANDLE"),
        ("train: {max_length: 80, truncate: drop}", "LEAKED"),
        ("audit: {leaks: drop}\ntrain: {max_length: 80, truncate: drop}", "CANDLE"),
    ],
)
def test_preview_shows_the_rows_that_training_sees(
    settings: str, first: str, sealed: bool, matrix: str, tiny_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = [("Say it.", "LEAKED"), ("Say it. " * 30, "LONG"), ("Name a light.", "CANDLE"), ("Name a bird.", "ROBIN")]
    entries += [("Say it.", "PROMPT"), ("Name a town.", "YORK")]
    rows = [{"instruction": instruction, "output": output} for instruction, output in entries]
    Path("d.jsonl").write_text("\n".join(map(json.dumps, rows)))
    Path(matrix).write_text(
        f"name: small\ndata: d.jsonl\nsplit: {{train: 4, test: 2}}\n{settings}\n"
        f"axes: {{model: {tiny_folder}, prompt_style: phi}}\n"
    )
    if sealed:
        _, plan, resolved, _ = prepared(Path(matrix))
        workshop = Workshop(Store(Path("runs")), resolved, lambda units: None)
        watcher: Any = SimpleNamespace(say=print)
        for stage in plan.stages:
            if stage.key.stage in ("base", "data"):
                make_sealed(workshop, stage, watcher)
    assert main(["preview", matrix, "--rows", "1"]) == 0
    shown = capsys.readouterr().out.replace("│", "")
    assert first in shown and "in 1 training row" in shown
    Path(matrix).write_text(Path(matrix).read_text().replace("max_length: 80", "max_length: 8"))
    if "truncate: drop" in settings:
        assert main(["preview", matrix]) == 2
        assert "no row is left to train on" in (said := capsys.readouterr().err) and "raise train.max_length" in said


def test_prompts_check_and_list(matrix: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prompts", "check", "mine.yaml"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("ok  mine  sha256 ")
    assert "Q: Rewrite in the past tense.↵\nThe cat sleeps.↵\nA: The cat slept.⟨end of sequence⟩" in shown
    assert main(["prompts", "ls"]) == 0
    assert "chat-template" in capsys.readouterr().out
    assert main(["prompts", "check"]) == 2
    Path("mine.yaml").write_text("user: x\n")
    assert main(["prompts", "check", "mine.yaml"]) == 2
    assert "mine.yaml:1: user: needs {instruction} exactly once" in capsys.readouterr().err


def test_a_style_s_name_is_no_markup(matrix: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("[mine].yaml").write_text(MINE)
    assert main(["prompts", "check", "[mine].yaml"]) == 0
    assert capsys.readouterr().out.startswith("ok  [mine]  sha256 ")


# ---------------------------------------------------------------- marking up

ROW = MaskedRow(
    example_id="x",
    tokens=(
        MaskedToken(text="<b>\n", ids=(7,), weight=0.0),
        MaskedToken(text="猫", ids=(1, 2), weight=0.25),
        MaskedToken(text="\x1b[1m\u202e", ids=(3,), weight=1.0),
    ),
)
PREVIEW = MaskPreview(
    prompt_style="<i>", masking="prompt", prompt_loss_weight=0.25, eos_in_loss=False, train_on="last_turn",
    examples=1, tokens=4, loss_tokens=3, partial_tokens=2, rows=(ROW,),
)  # fmt: skip


def test_rows_are_legible_without_colour_and_safe() -> None:
    console = Console(force_terminal=True, width=200)
    with console.capture() as capture:
        console.print(row_text(ROW, ids=True))
    plain = re.sub(r"\x1b\[[\d;]*m", "", capture.get())
    assert plain == "<b>↵[7]\n⟦×0.25 猫[1 2]⟧⟦⟨ESC⟩[1m⟨U+202E⟩[3]⟧\n"
    assert "\x1b[32m" in capture.get() and "\x1b[31m" in capture.get()


def test_cards_escape_what_is_foreign_and_count() -> None:
    html = str(cards([CellMask("m", PREVIEW)], 0, ids=True))
    assert "&lt;i&gt; · masking prompt, the rest at weight 0.25, last turn only, end token masked" in html
    assert "<b>\n" not in html and "&lt;b&gt;<b>↵</b><small>[7]</small>\n" in html
    assert "3 of 4 tokens carry loss (75 %), 2 of them a part of it over 1 training row" in html
    assert 'class="w" title="id 1 2, weight 0.25"' in html
    assert "fewer rows" in str(cards([CellMask("m", PREVIEW)], 1))
