"""Entries that were asked the same, exactly or nearly: within a part repeats, across parts leaks.

A repeat is told by everything that the model is given; whatever else by the question with its input, without a system
message and what was answered before: entries that share those are no duplicates for it. What a conversation is trained
on is each of its user turns; what a held-out one asks is its last.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from harness.data import similarity
from harness.data.columns import Codes, Columns, Hashes, Questions, questions, spoken
from harness.data.found import OTHERS, Found, Rows, groups
from harness.data.split import LEFT_OUT, TRAIN
from harness.records.data import SplitExample

NEVER = np.iinfo(np.int64).max


def trained_beside(codes: Codes, part: int) -> npt.NDArray[np.bool_]:
    """Which of these parts are trained on where `part` is held out: train, and of folds all others."""
    if part == TRAIN:
        return np.zeros(len(codes), dtype=np.bool_)
    return np.asarray((codes == TRAIN) | ((codes > LEFT_OUT) & (codes != part)))


# ---------------------------------------------------------------- exactly


def repeats(columns: Columns) -> Iterator[Found]:
    """Entries whose prompt stands earlier in the data, in whatever part; one of another part is the leak's business."""
    for group in groups(columns.prompt):
        first = group[:1].tolist()
        seen = {int(columns.part[group[0]])}
        for row in group[1:].tolist():
            part = int(columns.part[row])
            yield Found("repeats", row, first, 1, drops=[row] if part in seen else ())
            seen.add(part)


def leaks(columns: Columns) -> Iterator[Found]:
    """Test and validation entries whose question stands in train; a follow-up behind the same questions only."""
    asked = columns.asked
    follows = asked.before != 0
    yield from _leaks(columns, asked.text, asked.last & ~follows)
    yield from _leaks(columns, asked.text + similarity.mixed(asked.before), asked.last & follows)


def _leaks(columns: Columns, keys: Hashes, held_out: npt.NDArray[np.bool_]) -> Iterator[Found]:
    """Of the questions `held_out`, in so far as they are held out, those whose key a question in train has."""
    for group in groups(keys):
        rows, held = columns.asked.row[group], held_out[group]
        codes = columns.part[rows]
        if (codes == codes[0]).all():
            continue
        drops: Rows | list[int] = copies(rows, codes, held)
        for part in np.unique(codes[held]).tolist():
            others = np.unique(rows[trained_beside(codes, part)])
            if len(others):
                named = others[:OTHERS].tolist()
                for row in rows[held & (codes == part)].tolist():
                    yield Found("leaks", row, named, len(others), drops)
                    drops = []


def copies(rows: Rows, codes: Codes, held: npt.NDArray[np.bool_]) -> Rows:
    """Of rows with one question those that are to leave train. `held`: which ask it last, where they are held out."""
    parts, places = np.unique(codes[held], return_index=True)
    firsts = list(zip(parts.tolist(), rows[held][places].tolist(), strict=True))
    gone = np.zeros(len(rows), dtype=np.bool_)
    for part in np.unique(codes).tolist():
        gone |= (codes == part) & (rows > min((stays(part, beside, first) for beside, first in firsts), default=NEVER))
    return np.unique(rows[gone])


def stays(part: int, held: int, row: int) -> int:
    """Up to which row entries of `part` stay in train although `row`, an entry of `held`, asks the same.

    None does (-1), but two folds are train for each other: there the first entry stays.
    """
    if held in (TRAIN, part) or (part != TRAIN and part < LEFT_OUT):
        return NEVER
    return row if part > LEFT_OUT and held > LEFT_OUT else -1


# ---------------------------------------------------------------- nearly


def near(rows: Iterable[SplitExample], columns: Columns, threshold: float) -> Iterator[Found]:
    """Entries whose question is nearly that of an earlier entry, or of one in train.

    A follow-up is held against those behind the same questions only.
    """
    asked = columns.asked
    part, follows, before = columns.part[asked.row], asked.before != 0, similarity.mixed(asked.before)
    place = 2 * part.astype(np.uint64) + asked.last
    in_context = asked.bands ^ asked.before.astype(np.uint32)[:, None]  # its lower half
    # exact copies would crowd out the near ones: the first stands for all
    prompts = Members(np.flatnonzero(asked.last), columns.prompt + columns.part.astype(np.uint64))
    openings = Members(np.arange(len(asked)), asked.text + place + np.where(follows, np.uint64(1 << 32), np.uint64(0)))
    behind = Members(np.flatnonzero(follows), (asked.text + before + place)[follows])
    repeating = proposed(columns, prompts.first, in_context)
    plain = np.array_equal(prompts.first, openings.first) and not follows.any()
    opening = repeating if plain else proposed(columns, openings.first, asked.bands)
    following = proposed(columns, behind.first, in_context)
    prompt, (a, b) = columns.prompt[asked.row], repeating.T
    repeating = repeating[(prompt[a] != prompt[b]) & (asked.before[a] == asked.before[b])]
    opening = across(columns, opening, asked.last & ~follows)
    following = across(columns, following, asked.last & follows)
    following = following[asked.before[following[:, 0]] == asked.before[following[:, 1]]]
    cosines = cosines_of(rows, asked, np.concatenate([repeating, opening, following]))
    repeated, opened, followed = np.split(cosines, np.cumsum([len(repeating), len(opening)]))
    yield from near_repeats(columns, prompts, partners(repeating[:, ::-1], repeated, threshold))
    yield from near_leaks(columns, openings, partners(opening, opened, threshold))
    yield from near_leaks(columns, behind, partners(following, followed, threshold))


