"""How fast the statistics are: `python benchmarks/stats.py`. The last line is JSON.

all_pairs_s   all 4,950 pairs of 100 variants on 1,000 items with 10,000 resamples, on a per-item measure (sign-flip,
              bootstrap percentile, BCa and t, Wilcoxon, crossed t) and on BLEU (swap test, paired bootstrap), together
ratio         paired bootstrap of BLEU, a baseline and five systems on 1,000 segments, 1,000 resamples: sacrebleu's own
              time over ours, alternated in this process. Both start from the same counts of n-grams and end with each
              system's score and interval, and a p-value a system. `ratio_cpu`: of processor time (sacrebleu uses one
              core for it, we use all there are); `ratio_two_systems`: the same with one system
"""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import combinations
from typing import Any, TypeVar

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the command line does; read when numpy is imported

import numpy as np
from sacrebleu.metrics import BLEU
from sacrebleu.significance import PairedTest

from harness.align import Aligned
from harness.contrast import Testing, contrast_all, measured
from harness.metrics import Item, load_metric
from harness.records.result import MeasureInfo
from harness.stats.bootstrap import percentile_interval
from harness.stats.components import Replicates
from harness.stats.corpus import CorpusPanel, CorpusScore, corpus_moments
from harness.stats.panel import FloatArray, Panel

T = TypeVar("T")
VARIANTS, ITEMS, RESAMPLES = 100, 1_000, 10_000
ROUNDS = 3


def main() -> None:
    """Measure, print, and end with one JSON line."""
    began = time.process_time()
    per_item, corpus = all_pairs()
    cpu = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    ratios = {}
    for systems in (6, 2):
        theirs, ours = zip(*(paired_bleu(systems, round_) for round_ in range(ROUNDS)), strict=True)
        for clock in ("wall", "cpu"):
            a, b = ([getattr(each, clock) for each in side] for side in (theirs, ours))
            ratios[systems, clock] = statistics.median(a) / statistics.median(b)
            print(
                f"BLEU, {systems} systems, {clock}: sacrebleu {spread(a)} s, ours {spread(b)} s, "
                f"{ratios[systems, clock]:.0f} times"
            )
    print(
        f"all pairs: {per_item:.2f} s per item, {corpus:.2f} s BLEU ({cpu:.2f} s of processor time); peak {peak:.0f} MB"
    )
    result = {
        "name": "stats",
        "ratio": round(ratios[6, "wall"], 1),
        "ratio_cpu": round(ratios[6, "cpu"], 1),
        "ratio_two_systems": round(ratios[2, "wall"], 1),
        "all_pairs_s": round(per_item + corpus, 2),
        "per_item_s": round(per_item, 2),
        "corpus_s": round(corpus, 2),
        "all_pairs_cpu_s": round(cpu, 2),
        "peak_mb": round(peak),
        "machine": f"{platform.machine()}, {platform.system()}",
        "versions": {"python": platform.python_version()} | {p: version(p) for p in ("numpy", "scipy", "sacrebleu")},
    }
    print(json.dumps(result))


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds of one contestant in one round."""

    wall: float
    cpu: float


def timed(work: Callable[[], T]) -> tuple[Took, T]:
    """What `work` took and returned."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return Took(time.perf_counter() - wall, time.process_time() - cpu), result


class CountedBleu(BLEU):
    """sacrebleu's BLEU that counts the n-grams of a text once, so that counting can be done before the clock runs."""

    def _extract_corpus_statistics(self, hypotheses: Sequence[str], references: Any) -> Any:
        counted: dict[tuple[str, ...], Any] = self.__dict__.setdefault("counted", {})
        key = tuple(hypotheses)
        if key not in counted:
            counted[key] = super()._extract_corpus_statistics(hypotheses, references)
        return counted[key]


def spread(seconds: Sequence[float]) -> str:
    """Smallest, median and largest."""
    return f"{min(seconds):.3f}/{statistics.median(seconds):.3f}/{max(seconds):.3f}"


