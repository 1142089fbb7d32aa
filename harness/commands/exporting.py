"""`harness export`: a trained variant for other programs."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.commands.parsing import Commands, command_line, quiet_libraries


def add(commands: Commands) -> None:
    """Add it to the parser."""
    sub = commands.add(
        "export", export_variant, "write a trained variant as a folder for transformers, vLLM, Ollama", on_store=True
    )
    sub.add_argument("run", help="a matrix of the store, by name or by its file")
    sub.add_argument("--to", type=Path, required=True, metavar="DIR", help="a new folder")
    sub.add_argument("--variant", metavar="NAME", help="a trained variant or cell (default: the only one)")
    sub.add_argument("--adapter", action="store_true", help="the LoRA adapter, not merged into its base")
    sub.add_argument(
        "--dtype",
        choices=["float32", "bfloat16"],
        help="of merged weights (default: that in which the variant answered)",
    )
    sub.add_argument(
        "--gguf",
        choices=["f32", "f16", "bf16", "q8_0"],
        help="write model.gguf and an Ollama Modelfile too, with this type of weights",
    )
    sub.add_argument(
        "--base-gguf", type=Path, metavar="FILE", help="--gguf: the base's GGUF file (default: the one trained from)"
    )
    sub.add_argument(
        "--converter",
        type=Path,
        metavar="FILE",
        help="--gguf of a base that was no GGUF file: llama.cpp's convert_hf_to_gguf.py (default: the command"
        " convert-hf-to-gguf)",
    )


def export_variant(arguments: argparse.Namespace) -> int:
    """`harness export`."""
    from harness.export import export, pick
    from harness.finished import find_matrix
    from harness.store import Store

    store = Store(arguments.store)
    run = find_matrix(store, arguments.run)
    variant = pick(run, arguments.variant)
    print(f"{variant.variant.name} is written to {arguments.to}:", flush=True)  # a large one takes minutes
    quiet_libraries()
    exported = export(
        run,
        store,
        variant,
        arguments.to,
        form="adapter" if arguments.adapter else "merged",
        dtype=arguments.dtype,
        beside=Path(arguments.run).parent if arguments.run.endswith((".yaml", ".yml")) else Path(),
        gguf=arguments.gguf,
        base_file=arguments.base_gguf,
        converter=arguments.converter,
    )
    for path in exported.files:
        print(f"  {path} ({path.stat().st_size / 1e6:.1f} MB)")
    for note in exported.notes:
        print(f"note: {note}")
    if arguments.gguf:
        print(command_line("ollama", "create", "my-model", "-f", arguments.to / "Modelfile"))
    return 0
