"""An audit in a few figures and sentences, and whether it lets a run go on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from harness.data.audit import Audit
from harness.data.language import UNCLEAR
from harness.errors import DataError
from harness.records.data import AuditFinding, AuditSummary, Place
from harness.records.settings import AuditKind, AuditSettings

KINDS: dict[AuditKind, tuple[str, str]] = {
    "repeats": ("entry repeats an earlier prompt", "entries repeat an earlier prompt"),
    "near_repeats": ("entry nearly repeats an earlier prompt", "entries nearly repeat an earlier prompt"),
    "leaks": ("entry held out from training stands in train", "entries held out from training stand in train"),
    "near_leaks": (
        "entry held out from training nearly stands in train", "entries held out from training nearly stand in train",
    ),
    "echoes": ("output repeats its instruction or input", "outputs repeat their instruction or input"),
    "identical_outputs": ("entry shares its output", "entries share their output with many others"),
    "length_outliers": ("entry is far from the usual length", "entries are far from the usual length"),
    "languages": ("entry is in another language than most", "entries are in another language than most"),
    "truncated": ("entry is longer than training takes", "entries are longer than training takes"),
    "no_room": ("test prompt leaves no room for its answer", "test prompts leave no room for their answers"),
}  # fmt: skip
"""What a kind of finding says of one entry, and of several."""
ROOM = "; room is made by a lower generate.max_new_tokens, or a model with a longer context"
NAMED, OTHERS_NAMED = 10, 3
"""Places that a sentence or an error names; other entries of a finding."""


def summarise(audit: Audit, dropped: Mapping[AuditKind, int], bad_rows: int) -> AuditSummary:
    """The audit for reports; `dropped` and `bad_rows`: what was left out before."""
    found: Counter[AuditKind] = Counter()
    for finding in audit.findings:
        found[finding.kind] += finding.entries
    leaked = {
        finding.place.example_id: None
        for finding in audit.findings
        if finding.kind in ("leaks", "near_leaks") and finding.place.split == "test"
    }
    summary = AuditSummary(
        found=dict(found), dropped=dict(dropped), bad_rows=bad_rows, leaked=tuple(leaked), languages=audit.languages
    )
    return summary.model_copy(update={"sentences": tuple(sentences(audit, summary))})


def sentences(audit: Audit, summary: AuditSummary) -> list[str]:
    """Each kind of finding, what was left out, and the languages where there are several."""
    said = [
        counted(kind, summary.found[kind]) + where([f for f in audit.findings if f.kind == kind]) + "."
        for kind in KINDS
        if kind in summary.found
    ]
    left_out = [f"{counted(kind, n)}: left out" for kind, n in summary.dropped.items()]
    if summary.bad_rows:
        left_out.append(f"{summary.bad_rows} broken row{'s' if summary.bad_rows > 1 else ''}: left out")
    several = len(summary.languages.keys() - {UNCLEAR}) > 1
    mix = ", ".join(f"{code} {n}" for code, n in summary.languages.items())
    return [*said, *(f"{text}." for text in left_out), *([f"Languages: {mix}."] if several else [])]


def counted(kind: AuditKind, n: int) -> str:
    """`2 entries repeat an earlier prompt`."""
    return f"{n} {KINDS[kind][n != 1]}"


def where(findings: Sequence[AuditFinding]) -> str:
    """` (test 40, 99; train 7)`: positions in the parts, counted from 0."""
    by_part: dict[str, list[str]] = {}
    for finding in findings[:NAMED]:
        by_part.setdefault(finding.place.split, []).append(str(finding.place.position))
    named = "; ".join(f"{part} {', '.join(positions)}" for part, positions in by_part.items())
    return f" ({named}{', …' if len(findings) > NAMED else ''})"


def line_of(finding: AuditFinding) -> str:
    """`test 40 (row 975) = train 355 (row 355): Generate a sentence …`."""
    others = ", ".join(spot(other) for other in finding.others[:OTHERS_NAMED])
    more = max(finding.n_others, len(finding.others)) - OTHERS_NAMED
    others += f" and {more} more" if more > 0 else ""
    sign = f" ~ {finding.similarity:.3f} " if finding.similarity is not None else " = "
    return spot(finding.place) + (f"{sign}{others}" if others else "") + f": {finding.detail}"


def spot(place: Place) -> str:
    """`test 40 (row 975)`, both counted from 0."""
    return f"{place.split} {place.position} (row {place.index})"


def raise_if_forbidden(audit: Audit, settings: AuditSettings) -> None:
    """Raises DataError, with the first entries, for what the matrix says must not be found."""
    said, forbidden = [], [kind for kind, action in settings.actions().items() if action == "fail"]
    for kind in forbidden:
        found = [finding for finding in audit.findings if finding.kind == kind]
        if found:
            said.append(f"audit.{kind}: {counted(kind, sum(finding.entries for finding in found))}")
            said += [f"  {line_of(finding)}" for finding in found[:NAMED]]
            said += [f"  … and {len(found) - NAMED} more"] if len(found) > NAMED else []
    if said:
        raise DataError(
            "the data audit forbids this run:\n" + "\n".join(said),
            hint="`harness data audit MATRIX` names all entries; mend the data, or let audit drop or report them"
            + (ROOM if any(finding.kind == "no_room" for finding in audit.findings) else ""),
        )
