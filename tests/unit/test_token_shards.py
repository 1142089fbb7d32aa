"""A tokenised split gives the rows that the examples themselves would give, whatever is asked of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.data.folds import in_fold
from harness.errors import DataError
from harness.prompts import STYLES
from harness.prompts.segments import Segment
from harness.records.data import Example, SplitExample, SplitName, Turn
from harness.records.variant import Truncate
from tests.small_tokenizers import KINDS, Kind, tokenizer_of
from tests.tiny import tiny_tokenizer
from trainers import token_shards
from trainers.masking import MaskPolicy
from trainers.models import LoadedModel
from trainers.rows import TrainingRows, encode_examples, stored_rows
from trainers.token_shards import Recipe, TokenShards, write_shards
from trainers.tokens import encoder_of

SAID = (Turn(role="user", text="How are you?"), Turn(role="assistant", text="Good."))


def split(parts: str = "ttvtxtvttxt", folds: int = 0) -> list[SplitExample]:
    """t: train, v: validation, x: test; with folds, all but validation rows are in one."""
    names: dict[str, SplitName] = {"t": "train", "v": "validation", "x": "test"}
    return [
        SplitExample(
            split=names[part] if not folds or part == "v" else "test",
            index=2 * number,
            fold=1 + number % folds if folds and part != "v" else None,
            example=Example(
                id=f"e{number}",
                instruction=f"Say {number} times 猫.",
                input="slowly" if number % 3 else "",
                output="meow " * (1 + number),
                history=SAID if number % 2 else (),
            ),
        )
        for number, part in enumerate(parts)
    ]


def written(folder: Path, base: Path, rows: list[SplitExample], style: str = "vicuna", **how: Any) -> TokenShards:
    folder.mkdir()
    (folder / "rows.jsonl").write_text("".join(row.model_dump_json() + "\n" for row in rows), encoding="utf-8")
    (folder / "tokens").mkdir()
    write_shards(folder / "rows.jsonl", Recipe(base, STYLES[style], False, folder / "tokens"), **how)
    return TokenShards(folder / "tokens")


def listed(rows: TrainingRows) -> TrainingRows:
    return TrainingRows(tuple(rows.train), tuple(rows.validation), rows.truncation)


@pytest.mark.parametrize("add_bos", [False, True])
@pytest.mark.parametrize("fold", [None, 1, 3])
def test_stored_rows_are_those_of_the_examples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fold: int | None, add_bos: bool
) -> None:
    monkeypatch.setattr(token_shards, "SHARD", 3)
    tokenizer = tiny_tokenizer(add_bos=add_bos)
    tokenizer.save_pretrained(tmp_path / "base")
    monkeypatch.setattr(token_shards, "_tokenizer", lambda base, trusted: tokenizer)
    rows = split(folds=3 if fold else 0)
    shards = written(tmp_path / "s", tmp_path / "base", rows)
    assert len(shards.tables) == 4
    base, seen = LoadedModel(None, tokenizer, 512), list(in_fold(rows, fold))
    whole = encode_examples(base, seen, STYLES["vicuna"], MaskPolicy("prompt"), None)
    limit = 4 + max(named.row.prompt_length for named in (*whole.train, *whole.validation))
    cases: list[tuple[MaskPolicy, int, Truncate]] = [
        (MaskPolicy("none"), 512, "error"),
        (MaskPolicy("prompt", 0.3), 512, "error"),
        (MaskPolicy("instruction", train_on="last_turn", eos_in_loss=False), 512, "error"),
        (MaskPolicy("prompt"), limit, "left"),
        (MaskPolicy("prompt"), limit, "right"),
        (MaskPolicy("prompt"), limit, "drop"),
    ]
    for policy, longest, truncate in cases:
        found = stored_rows(shards, fold, policy, longest, truncate)
        expected = encode_examples(base, seen, STYLES["vicuna"], policy, longest, truncate)
        assert listed(found) == expected, (policy, truncate)
        assert list(found.lengths) == [len(named.row.ids) for named in expected.train]
        assert (found.truncation.truncated + found.truncation.dropped > 0) == (truncate != "error")
    with pytest.raises(DataError, match=r"example e\d+ \(row \d+ of the data\)"):
        stored_rows(shards, fold, MaskPolicy("prompt"), limit)


def test_a_row_without_loss_is_named(tmp_path: Path, tiny_folder: Path) -> None:
    rows = split()
    rows[0] = rows[0].model_copy(update={"example": rows[0].example.model_copy(update={"output": ""})})
    shards = written(tmp_path / "s", tiny_folder, rows, style="phi")
    with pytest.raises(DataError, match=r"example e0 \(row 1 of the data\): no token"):
        stored_rows(shards, None, MaskPolicy("prompt", eos_in_loss=False), 512)


def test_shards_are_the_same_for_any_number_of_processes(
    tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_shards, "SHARD", 4)
    done: list[int] = []
    one = written(tmp_path / "one", tiny_folder, split(), on_rows=done.append)
    written(tmp_path / "two", tiny_folder, split(), processes=2)
    files = {path.name: path.read_bytes() for path in (tmp_path / "one" / "tokens").iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "two" / "tokens").iterdir()} == files
    assert done == [4, 4, 3] and len(one.tables) == 3


def test_a_shard_of_test_rows_only_is_none(tmp_path: Path, tiny_folder: Path) -> None:
    with pytest.raises(DataError, match="no row is left to train on"):
        stored_rows(written(tmp_path / "s", tiny_folder, split("xxx")), None, MaskPolicy("none"), 512)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_encoded_for_many_rows_at_once_is_what_each_row_says(kind: Kind) -> None:
    """Also after texts that spell out control tokens, which leave the tokenizer reading them as mere text."""
    tokenizer = tokenizer_of(kind, add_bos=True)
    encoder = encoder_of(tokenizer)
    segments = [
        Segment(text, "prompt", False, ((0, len(text)),))
        for text in ("Name a pet.", " 猫 <|im_end|> 🐈", "", "the the", "a" * 400)
    ]
    alone = [encoder.ids(segment, begins=begins) for segment in segments for begins in (True, False)]
    encoder.prepare([segments, segments[::-1]])
    assert encoder.prepared
    assert [encoder.ids(segment, begins=begins) for segment in segments for begins in (True, False)] == alone
