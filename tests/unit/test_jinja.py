"""A style as a chat template: transformers' own Jinja renders what training rendered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from jinja2.exceptions import TemplateError

from harness.prompts import STYLES, Segment, TextStyle, inference_prompt, render
from harness.prompts.jinja import as_chat_template
from harness.records.data import Example, Turn
from tests.small_tokenizers import tokenizer_of
from trainers.masking import MaskPolicy, encode

TEXT_STYLES = {name: style for name, style in STYLES.items() if isinstance(style, TextStyle)}
ODD = 'Say "{{ x }}" and {instruction}\n\\n 猫 \t'
SYSTEM = (Turn(role="system", text="Be brief."),)
PAST = (Turn(role="user", text="Hi {output}"), Turn(role="assistant", text="Hello."))
HISTORIES: dict[str, tuple[Turn, ...]] = {"one": (), "more": PAST, "system": SYSTEM, "both": SYSTEM + PAST * 2}


def with_template(style: TextStyle, *, add_bos: bool = False, eos: str = "</s>") -> Any:
    tokenizer = tokenizer_of.__wrapped__("byte-level", add_bos=add_bos, eos=eos)  # a copy of its own
    tokenizer.chat_template = as_chat_template(style, eos=eos, opens_with_bos=add_bos)
    return tokenizer


def messages(example: Example) -> list[dict[str, str]]:
    past = [{"role": turn.role, "content": turn.text} for turn in example.history]
    return [*past, {"role": "user", "content": example.instruction}, {"role": "assistant", "content": example.output}]


def text(segments: Sequence[Segment]) -> str:
    """As trainers.masking closes answers, in words."""
    return "".join(segment.text or ("</s>" if segment.role == "end" else "") for segment in segments)


@pytest.mark.parametrize("turns", HISTORIES)
@pytest.mark.parametrize("name", TEXT_STYLES)
def test_it_renders_what_the_style_renders(name: str, turns: str) -> None:
    style = TEXT_STYLES[name]
    example = Example(id="e", instruction=ODD, output="A cat.", history=HISTORIES[turns])
    tokenizer = with_template(style)
    if not style.system and "system" in {turn.role for turn in example.history}:
        with pytest.raises(TemplateError, match="no place for a system message"):
            tokenizer.apply_chat_template(messages(example), tokenize=False)
        return
    segments = render(style, example)
    whole = tokenizer.apply_chat_template(messages(example), tokenize=False)
    assert whole == text(segments) + ("</s>" if style.end else "")
    asked = tokenizer.apply_chat_template(messages(example)[:-1], tokenize=False, add_generation_prompt=True)
    assert asked == text(inference_prompt(segments))


@pytest.mark.parametrize("name", ["alpaca", "phi", "chatml"])
@pytest.mark.parametrize("add_bos", [True, False])
def test_its_ids_are_those_of_the_training_row(name: str, add_bos: bool) -> None:
    tokenizer = with_template(TEXT_STYLES[name], add_bos=add_bos, eos="<|im_end|>")
    example = Example(id="e", instruction="Name a pet.", output="A cat.", history=PAST)
    row = encode(tokenizer, render(TEXT_STYLES[name], example), MaskPolicy("none"))
    whole = tokenizer.apply_chat_template(messages(example), return_dict=False)
    assert tokenizer.decode(whole) == tokenizer.decode(list(row.ids))
    assert whole[-1] == row.ids[-1] == tokenizer.eos_token_id
    assert whole.count(tokenizer.bos_token_id) == int(add_bos)


def test_roles_that_do_not_take_turns_are_refused() -> None:
    tokenizer = with_template(TEXT_STYLES["phi"])
    for roles in (["assistant"], ["user", "user"], ["user", "system"]):
        with pytest.raises(TemplateError, match="take turns"):
            tokenizer.apply_chat_template([{"role": role, "content": "x"} for role in roles], tokenize=False)
