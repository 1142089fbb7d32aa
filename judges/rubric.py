"""Rubrics: what a judge is asked, on which scale, and how its reply is read. A YAML file each; content is identity."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from jinja2 import StrictUndefined, TemplateError
from jinja2.meta import find_undeclared_variables
from jinja2.sandbox import SandboxedEnvironment
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from harness.errors import JudgeError
from harness.prompts import STYLES, inference_prompt, render
from harness.records.base import Record, digest
from harness.records.data import Example
from judges.asked import CONVERSATION, EXCHANGE, asked
from judges.fence import FENCE_VERSION, fence, quote

PARSER_VERSION = 4
"""Raised when judges.parse would read the same reply differently."""

FOLDER = Path(__file__).parent / "rubrics"
_TEMPLATES = SandboxedEnvironment(undefined=StrictUndefined, autoescape=False)  # noqa: S701  plain text, fenced by us


class Scale(Record):
    """The range of whole-numbered scores; `high` is best."""

    low: int
    high: int

    @model_validator(mode="after")
    def _rises(self) -> Scale:
        if self.low >= self.high:
            raise ValueError(f"low ({self.low}) must be below high ({self.high})")
        return self


class JsonParser(Record):
    """The verdict is `key` of the last JSON object that has it."""

    kind: Literal["json"]
    key: str = "score"


class IntegerParser(Record):
    """The verdict is the last number of the reply; `85/100` and `85 out of 100` mean 85.

    Where a reply ends on another scale (`8/10`) or with joined digits (`82,5`), or begins with a number of its own and
    ends with another one, it has no verdict.
    """

    kind: Literal["integer"]


class LabelParser(Record):
    """The verdict is one of some words, each with its worth: `key` of the last JSON object, else the last such word."""

    kind: Literal["label"]
    labels: dict[str, float] = Field(min_length=2)
    key: str | None = None

    @field_validator("labels", mode="before")
    @classmethod
    def _words(cls, labels: Any) -> Any:
        if isinstance(labels, dict) and any(isinstance(label, bool) for label in labels):
            raise ValueError(BOOLEANS)
        return labels


BOOLEANS = 'quote "yes" and "no": YAML reads them as true and false'


class ChecklistParser(Record):
    """Yes or no to each of `keys` in the last JSON object that has them all; the score is the share of yes."""

    kind: Literal["checklist"]
    keys: tuple[str, ...] = Field(min_length=1)


Parser = Annotated[JsonParser | IntegerParser | LabelParser | ChecklistParser, Field(discriminator="kind")]


class RubricTest(Record):
    """A reply and what it must be read as: a value, or (part of) the reason why it is no verdict."""

    reply: str
    value: float | None = None
    unparsed: str | None = None
    refused: str | None = None

    @model_validator(mode="after")
    def _one_outcome(self) -> RubricTest:
        if sum(each is not None for each in (self.value, self.unparsed, self.refused)) != 1:
            raise ValueError("a test says exactly one of value, unparsed, refused")
        return self


Delimiters = Literal["tags", "backticks"]


class PromptIdentity(Record):
    """All that decides what a judge is sent."""

    system: str
    user: str
    schema_: Any
    max_tokens: int
    styles_sha256: tuple[str, ...] = (EXCHANGE.sha256, CONVERSATION.sha256)
    delimiters: Delimiters = "tags"
    fence_version: int = FENCE_VERSION


class ParserIdentity(Record):
    """All that decides how a reply is read."""

    parser: Parser
    scale: Scale
    mode: str
    version: int = PARSER_VERSION


class Rubric(Record):
    """A rubric file. `system` is the same for every item; `user` is a Jinja2 template of the item.

    The template's `prompt` (all that was asked, earlier turns included: see judges.asked), or its parts `instruction`
    and `input` (empty where the item has none), `reference` and `answer` come fenced: `<answer>…</answer>`, and no text
    can close its own fence (see judges.fence). With `delimiters: backticks` they come between backticks instead. `task`
    is instruction and input together, as an Alpaca prompt puts them. A pairwise rubric has `answer_a` and `answer_b`
    instead of `answer`, is asked in both orders, and scores the first of them: `high` wins, `low` loses.
    """

    about: str = Field("", description="What it measures, for readers.")
    system: str = Field("", description="System message: the shared head, not a template.")
    user: str = Field(
        description="User message: a Jinja2 template of prompt (or instruction, input, task), reference, answer (or "
        "answer_a, answer_b)."
    )
    delimiters: Delimiters = Field("tags", description="What stands around each text: `<answer>` … or backticks.")
    mode: Literal["pointwise", "pairwise"] = Field("pointwise", description="One answer a question, or two.")
    scale: Scale = Field(description="Lowest and highest score.")
    schema_: dict[str, Any] | None = Field(None, alias="schema", description="JSON schema of the reply.")
    parser: Parser = Field(description="How the reply is read.")
    max_tokens: int = Field(64, ge=1, description="Longest reply in tokens.")
    tests: tuple[RubricTest, ...] = Field((), description="Replies and what they must be read as.")

    @model_validator(mode="after")
    def _labels_lie_on_the_scale(self) -> Rubric:
        if isinstance(self.parser, LabelParser):
            outside = [k for k, v in self.parser.labels.items() if not self.scale.low <= v <= self.scale.high]
            if outside:
                raise ValueError(f"labels off the scale {self.scale.low}–{self.scale.high}: {', '.join(outside)}")
        return self

    @cached_property
    def prompt_sha256(self) -> str:
        """Identity of what is asked."""
        return digest(
            PromptIdentity(
                system=self.system,
                user=self.user,
                schema_=self.schema_,
                max_tokens=self.max_tokens,
                delimiters=self.delimiters,
            )
        )

    @cached_property
    def parser_sha256(self) -> str:
        """Identity of how replies are read."""
        return digest(ParserIdentity(parser=self.parser, scale=self.scale, mode=self.mode))

    def delimited(self, name: str, text: str) -> str:
        """A text as it stands in the prompt: it cannot leave its delimiters."""
        return fence(name, text) if self.delimiters == "tags" else quote(text)

    @cached_property
    def shows_reference(self) -> bool:
        """Whether whoever judges sees the reference."""
        return "reference" in find_undeclared_variables(_TEMPLATES.parse(self.user))

    @cached_property
    def levels(self) -> int:
        """How many different scores a reply can give."""
        match self.parser:
            case LabelParser(labels=labels):
                return len(set(labels.values()))
            case ChecklistParser(keys=keys):
                return len(keys) + 1
            case _:
                return self.scale.high - self.scale.low + 1

    def user_message(self, example: Example, answer: str) -> str:
        """The question about one answer. Raises JudgeError where the template does not work."""
        return self._render(example, {"answer": answer})

    def pair_message(self, example: Example, first: str, second: str) -> str:
        """The question about two answers. Raises JudgeError where the template does not work."""
        return self._render(example, {"answer_a": first, "answer_b": second})

    def _render(self, example: Example, answers: Mapping[str, str]) -> str:
        texts = {
            "instruction": example.instruction,
            "task": _task(example),
            "reference": example.output,
            **answers,
        }
        parts = {name: self.delimited(name, text) for name, text in texts.items()}
        parts["prompt"] = self.delimited("instruction", asked(example))
        parts["input"] = self.delimited("input", example.input) if example.input else ""
        try:
            return _TEMPLATES.from_string(self.user).render(parts)
        except Exception as e:  # whatever an expression of the user's raises
            reason = e.message if isinstance(e, TemplateError) else f"{type(e).__name__}: {e}"
            raise JudgeError(
                f"the rubric's user template does not work: {reason}",
                hint=f"it may use prompt, instruction, input, task, reference, {', '.join(answers)}",
            ) from e


def _task(example: Example) -> str:
    """Instruction and input as chapter 7 of the book puts them before a model: an Alpaca prompt without its end.

    The book has single questions only; of a conversation it is what any rubric's `prompt` is.
    """
    if example.history:
        return asked(example)
    bare = Example(id=example.id, instruction=example.instruction, input=example.input, output="")
    return "".join(part.text for part in inference_prompt(render(STYLES["alpaca"], bare)) if part.role == "prompt")


def load_rubric(name: str) -> Rubric:
    """A built-in rubric by name (`known_rubrics`), or a YAML file by path.

    Raises:
        JudgeError: no such rubric, a file that is no rubric, a template that does not work or leaves the answer out, a
            schema that asks for what the parser cannot read.
    """
    path = FOLDER / f"{name}.yaml" if name in known_rubrics() else Path(name)
    if path.suffix not in {".yaml", ".yml"} or not path.is_file():
        near = get_close_matches(name, known_rubrics(), n=1)
        raise JudgeError(
            f"unknown rubric {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
            hint=f"built in: {', '.join(known_rubrics())}; or the path of a YAML file",
        )
    rubric = _read(path)
    _probe_template(rubric, path)
    if faults := [*_schema_faults(rubric)]:
        raise JudgeError("; ".join(faults), where=f"{path}: schema")
    return rubric


def known_rubrics() -> tuple[str, ...]:
    """Names of the built-in rubrics."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


