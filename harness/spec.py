"""matrix.yaml -> MatrixSpec: the only place that sees raw dicts. Problems come all together, each with its line."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from harness.errors import SpecError
from harness.metrics.base import known_metrics
from harness.presets import PRESETS
from harness.prompts import STYLES, is_path
from harness.records.base import Record
from harness.records.data import SplitName
from harness.records.settings import AuditSettings, FieldMap, GenerateSettings, SplitSettings, TrainSettings
from harness.records.variant import Masking, Method
from harness.yaml_record import parse_record


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str | int | float) and not isinstance(value, bool) else value


def _style(name: str) -> str:
    return name if is_path(name) else _known(name, [*STYLES, "or the path of a style file (.yaml)"], "prompt style")


def _metric(name: str) -> str:
    return _known(name, known_metrics(), "metric")


def _known(name: str, names: Any, what: str) -> str:
    if name in names:
        return name
    near = get_close_matches(name, names, n=1)
    raise PydanticCustomError(
        "unknown_name",
        "unknown {what} '{name}'{near} known: {known}",
        {
            "what": what,
            "name": name,
            "near": f"; did you mean '{near[0]}'?" if near else ";",
            "known": ", ".join(names),
        },
    )


Style = Annotated[str, BeforeValidator(lambda v: _style(v) if isinstance(v, str) else v)]
MetricName = Annotated[str, BeforeValidator(lambda v: _metric(v) if isinstance(v, str) else v)]
TrackerName = Literal["tensorboard", "mlflow", "wandb", "trackio"]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Weight = Annotated[float, Field(ge=0, le=1)]


class Axes(Record):
    """The axes of the matrix; every combination becomes a variant. An untrained model ignores masking and seed."""

    model: Annotated[tuple[str, ...], BeforeValidator(_listed)] = Field(
        min_length=1, description="Base models: smollm2-135m, gemma3-270m, a Hub id (org/name), or a local folder."
    )
    prompt_style: Annotated[tuple[Style, ...], BeforeValidator(_listed)] = Field(
        ("alpaca",),
        min_length=1,
        description="How an instruction is put to the model: " + ", ".join(STYLES) + ", or the path of a style file.",
    )
    masking: Annotated[tuple[Masking, ...], BeforeValidator(_listed)] = Field(
        ("prompt",),
        min_length=1,
        description="Where the loss starts. none: every token; instruction: from the response header on; "
        "prompt: from the first response token on.",
    )
    prompt_loss_weight: Annotated[tuple[Weight, ...], BeforeValidator(_listed)] = Field(
        (0.0,),
        min_length=1,
        description="Weight of the loss on the tokens that the masking leaves out, 0 to 1. With masking `prompt`, 0 is"
        " `prompt` itself and 1 is `none`.",
    )
    method: Annotated[tuple[Method, ...], BeforeValidator(_listed)] = Field(
        ("none", "full"), min_length=1, description="none: the untuned base; full: all weights; lora: adapters."
    )
    seed: Annotated[tuple[Seed, ...], BeforeValidator(_listed)] = Field(
        (1,), min_length=1, description="Training seeds: replicates of a cell. Two or more let you speak of the recipe."
    )

    @field_validator("model", "prompt_style", "masking", "prompt_loss_weight", "method", "seed")
    @classmethod
    def _no_repeats(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        repeated = sorted({str(v) for v in values if values.count(v) > 1})
        if repeated:
            raise PydanticCustomError("repeated", "listed twice: {values}", {"values": ", ".join(repeated)})
        return values


AXES = tuple(Axes.model_fields)


class Assignment(Record):
    """Values for some of the axes."""

    model: str | None = Field(None, description="A model of axes.model, or another one (include).")
    prompt_style: Style | None = Field(None, description="A prompt style.")
    masking: Masking | None = Field(None, description="A masking policy.")
    prompt_loss_weight: Weight | None = Field(None, description="A weight of the tokens that the masking leaves out.")
    method: Method | None = Field(None, description="A training method.")
    seed: Seed | None = Field(None, description="A training seed.")


class TrainSpec(TrainSettings):
    """Training settings of all variants; a preset's values stand where the matrix names none of its own."""

    preset: (
        Annotated[str, BeforeValidator(lambda v: _known(v, PRESETS, "preset") if isinstance(v, str) else v)] | None
    ) = Field(None, description="Start from the settings of " + ", ".join(PRESETS) + ".")

    @model_validator(mode="before")
    @classmethod
    def _start_from_preset(cls, raw: Any) -> Any:
        if not isinstance(raw, dict) or raw.get("preset") not in PRESETS:
            return raw
        preset = PRESETS[raw["preset"]]
        merged = preset | raw
        if isinstance(raw.get("lora"), dict):
            merged["lora"] = preset.get("lora", {}) | raw["lora"]
        return merged

    @property
    def settings(self) -> TrainSettings:
        """What decides a training: the values, without the name that they came under."""
        return TrainSettings(**{name: getattr(self, name) for name in TrainSettings.model_fields})


