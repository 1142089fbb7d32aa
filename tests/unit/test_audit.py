"""The data audit: what it finds in made-up and in the book's data, what dropping does, how near-duplicates show."""

from __future__ import annotations

import itertools
import json
import math
import os
import random
import tracemalloc
from collections import Counter as Counted
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cli import main
from harness.data import similarity
from harness.data.audit import TokenLimit, audit, examine, to_drop
from harness.data.audit_summary import raise_if_forbidden, summarise
from harness.data.dataset import dataset
from harness.errors import DataError, ModelError
from harness.generators.local import check_room, prompt_of, tasks_of
from harness.prompts import STYLES, render
from harness.records.data import AuditFinding, Example, SplitExample, SplitName, Turn
from harness.records.settings import AuditSettings, GenerateSettings, NewTokens, ReferenceLength, SplitSettings
from harness.spec.data import DataSpec
from trainers.lengths import Counter, room_limit

NOUNS = (
    "apple bridge castle desert engine forest garden harbour island jungle kitchen ladder mirror needle orchard".split()
)
LONG = "Describe in two sentences what a traveller who crosses the old stone bridge at dawn would see and hear"


def entry(instruction: str, output: str = "", given: str = "") -> Example:
    return Example(id=instruction, instruction=instruction, input=given, output=output or f"{instruction} it is.")


def rows(**parts: list[Example]) -> list[SplitExample]:
    found: list[SplitExample] = []
    names: tuple[SplitName, ...] = ("train", "test", "validation")
    for name in names:
        found += [SplitExample(split=name, index=i, example=e) for i, e in enumerate(parts.get(name, []))]
    return found


def findings(split: list[SplitExample], kind: str, **settings: Any) -> list[AuditFinding]:
    return [f for f in audit(split, AuditSettings(**settings)).findings if f.kind == kind]


def spots(found: list[AuditFinding]) -> list[tuple[str, int]]:
    return [(f.place.split, f.place.position) for f in found]


FILLER = [entry(f"Tell me about the {a} near the {b}.") for a in NOUNS for b in NOUNS[:3] if a != b]


def test_repeats_and_leaks_name_both_sides() -> None:
    a, b = entry(LONG), entry("Explain why leaves turn red in autumn.", given="for a child")
    other_input = b.model_copy(update={"input": "for an expert", "id": "o"})
    split = rows(train=[a, *FILLER, a, b], test=[b, other_input, a], validation=[a])
    repeats = findings(split, "repeats")
    last = len(FILLER) + 1
    assert spots(repeats) == [("train", last), ("test", 0), ("test", 2), ("validation", 0)]
    assert [(o.split, o.position) for o in repeats[0].others] == [("train", 0)]
    leaks = findings(split, "leaks")
    assert spots(leaks) == [("test", 0), ("test", 2), ("validation", 0)]
    assert [o.position for o in leaks[1].others] == [0, last]


SYSTEM = (
    "You are a helpful, respectful and honest assistant. Always answer as helpfully as possible, while being safe. " * 4
)


def behind(example: Example, *said: str, system: str = "") -> Example:
    """The entry behind a system message and earlier turns: user and assistant by turns."""
    turns = [Turn(role="system", text=system)] if system else []
    turns += [Turn(role="assistant" if n % 2 else "user", text=text) for n, text in enumerate(said)]
    return example.model_copy(update={"history": tuple(turns), "id": f"{example.id} {len(turns)}"})


