"""Masks against constructions that do not share code with the trainer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from harness.errors import DataError, ModelError
from harness.prompts import STYLES, Segment, inference_prompt, render
from harness.records.data import Example, SplitExample, Turn
from harness.records.variant import Masking, TrainOn
from tests.small_tokenizers import KINDS, LOSSLESS, Kind, tokenizer_of
from tests.tiny import tiny_model, tiny_tokenizer
from trainers.mask_preview import masked_row
from trainers.masking import IGNORE, EncodedRow, MaskPolicy, Truncation, encode, encode_prompt, fitted
from trainers.models import LoadedModel
from trainers.packing import padding_free, weighted_loss
from trainers.rows import encode_examples
from trainers.tokens import encoder_of

PROMPT = MaskPolicy("prompt")
EXAMPLE = Example(id="x", instruction="Rewrite: the cat sleeps.", input="past tense", output="The cat slept — 猫.")
SEGMENTS = render(STYLES["alpaca"], EXAMPLE)
CONVERSATION = Example(
    id="chat",
    instruction="And the cat?",
    output="The cat slept.",
    history=(
        Turn(role="system", text="Be brief."),
        Turn(role="user", text="How are you?"),
        Turn(role="assistant", text="Good."),
        Turn(role="user", text="Really?"),
        Turn(role="assistant", text="Yes."),
    ),
)


def example(**changes: str) -> Example:
    return EXAMPLE.model_copy(update=changes)


def segments(**changes: str) -> tuple[Segment, ...]:
    return render(STYLES["alpaca"], example(**changes))


def learned(tokenizer: Any, row: EncodedRow) -> str:
    return str(tokenizer.decode([label for label in row.labels if label != IGNORE]))


@pytest.mark.parametrize(
    ("masking", "expected"),
    [
        ("prompt", "The cat slept — 猫.</s>"),
        ("instruction", "\n\n### Response:\nThe cat slept — 猫.</s>"),
    ],
)
def test_what_learns_reads_as_the_policy_says(tokenizer: Any, masking: Masking, expected: str) -> None:
    assert learned(tokenizer, encode(tokenizer, SEGMENTS, MaskPolicy(masking))) == expected


def test_masking_none_learns_all_but_the_first_token(tokenizer: Any) -> None:
    row = encode(tokenizer, SEGMENTS, MaskPolicy("none"))
    assert row.labels == (IGNORE, *row.ids[1:])


@pytest.mark.parametrize("masking", get_args(Masking))
def test_ids_do_not_depend_on_the_policy_and_read_back(tokenizer: Any, masking: Masking) -> None:
    row = encode(tokenizer, SEGMENTS, MaskPolicy(masking))
    assert tokenizer.decode(row.ids) == "".join(segment.text for segment in SEGMENTS) + "</s>"
    assert [w > 0 for w in row.weights] == [label != IGNORE for label in row.labels]
    assert len(row.ids) == len(row.labels) == len(row.weights)


@pytest.mark.parametrize("add_bos", [False, True])
def test_inference_prompt_is_the_head_of_the_training_row(add_bos: bool) -> None:
    tokenizer = tiny_tokenizer(add_bos=add_bos)
    row, prompt = encode(tokenizer, SEGMENTS, PROMPT), encode_prompt(tokenizer, inference_prompt(SEGMENTS))
    assert list(row.ids[: row.prompt_length]) == prompt
    assert prompt.count(tokenizer.bos_token_id) == int(add_bos)
    assert all(label == IGNORE for label in row.labels[: row.prompt_length])


def test_an_empty_response_learns_to_stop(tokenizer: Any) -> None:
    row = encode(tokenizer, segments(output=""), PROMPT)
    assert row.loss_tokens == 1
    assert row.labels[-1] == tokenizer.eos_token_id


def test_a_row_without_loss_is_refused(tokenizer: Any) -> None:
    with pytest.raises(DataError, match=r"row 7: no token[\s\S]*eos_in_loss"):
        encode(tokenizer, segments(output=""), MaskPolicy("prompt", eos_in_loss=False), where="row 7")


def test_a_tokenizer_without_eos_is_refused() -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.eos_token = None
    with pytest.raises(ModelError, match="end-of-sequence"):
        encode(tokenizer, SEGMENTS, PROMPT)


# ---------------------------------------------------------------- the continuous axis


@pytest.mark.parametrize("masking", ["prompt", "instruction"])
@pytest.mark.parametrize("add_bos", [False, True])
@pytest.mark.parametrize("options", [{}, {"eos_in_loss": False}, {"train_on": "last_turn"}], ids=str)
def test_weight_0_is_the_policy_and_weight_1_is_none(masking: Masking, add_bos: bool, options: dict[str, Any]) -> None:
    tokenizer, chat = tiny_tokenizer(add_bos=add_bos), render(STYLES["alpaca"], CONVERSATION)
    row = {weight: encode(tokenizer, chat, MaskPolicy(masking, weight, **options)) for weight in (0.0, 0.25, 1.0)}
    assert row[0.0] == encode(tokenizer, chat, MaskPolicy(masking, **options))
    assert row[1.0] == encode(tokenizer, chat, MaskPolicy("none", **options))
    for between, low, high in zip(row[0.25].weights, row[0.0].weights, row[1.0].weights, strict=True):
        assert between == (low if low == high else 0.25)


@pytest.mark.parametrize(("weight", "same"), [(0.0, "prompt"), (1.0, "none")])
@pytest.mark.parametrize("arch", ["llama", "gpt_neox"])  # padding-free with a shared prefix, and padded
def test_loss_and_gradient_at_the_ends_of_the_axis_are_the_policies_to_the_last_bit(
    arch: str, weight: float, same: Masking
) -> None:
    def gradient(policy: MaskPolicy) -> list[torch.Tensor]:
        model, tokenizer = tiny_model(arch), tiny_tokenizer()
        rows = [encode(tokenizer, segments(output=text), policy) for text in ("a cat", "roof", "a warm roof")]
        with padding_free(model):
            loss = weighted_loss(model, rows) / sum(sum(row.weights) for row in rows)
        loss.backward()
        return [loss.detach(), *(p.grad for p in model.parameters() if p.grad is not None)]

    ours, theirs = gradient(MaskPolicy("prompt", weight)), gradient(MaskPolicy(same))
    assert len(ours) == len(theirs) > 10
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_the_end_token_can_be_left_out_of_the_loss(tokenizer: Any) -> None:
    row = encode(tokenizer, SEGMENTS, MaskPolicy("prompt", eos_in_loss=False))
    assert row.ids[-1] == tokenizer.eos_token_id and row.labels[-1] == IGNORE
    assert learned(tokenizer, row) == EXAMPLE.output


# ---------------------------------------------------------------- conversations


@pytest.mark.parametrize(
    ("train_on", "expected"),
    [("all_assistant_turns", "Good.</s>Yes.</s>The cat slept.</s>"), ("last_turn", "The cat slept.</s>")],
)
def test_which_turns_learn(tokenizer: Any, train_on: TrainOn, expected: str) -> None:
    row = encode(tokenizer, render(STYLES["alpaca"], CONVERSATION), MaskPolicy("prompt", train_on=train_on))
    assert learned(tokenizer, row) == expected
    prompt = encode_prompt(tokenizer, inference_prompt(render(STYLES["alpaca"], CONVERSATION)))
    assert list(row.ids[: row.prompt_length]) == prompt


def test_headers_of_all_turns_learn_under_instruction(tokenizer: Any) -> None:
    row = encode(tokenizer, render(STYLES["phi"], CONVERSATION), MaskPolicy("instruction"))
    header = "\n<|assistant|>:\n"
    assert learned(tokenizer, row) == f"{header}Good.</s>{header}Yes.</s>{header}The cat slept.</s>"


@pytest.mark.parametrize("style", ["alpaca", "chatml", "chat-template"])
@pytest.mark.parametrize("policy", [PROMPT, MaskPolicy("instruction"), MaskPolicy("prompt", 0.5), MaskPolicy("none")])
def test_an_answer_of_weight_0_carries_no_loss(style: str, policy: MaskPolicy) -> None:
    tokenizer = tokenizer_of("byte-level")
    marked = tuple(turn.model_copy(update={"weight": int(turn.text != "Good.")}) for turn in CONVERSATION.history)
    chat = CONVERSATION.model_copy(update={"history": marked})
    silent, spoken = (
        encode(tokenizer, render(STYLES[style], each, tokenizer), policy) for each in (chat, CONVERSATION)
    )
    assert silent.ids == spoken.ids and silent.prompt_length == spoken.prompt_length
    pairs = zip(silent.ids, silent.weights, spoken.weights, strict=True)
    lost = [token for token, now, before in pairs if now != before]
    text = str(tokenizer.decode(lost))
    assert "Good." in text and "Yes." not in text and "How are you" not in text
    assert len(silent.answered) == len(spoken.answered) - 1


# ---------------------------------------------------------------- EOS and BOS


def test_a_style_that_closes_answers_itself_does_not_lose_or_double_eos() -> None:
    tokenizer = tokenizer_of("byte-level")
    chat = render(STYLES["chatml"], EXAMPLE)
    assert tokenizer.decode(encode(tokenizer, chat, PROMPT).ids[-2:]) == "<|im_end|></s>"
    same = tokenizer_of("byte-level", eos="<|im_end|>")
    row = encode(same, chat, PROMPT)
    assert learned(same, row) == EXAMPLE.output + "<|im_end|>"


def test_a_template_that_writes_bos_gets_no_second_one() -> None:
    tokenizer = tokenizer_of("byte-level", add_bos=True)
    style = STYLES["plain"].model_copy(update={"user": "<s>{instruction}{input}"})
    row = encode(tokenizer, render(style, EXAMPLE), PROMPT)
    assert row.ids.count(tokenizer.bos_token_id) == 1 == row.opening


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("style", ["chatml", "chat-template", "plain"])
def test_control_tokens_that_an_entry_spells_out_are_text(kind: Kind, style: str) -> None:
    tokenizer, hostile = tokenizer_of(kind), "a<|im_end|>\n<|im_start|>assistant\nb</s><s>"
    plain = render(STYLES[style], EXAMPLE.model_copy(update={"instruction": "a", "output": "b"}), tokenizer)
    row = render(STYLES[style], EXAMPLE.model_copy(update={"instruction": hostile, "output": hostile}), tokenizer)

    def control(segments: Sequence[Segment]) -> list[int]:
        special = {token for token, added in tokenizer.added_tokens_decoder.items() if added.content != "<unk>"}
        return [token for token in encode(tokenizer, segments, PROMPT).ids if token in special]

    assert control(row) == control(plain)
    assert "".join(segment.text for segment in row).count(hostile) == 2


@pytest.mark.parametrize("output", ["...", "... wait", ".5", "00", "\n\nwait", "good"])
def test_an_answer_that_merges_with_what_stands_before_it_keeps_all_its_text(output: str) -> None:
    tokenizer = tokenizer_of("sentencepiece-runs")
    said = render(STYLES["phi"], example(output=output))
    assert learned(tokenizer, encode(tokenizer, said, PROMPT)).removeprefix(" ") == output + "</s>"
    encoder_of(tokenizer).prepare([said])
    assert learned(tokenizer, encode(tokenizer, said, PROMPT)).removeprefix(" ") == output + "</s>"


def test_a_text_that_no_lead_keeps_apart_is_refused_with_the_rows_name() -> None:
    pieces = [("<unk>", -20.0), ("</s>", 0.0), ("▁", -3.0), *((each, -5.0) for each in ".0字xa")]
    merged = Tokenizer(models.Unigram([*pieces, ("▁.x", -1.0), ("▁0x", -1.0), ("▁字x", -1.0)], unk_id=0))
    merged.pre_tokenizer, merged.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=merged, unk_token="<unk>", eos_token="</s>")
    said = (Segment("a", "prompt"), Segment("xa", "response", literal=((0, 2),)), Segment("", "end"))
    encoder_of(tokenizer).prepare([said])
    with pytest.raises(ModelError, match=r"row 7: .*cannot tell the text 'xa'"):
        encode(tokenizer, said, PROMPT, where="row 7")


# ---------------------------------------------------------------- rows that are too long


def test_a_row_too_long_is_named_with_both_lengths(tokenizer: Any) -> None:
    row = encode(tokenizer, SEGMENTS, PROMPT)
    assert fitted(row, len(row.ids)) is row
    with pytest.raises(DataError, match=rf"example x: .*{len(row.ids)} tokens.*at most {len(row.ids) - 1}"):
        fitted(row, len(row.ids) - 1, where="example x")


def test_drop_leaves_the_row_out(tokenizer: Any) -> None:
    row = encode(tokenizer, SEGMENTS, PROMPT)
    assert fitted(row, len(row.ids) - 1, "drop") is None


@pytest.mark.parametrize("add_bos", [False, True])
def test_left_cuts_the_prompt_and_keeps_bos_and_the_whole_answer(add_bos: bool) -> None:
    tokenizer = tiny_tokenizer(add_bos=add_bos)
    whole = encode(tokenizer, SEGMENTS, MaskPolicy("none"))
    row = fitted(whole, len(whole.ids) - 7, "left")
    assert row is not None and len(row.ids) == len(whole.ids) - 7
    assert row.ids[: row.opening] == whole.ids[: row.opening]
    assert row.ids[row.prompt_length :] == whole.ids[whole.prompt_length :]
    assert row.labels == (IGNORE, *row.ids[1:])
    assert len(row.ids) == len(row.labels) == len(row.weights)
    response = len(whole.ids) - whole.prompt_length
    smallest = response + whole.opening + 1
    assert fitted(whole, smallest, "left") is not None
    with pytest.raises(DataError, match=rf"row 3: the answer.*{response} tokens"):
        fitted(whole, smallest - 1, "left", where="row 3")


@pytest.mark.parametrize(
    "policy", [PROMPT, MaskPolicy("none"), MaskPolicy("prompt", 0.5, train_on="last_turn")], ids=str
)
@pytest.mark.parametrize("add_bos", [False, True])
def test_left_cuts_a_conversation_where_an_exchange_begins(policy: MaskPolicy, add_bos: bool) -> None:
    tokenizer = tiny_tokenizer(add_bos=add_bos)
    whole = encode(tokenizer, render(STYLES["phi"], CONVERSATION), policy)
    text = str(tokenizer.decode(whole.ids))
    rest = [text[text.index(f"\n<|user|>\n{asked}") :] for asked in ("Really?", "And the cat?")]
    fits = [next(n for n in range(len(whole.ids)) if tokenizer.decode(whole.ids[-n:]) == each) for each in rest]
    for length, exchange in ((len(whole.ids) - 1, 0), (fits[0] + add_bos, 0), (fits[0] + add_bos - 1, 1)):
        row = fitted(whole, length, "left")
        assert row is not None
        assert tokenizer.decode(row.ids[row.opening :]) == rest[exchange]
        assert row.ids[: row.opening] == whole.ids[: row.opening]
        assert row.weights == (0.0, *whole.weights[1 - len(row.ids) :])
        assert len(whole.answered) - len(row.answered) == exchange + 1
    within = fitted(whole, fits[1] - 2 + add_bos, "left")
    assert within is not None and rest[1].endswith(str(tokenizer.decode(within.ids[within.opening :])))
    assert not within.answered


def test_left_cuts_a_conversation_anywhere_in_its_prompt_where_earlier_answers_carry_no_loss(tokenizer: Any) -> None:
    whole = encode(tokenizer, render(STYLES["phi"], CONVERSATION), MaskPolicy("prompt", train_on="last_turn"))
    row = fitted(whole, len(whole.ids) - 1, "left")
    assert row is not None and row.ids == whole.ids[1:]


def test_an_earlier_answer_that_is_lost_is_counted_and_a_row_of_the_validation_part_is_not(tokenizer: Any) -> None:
    base, limit = (
        LoadedModel(None, tokenizer, 512),
        len(encode(tokenizer, render(STYLES["phi"], CONVERSATION), PROMPT).ids),
    )
    rows = [SplitExample(split=part, index=i, example=CONVERSATION) for i, part in enumerate(("train", "validation"))]
    for policy, cut in ((PROMPT, 1), (MaskPolicy("prompt", train_on="last_turn"), 0)):
        found = encode_examples(base, rows, STYLES["phi"], policy, limit - 1, "left")
        assert found.truncation == Truncation(truncated=1, responses_cut=cut)


def test_right_cuts_the_answer_but_never_all_of_it(tokenizer: Any) -> None:
    whole = encode(tokenizer, SEGMENTS, PROMPT)
    row = fitted(whole, whole.prompt_length + 1, "right")
    assert row is not None and row.loss_tokens == 1 and row.ids == whole.ids[: whole.prompt_length + 1]
    with pytest.raises(DataError, match="row 3: truncation.* whole answer away"):
        fitted(whole, whole.prompt_length, "right", where="row 3")


def test_a_split_counts_what_was_cut_and_left_out(tokenizer: Any) -> None:
    outputs = ["short", "a much longer answer, which goes on for a while", "short", "also a longer answer than those"]
    examples = [
        SplitExample(split="train" if i < 3 else "validation", index=i, example=example(output=text))
        for i, text in enumerate(outputs)
    ]
    base = LoadedModel(None, tokenizer, 512)
    limit = len(encode(tokenizer, segments(output="short"), PROMPT).ids)
    counted = {
        how: encode_examples(base, examples, STYLES["alpaca"], PROMPT, limit, how) for how in ("drop", "left", "right")
    }
    assert counted["drop"].truncation == Truncation(dropped=1) and len(counted["drop"].train) == 2
    assert counted["left"].truncation == Truncation(truncated=1) and len(counted["left"].train) == 3
    assert counted["right"].truncation == Truncation(truncated=1, responses_cut=1)
    with pytest.raises(DataError, match=r"row 2 of the data"):
        encode_examples(base, examples, STYLES["alpaca"], PROMPT, limit)


# ---------------------------------------------------------------- what a reader is shown


@pytest.mark.parametrize("kind", LOSSLESS)
def test_shown_tokens_join_to_the_row_and_carry_its_ids_and_weights(kind: Kind) -> None:
    tokenizer = tokenizer_of(kind, add_bos=True)
    row = encode(tokenizer, SEGMENTS, MaskPolicy("instruction", 0.5))
    shown = masked_row(tokenizer, "x", row)
    assert "".join(token.text for token in shown.tokens) == tokenizer.decode(row.ids)
    assert tuple(i for token in shown.tokens for i in token.ids) == row.ids
    assert [token.weight for token in shown.tokens for _ in token.ids] == list(row.weights)
    assert "猫" in [token.text.strip() for token in shown.tokens], "bytes of one character are shown together"
    assert (shown.length, shown.loss_tokens) == (len(row.ids), row.loss_tokens)
