"""A trained model as a GGUF file, for llama.cpp, Ollama and LM Studio: the base's own file with other weights.

Tokenizer and hyperparameters are taken over from the GGUF file that the base came from. How its writer laid each matrix
out (llama.cpp permutes the queries and keys of Llama, adds one to Gemma's norms, turns GPT-2's) is not looked up but
seen: the layout that makes the base's weights equal to the file's is the one that the trained weights get.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args

import gguf
import numpy as np
from numpy.typing import NDArray

from harness.errors import ModelError

WeightType = Literal["f32", "f16", "bf16", "q8_0"]
WEIGHT_TYPES: tuple[WeightType, ...] = get_args(WeightType)
Array = NDArray[np.float32]
Layout = Callable[[Array, int], Array]
"""(weights as transformers has them, attention heads) -> as the file has them."""
FILE_TYPES = {
    "f32": gguf.LlamaFileType.ALL_F32,
    "f16": gguf.LlamaFileType.MOSTLY_F16,
    "bf16": gguf.LlamaFileType.MOSTLY_BF16,
    "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
}
OURS = ("GGUF.", "general.architecture", "general.name", "general.file_type", "tokenizer.chat_template")
"""Keys (or their beginnings) that are not taken over."""
Q8_BLOCK = 32


class Reader(gguf.GGUFReader):  # type: ignore[misc]  # it has no types
    """The same from a plain array: slicing a memory map a hundred thousand times takes thrice as long."""

    def _build_fields(self, *arguments: int) -> int:
        self.data: Any = np.asarray(self.data)
        return int(super()._build_fields(*arguments))


def write_gguf(  # noqa: PLR0913 - what a file is made of
    path: Path,
    state: dict[str, Any],
    base_state: dict[str, Any],
    base_file: Path,
    *,
    name: str,
    chat_template: str | None,
    weight_type: WeightType = "bf16",
) -> None:
    """Write `state` (a transformers state dict of torch tensors) to `path`, as `base_file` holds `base_state`.

    Matrices get `weight_type`, vectors stay float32. Raises ModelError where the two do not hold the same tensors, or
    one lies in the file in no known layout.
    """
    reader = Reader(base_file)
    architecture = reader.fields["general.architecture"].contents()
    names = _names(reader, architecture, state)
    part = path.with_name(path.name + ".part")
    writer = gguf.GGUFWriter(part, architecture)
    writer.add_name(name)
    writer.add_file_type(FILE_TYPES[weight_type])
    for key, field in reader.fields.items():
        if not key.startswith(OURS):
            _copy(writer, key, field)
    if chat_template is not None:
        writer.add_chat_template(chat_template)
    heads = (_heads(reader, architecture, "head_count"), _heads(reader, architecture, "head_count_kv"))
    for tensor in reader.tensors:
        there = names[tensor.name]
        stored = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        layout, n_heads = _layout(_numpy(base_state[there]), stored, heads, tensor.name)
        _add(writer, tensor.name, layout(_numpy(state[there]), n_heads), weight_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    part.replace(path)


def _numpy(tensor: Any) -> Array:
    array: Array = tensor.detach().float().cpu().numpy()
    return array


def _names(reader: gguf.GGUFReader, architecture: str, state: dict[str, Any]) -> dict[str, str]:
    """Names in the state dict by the file's tensor names."""
    known = {text: number for number, text in gguf.MODEL_ARCH_NAMES.items()}
    if architecture not in known:
        raise ModelError(f"the package gguf does not know the architecture {architecture!r}", hint="update gguf")
    blocks = int(reader.fields[f"{architecture}.block_count"].contents())
    table = gguf.get_tensor_name_map(known[architecture], blocks)
    found: dict[str, str] = {}
    for name in state:
        there = table.get_name(name, try_suffixes=(".weight", ".bias"))
        if there is not None:
            found[there] = name
    missing = [tensor.name for tensor in reader.tensors if tensor.name not in found]
    if missing:
        raise ModelError(f"the trained model has no weights for {missing[0]} of the base's GGUF file")
    return found


def _copy(writer: gguf.GGUFWriter, key: str, field: Any) -> None:
    kind = field.types[0]
    sub_type = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
    writer.add_key_value(key, field.contents(), kind, sub_type)


def _heads(reader: gguf.GGUFReader, architecture: str, which: str) -> int:
    field = reader.fields.get(f"{architecture}.attention.{which}")
    return int(field.contents()) if field is not None else 0


def _as_it_is(weights: Array, _: int) -> Array:
    return weights


def _plus_one(weights: Array, _: int) -> Array:
    return weights + 1


def _turned(weights: Array, _: int) -> Array:
    return np.ascontiguousarray(weights.T)


def _permuted(weights: Array, n_heads: int) -> Array:
    """Rotary halves of each head interleaved, as llama.cpp has queries and keys."""
    halves = weights.reshape(n_heads, 2, weights.shape[0] // n_heads // 2, *weights.shape[1:])
    return halves.swapaxes(1, 2).reshape(weights.shape)


def _layouts(weights: Array, heads: tuple[int, ...]) -> Iterator[tuple[Layout, int]]:
    yield _as_it_is, 0
    yield _plus_one, 0
    for n_heads in dict.fromkeys(heads):
        if n_heads and weights.shape[0] % (2 * n_heads) == 0:
            yield _permuted, n_heads
    if weights.ndim == 2:
        yield _turned, 0


def _layout(base: Array, stored: Array, heads: tuple[int, ...], name: str) -> tuple[Layout, int]:
    for layout, n_heads in _layouts(base, heads):
        laid = layout(base, n_heads)
        # a base kept in bfloat16 has lost the file's last bits
        if laid.shape == stored.shape and np.allclose(laid, stored, rtol=1e-2, atol=1e-6):
            return layout, n_heads
    raise ModelError(
        f"{name} does not hold the base's weights in a known layout",
        hint="name llama.cpp's convert_hf_to_gguf.py with --converter",
    )


def _add(writer: gguf.GGUFWriter, name: str, weights: Array, weight_type: WeightType) -> None:
    if weights.ndim < 2:
        kind = "F32"
    elif weight_type == "q8_0" and weights.shape[-1] % Q8_BLOCK:
        kind = "F16"
    else:
        kind = weight_type.upper()
    number = gguf.GGMLQuantizationType[kind]
    writer.add_tensor(name, gguf.quants.quantize(weights, number), raw_dtype=number)