def test_a_question_leaks_whatever_stands_before_it() -> None:
    asked, other = entry("Explain why leaves turn red in autumn.", given="for a child"), entry(LONG)
    for copy in (behind(asked, system=SYSTEM), behind(asked, "hi", "hello")):
        split = rows(train=[copy, *FILLER, copy], test=[other, asked])
        assert spots(findings(split, "leaks")) == [("test", 1)]
        assert to_drop(split, ["leaks"], 1.0) == {0: "leaks", len(FILLER) + 1: "leaks"}
    earlier = behind(entry("Go on."), LONG, "There is mist on the river.")
    split = rows(train=[*FILLER, earlier], test=[asked, other, behind(entry("Why?"), "Go on.", "No.")])
    [leak] = findings(split, "leaks")
    assert spots([leak]) == [("test", 1)], "what is trained on, in any turn; of the test the last question alone"
    assert [(o.split, o.position) for o in leak.others] == [("train", len(FILLER))]
    going = [behind(entry("Go on."), said, "Well.") for said in ("Tell me a tale.", "Count to ten.", "Tell me a tale.")]
    assert spots(findings(rows(train=[*FILLER, going[0]], test=going[1:]), "leaks")) == [("test", 1)], "follow-ups"
    asked_again = [behind(entry(text), "Tell me a tale.", "Well.") for text in (LONG, LONG.replace("dawn", "dusk"))]
    beside = rows(train=[*FILLER, asked_again[0]], test=[asked_again[1], behind(asked_again[1], "Count.", "1")])
    assert spots(findings(beside, "near_leaks", similarity=0.9)) == [("test", 0)], "behind the same question"
    nearly = rows(train=[*FILLER, earlier], test=[entry(LONG.replace("dawn", "dusk"))])
    assert spots(findings(nearly, "near_leaks", similarity=0.9)) == [("test", 0)]
    assert to_drop(nearly, ["near_leaks"], 0.9) == {len(FILLER): "near_leaks"}


@given(
    drawn=st.lists(
        st.tuples(
            st.sampled_from(
                [("train", None), ("test", None), ("validation", None), ("test", 1), ("test", 2), ("test", 3)]
            ),
            st.lists(st.sampled_from("abcde"), min_size=1, max_size=3),
        ),
        max_size=12,
    )
)
def test_leaks_are_those_that_comparing_everything_finds(
    drawn: list[tuple[tuple[SplitName, int | None], list[str]]],
) -> None:
    split = []
    for index, ((part, fold), asked) in enumerate(drawn):
        turns = [text for question in asked[:-1] for text in (question, "Yes.")]
        example = behind(entry(asked[-1]), *turns)
        split.append(SplitExample(split=part, index=index, example=example, fold=fold))
    found, dropped = set(), set()
    for (held, (held_part, held_fold)), (row, (part, fold)) in itertools.product(
        enumerate(each for each, _ in drawn), enumerate(each for each, _ in drawn)
    ):
        trained = part == "train" or (fold is not None and fold != held_fold)
        *before, last = drawn[held][1]
        places = [n for n, question in enumerate(drawn[row][1]) if question == last]
        if held_part != "train" and trained and any(not before or drawn[row][1][:n] == before for n in places):
            found.add(held)
            if part == "train" or held_fold is None or row > held:
                dropped.add(row)
    assert {f.row for f in examine(split, ["leaks"], 1.0)[1]} == found
    assert to_drop(split, ["leaks"], 1.0).keys() == dropped


def test_what_all_entries_share_makes_none_a_duplicate() -> None:
    tasks = [entry(f"{a} {b}: which is larger?") for a in NOUNS for b in NOUNS[:8] if a != b]
    for said in ((), ("How do I ask you something?", "Like this.", "And then?", "Then I answer.")):
        shared = [behind(each, *said, system=SYSTEM) for each in tasks]
        plain, same = (rows(train=each[20:], test=each[:20]) for each in (tasks, shared))
        for kind in ("near_repeats", "near_leaks"):
            assert spots(findings(same, kind)) == spots(findings(plain, kind))
        assert to_drop(same, ["near_repeats", "near_leaks"], 0.95) == to_drop(
            plain, ["near_repeats", "near_leaks"], 0.95
        )


def test_near_repeats_were_asked_the_same_before() -> None:
    again, almost = entry(LONG), entry(LONG + "!")
    split = rows(
        train=[behind(again, "hi", "hello"), *FILLER, behind(almost, "hi", "Good day."), almost], test=[FILLER[0]]
    )
    assert spots(findings(split, "near_repeats")) == [("train", len(FILLER) + 1)]
    systems = rows(train=[behind(again, system="Be brief."), *FILLER, behind(again, system=SYSTEM)], test=[FILLER[0]])
    assert spots(findings(systems, "near_repeats")) == [("train", len(FILLER) + 1)]
    assert spots(findings(systems, "repeats")) == [("test", 0)], "the whole prompt"


def test_a_language_is_told_without_what_was_said_before() -> None:
    german = entry("Was ist die Hauptstadt von Deutschland?", output="Die Hauptstadt von Deutschland ist Berlin.")
    split = rows(train=[behind(each, system=SYSTEM) for each in [*FILLER, german]])
    assert spots(findings(split, "languages")) == [("train", len(FILLER))]


