"""Cutting: the book's sizes, shuffles that repeat, strata in proportion, groups kept whole, parts as given."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.data import split
from harness.data.dataset import dataset
from harness.data.folds import in_fold
from harness.errors import DataError
from harness.records.settings import SplitSettings
from harness.spec.data import DataSpec


def parts(n: int, keys: list[int], **settings: Any) -> list[str]:
    names = (*split.PARTS, "")
    return [names[code] for code in split.assign(n, keys, SplitSettings(**settings))]


@pytest.mark.parametrize(
    ("n", "settings", "expected"),
    [
        (1100, SplitSettings(), (935, 110, 55)),  # the book's chapter 7: int(n * 0.85), int(n * 0.1), the rest
        (1100, SplitSettings(train=0.85, test=0.10, validation=0.05), (935, 110, 55)),
        (1208, SplitSettings(train=128, test=60), (128, 60, 0)),
        (10, SplitSettings(train=5, test=3, validation=2), (5, 3, 2)),
        (3, SplitSettings(train=2, test=1), (2, 1, 0)),  # beside a count, 1 is one row and not all of them
        (20, SplitSettings(train=0.85, test=0.10, validation=0.1), (17, 2, 1)),
        (15, SplitSettings(train=0.8, test=0.1, validation=0.1), (12, 1, 2)),  # sum to 1: no row is left over
        (15, SplitSettings(train=0.5, test=0.5, validation=0), (8, 7, 0)),
        (15, SplitSettings(train=0.5, test=0.25, validation=0.1), (7, 3, 1)),
        (1099, SplitSettings(train=0.8, test=0.2), (880, 219, 0)),  # nothing is left for a validation part
        (15, SplitSettings(train=9, test=0.3, validation=0.1), (9, 4, 1)),
        (100, SplitSettings(train=0.57, test=0.29), (57, 29, 14)),  # 0.29 * 100 is 28.999999999999996
        (300, SplitSettings(train=1 / 3, test=1 / 3), (100, 100, 100)),
    ],
)
def test_sizes(n: int, settings: SplitSettings, expected: tuple[int, int, int]) -> None:
    sizes = split.sizes(n, settings)
    assert (sizes["train"], sizes["test"], sizes["validation"]) == expected


def test_a_number_of_rows_is_whole() -> None:
    with pytest.raises(ValidationError, match=r"900\.7 is no number of rows"):
        SplitSettings(train=900.7, test=100)
    assert SplitSettings(train=900.0, test=100, validation=50).train == 900


def test_cut_is_in_file_order() -> None:
    assert parts(20, [], train=0.5, test=0.25) == ["train"] * 10 + ["test"] * 5 + ["validation"] * 5
    assert parts(8, [], train=3, test=2) == ["train"] * 3 + ["test"] * 2 + [""] * 3


def test_empty_test_part_is_refused() -> None:
    with pytest.raises(DataError, match="the test part is empty"):
        parts(5, [])


def test_more_rows_asked_than_there_are() -> None:
    with pytest.raises(DataError, match="the data has 10") as caught:
        parts(10, [], train=80, test=20)
    assert "numbers above 1 count rows; a share is 0.8, not 80" in str(caught.value)
    with pytest.raises(DataError, match="hint: lower the numbers under split$"):
        parts(10, [], train=0.8, test=0.3)


def test_a_shuffle_depends_on_its_seed_alone() -> None:
    one, again, other = (parts(1100, [], shuffle=seed) for seed in (0, 0, 1))
    assert one == again != other
    assert Counter(one) == Counter(other) == {"train": 935, "test": 110, "validation": 55}
    assert one != parts(1100, [])
    # the order in which Python 3.11's own random.Random(0).random() ranks five draws: .84, .76, .42, .26, .51
    assert list(split.shuffled(5, 0)) == [3, 2, 4, 1, 0]


@given(
    strata=st.lists(st.integers(0, 4), min_size=20, max_size=200),
    shuffle=st.none() | st.integers(0, 5),
    test=st.sampled_from([0.1, 0.25, 0.5]),
)
def test_strata_keep_their_proportions(strata: list[int], shuffle: int | None, test: float) -> None:
    found = parts(len(strata), strata, train=0.5, test=test, shuffle=shuffle, stratify_by="f")
    wanted = split.sizes(len(strata), SplitSettings(train=0.5, test=test))
    assert Counter(found) == Counter({part: n for part, n in wanted.items() if n})
    size = Counter(strata)
    for stratum, n in Counter(s for s, part in zip(strata, found, strict=True) if part == "test").items():
        assert abs(n - size[stratum] * wanted["test"] / len(strata)) < 1


@given(
    groups=st.lists(st.integers(0, 9), min_size=60, max_size=200).map(lambda drawn: [*range(10), *drawn]),
    shuffle=st.none() | st.integers(0, 5),
)
def test_no_group_stands_in_two_parts(groups: list[int], shuffle: int | None) -> None:
    keys = [list(dict.fromkeys(groups)).index(group) for group in groups]
    found = parts(len(keys), keys, train=0.5, test=0.5, shuffle=shuffle, group_by="f")
    of_group: dict[int, set[str]] = {}
    for key, part in zip(keys, found, strict=True):
        of_group.setdefault(key, set()).add(part)
    assert all(len(seen) == 1 for seen in of_group.values())
    assert abs(found.count("train") - len(keys) / 2) <= max(Counter(keys).values()) / 2 + 1


def test_one_group_cannot_be_cut() -> None:
    with pytest.raises(DataError, match="the test part is empty"):
        parts(10, [0] * 10, group_by="f")


def write(path: Path, *rows: dict[str, Any]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_the_field_is_the_sources_own(tmp_path: Path) -> None:
    rows = [{"instruction": f"i{n}", "output": "o", "family": n % 2, "chat": f"c{n // 5}"} for n in range(20)]
    write(tmp_path / "a.jsonl", *rows)
    halves = {"train": 0.5, "test": 0.5}
    cut = dataset(DataSpec(path="a.jsonl"), SplitSettings(**halves, stratify_by="family"), tmp_path)
    assert Counter(row.index % 2 for row in cut if row.split == "test") == {0: 5, 1: 5}
    cut = dataset(DataSpec(path="a.jsonl"), SplitSettings(**halves, group_by="chat"), tmp_path)
    assert [row.split for row in cut] == ["train"] * 10 + ["test"] * 10
    with pytest.raises(DataError, match=r"a\.jsonl:1: no value under `famly`, which the split goes by"):
        dataset(DataSpec(path="a.jsonl"), SplitSettings(**halves, stratify_by="famly"), tmp_path)


def test_given_parts(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", {"instruction": "a", "output": "o"}, {"instruction": "b", "output": "o"})
    (tmp_path / "b.csv").write_text("prompt,completion\na,o\n")
    spec = DataSpec.model_validate({"parts": {"train": "a.jsonl", "test": "b.csv"}})
    found = dataset(spec, SplitSettings(), tmp_path)
    assert [(row.split, row.index, row.example.instruction) for row in found] == [
        ("train", 0, "a"),
        ("train", 1, "b"),
        ("test", 0, "a"),
    ]
    assert len({row.example.id for row in found}) == 3
    assert found.split is None


# ---------------------------------------------------------------- cross-validation


def folds_of(n: int, keys: list[int], **settings: Any) -> list[int]:
    """Each row's fold; 0: validation."""
    codes = split.assign(n, keys, SplitSettings(**settings))
    return [max(0, code - split.LEFT_OUT) for code in codes]


