"""The split, its audit, and base models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

from harness.data.split import PARTS, check_folds, check_parts
from harness.errors import ModelError
from harness.records.base import digest
from harness.records.data import SplitExample, SplitName
from harness.records.inputs import (
    Answering,
    AuditInput,
    BaseInput,
    DataInput,
    RowLimits,
    StageKey,
)
from harness.records.seal import AuditFacts, DataFacts
from harness.records.settings import AuditKind
from harness.store import ObjectWriter

if TYPE_CHECKING:
    from harness.data.audit import TokenLimit

from harness.stages.workshop import SealedSplit, Workshop


def make_data(workshop: Workshop, given: DataInput, writer: ObjectWriter) -> DataFacts:
    """Write the split, without what the audit is to drop.

    Raises DataError where a part loses all its entries, and where a source has changed since it was planned.
    """
    data = workshop.resolved.data
    dropped: dict[int, AuditKind] = {}
    if given.dropping is not None:
        from harness.data.audit import to_drop

        limits = token_limits(workshop, given.dropping.limits, given.dropping.answering)
        dropped = to_drop(data, given.dropping.kinds, given.dropping.similarity or 1.0, limits)
    counts: dict[SplitName, int] = dict.fromkeys(PARTS, 0)
    folds: dict[int, int] = dict.fromkeys(data.folded, 0)

    def kept() -> Iterator[SplitExample]:
        for number, row in enumerate(data):
            if number not in dropped:
                counts[row.split] += 1
                if row.fold is not None:
                    folds[row.fold] += 1
                yield row

    writer.replace_rows(kept())
    for source in data.sources:
        source.raise_if_changed()
    if folds:
        check_folds(len(data.codes), folds)
    else:
        check_parts(len(data.codes), counts)
    more = (f"and {data.bad_rows - len(data.rejected)} more",) if data.bad_rows > len(data.rejected) else ()
    return DataFacts(
        parts=counts, folds=folds, bad_rows=(*data.rejected, *more), dropped=dict(Counter(dropped.values()))
    )


def make_audit(workshop: Workshop, given: AuditInput, writer: ObjectWriter) -> AuditFacts:
    """Examine the sealed split. Raises DataError for a finding that the matrix forbids."""
    from harness.data.audit import audit
    from harness.data.audit_summary import raise_if_forbidden, summarise

    seal = workshop.store.sealed(StageKey(stage="data", digest=given.data))
    assert seal is not None and isinstance(seal.facts, DataFacts)  # noqa: S101 - made before its audit
    limits = token_limits(workshop, given, given.answering)
    found = audit(SealedSplit(workshop.store, given.data), given.settings, limits)
    raise_if_forbidden(found, given.settings)
    summary = summarise(found, seal.facts.dropped, workshop.resolved.data.bad_rows)
    writer.replace_rows(found.findings)
    return AuditFacts(summary=summary)


def token_limits(workshop: Workshop, given: RowLimits | None, answering: Answering | None) -> list[TokenLimit]:
    """How many tokens training and answering take, and how a row's are counted: for each model and prompt style."""
    from trainers import lengths
    from trainers.models import load_tokenizer

    @cache
    def counter(base: str) -> lengths.Counter:
        weights = workshop.store.weights(StageKey(stage="base", digest=base))
        model = next(model.name for model in workshop.resolved.models.values() if digest(model.input) == base)
        return lengths.Counter(model, *load_tokenizer(weights, trust_remote_code=workshop.trusts_code(base)))

    return list(lengths.token_limits(given, answering, counter, workshop.style))


def make_base(workshop: Workshop, base: BaseInput, writer: ObjectWriter) -> None:
    """Convert a base model into safetensors, once. Raises ModelError where it has changed since it was planned."""
    from trainers.models import convert, locate

    name = next(model.name for model in workshop.resolved.models.values() if model.input == base)
    found = locate(name, trust_remote_code=base.trust_remote_code)
    if found.identity != base.identity:
        raise ModelError("has changed since this run began", where=name, hint="run again")
    convert(found, writer.weights)
