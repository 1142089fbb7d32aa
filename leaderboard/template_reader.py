"""As much of a tokenizer as its chat template needs, read from the files beside the weights: no tokenizer is loaded.

Renders as transformers' `apply_chat_template` does: Jinja in a sandbox, with its settings, filter and functions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

CONFIG, TEMPLATE, TOKENIZER = "tokenizer_config.json", "chat_template.jinja", "tokenizer.json"


@dataclass(frozen=True, slots=True)
class ControlToken:
    """An entry of `added_tokens_decoder`."""

    content: str
    special: bool

    def __str__(self) -> str:
        return self.content


@dataclass(frozen=True, slots=True)
class TemplateReader:
    """What `render_chat_template` asks of a tokenizer. `variables`: special tokens by name (`bos_token`, …)."""

    chat_template: str
    variables: Mapping[str, str]
    added_tokens_decoder: Mapping[int, ControlToken]

    @classmethod
    def of(cls, folder: Path) -> TemplateReader | None:
        """Of the tokenizer saved in a folder; None where none with a template lies there."""
        config = _json(folder / CONFIG)
        beside = folder / TEMPLATE
        template = beside.read_text(encoding="utf-8") if beside.is_file() else config.get("chat_template")
        if not isinstance(template, str):
            return None
        names = [name for name in config if name.endswith("_token")]
        return cls(template, {name: _content(config[name]) for name in names if config[name]}, _added(folder, config))

    def get_chat_template(self) -> str:
        """The template's text."""
        return self.chat_template

    def apply_chat_template(
        self, messages: Sequence[Mapping[str, str]], *, chat_template: str, tokenize: bool = False, **values: Any
    ) -> str:
        """A conversation as text. Raises jinja2.TemplateError where the template refuses it."""
        template = _environment().from_string(chat_template)
        return template.render(messages=messages, tools=None, documents=None, **self.variables, **values)


class _Generation(Extension):
    """`{% generation %}` marks what an assistant said; it adds nothing to the text."""

    tags = {"generation"}  # noqa: RUF012 - as Jinja declares it

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _environment() -> ImmutableSandboxedEnvironment:
    made = ImmutableSandboxedEnvironment(  # noqa: S701 - the text is no HTML; whoever shows it escapes it
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    made.filters["tojson"] = _as_json
    made.globals["raise_exception"] = _refuse
    made.globals["strftime_now"] = lambda form: datetime.now().strftime(form)  # noqa: DTZ005 - as transformers does
    return made


def _as_json(value: Any, **options: Any) -> str:
    """Without the escapes for HTML that Jinja's own filter adds."""
    return json.dumps(value, **({"ensure_ascii": False} | options))


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)


def _json(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def _content(token: Any) -> str:
    """A special token is saved as its text, or as an entry with settings."""
    return str(token["content"] if isinstance(token, dict) else token)


def _added(folder: Path, config: Mapping[str, Any]) -> dict[int, ControlToken]:
    told = config.get("added_tokens_decoder") or {
        each["id"]: each for each in _json(folder / TOKENIZER).get("added_tokens", ())
    }
    return {int(number): ControlToken(each["content"], bool(each.get("special"))) for number, each in told.items()}