def _read(path: Path) -> Rubric:
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        return Rubric.model_validate(raw)
    except ValidationError as e:
        raise JudgeError("not a rubric: " + _problems(e), where=str(path), hint=f"see {FOLDER}") from e
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as e:
        raise JudgeError(f"cannot be read: {e}", where=str(path)) from e


def _probe_template(rubric: Rubric, path: Path) -> None:
    example = Example(id="probe", instruction="A", input="B", output="C")
    plain = example.model_copy(update={"input": ""})
    names = ("answer",) if rubric.mode == "pointwise" else ("answer_a", "answer_b")
    try:
        if rubric.mode == "pointwise":
            message, _ = rubric.user_message(example, "D"), rubric.user_message(plain, "")
        else:
            message, _ = rubric.pair_message(example, "D", "D"), rubric.pair_message(plain, "", "")
    except JudgeError as e:
        raise JudgeError(e.what, where=f"{path}: user", hint=e.hint) from e
    for name in names:
        if rubric.delimited(name, "D") not in message:
            raise JudgeError(f"the user template leaves out {{{{ {name} }}}}", where=f"{path}: user")


def _problems(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, each['loc'])) or 'file'}: {each['msg']}" for each in error.errors())


class _ValueSchema(BaseModel):
    """What a JSON schema says of one value, as far as it is held against the parser."""

    type: str | list[str] | None = None
    enum: list[Any] | None = None
    minimum: float | None = None
    maximum: float | None = None


