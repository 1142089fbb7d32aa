"""Metrics against the packages that define them, over pairs made from real instruction data."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF, TER
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import RobertaConfig, RobertaModel

from harness.errors import HarnessError, MissingExtra, SpecError
from harness.metrics import Item, ItemScore, NoScore, References, known_metrics, load_metric
from harness.metrics.base import Recipe
from harness.metrics.scoring import BATCH, WORTH_PROCESSES, score, summed_up
from harness.spec.reading import parse_spec

BUILT_IN = [
    'The spelling of the given phrase is incorrect, the correct spelling is "friend".',
    "He goes to the park every day.",
    "45 kilometers is 45000 meters.",
    "A synonym for 'bright' is 'radiant'.",
    "The chemical symbol for gold is Au.",
    "Yes.",
    "The cake was baked by the chef; it was sold within 2.5 hours!",
    "The three primary colors are:\n- red,\n- blue,\n- and yellow.",
]


def texts() -> list[str]:
    folder = os.environ.get("HARNESS_DATA_DIR") or Path(__file__).parents[3] / "shared" / "data"
    path = Path(folder) / "instruction-data.json"
    return [row["output"] for row in json.loads(path.read_text())] if path.exists() else BUILT_IN * 4


Pair = tuple[str, str]


def make_pairs() -> list[Pair]:
    """(response, reference): equal, another item's, words dropped, words shuffled, case changed, lines, empty."""
    references = texts()
    draw = random.Random(7)
    makers = [
        lambda own, other: own,
        lambda own, other: other,
        lambda own, other: " ".join(word for word in own.split() if draw.random() < 0.8),
        lambda own, other: " ".join(draw.sample(own.split(), len(own.split()))),
        lambda own, other: own.upper(),
        lambda own, other: f"{own}\n{other}",
        lambda own, other: "",
    ]
    others = references[1:] + references[:1]
    return [
        (makers[i % len(makers)](own, other), own)
        for i, (own, other) in enumerate(zip(references, others, strict=True))
    ]


PAIRS = make_pairs()
ITEMS = [Item(response, (reference,)) for response, reference in PAIRS]
CHINESE = [
    ("北京是中国的首都。", "北京是中国的首都。"),
    ("上海是一座城市。", "北京是中国的首都。"),
    ("中国的首都是北京,人口 2100 万 people", "北京是中国的首都,人口 2100 万 people"),
    ("", "你好"),
]
CHINESE_ITEMS = [Item(response, (reference,), "zh") for response, reference in CHINESE]
SEVERAL = [
    Item(response, (reference, other)[: 1 + i % 2])
    for i, ((response, reference), (_, other)) in enumerate(zip(PAIRS, PAIRS[1:] + PAIRS[:1], strict=True))
]
ENGLISH = References("en", given=True)


def values(name: str, items: Sequence[Item], references: References = ENGLISH, **options: str | bool) -> list[float]:
    outcomes = load_metric(name, references, options).rows(items)
    return [outcome.value for outcome in outcomes if isinstance(outcome, ItemScore)]


def figure(name: str, items: Sequence[Item], references: References = ENGLISH) -> float:
    found = score(load_metric(name, references), items).corpus
    assert found is not None
    return found


def columns(items: Sequence[Item]) -> tuple[list[str], list[list[str | None]]]:
    """As sacrebleu takes them: responses, and a list a reference."""
    most = max(len(item.references) for item in items)
    padded = [[*item.references, *[None] * (most - len(item.references))] for item in items]
    return [item.response for item in items], [list(column) for column in zip(*padded, strict=True)]


# ---------------------------------------------------------------- sacrebleu's


