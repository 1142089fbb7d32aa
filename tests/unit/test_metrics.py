"""Metrics against the packages that define them, over pairs made from real instruction data."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF

from harness.errors import HarnessError
from harness.metrics import Pair, detect_language, known_metrics, load_metric

BUILT_IN = [
    'The spelling of the given phrase is incorrect, the correct spelling is "friend".',
    "He goes to the park every day.",
    "45 kilometers is 45000 meters.",
    "A synonym for 'bright' is 'radiant'.",
    "The chemical symbol for gold is Au.",
    "Yes.",
    "The cake was baked by the chef; it was sold within 2.5 hours!",
    "The three primary colors are red, blue, and yellow.",
]


def references() -> list[str]:
    folder = os.environ.get("HARNESS_DATA_DIR") or Path(__file__).parents[3] / "shared" / "data"
    path = Path(folder) / "instruction-data.json"
    return [row["output"] for row in json.loads(path.read_text())][:400] if path.exists() else BUILT_IN * 4


def make_pairs() -> list[Pair]:
    """(hypothesis, reference): equal, another item's, words dropped, words shuffled, case changed, empty."""
    texts = references()
    draw = random.Random(7)
    makers = [
        lambda own, other: own,
        lambda own, other: other,
        lambda own, other: " ".join(word for word in own.split() if draw.random() < 0.8),
        lambda own, other: " ".join(draw.sample(own.split(), len(own.split()))),
        lambda own, other: own.upper(),
        lambda own, other: own + " " + other,
        lambda own, other: "",
    ]
    others = texts[1:] + texts[:1]
    return [
        (makers[i % len(makers)](own, other), own) for i, (own, other) in enumerate(zip(texts, others, strict=True))
    ]


PAIRS = make_pairs()
CHINESE = [
    ("北京是中国的首都。", "北京是中国的首都。"),
    ("上海是一座城市。", "北京是中国的首都。"),
    ("中国的首都是北京,人口 2100 万 people", "北京是中国的首都,人口 2100 万 people"),
    ("", "你好"),
]


def split(pairs: list[Pair]) -> tuple[list[str], list[str]]:
    return [hypothesis for hypothesis, _ in pairs], [reference for _, reference in pairs]


def corpus_figure(name: str, pairs: list[Pair], language: str = "en") -> float:
    metric = load_metric(name, language)  # type: ignore[arg-type]
    return float(metric.corpus_score(np.array([counts for _, counts in metric.rows(pairs)]).sum(axis=0)))


@pytest.mark.parametrize(("language", "tokenizer", "pairs"), [("en", "13a", PAIRS), ("zh", "zh", CHINESE)])
def test_bleu_is_sacrebleus(language: str, tokenizer: str, pairs: list[Pair]) -> None:
    hypotheses, refs = split(pairs)
    own = BLEU(tokenize=tokenizer, effective_order=True)
    values = [value for value, _ in load_metric("bleu", language).rows(pairs)]  # type: ignore[arg-type]
    assert values == [own.sentence_score(hypothesis, [reference]).score for hypothesis, reference in pairs]
    expected = BLEU(tokenize=tokenizer).corpus_score(hypotheses, [refs]).score
    assert corpus_figure("bleu", pairs, language) == pytest.approx(expected, abs=1e-9)
    assert expected > 5


def test_chrf_is_sacrebleus() -> None:
    hypotheses, refs = split(PAIRS)
    values = [value for value, _ in load_metric("chrf").rows(PAIRS)]
    expected = [CHRF().sentence_score(hypothesis, [reference]).score for hypothesis, reference in PAIRS]
    assert values == pytest.approx(expected, abs=1e-9)
    assert corpus_figure("chrf", PAIRS) == pytest.approx(CHRF().corpus_score(hypotheses, [refs]).score, abs=1e-9)


@pytest.mark.parametrize("name", ["bleu", "chrf"])
def test_corpus_score_of_many_sums_at_once(name: str) -> None:
    """A resampled sum gives sacrebleu's figure of the resampled corpus; sums with orders missing included."""
    metric = load_metric(name)
    own = BLEU() if name == "bleu" else CHRF()
    counts = np.array([row for _, row in metric.rows(PAIRS)])
    draws = np.random.default_rng(3).integers(0, len(PAIRS), size=(40, 6))
    figures = metric.corpus_score(counts[draws].sum(axis=1).reshape(5, 8, -1)).ravel()
    for figure, draw in zip(figures, draws, strict=True):
        hypotheses, refs = split([PAIRS[i] for i in draw])
        assert figure == pytest.approx(own.corpus_score(hypotheses, [refs]).score, abs=1e-9)


