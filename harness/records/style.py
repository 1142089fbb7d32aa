"""Prompt styles: how an instruction, its input, a system message and earlier turns are put to a model."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from harness.records.base import Record, digest

PLACEHOLDERS = ("instruction", "input", "system", "output")
MUST_HOLD = {"user": ("instruction", "input"), "input": ("input",), "system": ("system",), "response": ("output",)}
"""Placeholders that a template has to hold exactly once; `system` may stay empty."""
MAY_HOLD = MUST_HOLD | {"user": ("instruction", "input", "system")}


class TextStyle(Record):
    """A style written as templates. A style is what its bytes are: `name` decides nothing."""

    kind: Literal["text"] = "text"
    name: str = Field("", description="How reports call it; default: the file's name.")
    user: str = Field(
        description="A question: text around {instruction} and {input}. {system} in it says where the system message"
        " of the first question goes; without it, the system message comes before."
    )
    input: str = Field("\n{input}", description="What takes the place of {input} in `user` where an entry has one.")
    assistant: str = Field(description="The header that opens an answer; the inference prompt ends with it.")
    response: str = Field("{output}", description="An answer: text around {output}.")
    end: str = Field("", description="Closes an answer, before the end-of-sequence token. Generation stops at it.")
    separator: str = Field("", description="Between a finished answer and the next question.")
    system: str = Field("", description="A system message: text around {system}. Empty: the style takes none.")
    default_system: str = Field("", description="The system message of a conversation that brings none.")
    stop: tuple[str, ...] = Field((), description="Further strings at which generation stops.")

    @field_validator("user", "input", "assistant", "response", "end", "separator", "system", "default_system")
    @classmethod
    def _placeholders(cls, template: str, info: ValidationInfo) -> str:
        field = info.field_name or ""
        for name in re.findall(r"\{(\w+)\}", template):
            if name in PLACEHOLDERS and name not in MAY_HOLD.get(field, ()):
                raise _wrong(f"{{{name}}} means nothing here; it belongs in {_homes(name)}")
            near = get_close_matches(name, MAY_HOLD.get(field, ()), n=1, cutoff=0.75)
            if name not in PLACEHOLDERS and near:
                raise _wrong(f"unknown placeholder {{{name}}}; did you mean {{{near[0]}}}?")
        for name in MUST_HOLD.get(field, ()):
            found = template.count(f"{{{name}}}")
            if found != 1 and not (field == "system" and template == ""):
                raise _wrong(f"needs {{{name}}} exactly once, and has it {found} times")
        if template.count("{system}") > 1:
            raise _wrong("has {system} more than once")
        return template

    @field_validator("stop")
    @classmethod
    def _stops(cls, stop: tuple[str, ...]) -> tuple[str, ...]:
        if "" in stop:
            raise _wrong("an empty string would stop everything; leave it out")
        return stop

    @model_validator(mode="after")
    def _system_has_a_place(self) -> Self:
        if not self.system and (self.default_system or "{system}" in self.user):
            raise _wrong("a system message is given a place or a default, but `system` has no template")
        return self

    @property
    def doubts(self) -> tuple[str, ...]:
        """What it may not be meant to say, though it can be said."""
        found = []
        for field, template in self.model_dump(exclude={"kind", "name", "stop"}).items():
            doubled = [f"{{{{…}}}} around {{{name}}}" for name in re.findall(r"\{\{(\w+)\}\}", template)]
            unknown = [f"{{{name}}}" for name in re.findall(r"\{(\w+)\}", template) if name not in PLACEHOLDERS]
            if doubled or unknown:
                found.append(f"{field}: taken as text: {', '.join([*doubled, *unknown])}")
        if self.assistant.endswith((" ", "\t")):
            found.append(
                "assistant: ends with a blank, which most tokenizers write into the answer's first token; put it at the"
                " start of `response`"
            )
        return tuple(found)

    @property
    def sha256(self) -> str:
        """Identity of the style: a digest of its templates, not of its name."""
        return digest(self.model_copy(update={"name": ""}))


class ChatTemplateStyle(Record):
    """The chat template that comes with a model's tokenizer; which one that is, the model's identity says."""

    kind: Literal["chat-template"] = "chat-template"
    name: str = "chat-template"

    @property
    def sha256(self) -> str:
        """Identity of the style, together with the identity of the model."""
        return digest(self.model_copy(update={"name": ""}))


PromptStyle = Annotated[TextStyle | ChatTemplateStyle, Field(discriminator="kind")]


def _wrong(text: str) -> PydanticCustomError:
    return PydanticCustomError("template", "{text}", {"text": text})


def _homes(name: str) -> str:
    return " and ".join(f"`{field}`" for field, names in MAY_HOLD.items() if name in names)