@pytest.mark.parametrize("items", [ITEMS, SEVERAL], ids=["one reference", "several"])
@pytest.mark.parametrize(
    ("name", "own", "own_items"),
    [
        ("bleu", BLEU(), BLEU(effective_order=True)),
        ("chrf", CHRF(), CHRF()),
        ("chrf++", CHRF(word_order=2), CHRF(word_order=2)),
        ("ter", TER(), TER()),
    ],
    ids=["bleu", "chrf", "chrf++", "ter"],
)
def test_items_and_corpus_are_sacrebleus(name: str, own: BLEU, own_items: BLEU, items: list[Item]) -> None:
    found = items if name != "ter" else items[:250]  # slow in sacrebleu
    expected = [own_items.sentence_score(item.response, list(item.references)).score for item in found]
    assert values(name, found) == expected
    assert figure(name, found) == pytest.approx(own.corpus_score(*columns(found)).score, abs=1e-9)
    assert len(set(expected)) > 3
    assert load_metric(name, References("en", True, items is SEVERAL)).signature().startswith(str(own.get_signature()))


def test_bleu_of_chinese_is_sacrebleus() -> None:
    own = BLEU(tokenize="zh", effective_order=True)
    chinese = References("zh", given=True)
    assert values("bleu", CHINESE_ITEMS, chinese) == [own.sentence_score(r, [o]).score for r, o in CHINESE]
    assert "tok:zh|" in load_metric("bleu", chinese).signature()


def test_bleu_takes_the_tokenizer_of_each_items_script() -> None:
    mixed = [ITEMS[0], *CHINESE_ITEMS[:2], Item("頑張ってください", ("頑張って",), "ja")]
    expected = [
        BLEU(tokenize=tokenizer, effective_order=True).sentence_score(item.response, list(item.references)).score
        for tokenizer, item in zip(["13a", "zh", "zh", "char"], mixed, strict=True)
    ]
    assert values("bleu", mixed, References("en")) == expected
    assert values("bleu", mixed, References("en", given=True)) != expected


def test_bleu_with_mecab_and_any_other_tokenizer() -> None:
    japanese = [Item("私は東京に住んでいます。", ("私は大阪に住んでいます。",), "ja")]
    for references, options, tokenizer in (
        (References("ja"), {}, "ja-mecab"),
        (References("ja"), {"tokenizer": "char"}, "char"),
    ):
        own = BLEU(tokenize=tokenizer, effective_order=True)
        assert values("bleu", japanese, references, **options) == [
            own.sentence_score(item.response, list(item.references)).score for item in japanese
        ]


@pytest.mark.parametrize(("tokenizer", "extra"), [("ko-mecab", "korean"), ("flores200", "flores")])
def test_a_tokenizer_whose_package_is_missing(tokenizer: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.metrics.bleu.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=rf"sft-harness\[{extra}\]"):
        load_metric("bleu", ENGLISH, {"tokenizer": tokenizer})


def test_ter_of_chinese_counts_characters() -> None:
    """sacrebleu's own with its Asian support: 北京 -> 上海 is two edits in nine."""
    item = Item("上海是中国的首都。", ("北京是中国的首都。",), "zh")
    own = TER(normalized=True, asian_support=True).sentence_score(item.response, list(item.references))
    assert values("ter", [item], References("en")) == [own.score]
    assert values("ter", [item], References("zh", given=True)) == [pytest.approx(100 * 2 / 9)]
    assert values("ter", [item], References("en"), normalized=False) == [100.0]


@pytest.mark.parametrize(
    ("name", "own"), [("bleu", BLEU()), ("chrf", CHRF()), ("chrf++", CHRF(word_order=2)), ("ter", TER())]
)
def test_corpus_score_of_many_sums_at_once(name: str, own: BLEU) -> None:
    """A resampled sum gives sacrebleu's figure of the resampled corpus; sums with orders missing included."""
    items = ITEMS[:120]
    metric = load_metric(name)
    counts = np.array([outcome.counts for outcome in metric.rows(items) if isinstance(outcome, ItemScore)])
    draws = np.random.default_rng(3).integers(0, len(items), size=(40, 6))
    figures = metric.corpus_score(counts[draws].sum(axis=1).reshape(5, 8, -1)).ravel()
    for found, draw in zip(figures, draws, strict=True):
        assert found == pytest.approx(own.corpus_score(*columns([items[i] for i in draw])).score, abs=1e-9)


