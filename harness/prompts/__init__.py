"""Prompt styles: training, generation and preview all render through `render`, so they cannot drift apart."""

from harness.prompts.chat_template import around_answer
from harness.prompts.frozen import freeze, frozen_style, refuse_another_style
from harness.prompts.rendering import Answer, answer, inference_prompt, render, stop_strings
from harness.prompts.segments import Role, Segment
from harness.prompts.style_file import STYLES, is_path, load_style, style_file
from harness.records.style import ChatTemplateStyle, PromptStyle, TextStyle

__all__ = [
    "STYLES", "Answer", "ChatTemplateStyle", "PromptStyle", "Role", "Segment", "TextStyle", "answer", "around_answer",
    "freeze",
    "frozen_style", "inference_prompt", "is_path", "load_style", "refuse_another_style", "render", "stop_strings",
    "style_file",
]  # fmt: skip
