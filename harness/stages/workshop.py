"""What the stages of one run share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.prompts import PromptStyle
from harness.records.base import digest
from harness.records.data import Example, SplitExample, SplitName
from harness.records.inputs import (
    StageKey,
    StageName,
)
from harness.records.job import Launch
from harness.records.rows import Generation
from harness.records.seal import DataFacts
from harness.resolved import Resolved, ResolvedJudge
from harness.store import Store

if TYPE_CHECKING:
    pass


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
    budget: Any = None
    """judges.budget.Budget of this run; None: no limit."""

    def style(self, sha256: str) -> PromptStyle:
        """The prompt style with these bytes."""
        return next(style for style in self.resolved.styles.values() if style.sha256 == sha256)

    def count(self, data_digest: str, part: SplitName) -> int:
        """Entries of a part of the sealed split."""
        seal = self.store.sealed(StageKey(stage="data", digest=data_digest))
        assert seal is not None and isinstance(seal.facts, DataFacts)  # noqa: S101 - made before whoever reads it
        return seal.facts.parts[part]

    def rows(self, data_digest: str) -> list[SplitExample]:
        """The sealed split."""
        return self.store.read(StageKey(stage="data", digest=data_digest), SplitExample)

    def tests(self, data_digest: str) -> list[Example]:
        """The test examples, in file order."""
        return [row.example for row in SealedSplit(self.store, data_digest) if row.split == "test"]

    def languages(self, data_digest: str) -> dict[str, str]:
        """Language of each test example's reference: as the matrix says, else detected once."""
        if data_digest not in self.detected:
            from harness.metrics.language import item_languages

            self.detected[data_digest] = item_languages(self.tests(data_digest), self.resolved.language)
        return self.detected[data_digest]

    def generations(self, generations_digest: str) -> list[Generation]:
        """The rows of a generate or probe object, ordered by example and sample."""
        stage: StageName = "generate"
        if self.store.sealed(StageKey(stage="generate", digest=generations_digest)) is None:
            stage = "probe"
        rows = self.store.read(StageKey(stage=stage, digest=generations_digest), Generation)
        return sorted(rows, key=lambda row: (row.example_id, row.sample))

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
            self.engine = (resolved, load_judge(spec.backend, spec.model, spec.options))
        return self.engine[1]

    def close(self) -> None:
        """Let go of the loaded judge."""
        if self.engine is not None:
            self.engine[1].close()
            self.engine = None