def test_corpus_score_of_nothing_is_nil() -> None:
    with np.errstate(all="raise"):
        for name, k in (("bleu", 10), ("chrf", 18), ("chrf++", 24), ("ter", 2), ("length_ratio", 2)):
            assert load_metric(name).corpus_score(np.zeros((2, k))).tolist() == [0.0, 0.0]


# ---------------------------------------------------------------- rouge-score's


@pytest.mark.parametrize("stemmer", [True, False])
@pytest.mark.parametrize("name", ["rouge1", "rouge2", "rougeL", "rougeLsum"])
def test_rouge_is_rouge_scores(name: str, stemmer: bool) -> None:
    scorer = RougeScorer([name], use_stemmer=stemmer)
    expected = [100 * scorer.score(reference, response)[name].fmeasure for response, reference in PAIRS]
    assert values(name, ITEMS, stemmer=stemmer) == expected
    assert 20 < np.mean(expected) < 90


@pytest.mark.parametrize("name", ["rouge1", "rouge2", "rougeL", "rougeLsum"])
def test_rouge_of_several_references_is_rouge_scores(name: str) -> None:
    scorer = RougeScorer([name], use_stemmer=True)
    expected = [100 * scorer.score_multi(item.references, item.response)[name].fmeasure for item in SEVERAL]
    assert values(name, SEVERAL) == expected


def test_detected_english_has_rouge_scores_figures() -> None:
    """But for references with letters that rouge-score would drop."""
    plain = [item for item in ITEMS if item.references[0].isascii() and item.response.isascii()]
    assert values("rougeL", plain, References("en")) == values("rougeL", plain, ENGLISH)
    # rouge-score sees "caf" and "quaint" only; "cafe" is another word than "café".
    item = Item("quaint cafe", ("quaint café",))
    assert values("rouge1", [item], References("en")) == [pytest.approx(50)]


def test_rouge_sees_chinese() -> None:
    """rouge-score's own tokenizer gives 0 for two equal Chinese sentences."""
    assert RougeScorer(["rougeL"]).score(CHINESE[0][1], CHINESE[0][0])["rougeL"].fmeasure == 0.0
    equal, different, mixed, empty = values("rougeL", CHINESE_ITEMS, References("en"))
    assert equal == pytest.approx(100)
    # Tokens 上海是一座城市 (7) and 北京是中国的首都 (8) share 是: F1 = 2 · 1/7 · 1/8 / (1/7 + 1/8) = 2/15.
    assert different == pytest.approx(100 * 2 / 15)
    # 13 tokens each; the longest common subsequence is 中 国 的 首 都 人 口 2100 万 people (10).
    assert mixed == pytest.approx(100 * 10 / 13)
    assert empty == 0.0


def test_rouge_by_jiebas_words() -> None:
    # jieba: 北京 是 中国 的 首都; 上海 是 中国 的 首都: 4 of 5 words.
    item = Item("上海是中国的首都。", ("北京是中国的首都。",), "zh")
    assert values("rouge1", [item], References("zh"), tokenizer="jieba") == [pytest.approx(80)]
    assert "jieba-0" in load_metric("rouge1", References("zh"), {"tokenizer": "jieba"}).signature()


@pytest.mark.parametrize(
    ("response", "reference", "language", "value"),
    [
        ("お元気ですか", "元気ですか", "ja", 2 * 5 / 11),
        ("안녕하세요", "안녕", "ko", 2 * 2 / 7),
        ("Où est le café?", "Où est la gare?", "fr", 2 / 4),
        ("Привет мир", "Привет, мир!", "ru", 1),
        ("सपने देखना", "सपने देखो", "hi", 1 / 2),
        ("สวัสดี", "สวัสดี", "th", 1),
        ("running runs", "run", "fr", 0),  # stems are for English
    ],
)
def test_rouge_of_other_languages(response: str, reference: str, language: str, value: float) -> None:
    item = Item(response, (reference,), language)
    assert values("rouge1", [item], References("en")) == [pytest.approx(100 * value)]


# ---------------------------------------------------------------- the rest


