"""Numbers as people write them."""

from __future__ import annotations

from fractions import Fraction


def _rounded(value: Fraction, places: int) -> Fraction:
    """Round half up, as is taught in school; the tables hold no exact halves for the rounding family."""
    scale = 10**places
    return Fraction((value * scale + Fraction(1, 2)).__floor__(), scale)


def _is_short(value: Fraction) -> bool:
    return (value * 1000).denominator == 1


def plain_number(value: Fraction | int, places: int = 3) -> str:
    """Write with thousands commas and without trailing zeros."""
    whole, rest = divmod(abs(_rounded(Fraction(value), places)), 1)
    decimals = f"{int(rest * 10**places):0{places}d}".rstrip("0")
    return ("-" if value < 0 else "") + f"{int(whole):,}" + (f".{decimals}" if decimals else "")


def dollars(value: Fraction) -> str:
    return f"${int(value):,}" if value.denominator == 1 else f"${float(value):,.2f}"


def about(value: Fraction, places: int) -> tuple[str, str]:
    """Return the figure and the hedge it needs: none if it is exact, "about " if it had to be rounded."""
    return (plain_number(value), "") if _is_short(value) else (plain_number(_rounded(value, places)), "about ")