def test_a_question_that_thousands_share_takes_little_room() -> None:
    same = [entry("Tell me a joke.", output=f"joke {n}") for n in range(3000)]
    nearly = [entry("Tell me a joke!", output=f"joke {n}") for n in range(3000)]
    for first, second, kind in ((same[:1500], same[1500:], "leaks"), (same, nearly, "near_leaks")):
        split = rows(train=first, test=second)
        found = findings(split, kind, similarity=0.6)
        assert len(found) == len(second)
        assert {(len(f.others), f.n_others) for f in found} == {(10, len(first))}
        assert to_drop(split, [kind], 0.6) == dict.fromkeys(range(len(first)), kind)
    # two objects of one array, not an array a finding
    tracemalloc.start()
    list(examine(rows(train=same, test=nearly), ["near_leaks"], 0.6))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 30e6


def test_near_duplicates_across_parts_and_within() -> None:
    almost = entry(LONG.replace("dawn", "dusk"))
    spelled = entry(f"  {LONG.upper()}")
    split = rows(
        train=[entry(LONG), *FILLER, almost], test=[spelled, spelled], validation=[entry("Quite another task.")]
    )
    near = findings(split, "near_leaks", similarity=0.9)
    assert spots(near) == [("test", 0), ("test", 1)]
    assert near[0].similarity == 1.0  # letters' case and blanks make no difference
    assert [o.position for o in near[0].others] == [0, len(FILLER) + 1]
    assert ("train", len(FILLER) + 1) in spots(findings(split, "near_repeats", similarity=0.9))
    assert not findings(rows(train=[entry(LONG)], test=[entry("Describe an old bridge")]), "near_leaks")


def test_odd_outputs_lengths_and_languages() -> None:
    odd = [
        entry("Repeat after me.", output=" Repeat after me. "),
        entry("Write it all down.", output="and so on " * 4000),
        entry("Décrivez les montagnes de la région", output="Les montagnes de la région sont très hautes et belles."),
        *(entry(f"Is a {noun} alive, dead, or neither of the two?", output="I do not know.") for noun in NOUNS[:4]),
    ]
    split = rows(train=[*FILLER, *odd])
    n = len(FILLER)
    assert spots(findings(split, "echoes")) == [("train", n)]
    assert spots(findings(split, "length_outliers")) == [("train", n + 1)]
    assert spots(findings(split, "languages")) == [("train", n + 2)]
    [shared] = findings(split, "identical_outputs")
    assert (shared.place.position, len(shared.others), shared.entries) == (n + 3, 3, 4)
    languages = audit(split, AuditSettings()).languages
    assert languages["fr"] == 1 and languages["en"] > n * 0.8


def test_rows_too_long_to_train_on() -> None:
    limit = TokenLimit("words", 12, lambda example: len(example.instruction.split()))
    split = rows(train=[entry("short"), entry(LONG)], test=[entry(LONG)])
    [found] = [f for f in audit(split, AuditSettings(), [limit]).findings if f.kind == "truncated"]
    assert (found.place.split, found.place.position) == ("train", 1)
    assert found.detail == "19 tokens of 12 (words)"
    assert to_drop(split, ["truncated"], 1.0, [limit]) == {1: "truncated"}  # the test set stays as it is


def test_test_prompts_without_room_forbid_a_run_unless_told_otherwise() -> None:
    room = TokenLimit("words", 20, lambda example: len(example.instruction.split()) + 8, "no_room")
    split = rows(train=[entry(LONG)], test=[entry("short"), *(entry(f"{LONG} {n}") for n in range(12))])
    found = audit(split, AuditSettings(), [room])
    assert spots([f for f in found.findings if f.kind == "no_room"]) == [("test", n) for n in range(1, 13)]
    with pytest.raises(DataError) as caught:
        raise_if_forbidden(found, AuditSettings())
    assert "audit.no_room: 12 test prompts leave no room" in str(caught.value)
    assert "  test 1 (row 1): with the answer, 28 tokens of 20 (words)\n" in str(caught.value)
    assert "… and 2 more" in str(caught.value) and "generate.max_new_tokens" in str(caught.value)
    raise_if_forbidden(found, AuditSettings(no_room="report"))
    assert to_drop(split, ["no_room"], 1.0, [room]) == dict.fromkeys(range(2, 14), "no_room")
    folded = [SplitExample(split="test", index=i, example=entry(LONG), fold=1 + i) for i in range(2)]
    assert to_drop(folded, ["no_room"], 1.0, [room]) == {0: "no_room", 1: "no_room"}