@pytest.mark.parametrize(
    ("response", "reference", "language", "value"),
    [
        # As SQuAD's script has it, without articles, punctuation and case: {quick, fox}, {quick, brown, fox}.
        ("The quick fox", "a quick, brown fox!", "en", 4 / 5),
        ("Theatre", "the atre", "en", 0),
        ("in the 1976.", "1976", "en", 2 / 3),
        ("", "x", "en", 0),
        ("A.", "A", "en", 1),  # without articles nothing is left: SQuAD 2.0's script then compares the two for equality
        ("B", "A", "en", 0),
        (" ", "The", "en", 0),
        ("上海是一座城市。", "北京是中国的首都。", "zh", 2 / 15),
        ("a la playa", "La playa", "es", 4 / 5),
    ],
)
def test_token_f1(response: str, reference: str, language: str, value: float) -> None:
    assert values("token_f1", [Item(response, (reference,), language)]) == [pytest.approx(100 * value)]


@pytest.mark.parametrize(
    ("response", "reference", "value", "raw"),
    [
        ("  The  Cat\n", "the cat", 100.0, 0.0),
        ("the cat.", "the cat", 0.0, 0.0),
        ("", "x", 0.0, 0.0),
        ("Straße", "STRASSE", 100.0, 0.0),
        ("x", "x", 100.0, 100.0),
    ],
)
def test_exact_match(response: str, reference: str, value: float, raw: float) -> None:
    item = Item(response, ("another", reference))
    assert values("exact_match", [item]) == [value]
    assert values("exact_match_raw", [item]) == [raw]


def test_edit_similarity_by_hand() -> None:
    # kitten -> sitting: distance 3, of 7 characters (Levenshtein's textbook case).
    assert values("edit_similarity", [Item("kitten", ("sitting",))]) == [pytest.approx(100 * 4 / 7)]
    assert values("edit_similarity", [Item("kitten", ("sitting", "mitten"))]) == [pytest.approx(100 * 5 / 6)]


def test_length_ratio_is_of_the_whole_and_ranks_nothing() -> None:
    items = [Item("abcd", ("ab", "abcde")), Item("", ("abcde",))]
    assert values("length_ratio", items) == [80.0, 0.0]
    assert figure("length_ratio", items) == 40.0


def test_distinct() -> None:
    found = load_metric("distinct_2").rows([Item("a b a b", ("x",)), Item("", ("x",)), Item("one", ("x",))])
    assert found == [ItemScore(100 * 2 / 3), ItemScore(0.0), NoScore("the response has fewer than 2 words")]


def test_semantic_similarity() -> None:
    """Golden: the example on the model card of all-MiniLM-L6-v2's library (sentence-transformers, quickstart)."""
    weather, sunny, stadium = "The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."
    items = [Item(sunny, (weather,)), Item(stadium, (weather,)), Item(sunny, (stadium, weather)), Item("", (weather,))]
    # There: 0.6660, 0.1046.
    assert values("semantic_similarity", items) == pytest.approx([66.60, 10.46, 66.60, 0], abs=0.01)


def test_bertscore_is_bert_scores() -> None:
    """Golden: the package bert-score 0.3.12, `BERTScorer(model_type=…, num_layers=3 and 6)`, on the packaged MiniLM."""
    weather = "The weather is lovely today."
    pairs = [
        ("It's so sunny outside!", weather),
        ("He drove to the stadium.", weather),
        ("It's so sunny outside!", "The sun shines outside."),
        ("The cat sat on the mat and slept.", "A cat slept on a mat."),
    ]
    found = load_metric("bertscore", options={"layer": 3})
    items = [Item(response, (reference,)) for response, reference in pairs]
    assert [row.value for row in found.rows(items) if isinstance(row, ItemScore)] == pytest.approx(
        [58.2313, 43.7578, 66.2878, 83.8969], abs=1e-3
    )
    [one] = load_metric("bertscore").rows([Item(pairs[0][0], (weather, pairs[2][1]))])
    assert isinstance(one, ItemScore) and one.value == pytest.approx(67.8012, abs=1e-3)


