"""Reports over the ugly store: everything is there, nothing is alive, the figures are the result's."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import lxml.html
import pytest
from rich.console import Console

from harness.commands.running import show_result
from harness.errors import HarnessError
from harness.records.result import Curve, CurvePoint, Interval, Result
from harness.store import MatrixRun, Store
from reports import tables
from reports.charts import Mark, forest, scale, smoothed
from reports.ledger import LedgerRow, budget_notes, ledger, mixed_arithmetic, versions_of
from reports.markdown import report_markdown
from reports.markdown_table import escape
from reports.page import report_html
from reports.page_plots import page_plots
from reports.pictures import png, svg
from reports.publish import publish
from reports.reach import Drawn, drawn
from reports.samples import samples
from reports.terminal import fit, print_result
from reports.wording import (
    columns,
    curve_words,
    duration,
    figure,
    labels,
    leak_badge,
    p_value,
    places,
    ranks,
    shorten,
    signed,
    span,
    visible,
)
from tests.ugly import BIDI, CELLS, FAILED, LONG, MEASURES, SCRIPT, TEST, result
from tests.ugly_store import ugly_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return ugly_store(tmp_path_factory.mktemp("ugly") / "runs")


@pytest.fixture(scope="module")
def run(store: Store) -> MatrixRun:
    return store.matrices()[0]


@pytest.fixture(scope="module")
def bill(run: MatrixRun, store: Store) -> tuple[LedgerRow, ...]:
    return ledger(run, store)


@pytest.fixture(scope="module")
def page(run: MatrixRun, store: Store, bill: tuple[LedgerRow, ...]) -> str:
    return report_html(result(), bill, samples(run, store, count=14))


@pytest.fixture(scope="module")
def tree(page: str) -> lxml.html.HtmlElement:
    return lxml.html.fromstring(page)


def board_rows(tree: lxml.html.HtmlElement) -> list[list[str]]:
    table = tree.xpath("//h2[@id='leaderboard']/following::table[1]")[0]
    return [[" ".join(cell.text_content().split()) for cell in row] for row in table.xpath("./tbody/tr")]


# ---------------------------------------------------------------- HTML


def test_every_cell_stands_in_the_leaderboard_in_order_with_its_figures(tree: lxml.html.HtmlElement) -> None:
    rows = board_rows(tree)
    assert len(rows) == len(CELLS)
    for shown, row in zip(rows, result().rows, strict=True):
        best = row.scores[0]
        assert shown[0] == ranks(best)
        assert row.cell.model in shown[1]
        assert f"{figure(best.mean)}{span(best.interval)}" in [text.replace(" [", "[") for text in shown]
    assert "baseline" in next(r for r in rows if r[2] == "alpaca" and r[4] == "prompt" and r[3] == "full")[1]


def test_untrusted_judge_is_greyed_with_its_reason(tree: lxml.html.HtmlElement) -> None:
    assert tree.xpath("//th[contains(@class, 'untrusted')]//text()[contains(., 'smollm2-judge')]")
    grey = tree.xpath("//h2[@id='leaderboard']/following::table[1]//td[contains(@class, 'untrusted')]")
    assert len(grey) == len(CELLS)
    assert MEASURES[3].untrusted_reason in tree.text_content()


def test_leaked_items_are_badged_everywhere(tree: lxml.html.HtmlElement, bill: tuple[LedgerRow, ...]) -> None:
    [badge] = tree.xpath("//span[@class='tag warn'][contains(., 'leaked')]")
    assert badge.text_content() == "2 leaked test items"
    said = "3 entries held out from training stand in train (test 40, 99; validation 5)."
    assert said in badge.getparent().text_content()
    assert f"Data audit: {said}" in report_markdown(result(), bill)
    assert leak_badge(result().model_copy(update={"audit": None})) == ""


def test_answer_comes_first_and_failures_are_named(tree: lxml.html.HtmlElement) -> None:
    text = tree.xpath("//main")[0].text_content()
    assert text.index("Fine-tuning helps") < text.index("Leaderboard\n")
    assert FAILED.reason in text and FAILED.variant in text


def test_model_output_is_inert(page: str, tree: lxml.html.HtmlElement) -> None:
    assert SCRIPT in tree.text_content()
    scripts = tree.xpath("//script")
    assert len(scripts) == 4 and not any("alert(1)" in each.text_content() for each in scripts)
    assert not tree.xpath("//img") and not tree.xpath("//@onerror")
    assert "\u202e" not in page and "\x1b" not in page
    assert visible(BIDI) in tree.text_content()


def test_hostile_names_are_inert(bill: tuple[LedgerRow, ...]) -> None:
    hostile = result().model_copy(
        update={
            "matrix": SCRIPT,
            "data_name": "<b>x</b>",
            "answer": (SCRIPT,),
            "warnings": (SCRIPT,),
            "failed": (FAILED.model_copy(update={"variant": SCRIPT, "reason": SCRIPT}),),
            "measures": tuple(
                m.model_copy(update={"label": f"{m.label}{SCRIPT}", "signature": SCRIPT}) for m in MEASURES
            ),
        }
    )
    tree = lxml.html.fromstring(report_html(hostile, bill, ()))
    scripts = tree.xpath("//script")
    assert len(scripts) == 4 and [each.get("type") for each in scripts].count("application/json") == 1
    plots = json.loads(tree.xpath("//script[@id='plots']")[0].text)
    assert plots["board-plot"]["params"][0]["value"] == f"ROUGE-L{SCRIPT}"


def test_nothing_comes_from_the_network(page: str, tree: lxml.html.HtmlElement) -> None:
    links = tree.xpath("//@src | //@href | //@action | //@data | //@*[name()='xlink:href']")
    assert links and all(link.startswith("#") for link in links)
    written = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert "@import" not in written and "url(" not in written
    policy = tree.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")[0]
    assert policy.startswith("default-src 'none'")
    targets = {link[1:] for link in tree.xpath("//nav//@href")}
    assert targets <= set(tree.xpath("//@id"))


def test_charts_draw_every_cell_inside_their_frame(tree: lxml.html.HtmlElement) -> None:
    charts = tree.xpath("//*[local-name()='svg'][@class='chart']")
    assert len(charts) == 3
    assert len(charts[0].xpath(".//*[@class='point']")) == len(CELLS)
    assert len(charts[2].xpath(".//*[local-name()='polyline']")) == 9 * 3
    for chart in charts:
        width = float(chart.get("viewbox", chart.get("viewBox")).split()[2])
        xs = [float(x) for x in chart.xpath(".//@cx | .//@x1 | .//@x2")]
        assert all(0 <= x <= width for x in xs)


def test_the_policy_names_every_script_and_allows_no_eval(page: str, tree: lxml.html.HtmlElement) -> None:
    policy = tree.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")[0]
    scripts = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    told = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert len(told) == 3 and policy.endswith("script-src " + " ".join(f"'sha256-{each}'" for each in told))
    assert "unsafe-eval" not in policy


def test_plots_hold_the_figures_of_the_result(bill: tuple[LedgerRow, ...]) -> None:
    plots = page_plots(result(), bill)
    assert set(plots) == {"board-plot", "effects-plot", "loss-plot"}
    board = plots["board-plot"]
    rows = board["layer"][0]["data"]["values"]
    assert len(rows) == len(CELLS) * len(MEASURES)
    means = {(row["measure"], row["label"]): row["mean"] for row in rows}
    best = result().rows[0]
    assert means["ROUGE-L", labels(CELLS)[best.cell.name]] == best.scores[0].mean
    assert board["params"][0]["bind"]["options"][0] == "ROUGE-L"
    losses = plots["loss-plot"]["data"]["values"]
    assert len({row["variant"] for row in losses}) == 9 * 3
    assert page_plots(result().model_copy(update={"rows": (), "effects": ()}), ()) == {}


def test_every_plot_is_drawn_without_a_browser(bill: tuple[LedgerRow, ...]) -> None:
    plots = page_plots(result(), bill)
    for plot in plots.values():
        assert png(plot).startswith(b"\x89PNG")
    drawn = svg(plots["board-plot"])
    texts = lxml.html.fromstring(drawn).itertext()
    assert set(map(str.strip, texts)) >= {shorten(name, 44) for name in labels(CELLS).values()}


def test_a_curve_stands_in_the_report_drawn_and_alive(bill: tuple[LedgerRow, ...]) -> None:
    interval = Interval(low=-1.25, high=3.75)
    ends = tuple(CurvePoint(x=x, difference=y, interval=i) for x, y, i in ((0.1, 0.0, None), (0.9, 1.5, interval)))
    curve = Curve(
        axis="prompt_loss_weight", measure=result().primary, degree=2, scope="recipe", levels=ends, fitted=ends,
        p_slope=0.0004, p_bend=0.25,
    )  # fmt: skip
    found = result().model_copy(update={"curves": (curve,)})
    plot = page_plots(found, bill)["curve-plot-0"]
    assert png(plot).startswith(b"\x89PNG")
    page = lxml.html.fromstring(report_html(found, bill, ()))
    assert page.get_element_by_id("curve-plot-0").xpath(".//*[local-name()='svg']")
    assert "p < 0.001; bends: p = 0.25" in page.text_content()


def test_a_curve_over_a_learning_rate_has_a_logarithmic_axis(bill: tuple[LedgerRow, ...]) -> None:
    ends = tuple(CurvePoint(x=x, difference=y, interval=None) for x, y in ((1e-5, 0.0), (1e-3, 1.5)))
    curve = Curve(
        axis="lr", measure=result().primary, degree=1, log=True, scope="recipe", levels=ends, fitted=ends,
        p_slope=None, p_bend=None,
    )  # fmt: skip
    drawn = svg(page_plots(result().model_copy(update={"curves": (curve,)}), bill)["curve-plot-0"])
    texts = set(lxml.html.fromstring(drawn).itertext())
    assert texts >= {"learning rate", "0.00001", "0.001"} and "0.0001" not in texts
    assert "in its logarithm" in curve_words(curve)


def test_report_of_a_run_in_which_everything_failed(bill: tuple[LedgerRow, ...]) -> None:
    nothing = result().model_copy(
        update={"rows": (), "comparisons": (), "effects": (), "trust": (), "answer": (), "warnings": ()}
    )
    tree = lxml.html.fromstring(report_html(nothing, (), ()))
    assert FAILED.reason in tree.text_content()
    assert FAILED.variant.split("/")[0] in report_markdown(nothing, bill)


def unmeasured() -> Result:
    """A result in which the first cell has neither mean nor interval."""
    found = result()
    score = (
        found.rows[0]
        .scores[0]
        .model_copy(
            update={"mean": None, "interval": None, "rank_low": None, "rank_high": None, "per_seed": (), "unscored": 42}
        )
    )
    row = found.rows[0].model_copy(update={"scores": (score, *found.rows[0].scores[1:])})
    return found.model_copy(update={"rows": (row, *found.rows[1:])})


def test_an_unscored_cell_shows_a_dash_and_its_count() -> None:
    tree = lxml.html.fromstring(report_html(unmeasured(), (), ()))
    assert board_rows(tree)[0][6] == "–42 unscored"
    assert "| – (42 unscored) |" in report_markdown(unmeasured(), ())
    assert "42 unscored" in "\n".join(printed(100, unmeasured()))


# ---------------------------------------------------------------- Markdown


def test_markdown_tables_are_whole(bill: tuple[LedgerRow, ...]) -> None:
    text = report_markdown(result(), bill)
    board = text.split("## Leaderboard")[1].split("\n\n")[1].splitlines()
    assert len(board) == 2 + len(CELLS)
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in board}) == 1
    assert LONG in text and "out of memory" in text
    assert text.index("Fine-tuning helps") < text.index("## Leaderboard")


def test_markdown_escape_leaves_nothing_alive() -> None:
    assert escape("# a\n**b** <script> $x$ [l](u) | c") == (r"\# a \*\*b\*\* \<script\> \$x\$ \[l\](u) \| c")


# ---------------------------------------------------------------- terminal


def printed(width: int, found: Result | None = None) -> list[str]:
    out = io.StringIO()
    print_result(found or result(), Console(file=out, width=width))
    return out.getvalue().splitlines()


@pytest.mark.parametrize("width", [70, 80, 100, 160])
def test_terminal_fits_its_width_without_colour(width: int) -> None:
    lines = printed(width)
    text = "\n".join(lines)
    assert max(columns(line.rstrip()) for line in lines) <= width
    assert "\x1b" not in text
    assert all(figure(row.scores[0].mean) in text for row in result().rows)
    assert "Fine-tuning helps" in text and "out of memory" in text
    assert "smollm2-judge" in text and "untrusted" in text


def test_terminal_shows_foreign_text_as_text() -> None:
    found = result().model_copy(update={"answer": ("[bold]x[/bold] [/no] \x1b[31m",), "warnings": ("[red]w",)})
    text = "\n".join(printed(100, found))
    assert "[bold]x[/bold] [/no] ⟨ESC⟩[31m" in text and "[red]w" in text


def test_where_to_look_further_is_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    show_result(result(), Path("[runs]/m"), Path("[runs]"))
    shown = capsys.readouterr().out
    assert "Report       [runs]/m/report.html\n" in shown
    assert "harness leaderboard '[runs]'\n" in shown


def test_printed_commands_work_where_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my env" / "bin").mkdir(parents=True)
    script = tmp_path / "my env" / "bin" / "harness"
    script.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    script.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["my env/bin/harness", "run", "m.yaml"])
    for path in ("/usr/bin:/bin", f"{script.parent}:/usr/bin:/bin"):
        monkeypatch.setenv("PATH", path)
        show_result(result(), Path("my runs/m"), Path("my runs"))
        [line] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Leaderboard  ")]
        pasted = line.removeprefix("Leaderboard  ")
        assert pasted.startswith("harness ") == (str(tmp_path) in path)
        done = subprocess.run(["sh", "-c", pasted], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines() == ["leaderboard", "my runs"]


def test_fit_keeps_the_primary_and_drops_the_untrusted_first() -> None:
    shown, hidden = fit(MEASURES, 200, 40)
    assert [c.measure.name for c in shown] == ["rougeL", "bleu", "chrf", "keyword-judge", "smollm2-judge"]
    assert all(c.with_interval for c in shown) and hidden == ()
    shown, hidden = fit(MEASURES, 100, 40)
    assert [m.name for m in hidden] == ["smollm2-judge"]
    assert [c.with_interval for c in shown] == [True, False, False, False]
    shown, _ = fit(MEASURES, 20, 40)
    assert [c.measure.name for c in shown] == ["rougeL"]


# ---------------------------------------------------------------- ledger, samples, publish


def test_ledger_has_a_row_a_variant_and_tells_the_untrained(bill: tuple[LedgerRow, ...]) -> None:
    by_name = {row.variant.name: row for row in bill}
    assert len(by_name) == 3 + 9 * 3 + 1
    trained = by_name["smollm2-135m/alpaca/lora/mask-prompt#124"]
    assert trained.facts is not None and trained.facts.trained_parameters == 4_884_480
    assert len(trained.curve) == 60 and trained.ended_share == 1.0 and trained.mean_tokens == 20
    untuned, failed = by_name["smollm2-135m/phi/untuned"], by_name[FAILED.variant]
    assert untuned.facts is None and untuned.ended_share == 0.0
    assert failed.facts is None and failed.ended_share is None and failed.curve == ()
    assert "python" in versions_of(bill)


def test_budget_notes_compare_matched_cells_only(bill: tuple[LedgerRow, ...]) -> None:
    """Full fine-tuning also ran with masking none, LoRA did not: over all cells LoRA would seem to see fewer tokens."""
    assert budget_notes(result().effects, bill) == ("masking prompt against none: loss-bearing tokens × 0.33.",)


def test_trainings_of_two_machines_are_told(bill: tuple[LedgerRow, ...]) -> None:
    assert mixed_arithmetic(bill) == ""
    first = next(row for row in bill if row.facts is not None)
    assert first.facts is not None
    other = replace(first, facts=first.facts.model_copy(update={"precision": "fp32"}), device="NVIDIA H200")
    mixed = tuple(other if row is first else row for row in bill)
    assert "26 in bf16 on cpu, 1 in fp32 on NVIDIA H200" in mixed_arithmetic(mixed)
    assert "1 in fp32 on NVIDIA H200" in report_markdown(result(), mixed)


def test_samples_show_the_first_seed_of_each_cell_and_differ_most_first(run: MatrixRun, store: Store) -> None:
    chosen = samples(run, store, count=6)
    assert len({s.example.id for s in chosen}) == 6
    assert [r.variant.cell for r in chosen[0].responses] == [row.cell for row in result().rows]
    assert {r.variant.seed for r in chosen[0].responses} == {123, None}

    def spread(i: int) -> float:
        found = [r.value for r in chosen[i].responses if r.value is not None]
        return max(found) - min(found)

    assert spread(0) >= spread(1) >= spread(2) >= max(spread(i) for i in (3, 4, 5))
    assert len(samples(run, store, count=100)) == len(TEST)


def test_publish_writes_both_and_is_repeatable(run: MatrixRun, store: Store) -> None:
    published = publish(store, run)
    first = published.html.read_bytes(), published.markdown.read_bytes()
    assert publish(store, run) == published
    assert (published.html.read_bytes(), published.markdown.read_bytes()) == first
    assert sorted(p.name for p in run.folder.iterdir()) == [
        "comparison.json",
        "matrix.yaml",
        "plan.json",
        "report.html",
        "report.md",
    ]


def test_publish_without_a_comparison_says_what_to_do(run: MatrixRun, store: Store, tmp_path: Path) -> None:
    empty = MatrixRun(run.name, run.digest, tmp_path, run.plan, None)
    with pytest.raises(HarnessError, match="harness run"):
        publish(store, empty)
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- wording, scales


def test_figures() -> None:
    assert [figure(x) for x in (41.25, -0.04, -3.0, None)] == ["41.2", "0.0", "\u22123.0", "–"]
    assert [signed(x) for x in (3.14, -0.44, 0.0)] == ["+3.1", "\u22120.4", "0.0"]
    assert span(Interval(low=-1, high=2.25)) == "[\u22121.0, 2.2]" and span(None) == ""
    assert [p_value(p) for p in (0.0004, 0.0213, 0.43, None)] == ["< 0.001", "0.021", "0.43", "–"]
    assert [duration(s) for s in (0.44, 59.99, 119.7, 7260)] == ["0.4 s", "60.0 s", "2 min 00 s", "2 h 01 min"]


def test_a_scale_without_ends_shows_as_many_digits_as_its_intervals_tell() -> None:
    bits = result().measures[0].model_copy(update={"unit": "bits"})
    assert places(bits, Interval(low=0.921, high=0.947)) == 3
    assert places(bits, Interval(low=0.92, high=0.95), Interval(low=0.9301, high=0.9329)) == 4
    assert places(bits, Interval(low=1.0, high=1.0), None) == 1
    assert places(result().measures[0], Interval(low=0.921, high=0.947)) == 1, "0–100 stays as it is"
    told = result().model_copy(update={"measures": (bits, *result().measures[1:])})
    row = told.rows[0]
    score = row.scores[0].model_copy(update={"mean": 0.934, "interval": Interval(low=0.921, high=0.947)})
    told = told.model_copy(update={"rows": (row.model_copy(update={"scores": (score,)}),), "effects": ()})
    assert "0.934 [0.921, 0.947]" in report_markdown(told, ())


def test_the_page_names_corrections_directions_and_what_ranks(bill: tuple[LedgerRow, ...]) -> None:
    lower = result().measures[0].model_copy(update={"higher_is_better": False})
    judges = [m.model_copy(update={"ranks": True}) for m in result().measures[1:]]
    effect = result().effects[0]
    explored = effect.comparison.model_copy(update={"family": "Benjamini–Hochberg over 7 effects"})
    told = result().model_copy(
        update={
            "measures": (lower, *judges),
            "effects": (effect.model_copy(update={"comparison": explored}), *result().effects[1:]),
        }
    )
    page = " ".join(report_html(told, bill, ()).split())
    assert "Benjamini–Hochberg over 7 effects" in page and "exploratory" in page
    assert "Left of the dashed line the first level is better" in page
    assert "ranks all the same" in page and "is left out of the ranking" not in page


def test_a_judge_that_ranks_untrusted_stands_in_every_table_and_is_marked() -> None:
    judge = next(m for m in result().measures if not m.trusted)
    shown = [m.model_copy(update={"ranks": m.ranks or m == judge, "primary": m == judge}) for m in result().measures]
    told = result().model_copy(update={"measures": tuple(shown), "primary": judge.name})
    latex = tables.latex_leaderboard(told)
    assert "smollm2-judge (untrusted)" in latex and "left out" not in latex
    assert "smollm2-judge (untrusted)" in tables.latex_effects(told)
    effects = report_markdown(told, ()).split("## Effects")[1].split("##")[0]
    assert "smollm2-judge (untrusted)" in effects
    assert "smollm2-judge" not in report_markdown(result(), ()).split("## Effects")[1].split("##")[0]
    assert "left out: smollm2-judge" in tables.latex_leaderboard(result())


def test_p_shows_on_which_side_of_005_it_is() -> None:
    assert [p_value(p) for p in (0.0496, 0.0504, 0.0004, 0.021, 0.43, None)] == [
        "0.0496", "0.0504", "< 0.001", "0.021", "0.43", "–",
    ]  # fmt: skip


def test_visible_shows_what_reorders_or_hides_text() -> None:
    assert visible("a\u202eb\x1b[0m\tc\nd\x00") == "a⟨U+202E⟩b⟨ESC⟩[0m\tc\nd⟨U+0000⟩"
    assert visible("x" * 30, limit=10) == "x" * 10 + " … (20 more characters)"
    assert visible("长城 ok 👩\u200d🔬") == "长城 ok 👩\u200d🔬"


def test_shorten_keeps_both_ends_within_the_width() -> None:
    assert shorten("short", 10) == "short"
    cut = shorten(f"{LONG}/alpaca/untuned", 40)
    assert len(cut) == 40 and cut.startswith("example-org") and cut.endswith("alpaca/untuned")
    assert columns(shorten("长" * 50, 20)) <= 20


def test_labels_leave_out_only_what_all_cells_share() -> None:
    one_model = CELLS[:9]
    assert labels(CELLS)[CELLS[0].name] == CELLS[0].name
    assert labels(one_model)[CELLS[4].name] == "alpaca/lora/mask-prompt"
    assert labels(CELLS[:5])[CELLS[4].name] == "lora/mask-prompt"
    assert labels(CELLS[:1]) == {CELLS[0].name: CELLS[0].name}


@pytest.mark.parametrize("ends", [(0.0, 1.0), (16.6, 66.6), (-0.6, 34.1), (5.0, 5.0), (0.001, 0.0014), (-3e4, 2e5)])
def test_scale_has_round_ticks_that_enclose_the_data(ends: tuple[float, float]) -> None:
    x = scale(ends, 100, 500)
    assert x.ticks[0] <= ends[0] + 1e-9 and x.ticks[-1] >= ends[1] - 1e-9
    assert 3 <= len(x.ticks) <= 9
    assert 100 <= x.at(ends[0]) <= x.at(ends[1]) <= 500


def test_an_interval_without_end_presses_no_other_into_a_dot() -> None:
    rows = [(1.0, 0.5, 1.5), (2.0, 1.0, 3.0), (1.2, -100.0, 100.0), (None, None, None), (1.0, -60.0, 1.5)]
    shown = drawn(rows, also=[0.0])
    assert shown[:2] == [Drawn(0.5, 1.5), Drawn(1.0, 3.0)] and shown[3] == Drawn(None, None)
    assert shown[2] == Drawn(pytest.approx(-0.12), pytest.approx(3.12), cut_low=True, cut_high=True)
    assert shown[4] == Drawn(pytest.approx(-0.12), 1.5, cut_low=True)
    assert drawn(rows[2:3]) == [Drawn(-100.0, 100.0)] and drawn([]) == []
    assert drawn([(1.0, 1.0, 1.0), (2.0, 1.0, 3.0)])[1] == Drawn(1.0, 3.0), "of no length is no measure"
    marks = [Mark(f"m{i}", value, low, high) for i, (value, low, high) in enumerate(rows) if value is not None]
    chart = lxml.html.fromstring(forest(marks, "points", zero=True))
    assert len(chart.xpath(".//*[@class='arrow']")) == 3
    assert "100.0" in chart.text_content(), "the figures tell the whole"


def test_smoothed_is_a_centred_running_mean() -> None:
    assert smoothed([1.0, 2.0, 6.0, 7.0], 3) == (1.5, 3.0, 5.0, 6.5)
    assert smoothed([1.0, 2.0], 1) == (1.0, 2.0)