@pytest.mark.parametrize("new_tokens", [8, ReferenceLength(times_reference=2, at_least=1, at_most=40)])
def test_room_is_counted_as_the_generator_counts_it(tokenizer: Any, new_tokens: NewTokens) -> None:
    asked = entry("Name a pet, and " * 6, output="A cat is a pet. " * 2)
    style = STYLES["phi"]
    settings = GenerateSettings(max_new_tokens=new_tokens)
    [task] = tasks_of(tokenizer, [prompt_of(asked, style, tokenizer)], settings)
    needed = len(task.ids) + task.limit
    for context in (needed - 1, needed):
        limit = room_limit(Counter("m", tokenizer, context), style, new_tokens)
        if context < needed:
            assert limit.tokens(asked) == needed > limit.longest
            with pytest.raises(ModelError, match=f"has {len(task.ids)} tokens"):
                check_room([task], context)
        else:
            assert limit.tokens(asked) <= limit.longest
            check_room([task], context)


def test_what_is_dropped() -> None:
    a, b = entry(LONG), entry("Explain why leaves turn red in autumn.")
    split = rows(train=[a, *FILLER, a, b], test=[b, b])
    n = len(FILLER)
    assert to_drop(split, ["leaks"], 1.0) == {n + 2: "leaks"}  # the copy in train: the test set stays as it is
    # a test entry that repeats train's is the leak's business; one that repeats the test's own goes
    assert to_drop(split, ["repeats"], 1.0) == {n + 1: "repeats", n + 4: "repeats"}


def test_actions() -> None:
    split = rows(train=[entry(LONG), *FILLER], test=[entry(LONG)])
    summary = summarise(audit(split, AuditSettings()), {"repeats": 2}, 3)
    assert summary.leaked == (LONG,)
    assert "1 entry held out from training stands in train (test 0)." in summary.sentences
    assert "2 entries repeat an earlier prompt: left out." in summary.sentences
    assert "3 broken rows: left out." in summary.sentences
    raise_if_forbidden(audit(split, AuditSettings()), AuditSettings(leaks="report", echoes="fail"))
    with pytest.raises(DataError, match=r"(?s)audit\.leaks: 1 entry held out.*test 0 \(row 0\) = train 0 \(row 0\)"):
        raise_if_forbidden(audit(split, AuditSettings()), AuditSettings(leaks="fail"))


def test_an_empty_and_a_single_row_split() -> None:
    assert audit([], AuditSettings()).findings == ()
    assert audit(rows(train=[entry("x")]), AuditSettings()).n == {"train": 1, "test": 0, "validation": 0}


# ---------------------------------------------------------------- similarity


def grams(text: str) -> Counted[str]:
    text = text.ljust(similarity.GRAM, "\0")
    return Counted(text[i : i + similarity.GRAM] for i in range(len(text) - similarity.GRAM + 1))


def cosine(a: str, b: str) -> float:
    x, y = grams(a), grams(b)
    norm = math.sqrt(sum(v * v for v in x.values()) * sum(v * v for v in y.values()))
    return sum(x[gram] * y[gram] for gram in x) / norm


@given(texts=st.lists(st.text(alphabet="ab汉😀 ", max_size=40), min_size=2, max_size=6))
def test_cosine_is_that_of_counted_grams(texts: list[str]) -> None:
    pairs = np.array([(i, j) for i in range(len(texts)) for j in range(i)], dtype=np.int64)
    found = similarity.cosines(texts, pairs)
    assert found == pytest.approx([cosine(texts[i], texts[j]) for i, j in pairs])


def test_minhash_proposes_all_near_pairs_and_few_others() -> None:
    draw = random.Random(0)
    texts = [" ".join(draw.choices(NOUNS, k=25)) for _ in range(300)]
    near = [text[:60] + draw.choice("xyz") + text[61:] for text in texts[:100]]
    everything = texts + near
    ranks = np.zeros(len(everything), dtype=np.int8)
    pairs = {tuple(pair) for pair in similarity.proposed(similarity.bands(everything), ranks).tolist()}
    assert all((i, 300 + i) in pairs for i in range(100))
    assert len(pairs) < 0.05 * len(everything) ** 2 / 2


