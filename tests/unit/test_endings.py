"""What ends a response in a chat template: its closing token, whatever EOS is; and a header that a model repeats."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from harness.generators.choosing import Row
from harness.generators.endings import Endings
from harness.generators.local import Task, generation
from harness.prompts import STYLES, PromptStyle, TextStyle, render
from harness.records.data import Example
from tests.small_tokenizers import CHATML, LOSSLESS, Kind, tokenizer_of
from trainers.tokens import encoder_of

STYLE = STYLES["chat-template"]
EXAMPLE = Example(id="e", instruction="Name a pet.", output="A cat")


def written(tokenizer: Any, roles: tuple[str, ...]) -> list[int]:
    """Ids of the example's segments with these roles, one after another."""
    segments = {segment.role: segment for segment in render(STYLE, EXAMPLE, tokenizer)}
    return [id for role in roles for id in encoder_of(tokenizer).ids(segments[role], begins=False)]


def kept(
    tokenizer: Any, ids: list[int], limit: int = 99, style: PromptStyle = STYLE
) -> tuple[str, str, tuple[str, ...]]:
    """Text, finish reason and cuts of a response that went as far as these ids, or ended before."""
    ends = Endings(tokenizer, None, style)
    row = Row(0, (), limit, None)
    for id in ids:
        row.ids.append(id)
        if ends.reason(row) is not None:
            break
    found = generation(style, Task("e", 0, (), limit), row, ends)
    return found.text.strip(), found.finish_reason, tuple(found.cuts)


@pytest.mark.parametrize("kind", LOSSLESS)
def test_an_answer_ends_where_the_template_closes_it_though_eos_is_another(kind: Kind) -> None:
    tokenizer = tokenizer_of(kind)
    assert tokenizer.eos_token == "</s>"
    on_and_on = written(tokenizer, ("response", "end", "prompt", "header", "response"))
    assert kept(tokenizer, on_and_on) == ("A cat", "eos", ())


@pytest.mark.parametrize("kind", LOSSLESS)
def test_a_header_that_is_repeated_is_cut_and_counted(kind: Kind) -> None:
    tokenizer = tokenizer_of(kind)
    assert kept(tokenizer, written(tokenizer, ("header", "response", "end"))) == ("A cat", "eos", ("template",))
    words = tokenizer.encode("assistant: a cat", add_special_tokens=False)
    assert kept(tokenizer, words, limit=len(words))[2] == (), "the word alone is the answer's own"


@pytest.mark.parametrize("kind", LOSSLESS)
@pytest.mark.parametrize("lead", ["<think>\n\n</think>\n\n", "<think></think> ", "<s>final<s>"])
def test_what_a_template_puts_before_every_answer_is_no_part_of_one(lead: str, kind: Kind) -> None:
    tokenizer = deepcopy(tokenizer_of(kind))
    said = "{% if m['role'] == 'assistant' %}" + lead.replace("\n", "{{ '\\n' }}") + "{% endif %}{{ m['content'] }}"
    tokenizer.chat_template = CHATML.replace("{{ m['content'] }}", said)
    assert kept(tokenizer, written(tokenizer, ("response", "end"))) == ("A cat", "eos", ())
    assert kept(tokenizer, written(tokenizer, ("header", "response", "end"))) == ("A cat", "eos", ("template",))
    words = tokenizer.encode("final cat", add_special_tokens=False)
    assert kept(tokenizer, words, limit=len(words))[0] == "final cat", "the answer's own word"


@pytest.mark.parametrize("kind", LOSSLESS)
@pytest.mark.parametrize("style", [STYLE, STYLES["alpaca"]], ids=lambda style: style.name)
def test_thoughts_before_an_answer_are_cut_and_counted(style: PromptStyle, kind: Kind) -> None:
    tokenizer = tokenizer_of(kind)
    ids = tokenizer.encode("<think>\nA dog? No.\n</think>\n\nA cat", add_special_tokens=False)
    assert kept(tokenizer, ids, len(ids), style) == ("A cat", "length", ("thoughts",))
    assert kept(tokenizer, ids[:-10], len(ids) - 10, style)[2] == ("thoughts",)
    endless = tokenizer.encode("<think>\nA dog? No, a cat", add_special_tokens=False)
    assert kept(tokenizer, endless, len(endless), style) == ("", "length", ("thoughts",))


def test_a_character_of_which_the_limit_left_some_bytes_is_not_shown() -> None:
    tokenizer = tokenizer_of("byte-level")
    ids = tokenizer.encode("今天", add_special_tokens=False)
    assert len(ids) == 6
    assert kept(tokenizer, ids[:5], limit=5) == ("今", "length", ())
    said = tokenizer.encode("\ufffd", add_special_tokens=False)
    assert kept(tokenizer, [*said, tokenizer.eos_token_id]) == ("\ufffd", "eos", ()), "its own"


def test_a_stop_string_that_is_one_token_is_a_stop_too() -> None:
    tokenizer = tokenizer_of("byte-level")
    style = TextStyle(user="{instruction}{input}", assistant="A:", stop=("<|im_start|>", "</s>"))
    cat = tokenizer.encode("A cat", add_special_tokens=False)
    stop, eos = tokenizer.convert_tokens_to_ids(["<|im_start|>", "</s>"])
    assert kept(tokenizer, [*cat, stop, *cat], style=style) == ("A cat", "eos", ("stop",))
    assert kept(tokenizer, [*cat, eos], style=style) == ("A cat", "eos", ())


@pytest.mark.parametrize("demand", ["messages[0]['role'] != 'system'", "messages|length < 9"])
def test_a_template_that_takes_no_plain_question_keeps_nobody_from_answering(demand: str) -> None:
    tokenizer = deepcopy(tokenizer_of("byte-level"))
    tokenizer.chat_template = f"{{% if {demand} %}}{{{{ raise_exception('no') }}}}{{% endif %}}" + CHATML
    ends = Endings(tokenizer, None, STYLE)
    closing = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert (closing in ends.tokens, bool(ends.header)) == ((True, True) if "system" in demand else (False, False))
