"""Texts that are nearly the same: MinHash proposes pairs, the cosine of character n-gram counts decides.

MinHash (Broder 1997) by the package rensa, with locality-sensitive hashing in bands (Leskovec, Rajaraman and Ullman,
Mining of Massive Datasets, section 3.4). A pair at cosine 0.9 shares about 0.82 of its distinct n-grams and is proposed
with probability 0.999, one at 0.8 with 0.85. Memory is 84 bytes a text.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

GRAM = 5
"""Characters of an n-gram."""
PERMUTATIONS, BANDS, BAND_ROWS = 128, 21, 6
SEED = 1
FIRST = 4
"""How many of the first texts in a bucket each other one is compared with; all pairs would be quadratic."""
COLUMNS = 1 << 22
"""Columns that n-grams are hashed into for the cosine; two that meet in one hardly raise it."""
PAIRS = 2_000
"""Pairs compared at a time."""

Hashes = npt.NDArray[np.uint64]


def normalised(text: str) -> str:
    """Without what makes no difference to a reader: width and case of letters, kind and number of blanks."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def gram_hashes(texts: Sequence[str]) -> tuple[Hashes, Hashes]:
    """(hashes of all n-grams of all texts in a row, offsets: text i has hashes[offsets[i]:offsets[i + 1]]).

    A text shorter than an n-gram is padded and gives one.
    """
    padded = [text.ljust(GRAM, "\0") for text in texts]
    lengths = np.array([len(text) for text in padded], dtype=np.int64)
    codes = np.frombuffer("".join(padded).encode("utf-32-le"), dtype="<u4").astype(np.uint64)
    windows = np.zeros(max(0, len(codes) - GRAM + 1), dtype=np.uint64)
    for place in range(GRAM):
        windows = windows * np.uint64(0x100000001B3) + codes[place : len(codes) - GRAM + 1 + place]
    ends = np.cumsum(lengths)
    inside = np.ones(len(windows), dtype=bool)
    for place in range(1, GRAM):  # windows that reach into the next text
        inside[(ends[:-1] - place)] = False
    offsets = np.concatenate([[0], np.cumsum(lengths - GRAM + 1)]).astype(np.uint64)
    return mixed(windows[inside]), offsets


def mixed(values: Hashes) -> Hashes:
    """Every bit of a value spread over all bits (the finaliser of SplitMix64, Steele, Lea and Flood 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def bands(texts: Sequence[str]) -> npt.NDArray[np.uint32]:
    """(texts, BANDS): two texts that agree in a band are worth comparing."""
    from rensa import RMinHash

    hashes, offsets = gram_hashes(texts)
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(hashes, offsets, PERMUTATIONS, SEED)
    digests = np.asarray(matrix.to_rows(), dtype=np.uint64)[:, : BANDS * BAND_ROWS].reshape(-1, BANDS, BAND_ROWS)
    folded = np.zeros(digests.shape[:2], dtype=np.uint64)
    for row in range(BAND_ROWS):
        folded = mixed(folded + digests[:, :, row])
    return (folded >> np.uint64(32)).astype(np.uint32)


def proposed(found: npt.NDArray[np.uint32], rank: npt.NDArray[np.int8]) -> npt.NDArray[np.int64]:
    """(pairs, 2), lower text first: in each bucket each text with the first few of lowest `rank`, and its neighbour."""
    n = len(found)
    keys: list[Hashes] = []
    for band in found.T:
        order = np.lexsort((np.arange(n), rank, band))
        ordered = band[order]
        new = np.concatenate([[True], ordered[1:] != ordered[:-1]])
        starts = np.maximum.accumulate(np.where(new, np.arange(n), 0))
        place = np.arange(n) - starts
        partners = [np.minimum(starts + first, np.arange(n)) for first in range(FIRST)]
        partners.append(np.where(place > 0, np.arange(n) - 1, np.arange(n)))
        for partner in partners:
            real = partner < np.arange(n)
            a, b = order[real], order[partner[real]]
            low, high = np.minimum(a, b), np.maximum(a, b)
            keys.append(np.unique(low.astype(np.uint64) << np.uint64(32) | high.astype(np.uint64)))
    pairs = np.unique(np.concatenate(keys)) if keys else np.zeros(0, dtype=np.uint64)
    return np.stack([pairs >> np.uint64(32), pairs & np.uint64(0xFFFFFFFF)], axis=1).astype(np.int64)


def cosines(texts: Sequence[str], pairs: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Cosine of the n-gram counts of each pair of texts, in [0, 1]."""
    found = [_cosines(texts, pairs[start : start + PAIRS]) for start in range(0, len(pairs), PAIRS)]
    return np.concatenate(found) if found else np.zeros(0)


def _cosines(texts: Sequence[str], pairs: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    rows, inverse = np.unique(pairs, return_inverse=True)
    counts = gram_counts([texts[row] for row in rows])
    norms = np.sqrt(np.asarray(counts.multiply(counts).sum(axis=1)).ravel())
    a, b = inverse.reshape(-1, 2).T
    products: npt.NDArray[np.float64] = np.asarray(counts[a].multiply(counts[b]).sum(axis=1)).ravel()
    found: npt.NDArray[np.float64] = np.clip(products / (norms[a] * norms[b]), 0.0, 1.0)
    return found


def gram_counts(texts: Sequence[str]) -> csr_matrix:
    """(texts, COLUMNS): how often each n-gram stands in each text."""
    from scipy.sparse import csr_matrix

    hashes, offsets = gram_hashes(texts)
    columns = (hashes % np.uint64(COLUMNS)).astype(np.int32)
    counts = csr_matrix((np.ones(len(columns)), columns, offsets.astype(np.int64)), shape=(len(texts), COLUMNS))
    counts.sum_duplicates()
    return counts
