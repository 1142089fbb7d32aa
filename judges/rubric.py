"""A rubric: what a judge is asked, and how its reply is read. One YAML file; its content is its identity."""

from __future__ import annotations

import hashlib
import json
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import yaml
from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import SandboxedEnvironment
from pydantic import ValidationError

from harness.errors import JudgeError
from harness.records import Example, Record

FOLDER = Path(__file__).parent / "rubrics"
PARSER_VERSION = 1
"""Raised when `judges.parse` would read an old reply differently."""


class Scale(Record):
    """Smallest and largest value of a verdict; more is better."""

    low: float
    high: float


class RubricTest(Record):
    """A reply and how it must be read. `value`: for `scored`."""

    reply: str
    kind: Literal["scored", "unparsed", "refused"]
    value: float | None = None


class Rubric(Record):
    """A rubric file. `system` and `user` are Jinja2 templates over instruction, input, reference and answer."""

    about: str
    scale: Scale
    system: str
    user: str
    answer_schema: dict[str, Any] | None = None
    max_tokens: int
    parser: Literal["last_number"] = "last_number"
    tests: tuple[RubricTest, ...]

    @property
    def prompt_sha256(self) -> str:
        """Identity of the question: whatever changes it asks again."""
        return _sha256([self.system, self.user, self.answer_schema, self.max_tokens])

    @property
    def parser_sha256(self) -> str:
        """Identity of the reading: whatever changes it reads the old replies again and asks nothing."""
        return _sha256([self.parser, PARSER_VERSION, self.scale.low, self.scale.high])

    @property
    def schema_text(self) -> str | None:
        """The answer's JSON Schema as text."""
        return None if self.answer_schema is None else json.dumps(self.answer_schema)

    def render(self, example: Example, answer: str) -> tuple[str, str]:
        """(system, user). Every foreign text goes in as a JSON string, so that it cannot leave its quotes."""
        values = {
            "instruction": quoted(example.instruction),
            "input": quoted(example.input) if example.input else "",
            "reference": quoted(example.output),
            "answer": quoted(answer),
        }
        return _template(self.system).render(values).strip(), _template(self.user).render(values).strip()


def quoted(text: str) -> str:
    """The text as a JSON string: quotes and line breaks inside it are escaped."""
    return json.dumps(text, ensure_ascii=False)


def _sha256(parts: list[Any]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@lru_cache(maxsize=64)
def _template(text: str) -> Any:
    # the text is for a model, not for a browser: no HTML escaping
    environment = SandboxedEnvironment(
        undefined=StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True
    )  # noqa: S701
    return environment.from_string(text)


def built_in() -> list[str]:
    """Names of the rubrics that ship with the program."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_rubric(name: str) -> Rubric:
    """A built-in rubric by name, or one from a YAML file. Raises JudgeError, with the file, for what is wrong in it."""
    path = FOLDER / f"{name}.yaml" if name in built_in() else Path(name)
    if not path.is_file():
        near = get_close_matches(name, built_in(), n=1)
        raise JudgeError(
            f"no rubric {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
            hint=f"built in: {', '.join(built_in())}; or give the path of a YAML file",
        )
    return _read(path, path.read_text(encoding="utf-8"))


@lru_cache(maxsize=32)
def _read(path: Path, text: str) -> Rubric:
    try:
        rubric = Rubric.model_validate(yaml.safe_load(text))
        rubric.render(Example(id="x", instruction="i", input="n", output="o"), "a")
    except ValidationError as e:
        found = "; ".join(f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in e.errors())
        raise JudgeError(found, where=str(path), hint="see judges/rubrics/correctness-5.yaml for an example") from e
    except (yaml.YAMLError, TemplateError) as e:
        raise JudgeError(str(e), where=str(path), hint="templates may use instruction, input, reference, answer") from e
    return rubric
