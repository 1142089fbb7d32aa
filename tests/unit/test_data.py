"""Reading data: formats and shapes give the same entries, broken rows are named by file and line."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from harness.data import catalog, formats
from harness.data.dataset import dataset, scan
from harness.data.examination import examination
from harness.data.load import Row, example, read
from harness.data.source import arrow_source, file_source
from harness.errors import DataError, ModelError
from harness.records.data import Example, Turn
from harness.records.inputs import BaseInput, DataInput
from harness.records.settings import FieldMap, SplitSettings
from harness.spec.data import DataSpec
from harness.stages.data import make_base, make_data
from trainers.models import folder_sha256

HALVES = SplitSettings(train=0.5, test=0.5)


def entries_of(path: Path, **fields: str) -> list[Example]:
    seen: dict[int, int] = {}
    return [example(row.entry, seen) for row in read([file_source(path)], FieldMap(**fields)) if isinstance(row, Row)]


def scanned(path: Path, *, drop_bad: bool = False, **fields: str) -> Any:
    return scan([file_source(path)], FieldMap(**fields), HALVES, drop_bad=drop_bad)


def jsonl(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


# ---------------------------------------------------------------- formats


def test_formats_agree(tmp_path: Path) -> None:
    entries = [
        {"instruction": "翻译", "input": "a, b\nc", "output": '"x"'},
        {"instruction": "p", "input": "", "output": "q"},
    ]
    (tmp_path / "a.json").write_text(json.dumps(entries, ensure_ascii=False), encoding="utf-8")
    (tmp_path / "b.json").write_text(json.dumps(entries, indent=1).replace("\n", "\r\n"), encoding="utf-8-sig")
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, entries)) + "\r\n\r\n", encoding="utf-8-sig")
    quoted = 'instruction,input,output\r\n翻译,"a, b\nc","""x"""\r\np,,q\r\n'
    (tmp_path / "a.csv").write_bytes(quoted.encode("utf-8-sig"))
    (tmp_path / "a.tsv").write_bytes('instruction\tinput\toutput\n翻译\t"a, b\nc"\t"""x"""\np\t\tq\n'.encode())
    parquet.write_table(pa.Table.from_pylist(entries), tmp_path / "a.parquet")
    expected = [Example(id=e.id, **entry) for e, entry in zip(entries_of(tmp_path / "a.json"), entries, strict=True)]
    for name in ("a.json", "b.json", "a.jsonl", "a.csv", "a.tsv", "a.parquet"):
        assert entries_of(tmp_path / name) == expected, name


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("quoted", [False, True], ids=["plain", "quoted"])
def test_the_header_tells_what_parts_the_cells_of_a_csv_file(tmp_path: Path, delimiter: str, quoted: bool) -> None:
    path = tmp_path / "a.csv"
    written = [["instruction", "output", "of, by; or\tin"], ["Add 2, 3; 4\t5", "a\nb", "x"], ["p", "q", ""]]
    with path.open("w", encoding="utf-8-sig", newline="") as f:
        csv.writer(f, delimiter=delimiter, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL).writerows(written)
    assert [(e.instruction, e.output) for e in entries_of(path)] == [("Add 2, 3; 4\t5", "a\nb"), ("p", "q")]


def test_a_semicolon_parts_no_cells_where_the_header_has_commas(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("instruction,output,a;b\nOne; two,3;4,5;6\n")
    [found] = entries_of(tmp_path / "a.csv")
    assert (found.instruction, found.output, found.meta) == ("One; two", "3;4", {"a;b": "5;6"})


def test_a_json_array_is_read_through_a_small_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "CHUNK", 3)
    values: list[Any] = [{"a": ["x" * 50, {"b": ']\\"}'}]}, 123456789, 1.5e-7, "é漢\U0001f600", None, [], -3]
    (tmp_path / "a.json").write_text("\n [ " + " ,\n".join(map(json.dumps, values)) + "\n]\n")
    assert [value for _, value in formats.json_rows(tmp_path / "a.json")] == values
    assert [where for where, _ in formats.json_rows(tmp_path / "a.json")][:3] == ["2 (row 0)", "3 (row 1)", "4 (row 2)"]


def test_arrow_folder(tmp_path: Path) -> None:
    one = datasets.Dataset.from_list([{"instruction": f"i{i}", "output": "翻译"} for i in range(4)])
    one.save_to_disk(str(tmp_path / "one"), num_shards=2)
    two = datasets.DatasetDict({"train": one.select(range(3)), "test": one.select([3])})
    two.save_to_disk(str(tmp_path / "two"))
    found = dataset(DataSpec(path="one"), HALVES, tmp_path)
    assert [row.example.instruction for row in found] == ["i0", "i1", "i2", "i3"]
    with pytest.raises(DataError, match="several parts: train, test"):
        dataset(DataSpec(path="two"), HALVES, tmp_path)
    cut = dataset(DataSpec(path="two", part="train"), SplitSettings(train=2, test=1), tmp_path)
    assert [row.split for row in cut] == ["train", "train", "test"]
    given = DataSpec.model_validate({"path": "two", "parts": {"train": "train", "test": "test"}})
    assert [(row.split, row.index, row.example.instruction) for row in dataset(given, SplitSettings(), tmp_path)] == [
        ("train", 0, "i0"), ("train", 1, "i1"), ("train", 2, "i2"), ("test", 0, "i3"),
    ]  # fmt: skip


def test_arrow_folder_is_known_by_its_rows_and_not_by_when_it_was_written(tmp_path: Path) -> None:
    for name, output in (("a", "x"), ("b", "x"), ("c", "y")):
        datasets.Dataset.from_list([{"instruction": "i", "output": output}] * 2).save_to_disk(str(tmp_path / name))
    a, b, c = (dataset(DataSpec(path=name), HALVES, tmp_path).sources[0].input for name in "abc")
    assert a == b != c


def test_a_mistyped_file_is_no_hub_data_set(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no data set or file 'data/rows.jsonl'"):
        dataset(DataSpec(path="data/rows.jsonl"), SplitSettings(), tmp_path)


def test_a_hub_data_set_must_be_pinned(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'org/name' has to be pinned to a commit"):
        dataset(DataSpec(path="org/name", revision="main"), SplitSettings(), tmp_path)


# ---------------------------------------------------------------- shapes


@pytest.mark.parametrize(
    "row",
    [
        {"instruction": "q", "input": "", "output": "a"},
        {"prompt": "q", "completion": "a"},
        {"prompt": "q", "response": "a"},
        {"question": "q", "answer": "a"},
        {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "q"}]},
                      {"role": "assistant", "content": "a"}]},
        {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]},
        {"prompt": [{"role": "user", "content": "q"}], "completion": [{"role": "assistant", "content": "a"}]},
        {"instruction": "q", "context": "", "response": "a"},
        {"instruction": "q", "response": "a"},
        {"messages": None, "prompt": "q", "completion": "a"},
        {"messages": [{"role": "User", "content": "q"}, {"role": "Assistant", "content": "a"}]},
        {"messages": [{"role": "system", "content": " "}, {"role": "user", "content": "q"},
                      {"role": "assistant", "content": "a", "weight": 1}]},
        {"instruction": "q", "output": "a", "system": "", "history": []},
        {"conversations": [{"from": "human", "value": "q", "weight": 0}, {"from": "gpt", "value": "a"}], "system": ""},
    ],
)  # fmt: skip
def test_known_shapes(tmp_path: Path, row: dict[str, Any]) -> None:
    [found] = entries_of(jsonl(tmp_path / "a.jsonl", row))
    assert (found.instruction, found.input, found.output, found.history) == ("q", "", "a", ())


def test_the_material_of_a_dolly_row(tmp_path: Path) -> None:
    [found] = entries_of(jsonl(tmp_path / "a.jsonl", {"instruction": "q", "context": "c", "response": "a"}))
    assert (found.instruction, found.input, found.output) == ("q", "c", "a")


def test_a_system_message_and_a_history_beside_an_exchange_are_read(tmp_path: Path) -> None:
    """As LLaMA-Factory has them."""
    said = {"system": "s", "history": [["u1", "a1"], ["u2", "a2"]]}
    roles = ("system", "user", "assistant", "user", "assistant")
    expected = [*zip(roles, ("s", "u1", "a1", "u2", "a2"), strict=True)]
    for row in (
        {"instruction": "q", "input": "i", "output": "a", **said},
        {"instruction": "q", "context": "i", "response": "a", **said},
    ):
        [found] = entries_of(jsonl(tmp_path / "a.jsonl", row))
        assert (found.instruction, found.input, found.output, found.meta) == ("q", "i", "a", {})
        assert [(turn.role, turn.text) for turn in found.history] == expected
    [named] = entries_of(
        jsonl(tmp_path / "a.jsonl", {"task": "q", "gold": "a", **said}), instruction="task", output="gold"
    )
    assert [(turn.role, turn.text) for turn in named.history] == expected
    chat = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
    own = [{"from": "system", "value": "s"}, *chat]
    beside, both = entries_of(jsonl(tmp_path / "b.jsonl", *({"conversations": c, "system": "s"} for c in (chat, own))))
    assert beside.history == both.history == (Turn(role="system", text="s"),)
    with pytest.raises(DataError, match="has the roles system, system, user"):
        scanned(jsonl(tmp_path / "b.jsonl", {"conversations": own, "system": "another"}))


def test_other_fields_of_these_names_are_fields_like_any_other(tmp_path: Path) -> None:
    row = {"instruction": "q", "output": "a", "system": 3, "history": "ancient"}
    [found] = entries_of(jsonl(tmp_path / "a.jsonl", row))
    assert (found.history, found.meta) == ((), {"system": "3", "history": "ancient"})
    for history, what in (([["q"]], "is not a pair"), ([["q", 3]], "is not a pair"), ([["q", " "]], "is empty")):
        with pytest.raises(DataError, match=rf"`history\[0\]` {what}"):
            scanned(jsonl(tmp_path / "a.jsonl", row | {"history": history}))
    assert not scanned(jsonl(tmp_path / "a.jsonl", row, row)).newly_read


def test_an_answer_of_weight_0_is_marked(tmp_path: Path) -> None:
    """As OpenAI's format has it."""
    chat = [("user", "u", 0), ("assistant", "no", 0), ("user", "u", None), ("assistant", "yes", 1)]
    messages = [{"role": role, "content": text, "weight": weight} for role, text, weight in chat]
    found = scanned(jsonl(tmp_path / "a.jsonl", *[{"messages": messages}] * 2))
    assert [turn.weight for turn in next(iter(found)).example.history] == [1, 0]
    assert found.newly_read
    messages[1]["weight"] = 0.5
    with pytest.raises(DataError, match=r"`messages\[1\]` has weight 0.5; known: 0, 1"):
        scanned(jsonl(tmp_path / "a.jsonl", {"messages": messages}))
    messages[1]["weight"], messages[3]["weight"] = 1, 0
    with pytest.raises(DataError, match=r"last answer of `messages` has weight 0"):
        scanned(jsonl(tmp_path / "a.jsonl", {"messages": messages}))


