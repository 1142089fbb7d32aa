"""Many pairs of cells: Bradley-Terry as evalica fits it, designs that find the order with few games, and resuming."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from evalica import Winner, bradley_terry
from scipy.stats import spearmanr

from harness.errors import SpecError
from harness.evidence import contest_record
from harness.records.data import Example
from harness.records.inputs import ContestInput, Design
from harness.records.rows import Reply, ReplyRow, Same
from harness.spec.reading import parse_spec
from harness.stats.bradley_terry import HALF_A_DRAW, fit, pair_strengths
from harness.stats.pair_design import next_games
from judges.bill import bill
from judges.contest import Contest, known_already
from judges.questions import PlannedRequest
from judges.rubric import load_rubric
from judges.scripted_judge import ScriptedJudge

PAIR = load_rubric("pairwise")


def test_strengths_are_evalicas() -> None:
    dice = np.random.default_rng(0)
    won = np.triu(dice.integers(0, 30, (6, 6)), 1).astype(float)
    lost = np.triu(dice.integers(1, 30, (6, 6)), 1).astype(float)
    ours, _ = fit(np.stack([won, lost]))
    pairs = list(combinations(range(6), 2))
    weights = [won[pair] + HALF_A_DRAW for pair in pairs] + [lost[pair] + HALF_A_DRAW for pair in pairs]
    first, second = zip(*pairs * 2, strict=True)
    winners = [Winner.X] * len(pairs) + [Winner.Y] * len(pairs)
    scores = bradley_terry(first, second, winners, weights=weights, tolerance=1e-12, limit=100_000).scores
    theirs = np.log([scores[cell] for cell in range(6)])
    assert ours == pytest.approx(theirs - theirs.mean(), abs=1e-5)


def test_the_interval_of_a_strength_holds_it() -> None:
    """Four cells of known strength, 60 items, all pairs: the chance to beat the average, 100 times over."""
    truth = np.array([0.9, 0.3, -0.3, -0.9])
    hits = 0
    pairs = np.array(list(combinations(range(4), 2)) * 60)
    items = np.repeat(np.arange(60), 6)
    for seed in range(100):
        dice = np.random.default_rng(seed)
        chance = 1 / (1 + np.exp(truth[pairs[:, 1]] - truth[pairs[:, 0]]))
        won = (dice.random(len(pairs)) < chance).astype(float)
        found = pair_strengths(pairs[:, 0], pairs[:, 1], won, items, 4, 100, dice)
        wanted = 1 / (1 + np.exp(-truth))
        hits += int(((found.interval[:, 0] <= wanted) & (wanted <= found.interval[:, 1])).sum())
    assert 0.88 <= hits / 400 <= 0.99


def order_found(design: Design, seed: int, games: int) -> float:
    """Rank correlation of fitted with true strengths, 20 cells of which neighbours are close."""
    dice = np.random.default_rng(seed)
    truth = np.sort(dice.normal(0, 1.2, 20))
    counts = np.zeros((2, 20, 20))
    while True:
        more = next_games(design, counts, games, 100)
        if not more.any():
            return float(spearmanr(fit(counts)[0], truth).statistic)
        assert (np.rint(counts.sum(axis=0)) + more <= 100).all(), "no item twice"
        for a, b in np.argwhere(more):
            won = dice.binomial(more[a, b], 1 / (1 + np.exp(truth[b] - truth[a])))
            counts[:, a, b] += won, more[a, b] - won


@pytest.mark.parametrize("design", ["swiss", "uncertain"])
def test_a_tenth_of_all_games_finds_the_order(design: Design) -> None:
    """All pairs would be 19,000 games."""
    assert np.mean([order_found(design, seed, 1900) for seed in range(4)]) > 0.97


def test_a_sampled_contest_plays_just_its_games_and_all_of_a_short_one() -> None:
    for design in ("all", "swiss", "uncertain"):
        counts = np.zeros((2, 3, 3))
        total = 0
        while (more := next_games(design, counts, 9 if design == "all" else 7, 3)).any():
            counts[0] += more
            total += int(more.sum())
        assert total == (9 if design == "all" else 7)


# ---------------------------------------------------------------- a judge's contest


ITEMS = [Example(id=f"e{n}", instruction=f"Say it {n} times.", output="one two three four five six") for n in range(12)]
ANSWERS = ["one", "one two", "one two three four", "one two three four five six"]
CELLS = ["worst", "bad", "good", "best"]


def contest(design: Design, games: int) -> Contest:
    given = ContestInput(
        contestants=tuple((f"{n}",) for n in range(4)), data="d", backend="scripted", model_identity="m",
        prompt_sha256="p", parser_sha256="q", design=design, games=games,
    )  # fmt: skip
    return Contest(given, PAIR, ITEMS, [[{item.id: text for item in ITEMS}] for text in ANSWERS])


def answered(planned: PlannedRequest) -> ReplyRow:
    place = {"example_id": planned.example_id, "sample": 0, "repeat": planned.repeat}
    if planned.same:
        return Same(request_digest=planned.request.digest, **place)
    text = ScriptedJudge("", {}).answer(planned.request).text
    return Reply(request_digest=planned.request.digest, text=text, finish_reason="stop", prompt_tokens=9,
                 completion_tokens=1, seconds=1.0, **place)  # fmt: skip


@pytest.mark.parametrize(("design", "games"), [("all", 72), ("swiss", 30), ("uncertain", 30)])
def test_a_contest_killed_after_any_reply_goes_on_to_the_same_end(design: Design, games: int) -> None:
    whole = contest(design, games)
    rows: list[Any] = []
    while (standing := whole.standing(rows)).missing:
        asked = {row.request_digest for row in rows}
        assert not asked & {each.request.digest for each in standing.missing}, "nothing is asked twice"
        rows += [answered(each) for each in standing.missing[: 1 + len(standing.missing) // 2]]
    assert len(standing.games) == games
    straight: list[Any] = []
    while missing := contest(design, games).standing(straight).missing:
        straight += [answered(each) for each in missing]
    assert contest(design, games).standing(straight[::-1]).games == standing.games
    found = contest_record("j", design, whole.possible, CELLS, standing.games)
    assert [each.cell for each in found.strengths] == CELLS[::-1]
    assert (found.games, found.possible, found.unscored) == (games, 72, 0)
    assert all(each.share == 0 for each in found.meetings), "the later cell is the better one, in both orders"
    for each in found.strengths:
        assert each.interval.low <= each.chance <= each.interval.high


def test_what_is_known_already_costs_nothing() -> None:
    first = contest("all", 72).standing([]).missing[0]
    row = answered(first)
    assert isinstance(row, Reply)
    facts = bill([known_already(first, row), answered(contest("all", 72).standing([]).missing[1])], None)
    assert (facts.calls, facts.retries, facts.prompt_tokens) == (1, 0, 9)


def test_a_game_without_a_verdict_is_counted_and_decides_nothing() -> None:
    whole = contest("all", 72)
    rows: list[Any] = []
    while missing := whole.standing(rows).missing:
        rows += [answered(each) for each in missing]
    spoilt = rows[0].model_copy(update={"text": "no verdict"})
    [game] = [each for each in whole.standing([spoilt, *rows[1:]]).games if each.won is None]
    assert game.example_id == rows[0].example_id
    assert contest_record("j", "all", 72, CELLS, whole.standing([spoilt, *rows[1:]]).games).unscored == 1


def test_pairs_are_refused_where_they_mean_nothing() -> None:
    matrix = "name: m\ndata: starter-en\naxes: {model: smollm2-135m}\njudges: [{backend: scripted, JUDGE}]\n"
    with pytest.raises(SpecError, match="`games` needs `pairs: swiss`"):
        parse_spec(matrix.replace("JUDGE", "rubric: pairwise, pairs: all, games: 5"), "m.yaml")
    parse_spec(matrix.replace("JUDGE", "rubric: pairwise, pairs: uncertain, games: 5"), "m.yaml")
