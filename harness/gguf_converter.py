"""llama.cpp's own converter from Hugging Face folders to GGUF, run as the program that it is.

It knows every architecture and tokenizer that llama.cpp runs, and changes with it; so its users name it.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from pathlib import Path

from harness.errors import ModelError

COMMAND = "convert-hf-to-gguf"
GET_IT = (
    "name llama.cpp's script with --converter llama.cpp/convert_hf_to_gguf.py (git clone"
    " https://github.com/ggml-org/llama.cpp), or the base's GGUF file with --base-gguf"
)


def find_converter(given: Path | None) -> list[str]:
    """The command line's beginning: the script that is given, else the command on the PATH. Raises ModelError."""
    if given is not None:
        if not given.is_file():
            raise ModelError(f"no such converter: {given}", hint=GET_IT)
        return [sys.executable, str(given)] if given.suffix == ".py" else [str(given)]
    found = shutil.which(COMMAND)
    if found is None:
        raise ModelError("a base that was no GGUF file needs llama.cpp's converter", hint=GET_IT)
    return [found]


def convert_folder(converter: list[str], folder: Path, path: Path, weight_type: str) -> None:
    """Write the model in `folder` (safetensors, tokenizer, chat template) to `path`. Raises ModelError.

    On a terminal the converter's own progress is shown: a large model takes minutes.
    """
    part = path.with_name(path.name + ".part")
    try:
        status, said = _run([*converter, str(folder), "--outfile", str(part), "--outtype", weight_type])
        if status or not part.is_file():
            last = ([line for line in said.splitlines() if line.strip()] or ["nothing"])[-1].strip()
            raise ModelError(
                f"the converter ended with status {status}: {last}",
                where=str(folder),
                hint="the folder holds the model without a GGUF file; a newer llama.cpp may know more architectures",
            )
        part.replace(path)
    finally:  # Ctrl-C too
        part.unlink(missing_ok=True)


def _run(command: list[str]) -> tuple[int, str]:
    """Exit status, and what was said."""
    try:
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)  # noqa: S603
    except OSError as error:
        raise ModelError(f"{command[0]} does not start: {error.strerror}", hint=GET_IT) from error
    said, shown = b"", sys.stderr.isatty()
    with running:
        assert isinstance(running.stderr, io.BufferedReader)  # noqa: S101 - a pipe, read as it comes
        while part := running.stderr.read1():
            said += part
            if shown:
                sys.stderr.write(part.decode(errors="replace"))
                sys.stderr.flush()
    return running.returncode, said.decode(errors="replace")
