"""Communities: members, influence, overlap and robustness, each by another way."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from bidsclf.errors import InputError
from bidsclf.interpret.communities import (
    community_table,
    influence,
    influence_table,
    members,
    overlap_table,
    robustness_table,
    tensor_communities,
    two_means,
)

REGIONS = tuple(f"region{number}" for number in range(12))


def memberships(seed: int, n_regions: int = 12, n_communities: int = 5) -> np.ndarray:
    """Weights as training leaves them: many zeros, few large."""
    rng = np.random.default_rng(seed)
    return np.maximum(rng.normal(size=(n_regions, n_communities)), 0) ** 2


def inertia(values: np.ndarray, upper: np.ndarray) -> float:
    clusters = (values[upper], values[~upper])
    return sum(((part - part.mean()) ** 2).sum() for part in clusters)


@pytest.mark.parametrize("seed", range(8))
def test_two_means_equals_scikit_learn_s_best_of_many_starts(seed):
    values = memberships(seed, 30, 1)[:, 0]
    best = KMeans(2, n_init=50, random_state=0).fit(values[:, None])
    upper = best.labels_ == best.cluster_centers_[:, 0].argmax()
    np.testing.assert_array_equal(two_means(values), upper)


@settings(max_examples=30)
@given(seed=st.integers(0, 2**16))
def test_two_means_is_never_worse_than_scikit_learn_s(seed):  # which may stop short
    values = memberships(seed, 30, 1)[:, 0]
    theirs = KMeans(2, n_init=2, random_state=0).fit(values[:, None])
    assert inertia(values, two_means(values)) <= theirs.inertia_ * (1 + 1e-9)


@given(seed=st.integers(0, 2**16), gain=st.floats(1e-3, 1e3), offset=st.floats(-10, 10))
def test_two_means_ignores_scale_shift_and_order(seed, gain, offset):
    values = memberships(seed, 20, 1)[:, 0]
    order = np.random.default_rng(seed).permutation(20)
    moved = two_means(gain * values[order] + offset)
    np.testing.assert_array_equal(moved, two_means(values)[order])


@pytest.mark.parametrize("values", [[0.0] * 4, [7.3] * 5, [1.0, np.nan, 2.0], [3.0]])
def test_a_column_without_spread_has_no_members(values):
    assert not two_means(np.array(values)).any()


def test_equal_weights_are_never_parted():
    is_one = np.array([True, False, True, False, True, False])
    np.testing.assert_array_equal(two_means(is_one.astype(float)), is_one)


def test_influence_sums_every_gate_and_sign():
    weights = np.zeros((8, 3))  # two units, four gates
    weights[[0, 3, 5, 7], 1] = [1.0, -2.0, 3.0, -4.0]
    weights[6, 2] = -1.5
    np.testing.assert_array_equal(influence(weights), [0, 10, 1.5])


def test_tables_number_communities_from_1_and_rank_by_influence():
    weights = memberships(0)
    table = community_table(weights, REGIONS, model="lstm-dg", fold=3)
    assert list(table) == ["model", "fold", "community", "region", "weight", "member"]
    wide = table.pivot(index="region", columns="community", values="weight")
    np.testing.assert_array_equal(wide.loc[list(REGIONS)], weights)
    inputs = np.array([[0.0, 3, 1, 3, -9], [0, 0, -1, 0, 1]])
    ranks = influence_table(weights, inputs, model="lstm-dg", fold=3)
    assert ranks["influence"].tolist() == [0, 3, 2, 3, 10]
    assert ranks["rank"].tolist() == [5, 2, 4, 3, 1]
    sizes = table.groupby("community")["member"].sum()
    assert ranks["n_members"].tolist() == sizes.tolist()


def test_overlap_counts_members_in_and_outside_a_network():
    weights = np.array([[1.0, 0], [1, 0], [1, 0], [0, 0], [0, 0], [0.1, 0]])
    networks = ["default", "default", None, "default", "visual", "visual"]
    table = overlap_table(weights, networks, model="lstm-h", fold=0)
    first = table[table.community == 1].set_index("network")
    assert first.loc["default", "share"] == pytest.approx(2 / 3)
    assert first.loc["default", "dice"] == pytest.approx(2 * 2 / (3 + 3))
    assert first.loc["visual", "dice"] == 0
    empty = table[table.community == 2]
    assert empty["share"].isna().all()
    assert (empty["dice"] == 0).all()
    assert list(table) == ["model", "fold", "community", "network", "share", "dice"]


def by_hand(first: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Two loops and the definitions of numpy and of sets."""
    best_r, best_dice = [], []
    for one in first.T:
        rs, dices = [], []
        for two in other.T:
            a, b = (set(np.flatnonzero(two_means(column))) for column in (one, two))
            rs.append(np.corrcoef(one, two)[0, 1])
            dices.append(2 * len(a & b) / (len(a) + len(b)))
        best_r.append(max(rs))
        best_dice.append(max(dices))
    return float(np.mean(best_r)), float(np.mean(best_dice))


