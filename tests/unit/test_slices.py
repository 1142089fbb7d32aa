"""Slices of a finished comparison, health of responses, and the three dimensions before and after tuning."""

from __future__ import annotations

import io
from dataclasses import replace

import lxml.html
import numpy as np
import pytest
from rich.console import Console
from sacrebleu.metrics import BLEU, CHRF

from harness.align import VariantScores, fold
from harness.compare import CompareInputs, compare
from harness.dimensions import Answers, Sources, before, dimensions, likeness, rate
from harness.errors import HarnessError
from harness.metrics.copies import TrainedOutputs
from harness.metrics.health import Health, health, loops
from harness.records.data import Example, SplitExample
from harness.records.rows import Generation, MetricRow, NoMetricRow, Scored, Unparsed
from harness.sequential import Sequential
from harness.slices import NO_VALUE, OTHERS, slice_table, slice_values
from reports.dimensions import dimension_sections
from reports.health import health_section
from reports.sections import Section, print_section, sections_html, sections_markdown
from reports.significance import print_effects, print_pair
from reports.slices import slice_section
from tests.ugly import result
from tests.unit.test_compare import (
    JUDGE,
    cell_score,
    corpus_inputs,
    judgments,
    make_inputs,
    quick_matrix,
    trust,
    two_cells,
    variant,
)
from tests.unit.test_compare import rows as metric_rows

# ---------------------------------------------------------------- figures of slices


def test_a_slice_is_a_comparison_of_its_items_alone() -> None:
    draw = np.random.default_rng(3)
    given = two_cells(draw.normal(60, 9, (2, 60)), draw.normal(50, 9, (2, 60)))
    measure = given.measures[0].name
    ids = sorted({row.example_id for each in given.variants for row in each.metrics[measure]})
    values = {example_id: "a" if number % 3 else "b" for number, example_id in enumerate(ids)}
    table = slice_table(given, measure, "field", values)
    assert [(each.value, each.scores[0].n_items) for each in table.slices] == [("all", 60), ("b", 20), ("a", 40)]
    part = {example_id for example_id, value in values.items() if value == "b"}
    alone = compare(replace(given, variants=tuple(only(each, part) for each in given.variants)))
    cells = {row.cell.name: row.cell for row in alone.rows}
    for name, score in zip(table.cells, table.slices[1].scores, strict=True):
        expected = cell_score(alone, cells[name], measure)
        assert (score.mean, score.interval, score.n_items) == (expected.mean, expected.interval, 20)


def only(scores: VariantScores, ids: set[str]) -> VariantScores:
    kept = {name: [row for row in rows if row.example_id in ids] for name, rows in scores.metrics.items()}
    return replace(scores, metrics=kept)


def test_a_corpus_slice_is_sacrebleus_figure_of_its_items() -> None:
    given, systems, references = corpus_inputs()
    given = replace(given, corpus_scores={"bleu": bleu_score})
    values = {f"e{i}": "even" if i % 2 == 0 else "odd" for i in range(len(references))}
    table = slice_table(given, "bleu", "field", values)
    for name, score in zip(table.cells, table.slices[1].scores, strict=True):
        runs = systems[name.split("/")[1]]
        figures = [BLEU().corpus_score(texts[::2], [references[::2]]).score for texts in runs]
        assert score.mean == pytest.approx(float(np.mean(figures)), abs=1e-9)


