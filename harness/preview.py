"""Which tokens of a matrix's training rows would carry loss: shown before anything is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from difflib import get_close_matches
from functools import cache, partial
from itertools import islice
from typing import TYPE_CHECKING

from harness.data.folds import in_fold
from harness.errors import HarnessError
from harness.records.base import digest
from harness.records.data import SplitExample
from harness.records.inputs import DataInput, StageKey, TrainInput
from harness.records.masks import MaskPreview
from harness.records.plan import Plan, VariantPlan
from harness.resolved import Resolved
from harness.store import Store

if TYPE_CHECKING:
    from trainers.lengths import Counter


def chosen(plan: Plan, name: str | None) -> list[VariantPlan]:
    """The variant or cell of that name (or of a part that fits one cell only), its first seed; without a name one
    variant a trained cell.

    Raises HarnessError for an unknown name and for an untuned model, which has no mask.
    """
    trained = {each.variant.cell.name: each for each in reversed(plan.variants) if each.train is not None}
    if name is None and trained:
        return list(reversed(trained.values()))
    found = [each for each in plan.variants if name in (each.variant.name, each.variant.cell.name)]
    partly = [each for each in plan.variants if name and name in each.variant.name]
    if not found and len({each.variant.cell for each in partly}) == 1:
        found = partly
    if found and found[0].train is not None:
        return found[:1]
    names = [each.variant.name for each in plan.variants if each.train is not None]
    near = get_close_matches(name or "", names, n=1, cutoff=0.5)
    raise HarnessError(
        "trains no variant" if not names else
        f"variant {name!r} is not trained" if found else
        f"no variant {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
        where=f"matrix {plan.matrix!r}",
        hint="trained variants: " + (", ".join(names) or "none"),
    )  # fmt: skip


def previews(
    plan: Plan, resolved: Resolved, store: Store, variants: list[VariantPlan], rows: int
) -> Iterator[tuple[VariantPlan, MaskPreview]]:
    """The masks of the first `rows` rows that each variant is trained on; each tokenizer is loaded once."""
    from trainers.lengths import token_limit
    from trainers.mask_preview import preview_of
    from trainers.models import LoadedModel
    from trainers.rows import encode_examples, mask_policy

    inputs = {stage.key: stage.input for stage in plan.stages}
    counter = cache(partial(counter_of, resolved, store))
    split = kept_rows(plan, resolved, store, counter)
    for each in variants:
        style, input = resolved.styles[each.variant.prompt_style], inputs[each.train] if each.train else None
        assert isinstance(input, TrainInput)  # noqa: S101 - `chosen` gives trained variants only
        counted: Counter = counter(input.base)
        settings, policy = input.settings, mask_policy(input)
        limit = token_limit(counted, style, settings.max_length)
        fits = (row for row in trained(split, each) if limit.tokens(row.example) <= limit.longest)
        wanted = fits if settings.truncate == "drop" else trained(split, each)
        first = [*islice(wanted, rows)] or [*islice(trained(split, each), rows)]  # of which it is said why none is left
        base = LoadedModel(None, counted.tokenizer, counted.context)
        encoded = encode_examples(base, first, style, policy, settings.max_length, settings.truncate)
        yield each, preview_of(base.tokenizer, encoded, style, policy, rows)


def trained(split: Iterable[SplitExample], variant: VariantPlan) -> Iterator[SplitExample]:
    """The rows that this variant is trained on, unless they are too long."""
    return (row for row in in_fold(split, variant.variant.fold) if row.split == "train")


def kept_rows(
    plan: Plan, resolved: Resolved, store: Store, counter: Callable[[str], Counter]
) -> Iterable[SplitExample]:
    """The split as a run seals it: as it was sealed, or without what the audit is to drop."""
    from harness.data.audit import Kept, to_drop
    from harness.stages.workshop import SealedSplit
    from trainers.lengths import token_limits

    if store.sealed(plan.data) is not None:
        return SealedSplit(store, plan.data.digest)
    given = next(stage.input for stage in plan.stages if stage.key == plan.data)
    dropping = given.dropping if isinstance(given, DataInput) else None
    if dropping is None:
        return resolved.data
    styles = {style.sha256: style for style in resolved.styles.values()}
    limits = list(token_limits(dropping.limits, dropping.answering, counter, styles.__getitem__))
    return Kept(resolved.data, to_drop(resolved.data, dropping.kinds, dropping.similarity or 1.0, limits))


def counter_of(resolved: Resolved, store: Store, base: str) -> Counter:
    """The tokenizer of the base model with this digest, where it is quickest to read: converted, or as it came."""
    from trainers.lengths import Counter
    from trainers.models import load_tokenizer, locate, read_tokenizer

    model = next(model for model in resolved.models.values() if digest(model.input) == base)
    trusted, key = model.input.trust_remote_code, StageKey(stage="base", digest=base)
    if store.sealed(key) is not None:  # far quicker than a GGUF file
        return Counter(model.name, *load_tokenizer(store.weights(key), trust_remote_code=trusted))
    return Counter(model.name, *read_tokenizer(locate(model.name, trust_remote_code=trusted)))
