"""What the stages of one run share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import TypeAdapter

from harness.data.folds import in_fold
from harness.imports import many_modules
from harness.prompts import PromptStyle
from harness.records.base import digest
from harness.records.data import Example, SplitExample, SplitName
from harness.records.inputs import AnyGenerateInput, GenerateInput, ImportedInput, ServedInput, StageKey, StageName
from harness.records.job import Launch
from harness.records.rows import Generation
from harness.records.seal import DataFacts
from harness.resolved import Resolved, ResolvedJudge
from harness.store import Store
from harness.thoughts import graded


@dataclass(frozen=True, slots=True)
class SealedSplit:
    """The rows of a sealed split, read anew by each iteration."""

    store: Store
    digest: str

    def __iter__(self) -> Iterator[SplitExample]:
        return self.store.stream(StageKey(stage="data", digest=self.digest), SplitExample)


@dataclass(slots=True)
class Workshop:
    """What stages share within one run. `advance(units)` tells the progress of the stage at work."""

    store: Store
    resolved: Resolved
    advance: Callable[[int], None]
    remark: Callable[[str], None] = lambda text: None
    """How the stage at work goes, in a few words."""
    matrix: str = ""
    track: tuple[str, ...] = ()
    launch: Launch = field(default_factory=Launch)
    """How many processes train a variant together, and how they are started."""
    labels: dict[StageKey, str] = field(default_factory=dict)
    """Name of the variant that a stage works for."""
    detected: dict[str, dict[str, str]] = field(default_factory=dict)
    """Languages of the test examples, by digest of the data."""
    engine: tuple[ResolvedJudge, Any] | None = None
    """The judge that is loaded; one at a time is kept."""
    vllm: Any = None
    """The vLLM engine, once a variant was answered by it."""
    budget: Any = None
    """judges.budget.Budget of this run; None: no limit."""

    def style(self, sha256: str) -> PromptStyle:
        """The prompt style with these bytes."""
        return next(style for style in self.resolved.styles.values() if style.sha256 == sha256)

    def count(self, data_digest: str, part: SplitName, fold: int | None = None) -> int:
        """Entries of a part of the sealed split, or of what a part is where that fold is the test set."""
        seal = self.store.sealed(StageKey(stage="data", digest=data_digest))
        assert seal is not None and isinstance(seal.facts, DataFacts)  # noqa: S101 - made before whoever reads it
        others = sum(n for each, n in seal.facts.folds.items() if fold not in (None, each))
        return seal.facts.parts[part] + {"train": others, "test": -others, "validation": 0}[part]

    def asked(self, data_digest: str, fold: int | None = None) -> list[SplitExample]:
        """The test part, as a variant of this fold sees it."""
        return [row for row in in_fold(SealedSplit(self.store, data_digest), fold) if row.split == "test"]

    def tests(self, data_digest: str) -> list[Example]:
        """The test examples, in file order."""
        return [row.example for row in SealedSplit(self.store, data_digest) if row.split == "test"]

    def languages(self, data_digest: str) -> dict[str, str]:
        """Language of each test example's reference: as the matrix says, else detected once."""
        if data_digest not in self.detected:
            from harness.metrics.language import item_languages

            tests = [graded(example) for example in self.tests(data_digest)]
            self.detected[data_digest] = item_languages(tests, self.resolved.language)
        return self.detected[data_digest]

    def generations(self, generations_digest: str) -> list[Generation]:
        """The rows of a generate or probe object, ordered by example and sample."""
        stage: StageName = "generate"
        if self.store.sealed(StageKey(stage="generate", digest=generations_digest)) is None:
            stage = "probe"
        rows = self.store.read(StageKey(stage=stage, digest=generations_digest), Generation)
        return sorted(rows, key=lambda row: (row.example_id, row.sample))

    def generated_from(self, generations_digest: str) -> GenerateInput | ServedInput | ImportedInput:
        """What decided a generate object."""
        spec = self.store.folder(StageKey(stage="generate", digest=generations_digest)) / "spec.json"
        found: GenerateInput | ServedInput | ImportedInput = TypeAdapter(AnyGenerateInput).validate_json(
            spec.read_bytes()
        )
        return found

    def trusts_code(self, base_digest: str) -> bool:
        """Whether the matrix lets this base model run code of its own."""
        return any(
            model.input.trust_remote_code and digest(model.input) == base_digest
            for model in self.resolved.models.values()
        )

    def judge(self, resolved: ResolvedJudge) -> Any:
        """The judge's backend, loaded once."""
        from judges.base import load_judge

        if self.engine is None or self.engine[0] != resolved:
            self.close()  # the old one's memory goes before the new one's comes
            spec = resolved.spec
            self.engine = (resolved, load_judge(spec.backend, resolved.model, spec.options))
        return self.engine[1]

    def generator(self, engine: Literal["transformers", "vllm"]) -> Callable[..., Iterator[list[Generation]]]:
        """What answers for local weights: `generate_variant` of the engine that is asked for."""
        with many_modules():
            from harness.generators.local import generate_variant
            from harness.generators.vllm_engine import VllmEngine

        if engine == "transformers":
            return generate_variant
        self.vllm = self.vllm or VllmEngine()
        found: Callable[..., Iterator[list[Generation]]] = self.vllm.generate_variant
        return found

    def close(self) -> None:
        """Let go of whatever holds a model."""
        if self.vllm is not None:
            self.vllm.close()
        if self.engine is not None:
            self.engine[1].close()
            self.engine = None
