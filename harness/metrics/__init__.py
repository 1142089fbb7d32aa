"""Reference metrics: a value per item, sufficient statistics, a signature."""

from harness.metrics.base import (
    FloatArray,
    ItemScore,
    Language,
    Metric,
    Pair,
    detect_language,
    known_metrics,
    load_metric,
)

__all__ = ["FloatArray", "ItemScore", "Language", "Metric", "Pair", "detect_language", "known_metrics", "load_metric"]
