"""Base models: a name becomes an identity (light, for the planner), then a folder of safetensors, then a loaded model.

`locate` imports neither torch nor transformers; `convert` and `load` do so inside.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from harness.errors import ModelError
from harness.gguf import PACKAGED, file_sha256, locate_gguf, packaged_sha256

if TYPE_CHECKING:
    import torch

# ---------------------------------------------------------------- what a name stands for


# Hub models from before names had an owner.
LEGACY_HUB_NAMES = ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl", "distilgpt2")

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_FOLDER_PATTERNS = ("*.json", "*.safetensors", "*.model", "*.jinja", "*.txt", "*.py")
_CONFIGS = ("config.json", "tokenizer_config.json")
_PICKLED = "pytorch_model*.bin"  # weights from before safetensors: read where there are no others
_HUB_PATTERNS = [*_FOLDER_PATTERNS, _PICKLED]


@dataclass(frozen=True, slots=True)
class BaseSource:
    """Where a base model's weights are, and the identity of their content.

    `identity`: sha256 of the GGUF file or over the folder's files; `org/name@commit` for a Hub model.
    `path`: the GGUF file or folder; None for a Hub model and a packaged one. `trust_remote_code`: it has Python code of
    its own, and that may run.
    """

    kind: Literal["gguf", "folder", "hub"]
    name: str
    identity: str
    path: Path | None
    licence: str | None = None
    trust_remote_code: bool = False


def locate(name: str, *, revision: str | None = None, trust_remote_code: bool = False) -> BaseSource:
    """Resolve a model name: an embedded model, a local folder or GGUF file, or a Hub id at one commit.

    Raises ModelError for a name that leads nowhere or an unreachable Hub, MissingExtra for an uninstalled package.
    """
    if name in PACKAGED:
        return BaseSource("gguf", name, packaged_sha256(name), None, PACKAGED[name].licence)
    path = Path(name).expanduser()
    if path.is_file() and path.suffix == ".gguf":
        return BaseSource("gguf", name, file_sha256(path), path.resolve())
    if path.is_dir():
        return _locate_folder(name, path, trust_remote_code)
    if name.startswith((".", "/", "~")) or name.endswith(".gguf"):
        raise ModelError(f"there is no model at {name}", hint="give a folder in Hugging Face layout, or a .gguf file")
    if name in LEGACY_HUB_NAMES or _HUB_NAME.fullmatch(name):
        found = BaseSource("hub", name, f"{name}@{_hub_commit(name, revision)}", None)
        trusted = trust_remote_code and _has_own_code(_snapshot(found, _CONFIGS))
        return replace(found, trust_remote_code=trusted)
    raise _unknown(name)


def _unknown(name: str) -> ModelError:
    known = [*PACKAGED, *LEGACY_HUB_NAMES]
    near = get_close_matches(name.lower(), known, n=1)
    return ModelError(
        f"unknown model {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
        hint=f"known: {', '.join(known)}; or org/name for a Hub model, or a folder, or a .gguf file",
    )


def _locate_folder(name: str, path: Path, trust_remote_code: bool) -> BaseSource:
    if not (path / "config.json").is_file():
        raise ModelError(f"{name} has no config.json", hint="a model folder has config.json, weights and tokenizer")
    trusted = trust_remote_code and _has_own_code(path)
    return BaseSource("folder", name, folder_sha256(path), path.resolve(), trust_remote_code=trusted)


def _has_own_code(folder: Path) -> bool:
    """Whether transformers finds the model's or the tokenizer's classes in code of the model's own."""
    return any(b'"auto_map"' in path.read_bytes() for path in map(folder.joinpath, _CONFIGS) if path.is_file())


def folder_sha256(folder: Path) -> str:
    """Hex sha256 over (relative path, file sha256) of config, tokenizer and weight files, sorted by path."""
    listing = [[path.relative_to(folder).as_posix(), file_sha256(path)] for path in _content(folder)]
    return hashlib.sha256(json.dumps(listing).encode()).hexdigest()


