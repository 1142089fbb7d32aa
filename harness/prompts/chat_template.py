"""The tokenizer's own chat template as segments: found by rendering prefixes of the conversation, and checked."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from harness.errors import DataError, ModelError
from harness.prompts.segments import Role, Segment, conversation
from harness.records.data import Example, Turn

FIXED_DATE = "26 Jul 2024"
"""For templates that name today's date: two renderings of one conversation have to be the same text."""
FIXED_CLOCK = f"{{% macro strftime_now(format) %}}{FIXED_DATE}{{% endmacro %}}"
"""Put before a template, it stands where the template would ask for the date."""
PRIVATE_USE = 0xF0000
"""Code points without a meaning of their own; they stand in for control tokens that an entry spells out."""
PROBE = "\ue000answer\ue001"
"""Stands where an answer would, to see what a template puts around it."""


def render_chat_template(example: Example, tokenizer: Any) -> tuple[Segment, ...]:
    """Segments of a conversation as the tokenizer's template puts it; the input follows the instruction on a new line.

    Raises ModelError where there is no template, where it rewrites earlier turns so that they cannot be told apart, or
    where the last answer does not stand in its text; DataError where it refuses the conversation.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise ModelError(
            "the tokenizer has no chat template", hint="choose another prompt_style, e.g. chatml or alpaca"
        )
    template = _Template(tokenizer, example.id, _Shield.of(tokenizer, example))
    messages = template.messages(example)
    answers = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
    exchanges = conversation(example)[1]
    last = answers[-1]
    final, rest = template.split_answer(messages, last)
    if messages[last]["content"].strip() not in final:
        raise template.refusal("takes text out of the answer, or changes it, so that something else would be learnt")
    closing = rest.rstrip()  # nothing is predicted after the token that closes the last answer
    for index, following, exchange in zip(answers[:-1], answers[1:], exchanges[:-1], strict=True):
        response, rest = template.split_answer(messages[:following], index)
        if not rest.startswith(closing):
            raise template.unclear()
        template.add_question(messages[:index], past=True, silent=exchange.silent)
        template.add(response, "response", past=True, silent=exchange.silent)
        if closing:  # without one, encoding would close the answer with a token that the template does not know
            template.add(closing, "end", past=True, silent=exchange.silent)
    template.add_question(messages[:last], past=False)
    template.add(final, "response", past=False)
    template.add(closing, "end", past=False)
    return tuple(template.segments)


@dataclass(frozen=True, slots=True)
class Around:
    """What a template puts around an answer. `lead`: what training lets a model say before each, such as an empty
    `<think>` block.
    """

    header: Segment
    lead: Segment
    end: Segment


def around_answer(tokenizer: Any) -> Around:
    """All empty where the template takes no plain question. Raises ModelError as `render_chat_template`."""
    asked = Example(id="probe", instruction="Name a colour.", output="Red.")
    introduced = asked.model_copy(update={"history": (Turn(role="system", text="Be brief."),)})
    for example in (asked, introduced):  # some templates demand a system message
        try:
            header, response, end = render_chat_template(example, tokenizer)[-3:]
        except DataError:
            continue
        return Around(header, Segment(response.text.partition(asked.output)[0], "response"), end)
    return Around(Segment("", "header"), Segment("", "response"), Segment("", "end"))


@dataclass(frozen=True, slots=True)
class _Shield:
    """Control tokens that an entry's text spells out, each with the character that stands in for it."""

    characters: dict[str, str]

    @classmethod
    def of(cls, tokenizer: Any, example: Example) -> _Shield:
        said = [example.instruction, example.input, example.output, *(turn.text for turn in example.history)]
        spelled = [token for token in control_tokens(tokenizer) if any(token in text for text in said)]
        start = PRIVATE_USE
        while any(chr(start + i) in text for i in range(len(spelled)) for text in said):
            start += len(spelled)
        return cls({token: chr(start + i) for i, token in enumerate(sorted(spelled, key=len, reverse=True))})

    def over(self, text: str) -> str:
        for token, character in self.characters.items():
            text = text.replace(token, character)
        return text

    def lifted(self, text: str, role: Role, *, past: bool) -> Segment:
        """The segment with its control tokens spelled out again, and marked as mere text."""
        tokens = {character: token for token, character in self.characters.items()}
        parts: list[str] = []
        literal: list[tuple[int, int]] = []
        length = 0
        for character in text:
            part = tokens.get(character, character)
            if character in tokens:
                literal.append((length, length + len(part)))
            parts.append(part)
            length += len(part)
        return Segment("".join(parts), role, past, tuple(literal))