def across(columns: Columns, pairs: Rows, held_out: npt.NDArray[np.bool_]) -> Rows:
    """Pairs of a question `held_out` and another one that is trained on where it is."""
    asked, part = columns.asked, columns.part[columns.asked.row]
    both = np.concatenate([pairs, pairs[:, ::-1]])
    held, other = both.T
    train = (part == TRAIN) | (part > LEFT_OUT)
    beside = held_out[held] & (part[held] != TRAIN) & train[other] & (part[held] != part[other])
    found: Rows = both[beside & (asked.text[held] != asked.text[other])]
    return found


Partners = dict[int, list[tuple[float, int]]]
"""Of a question those that are near it, with their cosine."""


def partners(pairs: Rows, cosines: npt.NDArray[np.float64], threshold: float) -> Partners:
    """Of the first question of each pair that is near."""
    found: Partners = defaultdict(list)
    for (number, other), cosine in zip(pairs.tolist(), cosines.tolist(), strict=True):
        if cosine >= threshold:
            found[number].append((cosine, other))
    return found


def near_repeats(columns: Columns, members: Members, found: Partners) -> Iterator[Found]:
    """A finding for each entry with one of these questions."""
    part = columns.part[columns.asked.row]
    for number, near_it in found.items():
        others, n = members.rows(columns.asked.row, [other for _, other in near_it])
        in_part = any(part[other] == part[number] for _, other in near_it)
        for row in columns.asked.row[members.of(number)].tolist():
            drops = [row] if in_part else ()
            yield Found("near_repeats", row, others, n, drops, similarity=max(near_it)[0])


def near_leaks(columns: Columns, members: Members, found: Partners) -> Iterator[Found]:
    """The same; of what they leak into, each entry is to leave train once."""
    row, part = columns.asked.row, columns.part[columns.asked.row].tolist()
    stay: dict[int, int] = defaultdict(lambda: NEVER)
    for number, near_it in found.items():
        for _, other in near_it:
            stay[other] = min(stay[other], stays(part[other], part[number], int(row[number])))
    for number, near_it in found.items():
        others, n = members.rows(row, [other for _, other in near_it])
        drops: list[int] = []
        for _, other in near_it:
            copied = row[members.of(other)] if other in stay else row[:0]
            drops += copied[copied > stay.pop(other, NEVER)].tolist()
        for each in row[members.of(number)].tolist():
            yield Found("near_leaks", each, others, n, drops, similarity=max(near_it)[0])
            drops = []


def proposed(columns: Columns, chosen: Rows, bands: npt.NDArray[np.uint32]) -> Rows:
    """Pairs of the chosen questions that are worth comparing, the earlier first."""
    return chosen[similarity.proposed(bands[chosen], columns.part[columns.asked.row[chosen]])]


def cosines_of(rows: Iterable[SplitExample], asked: Questions, pairs: Rows) -> npt.NDArray[np.float64]:
    """Of the questions of each pair; a pair may stand there several times."""
    distinct, back = np.unique(np.sort(pairs, axis=1), axis=0, return_inverse=True)
    needed, places = np.unique(distinct, return_inverse=True)
    numbers: dict[int, list[int]] = defaultdict(list)
    for row, number in zip(asked.row[needed].tolist(), asked.number[needed].tolist(), strict=True):
        numbers[row].append(number)
    texts = []
    for row, each in zip(numbers, pick(rows, list(numbers)), strict=True):
        every = questions(each.example)
        texts += [similarity.normalised(spoken(every[number])) for number in numbers[row]]
    found: npt.NDArray[np.float64] = similarity.cosines(texts, places.reshape(-1, 2))[back.ravel()]
    return found


def pick(rows: Iterable[SplitExample], numbers: Iterable[int]) -> Iterator[SplitExample]:
    """The rows of these numbers, which ascend."""
    wanted = iter(numbers)
    following = next(wanted, None)
    for number, row in enumerate(rows if following is not None else ()):
        if number == following:
            yield row
            following = next(wanted, None)
            if following is None:
                return


class Members:
    """Questions by a key. `first`: the first of each, ascending."""

    def __init__(self, numbers: Rows, keys: Hashes) -> None:
        """`numbers`: of the questions, ascending; a key for each."""
        keys = similarity.mixed(keys)
        order = np.argsort(keys, kind="stable")
        self._numbers, self._keys = numbers, keys
        self._ordered, self._sorted = numbers[order], keys[order]
        self.first: Rows = np.sort(self._ordered[np.unique(self._sorted, return_index=True)[1]])

    def of(self, number: int) -> Rows:
        """All questions with this one's key, ascending."""
        key = self._keys[np.searchsorted(self._numbers, number)]
        return self._ordered[np.searchsorted(self._sorted, key) : np.searchsorted(self._sorted, key, side="right")]

    def rows(self, row: Rows, numbers: Iterable[int]) -> tuple[list[int], int]:
        """The first few rows of all questions with the keys of these, and how many questions there are."""
        every = [self.of(number) for number in numbers]
        few = np.unique(np.concatenate([row[each[:OTHERS]] for each in every]))
        return few[:OTHERS].tolist(), sum(len(each) for each in every)
