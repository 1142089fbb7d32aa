"""What an audit found, by row numbers: small enough to keep one for each row of a large split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.records.settings import AuditKind

OTHERS = 10
"""Other rows that a finding names; the rest are counted."""

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Found:
    """A finding. Row numbers are those of the order in which the split's rows come.

    `others`: the first few of `n_others`. `drops`: the rows that `drop` leaves out for it; findings that would leave
    out the same ones share the work, so that only the first of them names any.
    """

    kind: AuditKind
    row: int
    others: Sequence[int] = ()
    n_others: int = 0
    drops: Sequence[int] | Rows = ()
    similarity: float | None = None
    detail: str = ""


def groups(hashes: npt.NDArray[np.uint64]) -> Iterator[Rows]:
    """Places of each hash that stands several times, ascending."""
    order = np.argsort(hashes, kind="stable")
    edges = np.flatnonzero(np.diff(hashes[order])) + 1
    for start, end in zip([0, *edges], [*edges, len(order)], strict=True):
        if end - start > 1:
            yield order[start:end]
