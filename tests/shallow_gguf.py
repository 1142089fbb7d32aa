"""SmolLM2 as packaged, but with its first layers only: a real GGUF model that a test can wait for."""

from __future__ import annotations

from pathlib import Path

import gguf

from harness.gguf import locate_gguf
from trainers.gguf_file import Reader

LAYERS = 6


def write_shallow(path: Path) -> None:
    """Write the file. Tensors stay as they are quantised."""
    reader = Reader(locate_gguf("smollm2-135m"))
    architecture = reader.fields["general.architecture"].contents()
    writer = gguf.GGUFWriter(path, architecture)
    for key, field in reader.fields.items():
        if key.startswith("GGUF.") or key == "general.architecture":
            continue
        kind = field.types[0]
        value = LAYERS if key == f"{architecture}.block_count" else field.contents()
        writer.add_key_value(key, value, kind, field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None)
    for tensor in reader.tensors:
        block = tensor.name.split(".")[1] if tensor.name.startswith("blk.") else "0"
        if int(block) < LAYERS:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
