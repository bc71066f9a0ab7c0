"""One control a patient: the best pairs there are, whatever the order."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bidsclf.errors import InputError
from bidsclf.files.matched import unmatched


def crowd(seed: int, n: int = 9, n_sites: int = 2) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "participant_id": [f"sub-{i:02d}" for i in range(n)],
            "y": rng.integers(0, 2, n),
            "site": rng.choice([f"S{i}" for i in range(n_sites)], n),
            "Age": rng.uniform(6, 20, n).round(1),
        }
    )


def least(patients: list[float], controls: list[float]) -> float:
    """Return the smallest sum of differences over all ways to pair."""
    few, many = sorted([patients, controls], key=len)
    ways = permutations(many, len(few))
    return min(sum(abs(a - b) for a, b in zip(few, way, strict=True)) for way in ways)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**16))
def test_pairs_are_the_nearest_of_all_possible_pairs(seed):
    people = crowd(seed)
    kept_sum = best_sum = 0.0
    try:
        reasons = unmatched(people)
    except InputError:
        assert (people.groupby("site")["y"].nunique() == 1).all()
        return
    for _, there in people.groupby("site"):
        kept = there[~there["participant_id"].isin(reasons)]
        by = [there[there["y"] == y]["Age"].tolist() for y in (0, 1)]
        kept_by = [kept[kept["y"] == y]["Age"].tolist() for y in (0, 1)]
        assert len(kept_by[0]) == len(kept_by[1]) == min(map(len, by))
        best_sum += least(*by)
        kept_sum += least(*kept_by)
    assert kept_sum == pytest.approx(best_sum)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**16))
def test_the_order_of_the_table_says_nothing(seed):
    people = crowd(seed, n=30).assign(Age=lambda p: p["Age"].round(-1))  # many ties
    shuffled = people.sample(frac=1, random_state=seed)
    assert unmatched(people) == unmatched(shuffled)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**16))
def test_of_equally_near_pairs_the_first_by_id_are_kept(seed):
    people = crowd(seed, n=7, n_sites=1).assign(Age=lambda p: p["Age"] // 5)
    if people["y"].nunique() < 2:
        return
    patients, controls = (people.index[people["y"] == y] for y in (1, 0))
    few, many = sorted([patients, controls], key=len)
    ages = people["Age"].to_numpy()
    ways = [
        (np.abs(ages[few] - ages[list(way)]).sum(), sum(way))
        for way in permutations(many, len(few))
    ]
    reasons = unmatched(people)
    kept = [at for at in many if people["participant_id"][at] not in reasons]
    assert sum(kept) == min(ways)[1]


def test_everyone_left_out_is_told_why():
    people = pd.DataFrame(
        {
            "participant_id": [f"sub-{i}" for i in range(7)],
            "y": [1, 0, 0, 1, 1, 0, 1],
            "site": ["A", "A", "A", "A", "B", "C", "C"],
            "age": ["9", "9.5", "n/a", "30", "8", "8", "8"],
        }
    )
    assert unmatched(people) == {
        "sub-2": "no age, which --match needs",
        "sub-3": "--match: A has fewer controls than patients;"
        " the others are nearer in age",
        "sub-4": "--match: B has no controls",
    }


def test_says_when_nobody_can_be_matched():
    people = crowd(1)
    with pytest.raises(InputError, match=r"no column age, which --match needs.*site"):
        unmatched(people.drop(columns="Age"))
    apart = people.assign(site=people["y"].map({0: "A", 1: "B"}))
    with pytest.raises(InputError, match="found no pair: none of 9 people"):
        unmatched(apart)