def test_bertscore_strips_texts_and_puts_a_space_before_them_for_roberta(tmp_path: Path) -> None:
    """As bert-score's `sent_encode`; equal texts have 100, however single precision rounds."""
    tokenizer, model = save_roberta(tmp_path)
    pairs = [("The review praises the film", "praises the film was great"), ("film\n\n", "film"), ("  film", "film")]
    metric = load_metric("bertscore", options={"model": str(tmp_path), "layer": 2})
    found = [row.value for row in metric.rows([Item(a, (b,)) for a, b in pairs]) if isinstance(row, ItemScore)]

    def embedded(text: str) -> Any:
        ids = torch.tensor([tokenizer.encode(" " + text.strip()).ids])
        with torch.inference_mode():
            states = model(ids, output_hidden_states=True).hidden_states[2][0]
        return torch.nn.functional.normalize(states, dim=-1)

    cosines = embedded(pairs[0][0]) @ embedded(pairs[0][1]).T
    precision, recall = cosines[1:-1].max(1).values.mean(), cosines[:, 1:-1].max(0).values.mean()
    assert found[0] == pytest.approx(float(200 * precision * recall / (precision + recall)), abs=1e-3)
    assert found[1:] == [100.0, 100.0]


def save_roberta(folder: Path) -> tuple[Any, Any]:
    """A tiny random RoBERTa with a byte-level tokenizer: the library `tokenizers`' own, and the model."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=special, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())  # fmt: skip
    tokenizer.train_from_iterator(["The review praises the film and the soup was great"] * 50, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    torch.manual_seed(0)
    model = RobertaModel(RobertaConfig(vocab_size=400, max_position_embeddings=140, pad_token_id=1, **size)).eval()
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    told = {"tokenizer_class": "RobertaTokenizer", "model_max_length": 128}
    (folder / "tokenizer_config.json").write_text(json.dumps(told))
    return tokenizer, model


def test_equal_texts_have_exactly_100() -> None:
    texts = [f"The {word} is lovely today, and so it was." for word in ("weather", "film", "soup", "cat", "stadium")]
    assert values("bertscore", [Item(text, (text,)) for text in texts]) == [100.0] * 5


def test_how_much_of_a_text_is_read_stands_in_the_signature() -> None:
    assert "|cut:256|" in load_metric("semantic_similarity").signature()
    assert "|cut:512|" in load_metric("bertscore").signature()
    hub = {"model": "roberta-large", "revision": "0123456789" * 4}
    assert "|cut:model's|" in load_metric("bertscore", options=hub).signature()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"model": "roberta-large"}, "`revision:`, its commit"),
        ({"model": "org/name", "revision": "c"}, "which layer of 'org/name' is not known"),
    ],
)
def test_bertscore_has_to_know_its_model(options: dict[str, str | bool], said: str) -> None:
    with pytest.raises(HarnessError, match=said):
        load_metric("bertscore", ENGLISH, options)


def test_bits_per_byte_are_of_all_bytes_together() -> None:
    metric = load_metric("bits_per_byte")
    items = [Item("", ("ab",)), Item("", ("abcdef",)), Item("", ("x",))]
    found = summed_up(metric, items, [ItemScore(3.0, (6.0, 2.0)), ItemScore(1.0, (6.0, 6.0)), NoScore("too long")])
    assert (found.corpus, found.unscored, metric.higher_is_better) == (1.5, 1, False)
    with pytest.raises(HarnessError, match="of a variant's weights"):
        metric.rows(items)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"model": "org/name"}, "`revision:`, its commit"),
        ({"model": "org/name", "revision": "main"}, "'main' pins no model"),
        ({"model": 3}, "option 'model'"),
    ],
)
def test_an_embedding_model_must_be_pinned(options: dict[str, str | bool], said: str) -> None:
    with pytest.raises(HarnessError, match=said):
        load_metric("semantic_similarity", ENGLISH, options)


@pytest.mark.parametrize("name", [name for name in known_metrics() if name != "bits_per_byte"])
def test_every_metric_is_at_its_ends(name: str) -> None:
    metric = load_metric(name)
    text = "The quick brown fox jumps over a lazy dog."
    perfect, empty = (float(each.value) for each in metric.rows([Item(text, (text,)), Item("", (text,))]))
    assert perfect == pytest.approx(100 if metric.higher_is_better else 0)
    assert empty == (0.0 if metric.higher_is_better else 100)
    assert list(metric.rows([])) == []


def test_blanks_resemble_nothing() -> None:
    metric = load_metric("edit_similarity")
    for blank in ("", " " * 10, "\n \n"):
        assert metric.rows([Item(blank, ("The quick brown fox jumps.",))]) == [ItemScore(0.0)]


@pytest.mark.parametrize("name", ["rouge1", "rougeLsum", "token_f1"])
def test_a_reference_without_words_is_not_scored(name: str) -> None:
    found = score(load_metric(name), [Item("yes", ("!?",)), Item("yes", ("yes",)), Item(" ", ("no",))])
    assert found.outcomes[0] == NoScore("the reference has no words")
    assert (found.corpus, found.empty, found.unscored) == (pytest.approx(50), 1, 1)
    assert score(load_metric(name), [Item("yes", ("!?",))]).corpus is None


def test_many_items_are_shared_out_among_processes() -> None:
    items = (ITEMS * (1 + WORTH_PROCESSES // len(ITEMS)))[: WORTH_PROCESSES + 1]
    assert len(items) % BATCH == 1
    recipe = Recipe("exact_match", ENGLISH, {})
    metric = load_metric("exact_match", ENGLISH)
    assert score(metric, items, recipe, processes=2) == score(metric, items)


def test_signatures_name_what_decides() -> None:
    assert len({load_metric(name).signature() for name in known_metrics()}) == len(known_metrics())
    for name in known_metrics():
        several = load_metric(name, References(several=True)).signature()
        if name not in ("exact_match", "exact_match_raw", "distinct_1", "distinct_2", "bits_per_byte"):
            assert several != load_metric(name).signature()
    signatures = [
        load_metric("rougeL", references, options).signature()
        for references in (References(), References(given=True), References("zh", given=True))
        for options in ({}, {"stemmer": False}, {"tokenizer": "characters"})
    ]
    assert len(set(signatures)) >= 7


# ---------------------------------------------------------------- names, options, metrics of a user's own


@pytest.mark.parametrize(
    ("given", "near"), [("rouge-l", "rougeL"), ("BLUE", "bleu"), ("exact", "exact_match"), ("chrf+", "chrf")]
)
def test_unknown_metric_names_the_nearest(given: str, near: str) -> None:
    with pytest.raises(HarnessError, match=f"did you mean '{near}"):
        load_metric(given)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("bleu", {"tokeniser": "zh"}, "unknown option 'tokeniser'.*\n.*tokenizer"),
        ("rougeL", {"stemmer": "yes"}, "option 'stemmer'.*got 'yes'"),
        ("exact_match", {"case": True}, "options it knows: none"),
    ],
)
def test_wrong_options(name: str, options: dict[str, str | bool], said: str) -> None:
    with pytest.raises(HarnessError, match=f"(?s){said}"):
        load_metric(name, ENGLISH, options)


OWN = """
import functools
import numpy
from harness.metrics import ItemScore

