"""Cut examples into train, test and validation, in file order, as the book does: 1,100 rows give 935/110/55."""

from __future__ import annotations

from harness.errors import DataError
from harness.records.data import Example, SplitExample, SplitName
from harness.records.settings import SplitSettings


def sizes(n: int, settings: SplitSettings) -> dict[SplitName, int]:
    """Rows a part. Fractions round down, and the rest is validation's; a number above 1 counts rows.

    Raises DataError where a part would be empty or the parts exceed the data.
    """
    train, test = count(settings.train, n), count(settings.test, n)
    if settings.validation is None:
        # 1 is ambiguous only alone: with fractions the rest validates, with counts nothing does
        validation = n - train - test if settings.train <= 1 and settings.test <= 1 else 0
    else:
        validation = min(count(settings.validation, n), n - train - test) if settings.validation <= 1 else int(
            settings.validation
        )  # fmt: skip
    if min(train, test) == 0:
        empty = "test" if test == 0 else "train"
        raise DataError(f"the {empty} part is empty: {n} rows split into {train} train, {test} test",
                        hint=f"raise split.{empty}, or give more data")  # fmt: skip
    if train + test + validation > n or validation < 0:
        raise DataError(
            f"the split asks for {train} train + {test} test + {max(validation, 0)} validation rows; the data has {n}",
            hint="lower the numbers under split",
        )
    return {"train": train, "test": test, "validation": validation}


def count(part: float, n: int) -> int:
    """A fraction of n, rounded down as the book does; above 1, a number of rows."""
    return int(n * part) if part <= 1 else int(part)


def split(examples: list[Example], settings: SplitSettings) -> list[SplitExample]:
    """The rows in file order with their part; rows beyond the asked numbers are left out."""
    rows: list[SplitExample] = []
    start = 0
    for name, size in sizes(len(examples), settings).items():
        rows += [SplitExample(split=name, index=index, example=examples[index]) for index in range(start, start + size)]
        start += size
    return rows
