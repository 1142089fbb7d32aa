"""People's ratings in the store: how they agree with each other and with the judges, and what they correct."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np
from pydantic import TypeAdapter, ValidationError

from harness.align import VariantScores
from harness.evidence import item_scores, scores_of
from harness.records.inputs import AskInput, StageKey
from harness.records.people import CorrectedMean, Estimate, PeopleReport, RaterAgreement
from harness.records.plan import JudgePlan, Plan
from harness.records.rows import Reply, ReplyRow, Scored
from harness.stats.kappa import Agreed
from harness.stats.kappa import agreement as agree
from harness.stats.prediction import corrected_mean
from harness.store import PEOPLE, Store
from harness.store.files import write_atomically

if TYPE_CHECKING:
    from judges.rubric import Rubric

AnswerKey = tuple[str, str, int]
"""(variant, example, sample) of an answer."""

MOST_LEVELS, FIFTHS = 11, 5
"""A scale of more points is cut into fifths: nobody means one of a hundred."""

RUBRIC = "rubric.json"
"""The file of an object of ratings that holds what was asked."""

RESAMPLES, SEED = 2_000, 0
FEWEST = 2


@dataclass(slots=True)
class Ratings:
    """One rater with one rubric, or one judge: scores on the rubric's scale. `prompt`: digest of what is asked."""

    name: str
    scale: tuple[float, float]
    levels: int
    mode: str
    prompt: str
    scores: dict[AnswerKey, float] = field(default_factory=dict)

    def share(self, key: AnswerKey) -> float:
        """A score brought to 0–1."""
        low, high = self.scale
        return (self.scores[key] - low) / (high - low)


def rated(store: Store) -> Iterator[tuple[StageKey, AskInput]]:
    """Every object of people's ratings, finished or not; one whose spec this version cannot read is left out."""
    for path in sorted(store.root.glob("objects/ask/*/spec.json")):
        try:
            asked = AskInput.model_validate_json(path.read_bytes())
        except ValidationError:
            continue
        if asked.backend == PEOPLE:
            yield StageKey(stage="ask", digest=path.parent.name), asked


def whole_rows(path: Path) -> Iterator[ReplyRow]:
    """The replies of a file that someone may be writing, without a torn last line; none where there is no file."""
    row: TypeAdapter[ReplyRow] = TypeAdapter(ReplyRow)
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return (row.validate_json(line) for line in lines)


def keep_rubric(folder: Path, rubric: Rubric) -> None:
    """Put the rubric beside the ratings that it asked for: it may be a file that no judge of a matrix uses."""
    path = folder / RUBRIC
    if not path.exists():
        write_atomically(path, rubric.model_dump_json(by_alias=True))


def kept_rubric(folder: Path) -> tuple[str, Rubric] | None:
    """(name, rubric) beside some ratings; None where it was never kept."""
    from judges.rubric import Rubric

    path = folder / RUBRIC
    if not path.exists():
        return None
    rubric = Rubric.model_validate_json(path.read_bytes())
    return f"rubric {rubric.prompt_sha256[:8]}", rubric


def ratings(
    plan: Plan, store: Store, left_out: frozenset[str] = frozenset(), against: StageKey | None = None
) -> list[Ratings]:
    """Each rater's scores of the variants' answers, a rater a rubric, by name. Answers that are one text share them.

    `against`: the opponent; ratings of pairs with another one do not count. None: all count.
    """
    from judges.parse import parse
    from judges.ratings import rater_of
    from judges.rubric import known_rubrics, load_rubric

    names = (*known_rubrics(), *(judge.rubric for judge in plan.judges))
    rubrics = {rubric.prompt_sha256: (name, rubric) for name in names for rubric in (load_rubric(name),)}
    variants: defaultdict[str, list[str]] = defaultdict(list)
    for each in plan.variants:
        variants[each.generate.digest].append(each.variant.name)
    found: dict[str, Ratings] = {}
    for key, asked in rated(store):
        known = rubrics.get(asked.prompt_sha256) or kept_rubric(store.folder(key))
        elsewhere = against is not None and asked.against not in (None, against.digest)
        if asked.generations not in variants or known is None or elsewhere:
            continue
        rubric_name, rubric = known
        name, scale = f"{rater_of(asked)} ({rubric_name})", (float(rubric.scale.low), float(rubric.scale.high))
        mine = found.setdefault(name, Ratings(name, scale, rubric.levels, rubric.mode, asked.prompt_sha256))
        for row in whole_rows(store.folder(key) / "rows.jsonl"):
            judgment = parse(row, rubric) if isinstance(row, Reply) else None
            if isinstance(judgment, Scored) and row.example_id not in left_out:
                for variant in variants[asked.generations]:
                    mine.scores[(variant, row.example_id, row.sample)] = judgment.value
    return [found[name] for name in sorted(found) if found[name].scores]