def test_two_column_csv(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("instruction,output\nq,a\n")
    [found] = entries_of(tmp_path / "a.csv")
    assert (found.instruction, found.output) == ("q", "a")


def test_turns_before_the_last_exchange_are_history(tmp_path: Path) -> None:
    said = [("system", "s"), ("user", "u1"), ("assistant", "a1"), ("user", "u2"), ("assistant", "a2")]
    openai = {"messages": [{"role": role, "content": text} for role, text in said]}
    names = {"system": "system", "user": "human", "assistant": "gpt"}
    sharegpt = {"conversations": [{"from": names[role], "value": text} for role, text in said]}
    [a] = entries_of(jsonl(tmp_path / "a.jsonl", openai))
    [b] = entries_of(jsonl(tmp_path / "b.jsonl", sharegpt))
    assert a == b
    assert (a.instruction, a.output) == ("u2", "a2")
    assert a.history == tuple(Turn.model_validate({"role": role, "text": text}) for role, text in said[:3])
    [alone] = entries_of(jsonl(tmp_path / "c.jsonl", {"instruction": "u2", "output": "a2"}))
    assert alone.id != a.id


def test_field_map(tmp_path: Path) -> None:
    path = jsonl(
        tmp_path / "a.jsonl", {"task": "q", "text": "i", "gold": "a", "sys": "s", "lang": "en", "n": 3, "l": [1]}
    )
    [found] = entries_of(path, instruction="task", input="text", output="gold", system="sys")
    assert (found.instruction, found.input, found.output) == ("q", "i", "a")
    assert found.history == (Turn(role="system", text="s"),)
    assert found.meta == {"lang": "en", "n": "3"}
    numbered = jsonl(tmp_path / "n.jsonl", *({"instruction": "q", "output": "a", "n": n} for n in (1, "1", 2.5, True)))
    assert [each.meta["n"] for each in entries_of(numbered)] == ["1", "1", "2.5", "True"]
    assert scanned(numbered).numbers and not scanned(jsonl(path, *[{"instruction": "q", "output": "a"}] * 2)).numbers
    [chat] = entries_of(jsonl(tmp_path / "b.jsonl", {"chat": [["x"]]} | {"chat": [
        {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}), messages="chat")  # fmt: skip
    assert chat.output == "a"


def test_several_references(tmp_path: Path) -> None:
    """The first of a list is trained on; the others, and those of another field, are further references."""
    rows = [
        {"instruction": "q", "output": ["a", "b"], "more": "c"},
        {"instruction": "q", "output": "a", "more": ["b"]},
        {"instruction": "q", "output": "a"},
    ]
    found = entries_of(jsonl(tmp_path / "a.jsonl", *rows), references="more")
    assert [entry.references for entry in found] == [("a", "b", "c"), ("a", "b"), ("a",)]
    assert all("more" not in entry.meta for entry in found)
    asked = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}], "more": ["b"]}
    assert entries_of(jsonl(tmp_path / "b.jsonl", asked), references="more")[0].references == ("a", "b")


