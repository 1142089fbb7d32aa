"""Somebody else's converter, run as a program: what it shows, how it fails, what it leaves."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.errors import ModelError
from harness.gguf_converter import convert_folder

SCRIPT = """
import os, sys
to = sys.argv[sys.argv.index("--outfile") + 1]
print("x" * 200_000)  # more than a pipe holds
os.write(2, b"INFO:loading\\n\\rWriting: 50%\\xff\\rWriting: 100%\\n")
open(to, "w").write("half")
if os.environ.get("FAILS"):
    sys.exit("Model DreamForCausalLM is not supported")
"""


def convert(folder: Path) -> Path:
    script, path = folder / "convert.py", folder / "model.gguf"
    script.write_text(SCRIPT)
    convert_folder([sys.executable, str(script)], folder, path, "f16")
    return path


@pytest.mark.parametrize("terminal", [True, False])
def test_its_progress_is_shown_on_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], terminal: bool
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    assert convert(tmp_path).read_text() == "half"
    assert ("Writing: 100%" in capsys.readouterr().err) is terminal


def test_a_failure_is_told_in_its_last_words_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAILS", "1")
    with pytest.raises(ModelError, match="status 1: Model DreamForCausalLM is not supported"):
        convert(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"convert.py"}


def test_what_does_not_start_says_what_to_get(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not start") as caught:
        convert_folder([str(tmp_path)], tmp_path, tmp_path / "model.gguf", "f16")
    assert "llama.cpp" in (caught.value.hint or "")