def judge_ratings(judge: JudgePlan, variants: Sequence[VariantScores]) -> Ratings:
    """A judge's scores of the same answers."""
    from judges.rubric import load_rubric

    rubric = load_rubric(judge.rubric)
    scale = (float(rubric.scale.low), float(rubric.scale.high))
    scores = item_scores(judge.name, variants)
    return Ratings(judge.name, scale, rubric.levels, rubric.mode, rubric.prompt_sha256, scores)


def people_report(
    plan: Plan, store: Store, left_out: frozenset[str] = frozenset(), against: StageKey | None = None
) -> PeopleReport | None:
    """What ratings tell of judges and variants; None where nobody has rated. `against`: see `ratings`."""
    people = ratings(plan, store, left_out, against)
    if not people:
        return None
    finished = [each for each in plan.variants if all(store.sealed(key) for key in each.scores.values())]
    variants = [scores_of(each, store, left_out) for each in finished]
    judges = [judge_ratings(judge, variants) for judge in plan.judges]
    pairs = [(*pair, False) for pair in combinations(people, 2)]
    pairs += [(rater, judge, True) for rater in people for judge in judges]
    agreements = (rater_agreement(a, b, judge=judge) for a, b, judge in pairs)
    cells = {each.variant.name: each.variant.cell.name for each in variants}
    return PeopleReport(
        agreement=tuple(each for each in agreements if each is not None),
        corrected=tuple(each for judge in judges for each in corrected(judge, people, cells)),
    )


def rater_agreement(a: Ratings, b: Ratings, *, judge: bool) -> RaterAgreement | None:
    """Over the answers that both have scored; None where there are fewer than two. Of two modes nothing is compared."""
    import krippendorff

    shared = sorted(a.scores.keys() & b.scores.keys())
    if len(shared) < FEWEST or a.mode != b.mode:
        return None
    ours, theirs = (np.asarray([each.share(key) for key in shared]) for each in (a, b))
    names, items = np.unique([key[1] for key in shared], return_inverse=True)
    levels = min(each.levels if each.levels <= MOST_LEVELS else FIFTHS for each in (a, b))
    found = agree(ours, theirs, items, levels, RESAMPLES, np.random.default_rng(SEED))
    both = np.stack([ours, theirs])
    varied = len(np.unique(both)) > 1
    return RaterAgreement(
        a=a.name,
        b=b.name,
        judge=judge,
        n=len(shared),
        items=len(names),
        levels=levels,
        kappa=_estimate(found.kappa),
        weighted=_estimate(found.weighted),
        spearman=_estimate(found.spearman),
        alpha=float(krippendorff.alpha(both, level_of_measurement="interval")) if varied else None,
    )


def _estimate(found: Agreed) -> Estimate | None:
    if math.isnan(found.value):
        return None
    low, high = (None if math.isnan(end) else end for end in (found.low, found.high))
    return Estimate(value=found.value, low=low, high=high)


def corrected(judge: Ratings, people: Sequence[Ratings], cells: Mapping[str, str]) -> Iterator[CorrectedMean]:
    """Each cell's mean by this judge, corrected by the raters who used its rubric. `cells`: variant to cell.

    An answer's label is the mean over its raters, an item's the mean over its rated answers. Raters see items in
    random order, so that those that they got to are a random choice.
    """
    fitting = [
        each for each in people if (each.prompt, each.scale, each.mode) == (judge.prompt, judge.scale, judge.mode)
    ]
    by_cell: defaultdict[str, defaultdict[str, list[AnswerKey]]] = defaultdict(lambda: defaultdict(list))
    for key in judge.scores:
        by_cell[cells[key[0]]][key[1]].append(key)
    for cell, items in by_cell.items():
        labels: dict[str, float] = {}
        there: dict[str, float] = {}
        for item, keys in items.items():
            known = {key: [each.scores[key] for each in fitting if key in each.scores] for key in keys}
            seen = [key for key in keys if known[key]]
            if seen:
                labels[item] = fmean(fmean(known[key]) for key in seen)
                there[item] = fmean(judge.scores[key] for key in seen)
        elsewhere = [fmean(judge.scores[key] for key in keys) for item, keys in items.items() if item not in labels]
        if len(labels) < FEWEST or len(elsewhere) < FEWEST:
            continue
        found = corrected_mean(*(np.asarray(list(each)) for each in (labels.values(), there.values(), elsewhere)))
        raters = {each.name for each in fitting for keys in items.values() for key in keys if key in each.scores}
        yield CorrectedMean(
            judge=judge.name,
            cell=cell,
            items=len(items),
            labels=len(labels),
            raters=len(raters),
            judge_mean=fmean(fmean(judge.scores[key] for key in keys) for keys in items.values()),
            people_mean=fmean(labels.values()),
            corrected=Estimate(value=found.mean, low=found.low, high=found.high),
            weight=found.trust,
            decides=found.decides,
        )
