"""The answer in words, from a Result: what is better, by how much, and whether to believe it. Most important first."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, log10

from harness.records.result import CellScore, Comparison, FactorEffect, Interaction, Interval, MeasureInfo, Result

_AXIS_NAMES = {
    "model": "model",
    "prompt_style": "prompt style",
    "masking": "masking",
    "prompt_loss_weight": "prompt loss weight",
    "eos_in_loss": "EOS in the loss",
    "train_on": "train on",
    "lr": "learning rate",
    "rank": "adapter rank",
    "method": "method",
}


def answer(result: Result) -> tuple[str, ...]:
    """Sentences on the primary measure: effects that are shown, the best cell, effects not shown, what was left out."""
    info = next(info for info in result.measures if info.name == result.primary)
    left_out = [*_untrusted(result), *_failed(result)]
    if not info.ranks:
        return ("No measure of this run can be trusted, so nothing is claimed.", *left_out)
    effects = [effect for effect in result.effects if effect.measure == info.name]
    shown = sorted((e for e in effects if _is_shown(e.comparison)), key=lambda e: -abs(e.comparison.delta))
    rest = [effect for effect in effects if not _is_shown(effect.comparison)]
    return (
        *(_effect_sentence(effect, info, len(effects)) for effect in shown),
        *_best_sentences(result, info),
        *(_effect_sentence(effect, info, len(effects)) for effect in rest),
        *_interaction_sentences(result),
        *left_out,
    )


def _is_shown(comparison: Comparison) -> bool:
    return comparison.verdict in ("better", "worse")


# ---------------------------------------------------------------- effects of axes


def _effect_sentence(effect: FactorEffect, info: MeasureInfo, family: int) -> str:
    comparison = effect.comparison
    subject = _AXIS_NAMES.get(effect.axis, effect.axis)
    if _is_shown(comparison):
        return f"{_capital(_winner_clause(effect))} by {_gap(comparison, info, family)}."
    a, b = (_level(effect.axis, level) for level in (effect.a, effect.b))
    if comparison.verdict == "identical":
        return f"{_capital(subject)}: {a} and {b} score the same on every item."
    if comparison.verdict == "equivalent":
        return f"{_capital(subject)}: {a} and {b} are {_equivalent(comparison, family)}."
    if comparison.verdict == "too few items":
        return f"{_capital(subject)}: {a} and {b} share {_too_few(comparison, family)}."
    return f"{_capital(subject)}: no difference shown between {a} and {b} ({_not_shown(comparison, family)})."


def _equivalent(comparison: Comparison, family: int) -> str:
    """`equivalent within ±2 points (+0.3, 95 % CI −0.9 to 1.5, p = 0.003 after Holm over 3 effects; …)`."""
    digits = decimals(comparison.interval)
    signed = _signed(comparison.delta, digits)
    p = _corrected(comparison.p_equivalent, family)
    inside = ", ".join(part for part in (signed, _interval_words(comparison.interval, digits), p) if part)
    return f"equivalent within ±{comparison.margin:g} points ({inside}; {_scope(comparison)})"


def _too_few(comparison: Comparison, family: int) -> str:
    """Two words where there is no p; else what would have been said, and why it is not."""
    if comparison.p_adjusted is None:
        return f"too few scored items to compare ({comparison.n_items})"
    return f"too few scored items for a verdict ({_not_shown(comparison, family)}): {comparison.note}"


def _winner_clause(effect: FactorEffect) -> str:
    """Who beats whom: `prompt style: alpaca beats phi`; `training (lora) beats the untuned model`."""
    first_wins = effect.comparison.verdict == "better"
    winner, loser = (effect.a, effect.b) if first_wins else (effect.b, effect.a)
    if effect.axis == "method" and "none" in (winner, loser):
        return f"{_level('method', winner)} beats {_level('method', loser)}"
    return f"{_AXIS_NAMES.get(effect.axis, effect.axis)}: {winner} beats {loser}"


def _level(axis: str, level: str) -> str:
    """A level as a reader says it."""
    if axis == "method":
        return "the untuned model" if level == "none" else f"training ({level})"
    return level


def _gap(comparison: Comparison, info: MeasureInfo, family: int) -> str:
    """`3.1 ROUGE-L points (95 % CI 1.2 to 5.0, p = 0.004 after Holm over 3 effects; recipe scope: …)`."""
    delta, interval = abs(comparison.delta), comparison.interval
    if interval is not None and comparison.delta < 0:
        interval = Interval(low=-interval.high, high=-interval.low, level=interval.level)
    digits = decimals(interval)
    corrected = _corrected(comparison.p_adjusted, family)
    inside = ", ".join(part for part in (_interval_words(interval, digits), corrected) if part)
    return f"{number(delta, digits)} {info.label} points ({inside}; {_scope(comparison)})"


def _corrected(adjusted: float | None, family: int) -> str:
    if adjusted is None:
        return ""
    p = p_words(adjusted)
    return f"{p} after Holm over {family} effects" if family > 1 else p


def _not_shown(comparison: Comparison, family: int) -> str:
    digits = decimals(comparison.interval)
    signed = _signed(comparison.delta, digits)
    p = _corrected(comparison.p_adjusted, family)
    inside = ", ".join(part for part in (signed, _interval_words(comparison.interval, digits), p) if part)
    seen = "" if comparison.mde is None else f"; this run could have seen {number(comparison.mde, digits)} points"
    return f"{inside}{seen}; {_scope(comparison)}"


def _scope(comparison: Comparison) -> str:
    """Who the claim is about, and on how much it rests."""
    items = f"{comparison.n_items} items"
    if comparison.scope == "recipe":
        seeds = sorted({seeds for seeds in (comparison.seeds_a, comparison.seeds_b) if seeds})
        plural = "seed" if seeds == [1] else "seeds"
        return f"recipe scope: {' and '.join(map(str, seeds))} {plural}, {items}"
    tipping = comparison.tipping_point
    if tipping is not None and _is_shown(comparison):
        holds = f"holds for the recipe unless seeds vary by more than {number(tipping, 2)} points"
        return f"these checkpoints only: {items}, one seed; {holds}"
    return f"these checkpoints only: {items}"


def _interaction_sentences(result: Result) -> list[str]:
    """Interactions that are shown: `Masking: prompt − none is +1.9 with alpaca and −0.4 with phi (…)`."""
    return [_interaction_sentence(each, len(result.interactions)) for each in result.interactions if each.shown]


def _interaction_sentence(found: Interaction, family: int) -> str:
    digits = decimals(found.interval)
    a, b = (_level(found.axis, level) for level in (found.a, found.b))
    c, d = (_level(found.other_axis, level) for level in (found.c, found.d))
    at_c, at_d = (_signed(value, digits) for value in (found.at_c, found.at_d))
    p = "" if found.p_adjusted is None else p_words(found.p_adjusted)
    p += f" after Holm over {family} interactions" if family > 1 else ""
    inside = ", ".join(part for part in (_interval_words(found.interval, digits), p) if part)
    axis = _capital(_AXIS_NAMES.get(found.axis, found.axis))
    return (
        f"{axis}: {a} − {b} is {at_c} with {c} and {at_d} with {d} (apart by {number(found.delta, digits)}, {inside})."
    )


# ---------------------------------------------------------------- the best cell


def _best_sentences(result: Result, info: MeasureInfo) -> list[str]:
    scores = [(row.cell.name, _score(row.scores, info.name)) for row in result.rows]
    scored = [(name, score) for name, score in scores if score.mean is not None]
    if not scored:
        if info.corpus:
            return [f"No item has a score on {info.label} in every cell."]
        return [f"No response has a score on {info.label}."]
    name, best = scored[0]
    mean = 0.0 if best.mean is None else best.mean
    digits = decimals(best.interval)
    inside = _interval_words(best.interval, digits)
    sentence = "Highest" if info.higher_is_better else "Lowest"
    sentence += f" {info.label}: {name} with {number(mean, digits)}" + (f" ({inside})" if inside else "")
    if len(scored) == 1:
        return [f"{sentence}."]
    return [f"{sentence}; {_tied(scored)}{_picked(result, name, digits)}."]


def _picked(result: Result, name: str, digits: int) -> str:
    """What picking the best of many adds to its figure."""
    winner = result.winner
    if winner is None or winner.cell != name or float(number(winner.optimism, digits)) == 0:
        return ""
    return f"; picked out of {winner.out_of}, its score is expected to be {number(winner.optimism, digits)} too good"


def _score(scores: Sequence[CellScore], measure: str) -> CellScore:
    return next(score for score in scores if score.measure == measure)


def _tied(scored: Sequence[tuple[str, CellScore]]) -> str:
    """What the ranks allow: `ranks 1–3 cannot be told apart: b and c may be as good`."""
    high = scored[0][1].rank_high
    if high is None:
        return "ranks are not known"
    if high == 1:
        return "it beats every other variant"
    rivals = [name for name, score in scored[1:] if score.rank_low == 1]
    also = f": {_list(rivals)} may be as good" if rivals else ""
    return f"ranks 1–{high} cannot be told apart{also}"


# ---------------------------------------------------------------- what was left out


def _untrusted(result: Result) -> list[str]:
    sentences = []
    for info in result.measures:
        reason = (info.untrusted_reason or "it failed its probes").rstrip(".")
        if not info.trusted:
            done = "ranks all the same, as the matrix wishes" if info.ranks else "left out"
            sentences.append(f"{_capital(info.label)} is not trusted and {done}: {reason}.")
    return sentences


def _failed(result: Result) -> list[str]:
    return [
        f"{failed.variant} failed in stage {failed.stage}: {failed.reason.rstrip('.')}." for failed in result.failed
    ]


# ---------------------------------------------------------------- numbers


MOST_DECIMALS = 6


def decimals(interval: Interval | None) -> int:
    """Decimals worth printing: one for an interval a point wide or more, else enough for two digits of its width."""
    if interval is None or (width := interval.high - interval.low) >= 1:
        return 1
    return 3 if width <= 0 else min(MOST_DECIMALS, 1 - floor(log10(width)))


def number(value: float, digits: int) -> str:
    """With a true minus sign, and no minus nil."""
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", "−")


def _signed(value: float, digits: int) -> str:
    text = number(value, digits)
    return f"+{text}" if value > 0 and float(text) else text


def p_words(p: float) -> str:
    """`p < 0.001`, `p = 0.004`, `p = 0.71`: never nil, and close to 0.05 with the digit that tells on which side."""
    if p < 0.001:
        return "p < 0.001"
    if f"{p:.3f}" == "0.050":
        return f"p = {p:.4f}"
    return f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def _interval_words(interval: Interval | None, digits: int) -> str:
    if interval is None:
        return ""
    return f"{interval.level * 100:g} % CI {number(interval.low, digits)} to {number(interval.high, digits)}"


def _list(names: Sequence[str], most: int = 4) -> str:
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
