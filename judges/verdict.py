"""What a reply was read as."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Verdict:
    """A value on the rubric's scale, and where in the reply it stands: `text[start:end]`."""

    value: float
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class NoVerdict:
    """Why a reply holds no verdict."""

    reason: str
