"""Files of responses made elsewhere: every shape, matched by prompt whatever the order, and mismatches named."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from harness.errors import DataError
from harness.generators.imported import Aligned, align, read_responses
from harness.prompts import STYLES, inference_prompt, render
from harness.records.data import Example

TESTS = [
    Example(id="a", instruction="Name a colour.", output="Red."),
    Example(id="b", instruction="Rewrite  it.", input="The cat\nsat.", output="It sat."),
    Example(id="c", instruction="Name a colour.", output="Blue."),
]


def rendered(number: int) -> str:
    return "".join(segment.text for segment in inference_prompt(render(STYLES["alpaca"], TESTS[number])))


BOOK = [  # what the book's chapter 7 writes with json.dump
    {"instruction": "Rewrite  it.", "input": "The cat\nsat.", "output": "It sat.", "model_response": "B"},
    {"instruction": "Name a colour.", "input": "", "output": "Blue.", "model_response": "C"},
    {"instruction": "Name a colour.", "input": "", "output": "Red.", "model_response": "A"},
    {"instruction": "Of another part.", "input": "", "output": "x", "model_response": "X"},
]
ALPACA_EVAL = [  # tatsu-lab/alpaca_eval, model_outputs.json
    {"dataset": "d", "instruction": "Name a colour.", "output": "A", "generator": "m"},
    {"dataset": "d", "instruction": "Name a colour.", "output": "C", "generator": "m"},
    {"dataset": "d", "instruction": "Of another part.", "output": "X", "generator": "m"},
    {"dataset": "d", "instruction": "Rewrite it.\n\nThe cat sat.", "output": "B", "generator": "m"},
]


def harness_row(number: int, text: str, doc: dict[str, str], prompt: str = "") -> dict[str, Any]:
    """A line of EleutherAI/lm-evaluation-harness's samples_*.jsonl."""
    return {
        "doc_id": number, "doc": doc, "target": doc.get("output", ""), "resps": [[text]], "filtered_resps": [text],
        "arguments": {"gen_args_0": {"arg_0": prompt, "arg_1": {"until": ["\n\n"]}}},
    }  # fmt: skip


HARNESS = [
    harness_row(2, "C", TESTS[2].model_dump(include={"instruction", "input", "output"})),
    harness_row(1, "B", {"text": "a task's own fields"}, rendered(1)),
    harness_row(3, "X", {"text": "another"}, "another prompt"),
    harness_row(0, "A", TESTS[0].model_dump(include={"instruction", "input", "output"})),
]


def inspect_sample(asked: Any, text: str, target: str, reason: str = "stop") -> dict[str, Any]:
    """A sample of UKGovernmentBEIS/inspect_ai's log."""
    message = {"role": "assistant", "content": [{"type": "text", "text": text}]}
    choices = [{"message": message, "stop_reason": reason}]
    return {"id": 1, "epoch": 1, "input": asked, "target": target, "output": {"model": "m", "choices": choices}}


INSPECT = {
    "version": 2,
    "status": "success",
    "samples": [
        inspect_sample([{"role": "system", "content": "s"}, {"role": "user", "content": rendered(1)}], "B", "It sat."),
        inspect_sample("Name a colour.", "C", "Blue.", "max_tokens"),
        inspect_sample("Of another part.", "X", "x"),
        inspect_sample("Name a colour.", "A", "Red."),
    ],
}


def written(folder: Path, shape: str) -> Path:
    path = folder / {"book": "r.json", "alpaca_eval": "r.json", "harness": "samples_x.jsonl"}.get(shape, f"r.{shape}")
    if shape == "eval":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("header.json", "{}")
            for number, sample in enumerate(INSPECT["samples"]):  # type: ignore[arg-type]
                archive.writestr(f"samples/{number}_epoch_1.json", json.dumps(sample))
    elif shape == "harness":
        path.write_text("\n".join(map(json.dumps, HARNESS)))
    else:
        path.write_text(json.dumps({"book": BOOK, "alpaca_eval": ALPACA_EVAL, "json": INSPECT}[shape]))
    return path


def aligned(path: Path, tests: list[Example] = TESTS, **how: Any) -> Aligned:
    return align(read_responses(path, how.pop("field", None)), tests, path, how.pop("missing", "fail"))


@pytest.mark.parametrize("shape", ["book", "alpaca_eval", "harness", "json", "eval"])
def test_every_shape_is_matched_by_prompt_and_reference(shape: str, tmp_path: Path) -> None:
    found = aligned(written(tmp_path, shape))
    assert {row.example_id: row.text for row in found.rows} == {"a": "A", "b": "B", "c": "C"}
    assert (found.unmatched, found.missing) == (1, ())
    if shape in ("json", "eval"):
        assert {row.example_id: row.finish_reason for row in found.rows} == {"a": "eos", "b": "eos", "c": "length"}


def test_thoughts_before_a_response_are_cut_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    said = ["<think>\nBlue?\n</think>\n\nRed.", " Red. "]
    path.write_text(json.dumps([{"prompt": "Name a colour.", "response": text} for text in said]))
    assert [(row.text, row.cuts) for row in aligned(path, TESTS[:1]).rows] == [("Red.", ("thoughts",)), (" Red. ", ())]


def test_repeats_of_lm_evaluation_harness_are_samples_and_filters_are_not(tmp_path: Path) -> None:
    row = harness_row(1, "B", TESTS[1].model_dump(include={"instruction", "input", "output"}), rendered(1))
    row["resps"] = [["P1", "P2", "P2"]]
    path = tmp_path / "samples_x.jsonl"
    path.write_text("\n".join(json.dumps(row | {"filter": name}) for name in ("strict-match", "flexible-extract")))
    found = aligned(path, TESTS[1:2])
    assert [(each.sample, each.text) for each in found.rows] == [(0, "P1"), (1, "P2"), (2, "P2")]