@pytest.mark.parametrize("n_other", [5, 3])
def test_robustness_equals_two_loops(n_other):
    folds = {1: memberships(1), 4: memberships(2, 12, n_other), 2: memberships(3)}
    table = robustness_table("lstm-dg", folds).set_index("fold")
    assert table.index.tolist() == [1, 2, 4]
    assert table.loc[1, ["correlation", "dice"]].isna().all()
    for fold in (2, 4):
        found = table.loc[fold, ["correlation", "dice"]].tolist()
        assert found == pytest.approx(by_hand(folds[1], folds[fold]))
    assert table.loc[4, "mean_size"] == members(folds[4]).sum(axis=0).mean()


@given(seed=st.integers(0, 2**16))
def test_robustness_ignores_the_order_and_scale_of_communities(seed):
    weights = memberships(seed, 15, 4) + 1e-3 * np.arange(15)[:, None]
    order = np.random.default_rng(seed).permutation(4)
    shuffled = weights[:, order] * np.array([0.1, 1, 3, 20])
    table = robustness_table("lstm-dg", {1: weights, 2: shuffled}).set_index("fold")
    assert table.loc[2, ["correlation", "dice"]].tolist() == pytest.approx([1, 1])


def test_communities_that_died_count_as_found_nowhere():
    first, other = memberships(1), memberships(2)
    dead, dead_other = first.copy(), other.copy()
    dead[:, 2] = 0.0
    dead_other[:, 0] = 0.25
    table = robustness_table("lstm-dg", {1: dead, 2: dead_other}).set_index("fold")
    expected = by_hand(np.delete(first, 2, axis=1), np.delete(other, 0, axis=1))
    found = table.loc[2, ["correlation", "dice"]].tolist()
    assert found == pytest.approx([4 / 5 * one for one in expected])
    assert table.loc[2, ["n_compared", "n_skipped"]].tolist() == [4, 1]
    for one, two in ((first * 0, other), (first, other * 0)):
        nothing = robustness_table("parafac", {1: one, 2: two})
        assert nothing.loc[1, ["correlation", "dice"]].tolist() == [0, 0]
        assert np.isnan(nothing.loc[0, "correlation"])
    assert robustness_table("m", {1: first * 0, 2: other})["n_skipped"].eq(5).all()


def test_the_comparison_skips_nobody_who_has_a_window():
    rng = np.random.default_rng(0)
    series = [rng.normal(size=(n, 6)) for n in (95, 20, 60)]
    assert tensor_communities(series, rank=2).samples.shape == (3 + 0 + 2, 2)
    assert tensor_communities(series, rank=2, stride=10).samples.shape == (7 + 4, 2)


def test_messages_say_what_does_not_fit():
    weights = memberships(0)
    with pytest.raises(InputError, match="3 names for 12 regions"):
        community_table(weights, ("a", "b", "c"), model="m", fold=1)
    with pytest.raises(InputError, match=r"shape \(12,\)"):
        members(weights[:, 0])
    with pytest.raises(InputError, match=r"5 communities, but .* reads 4"):
        influence_table(weights, np.zeros((8, 4)), model="m", fold=1)
    with pytest.raises(InputError, match="12 and 11 regions"):
        robustness_table("m", {1: weights, 2: weights[1:]})
