"""`harness export`: what it writes is loaded by transformers, peft and llama.cpp, and answers as in the run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
import yaml
from gguf import GGUFReader
from peft import AutoPeftModelForCausalLM, PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness.errors import ModelError
from harness.export import AdapterBase, adapter_base
from harness.finished import find_matrix
from harness.gguf_converter import convert_folder, find_converter
from harness.prompts import STYLES, inference_prompt, render
from harness.records.data import Example
from harness.records.inputs import BaseInput
from harness.store import Store
from tests.pipeline.matrix import Place, make_place
from tests.servers.engine import needs_engine
from tests.tiny import tiny_model
from trainers.checkpoints import load_variant
from trainers.gguf_file import write_gguf
from trainers.models import convert, load, locate
from trainers.precision import resolve

pytestmark = pytest.mark.slow
ASKED = Example(id="e", instruction="Name a pet.", output="")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = make_place(tmp_path_factory.mktemp("export") / "p")
    place.edit("seed: [1, 2]", "seed: [1]")
    done = place.harness("run", "matrix.yaml")
    assert done.returncode == 0, done.stderr
    return place


def test_a_merged_variant_is_what_was_trained(place: Place, tmp_path: Path) -> None:
    store = Store(place.folder / "runs")
    variants = {each.variant.name: each for each in find_matrix(store, "tiny").plan.variants}
    for method in ("full", "lora"):
        folder = tmp_path / method
        done = place.harness("export", "tiny", "--variant", f"phi/{method}", "--to", str(folder))
        assert done.returncode == 0, done.stderr
        assert "model.safetensors" in done.stdout
        tokenizer = AutoTokenizer.from_pretrained(folder)
        asked = tokenizer.apply_chat_template(
            [{"role": "user", "content": "Name a pet."}], tokenize=False, add_generation_prompt=True
        )
        assert asked == "".join(segment.text for segment in inference_prompt(render(STYLES["phi"], ASKED)))
        [name] = [name for name in variants if f"phi/{method}" in name]
        train, base = variants[name].train, variants[name].base
        assert train is not None
        trained = load_variant(store.weights(train), store.weights(base)).model.state_dict()
        exported = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).state_dict()
        assert exported.keys() == trained.keys()
        answered_low = resolve("auto") == "bf16"
        for key, weight in trained.items():
            assert torch.equal(exported[key], weight.bfloat16().float() if answered_low else weight), key
        assert "note:" not in done.stdout


def test_another_dtype_is_asked_for_and_told_in_card_and_output(place: Place, tmp_path: Path) -> None:
    answered, other = ("bfloat16", "float32") if resolve("auto") == "bf16" else ("float32", "bfloat16")
    done = place.harness("export", "tiny", "--variant", "phi/lora", "--dtype", other, "--to", str(tmp_path / "e"))
    assert done.returncode == 0, done.stderr
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "e").dtype == getattr(torch, other)
    told = f"these weights: {other}; the variant answered in {answered}"
    assert told in done.stdout
    assert told in (tmp_path / "e" / "README.md").read_text()


def test_the_card_tells_hub_and_reader_what_was_measured(place: Place, tmp_path: Path) -> None:
    assert place.harness("export", "tiny", "--variant", "phi/full", "--to", str(tmp_path / "e")).returncode == 0
    text = (tmp_path / "e" / "README.md").read_text()
    _, head, body = text.split("---\n", 2)
    facts = yaml.safe_load(head)
    [entry] = facts["model-index"]
    names = {metric["type"] for result in entry["results"] for metric in result["metrics"]}
    assert {"bleu", "chrf", "rougeL"} <= names
    assert "52 test items" in body
    assert "95 % interval" in body
    assert str(place.folder) not in text


def test_an_adapter_stays_one(place: Place, tmp_path: Path) -> None:
    folder = tmp_path / "a"
    done = place.harness("export", "tiny", "--variant", "phi/lora", "--adapter", "--to", str(folder))
    assert done.returncode == 0, done.stderr
    base = AutoModelForCausalLM.from_pretrained(place.folder / "model", dtype=torch.float32)
    ids = torch.tensor([[5, 6, 7]])
    before = base(ids).logits
    after = PeftModel.from_pretrained(base, folder)(ids).logits
    assert not torch.equal(before, after)
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(place.folder / "model")
    for loaded in (AutoModelForCausalLM, AutoPeftModelForCausalLM):
        assert torch.equal(loaded.from_pretrained(folder, dtype=torch.float32)(ids).logits, after)
    assert "note:" not in done.stdout


def test_an_adapter_names_a_hub_model_at_its_commit_and_what_else_it_needs(tmp_path: Path) -> None:
    commit = "0123456789" * 4
    hub = BaseInput(kind="hub", identity=f"org/name@{commit}")
    assert adapter_base("org/name", hub, tmp_path, tmp_path) == AdapterBase("org/name", commit)
    found = adapter_base("smollm2-135m", BaseInput(kind="gguf", identity="0" * 64), tmp_path / "base", tmp_path)
    assert (found.name, found.revision) == (str(tmp_path / "base"), None)
    assert "smollm2-135m came as a GGUF file" in found.note
    moved = adapter_base("gone", BaseInput(kind="folder", identity="0" * 64), tmp_path / "base", tmp_path)
    assert moved.name == str(tmp_path / "base")
    assert "no longer where" in moved.note


def test_refusals_say_what_to_do(place: Place, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    for arguments, said in (
        (("--variant", "phi/full", "--to", str(tmp_path / "full")), "is not empty"),
        (("--variant", "phi/full", "--to", str(tmp_path / "full" / "mine.txt")), "is a file"),
        (("--variant", "phi/full", "--to", str(tmp_path / "full" / "mine.txt" / "x")), "another folder with --to"),
        (("--variant", "phi/none", "--to", str(tmp_path / "x")), "trained variants:"),
        (("--to", str(tmp_path / "x")), "choose one with --variant"),
        (("--variant", "phi/full", "--adapter", "--to", str(tmp_path / "x")), "without --adapter"),
        (
            ("--variant", "phi/lora", "--adapter", "--dtype", "float32", "--to", str(tmp_path / "x")),
            "leave --dtype out",
        ),
        (("--variant", "phi/full", "--gguf", "f16", "--to", str(tmp_path / "x")), "--base-gguf"),
        (("--variant", "phi/full", "--gguf", "f16", "--converter", "no.py", "--to", str(tmp_path / "x")), "no.py"),
    ):
        done = place.harness("export", "tiny", *arguments)
        assert done.returncode == 2, arguments
        assert said in done.stderr, (arguments, done.stderr)
        assert "Traceback" not in done.stderr
    assert (tmp_path / "full" / "mine.txt").read_text() == "mine"
    assert not (tmp_path / "x").exists()


STAND_IN = """
import json
import sys
from pathlib import Path
from safetensors import safe_open
folder, _, out, _, kind = sys.argv[1:]
with safe_open(Path(folder) / "model.safetensors", "pt") as weights:
    assert not any("lora" in name for name in weights.keys())