class _ReplySchema(_ValueSchema):
    """What a JSON schema says of a reply."""

    properties: dict[str, _ValueSchema] = {}
    required: list[str] = []


_READ_AS = {
    "json": {"integer", "number", "string"},
    "integer": {"integer", "number", "string"},
    "label": {"string", "boolean", "integer", "number"},
    "checklist": {"boolean", "string"},
}
"""By parser, the types of a value that it can read."""


def _schema_faults(rubric: Rubric) -> Iterator[str]:
    """What the schema asks for that the parser cannot read, or that is not the rubric's scale."""
    parser = rubric.parser
    try:
        reply = _ReplySchema.model_validate(rubric.schema_ or {})
    except ValidationError as e:
        yield f"not a JSON schema: {_problems(e)}"
        return
    values: dict[str, _ValueSchema]
    if isinstance(parser, IntegerParser):
        values = {} if reply.properties else {"the reply": reply}
    else:
        keys = parser.keys if isinstance(parser, ChecklistParser) else (parser.key,)
        for key in keys:
            if reply.properties and key is not None and key not in reply.properties:
                yield f"the parser reads {key!r}, the schema has {', '.join(map(repr, reply.properties))}"
        values = {repr(key): reply.properties[key] for key in keys if key in reply.properties}
    for name, value in values.items():
        types = {value.type} if isinstance(value.type, str) else set(value.type or ())
        if types and not types & _READ_AS[parser.kind]:
            yield f"{name} is of type {' or '.join(sorted(types))}, which the parser cannot read"
        elif isinstance(parser, LabelParser):
            yield from _words_off(name, value.enum or (), parser)
        elif isinstance(parser, JsonParser | IntegerParser):
            yield from _off_scale(name, value, rubric.scale)


def _words_off(name: str, words: Iterable[Any], parser: LabelParser) -> Iterator[str]:
    known = {label.casefold() for label in parser.labels}
    for word in words:
        if str(word).casefold() not in known:
            hint = f" ({BOOLEANS})" if isinstance(word, bool) else ""
            yield f"{name} may be {word!r}, which is none of {', '.join(parser.labels)}{hint}"


def _off_scale(name: str, value: _ValueSchema, scale: Scale) -> Iterator[str]:
    if value.minimum not in (None, scale.low):
        yield f"{name} goes down to {value.minimum:g}, the scale to {scale.low}"
    if value.maximum not in (None, scale.high):
        yield f"{name} goes up to {value.maximum:g}, the scale to {scale.high}"
    for word in value.enum or ():
        try:
            on_scale = scale.low <= float(word) <= scale.high
        except (TypeError, ValueError):
            on_scale = False
        if not on_scale:
            yield f"{name} may be {word!r}, which does not lie on the scale from {scale.low} to {scale.high}"