def bleu_score(counts: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    from harness.metrics import load_metric

    return np.asarray(load_metric("bleu").corpus_score(counts))


def test_what_a_metric_cannot_score_shows_in_the_denominator() -> None:
    given = make_inputs(*quick_matrix())
    first = given.variants[0]
    rows = list(first.metrics["rougeL"])
    rows[0] = NoMetricRow(example_id=rows[0].example_id, sample=0, reason="no words")
    given = replace(given, variants=(replace(first, metrics={"rougeL": rows}), *given.variants[1:]))
    score = compare(given).rows
    [found] = [s for row in score for s in row.scores if row.cell == first.variant.cell]
    assert found.unscored == 1 and found.left_out[0].reason == "unscorable"
    table = slice_table(given, "rougeL", "f", {row.example_id: "x" for row in rows})
    index = table.cells.index(first.variant.cell.name)
    assert table.slices[0].scores[index].unscored == 1
    shown = slice_section(table, tuple(each.variant.cell for each in given.variants))
    assert "(1 unscored)" in shown.rows[0][2 + index]
    assert shown.rows[0][1] == f"{len(rows) - 1}–{len(rows)}", "items with a score: the fewest and the most of a cell"


def vouched_for() -> CompareInputs:
    """One seed a cell, and a spread of seeds that the user vouches for."""
    given = two_cells(*np.random.default_rng(5).normal(50, 9, (2, 1, 60)))
    return replace(given, settings=replace(given.settings, seed_sd=3.0))


def stopped() -> CompareInputs:
    """A judge that stopped after 40 of 60 items."""
    values = np.clip(np.random.default_rng(6).normal([[55.0], [48.0]], 9, (2, 60)), 0, 100)
    order = tuple(row.example_id for row in metric_rows(values[0]))
    judged = [
        VariantScores(variant(style), {}, {"j": judgments(metric_rows(row[:40]))})
        for style, row in zip(("alpaca", "phi"), values, strict=True)
    ]
    given = make_inputs(*judged, measures=(JUDGE,))
    return replace(given, sequential={"j": Sequential(order, 0.05, 80, 40)})


@pytest.mark.parametrize("given", [vouched_for(), stopped()], ids=["seed_sd", "stopped"])
def test_a_slice_of_everything_is_the_leaderboard_s(given: CompareInputs) -> None:
    [info] = given.measures
    asked = (fold(each, info)[0] for each in given.variants)
    table = slice_table(given, info.name, "f", dict.fromkeys(sorted(set().union(*asked)), "x"))
    board = compare(given)
    cells = {row.cell.name: row.cell for row in board.rows}
    for name, score in zip(table.cells, table.slices[0].scores, strict=True):
        expected = cell_score(board, cells[name], info.name)
        assert score == expected.model_copy(update={"rank_low": None, "rank_high": None})


def test_slices_of_an_untrusted_judge_are_marked() -> None:
    table = slice_table(replace(stopped(), trust=(trust(trusted=False),)), "j", "f", {"e000": "x"})
    assert "(untrusted)" in slice_section(table, ()).title


# ---------------------------------------------------------------- which item is in which slice


def examples() -> list[Example]:
    return [
        Example(
            id=f"e{i}",
            instruction="Say it.",
            input="x" * (i % 2),
            output="y" * (i + 1),
            meta={"kind": "ab"[i > 3], "n": str(i)},
        )
        for i in range(6)
    ]


def test_slices_of_any_data() -> None:
    tests = examples()
    languages = {example.id: "en" if example.id != "e0" else "zh" for example in tests}
    assert list(dict.fromkeys(slice_values(tests, "language", languages, ()).values())) == ["en", "zh"]
    assert slice_values(tests, "input", {}, ())["e1"] == "with input"
    assert slice_values(tests, "leaked", {}, {"e2"})["e2"] == "stands in train"
    assert slice_values(tests, "kind", {}, ()) == dict.fromkeys(["e0", "e1", "e2", "e3"], "a") | {"e4": "b", "e5": "b"}
    bands = slice_values(tests, "length", {}, ())
    assert list(dict.fromkeys(bands.values())) == [
        "reference of 0–2 characters", "reference of 3–4 characters", "reference of 5–6 characters",
    ]  # fmt: skip
    assert len(set(slice_values([tests[0]] * 1, "length", {}, ()).values())) == 1


def test_rare_values_are_taken_together() -> None:
    tests = [Example(id=str(i), instruction="i", output="o", meta={"f": str(i // 2)}) for i in range(60)]
    tests.append(Example(id="none", instruction="i", output="o"))
    found = slice_values(tests, "f", {}, ())
    assert len(set(found.values())) == 21 and list(found.values())[-1] == OTHERS
    assert NO_VALUE not in set(found.values())


@pytest.mark.parametrize(("field", "said"), [("king", "slices: language.*kind, n"), ("n", "its own 'n'")])
def test_fields_that_make_no_slices(field: str, said: str) -> None:
    with pytest.raises(HarnessError, match=f"(?s){said}"):
        slice_values(examples(), field, {}, ())


# ---------------------------------------------------------------- health


def generation(
    example_id: str, text: str, finish: str = "eos", sample: int = 0, cuts: tuple[str, ...] = ()
) -> Generation:
    row = {"example_id": example_id, "sample": sample, "text": text, "finish_reason": finish, "tokens": 1}
    return Generation.model_validate(row | {"seconds": 0.1, "cuts": cuts})


@pytest.mark.parametrize(
    ("text", "loop"),
    [
        ("The answer is five. " * 4, True),
        ("Well. " + "and so on and " * 3 + "and so", True),  # the last one is cut
        ("ha" * 12, True),
        ("no no no", False),
        ("-" * 80, False),
        ("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15", False),
        ("ab" * 1000 + "c", False),
        ("", False),
    ],
)
def test_loops(text: str, loop: bool) -> None:
    assert loops(text) is loop


def trained_on(output: str) -> TrainedOutputs:
    trained = TrainedOutputs()
    trained.add(SplitExample(split="train", index=0, example=Example(id="t", instruction="Ask", output=output)))
    return trained


def test_under_folds_a_copy_is_of_what_the_answerer_was_trained_on() -> None:
    said = {"a": "The largest planet is Jupiter.", "b": "Saturn has the largest rings.", "c": "Jupiter"}
    rows = [
        SplitExample(split="test", index=i, example=Example(id=name, instruction=name, output=output), fold=fold)
        for i, ((name, output), fold) in enumerate(zip(said.items(), (1, 1, 2), strict=True))
    ]
    trained = TrainedOutputs()
    for row in rows:
        trained.add(row)
    a, _, c = (row.example for row in rows)
    assert not trained.copied(said["b"], a), "whoever answers fold 1 has never seen fold 1"
    assert trained.copied(said["b"], c)
    trained.add(SplitExample(split="train", index=3, example=a.model_copy(update={"id": "d", "output": said["b"]})))
    assert trained.copied(said["b"], a), "and whatever stands in no fold, everybody has"


def test_health_counts_what_it_says() -> None:
    ask = "Name the largest planet of the solar system."
    tests = {
        str(i): Example(id=str(i), instruction=ask, output=output)
        for i, output in enumerate(
            ["It is Jupiter, as we know.", "Jupiter", ask, "Jupiter", "Jupiter", "x\n### Response: y"]
        )
    }
    rows = [
        generation(
            "0", "It is  jupiter, as we know.", cuts=("stop", "template")
        ),  # right, though it was trained on as well
        generation("1", "It is Jupiter, as we know."),
        generation("2", ask),  # so does the reference
        generation("3", f"{ask} Jupiter", "length"),
        generation("4", "### Response:\nJupiter"),
        generation("5", "### Response: y", cuts=("thoughts",)),
        generation("1", " ", "length", sample=1),
        generation("elsewhere", "x"),
    ]
    found = health(rows, tests, trained_on("It is Jupiter, as we know."))
    lengths = sum(len(row.text) for row in rows[:-1]), sum(len(tests[row.example_id].output) for row in rows[:-1])
    assert found == Health(7, ended=5, stopped=1, cut=2, unknown=0, thoughts=1, empty=1, echo=3, loop=0, copied=1,
                           characters=lengths[0], reference_characters=lengths[1])  # fmt: skip
    assert found.share(found.copied) == 1 / 7
    assert health([], {}, TrainedOutputs()).length_ratio is None is health([], {}, TrainedOutputs()).share(0)
    shown = health_section([(variant("alpaca").cell, found), (variant("phi").cell, health([], {}, TrainedOutputs()))])
    assert shown.rows[0][2:10] == ("71.4", "14.3", "28.6", "14.3", "14.3", "42.9", "0.0", "14.3")
    assert "thoughts" in shown.header and len(shown.rows[1]) == len(shown.header)
    assert set(shown.rows[1][2:]) == {"–"}


def test_a_file_that_does_not_say_how_its_responses_ended_is_not_said_to() -> None:
    tests = {"0": Example(id="0", instruction="Name one.", output="Jupiter")}
    found = health([generation("0", "Mars", "unknown")], tests, TrainedOutputs())
    assert (found.ended, found.cut, found.unknown) == (0, 0, 1)
    [row] = health_section([(variant("alpaca").cell, found)]).rows
    assert row[2:6] == ("–", "–", "–", "0.0") and len(row) == 10, "no thoughts"
    some = health([generation("0", "Mars", "unknown"), generation("0", "Mars", sample=1)], tests, TrainedOutputs())
    assert health_section([(variant("alpaca").cell, some)]).rows[0][2] == "100.0"


# ---------------------------------------------------------------- three dimensions

UNTUNED, TUNED = variant("alpaca", method="none", seed=None), variant("alpaca")
SOURCES = Sources("follows", "writes", (0, 100), "bleu", "rougeL", (0, 100))


def answers(tuned: bool) -> Answers:
    texts = [["I think red", "I think red"], ["blue", "green sky"]] if tuned else [["?"], ["?"]]
    grades = [2, 2, 2, 1] if tuned else [2, 0, 0, 0]
    judged = [Scored(example_id=f"j{n // 2}", sample=0, repeat=n % 2, value=value) for n, value in enumerate(grades)]
    rows = [
        generation(name, text, sample=sample)
        for name, samples in zip("ab", texts, strict=True)
        for sample, text in enumerate(samples)
    ]
    values = [
        MetricRow(example_id=row.example_id, sample=row.sample, value=90.0 - 50 * row.sample * (row.example_id == "b"))
        for row in rows
    ]
    bleu = [MetricRow(example_id="a", sample=0, value=0, counts=(4, 4, 4, 3, 2, 1, 4, 3, 2, 1))]
    unread = Unparsed(example_id="b", sample=0, repeat=0, reason="?")
    writing = [Scored(example_id="a", sample=0, repeat=0, value=50)]
    scores = VariantScores(
        TUNED if tuned else UNTUNED,
        {"rougeL": values, "bleu": bleu if tuned else []},
        {"follows": [*judged, unread], "writes": writing if tuned else []},
    )
    return Answers(scores, rows)


def test_three_dimensions_before_and_after() -> None:
    tests = {name: Example(id=name, instruction="Which colour?", output=f"The colour is {name}.") for name in "ab"}
    old, new = dimensions([answers(False), answers(True)], tests, TrainedOutputs(), SOURCES)
    assert old.following is not None and old.following.excellent.value == 0.25 and not old.following.reached
    assert new.following is not None
    assert (new.following.excellent.count, new.following.acceptable, new.following.failed, new.following.unscored) == (
        3,
        1,
        0,
        1,
    )
    assert old.quality.bleu is None and old.quality.judged is None
    assert new.quality.bleu == pytest.approx(1) and new.quality.judged == 0.5
    assert old.stability is None and new.stability is not None
    chrf = [CHRF().sentence_score(*pair).score for pair in (("blue", ["green sky"]), ("green sky", ["blue"]))]
    assert new.stability.agreement == pytest.approx((100 + sum(chrf) / 2) / 2)
    assert new.stability.samples == 2 and new.stability.spread == pytest.approx(25 / 2)
    assert new.stability.all_pass is not None and new.stability.all_pass.count == 1
    [section] = dimension_sections([old, new], ["follows: it cannot tell"])
    # Wilson's formula by hand for a quarter and three quarters of two items: the verdicts are about two.
    assert [row[1:] for row in section.rows[:3]] == [
        ("25.0 % of 4 [2.7, 80.2]", "75.0 % of 4 [19.8, 97.3]"), ("0, 3, 1", "1, 0, 1"), ("–", "1.00"),
    ]  # fmt: skip
    notes = " ".join(section.notes)
    for said in (
        "80 % excellent is missed (too few verdicts",
        "above it, which may be learning by heart",
        "cannot tell",
    ):
        assert said in notes
    nothing = dimensions([answers(False)], tests, TrainedOutputs(), replace(SOURCES, following=None, bleu=None))
    assert "rubric: instruction-following" in dimension_sections(nothing)[0].notes[0]


def test_stability_is_of_the_responses_made_for_it_where_there_are_any() -> None:
    tests = {name: Example(id=name, instruction="Which colour?", output="x") for name in "ab"}
    vectors = {"I think red": np.array([1.0, 0.0]), "blue": np.array([0.0, 1.0]), "green sky": np.array([0.6, 0.8])}
    once, sampled = answers(False), answers(True)
    [found] = dimensions([replace(once, sampled=sampled)], tests, TrainedOutputs(), SOURCES, lambda _: vectors)
    [alone] = dimensions([sampled], tests, TrainedOutputs(), SOURCES)
    assert found.stability is not None and alone.stability is not None
    assert found.stability.embedding == pytest.approx((100 + 80) / 2) and alone.stability.embedding is None
    assert replace(found.stability, embedding=None) == alone.stability
    texts = [[generation("a", ""), generation("a", "", sample=1)], [generation("b", ""), generation("b", "blue")]]
    assert likeness(texts, lambda _: vectors) == 50


def test_folds_are_parts_of_one_test_set_and_items_left_out_count_nowhere() -> None:
    """BLEU is that of one corpus (6 of 8 words right, …), by hand, and an interval is one of two items."""
    tests = {name: Example(id=name, instruction="Which colour?", output=name) for name in "ab"}
    whole = answers(True)
    bleu = {
        "a": MetricRow(example_id="a", sample=0, value=0, counts=(4, 4, 4, 3, 2, 1, 4, 3, 2, 1)),
        "b": MetricRow(example_id="b", sample=0, value=0, counts=(4, 4, 2, 1, 1, 1, 4, 3, 2, 1)),
    }

    def part(fold: int, name: str) -> Answers:
        rows = [row for row in whole.scores.metrics["rougeL"] if row.example_id == name]
        mine = TUNED.model_copy(update={"fold": fold})
        scores = VariantScores(mine, {"rougeL": rows, "bleu": [bleu[name]]}, {})
        return Answers(scores, [row for row in whole.generations if row.example_id == name])

    [found] = dimensions([part(1, "a"), part(2, "b")], tests, TrainedOutputs(), SOURCES)
    assert found.stability is not None and found.stability.all_pass == rate(1, 2, 2)
    assert found.quality.bleu == pytest.approx((6 / 8 * 4 / 6 * 3 / 4 * 2 / 2) ** (1 / 4))
    [left] = dimensions([whole], {"b": tests["b"]}, TrainedOutputs(), SOURCES)
    assert left.stability is not None and left.stability.spread == 25 and left.stability.all_pass == rate(0, 1, 1)


def test_a_task_is_the_instructions_first_word() -> None:
    tests = [Example(id=str(i), instruction=text, output="o") for i, text in enumerate(["Rewrite it", "rewrite", "!"])]
    assert slice_values(tests, "task", {}, ()) == {"0": "rewrite", "1": "rewrite", "2": NO_VALUE}


def test_what_a_tuned_cell_is_compared_with() -> None:
    cells = [variant(style, method="none", seed=None).cell for style in ("phi", "alpaca")]
    assert before(variant("alpaca").cell, cells) == cells[1]
    assert before(variant("chatml").cell, cells) == cells[0]
    assert before(variant("alpaca").cell, []) is None is before(cells[0], cells)


# ---------------------------------------------------------------- as readers see it


def test_a_narrow_terminal_shows_whole_names() -> None:
    console = Console(file=io.StringIO(), width=40)
    names = ["alpaca/lora/mask-prompt", "alpaca/lora/mask-none"]
    print_section(Section("t", ("cell", "ended", "length"), tuple((name, "29.8", "1.00") for name in names)), console)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in shown and all(name in shown for name in names)
    narrow = Console(file=io.StringIO(), width=24)
    print_section(Section("t", ("cell", "ended"), ((names[0], "29.8"),)), narrow)
    folded = narrow.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in folded and "29.8" in folded


def test_brackets_are_no_markup_in_the_terminal() -> None:
    console = Console(file=io.StringIO(), width=200)
    print_section(Section("[math]", ("[b]", "n"), (("[/INST]", "1"),)), console)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert all(text in shown for text in ("[math]", "[b]", "[/INST]"))
    effect = result().effects[0].model_copy(update={"a": "[/INST]", "b": "[math]"})
    told = result().model_copy(update={"effects": (effect,)})
    print_effects(told, console)
    print_pair(told, told.comparisons[0].model_copy(update={"a": "[/a]"}), console)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "[/INST] − [math]" in shown and "[/a]" in shown


def test_sections_show_foreign_text_as_text() -> None:
    evil = "<script>alert(1)</script> | [x](y) \u202e"
    section = Section(evil, (evil, "n"), ((evil, "1"),), (evil,))
    page = sections_html(evil, [section])
    assert lxml.html.fromstring(page).xpath("//script") == [] and page.count("⟨U+202E⟩") == 6
    text = sections_markdown("m", [section])
    assert "<script>" not in text and r"\[x\](y)" in text
    console = Console(file=io.StringIO(), width=200)
    print_section(section, console)
    assert "[x](y)" in console.file.getvalue()  # type: ignore[attr-defined]
