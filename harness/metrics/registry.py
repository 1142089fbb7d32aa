"""The metrics that there are: ours, those of installed packages, and a user's `module:attribute`."""

from __future__ import annotations

import hashlib
import inspect
import re
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import lru_cache, partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, cast

from harness.errors import HarnessError, trouble_at, trouble_inside
from harness.metrics.base import Item, ItemScore, Metric, NoScore, Options, Outcome, References
from harness.metrics.function import FunctionMetric, finite

GROUP = "sft_harness.metrics"
BUILT_IN = {
    "bleu": "harness.metrics.bleu:Bleu",
    "chrf": "harness.metrics.chrf:Chrf",
    "chrf++": "harness.metrics.chrf:ChrfPlusPlus",
    "ter": "harness.metrics.ter:Ter",
    "rouge1": "harness.metrics.rouge:Rouge1",
    "rouge2": "harness.metrics.rouge:Rouge2",
    "rougeL": "harness.metrics.rouge:RougeL",
    "rougeLsum": "harness.metrics.rouge:RougeLsum",
    "exact_match": "harness.metrics.exact_match:ExactMatch",
    "exact_match_raw": "harness.metrics.exact_match:ExactMatchRaw",
    "token_f1": "harness.metrics.token_f1:TokenF1",
    "edit_similarity": "harness.metrics.edit_similarity:EditSimilarity",
    "length_ratio": "harness.metrics.length_ratio:LengthRatio",
    "distinct_1": "harness.metrics.distinct:Distinct1",
    "distinct_2": "harness.metrics.distinct:Distinct2",
    "bertscore": "harness.metrics.bertscore:BertScore",
    "bits_per_byte": "harness.metrics.bits_per_byte:BitsPerByte",
    "semantic_similarity": "harness.metrics.semantic_similarity:SemanticSimilarity",
}
"""Ours, so that they are found in a checkout that is not installed."""


@lru_cache(maxsize=1)
def known_metrics() -> tuple[str, ...]:
    """Names that `load_metric` takes besides `module:attribute`: ours, and those of installed packages."""
    return (*BUILT_IN, *sorted({point.name for point in entry_points(group=GROUP)} - BUILT_IN.keys()))


def load_metric(name: str, references: References | None = None, options: Options | None = None) -> Metric:
    """The metric of that name: one of `known_metrics`, or `module:attribute`, a class or a function of the user's own.

    Raises:
        HarnessError: a name that is not known (with the nearest one that is), a module that cannot be imported, an
            option that the metric does not know.
        MissingExtra: the metric's package is not installed.

    """
    references, options = references or References(), options or {}
    if name in BUILT_IN:
        made: Metric = _imported(EntryPoint(name, BUILT_IN[name], GROUP))(references, options)
        return made
    if ":" in name:
        point = EntryPoint(name, name, GROUP)
    else:
        found = tuple(entry_points(group=GROUP, name=name))
        if not found:
            raise _unknown(name)
        point = found[0]
    return _users(point, references, options)


def _users(point: EntryPoint, references: References, options: Options) -> Metric:
    """A metric that is not ours; its source is part of its signature, so that an edit scores everything again."""
    loaded = _imported(point)
    if not isinstance(loaded, type):
        if not callable(loaded):
            raise HarnessError(f"{point.value} is neither a class nor a function", hint="docs/metrics.md shows both")
        return _guarded(FunctionMetric(loaded, point.value, _source(loaded, point), options), point.value)
    try:
        return _held_to_contract(loaded(references, options), point, _source(loaded, point))
    except HarnessError:
        raise
    except Exception as e:  # a class of a user's own may raise anything
        raise HarnessError(f"metric {point.value} cannot be set up: {trouble_at(e)}", hint="docs/metrics.md") from e


def _held_to_contract(metric: Any, point: EntryPoint, source: str) -> Metric:
    """The metric, with its source in its signature. Raises HarnessError where something is lacking."""
    lacking = [
        each
        for each in ("name", "label", "unit", "corpus", "higher_is_better", "signature", "rows", "corpus_score")
        if not hasattr(metric, each)
    ]
    if lacking:
        raise HarnessError(f"{point.value} is no metric: it lacks {', '.join(lacking)}", hint="docs/metrics.md")
    own = metric.signature()
    metric.signature = lambda: f"{point.value}|source:{source}|{own}"
    return _guarded(metric, point.value)


def _guarded(metric: Any, place: str) -> Metric:
    """The metric; what it raises or gives in another shape while it scores is told with its place."""
    own = metric.rows
    rows = _told(lambda items: list(own(items)), place)  # a generator raises once it is read

    def checked(items: Sequence[Item]) -> list[Outcome]:
        found: list[Outcome] = rows(items)
        for each in found:
            if not isinstance(each, NoScore) and not (isinstance(each, ItemScore) and finite(each.value)):
                raise HarnessError(
                    f"metric {place} gives {each!r} as an outcome",
                    hint="rows() gives an ItemScore with a finite number, or a NoScore, for each item",
                )
        return found

    metric.rows, metric.corpus_score = checked, _told(metric.corpus_score, place)
    return cast(Metric, metric)


def _told(call: Callable[..., Any], place: str) -> Callable[..., Any]:
    def guarded(*given: Any) -> Any:
        try:
            return call(*given)
        except HarnessError:
            raise
        except Exception as e:  # a metric of a user's own may raise anything
            raise HarnessError(f"metric {place} broke off: {trouble_at(e)}", hint="docs/metrics.md") from e

    return guarded


def _source(of: Any, point: EntryPoint) -> str:
    """The first 12 hex digits of the sha256 of the files that define and name it; `unknown` where there are none."""
    inner = inspect.unwrap(of.func if isinstance(of, partial) else of)
    defined = inner if inspect.isroutine(inner) or inspect.isclass(inner) else type(inner)
    places = (sys.modules[point.module], of, defined)
    files = dict.fromkeys(path for place in places if (path := _file(place)) is not None)
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12] if files else "unknown"


def _file(of: Any) -> Path | None:
    """Where a module, class or function stands; None for another thing, and for what has no file."""
    try:
        path = Path(inspect.getfile(of))
    except (TypeError, OSError):
        return None
    return path if path.is_file() else None


def _imported(point: EntryPoint) -> Any:
    try:
        return point.load()
    except Exception as e:  # a module of a user's own may raise anything
        inside = trouble_inside(e)
        raise HarnessError(
            f"metric {point.name!r} cannot be imported from {point.value}: {inside or e}",
            hint=None if inside else "module:attribute, where the module is installed or its folder is in PYTHONPATH",
        ) from e


def _unknown(name: str) -> HarnessError:
    by_plain = {_plain(known): known for known in known_metrics()}
    near = get_close_matches(_plain(name), by_plain, n=1)
    said = f"; did you mean {by_plain[near[0]]!r}?" if near else ""
    return HarnessError(f"unknown metric {name!r}{said}", hint="known: " + ", ".join(known_metrics()))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9+]", "", name.lower())