def vowels(response, references, letters="aeiou"):
    return None if not references[0] else 100 * sum(c in letters for c in response) / max(len(response), 1)

def broken(response, references):
    return "high"

class Starts:
    name, label, unit, corpus, higher_is_better = "starts", "starts alike", "0–100", False, True
    def __init__(self, references, options): pass
    def signature(self): return "starts|v1"
    def rows(self, items):
        return [ItemScore(100.0 * any(r[:1] == i.response[:1] for r in i.references)) for i in items]
    def corpus_score(self, counts): raise NotImplementedError

class Half:
    name = "half"
    def __init__(self, references, options): pass

kept = functools.lru_cache(vowels)
fixed = functools.partial(vowels, letters="e")

class Callable:
    def __call__(self, response, references):
        return numpy.float32(1.5) if response else numpy.int64(3)

called = Callable()
"""


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "own_metrics_of_a_user.py"
    path.write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, path.stem, raising=False)
    return path


WRONG = """

from harness.metrics.base import ItemScore
def boom(response, references):
    return {}["boom"]
class Wrong(Starts):
    def rows(self, items):
        return [ROWS]
"""


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ("1.0", r":Wrong gives 1\.0 as an outcome"),
        ("None", ":Wrong gives None as an outcome"),
        ("ItemScore(float('nan'))", ":Wrong gives ItemScore.* as an outcome"),
        ("items[3]", r":Wrong broke off: .*own_metrics_of_a_user\.py:\d+: IndexError"),
    ],
)
def test_what_a_users_metric_raises_or_gives_while_scoring_is_told_with_its_place(
    rows: str, told: str, own_module: Path
) -> None:
    own_module.write_text(OWN + WRONG.replace("ROWS", rows))
    with pytest.raises(HarnessError, match=told):
        score(load_metric("own_metrics_of_a_user:Wrong"), [Item("a", ("b",))])
    with pytest.raises(HarnessError, match=r":boom broke off: .*own_metrics_of_a_user\.py:\d+: KeyError: 'boom'"):
        score(load_metric("own_metrics_of_a_user:boom"), [Item("a", ("b",))])


def test_a_users_own_function_and_class(own_module: Path) -> None:
    vowels = load_metric("own_metrics_of_a_user:vowels", ENGLISH, {"letters": "a"})
    assert vowels.rows([Item("aab", ("x",)), Item("a", ("",))]) == [
        ItemScore(pytest.approx(200 / 3)),
        NoScore("the function gives None"),
    ]
    starts = load_metric("own_metrics_of_a_user:Starts")
    assert score(starts, [Item("ab", ("ax",)), Item("b", ("ax",))]).corpus == 50
    assert starts.signature().endswith("|starts|v1") and "letters:a" in vowels.signature()


@pytest.mark.parametrize("attribute", ["vowels", "Starts", "kept", "fixed", "called", "wrapped", "elsewhere"])
def test_an_edit_of_a_users_metric_changes_its_signature(
    own_module: Path, attribute: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = own_module.with_name("own_decorator_of_a_user.py")
    monkeypatch.delitem(sys.modules, other.stem, raising=False)
    other.write_text(
        "import functools\n"
        "def deco(f):\n    @functools.wraps(f)\n    def inner(*a, **k):\n        return f(*a, **k)\n    return inner\n"
        "class Other:\n    def __call__(self, response, references):\n        return 1.0\n"
    )
    more = "from own_decorator_of_a_user import Other, deco\nwrapped = deco(vowels)\nelsewhere = Other()\n"
    signatures = set()
    for text, edited in (("", ""), ("# edited\n", ""), ("", "# edited\n")):
        own_module.write_text(OWN + more + text)
        other.write_text(other.read_text() + edited)
        signatures.add(load_metric(f"own_metrics_of_a_user:{attribute}").signature())
    assert not any("unknown" in signature for signature in signatures)
    assert len(signatures) == (3 if attribute in ("wrapped", "elsewhere") else 2)


def test_a_plain_function_is_signed_by_its_file_alone(own_module: Path) -> None:
    """Scores made before other files counted too stay what they are."""
    whole = hashlib.sha256(own_module.read_bytes()).hexdigest()[:12]
    assert f"|source:{whole}" in load_metric("own_metrics_of_a_user:vowels").signature()
    assert f"|source:{whole}" in load_metric("own_metrics_of_a_user:Starts").signature()


@pytest.mark.parametrize(
    ("attribute", "options"),
    [("vowels", {"leters": "a"}), ("kept", {"k": 1}), ("called", {"k": 1}), ("fixed", {"k": 1})],
)
def test_an_option_that_a_function_does_not_know_is_refused_at_once(
    own_module: Path, attribute: str, options: dict[str, str | int]
) -> None:
    with pytest.raises(HarnessError, match=f"own_metrics_of_a_user:{attribute}: got an unexpected keyword argument"):
        load_metric(f"own_metrics_of_a_user:{attribute}", ENGLISH, options)


def test_numpy_numbers_are_numbers(own_module: Path) -> None:
    called = load_metric("own_metrics_of_a_user:called")
    assert called.rows([Item("a", ("b",)), Item("", ("b",))]) == [ItemScore(1.5), ItemScore(3.0)]


@pytest.mark.parametrize(
    ("attribute", "said"),
    [("Half", "lacks label, unit"), ("nothing", "cannot be imported"), ("OWN", "cannot be imported")],
)
def test_a_users_metric_that_is_none(own_module: Path, attribute: str, said: str) -> None:
    with pytest.raises(HarnessError, match=said):
        load_metric(f"own_metrics_of_a_user:{attribute}")


def test_a_users_metric_that_breaks_off_where_it_is_set_up(own_module: Path) -> None:
    own_module.write_text(OWN + "class Broken:\n    def __init__(self, references, options): options['depth']\n")
    with pytest.raises(HarnessError, match=r"cannot be set up: .*own_metrics_of_a_user\.py:\d+: KeyError: 'depth'"):
        load_metric("own_metrics_of_a_user:Broken")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("def half(", r"own_metrics_of_a_user\.py:2: SyntaxError: '\(' was never closed"),
        ("1 / 0", r"own_metrics_of_a_user\.py:2: ZeroDivisionError: division by zero"),
        ("import no_such_package", r"own_metrics_of_a_user\.py:2: ModuleNotFoundError: No module named"),
    ],
)
def test_a_users_module_that_breaks_off(own_module: Path, line: str, said: str) -> None:
    own_module.write_text(f"# mine\n{line}\n")
    with pytest.raises(HarnessError, match=said) as caught:
        load_metric("own_metrics_of_a_user:vowels")
    assert caught.value.hint is None, "it was found"


def test_a_function_that_gives_no_number(own_module: Path) -> None:
    with pytest.raises(HarnessError, match="gives 'high'"):
        load_metric("own_metrics_of_a_user:broken").rows([Item("a", ("b",))])


def test_the_metrics_of_the_documentation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    [matrix], [code] = (re.findall(rf"```{kind}\n(.*?)```", text, flags=re.DOTALL) for kind in ("yaml", "python"))
    (tmp_path / "my_metrics.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    spec = parse_spec(f"name: m\ndata: starter-en\naxes: {{model: [a], prompt_style: [alpaca]}}\n{matrix}", "m.yaml")
    assert [each.column for each in spec.metrics] == ["bleu", "rougeL", "bleu-200", "rougeL-plain", "my_metrics:vowels"]
    own = spec.metrics[-1]
    assert load_metric(own.metric, None, own.options).rows([Item("abba", ("x",))]) == [ItemScore(50.0)]
    for name in known_metrics():
        assert f"`{name}`" in text


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("metrics: [bleu, bleu]", "two metrics are called 'bleu'"),
        ("metrics: [{metric: bleu, option: {}}]", "option"),
        ("metrics: [blue]", "did you mean 'bleu'"),
        ("language: Chinese", "language"),
    ],
)
def test_wrong_metrics_of_a_matrix(line: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        parse_spec(f"name: m\ndata: starter-en\naxes: {{model: [a], prompt_style: [alpaca]}}\n{line}\n", "m.yaml")


def test_mean_metrics_have_no_corpus_score() -> None:
    with pytest.raises(HarnessError, match="no counts"):
        load_metric("rougeL").corpus_score(np.zeros(1))


def test_names_and_signatures_load_no_scorer() -> None:
    code = (
        "import sys; from harness.metrics import known_metrics, load_metric\n"
        "[load_metric(name).signature() for name in known_metrics()]\n"
        "heavy = ('torch', 'transformers', 'sacrebleu', 'rouge_score', 'nltk', 'scipy', 'rapidfuzz', 'sklearn')\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