assert (Path(folder) / "chat_template.jinja").is_file()
Path(out).write_text(kind)
"""


@pytest.mark.parametrize("form", [(), ("--adapter",)])
def test_a_converter_is_given_merged_weights(place: Place, tmp_path: Path, form: tuple[str, ...]) -> None:
    (tmp_path / "convert.py").write_text(STAND_IN)
    options = ("--variant", "phi/lora", *form, "--gguf", "f32", "--converter", str(tmp_path / "convert.py"))
    done = place.harness("export", "tiny", *options, "--to", str(tmp_path / "e"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "e" / "model.gguf").read_text() == "f32"
    assert (tmp_path / "e" / "Modelfile").is_file()
    assert (tmp_path / "e" / "adapter_config.json").is_file() == bool(form)
    assert not [path for path in (tmp_path / "e").iterdir() if path.is_dir()]


READERS = Path(sys.prefix) / "readers"
CONVERTER = READERS / "convert_hf_to_gguf.py"


def test_what_llama_cpp_does_not_know_is_said(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny tokenizer of our own is not among those that its converter knows."""
    assert CONVERTER.is_file(), "`make .venv/installed-dev` puts it there"
    monkeypatch.setenv("PYTHONPATH", str(READERS))
    options = ("--variant", "phi/full", "--gguf", "bf16", "--converter", str(CONVERTER))
    done = place.harness("export", "tiny", *options, "--to", str(tmp_path / "e"))
    assert done.returncode == 2
    assert "pre-tokenizer was not recognized" in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "e" / "model.safetensors").is_file()
    assert not list((tmp_path / "e").glob("*.gguf*"))


