"""BERTScore (Zhang et al. 2020, arXiv 1904.09675): greedy matching of contextual token embeddings, F1, without idf."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import version
from typing import Any

from pydantic import Field

from harness.errors import HarnessError
from harness.metrics.base import Item, ItemScore, MeanMetric, MetricOptions, Options, References, read_options
from harness.metrics.semantic_similarity import PACKAGED, location, longest, model_identity, require_packaged

LAYERS = {
    PACKAGED: 6,
    "bert-base-uncased": 9,
    "bert-base-chinese": 8,
    "bert-base-multilingual-cased": 9,
    "roberta-large": 17,
    "microsoft/deberta-xlarge-mnli": 40,
}
"""Whose output is taken, as the package bert-score has it; of the packaged model the last one."""
BATCH = 64
LENGTH = ("tokenizer_config.json", "model_max_length")
"""Where a folder says how many tokens of a text its model reads."""
SURE = 6
"""Decimals of an F1 in single precision; beyond them equal texts would differ."""


class BertScoreOptions(MetricOptions):
    """`model`: all-minilm-l6-v2, a folder, or a Hub id with its commit as `revision`; `layer`: known for `LAYERS`."""

    model: str = PACKAGED
    revision: str | None = None
    layer: int | None = Field(None, ge=1)


class BertScore(MeanMetric):
    """100 × F1 against the nearest reference, not rescaled; the package bert-score's figures. Loads a model."""

    name = "bertscore"
    label = "BERTScore"
    one_process = True

    def __init__(self, references: References, options: Options) -> None:
        """Raises MissingExtra without the package, HarnessError for an unknown layer or a Hub id that is not pinned."""
        self._references = references
        self._options = read_options(BertScoreOptions, options, self.name)
        require_packaged(self.name, self._options.model)
        layer = self._options.layer or LAYERS.get(self._options.model)
        if layer is None:
            raise HarnessError(
                f"metric {self.name!r}: which layer of {self._options.model!r} is not known",
                hint="give `layer:`; known for " + ", ".join(LAYERS),
            )
        self._layer = layer
        self._identity = model_identity(self._options.model, self._options.revision)

    def signature(self) -> str:
        """The model by content, the layer, how texts are encoded, and the package's version."""
        package, cut = f"transformers-{version('transformers')}", longest(self._options.model, LENGTH)
        made = f"f1|layer:{self._layer}|idf:no|rescaled:no|encoding:stripped|cut:{cut}"
        return f"bertscore|{self._references.number}|{made}|{self._identity}|{package}"

    def rows(self, items: Sequence[Item]) -> list[ItemScore]:
        """An empty response has 0. Each text is embedded once."""
        texts = sorted({text for item in items for text in (item.response, *item.references) if text.strip()}, key=len)
        vectors = _embedded(self._options, self._layer, texts)
        return [ItemScore(_nearest(item, vectors)) for item in items]


def _nearest(item: Item, vectors: dict[str, Any]) -> float:
    if item.response not in vectors:
        return 0.0
    own = vectors[item.response]
    return 100 * max((_f1(own, vectors[text]) for text in item.references if text in vectors), default=0.0)


def _f1(own: Any, reference: Any) -> float:
    """Both (tokens, width). The first and the last token are the model's own: they may be matched, and do not count."""
    cosines = own @ reference.T
    precision = float(cosines[1:-1].max(1).values.mean())
    recall = float(cosines[:, 1:-1].max(0).values.mean())
    f1 = round(2 * precision * recall / (precision + recall), SURE)
    return min(1.0, max(0.0, f1))


def _embedded(options: BertScoreOptions, layer: int, texts: Sequence[str]) -> dict[str, Any]:
    """Text -> (tokens, width), each row of length 1."""
    if not texts:
        return {}
    import torch

    tokenizer, model = _model(options)
    lead = _lead(tokenizer)
    found: dict[str, Any] = {}
    for start in range(0, len(texts), BATCH):
        batch = list(texts[start : start + BATCH])
        encoded = tokenizer([lead + text.strip() for text in batch], return_tensors="pt", padding=True, truncation=True)
        with torch.inference_mode():
            states = model(**encoded, output_hidden_states=True).hidden_states
        if layer >= len(states):
            raise HarnessError(f"metric 'bertscore': the model has {len(states) - 1} layers, and not {layer}")
        rows = torch.nn.functional.normalize(states[layer].float(), dim=-1)
        lengths = encoded["attention_mask"].sum(-1).tolist()
        found |= {text: row[:length] for text, row, length in zip(batch, rows, lengths, strict=True)}
    return found


def _lead(tokenizer: Any) -> str:
    """What bert-score puts before a text, for tokenizers to which a word is another one after a space."""
    from transformers import GPT2Tokenizer, RobertaTokenizer

    return " " if isinstance(tokenizer, GPT2Tokenizer | RobertaTokenizer) else ""


@lru_cache(maxsize=1)
def _model(options: BertScoreOptions) -> Any:
    from transformers import AutoModel, AutoTokenizer

    place = location(options.model)
    try:
        tokenizer = AutoTokenizer.from_pretrained(place, revision=options.revision)
        return tokenizer, AutoModel.from_pretrained(place, revision=options.revision).eval()
    except (OSError, ValueError) as e:
        raise HarnessError(f"the model {options.model!r} cannot be loaded: {e}") from e