def all_pairs() -> tuple[float, float]:
    """Seconds for a per-item measure and for BLEU."""
    draw = np.random.default_rng(0)
    ones = np.ones((VARIANTS, 1, ITEMS), dtype=np.bool_)
    scores = 5 * np.round(np.clip(draw.normal(60, 20, ITEMS) + draw.normal(0, 15, (VARIANTS, 1, ITEMS)), 0, 100) / 5)
    panel = Panel(scores, ones, np.ones(VARIANTS, dtype=np.bool_))
    counts = CorpusPanel(bleu_counts(draw), ones[:, :, 0], panel.seeded, ITEMS)
    found = []
    for corpus in (None, counts):
        name = "judge" if corpus is None else "bleu"
        info = MeasureInfo(
            name=name, label=name, kind="metric", unit="0–100", corpus=corpus is not None, signature="", primary=True
        )
        items = tuple(f"i{i}" for i in range(ITEMS))
        none_lost = np.zeros(VARIANTS, dtype=np.int64)
        aligned = Aligned(items, panel, corpus, none_lost, ((),) * VARIANTS, Replicates(None, 1.0, None, 1.0))
        began = time.perf_counter()
        measure = measured(info, aligned, load_metric("bleu").corpus_score, Testing(permutations=RESAMPLES))
        contrasts = contrast_all(measure, [[pair] for pair in combinations(range(VARIANTS), 2)])
        found.append(time.perf_counter() - began)
        if len(contrasts) != VARIANTS * (VARIANTS - 1) // 2:
            sys.exit("some pairs are missing")
    return found[0], found[1]


def bleu_counts(draw: np.random.Generator) -> FloatArray:
    """(C, 1, n, 10): plausible n-gram counts of systems that are about equally good."""
    reference = draw.integers(8, 40, ITEMS)
    length = np.maximum(reference + draw.integers(-4, 5, (VARIANTS, ITEMS)), 4)
    totals = np.stack([length - order for order in range(4)], axis=-1)
    matches = draw.binomial(totals, (0.6, 0.4, 0.3, 0.2))
    both = np.stack([length, np.broadcast_to(reference, length.shape)], axis=-1)
    return np.concatenate([both, matches, totals], axis=-1)[:, None].astype(np.float64)


def paired_bleu(number: int, round_: int) -> tuple[Took, Took]:
    """Times of sacrebleu's paired bootstrap, and of ours, of the same systems with 1,000 resamples."""
    draw = np.random.default_rng(round_)
    words = np.array([f"w{i}" for i in range(500)])
    references = [words[draw.integers(0, 500, n)] for n in draw.integers(8, 40, ITEMS)]

    def spoiled(share: float) -> list[str]:
        return [
            " ".join(np.where(draw.random(len(text)) < share, draw.choice(words, len(text)), text))
            for text in references
        ]

    systems = [(f"s{i}", spoiled(0.30 + 0.01 * i)) for i in range(number)]
    plain = [" ".join(text) for text in references]
    counted = CountedBleu(references=[plain])
    for _, texts in systems:
        counted._extract_corpus_statistics(texts, None)
    metric = load_metric("bleu")
    counts = np.array(
        [
            [[row for _, row in metric.rows([Item(text, (own,)) for text, own in zip(texts, plain, strict=True)])]]
            for _, texts in systems
        ]
    )
    panel = CorpusPanel(counts, np.ones((number, 1), dtype=np.bool_), np.ones(number, dtype=np.bool_), ITEMS)
    theirs, (_, scores) = timed(
        lambda: PairedTest(systems, {"BLEU": counted}, references=None, test_type="bs", n_samples=1000)()
    )
    ours, (means, intervals, p) = timed(lambda: our_bootstrap(panel, metric.corpus_score))
    same = [abs(float(each.score) - mean) < 1e-9 for each, mean in zip(scores["BLEU"], means, strict=True)]
    close = [abs(float(each.p_value) - own) < 0.05 for each, own in zip(scores["BLEU"][1:], p, strict=True)]
    if not all(same + close) or not np.isfinite(intervals).all():
        sys.exit("the two do not measure the same")
    return theirs, ours


def our_bootstrap(panel: CorpusPanel, score: CorpusScore) -> tuple[FloatArray, FloatArray, FloatArray]:
    """What sacrebleu's test gives: each system's score, its interval, and a p-value (Koehn 2004) against the first."""
    moments = corpus_moments(panel, score, 1000, np.random.default_rng(12345))
    number = len(moments.means)
    intervals = percentile_interval(np.eye(number), moments.draw_means)
    apart = np.abs(moments.draw_means[:, 1:] - moments.draw_means[:, :1])
    reached = apart - apart.mean(axis=0) >= np.abs(moments.means[1:] - moments.means[0])
    return moments.means, intervals, (reached.sum(axis=0) + 1) / (len(apart) + 1)


if __name__ == "__main__":
    main()
