"""Reference metrics: a value per item, sufficient statistics, a signature."""

from harness.metrics.base import (
    ItemScore,
    Language,
    Metric,
    Pair,
    detect_language,
    known_metrics,
    load_metric,
)

__all__ = ["ItemScore", "Language", "Metric", "Pair", "detect_language", "known_metrics", "load_metric"]
