"""Reference metrics: a value per item, sufficient statistics, a signature."""

from harness.metrics.base import Item, ItemScore, Metric, NoScore, References
from harness.metrics.registry import known_metrics, load_metric

__all__ = ["Item", "ItemScore", "Metric", "NoScore", "References", "known_metrics", "load_metric"]
