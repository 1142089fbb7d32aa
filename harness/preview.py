"""Which tokens of a matrix's training rows would carry loss: shown before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from itertools import islice

from harness.data.folds import in_fold
from harness.errors import HarnessError
from harness.records.inputs import TrainInput
from harness.records.masks import MaskPreview
from harness.records.plan import Plan, VariantPlan
from harness.resolved import Resolved
from harness.store import Store


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
    """The masks of the first `rows` training rows of each variant; each tokenizer is loaded once."""
    from trainers.mask_preview import preview_of
    from trainers.models import LoadedModel, load_tokenizer, locate, read_tokenizer
    from trainers.rows import encode_examples, mask_policy

    inputs = {stage.key: stage.input for stage in plan.stages if isinstance(stage.input, TrainInput)}
    loaded: dict[str, LoadedModel] = {}
    for each in variants:
        model = resolved.models[each.variant.model]
        if model.name not in loaded:
            trusted = model.input.trust_remote_code
            # converted already: far quicker to read than a GGUF file
            if each.base is not None and store.sealed(each.base) is not None:
                read = load_tokenizer(store.weights(each.base), trust_remote_code=trusted)
            else:
                read = read_tokenizer(locate(model.name, trust_remote_code=trusted))
            loaded[model.name] = LoadedModel(None, *read)
        base, style = loaded[model.name], resolved.styles[each.variant.prompt_style]
        input = inputs[each.train] if each.train else None
        assert input is not None  # noqa: S101 - `chosen` gives trained variants only
        settings, policy = input.settings, mask_policy(input)
        seen = in_fold(resolved.data, each.variant.fold)
        train = list(islice((row for row in seen if row.split == "train"), rows))
        encoded = encode_examples(base, train, style, policy, settings.max_length, settings.truncate)
        yield each, preview_of(base.tokenizer, encoded, style, policy, rows)
