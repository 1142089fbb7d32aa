"""matrix.yaml -> MatrixSpec, and the JSON Schema for editors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.credentials import found_in
from harness.errors import SpecError
from harness.spec.data import FORMATS
from harness.spec.matrix import MatrixSpec
from harness.yaml_record import parse_record


def load_spec(path: Path) -> MatrixSpec:
    """Read and check a matrix file. Raises SpecError with every problem."""
    return parse_spec(read_text(path), str(path))


def read_text(path: Path) -> str:
    """What stands in a matrix file. Raises SpecError."""
    try:
        if holds_data(path):
            raise SpecError(
                [f"{path}: this looks like data, not like a matrix file"],
                hint=f"name it in a matrix, `data: {path.name}`; examples/ has some",
            )
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as e:
        reason = "no such file" if isinstance(e, FileNotFoundError) else f"cannot be read ({e})"
        raise SpecError([f"{path}: {reason}"], hint="give the path of a matrix file; examples/ has some") from e


def holds_data(path: Path) -> bool:
    """Whether a file is data by its ending; of JSON, which a matrix may be too, whether it is a list."""
    match FORMATS.get(path.suffix.lower()):
        case None:
            return False
        case "json":
            with path.open("rb") as f:
                return f.read(1024).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[")
        case _:
            return path.is_file()


def parse_spec(text: str, where: str) -> MatrixSpec:
    """Check matrix text; `where` names it in messages."""
    return parse_record(
        text,
        where,
        MatrixSpec,
        "a matrix file",
        hint="`harness schema` prints every key with its meaning",
        check=refuse_credentials,
    )


def refuse_credentials(root: Any, where: str) -> None:
    """Raises SpecError where a matrix holds keys or passwords; alone, because other messages quote values."""
    found = sorted(found_in(root))
    if found:
        raise SpecError(
            [
                f"{where}:{line}: {place}: a key or password has no place in a matrix: the file is kept in the store "
                "and in reports, and shared"
                for line, place in found
            ],
            hint="put it into the environment (openai reads OPENAI_API_KEY, or the variable named by the option "
            "api_key_env; ollama reads OLLAMA_API_KEY), and replace it where it has been shared",
        )


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a matrix file, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **MatrixSpec.model_json_schema()}
