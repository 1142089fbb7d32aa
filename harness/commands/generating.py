"""`harness check-batch`: whether responses depend on the batch that they are made in."""

from __future__ import annotations

import argparse

from harness.commands.parsing import Commands, add_matrix, command_line, positive, prepared, quiet_libraries


def add(commands: Commands) -> None:
    """Add it to the parser."""
    check = commands.add(
        "check-batch", check_batch, "answer test items alone and in batches, and count what differs", on_store=True
    )
    add_matrix(check)
    check.add_argument(
        "--items", type=positive, default=20, metavar="N", help="test items for each variant (default: 20)"
    )


def check_batch(arguments: argparse.Namespace) -> int:
    """`harness check-batch`: 0 where nothing differs, 1 where something does."""
    from harness.errors import HarnessError
    from harness.store import Store

    _, plan, resolved, _ = prepared(arguments.matrix)
    store = Store(arguments.store)
    local = [each for each in plan.variants if each.variant.origin == "local"]
    ready = [each for each in local if (key := each.train or each.base) is not None and store.sealed(key) is not None]
    if not ready:
        raise HarnessError(
            "no variant's weights are in the store yet",
            hint=f"{command_line('harness', 'run', arguments.matrix)}, then check again",
        )
    quiet_libraries()
    from harness.generators.invariance import check_batches
    from harness.generators.local import prompt_of
    from harness.records.inputs import GenerateInput
    from trainers.checkpoints import load_variant
    from trainers.precision import device

    tests = [row.example for row in resolved.data if row.split == "test"][: arguments.items]
    inputs = {stage.key: stage.input for stage in plan.stages}
    breaches = 0
    for each in ready:
        given = inputs[each.generate]
        assert isinstance(given, GenerateInput) and each.base is not None  # noqa: S101 - local ones were chosen
        model = load_variant(
            store.weights(each.train) if each.train else None,
            store.weights(each.base),
            trust_remote_code=resolved.models[each.variant.model].input.trust_remote_code,
        )
        model.model.to(device())
        style = resolved.styles[each.variant.prompt_style]
        prompts = [prompt_of(example, style, model.tokenizer) for example in tests]
        found = check_batches(model, prompts, given.settings, style)
        breaches += len(found.breaches)
        named = f": {', '.join(found.breaches[:5])}" if found.breaches else ""
        size = given.settings.batch_size
        print(f"{each.variant.name}  {len(found.breaches)} of {found.prompts} responses differ ({found.rate:.1%})"
              f" between batches of 1 and of {size}{named}")  # fmt: skip
    if len(ready) < len(local):
        print(f"{len(local) - len(ready)} variants are not trained yet and were left out")
    return 1 if breaches else 0
