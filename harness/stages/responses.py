"""Responses to the test set, from wherever they come."""

from __future__ import annotations

from harness.errors import DataError
from harness.records.data import Example
from harness.records.inputs import (
    GenerateInput,
    ImportedInput,
    ServedInput,
    StageKey,
)
from harness.records.rows import Generation
from harness.records.seal import ImportFacts
from harness.resolved import ResolvedServed
from harness.stages.workshop import Workshop
from harness.store import ObjectWriter


def make_responses(
    workshop: Workshop, given: GenerateInput | ServedInput | ImportedInput, writer: ObjectWriter
) -> ImportFacts | None:
    """Responses to the test set, from wherever they come."""
    match given:
        case GenerateInput():
            make_generations(workshop, given, writer)
        case ServedInput():
            make_served(workshop, given, writer)
        case ImportedInput():
            return make_import(workshop, given, writer)
    return None


def make_generations(workshop: Workshop, generate: GenerateInput, writer: ObjectWriter) -> None:
    """Answer the test set; of an interrupted run, pieces of the work that were whole are kept."""
    kept: list[Generation] = writer.kept_rows(Generation)
    workshop.advance(len(kept))
    trained = generate.weights != generate.base
    batches = workshop.generator(generate.settings.engine)(
        generate,
        workshop.store.weights(StageKey(stage="train", digest=generate.weights)) if trained else None,
        workshop.store.weights(StageKey(stage="base", digest=generate.base)),
        workshop.asked(generate.data, generate.fold),
        workshop.style(generate.style_sha256),
        {(row.example_id, row.sample) for row in kept},
        trust_remote_code=workshop.trusts_code(generate.base),
    )
    for batch in batches:
        writer.append(batch)
        workshop.advance(len(batch))
    put_in_order(workshop.tests(generate.data), writer)


def put_in_order(tests: list[Example], writer: ObjectWriter) -> None:
    """Responses in the order of the test items, each once."""
    order = {example.id: index for index, example in enumerate(tests)}
    written: list[Generation] = writer.kept_rows(Generation)
    rows = {(row.example_id, row.sample): row for row in written}  # of a piece that was torn, the second making counts
    whole: list[Generation] = sorted(rows.values(), key=lambda row: (order[row.example_id], row.sample))
    writer.replace_rows(whole)


def make_served(workshop: Workshop, given: ServedInput, writer: ObjectWriter) -> None:
    """Ask a served model for whatever it has not answered yet; each response is kept as it comes."""
    from harness.generators.served import answer_all, requests
    from judges.base import load_judge

    resolved = next(each for each in workshop.resolved.served.values() if serves(each, given))
    kept: list[Generation] = writer.kept_rows(Generation)
    workshop.advance(len(kept))
    tests = workshop.tests(given.data)
    wanted = requests(tests, given, {(row.example_id, row.sample) for row in kept})

    def on_response(row: Generation) -> None:
        writer.append([row])
        workshop.advance(1)

    if wanted:
        workshop.close()  # a loaded judge may take the memory that the endpoint needs
        backend = load_judge(resolved.spec.backend, resolved.spec.model, resolved.spec.options)
        try:
            answer_all(
                backend,
                wanted,
                on_response=on_response,
                limits=resolved.spec.limits,
                budget=workshop.budget,
                price=resolved.price,
            )
        finally:
            backend.close()
    put_in_order(tests, writer)


def serves(served: ResolvedServed, given: ServedInput) -> bool:
    """Whether this served model of the matrix is the one that these responses are of."""
    mine = (served.spec.backend, served.model_identity, served.spec.system, served.options)
    return mine == (given.backend, given.model_identity, given.system, given.options)


def make_import(workshop: Workshop, given: ImportedInput, writer: ObjectWriter) -> ImportFacts:
    """Take responses over from a file. Raises DataError where the file has changed meanwhile, and as `align` does."""
    from harness.generators.imported import align, read_responses
    from harness.gguf import file_sha256

    path = next(each.path for each in workshop.resolved.imported.values() if each.sha256 == given.file_sha256)
    if file_sha256(path) != given.file_sha256:
        raise DataError("has changed since this run began", where=str(path), hint="run again")
    aligned = align(read_responses(path, given.field), workshop.tests(given.data), path, given.missing)
    writer.replace_rows(aligned.rows)
    workshop.advance(len(aligned.rows))
    return ImportFacts(unmatched=aligned.unmatched, missing=aligned.missing)