def control_tokens(tokenizer: Any) -> tuple[str, ...]:
    """Texts that the tokenizer reads as one control token wherever they stand, the longest first."""
    found = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    return tuple(sorted(found, key=lambda text: (-len(text), text)))


@dataclass(slots=True)
class _Template:
    """One conversation on its way through the template."""

    tokenizer: Any
    example_id: str
    shield: _Shield
    segments: list[Segment] = field(default_factory=list)
    done: int = 0
    """Characters of the rendered text that are in `segments`."""

    def messages(self, example: Example) -> list[dict[str, str]]:
        system, exchanges = conversation(example)
        messages = [] if system is None else [{"role": "system", "content": self.shield.over(system)}]
        for exchange in exchanges:
            question = f"{exchange.instruction}\n{exchange.input}" if exchange.input else exchange.instruction
            messages.append({"role": "user", "content": self.shield.over(question)})
            messages.append({"role": "assistant", "content": self.shield.over(exchange.output)})
        return messages

    def text(self, messages: list[dict[str, str]], *, opened: bool = False) -> str:
        from jinja2 import TemplateError

        try:
            return str(
                self.tokenizer.apply_chat_template(
                    messages,
                    tokenize=False,
                    add_generation_prompt=opened,
                    chat_template=FIXED_CLOCK + self.tokenizer.get_chat_template(),
                    date_string=FIXED_DATE,
                )
            )
        except TemplateError as e:
            raise DataError(
                f"the tokenizer's chat template refuses this conversation: {e}",
                where=f"example {self.example_id}",
                hint="drop the entry, or choose another prompt_style",
            ) from e

    def opened(self, messages: list[dict[str, str]]) -> str:
        return self.text(messages, opened=True)

    def split_answer(self, messages: list[dict[str, str]], index: int) -> tuple[str, str]:
        """(an answer with whatever the template puts before it, all that follows): where another answer would stand."""
        opened, text = self.opened(messages[:index]), self.text(messages)
        probe = [*messages[:index], {"role": "assistant", "content": PROBE}, *messages[index + 1 :]]
        before, found, after = self.text(probe).partition(PROBE)
        whole = text.startswith(before) and text.endswith(after) and len(text) >= len(before) + len(after)
        if not (found and whole and before.startswith(opened)):
            raise self.unclear()
        return text[len(opened) : len(text) - len(after)], after

    def unclear(self) -> ModelError:
        return self.refusal("rewrites answers, so that their tokens cannot be told from the rest")

    def refusal(self, what: str) -> ModelError:
        return ModelError(
            f"the tokenizer's chat template {what}",
            where=f"example {self.example_id}",
            hint="choose a written prompt style, e.g. chatml or llama-3",
        )

    def add_question(self, messages: list[dict[str, str]], *, past: bool, silent: bool = False) -> None:
        before, opened = self.text(messages), self.opened(messages)
        header = len(before) if opened.startswith(before) else len(opened)
        self.add(opened[self.done : header], "prompt", past=past)
        self.add(opened[header:], "header", past=past, silent=silent)

    def add(self, text: str, role: Role, *, past: bool, silent: bool = False) -> None:
        self.done += len(text)
        self.segments.append(replace(self.shield.lifted(text, role, past=past), silent=silent))