def _content(folder: Path) -> list[Path]:
    """The files that make the model, sorted."""
    patterns = _FOLDER_PATTERNS if any(folder.glob("*.safetensors")) else _HUB_PATTERNS
    return sorted({path for pattern in patterns for path in folder.glob(pattern)})


def _hub_commit(name: str, revision: str | None) -> str:
    """The commit a revision stands for: itself, else what the local cache recorded, else what the Hub says now.

    The cache comes first so that planning works offline and an upstream push does not retrain a finished matrix.
    """
    if revision is not None and _COMMIT.fullmatch(revision):
        return revision
    from huggingface_hub import HfApi, constants

    ref = Path(constants.HF_HUB_CACHE) / f"models--{name.replace('/', '--')}" / "refs" / (revision or "main")
    if ref.is_file():
        return ref.read_text().strip()
    try:
        commit = HfApi().model_info(name, revision=revision, timeout=20).sha
    except Exception as error:  # the client raises many kinds: offline, unknown, gated, time-out
        raise _hub_error(name, revision, error) from error
    if commit is None:
        raise ModelError(f"the Hub names no commit for {name}", hint="give `revision:` a commit of 40 hex digits")
    return commit


def _hub_error(name: str, revision: str | None, error: Exception) -> ModelError:
    at = f" at revision {revision!r}" if revision else ""
    reason = next(iter(str(error).splitlines()), type(error).__name__)
    answered = type(error).__name__ in ("RepositoryNotFoundError", "RevisionNotFoundError", "GatedRepoError")
    if answered:
        hint = "check the name; for a private or gated model accept its terms and run `hf auth login`"
    else:
        hint = (
            f"check the network, or fetch it where there is one (`hf download {name}`) and copy the cache, or give a"
            f" local folder as the model; {', '.join(PACKAGED)} need no network"
        )
    what = f"cannot reach model {name}{at} on the Hugging Face Hub: {reason}"
    return ModelError(what, hint=hint, unreachable=not answered)


# ---------------------------------------------------------------- conversion into the store


def convert(source: BaseSource, folder: Path) -> None:
    """Write weights (safetensors), tokenizer and config in Hugging Face layout into `folder`.

    A GGUF file is dequantised to float32; other weights keep their dtype. Raises ModelError when they cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if source.kind == "gguf":
        _convert_gguf(source, folder)
    elif source.kind == "hub":
        _convert_folder(_snapshot(source), folder, source)
    else:
        assert source.path is not None  # noqa: S101 - narrows the type; locate always sets it for a folder
        _convert_folder(source.path, folder, source)


def _convert_gguf(source: BaseSource, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    path = source.path or locate_gguf(source.name)
    with quiet(), _gguf_read_once(), _readable(source.name):
        model = AutoModelForCausalLM.from_pretrained(
            path.parent,
            gguf_file=path.name,
            quantization_config=GgufConfig(dequantize=True),
            dtype=torch.float32,
        )
        tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
        _save(model, tokenizer, folder)


@contextmanager
def _gguf_read_once() -> Iterator[None]:
    """Parse the file's metadata once where transformers would three times, and hide the bar that it draws.

    Its table of tensor names is made once, too, and not anew for each of a model's hundreds of modules.
    """
    import gguf
    from transformers import modeling_gguf_pytorch_utils as reader

    from trainers.gguf_file import Reader

    original = gguf.GGUFReader, gguf.get_tensor_name_map, reader.tqdm
    gguf.GGUFReader = lru_cache(maxsize=1)(Reader)
    gguf.get_tensor_name_map = lru_cache(maxsize=1)(gguf.get_tensor_name_map)
    reader.tqdm = partial(reader.tqdm, disable=True)
    try:
        yield
    finally:
        gguf.GGUFReader, gguf.get_tensor_name_map, reader.tqdm = original


def _snapshot(source: BaseSource, patterns: Sequence[str] = _HUB_PATTERNS) -> Path:
    from huggingface_hub import snapshot_download

    name, commit = source.identity.rsplit("@", 1)
    try:
        return Path(snapshot_download(name, revision=commit, allow_patterns=list(patterns)))
    except Exception as error:  # as in _hub_commit
        raise _hub_error(name, commit, error) from error


def _convert_folder(origin: Path, folder: Path, source: BaseSource) -> None:
    """Copy safetensors as they are; older pickled weights are read (weights only) and saved anew."""
    if any(origin.glob("*.safetensors")):
        for path in _content(origin):
            shutil.copyfile(path, folder / path.name)
        return
    with quiet(), _readable(source.name):
        model = _auto_model(origin, dtype="auto", trust_remote_code=source.trust_remote_code)
        _save(model, _auto_tokenizer(origin, source.trust_remote_code), folder)


def _save(model: Any, tokenizer: Any, folder: Path) -> None:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


# ---------------------------------------------------------------- loading


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A transformers causal language model in evaluation mode (None where only text is wanted), its tokenizer, and its
    context length in tokens.
    """

    model: Any
    tokenizer: Any
    context_length: int