class GivenParts(Record):
    """Parts that are there already: a file each, or where `data.path` holds several parts, the name of one."""

    train: str = Field(description="File or part to train on.")
    test: str = Field(description="File or part to answer and to score.")
    validation: str | None = Field(None, description="File or part for the validation loss.")

    def given(self) -> dict[SplitName, str]:
        """The parts that there are."""
        parts: dict[SplitName, str | None] = {
            "train": self.train, "test": self.test, "validation": self.validation,
        }  # fmt: skip
        return {part: place for part, place in parts.items() if place is not None}


class DataSpec(Record):
    """Where the entries come from and how they are read. `data: NAME` is short for `data: {path: NAME}`."""

    path: str | None = Field(
        None,
        min_length=1,
        description="starter-en, starter-zh, llms-from-scratch; a .json, .jsonl, .csv, .tsv or .parquet file; a folder "
        "written by datasets.save_to_disk; or a Hub data set (org/name).",
    )
    parts: GivenParts | None = Field(None, description="Take train and test as they are given, instead of cutting.")
    part: str | None = Field(None, description="Of a folder or Hub data set of several parts: the one to cut.")
    revision: str | None = Field(None, description="Commit of a Hub data set, 40 hexadecimal digits.")
    subset: str | None = Field(None, description="Subset (configuration) of a Hub data set.")
    fields: FieldMap = Field(default_factory=FieldMap, description="Which field is which, where the shape is unknown.")
    on_bad_rows: Literal["fail", "drop"] = Field(
        "fail", description="fail: a broken row stops the run; drop: it is left out, counted and named in the report."
    )

    @model_validator(mode="after")
    def _somewhere(self) -> DataSpec:
        if self.path is None and self.parts is None:
            raise PydanticCustomError("data", "give `path`, or `parts` with a file each")
        if self.part is not None and self.parts is not None:
            raise PydanticCustomError("data", "give `part` (cut one) or `parts` (take them as they are), not both")
        return self

    @property
    def name(self) -> str:
        """How reports call the data set."""
        if self.path is not None:
            return self.path
        return ", ".join(self.parts.given().values()) if self.parts else ""


def _short_data(value: Any) -> Any:
    return {"path": value} if isinstance(value, str) else value


class JudgeSpec(Record):
    """One judge: a backend, a model and a rubric."""

    backend: str = Field(description="llamacpp (a GGUF model, embedded) or scripted (no model: for tests and demos).")
    name: str | None = Field(None, description="Column name; default: the backend's. It decides no result.")
    model: str = Field("smollm2-135m", description="smollm2-135m, gemma3-270m, or the path of a .gguf file.")
    rubric: str = Field("correctness-5", description="A built-in rubric (correctness-5, book-100) or a YAML file.")
    items: int | None = Field(None, ge=2, description="Judge only this many test items, the same for every variant.")
    repeats: int = Field(1, ge=1, description="Ask each question this often.")
    options: dict[str, str | int | float | bool] = Field(
        default_factory=dict, description="Backend options that decide replies, e.g. temperature, seed."
    )

    @property
    def column(self) -> str:
        """The judge's name on the leaderboard."""
        return self.name or self.backend


class CompareSettings(Record):
    """What is compared, and how strictly."""

    primary: MetricName | str = Field("rougeL", description="The measure that ranks and answers: a metric or a judge.")
    baseline: Assignment | None = Field(None, description="The cell to compare with; default: the untuned model.")
    alpha: float = Field(0.05, gt=0, lt=0.5, description="Significance level of the whole family.")
    permutations: int = Field(10_000, ge=1_000, le=1_000_000, description="Draws of the permutation tests.")
    seed: int = Field(0, ge=0, description="Seed of the draws.")
    leaked_items: Literal["count", "leave out"] = Field(
        "count", description="Whether test items that the audit found in train count in the measures."
    )
    margin: float | None = Field(
        None, gt=0, description="Points of the primary measure that do not matter; needed to call two cells equivalent."
    )
    family: Literal["pairs", "baseline"] = Field(
        "pairs", description="Which pairs are corrected together: all of them, or those with the baseline."
    )
    correction: Literal["holm", "max-t"] = Field(
        "holm", description="How pairs on the primary measure are corrected; max-t uses how they hang together."
    )
    clusters: str | None = Field(
        None, description="A field of the data that groups items which stand or fall together, e.g. source_id."
    )
    seed_sd: float | None = Field(
        None,
        ge=0,
        description="Standard deviation of the primary measure between training seeds that you vouch for, in points; "
        "used where no cell has two seeds.",
    )


