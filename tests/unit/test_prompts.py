"""Prompt styles: bytes as published, conversations, style files, chat templates, styles frozen into checkpoints."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness.errors import DataError, HarnessError, ModelError, SpecError
from harness.prompts import (
    STYLES,
    Answer,
    TextStyle,
    answer,
    freeze,
    frozen_style,
    inference_prompt,
    load_style,
    refuse_another_style,
    render,
    stop_strings,
    style_file,
)  # fmt: skip
from harness.prompts.modelfile import modelfile
from harness.records.data import Example, Turn
from harness.thoughts import graded
from reports.style_terminal import print_style
from tests.small_tokenizers import tokenizer_of

WITH = Example(id="w", instruction="Name it.", input="A pet", output="A cat.")
WITHOUT = WITH.model_copy(update={"input": ""})
SYSTEM = Turn(role="system", text="Be brief.")
TURNS = (Turn(role="user", text="Hi"), Turn(role="assistant", text="Hello."))
CHAT = WITH.model_copy(update={"history": (SYSTEM, *TURNS)})


def text(style: str, example: Example, tokenizer: Any = None) -> str:
    return "".join(segment.text for segment in render(STYLES[style], example, tokenizer))


HEAD = "Below is an instruction that describes a task. Write a response that appropriately completes the request."


@pytest.mark.parametrize(
    ("style", "example", "expected"),
    [  # the book, chapter 7 and exercise 7.1
        ("alpaca", WITH, f"{HEAD}\n\n### Instruction:\nName it.\n\n### Input:\nA pet\n\n### Response:\nA cat."),
        ("alpaca", WITHOUT, f"{HEAD}\n\n### Instruction:\nName it.\n\n### Response:\nA cat."),
        ("phi", WITH, "<|user|>\nName it.\nA pet\n<|assistant|>:\nA cat."),
        ("human-assistant", WITH, "Human: Name it.\nA pet\n\nAssistant: A cat."),
        ("alpaca-zh", WITH, "### 指令:\nName it.\n\n### 输入:\nA pet\n\n### 输出:\nA cat."),
        ("plain", WITHOUT, "Name it.\nA cat."),
        # FastChat's conversation template "vicuna_v1.1"
        (
            "vicuna",
            WITHOUT,
            "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, "
            "detailed, and polite answers to the user's questions. USER: Name it. ASSISTANT: A cat.",
        ),
        # Meta's llama repository, `chat_completion`
        (
            "llama-2",
            CHAT.model_copy(update={"input": ""}),
            "[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST] Hello. <s>[INST] Name it. [/INST] A cat. ",
        ),
        # Meta's llama3 repository, `ChatFormat.encode_dialog_prompt`
        (
            "llama-3",
            CHAT.model_copy(update={"input": ""}),
            "<|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\nHello.<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nName it.<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\nA cat.<|eot_id|>",
        ),
    ],
)
def test_built_in_styles_are_the_published_bytes(style: str, example: Example, expected: str) -> None:
    assert text(style, example) == expected


def test_a_system_message_takes_the_place_of_the_default_one() -> None:
    assert text("alpaca", CHAT).startswith("Be brief.\n\n### Instruction:\nHi\n\n### Response:\nHello.\n\n### Inst")


def test_what_an_entry_says_is_never_read_as_a_template() -> None:
    example = WITH.model_copy(update={"instruction": "{input} {output}", "input": "{instruction}"})
    assert "### Instruction:\n{input} {output}\n\n### Input:\n{instruction}\n\n" in text("alpaca", example)


def test_turns_out_of_order_are_refused() -> None:
    with pytest.raises(DataError, match=r"example w: .*user, user"):
        text("alpaca", WITH.model_copy(update={"history": (TURNS[0], TURNS[0])}))


def test_a_style_without_a_place_for_a_system_message_says_so() -> None:
    style = TextStyle(name="bare", user="{instruction}{input}", assistant="A:")
    with pytest.raises(DataError, match=r"example w: the prompt style 'bare' has no place"):
        render(style, CHAT)


def test_identity_is_content() -> None:
    alpaca = STYLES["alpaca"]
    assert alpaca.model_copy(update={"name": "renamed"}).sha256 == alpaca.sha256
    assert alpaca.model_copy(update={"separator": "\n"}).sha256 != alpaca.sha256
    assert len({style.sha256 for style in STYLES.values()}) == len(STYLES) == 10


def test_an_answer_ends_at_a_stop_string_and_loses_the_styles_surroundings() -> None:
    style = TextStyle(user="{instruction}{input}", assistant="A:", response=" {output}!", end="<end>\n", stop=("Q:",))
    assert stop_strings(style) == ("<end>", "Q:")
    assert answer(style, " a cat!<end>\nQ: more") == answer(style, " a cat!Q: more<end>") == Answer("a cat", ("stop",))
    assert answer(style, "a cat") == Answer("a cat")
    blank, hashes = (style.model_copy(update={"response": "{output}", "end": end}) for end in ("\n\n", "\n###"))
    assert answer(blank, "a cat\n\nA dog") == Answer("a cat", ("stop",))
    assert answer(hashes, "see ### one\n###\n") == Answer("see ### one", ("stop",))


@pytest.mark.parametrize(
    ("style", "generated", "text", "cuts"),
    [
        ("alpaca", "### Response:\nRed.", "Red.", ("template",)),
        ("alpaca", "Red.\n\n### Instruction:\nName another.\n\n### Response:\nBlue.", "Red.", ("template",)),
        ("alpaca", "The header is `### Instruction:`.\n", "The header is `### Instruction:`.\n", ()),
        ("phi", "\n<|assistant|>:\nRed.\n<|user|>\nmore", "Red.", ("template",)),
        ("alpaca", "### Instruction: again", "", ("template",)),
        ("alpaca", f"Paris.\n\n{STYLES['alpaca'].default_system}\n\n### Instruction:\nAnd", "Paris.", ("template",)),
        ("alpaca", "Paris.\n\n### Input:\nWhat about\n\n### Response:\nfoo", "Paris.", ("template",)),
        ("alpaca", "Paris.\n\n### Response:\nParis.", "Paris.", ("template",)),
        ("alpaca", "The parts:\n### Input: a number\n", "The parts:\n### Input: a number\n", ()),
        ("alpaca", "Below is an instruction for use:\nshake.", "Below is an instruction for use:\nshake.", ()),
        ("vicuna", " Paris.\nUSER: What about Rome?\nASSISTANT: Rome", "Paris.", ("template",)),
        ("vicuna", " Paris.\nASSISTANT: Paris", "Paris.", ("template",)),
        ("vicuna", " Ask the USER: they know.", "Ask the USER: they know.", ()),
        ("vicuna", f" Paris.\n{STYLES['vicuna'].default_system} USER: And", "Paris.", ("template",)),
        ("alpaca", "<think>\nParis?\n### Response:\n</think>\n\nParis.", "Paris.", ("thoughts",)),
        ("alpaca", "<think>a</think><think>b</think>Paris.\n### Instruction:", "Paris.", ("thoughts", "template")),
        ("chat-template", "\n<think>\nParis?\n</think>\n\nParis.", "Paris.", ("thoughts",)),
        ("chat-template", "<think>\nParis? Or", "", ("thoughts",)),
        ("chat-template", "Paris? Or\n</think>\n\nParis.", "Paris.", ("thoughts",)),
        ("chat-template", "<thinking> is no <think>x</think>", "<thinking> is no <think>x</think>", ()),
        ("chat-template", "`</think>` ends thoughts.", "`</think>` ends thoughts.", ()),
    ],
)
def test_a_model_that_writes_the_template_itself_is_cut_by_rule(
    style: str, generated: str, text: str, cuts: tuple[str, ...]
) -> None:
    assert answer(STYLES[style], generated) == Answer(text, cuts)  # type: ignore[arg-type]


def test_a_reference_is_graded_without_its_thoughts() -> None:
    plain = Example(id="a", instruction="Name a colour.", output="Red.")
    thinking = plain.model_copy(update={"output": "<think>\nBlue?\n</think>\n\nRed.", "alternatives": ("Green.",)})
    assert graded(plain) is plain
    assert graded(thinking).references == ("Red.", "Green.") and thinking.output.startswith("<think>")


# ---------------------------------------------------------------- files


def written(folder: Path, content: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(content, encoding="utf-8")
    return path


def test_a_style_of_two_lines(tmp_path: Path) -> None:
    path = written(tmp_path, 'user: "Q: {instruction}{input}"\nassistant: "\\nA:"\n')
    style = load_style("mine.yaml", tmp_path)
    assert style == style_file(path) and style.name == "mine"
    assert "".join(s.text for s in inference_prompt(render(style, WITH))) == "Q: Name it.\nA pet\nA:"


def test_every_problem_of_a_file_comes_with_its_line(tmp_path: Path) -> None:
    lines = ['user: "{input}{output}"', 'assistant: "{output}"', "sistem: x", 'stop: [""]', "response: a"]
    path = written(tmp_path, "\n".join([*lines, 'system: "{system}{system}"', "input: '{input}'", "input: x\n"]))
    with pytest.raises(SpecError) as caught:
        style_file(path)
    assert list(caught.value.problems) == [
        f"{path}:1: user: {{output}} means nothing here; it belongs in `response`",
        f"{path}:2: assistant: {{output}} means nothing here; it belongs in `response`",
        f"{path}:3: sistem: unknown key; did you mean 'system'? known: {', '.join(TextStyle.model_fields)}",
        f"{path}:4: stop: an empty string would stop everything; leave it out",
        f"{path}:5: response: needs {{output}} exactly once, and has it 0 times",
        f"{path}:6: system: needs {{system}} exactly once, and has it 2 times",
        f"{path}:7: input: needs {{input}} exactly once, and has it 0 times",
        f"{path}:8: input: listed twice",
    ]
    with pytest.raises(SpecError, match="unknown placeholder {instuction}; did you mean {instruction}"):
        style_file(written(tmp_path, 'user: "{instuction}{input}"\nassistant: ""\n'))
    with pytest.raises(SpecError, match="`system` has no template"):
        style_file(written(tmp_path, 'user: "{instruction}{input}"\nassistant: ""\ndefault_system: x\n'))


def test_braces_of_other_kinds_are_text(tmp_path: Path) -> None:
    style = style_file(written(tmp_path, 'user: "{instruction}{input}"\nassistant: "\\\\boxed{answer} {}"\n'))
    assert render(style, WITHOUT)[1].text == "\\boxed{answer} {}"


def test_what_a_style_may_not_mean_is_told(tmp_path: Path) -> None:
    user, blank = '"Q: {{instruction}} {question}{input}"', '"\\nA: "'
    style = style_file(written(tmp_path, f"user: {user}\nassistant: {blank}\n"))
    placeholder, header = style.doubts
    assert placeholder == "user: taken as text: {{…}} around {instruction}, {question}"
    assert header.startswith("assistant: ends with a blank")
    doubtful = {name for name, each in STYLES.items() if isinstance(each, TextStyle) and each.doubts}
    assert doubtful == {"human-assistant"}, "which is written as it is handed down"
    shown = io.StringIO()
    print_style(style, Console(file=shown, width=200))
    assert "warning: user: taken as text: {{…}} around {instruction}, {question}" in shown.getvalue()


def test_unknown_names_and_files(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="did you mean 'alpaca'"):
        load_style("alpacca")
    with pytest.raises(SpecError, match=r"none\.yaml: no such file"):
        load_style("none.yaml", tmp_path)


# ---------------------------------------------------------------- the tokenizer's own template


def roles(example: Example, tokenizer: Any) -> list[tuple[str, str, bool]]:
    return [(s.role, s.text, s.past) for s in render(STYLES["chat-template"], example, tokenizer)]


def test_chat_template_is_taken_apart_and_joins_to_its_own_text() -> None:
    tokenizer = tokenizer_of("byte-level")
    assert roles(CHAT, tokenizer) == [
        ("prompt", "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n", True),
        ("header", "<|im_start|>assistant\n", True),
        ("response", "Hello.", True),
        ("end", "<|im_end|>", True),
        ("prompt", "\n<|im_start|>user\nName it.\nA pet<|im_end|>\n", False),
        ("header", "<|im_start|>assistant\n", False),
        ("response", "A cat.", False),
        ("end", "<|im_end|>", False),
    ]
    assert text("chat-template", CHAT, tokenizer) == text("chatml", CHAT)


def with_template(template: str) -> Any:
    tokenizer = tokenizer_of("byte-level", eos="<|im_end|>")
    tokenizer = type(tokenizer)(tokenizer_object=tokenizer.backend_tokenizer, eos_token="</s>", bos_token="<s>")
    tokenizer.chat_template = template
    return tokenizer


def test_a_template_that_puts_something_before_the_last_answer_only() -> None:
    """As Qwen3's does with its empty thought."""
    template = (
        "{% for m in messages %}[{{ m.role }}]{% if loop.last and m.role == 'assistant' %}<think></think>{% endif %}"
        "{{ m.content | trim }}</s>{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    found = roles(WITHOUT.model_copy(update={"history": TURNS}), with_template(template))
    assert [(role, piece) for role, piece, _ in found if role in ("response", "end")] == [
        ("response", "Hello."), ("end", "</s>"), ("response", "<think></think>A cat."), ("end", "</s>"),
    ]  # fmt: skip


def test_a_template_that_rewrites_answers_is_refused() -> None:
    template = "{% for m in messages %}{{ m.content | upper }}{% endfor %}"
    with pytest.raises(ModelError, match="example w: .*rewrites answers"):
        roles(WITH, with_template(template))


def test_a_template_that_takes_text_out_of_the_answer_is_refused() -> None:
    """As DeepSeek-R1-Distill's, which drops the thoughts."""
    template = (
        "{% for m in messages %}[{{ m.role }}]{{ m.content.split('</think>')[-1] | trim }}</s>{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    tokenizer = with_template(template)
    assert roles(WITHOUT.model_copy(update={"output": " A cat. "}), tokenizer)[2][1] == "A cat."
    past = WITHOUT.model_copy(update={"history": (TURNS[0], Turn(role="assistant", text="<think>Hm.</think>Hello."))})
    assert "Hello." in [piece for _, piece, _ in roles(past, tokenizer)], "as the template means it"
    with pytest.raises(ModelError, match=r"example w.*: .*takes text out of the answer, or changes it"):
        roles(WITHOUT.model_copy(update={"output": "<think>Pets purr.</think>A cat."}), tokenizer)


def test_a_template_that_refuses_a_conversation_is_quoted() -> None:
    template = "{{ raise_exception('System role not supported') }}"
    with pytest.raises(DataError, match="example w: .*System role not supported"):
        roles(CHAT, with_template(template))


def test_a_template_that_names_the_date_gives_the_same_text_every_day() -> None:
    template = "{{ strftime_now('%d') }}{% for m in messages %}{{ m.content }}</s>{% endfor %}"
    assert roles(WITH, with_template(template))[0][1].startswith("26 Jul 2024")


def test_a_tokenizer_without_template_says_so() -> None:
    with pytest.raises(ModelError, match="no chat template"):
        roles(WITH, with_template(""))


# ---------------------------------------------------------------- frozen into a checkpoint


def test_weights_refuse_another_style(tmp_path: Path) -> None:
    assert frozen_style(tmp_path) is None
    refuse_another_style(tmp_path, STYLES["phi"])
    for name, style in STYLES.items():
        freeze(style, tmp_path)
        assert frozen_style(tmp_path) == style
        refuse_another_style(tmp_path, style.model_copy(update={"name": "renamed"}))
        other = "phi" if name != "phi" else "alpaca"
        with pytest.raises(ModelError, match=f"trained with the prompt style '{name}', not with '{other}'"):
            refuse_another_style(tmp_path, STYLES[other])


def test_a_damaged_record_is_no_permission(tmp_path: Path) -> None:
    (tmp_path / "prompt_style.json").write_text("{")
    with pytest.raises(ModelError, match=r"prompt_style\.json: is no prompt style"):
        refuse_another_style(tmp_path, STYLES["phi"])


def test_a_matrix_over_a_checkpoint_is_refused_while_planning_unless_forced(tiny_folder: Path, tmp_path: Path) -> None:
    from harness.resolve import resolve
    from harness.spec.reading import parse_spec

    shutil.copytree(tiny_folder, tmp_path / "tuned")
    freeze(STYLES["phi"], tmp_path / "tuned")
    matrix = "name: m\ndata: starter-en\naxes: {model: tuned, prompt_style: [phi, alpaca], method: [none, full]}\n"
    path = tmp_path / "m.yaml"
    with pytest.raises(SpecError, match="axes: .*tuned: .*trained with the prompt style 'phi', not with 'alpaca'"):
        resolve(parse_spec(matrix, "m.yaml"), path)
    resolve(parse_spec(matrix + "generate: {force_style: true}\n", "m.yaml"), path)
    resolve(parse_spec(matrix + "exclude: [{method: none, prompt_style: alpaca}]\n", "m.yaml"), path)


def test_generation_refuses_and_can_be_forced(tiny_folder: Path, tmp_path: Path) -> None:
    from harness.generators.local import generate_variant
    from harness.records.data import SplitExample
    from harness.records.inputs import GenerateInput
    from harness.records.settings import GenerateSettings

    shutil.copytree(tiny_folder, tmp_path / "tuned")
    freeze(STYLES["phi"], tmp_path / "tuned")
    tests = [SplitExample(split="test", index=0, example=WITH)]

    def first(force: bool) -> Any:
        settings = GenerateSettings(max_new_tokens=2, precision="fp32", force_style=force)
        wanted = GenerateInput(weights="w", base="b", data="d", style_sha256="s", settings=settings)
        return next(generate_variant(wanted, tmp_path / "tuned", tiny_folder, tests, STYLES["plain"]))

    with pytest.raises(ModelError, match="not with 'plain'"):
        first(force=False)
    assert first(force=True)[0].example_id == "w"


# ---------------------------------------------------------------- for Ollama


def unquoted(value: str) -> str:
    """`unquote` of Ollama's parser/parser.go, which knows no escapes."""
    if value.startswith('"""') and value.endswith('"""') and len(value) >= 6:
        return value[3:-3]
    return value[1:-1] if value.startswith('"') and value.endswith('"') else value


@pytest.mark.parametrize("stop", ["\n\n###", 'said "so"', 'a"\nb', "back\\slash", "</s>"])
def test_ollama_reads_the_stop_strings_that_the_style_has(stop: str) -> None:
    style = TextStyle(user="{instruction}{input}", assistant="A:", stop=(stop,))
    _, stops = modelfile(style, "m.gguf").split("PARAMETER stop ")
    assert unquoted(stops.removesuffix("\n")) == stop