def test_folds_are_cut_as_scikit_learn_cuts_them() -> None:
    # sklearn.model_selection.KFold: "The first n_samples % n_splits folds have size n_samples // n_splits + 1"
    assert folds_of(11, [], folds=3) == [1] * 4 + [2] * 4 + [3] * 3
    shuffled = folds_of(11, [], folds=3, shuffle=7)
    assert Counter(shuffled) == Counter([1] * 4 + [2] * 4 + [3] * 3) and shuffled != sorted(shuffled)
    assert folds_of(12, [], folds=3, validation=0.25) == [1] * 3 + [2] * 3 + [3] * 3 + [0] * 3


@given(st.lists(st.integers(0, 4), min_size=20, max_size=100), st.integers(2, 6), st.sampled_from([0, 0.2]))
def test_folds_keep_the_proportions_of_strata(strata: list[int], k: int, validation: float) -> None:
    found = folds_of(len(strata), strata, folds=k, stratify_by="f", validation=validation, shuffle=1)
    held = Counter(found)[0]
    assert held == int(len(strata) * validation)
    assert {held + n for n in Counter(found).values()}, "every row has a place"
    for stratum, size in Counter(strata).items():
        mine = Counter(fold for fold, each in zip(found, strata, strict=True) if each == stratum)
        kept = size - mine.pop(0, 0)
        assert all(abs(mine[fold] - kept / k) < 1 for fold in range(1, k + 1))


def test_no_group_stands_in_two_folds() -> None:
    keys = [n // 3 for n in range(60)]
    found = folds_of(60, keys, folds=4, group_by="f", shuffle=3)
    assert {len({fold for fold, key in zip(found, keys, strict=True) if key == group}) for group in keys} == {1}
    assert all(abs(n - 15) <= 3 for n in Counter(found).values()) and set(found) == {1, 2, 3, 4}


def test_a_fold_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="fold 3 is empty: 2 rows cut into 3 folds"):
        folds_of(2, [], folds=3)


def test_each_row_is_test_in_one_fold_and_train_in_the_others(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", *({"instruction": f"i{n}", "output": "o"} for n in range(10)))
    cut = dataset(DataSpec(path="a.jsonl"), SplitSettings(folds=3, validation=0.1), tmp_path)
    assert [cut.count("test", fold) for fold in (None, 1, 2, 3)] == [9, 3, 3, 3]
    assert (cut.count("train", 1), cut.count("validation", 1)) == (6, 1)
    assert {row.split for row in in_fold(cut, None)} == {"test", "validation"}
    for fold in (1, 2, 3):
        assert Counter(row.split for row in in_fold(cut, fold)) == {"test": 3, "train": 6, "validation": 1}
        assert {row.fold for row in in_fold(cut, fold) if row.split == "test"} == {fold}
    one = dataset(DataSpec(path="a.jsonl"), SplitSettings(folds=3), tmp_path, folds=(2,))
    assert [row.index for row in one if row.split == "test"] == [4, 5, 6], "rows of other folds are always train"
    assert (one.count("test"), one.count("train", 2), one.folded) == (3, 7, (2,))
