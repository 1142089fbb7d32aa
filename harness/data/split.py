"""Which row falls into which part: in file order as the book does (1,100 rows: 935/110/55), shuffled, or by a field."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from fractions import Fraction

from harness.errors import DataError
from harness.records.data import SplitName
from harness.records.settings import SplitSettings

PARTS: tuple[SplitName, ...] = ("train", "test", "validation")
TINY = Fraction(1, 10**9)
"""Of a row: what the last digit of a fraction may lack."""
LEFT_OUT = len(PARTS)
"""The code of a row in no part; that of a row in a part is the part's place in PARTS. Above it: a fold's code."""
TRAIN, TEST, VALIDATION = (PARTS.index(name) for name in ("train", "test", "validation"))


def sizes(n: int, settings: SplitSettings) -> dict[SplitName, int]:
    """Rows a part. Fractions round down, and the rest is validation's (train's, if there is to be none); a number above
    1 counts rows.

    Raises DataError where a part would be empty or the parts exceed the data.
    """
    counts = max(settings.train, settings.test) > 1
    train, test = count(settings.train, n, counts), count(settings.test, n, counts)
    rest = left_over(n, settings)
    if settings.validation is None:
        validation = 0 if counts else n - train - test - rest
    else:
        validation = count(settings.validation, n, counts)
        if settings.validation < 1:  # fractions that sum to 1 may exceed n by rounding
            validation = min(validation, n - train - test)
    train, validation = (train, validation + rest) if settings.validation else (train + rest, validation)
    check_parts(n, {"train": train, "test": test})
    if train + test + validation > n or validation < 0:
        raise DataError(
            f"the split asks for {train} train + {test} test + {max(validation, 0)} validation rows; the data has {n}",
            hint=("numbers above 1 count rows; a share is 0.8, not 80; " if counts else "")
            + "lower the numbers under split",
        )
    return {"train": train, "test": test, "validation": validation}


def left_over(n: int, settings: SplitSettings) -> int:
    """Rows that fractions leave over by rounding, where those that are given sum to 1."""
    parts = (settings.train, settings.test, settings.validation or 0)
    if settings.folds is not None or not math.isclose(sum(parts), 1):
        return 0
    return max(0, n - sum(count(part, n, counts=False) for part in parts))


def fractions(settings: SplitSettings) -> list[float]:
    """The parts that are given as fractions, and are cut so."""
    counts = max(settings.train, settings.test) > 1
    parts = (settings.train, settings.test, settings.validation or 0)
    return [part for part in (parts if settings.folds is None else parts[2:]) if part < 1 or (part == 1 and not counts)]


def recut(n: int, settings: SplitSettings) -> bool:
    """Whether data of version 2 and below were cut otherwise: rounded in binary, or a rounding's rest validated."""
    rounded = any(count(part, n, counts=False) != int(n * part) for part in fractions(settings))
    return rounded or (settings.validation is None and left_over(n, settings) > 0)


def check_parts(n: int, found: dict[SplitName, int]) -> None:
    """Raises DataError where train or test is empty."""
    for name in ("test", "train"):
        if found[name] == 0:
            raise DataError(
                f"the {name} part is empty: {n} rows split into {found['train']} train, {found['test']} test",
                hint=f"raise split.{name}, or give more data",
            )


def count(part: float, n: int, counts: bool) -> int:
    """A fraction of n, rounded down as the book does; above 1, or 1 beside other `counts`, a number of rows.

    A fraction is what was written in decimals: 0.29 of 100 is 29, and in binary 28.999999999999996. A third that was
    written with many digits is a third.
    """
    return int(part) if part > 1 or (counts and part == 1) else int(n * Fraction(str(part)) + TINY)


