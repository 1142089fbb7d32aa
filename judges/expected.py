"""The score that a judge gives on average, from the log-probabilities of its verdict: less coarse than one number.

After G-Eval (Liu et al. 2023, arXiv 2303.16634), whose weighting of scores by token probabilities this is; here over
the candidates that the server lists for the verdict's own token.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from harness.records.rows import ReplyToken
from judges.rubric import ChecklistParser, LabelParser, Rubric, Scale
from judges.verdict import Verdict

LEAST_MASS = 0.5
"""Probability that must lie on readable verdicts; below it the listed candidates say too little."""

_AROUND = " \t\r\n\"'`*:{}"


def expected_score(tokens: Sequence[ReplyToken], text: str, verdict: Verdict, rubric: Rubric) -> float | None:
    """Mean of the scale's values over the candidates for the verdict's token, their probabilities scaled to sum 1.

    None where there are no log-probabilities, where the verdict is more than one token long (the first digit of a
    number says little), or where less than half of the probability lies on verdicts.
    """
    if isinstance(rubric.parser, ChecklistParser):
        return None
    token = _token_at(tokens, text, verdict.start)
    if token is None or _read(token.text, rubric) != verdict.value:
        return None
    if not isinstance(rubric.parser, LabelParser) and not _whole_numbers(token, rubric.scale):
        return None
    mass: dict[float, float] = {}
    for candidate in token.candidates:
        value = _read(candidate.token, rubric)
        if value is not None:
            mass[value] = mass.get(value, 0.0) + math.exp(candidate.logprob)
    total = math.fsum(mass.values())
    return math.fsum(value * share for value, share in mass.items()) / total if total >= LEAST_MASS else None


def _token_at(tokens: Sequence[ReplyToken], text: str, place: int) -> ReplyToken | None:
    """The token that holds a place of the text. Texts may be trimmed, or begin before the tokens do."""
    joined, core = "".join(token.text for token in tokens), text.strip()
    lead = len(text) - len(text.lstrip())
    at = joined.rfind(core)
    if at < 0:
        tail = joined.strip()
        if not tail or not core.endswith(tail):
            return None
        at = len(joined) - len(joined.lstrip()) + len(tail) - len(core)
    place += at - lead
    end = 0
    for token in tokens:
        end += len(token.text)
        if 0 <= place < end:
            return token
    return None


def _read(token: str, rubric: Rubric) -> float | None:
    """What a single token says as a verdict; None where it says nothing, or not everything."""
    word = token.strip(_AROUND)
    if isinstance(rubric.parser, LabelParser):
        return _label_value(word, rubric.parser.labels)
    digits = word.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()):
        return None
    value = float(word)
    return value if rubric.scale.low <= value <= rubric.scale.high else None


def _label_value(word: str, labels: Mapping[str, float]) -> float | None:
    """A label may be several tokens long: its beginning stands for it where no other label begins so."""
    begun = {value for label, value in labels.items() if word and label.casefold().startswith(word.casefold())}
    return begun.pop() if len(begun) == 1 else None


def _whole_numbers(token: ReplyToken, scale: Scale) -> bool:
    """Whether this tokenizer writes a score as one token: else `1` may be the beginning of `100`, and `-` of `-1`."""
    words = [each.token.strip(_AROUND) for each in token.candidates]
    if scale.low < 0 and "-" in words:
        return False
    longer = any(len(word.removeprefix("-")) > 1 and word[-1:].isdigit() for word in words)
    return longer or max(scale.high, -scale.low) <= 9