def test_corpus_score_of_nothing_is_nil() -> None:
    with np.errstate(all="raise"):
        assert load_metric("bleu").corpus_score(np.zeros((2, 10))).tolist() == [0.0, 0.0]
        assert load_metric("chrf").corpus_score(np.zeros((2, 18))).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("name", ["rouge1", "rouge2", "rougeL"])
def test_rouge_is_rouge_scores(name: str) -> None:
    scorer = RougeScorer([name], use_stemmer=True)
    expected = [100 * scorer.score(reference, hypothesis)[name].fmeasure for hypothesis, reference in PAIRS]
    assert [value for value, _ in load_metric(name).rows(PAIRS)] == expected
    assert 20 < np.mean(expected) < 90


def test_rouge_sees_chinese() -> None:
    """rouge-score's own tokenizer gives 0 for two equal Chinese sentences."""
    equal, different, mixed, empty = (value for value, _ in load_metric("rougeL", "zh").rows(CHINESE))
    assert RougeScorer(["rougeL"]).score(CHINESE[0][1], CHINESE[0][0])["rougeL"].fmeasure == 0.0
    assert equal == pytest.approx(100)
    # Tokens 上海是一座城市 (7) and 北京是中国的首都 (8) share 是: F1 = 2 · 1/7 · 1/8 / (1/7 + 1/8) = 2/15.
    assert different == pytest.approx(100 * 2 / 15)
    # 13 tokens each; the longest common subsequence is 中 国 的 首 都 人 口 2100 万 people (10).
    assert mixed == pytest.approx(100 * 10 / 13)
    assert empty == 0.0


def test_rouge_counts_latin_words_alike_in_both_languages() -> None:
    latin = PAIRS[:50]
    assert load_metric("rouge2", "zh").rows(latin) == load_metric("rouge2", "en").rows(latin)


@pytest.mark.parametrize(
    ("hypothesis", "reference", "value"),
    [("  The  Cat\n", "the cat", 100.0), ("the cat.", "the cat", 0.0), ("", "x", 0.0), ("Straße", "STRASSE", 100.0)],
)
def test_exact_match(hypothesis: str, reference: str, value: float) -> None:
    assert load_metric("exact_match").rows([(hypothesis, reference)]) == [(value, ())]


@pytest.mark.parametrize("name", known_metrics())
def test_every_metric_is_at_its_ends(name: str) -> None:
    metric = load_metric(name)
    text = "The quick brown fox jumps over the lazy dog."
    perfect, empty = (value for value, _ in metric.rows([(text, text), ("", text)]))
    assert perfect == pytest.approx(100)
    assert empty == 0.0
    assert metric.rows([]) == []


def test_signatures_are_sacrebleus_and_name_what_decides() -> None:
    hypotheses, refs = split(PAIRS[:3])
    for name, own in (("bleu", BLEU()), ("chrf", CHRF())):
        own.corpus_score(hypotheses, [refs])
        assert load_metric(name).signature().startswith(str(own.get_signature()))
    assert "tok:zh" in load_metric("bleu", "zh").signature()
    assert load_metric("rougeL").signature() != load_metric("rougeL", "zh").signature()
    assert len({load_metric(name).signature() for name in known_metrics()}) == len(known_metrics())


@pytest.mark.parametrize(("given", "near"), [("rouge-l", "rougeL"), ("BLUE", "bleu"), ("exact", "exact_match")])
def test_unknown_metric_names_the_nearest(given: str, near: str) -> None:
    with pytest.raises(HarnessError, match=f"did you mean '{near}'"):
        load_metric(given)


def test_mean_metrics_have_no_corpus_score() -> None:
    with pytest.raises(HarnessError, match="no counts"):
        load_metric("rougeL").corpus_score(np.zeros(1))


@pytest.mark.parametrize(
    ("texts", "language"),
    [
        (["The cat sat.", "北京"], "en"),
        (["北京是中国的首都。", "Python 是一种语言"], "zh"),
        ([], "en"),
        (["", "!?"], "en"),
        (["Résumé élève naïve"], "en"),
    ],
)
def test_detect_language(texts: list[str], language: str) -> None:
    assert detect_language(texts) == language


def test_names_and_signatures_load_no_scorer() -> None:
    code = (
        "import sys; from harness.metrics import known_metrics, load_metric\n"
        "[load_metric(name).signature() for name in known_metrics()]\n"
        "print([m for m in ('torch', 'transformers', 'sacrebleu', 'rouge_score', 'nltk', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
