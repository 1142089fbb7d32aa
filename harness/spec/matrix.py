"""A whole matrix."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator
from pydantic_core import PydanticCustomError

from harness.records.base import Record
from harness.records.settings import (
    AuditSettings,
    GenerateSettings,
    SplitSettings,
    StabilitySettings,
)
from harness.spec.axes import Assignment, Axes
from harness.spec.compare import CompareSettings
from harness.spec.data import DataSpec, short_data
from harness.spec.elsewhere import Inclusion
from harness.spec.judges import JudgeSpec, PanelSpec
from harness.spec.metrics import MetricSpec, short_metric
from harness.spec.names import MetricName, TrackerName, known, listed
from harness.spec.training import TrainSpec


class MatrixSpec(Record):
    """A matrix of fine-tuning variants, and how to measure them. `harness run FILE` does all of it."""

    name: str = Field(
        pattern=r"^[\w][\w.-]{0,63}$",
        description="Short name: up to 64 letters, digits, underscores, dots and dashes; no dot or dash comes first.",
    )
    data: Annotated[DataSpec, BeforeValidator(short_data, json_schema_input_type=str | DataSpec)] = Field(
        description="Name or path of the data set, or a mapping that says more about it."
    )
    split: SplitSettings = Field(default_factory=SplitSettings, description="How the data set is cut into parts.")
    audit: AuditSettings = Field(
        default_factory=AuditSettings,
        description="What is done about duplicates, leaks and oddities of the data: report, drop or fail.",
    )
    axes: Axes = Field(description="What varies.")
    include: tuple[Inclusion, ...] = Field(
        (),
        description="Variants beyond the product; axes left out take all values. `served:` is a model behind an"
        " endpoint, `imported:` a file of responses made elsewhere.",
    )
    exclude: tuple[Assignment, ...] = Field((), description="Leave out every variant that matches one of these.")
    train: TrainSpec = Field(default_factory=lambda: TrainSpec(), description="Training settings of all variants.")
    generate: GenerateSettings = Field(default_factory=GenerateSettings, description="How responses are decoded.")
    stability: StabilitySettings | None = Field(
        None,
        description="Answer every test prompt several times more and measure how alike the answers are; {} for"
        " five times at temperature 0.7. They are seen by no judge and rank nothing.",
    )
    metrics: tuple[
        Annotated[MetricSpec, BeforeValidator(short_metric, json_schema_input_type=MetricName | MetricSpec)], ...
    ] = Field(
        tuple(MetricSpec(metric=name) for name in ("bleu", "chrf", "rouge1", "rouge2", "rougeL")),
        min_length=1,
        description="Reference metrics.",
    )
    language: str = Field(
        "auto",
        pattern="^(auto|[a-z]{2,3})$",
        description="Of the reference answers (ISO 639, e.g. en), for metrics that count words; auto: each item's own.",
    )
    judges: tuple[JudgeSpec, ...] = Field((), description="LLM judges.")
    panels: tuple[PanelSpec, ...] = Field((), description="Measures made of several judges.")
    compare: CompareSettings = Field(
        default_factory=CompareSettings, validate_default=True, description="Comparison and significance."
    )
    track: Annotated[tuple[TrackerName, ...], BeforeValidator(listed)] = Field(
        (), description="Show training curves in these tools too. They decide no result."
    )
    trust_remote_code: bool = Field(False, description="Let a Hub model run code of its own on this machine.")

    @field_validator("split")
    @classmethod
    def _split_or_parts(cls, split: SplitSettings, info: Any) -> SplitSettings:
        data = info.data.get("data")
        if data is not None and data.parts is not None and split.model_fields_set:
            raise PydanticCustomError("split", "data.parts gives the parts as they are: leave `split` out")
        if split.folds is not None and {"train", "test"} & split.model_fields_set:
            raise PydanticCustomError("split", "folds are test and train in turn: leave `train` and `test` out")
        return split

    @field_validator("axes")
    @classmethod
    def _folds_are_cut(cls, axes: Axes, info: Any) -> Axes:
        split = info.data.get("split")
        if split is not None and any(fold > (split.folds or 0) for fold in axes.fold):
            raise PydanticCustomError(
                "fold",
                "fold {fold}: the split has {folds}",
                {"fold": max(axes.fold), "folds": f"{split.folds} folds" if split.folds else "none; set `split.folds`"},
            )
        return axes

    @field_validator("metrics")
    @classmethod
    def _metrics_told_apart(cls, metrics: tuple[MetricSpec, ...]) -> tuple[MetricSpec, ...]:
        names = [each.column for each in metrics]
        for name in names:
            if names.count(name) > 1:
                raise PydanticCustomError(
                    "same_name", "two metrics are called '{name}'; give one a `name:`", {"name": name}
                )
        return metrics

    @field_validator("include")
    @classmethod
    def _included_told_apart(cls, include: tuple[Inclusion, ...]) -> tuple[Inclusion, ...]:
        names = [each.variant.name for each in include if each.variant is not None]
        for name in names:
            if names.count(name) > 1:
                raise PydanticCustomError(
                    "same_name", "two variants are called '{name}'; give one a `name:`", {"name": name}
                )
        return include

    @field_validator("train")
    @classmethod
    def _one_rate(cls, train: TrainSpec, info: Any) -> TrainSpec:
        axes = info.data.get("axes")
        varied = (axes is not None and axes.lr) or any(each.lr is not None for each in info.data.get("include", ()))
        if varied and train.lora.lr is not None:
            raise PydanticCustomError("rate", "the learning rate is an axis, of adapters too: leave `lora.lr` out")
        return train

    @field_validator("judges")
    @classmethod
    def _judges_told_apart(cls, judges: tuple[JudgeSpec, ...], info: Any) -> tuple[JudgeSpec, ...]:
        names = [judge.column for judge in judges]
        metrics = {each.column for each in info.data.get("metrics", ())}
        for name in names:
            if names.count(name) > 1 or name in metrics:
                raise PydanticCustomError(
                    "same_name", "two measures are called '{name}'; give a judge a `name:`", {"name": name}
                )
        return judges

    @field_validator("panels")
    @classmethod
    def _panels_are_of_judges(cls, panels: tuple[PanelSpec, ...], info: Any) -> tuple[PanelSpec, ...]:
        judges = [judge.column for judge in info.data.get("judges", ())]
        taken = {*(each.column for each in info.data.get("metrics", ())), *judges}
        for panel in panels:
            for name in panel.judges:
                known(name, judges, "judge")
            if panel.name in taken:
                raise PydanticCustomError(
                    "same_name", "two measures are called '{name}'; give the panel another name", {"name": panel.name}
                )
            taken.add(panel.name)
        return panels

    @field_validator("compare")
    @classmethod
    def _primary_is_measured(cls, compare: CompareSettings, info: Any) -> CompareSettings:
        measured = [
            *(each.column for each in info.data.get("metrics", ())),
            *(judge.column for judge in info.data.get("judges", ())),
            *(panel.name for panel in info.data.get("panels", ())),
        ]
        if measured and compare.primary not in measured:
            if "primary" not in compare.model_fields_set:
                return compare.model_copy(update={"primary": measured[0]})
            raise PydanticCustomError(
                "primary",
                "primary '{primary}' is not measured in this matrix; measured: {measured}",
                {"primary": compare.primary, "measured": ", ".join(measured)},
            )
        return compare