@pytest.mark.parametrize(
    ("output", "message"),
    [(["a", ""], r"`output\[1\]` is empty"), (["a", 3], r"`output\[1\]` is int, not text"), ([], "`output` is empty")],
)
def test_broken_references(tmp_path: Path, output: list[Any], message: str) -> None:
    path = jsonl(tmp_path / "a.jsonl", {"instruction": "q", "output": "a"}, {"instruction": "q", "output": output})
    with pytest.raises(DataError, match=f"a.jsonl:2: {message}"):
        scanned(path)


def test_repeated_rows_have_ids_of_their_own(tmp_path: Path) -> None:
    ids = [each.id for each in entries_of(jsonl(tmp_path / "a.jsonl", *[{"instruction": "a", "output": "b"}] * 3))]
    assert ids == [ids[0], f"{ids[0]}-2", f"{ids[0]}-3"]


# ---------------------------------------------------------------- broken rows


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"instruction": "a", "output": "b"}\n{"instruction": "a"}\n', r"a\.jsonl:2: no key `output`"),
        ("a.jsonl", '{"instruction": "a", "output": "b"}\n{broken\n', r"a\.jsonl:2: not JSON"),
        ("a.jsonl", '{"instruction": "a", "output": 3}\n', "`output` is int, not text"),
        ("a.jsonl", '{"instruction": " ", "output": "x"}\n', "`instruction` is empty"),
        ("a.jsonl", '{"instruction": "a\\u0000", "output": "x"}\n', "NUL character"),
        ("a.jsonl", '{"instruction": "a\\ud800", "output": "x"}\n', "lone surrogate"),
        ("a.jsonl", '{"instruction": "a", "output": "x", "note": "\\udfff"}\n', "lone surrogate"),
        ("a.jsonl", "[1]\n", "an object with keys, not list"),
        ("a.jsonl", "[" * 100_000 + "\n", r"a\.jsonl:1: not JSON"),
        ("a.jsonl", '{"a": ' + "9" * 5000 + "}\n", r"a\.jsonl:1: not JSON"),
        ("a.jsonl", '{"messages": []}\n', "has the roles of nobody"),
        ("a.jsonl", '{"messages": [{"role": "user", "content": "a"}]}\n', "roles user; expected"),
        ("a.jsonl", '{"messages": [{"role": "tool", "content": "a"}]}\n', r"`messages\[0\]` has role 'tool'"),
        ("a.jsonl", '{"conversations": "x"}\n', "`conversations` is str, not a list"),
        ("a.json", '{"a": 1}', "no list of rows"),
        ("a.json", '[{"instruction": "a",]', r"a\.json:1: not JSON"),
        ("a.json", '[\n{"instruction": "a", "output": "b"}\n{"a": 1}]', r"a\.json:3: not JSON: expecting ','"),
        ("a.json", '[\n{"instruction": "a", "output": "b"},\n{"instruction": "a"}]', r"a\.json:3 \(row 1\): no key"),
        ("a.json", '[{"instruction": "a", "output": "b"}', r"a\.json:1: not JSON"),
        ("a.json", "[]", "no rows"),
        ("a.json", "[]]", "after the list"),
        ("a.csv", "instruction,output\na,b,c\n", r"a\.csv:2: more cells"),
        ("a.csv", "instruction,output\na\n", r"a\.csv:2: no key `output`"),
        ("a.csv", "x,y\na,b\n", "no key `instruction`; the row has: x, y"),
        ("a.csv", "output,output\na,b\n", "names 'output' twice"),
        ("a.csv", 'instruction,output\n"a,b\n', r"a\.csv:2: not CSV"),
        ("a.csv", '"instruction"x,output\na,b\n', r"a\.csv:1: not CSV"),
        ("a.csv", '"instruction;output\na;b\n', r"a\.csv:1: not CSV"),
        ("a.csv", "instruction;output\na;b;c\n", r"a\.csv:2: more cells"),
        ("a.csv", "instruction\na,b\n", r"a\.csv:2: more cells"),
        ("a.csv", "", "no rows"),
        ("a.parquet", "x", r"a\.parquet: not a Parquet file"),
        ("a.txt", "x", r"cannot read \.txt"),
    ],
)
def test_broken_files(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        scanned(tmp_path / name)


ROW = '{"instruction": "a", "output": "b"}'


@pytest.mark.parametrize(
    ("name", "content", "said", "hint"),
    [
        (
            "a.jsonl",
            f"[\n{ROW},\n]\n",
            "a.jsonl:1: not JSON: .*; where the file is one JSON array, call it .json",
            "mend these rows",
        ),
        (
            "a.jsonl",
            f"[{ROW}]\n",
            "a.jsonl:1: a JSON array, not one row a line; call the file .json",
            "mend these rows",
        ),
        ("a.json", f"{ROW}\n{ROW}\n", "no list of rows", "one object a line is .jsonl: call the file that"),
        ("a.jsonl", '{"instruction": "a", "output": 3}\n', "output` is int", "mend these rows"),
        ("a.jsonl", '{"task": "a"}\n', "no key `instruction`", "`data.fields` names its fields"),
    ],
)
def test_the_hint_goes_with_the_reason(tmp_path: Path, name: str, content: str, said: str, hint: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=said) as caught:
        scanned(tmp_path / name, drop_bad=True)
    assert caught.value.hint is not None and hint in caught.value.hint and "on_bad_rows" not in caught.value.hint
    if name == "a.jsonl":
        (tmp_path / name).write_text(content + ROW + "\n")
        with pytest.raises(DataError) as caught:
            scanned(tmp_path / name)
        assert "on_bad_rows: drop" in str(caught.value.hint)


def test_a_gap_in_the_field_that_the_split_goes_by_asks_for_no_field_map(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", json.loads(ROW))
    with pytest.raises(DataError, match="no value under `family`") as caught:
        scan([file_source(path)], FieldMap(), SplitSettings(stratify_by="family"), drop_bad=False)
    assert "fields" not in str(caught.value.hint)


@pytest.mark.parametrize(
    ("row", "fields", "hint"),
    [
        ({"task": "q"}, [], "name the fields: --fields"),
        ({"task": "q"}, ["instruction=question", "output=task"], "names that the rows have"),
        ({"instruction": "q", "output": 3}, [], "mend these rows"),
    ],
)
def test_the_audit_asks_for_fields_only_where_they_are_unknown(
    tmp_path: Path, row: dict[str, Any], fields: list[str], hint: str
) -> None:
    with pytest.raises(DataError) as caught:
        examination(jsonl(tmp_path / "a.jsonl", row), fields, None, "alpaca", None)
    assert hint in str(caught.value.hint)


@pytest.mark.parametrize("name", ["a.json", "a.csv"])
def test_not_utf8(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b'[\n"\xff"]')
    with pytest.raises(DataError, match=rf"{name}:2: not UTF-8"):
        scanned(tmp_path / name)


def not_utf8_table() -> pa.Table:
    texts = pa.array([b"a", b"\xff", b"c"], pa.binary()).view(pa.string())
    return pa.table({"instruction": texts, "output": ["x", "y", "z"]})


def test_a_row_of_a_parquet_file_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    parquet.write_table(not_utf8_table(), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet:row 1: not UTF-8 text"):
        scanned(tmp_path / "a.parquet")
    assert scanned(tmp_path / "a.parquet", drop_bad=True).bad_rows == 1
    assert [entry.instruction for entry in entries_of(tmp_path / "a.parquet")] == ["a", "c"]


def test_a_row_of_an_arrow_folder_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    datasets.Dataset(not_utf8_table()).save_to_disk(str(tmp_path / "set"))
    with pytest.raises(DataError, match=r"set:row 1: not UTF-8 text"):
        dataset(DataSpec(path="set"), HALVES, tmp_path)


@pytest.mark.parametrize("listing", ["{", '{"parts": 1}', '{"splits": 1}', "[]"])
def test_a_broken_listing_of_an_arrow_folder_is_named(tmp_path: Path, listing: str) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "dataset_dict.json").write_text(listing)
    with pytest.raises(DataError, match=r"dataset_dict.json: not a data set that can be read"):
        dataset(DataSpec(path="set"), HALVES, tmp_path)


def test_a_parquet_file_that_names_a_column_twice(tmp_path: Path) -> None:
    twice = pa.Table.from_arrays([pa.array(["a"])] * 3, names=["instruction", "instruction", "output"])
    parquet.write_table(twice, tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet: names the column 'instruction' twice"):
        scanned(tmp_path / "a.parquet")


def test_empty_columns_at_the_end_of_a_csv_file_are_none(tmp_path: Path) -> None:
    """As Excel writes them."""
    (tmp_path / "a.csv").write_text("instruction,output,,\nq,a,,\n")
    assert [(entry.output, entry.meta) for entry in entries_of(tmp_path / "a.csv")] == [("a", {})]
    (tmp_path / "a.csv").write_text("instruction,output,,\nq,a,,\nq,a,,b\n")
    with pytest.raises(DataError, match=r"a\.csv:3: a cell under no column's name: 'b'"):
        scanned(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text(",instruction,output\n0,q,a\n")
    assert [entry.meta for entry in entries_of(tmp_path / "a.csv")] == [{"": "0"}], "as pandas writes its index"


def test_broken_rows_can_be_dropped_and_are_counted(tmp_path: Path) -> None:
    good = {"instruction": "a", "output": "b"}
    path = jsonl(tmp_path / "a.jsonl", good, {"instruction": "a"}, good)
    path.write_bytes(path.read_bytes() + b"\xff\n")
    found = scanned(path, drop_bad=True)
    assert found.bad_rows == 2
    assert [line.rsplit("a.jsonl:")[-1] for line in found.rejected] == [
        "2: no key `output`; the row has: instruction",
        "4: not UTF-8 text",
    ]
    assert [(row.index, row.split) for row in found] == [(0, "train"), (2, "test")]


def test_nothing_but_broken_rows_is_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.jsonl:1: no key"):
        scanned(jsonl(tmp_path / "a.jsonl", {"x": "y"}), drop_bad=True)


def test_a_file_that_changes_while_it_is_read(tmp_path: Path) -> None:
    row = {"instruction": "a", "output": "b"}
    found = scanned(jsonl(tmp_path / "a.jsonl", row, row))
    jsonl(tmp_path / "a.jsonl", row, row, row)
    with pytest.raises(DataError, match="changed while it was read"):
        list(found)


def test_another_file_of_as_many_rows_is_not_taken_for_the_one_that_was_planned(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", {"instruction": "a", "output": "b"})
    folder = tmp_path / "set"
    datasets.Dataset.from_list([{"instruction": "a", "output": "b"}]).save_to_disk(str(folder))
    file, arrow = file_source(path), arrow_source(folder, None, None)
    file.raise_if_changed()
    arrow.raise_if_changed()
    jsonl(path, {"instruction": "a", "output": "c"})
    next(folder.glob("*.arrow")).unlink()
    with pytest.raises(DataError, match=r"a.jsonl: has changed since this run began"):
        file.raise_if_changed()
    with pytest.raises(DataError, match="not a data set that can be read"):
        arrow.raise_if_changed()


def test_stages_refuse_what_has_changed_since_the_plan(tmp_path: Path, tiny_folder: Path) -> None:
    data = scanned(jsonl(tmp_path / "a.jsonl", *[{"instruction": "a", "output": "b"}] * 2))
    model = Path(shutil.copytree(tiny_folder, tmp_path / "model"))
    base = BaseInput(kind="folder", identity=folder_sha256(model))
    (model / "config.json").write_text("{}")
    jsonl(tmp_path / "a.jsonl", *[{"instruction": "a", "output": "c"}] * 2)
    resolved = SimpleNamespace(data=data, models={"m": SimpleNamespace(name=str(model), input=base)})
    workshop: Any = SimpleNamespace(resolved=resolved)
    writer: Any = SimpleNamespace(replace_rows=list)
    given = DataInput(sources=tuple(source.input for source in data.sources), split=HALVES)
    with pytest.raises(DataError, match="has changed since this run began"):
        make_data(workshop, given, writer)
    with pytest.raises(ModelError, match="has changed since this run began"):
        make_base(workshop, base, writer)


# ---------------------------------------------------------------- names


def test_unknown_name_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="did you mean 'starter-en'"):
        catalog.find("starter-em", tmp_path)


def test_remote_set_is_checked_by_its_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "instruction-data.json").write_text("[]")
    monkeypatch.setenv("HARNESS_DATA_DIR", str(tmp_path))
    with pytest.raises(DataError, match="has sha256"):
        catalog.find("llms-from-scratch", tmp_path)


def test_unreachable_remote_set_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HARNESS_DATA_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for proxy in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(proxy, "http://127.0.0.1:9")  # nobody listens on the discard port
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(DataError, match="set HARNESS_DATA_DIR to the folder"):
        catalog.find("llms-from-scratch", tmp_path)
    wrong = tmp_path / "wrong"
    monkeypatch.setenv("HARNESS_DATA_DIR", str(wrong))
    with pytest.raises(DataError, match=f"HARNESS_DATA_DIR is {wrong}; no instruction-data.json there"):
        catalog.find("llms-from-scratch", tmp_path)


def test_books_entries_when_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beside = Path(__file__).parents[3] / "shared" / "data"
    given = Path(os.environ.get("HARNESS_DATA_DIR", beside))
    if not (given / "instruction-data.json").exists():
        pytest.skip("the book's data is not on this machine: set HARNESS_DATA_DIR")
    monkeypatch.setenv("HARNESS_DATA_DIR", str(given))
    entries = entries_of(catalog.find("llms-from-scratch", tmp_path))
    # figures counted by hand from the file, and published in the book: entries 50 and 999
    assert len(entries) == 1100
    assert entries[50].instruction == "Identify the correct spelling of the following word."
    assert entries[999].input == ""
    assert entries[999].instruction == "What is an antonym of 'complicated'?"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)
NEARLY_JSON = st.text('[]{}",:0123456789.eE+-\\u dDtruefalsnulNIy \n\t\x01', max_size=16)


@given(
    st.binary(max_size=30)
    | st.text(max_size=30).map(lambda text: text.encode("utf-8", "surrogatepass"))
    | NEARLY_JSON.map(str.encode)
    | JSON.map(lambda value: json.dumps(value).encode())
    | JSON.map(lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))
)
def test_the_quick_parser_reads_lines_as_pythons_does(line: bytes) -> None:
    assert repr(formats.parsed(line)) == repr(formats.slowly_parsed(line))
