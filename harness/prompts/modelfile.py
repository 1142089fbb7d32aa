"""A prompt style as a Modelfile of Ollama, beside a GGUF file."""

from __future__ import annotations

from harness.prompts.rendering import split_template, stop_strings
from harness.records.style import PromptStyle, TextStyle


def modelfile(style: PromptStyle, gguf_file: str) -> str:
    """What `ollama create NAME -f Modelfile` reads; a tokenizer's own chat template Ollama takes from the GGUF file.

    One exchange is what Ollama's templates are written for: earlier turns are put by repeating it.
    """
    lines = [f"FROM ./{gguf_file}"]
    if isinstance(style, TextStyle):
        lines.append(f'TEMPLATE """{_template(style)}"""')
    lines += [f"PARAMETER stop {_quoted(stop)}" for stop in stop_strings(style)]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """Ollama takes the quotes off and undoes no escapes."""
    quotes = '"""' if '"' in text else '"'
    return quotes + text + quotes


def _template(style: TextStyle) -> str:
    system = _filled(style.system, system="{{ .System }}")
    default = style.system.replace("{system}", style.default_system) if style.default_system else ""
    opening = f"{{{{ if .System }}}}{system}{{{{ else }}}}{default}{{{{ end }}}}" if style.system else ""
    question = _filled(style.user, instruction="{{ .Prompt }}", system=opening)
    opening = "" if "{system}" in style.user else opening
    answer = _filled(style.response, output="{{ .Response }}")
    return opening + question + style.assistant + answer + style.end


def _filled(template: str, **values: str) -> str:
    return "".join(
        values.get(text, "") if is_placeholder else text for text, is_placeholder in split_template(template)
    )
