"""People's ratings in the store: whose there are, and how far they agree with each other and with the judges."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

from pydantic import TypeAdapter

from harness.evidence import item_scores, scores_of
from harness.records.inputs import AskInput, StageKey
from harness.records.plan import Plan
from harness.records.result import JudgeAgreement
from harness.records.rows import Reply, ReplyRow, Scored
from harness.store import PEOPLE, Store

Scores = dict[tuple[str, str, int], float]
"""By (variant, example, sample)."""


def rated(store: Store) -> Iterator[tuple[StageKey, AskInput]]:
    """Every object of people's ratings, finished or not."""
    for path in sorted(store.root.glob("objects/ask/*/spec.json")):
        asked = AskInput.model_validate_json(path.read_bytes())
        if asked.backend == PEOPLE:
            yield StageKey(stage="ask", digest=path.parent.name), asked


def whole_rows(path: Path) -> Iterator[ReplyRow]:
    """The replies of a file that someone may be writing, without a torn last line; none where there is no file."""
    row: TypeAdapter[ReplyRow] = TypeAdapter(ReplyRow)
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return (row.validate_json(line) for line in lines)


def ratings(plan: Plan, store: Store) -> dict[str, tuple[Scores, tuple[float, float]]]:
    """Each rater's scores of the variants' answers, and the ends of the scale; a rater a rubric."""
    from judges.parse import parse
    from judges.ratings import rater_of
    from judges.rubric import known_rubrics, load_rubric

    names = (*known_rubrics(), *(judge.rubric for judge in plan.judges))
    rubrics = {rubric.prompt_sha256: (name, rubric) for name in names for rubric in (load_rubric(name),)}
    variants = {each.generate.digest: each.variant.name for each in plan.variants}
    found: dict[str, tuple[Scores, tuple[float, float]]] = {}
    for key, asked in rated(store):
        if asked.generations not in variants or asked.prompt_sha256 not in rubrics:
            continue
        name, rubric = rubrics[asked.prompt_sha256]
        scores, _ = found.setdefault(
            f"{rater_of(asked)} ({name})", ({}, (float(rubric.scale.low), float(rubric.scale.high)))
        )
        for row in whole_rows(store.folder(key) / "rows.jsonl"):
            judgment = parse(row, rubric) if isinstance(row, Reply) else None
            if isinstance(judgment, Scored):
                scores[(variants[asked.generations], row.example_id, row.sample)] = judgment.value
    return {name: found[name] for name in sorted(found) if found[name][0]}


def agreements_with_people(plan: Plan, store: Store) -> list[JudgeAgreement]:
    """Raters with each other, and each with every judge, over the answers that both have scored."""
    from judges.measures import agreement
    from judges.rubric import load_rubric

    people = ratings(plan, store)
    finished = [each for each in plan.variants if all(store.sealed(key) for key in each.scores.values())]
    variants = [scores_of(each, store, frozenset()) for each in finished]
    scores: dict[str, Scores] = {name: each[0] for name, each in people.items()}
    scales = {name: each[1] for name, each in people.items()}
    for judge in plan.judges:
        scale = load_rubric(judge.rubric).scale
        scores[judge.name] = item_scores(judge.name, variants)
        scales[judge.name] = (float(scale.low), float(scale.high))
    judges = [judge.name for judge in plan.judges]
    pairs = [*combinations(people, 2), *((rater, judge) for rater in people for judge in judges)]
    found = (agreement(a, b, scores, scales) for a, b in pairs)
    return [each for each in found if each is not None]