def load(
    folder: Path,
    *,
    dtype: torch.dtype,
    trust_remote_code: bool = False,
    quantised: tuple[Any, torch.device] | None = None,
) -> LoadedModel:
    """Load a folder that `convert` or `save_pretrained` wrote. Raises ModelError when it does not load.

    `quantised`: transformers' quantisation config and the device that the model comes to; else it is on the CPU.
    """
    extra = {} if quantised is None else {"quantization_config": quantised[0], "device_map": {"": quantised[1]}}
    with quiet(), _readable(str(folder)):
        model = _auto_model(folder, dtype=dtype, trust_remote_code=trust_remote_code, **extra)
        tokenizer = _auto_tokenizer(folder, trust_remote_code)
    return LoadedModel(model.eval(), tokenizer, context_length(model.config))


def load_tokenizer(folder: Path, *, trust_remote_code: bool = False) -> tuple[Any, int]:
    """(tokenizer, context length in tokens) of such a folder, without its weights. Raises ModelError."""
    from transformers import AutoConfig

    with quiet(), _readable(str(folder)):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=trust_remote_code)
        return _auto_tokenizer(folder, trust_remote_code), context_length(config)


def read_tokenizer(source: BaseSource) -> tuple[Any, int]:
    """(tokenizer, context length in tokens) of a model that no store holds yet; its weights are not read."""
    from transformers import AutoConfig, AutoTokenizer

    if source.kind != "gguf":
        folder = source.path or _snapshot(source, [p for p in _FOLDER_PATTERNS if p != "*.safetensors"])
        return load_tokenizer(folder, trust_remote_code=source.trust_remote_code)
    path = source.path or locate_gguf(source.name)
    with quiet(), _gguf_read_once(), _readable(source.name):
        config = AutoConfig.from_pretrained(path.parent, gguf_file=path.name)
        return AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name), context_length(config)


def context_length(config: Any) -> int:
    """Longest sequence that a configuration's positions were made for, in tokens."""
    length = getattr(config.get_text_config(), "max_position_embeddings", None)
    if length is None:
        raise ModelError(
            f"the configuration {type(config).__name__} names no context length",
            hint="add max_position_embeddings to its config.json",
        )
    return int(length)


def _auto_model(folder: Path, *, dtype: torch.dtype | Literal["auto"], trust_remote_code: bool, **extra: Any) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, trust_remote_code=trust_remote_code, **extra)


def _auto_tokenizer(folder: Path, trust_remote_code: bool) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)


@contextmanager
def _readable(name: str) -> Iterator[None]:
    """Turn the many errors of model readers into one that says which model cannot be read."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:  # a full disk or missing right is not the model's fault
            raise
        raise _unreadable(name, error) from error
    except (ValueError, KeyError, ImportError, RuntimeError) as error:
        raise _unreadable(name, error) from error


def _unreadable(name: str, error: Exception) -> ModelError:
    reason = next(iter(str(error).splitlines()), type(error).__name__)
    return ModelError(
        f"model {name} cannot be read: {reason}",
        hint="it has to be a causal language model with its tokenizer; one that ships its own code needs"
        " `trust_remote_code: true`",
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' progress bars and notes out of the harness's own display."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