class MatrixSpec(Record):
    """A matrix of fine-tuning variants, and how to measure them. `harness run FILE` does all of it."""

    name: str = Field(pattern=r"^[\w][\w.-]{0,63}$", description="Short name: letters, digits, dot, dash, underscore.")
    data: Annotated[DataSpec, BeforeValidator(_short_data, json_schema_input_type=str | DataSpec)] = Field(
        description="Name or path of the data set, or a mapping that says more about it."
    )
    split: SplitSettings = Field(default_factory=SplitSettings, description="How the data set is cut into parts.")
    audit: AuditSettings = Field(
        default_factory=AuditSettings,
        description="What is done about duplicates, leaks and oddities of the data: report, drop or fail.",
    )
    axes: Axes = Field(description="What varies.")
    include: tuple[Assignment, ...] = Field(
        (), description="Variants beyond the product; axes left out take all values."
    )
    exclude: tuple[Assignment, ...] = Field((), description="Leave out every variant that matches one of these.")
    train: TrainSpec = Field(default_factory=lambda: TrainSpec(), description="Training settings of all variants.")
    generate: GenerateSettings = Field(default_factory=GenerateSettings, description="How responses are decoded.")
    metrics: tuple[MetricName, ...] = Field(
        ("bleu", "chrf", "rouge1", "rouge2", "rougeL"), min_length=1, description="Reference metrics."
    )
    judges: tuple[JudgeSpec, ...] = Field((), description="LLM judges.")
    compare: CompareSettings = Field(default_factory=CompareSettings, description="Comparison and significance.")
    track: Annotated[tuple[TrackerName, ...], BeforeValidator(_listed)] = Field(
        (), description="Show training curves in these tools too. They decide no result."
    )
    trust_remote_code: bool = Field(False, description="Let a Hub model run code of its own on this machine.")

    @field_validator("split")
    @classmethod
    def _split_or_parts(cls, split: SplitSettings, info: Any) -> SplitSettings:
        data = info.data.get("data")
        if data is not None and data.parts is not None and split.model_fields_set:
            raise PydanticCustomError("split", "data.parts gives the parts as they are: leave `split` out")
        return split

    @field_validator("judges")
    @classmethod
    def _judges_told_apart(cls, judges: tuple[JudgeSpec, ...]) -> tuple[JudgeSpec, ...]:
        names = [judge.column for judge in judges]
        for name in names:
            if names.count(name) > 1 or name in known_metrics():
                raise PydanticCustomError(
                    "same_name", "two measures are called '{name}'; give a judge a `name:`", {"name": name}
                )
        return judges

    @field_validator("compare")
    @classmethod
    def _primary_is_measured(cls, compare: CompareSettings, info: Any) -> CompareSettings:
        measured = [*info.data.get("metrics", ()), *(judge.column for judge in info.data.get("judges", ()))]
        if measured and compare.primary not in measured:
            raise PydanticCustomError(
                "primary",
                "primary '{primary}' is not measured in this matrix; measured: {measured}",
                {"primary": compare.primary, "measured": ", ".join(measured)},
            )
        return compare


# ---------------------------------------------------------------- reading


def load_spec(path: Path) -> MatrixSpec:
    """Read and check a matrix file. Raises SpecError with every problem."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as e:
        reason = "no such file" if isinstance(e, FileNotFoundError) else f"cannot be read ({e})"
        raise SpecError([f"{path}: {reason}"], hint="give the path of a matrix file; examples/ has some") from e
    return parse_spec(text, str(path))


def parse_spec(text: str, where: str) -> MatrixSpec:
    """Check matrix text; `where` names it in messages."""
    return parse_record(
        text, where, MatrixSpec, "a matrix file", hint="`harness schema` prints every key with its meaning"
    )


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a matrix file, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **MatrixSpec.model_json_schema()}
