"""For any text, style, policy and tokenizer: what a row decodes to, what its labels are, how it begins."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from harness.prompts import STYLES, Segment, TextStyle, inference_prompt, render
from harness.records.data import Example, Turn
from tests.small_tokenizers import KINDS, LOSSLESS, SPECIAL, tokenizer_of
from trainers.masking import IGNORE, MaskPolicy, encode, encode_prompt

SPACED = "byte-level-prefix-space"
CONTROL = "|".join(map(re.escape, SPECIAL))
# ▁ is how SentencePiece writes a space; a lone surrogate is no text
TEXTS = st.text(
    st.one_of(st.characters(exclude_categories=["Cs"], exclude_characters="▁"), st.sampled_from(" \n#:<|>s/猫")),
    max_size=12,
)
SAID = st.one_of(
    TEXTS, st.sampled_from([*SPECIAL, "... 00.5", "### Response:\n", " two  spaces ", "{input}", "Ünï\r\n\t", "👩‍👩‍👧"])
)
HISTORY = st.one_of(
    st.just(()),
    st.builds(
        lambda system, asked, answered: (
            Turn(role="system", text=system),
            Turn(role="user", text=asked),
            Turn(role="assistant", text=answered),
        ),
        SAID, SAID, SAID,
    ),
)  # fmt: skip
EXAMPLES = st.builds(Example, id=st.just("x"), instruction=SAID, input=SAID, output=SAID, history=HISTORY)
POLICIES = st.builds(
    MaskPolicy,
    st.sampled_from(["none", "instruction", "prompt"]),
    st.sampled_from([0.0, 0.3, 1.0]),
    train_on=st.sampled_from(["all_assistant_turns", "last_turn"]),
)
TOKENIZERS = st.builds(tokenizer_of, st.sampled_from(KINDS), add_bos=st.booleans())
STYLE_NAMES = st.sampled_from(list(STYLES))


@settings(max_examples=300, deadline=None)
@given(EXAMPLES, STYLE_NAMES, POLICIES, TOKENIZERS)
def test_labels_are_ids_and_the_inference_prompt_is_the_head_of_the_row(
    example: Example, style: str, policy: MaskPolicy, tokenizer: Any
) -> None:
    segments = render(STYLES[style], example, tokenizer)
    assume(encode_prompt(tokenizer, inference_prompt(segments)))  # a lone end token has nothing to be predicted from
    row = encode(tokenizer, segments, policy)
    assert len(row.ids) == len(row.labels) == len(row.weights)
    for token, label, weight in zip(row.ids, row.labels, row.weights, strict=True):
        assert label == (token if weight > 0 else IGNORE)
    assert row.weights[0] == 0.0
    assert list(row.ids[: row.prompt_length]) == encode_prompt(tokenizer, inference_prompt(segments))
    assert row.ids[-1] == tokenizer.eos_token_id == row.labels[-1]
    if tokenizer.encode("") != []:
        assert row.ids[0] == tokenizer.bos_token_id
    written = "".join(segment.text for segment in segments)
    said = sum(text.count("<s>") for text in _texts(example))
    assert row.ids.count(tokenizer.bos_token_id) == written.count("<s>") - said + row.opening


@settings(max_examples=300, deadline=None)
@given(EXAMPLES, STYLE_NAMES, POLICIES, st.sampled_from(LOSSLESS), st.booleans())
def test_a_row_of_a_lossless_tokenizer_decodes_to_the_rendered_text(
    example: Example, style: str, policy: MaskPolicy, kind: Any, add_bos: bool
) -> None:
    tokenizer = tokenizer_of(kind, add_bos=add_bos)
    segments = render(STYLES[style], example, tokenizer)
    assume(encode_prompt(tokenizer, inference_prompt(segments)))
    row = encode(tokenizer, segments, policy)
    read = str(tokenizer.decode(row.ids[row.opening :]))
    expected = "".join(segment.text + closing(segment) for segment in segments)
    if kind == SPACED and not expected.startswith(" "):
        expected = " " + expected
    if kind in ("sentencepiece", "sentencepiece-runs"):  # reads one space at the very start of a text as its own
        expected = expected.removeprefix(" ")
    if kind in ("sentencepiece-legacy", SPACED) and writes_control_tokens(style):
        # such tokenizers read each stretch of text between control tokens as if a space stood before it
        read, expected = (re.sub(rf"(^|{CONTROL}) *", r"\1", text) for text in (read, expected))
    assert read == expected


@settings(max_examples=300, deadline=None)
@given(EXAMPLES, STYLE_NAMES, POLICIES, st.booleans())
def test_a_row_of_a_wordpiece_tokenizer_decodes_to_the_words_of_the_rendered_text(
    example: Example, style: str, policy: MaskPolicy, add_bos: bool
) -> None:
    """WordPiece knows no blanks and not every word. What holds exactly: without blanks, with `<unk>` in the place of
    every word that the vocabulary cannot spell, what is read is what was written.
    """
    tokenizer = tokenizer_of("wordpiece", add_bos=add_bos)
    segments = render(STYLES[style], example, tokenizer)
    assume(encode_prompt(tokenizer, inference_prompt(segments)))
    row = encode(tokenizer, segments, policy)
    expected = "".join(written_words(tokenizer, segment) + closing(segment) for segment in segments)
    assert str(tokenizer.decode(row.ids[row.opening :])).replace(" ", "") == expected


def closing(segment: Segment) -> str:
    return "</s>" if segment.role == "end" and (not segment.text or not segment.past) else ""


def written_words(tokenizer: Any, segment: Segment) -> str:
    """The segment's words as the pre-tokenizer cuts them, control tokens of the style kept whole."""
    words: list[str] = []
    done = 0
    for match in [*re.finditer(CONTROL, segment.text), None]:
        if match and any(start < match.end() and match.start() < end for start, end in segment.literal):
            continue  # spelled out by an entry: words like any others
        text = segment.text[done : match.start() if match else None]
        cut = tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str(text)
        words += [word if spelled(word, tokenizer.get_vocab()) else "<unk>" for word, _ in cut]
        if match:
            words.append(match[0])
            done = match.end()
    return "".join(words)


def spelled(word: str, vocabulary: dict[str, int]) -> bool:
    """Whether WordPiece finds pieces for the word: the longest first, as BERT's reference implementation does."""
    start = 0
    while start < len(word):
        ends = (end for end in range(len(word), start, -1) if ("##" * (start > 0)) + word[start:end] in vocabulary)
        start = next(ends, 0)
        if start == 0:
            return False
    return True


def writes_control_tokens(style: str) -> bool:
    chosen = STYLES[style]
    return not isinstance(chosen, TextStyle) or any(token in str(chosen) for token in SPECIAL)


def _texts(example: Example) -> list[str]:
    question = f"{example.instruction}\n{example.input}"
    return [question, example.output, *(turn.text for turn in example.history)]
