"""Reading data files and cutting them: the book's sizes, and broken rows named by file and line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from harness.data import catalog, load, split
from harness.errors import DataError
from harness.records.data import Example
from harness.records.settings import SplitSettings


def read(path: Path) -> list[Example]:
    return load.examples(load.source(path))


def rows(n: int) -> list[Example]:
    return [Example(id=str(i), instruction=f"i{i}", output="o") for i in range(n)]


@pytest.mark.parametrize(
    ("n", "settings", "expected"),
    [
        (1100, SplitSettings(), (935, 110, 55)),  # the book's chapter 7: int(n * 0.85), int(n * 0.1), the rest
        (1100, SplitSettings(train=0.85, test=0.10, validation=0.05), (935, 110, 55)),
        (1208, SplitSettings(train=128, test=60), (128, 60, 0)),
        (10, SplitSettings(train=5, test=3, validation=2), (5, 3, 2)),
    ],
)
def test_sizes(n: int, settings: SplitSettings, expected: tuple[int, int, int]) -> None:
    sizes = split.sizes(n, settings)
    assert (sizes["train"], sizes["test"], sizes["validation"]) == expected


def test_cut_is_in_file_order() -> None:
    cut = split.split(rows(20), SplitSettings(train=0.5, test=0.25))
    assert [row.index for row in cut] == list(range(20))
    assert [row.split for row in cut] == ["train"] * 10 + ["test"] * 5 + ["validation"] * 5


def test_empty_test_part_is_refused() -> None:
    with pytest.raises(DataError, match="the test part is empty"):
        split.split(rows(5), SplitSettings())


def test_more_rows_asked_than_there_are() -> None:
    with pytest.raises(DataError, match="the data has 10"):
        split.split(rows(10), SplitSettings(train=8, test=3))


def test_formats_agree(tmp_path: Path) -> None:
    entries = [
        {"instruction": "翻译", "input": "a, b\nc", "output": '"x"'},
        {"instruction": "p", "input": "", "output": "q"},
    ]
    (tmp_path / "a.json").write_text(json.dumps(entries, ensure_ascii=False), encoding="utf-8")
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, entries)) + "\r\n\r\n", encoding="utf-8-sig")
    quoted = 'instruction,input,output\r\n翻译,"a, b\nc","""x"""\r\np,,q\r\n'
    (tmp_path / "a.csv").write_bytes(quoted.encode("utf-8-sig"))
    assert read(tmp_path / "a.json") == read(tmp_path / "a.jsonl") == read(tmp_path / "a.csv")


def test_repeated_rows_have_ids_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps([{"instruction": "a", "output": "b"}] * 3))
    ids = [example.id for example in read(path)]
    assert len(set(ids)) == 3
    assert ids[1] == f"{ids[0]}-2"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"instruction": "a", "output": "b"}\n{"instruction": "a"}\n', r"a\.jsonl:2: no key `output`"),
        ("a.jsonl", '{"instruction": "a", "output": "b"}\n{broken\n', r"a\.jsonl:2: not JSON"),
        ("a.jsonl", '{"instruction": "a", "output": 3}\n', "`output` is int, not text"),
        ("a.jsonl", '{"instruction": " ", "output": "x"}\n', "`instruction` is empty"),
        ("a.jsonl", '{"instruction": "a\\u0000", "output": "x"}\n', "NUL character"),
        ("a.jsonl", '{"instruction": "a\\ud800", "output": "x"}\n', "lone surrogate"),
        ("a.jsonl", "[1]\n", "an object with keys, not list"),
        ("a.json", '{"a": 1}', "no list of rows"),
        ("a.json", '[{"instruction": "a",]', r"a\.json:1: not JSON"),
        ("a.json", "[]", "no rows"),
        ("a.csv", "instruction,output\na,b,c\n", r"a\.csv:2: more cells"),
        ("a.csv", "prompt,completion\na,b\n", "no key `instruction`; the row has: prompt, completion"),
        ("a.txt", "x", r"cannot read \.txt"),
    ],
)
def test_broken_files(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read(tmp_path / name)


def test_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'[\n"\xff"]')
    with pytest.raises(DataError, match=r"a\.json:2: not UTF-8"):
        read(tmp_path / "a.json")


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
    with pytest.raises(DataError, match="HARNESS_DATA_DIR"):
        catalog.find("llms-from-scratch", tmp_path)


def test_books_entries_when_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beside = Path(__file__).parents[3] / "shared" / "data"
    given = Path(os.environ.get("HARNESS_DATA_DIR", beside))
    if not (given / "instruction-data.json").exists():
        pytest.skip("the book's data is not on this machine: set HARNESS_DATA_DIR")
    monkeypatch.setenv("HARNESS_DATA_DIR", str(given))
    entries = read(catalog.find("llms-from-scratch", tmp_path))
    # figures counted by hand from the file, and published in the book: entries 50 and 999
    assert len(entries) == 1100
    assert entries[50].instruction == "Identify the correct spelling of the following word."
    assert entries[999].input == ""
    assert entries[999].instruction == "What is an antonym of 'complicated'?"