@pytest.mark.parametrize("field", [None, "model_response"])
def test_a_null_is_no_response(field: str | None, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps([{"instruction": "Name a colour.", "model_response": None}, *BOOK[:1]]))
    found = aligned(path, field=field, missing="leave out")
    assert ([row.text for row in found.rows], found.missing) == (["B"], ("a", "c"))
    with pytest.raises(DataError, match="2 of 3 test items have no response"):
        aligned(path, field=field)
    with pytest.raises(DataError, match="has no response in 'said'"):
        aligned(path, field="said")


@pytest.mark.parametrize("name", ["r.json", "r.ndjson", "r.jsonl"])
def test_json_lines_are_read_whatever_they_are_called(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text("\n".join(map(json.dumps, BOOK)))
    assert len(aligned(path).rows) == 3


def test_a_table_is_told_what_is_read(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("instruction,model_response\nName a colour.,Red.\n")
    with pytest.raises(DataError, match="JSON lines"):
        aligned(path)


def test_an_accent_written_as_two_characters_is_the_same(tmp_path: Path) -> None:
    tests = [Example(id="e", instruction="Rewrite caf\u00e9.", output="x")]
    path = tmp_path / "r.json"
    path.write_text(json.dumps([{"prompt": "Rewrite cafe\u0301.", "response": "y"}]))
    assert [row.text for row in aligned(path, tests).rows] == ["y"]


GOLDEN = Path(__file__).parents[1] / "golden" / "imported"
"""Written by the packages themselves (`golden/imported/README.md` says how), answers A, B and X to three questions."""


@pytest.mark.parametrize("file", sorted(path.name for path in GOLDEN.glob("*-*")))
def test_files_that_the_tools_themselves_wrote(file: str) -> None:
    found = aligned(GOLDEN / file, TESTS[:2])
    assert {row.example_id: row.text for row in found.rows} == {"a": "A", "b": "B"}
    assert (found.unmatched, found.missing) == (1, ())
    if file.startswith("inspect"):
        assert {row.example_id: row.finish_reason for row in found.rows} == {"a": "eos", "b": "length"}


def test_a_sample_that_broke_off_is_no_empty_response(tmp_path: Path) -> None:
    log = json.loads(next(GOLDEN.glob("inspect-ai-*.json")).read_text())
    log["samples"][1] |= {"error": {"message": "no connection"}, "output": {"choices": [], "completion": ""}}
    path = tmp_path / "log.json"
    path.write_text(json.dumps(log))
    found = aligned(path, TESTS[:2], missing="leave out")
    assert ([row.example_id for row in found.rows], found.missing) == (["a"], ("b",))


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"role": "assistant", "content": None}, ""),  # a message of tool calls alone
        ({"role": "assistant", "content": [{"type": "text", "text": None}, {"type": "text", "text": "A"}]}, "A"),
        ("A", None),
        ({"role": "assistant", "content": 3}, None),
        (None, None),
    ],
)
def test_inspect_messages_without_a_text(message: Any, text: str | None, tmp_path: Path) -> None:
    sample = inspect_sample("Name a colour.", "", "Red.") | {"output": {"choices": [{"message": message}]}}
    path = tmp_path / "log.json"
    path.write_text(json.dumps({"samples": [sample]}))
    if text is None:
        with pytest.raises(DataError, match="an Inspect sample without a text as input or output"):
            read_responses(path)
    else:
        assert [each.text for each in read_responses(path)] == [text]


def test_a_reference_is_not_taken_for_the_response(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps([{"prompt": "Name a colour.", "completion": "Red.", "prediction": "Green."}]))
    with pytest.raises(DataError, match="row 1: several fields may hold the response: completion, prediction"):
        read_responses(path)
    assert [each.text for each in read_responses(path, "prediction")] == ["Green."]


def test_several_responses_to_a_prompt_are_its_samples(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps([{"prompt": "Name a colour.", "said": text} for text in ("x", "y", "z")]))
    found = aligned(path, TESTS[:1], field="said")
    assert [(row.sample, row.text) for row in found.rows] == [(0, "x"), (1, "y"), (2, "z")]


def test_what_does_not_fit_is_counted_and_named(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps([BOOK[2], BOOK[3]]))
    with pytest.raises(DataError, match=r"1 of 2 test items have no response here \(b: 'Rewrite it. The cat sat.'\)"):
        aligned(path, TESTS[:2])
    with pytest.raises(DataError, match=r"1 of its 2 responses are to other prompts"):
        aligned(path, TESTS[:2])
    left = aligned(path, TESTS[:2], missing="leave out")
    assert ([row.example_id for row in left.rows], left.missing, left.unmatched) == (["a"], ("b",), 1)
    with pytest.raises(DataError, match="2 of 2 test items"):
        aligned(path, [TESTS[1], Example(id="d", instruction="d", output="d")], missing="leave out")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"instruction": "a", "output": "b"}]', r"row 1.*no field known to hold a response; its fields: instruction"),
        ('[{"model_response": "b"}]', r"row 1: has no prompt; its fields: model_response"),
        ('[{"instruction": "a", "model_response": 3}]', r"no response in 'model_response'"),
        ('[{"instruction": "a", "model_response": "\\ud83d"}]', r"r.json:row 1: a lone surrogate"),
        ("[1]", "row 1: is no JSON object"),
        ("[", "r.json:1: not JSON"),
        ("[]", "holds no responses"),
        ("3", "neither a list of rows nor an Inspect log"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_by_row(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_responses(path)
    with pytest.raises(DataError, match="no such file"):
        read_responses(tmp_path / "none.json")
