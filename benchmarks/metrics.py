"""How fast the reference metrics are: `python benchmarks/metrics.py [--pairs N]`. The last line is JSON.

seconds   N pairs (default: a million) through bleu, chrf, rouge1, rouge2 and rougeL, as `harness run` scores them: one
          metric after the other, batches shared out among all processors; detecting languages is timed beside
ratio     the libraries' own plain loop (sacrebleu's sentence_score, rouge-score with all three types at once), in one
          process, on a sample of the same pairs, over ours, a pair; sample and ours alternate
          `ratio_one_process`: against our one process, both in processor time
Responses are references of the data set with words dropped, swapped or taken from other entries, so that no two pairs
are alike. Our values are held against the libraries' on the sample first.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import sys
import time
from importlib.metadata import version
from pathlib import Path

from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF

from harness.metrics import Item, ItemScore, References, load_metric
from harness.metrics.base import Recipe
from harness.metrics.language import languages
from harness.metrics.scoring import score
from harness.stages.scores import usable_cores

NAMES = ("bleu", "chrf", "rouge1", "rouge2", "rougeL")
ENGLISH = References("en", given=True)
SAMPLE, ROUNDS = 4_000, 3


def main() -> None:
    """Measure, print, and end with one JSON line."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--pairs", type=int, default=1_000_000)
    pairs = arguments.parse_args().pairs
    items = make_items(pairs)
    sample = items[:SAMPLE]
    check(sample)
    theirs, own = zip(*((plain_loop(sample), one_process(sample)) for _ in range(ROUNDS)), strict=True)
    plain, single = statistics.median(theirs) / len(sample), statistics.median(own) / len(sample)
    cores = usable_cores()
    before = processor_seconds()
    seconds = {name: scored(name, items, cores) for name in NAMES}
    whole, busy = sum(seconds.values()), processor_seconds() - before
    languages(["the first loads the model"])
    began = time.perf_counter()
    languages([item.references[0] for item in sample])
    detecting = (time.perf_counter() - began) / len(sample) * pairs
    print(", ".join(f"{name} {took:.1f} s" for name, took in seconds.items()), f"({cores} processes)")
    print(f"plain loop {1e6 * plain:.0f} µs a pair (of {len(sample)}), ours {1e6 * single:.0f} µs in one process")
    result = {
        "name": "metrics",
        "ratio": round(plain * pairs / whole, 2),
        "ratio_one_process": round(plain / single, 2),
        "pairs": pairs,
        "seconds": round(whole, 1),
        "seconds_a_million": round(whole / pairs * 1e6, 1),
        "processor_seconds_a_million": round(busy / pairs * 1e6, 1),
        "detecting_languages_s": round(detecting, 1),
        "processes": cores,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": {name: version(name) for name in ("sacrebleu", "rouge-score", "rapidfuzz")},
    }
    print(json.dumps(result))


def make_items(pairs: int) -> list[Item]:
    """Each reference again and again, each time with another response."""
    folder = os.environ.get("HARNESS_DATA_DIR")
    path = Path(folder) / "instruction-data.json" if folder else None
    starter = Path(__file__).parents[1] / "harness" / "data" / "starter-en.jsonl"
    if path and path.exists():
        references = [row["output"] for row in json.loads(path.read_text())]
    else:
        references = [json.loads(line)["output"] for line in starter.read_text(encoding="utf-8").splitlines()]
    draw = random.Random(11)
    vocabulary = [word for text in references for word in text.split()]
    items = []
    for number in range(pairs):
        reference = references[number % len(references)]
        kept = [draw.choice(vocabulary) if draw.random() < 0.25 else word for word in reference.split()]
        items.append(Item(" ".join(word for word in kept if draw.random() > 0.1), (reference,)))
    return items


def plain_loop(items: list[Item]) -> float:
    """Processor seconds of the libraries' own calls, a pair at a time."""
    began = time.process_time()
    bleu, chrf = BLEU(effective_order=True, force=True), CHRF()
    rouge = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)
    for item in items:
        bleu.sentence_score(item.response, [item.references[0]])
        chrf.sentence_score(item.response, [item.references[0]])
        rouge.score(item.references[0], item.response)
    return time.process_time() - began


def one_process(items: list[Item]) -> float:
    """Processor seconds of ours without sharing out."""
    began = time.process_time()
    for name in NAMES:
        load_metric(name, ENGLISH).rows(items)
    return time.process_time() - began


def processor_seconds() -> float:
    """Of this process and its children so far."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def scored(name: str, items: list[Item], processes: int) -> float:
    """Seconds of one metric over all items."""
    began = time.perf_counter()
    score(load_metric(name, ENGLISH), items, Recipe(name, ENGLISH, {}), processes)
    return time.perf_counter() - began


def check(items: list[Item]) -> None:
    """Exits where our figures are not the libraries' own, to the last digit."""
    bleu, chrf = BLEU(effective_order=True, force=True), CHRF()
    rouge = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)
    own = {name: load_metric(name, ENGLISH).rows(items) for name in NAMES}
    for number, item in enumerate(items):
        reference, response = item.references[0], item.response
        expected = {name: 100 * found.fmeasure for name, found in rouge.score(reference, response).items()}
        expected["bleu"] = bleu.sentence_score(response, [reference]).score
        expected["chrf"] = chrf.sentence_score(response, [reference]).score
        for name in NAMES:
            outcome = own[name][number]
            if not isinstance(outcome, ItemScore) or outcome.value != expected[name]:
                sys.exit(f"{name} of {item}: {outcome}, the library has {expected[name]}")


if __name__ == "__main__":
    main()