def test_our_gguf_file_holds_what_llama_cpp_s_converter_writes(
    shallow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(READERS))
    convert(locate(str(shallow)), tmp_path / "base")
    base = load(tmp_path / "base", dtype=torch.float32).model.state_dict()
    write_gguf(tmp_path / "ours.gguf", base, base, shallow, name="m", chat_template=None)
    convert_folder(find_converter(CONVERTER), tmp_path / "base", tmp_path / "theirs.gguf", "bf16")
    ours, theirs = (GGUFReader(tmp_path / f"{name}.gguf") for name in ("ours", "theirs"))
    expected = {tensor.name: tensor for tensor in theirs.tensors}
    assert {tensor.name for tensor in ours.tensors} == expected.keys()
    for tensor in ours.tensors:
        assert tensor.tensor_type == expected[tensor.name].tensor_type
        assert (tensor.data == expected[tensor.name].data).all(), tensor.name
    for key in ("tokenizer.ggml.tokens", "tokenizer.ggml.merges", "tokenizer.ggml.pre", "llama.attention.head_count"):
        assert ours.fields[key].contents() == theirs.fields[key].contents(), key


@needs_engine
def test_a_gguf_file_holds_the_trained_weights_and_llama_cpp_runs_it(shallow: Path, tmp_path: Path) -> None:
    import xllamacpp

    convert(locate(str(shallow)), tmp_path / "base")
    base = load(tmp_path / "base", dtype=torch.float32).model.state_dict()
    torch.manual_seed(0)
    trained = {name: weight + 0.01 * weight.std() * torch.randn_like(weight) for name, weight in base.items()}
    trained["lm_head.weight"] = trained["model.embed_tokens.weight"]
    path = tmp_path / "m.gguf"
    write_gguf(path, trained, base, shallow, name="m", chat_template="{{ messages[0]['content'] }}")
    convert(locate(str(path)), tmp_path / "read")
    read = load(tmp_path / "read", dtype=torch.float32).model
    for name, weight in read.state_dict().items():
        torch.testing.assert_close(weight, trained[name].bfloat16().float() if weight.ndim > 1 else trained[name])
    params = xllamacpp.CommonParams()
    params.model.path, params.verbosity, params.n_ctx, params.n_parallel = str(path), -1, 256, 1
    said = xllamacpp.Server(params).handle_chat_completions(
        {"messages": [{"role": "user", "content": "The capital of France is"}], "max_tokens": 8, "temperature": 0}
    )
    ids = AutoTokenizer.from_pretrained(tmp_path / "base")("The capital of France is", return_tensors="pt")
    expected = read.generate(**ids, max_new_tokens=8, do_sample=False)[0, ids["input_ids"].shape[1] :]
    text = AutoTokenizer.from_pretrained(tmp_path / "base").decode(expected[:4])
    assert said["choices"][0]["message"]["content"].strip().startswith(text.strip())


@needs_engine
def test_weights_that_do_not_fit_the_base_s_file_are_refused(shallow: Path, tmp_path: Path) -> None:
    other = tiny_model().state_dict()
    with pytest.raises(ModelError, match="has no weights for"):
        write_gguf(tmp_path / "m.gguf", other, other, shallow, name="m", chat_template=None)
    assert not list(tmp_path.iterdir())