def assign(n: int, keys: Sequence[int], settings: SplitSettings) -> bytes:
    """The code of each row's part. `keys`: a number a row that stands for its field, where the split goes by one.

    Raises DataError where a part, or a fold, would be empty.
    """
    if settings.folds is not None:
        return assign_folds(n, keys, settings, settings.folds)
    wanted = sizes(n, settings)
    if settings.group_by is not None:
        codes_by_group = by_group(keys, [(wanted[name], code) for code, name in enumerate(PARTS)], settings.shuffle)
        check_parts(n, {name: codes_by_group.count(code) for code, name in enumerate(PARTS)})
        return codes_by_group
    order = shuffled(n, settings.shuffle)
    codes = bytearray([LEFT_OUT]) * n
    if settings.stratify_by is not None:
        # rows of one value stand together, so that evenly spaced picks take from each value its share
        left = sorted(order, key=keys.__getitem__)
        for name in ("test", "validation", "train"):
            picked = evenly(len(left), wanted[name])
            for place in picked:
                codes[left[place]] = PARTS.index(name)
            left = [row for place, row in enumerate(left) if place not in picked]
        return bytes(codes)
    rows = iter(order)
    for code, name in enumerate(PARTS):
        for _ in range(wanted[name]):
            codes[next(rows)] = code
    return bytes(codes)


def shuffled(n: int, seed: int | None) -> Iterable[int]:
    """0 … n-1, in a random order where there is a seed: the same one on every machine and Python version."""
    if seed is None:
        return range(n)
    # of all that `random` does, only the sequence of random() is promised to stay the same
    random_numbers = random.Random(seed)
    draws = [random_numbers.random() for _ in range(n)]
    return sorted(range(n), key=draws.__getitem__)


def evenly(n: int, k: int) -> set[int]:
    """`k` of `n` places, evenly spaced (systematic sampling): m places in a row hold m·k/n, give or take one."""
    return {(2 * i + 1) * n // (2 * k) for i in range(k)}


def by_group(keys: Sequence[int], wanted: Sequence[tuple[int, int]], seed: int | None) -> bytes:
    """Whole groups one after another; each goes to the part in which its middle row would fall.

    `wanted`: (rows, code) of the parts. Each size is met to within the largest group.
    """
    rows_of = [0] * (max(keys) + 1)
    for key in keys:
        rows_of[key] += 1
    ends: list[tuple[int, int]] = []
    for rows, code in wanted:
        ends.append(((ends[-1][0] if ends else 0) + rows, code))
    code_of = [LEFT_OUT] * len(rows_of)
    before = 0
    for group in shuffled(len(rows_of), seed):
        middle = before + rows_of[group] / 2
        code_of[group] = next((code for end, code in ends if middle < end), LEFT_OUT)
        before += rows_of[group]
    return bytes(code_of[key] for key in keys)


def assign_folds(n: int, keys: Sequence[int], settings: SplitSettings, folds: int) -> bytes:
    """The code of each row's fold: equal folds, one after another as in scikit-learn's KFold; then the validation part.

    Raises DataError where a fold would be empty.
    """
    validation = count(settings.validation or 0, n, (settings.validation or 0) > 1)
    rest = n - validation
    wanted = [(rest // folds + (number < rest % folds), fold_code(number + 1)) for number in range(folds)]
    if settings.group_by is not None:
        codes = bytearray(by_group(keys, [*wanted, (validation, VALIDATION)], settings.shuffle))
    else:
        codes = bytearray([VALIDATION]) * n
        order = list(shuffled(n, settings.shuffle))
        if settings.stratify_by is not None:
            # rows of one value stand together: dealt out in turn, each fold gets its share
            order.sort(key=keys.__getitem__)
            picked = evenly(n, validation)
            order = [row for place, row in enumerate(order) if place not in picked]
            for place, row in enumerate(order):
                codes[row] = fold_code(place % folds + 1)
        else:
            rows = iter(order)
            for size, code in wanted:
                for _ in range(size):
                    codes[next(rows)] = code
    check_folds(n, {number: codes.count(fold_code(number)) for number in range(1, folds + 1)})
    return bytes(codes)


def check_folds(n: int, sizes: dict[int, int]) -> None:
    """Raises DataError where a fold is empty."""
    empty = [fold for fold, size in sizes.items() if size == 0]
    if empty:
        raise DataError(
            f"fold {empty[0]} is empty: {n} rows cut into {max(sizes)} folds",
            hint="lower split.folds, or give more data",
        )


def fold_code(fold: int) -> int:
    """The code of a fold's rows; folds count from 1."""
    return LEFT_OUT + fold
