"""What people's ratings say, as tables: how judges agree with people, and means that people's ratings correct."""

from __future__ import annotations

from collections.abc import Mapping

from harness.records.people import Estimate, PeopleReport
from reports.sections import Section
from reports.wording import NONE, figure


def people_sections(people: PeopleReport | None, cells: Mapping[str, str] | None = None) -> list[Section]:
    """Two tables at most. `cells`: how a cell's name is shown."""
    if people is None:
        return []
    names = cells or {}
    found = []
    if people.agreement:
        found.append(
            Section(
                "Do judges agree with people?",
                ("who", "answers", "Cohen's κ", "weighted κ", "Spearman", "Krippendorff's α"),
                tuple(
                    (
                        f"{'judge ' if each.judge else ''}{each.b} with {each.a}",
                        f"{each.n} ({each.items} items)",
                        estimate(each.kappa),
                        estimate(each.weighted),
                        estimate(each.spearman),
                        figure(each.alpha, 2),
                    )
                    for each in sorted(people.agreement, key=lambda each: not each.judge)
                ),
                (
                    "κ is over the grades of the coarser scale (fifths of a long one), weighted by the square of the "
                    "distance; [95 % intervals over items]. 1 is full agreement, 0 what chance gives.",
                ),
            )
        )
    if people.corrected:
        found.append(
            Section(
                "Means corrected by people's ratings",
                (
                    "judge and cell",
                    "judge's mean",
                    "people's mean",
                    "corrected [95 %]",
                    "rated items",
                    "judge's weight",
                ),
                tuple(
                    (
                        f"{each.judge}: {names.get(each.cell, each.cell)}",
                        figure(each.judge_mean, 2),
                        figure(each.people_mean, 2),
                        estimate(each.corrected) + ("" if each.decides else " *"),
                        f"{each.labels} of {each.items}",
                        figure(each.weight, 2),
                    )
                    for each in people.corrected
                ),
                (
                    "What people would say of all items, from the judge's verdicts on all of them and people's on some "
                    "(prediction-powered inference, PPI++: Angelopoulos, Duchi and Zrnic 2024).",
                    *(
                        ["* fewer than 30 rated items: too few for this interval to be relied on."]
                        if any(not each.decides for each in people.corrected)
                        else []
                    ),
                ),
            )
        )
    return found


def estimate(found: Estimate | None) -> str:
    """`0.61 [0.42, 0.77]`."""
    if found is None:
        return NONE
    if found.low is None or found.high is None:
        return figure(found.value, 2)
    return f"{figure(found.value, 2)} [{figure(found.low, 2)}, {figure(found.high, 2)}]"