def test_a_bucket_of_thousands_is_not_compared_pair_by_pair() -> None:
    same = np.zeros((5000, similarity.BANDS), dtype=np.uint32)
    ranks = np.ones(5000, dtype=np.int8)
    ranks[17] = 0
    pairs = similarity.proposed(same, ranks)
    assert len(pairs) < 5000 * (similarity.FIRST + 1)
    assert set(range(5000)) - {17} == {a if b == 17 else b for a, b in pairs.tolist() if 17 in (a, b)}


# ---------------------------------------------------------------- the book's data, and the command


def test_the_books_repeats_and_leaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given_folder = Path(os.environ.get("HARNESS_DATA_DIR", Path(__file__).parents[3] / "shared" / "data"))
    if not (given_folder / "instruction-data.json").exists():
        pytest.skip("the book's data is not on this machine: set HARNESS_DATA_DIR")
    monkeypatch.setenv("HARNESS_DATA_DIR", str(given_folder))
    split = dataset(DataSpec(path="llms-from-scratch"), SplitSettings(), tmp_path)
    found = audit(split, AuditSettings())
    # counted apart, with a dict over (instruction, input) of the file's entries
    assert sum(f.kind == "repeats" for f in found.findings) == 25
    leaked = [f.place.position for f in found.findings if f.kind == "leaks" and f.place.split == "test"]
    assert leaked == [40, 99]


def write(path: Path, entries: list[Example]) -> Path:
    path.write_text("".join(json.dumps({"instruction": e.instruction, "output": e.output}) + "\n" for e in entries))
    return path


def test_the_command_names_entries_and_broken_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.jsonl", [entry(LONG), *FILLER, entry(LONG)])
    path.write_text("{broken\n" + path.read_text())
    assert main(["data", "audit", str(path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["summary"]["found"]["repeats"] == 1
    assert told["broken_rows"] == [f"{path}:1: not JSON: Expecting property name enclosed in double quotes"]
    assert main(["data", "audit", str(path)]) == 0
    said = capsys.readouterr().out
    assert f"{path}:1: not JSON" in said.replace("\n", "")
    assert "= train 0 (row 1): Describe in two sentences" in said


def test_the_command_takes_a_matrix_and_a_field_map(
    tmp_path: Path, tiny_folder: Path, tokenizer: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "a.jsonl", [entry("x"), entry(LONG), entry("x")])
    whole = "".join(segment.text for segment in render(STYLES["phi"], entry(LONG)))
    length = 1 + len(tokenizer(whole)["input_ids"])  # and the end of the response
    for limit, longer in ((length, False), (length - 1, True)):
        (tmp_path / "m.yaml").write_text(
            f"name: m\ndata: a.jsonl\nsplit: {{train: 2, test: 1}}\ntrain: {{max_length: {limit}}}\n"
            f"axes: {{model: [{tiny_folder}], prompt_style: [phi], method: [none]}}\n"
        )
        assert main(["data", "audit", str(tmp_path / "m.yaml")]) == 0
        said = capsys.readouterr().out
        assert "no_room" in said, "looked for"
        assert "1 entry held out from training stands in train" in said
        assert (f"train 1 (row 1): {length} tokens of {limit} ({tiny_folder.name}, phi)" in said) == longer
    assert (
        main(["data", "audit", str(tmp_path / "a.jsonl"), "--fields", "instruction=output", "output=instruction"]) == 0
    )
    assert "too few entries" in capsys.readouterr().out


def test_the_command_refuses_a_file_without_an_entry(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.csv"
    path.write_text("问题,答案\na,b\nc,d\n")
    for flags in ([], ["--json"]):
        assert main(["data", "audit", str(path), *flags]) == 2
        said = capsys.readouterr()
        assert not said.out
        assert f"{path}:2: no key `instruction`" in said.err
        assert "--fields" in said.err
    assert main(["data", "audit", str(path), "--fields", "instruction=问题", "output=答案"]) == 0
    (tmp_path / "m.yaml").write_text("name: m\ndata: a.csv\naxes: {model: [smollm2-135m]}\n")
    assert main(["data", "audit", str(tmp_path / "m.yaml")]) == 2
    assert "`data.fields` names its fields" in capsys.readouterr().err
    path.write_text("")
    assert main(["data", "audit", str(path)]) == 2
    assert "no rows" in capsys.readouterr().err


def test_the_command_ends_as_a_run_would(tmp_path: Path, tiny_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.jsonl", [entry("x"), entry(LONG), entry("x"), entry("y")])
    matrix = tmp_path / "m.yaml"

    def ends(audit: str, data: str = "a.jsonl", tokens: int = 4) -> int:
        matrix.write_text(
            f"name: m\ndata: {data}\nsplit: {{train: 2, test: 2}}\naudit: {audit}\n"
            f"generate: {{max_new_tokens: {tokens}}}\n"
            f"axes: {{model: [{tiny_folder}], prompt_style: [phi], method: [none]}}\n"
        )
        return main(["data", "audit", str(matrix)])

    assert ends("{leaks: report}") == 0
    assert ends("{leaks: fail}") == 2
    said = capsys.readouterr()
    assert "= train 0 (row 0)" in said.out and "audit.leaks: 1 entry held out" in said.err
    assert [ends("{repeats: fail, leaks: drop}"), ends("{repeats: fail}")] == [0, 2], "of what the run would see"
    assert [ends("{}", tokens=100_000), ends("{no_room: report}", tokens=100_000)] == [2, 0]
    assert "audit.no_room: 2 test prompts leave no room" in capsys.readouterr().err
    path.write_text(path.read_text() + "{broken\n")
    assert [ends("{}"), ends("{}", "{path: a.jsonl, on_bad_rows: drop}")] == [2, 0]
    assert "1 broken row forbids a run" in capsys.readouterr().err
    assert main(["data", "audit", str(path), "--model", str(tiny_folder)]) == 0, "a file forbids nothing"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["FILE", "--prompt-style", "nosuch"], "--prompt-style: nothing is counted without --model"),
        (["FILE", "--max-length", "20"], "--max-length: nothing is counted without --model"),
        (["FILE", "--fields", "instruction=a", "instruction=b"], "a field is named twice"),
        (["MATRIX", "--model", "m", "--fields", "output=a"], "--fields, --model: not beside a matrix"),
        (["FILE", "--model", "m", "--max-length", "0"], "0 is below 1"),
    ],
)
def test_the_command_refuses_what_means_nothing(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = {"FILE": str(write(tmp_path / "a.jsonl", [entry("x")])), "MATRIX": str(tmp_path / "m.yaml")}
    try:
        assert main(["data", "audit", *(named.get(each, each) for each in arguments)]) == 2
    except SystemExit as e:
        assert e.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["FILE", "--fields", "instruction=output", "output"], "'output' is not FIELD=NAME"),
        (["--fields", "instruction=output", "output=instruction", "FILE"], "put the file before --fields"),
    ],
)
def test_the_command_says_where_a_field_map_stands(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "a.jsonl", [entry("x")])
    with pytest.raises(SystemExit, match="2"):
        main(["data", "audit", *(str(path) if each == "FILE" else each for each in arguments)])
    told = capsys.readouterr().err
    assert said in told
    assert told.startswith("usage: harness data audit FILE [--fields FIELD=NAME")


