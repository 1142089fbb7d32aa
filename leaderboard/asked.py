"""The prompt of an item as a variant's model was given it."""

from __future__ import annotations

from harness.errors import HarnessError
from harness.prompts import STYLES, inference_prompt, render
from harness.prompts.frozen import frozen_style
from harness.records.data import Example
from harness.records.inputs import GenerateInput
from harness.records.plan import VariantPlan
from harness.records.style import ChatTemplateStyle, PromptStyle, TextStyle
from harness.store import MatrixRun, Store
from leaderboard.template_reader import TemplateReader


def prompt_of(run: MatrixRun, store: Store, plan: VariantPlan, example: Example) -> str | None:
    """The text up to where the answer begins; None where neither style nor chat template is kept."""
    try:
        style = _style(run, store, plan)
        if style is None:
            return None
        tokenizer = None if isinstance(style, TextStyle) else _template(store, plan)
        return "".join(segment.text for segment in inference_prompt(render(style, example, tokenizer)))
    except HarnessError:
        return None


def _template(store: Store, plan: VariantPlan) -> TemplateReader | None:
    """The chat template saved with the trained weights; an adapter has its base's."""
    folders = [store.weights(key) for key in (plan.train, plan.base) if key is not None]
    return next((found for folder in folders if (found := TemplateReader.of(folder)) is not None), None)


def _style(run: MatrixRun, store: Store, plan: VariantPlan) -> PromptStyle | None:
    """The style beside the trained weights, or the shipped one with the bytes that the responses were asked with."""
    inputs = (stage.input for stage in run.plan.stages if stage.key == plan.generate)
    wanted = next((each.style_sha256 for each in inputs if isinstance(each, GenerateInput)), None)
    trained = frozen_style(store.weights(plan.train)) if plan.train else None
    known = [trained] if trained is not None else []
    return next((s for s in (*known, *STYLES.values(), ChatTemplateStyle()) if s.sha256 == wanted), None)