def test_a_prompt_in_two_folds_is_a_leak_and_dropping_keeps_the_first() -> None:
    near = entry(LONG + "!")
    texts = [entry(LONG), FILLER[0], FILLER[1], near, FILLER[0].model_copy(update={"id": "again"}), FILLER[2]]
    split = [SplitExample(split="test", index=i, example=e, fold=1 + i % 2) for i, e in enumerate(texts)]
    split.append(SplitExample(split="validation", index=9, example=FILLER[1].model_copy(update={"id": "held"})))
    assert spots(findings(split, "near_leaks")) == [("test", 0), ("test", 3)], "each is train for the other's fold"
    assert spots(findings(split, "leaks")) == [("test", 1), ("test", 4), ("validation", 0)]
    assert to_drop(split, ["leaks", "near_leaks"], 0.95) == {4: "leaks", 2: "leaks", 3: "near_leaks"}
    with_train = [SplitExample(split="train", index=0, example=FILLER[1]), split[2], split[1]]
    nearly = [SplitExample(split="train", index=0, example=near), split[2], split[0]]
    assert to_drop(with_train, ["leaks"], 1.0) == {0: "leaks"}, "a fold that is always trained on, before the test's"
    assert to_drop(nearly, ["near_leaks"], 0.95) == {0: "near_leaks"}
    same_fold = [SplitExample(split="test", index=i, example=FILLER[0], fold=1) for i in range(2)]
    assert not findings(same_fold, "leaks") and spots(findings(same_fold, "repeats")) == [("test", 1)]
