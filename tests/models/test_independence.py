"""Dependence and discrepancy of latents, against sums that are written out."""

from itertools import permutations, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import energy_distance, ortho_group

from bidsclf.models._independence import dependence, discrepancy


def drawn(n, d, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


def told(measure, *latents):
    return measure(*(torch.from_numpy(np.array(one)) for one in latents)).item()


def far(one, other):
    return np.array([[np.linalg.norm(a - b) for b in other] for a in one])


def together(a, b):
    """The unbiased covariance of distances: the mean over four different people."""
    fours = list(permutations(range(len(a)), 4))
    return np.mean(
        [a[i, j] * (b[i, j] + b[k, m] - 2 * b[i, k]) for i, j, k, m in fours]
    )


@pytest.mark.parametrize(("n", "d", "e"), [(4, 1, 1), (5, 2, 3), (7, 3, 1), (8, 1, 4)])
def test_dependence_is_the_unbiased_distance_correlation(n, d, e):
    one, other = drawn(n, d, 1), drawn(n, e, 2)
    other[:, 0] += one[:, 0]
    a, b = far(one, one), far(other, other)
    expected = together(a, b) / np.sqrt(together(a, a) * together(b, b))
    assert told(dependence, one, other) == pytest.approx(expected, rel=1e-9)
    assert told(dependence, other, one) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("n", "m", "d"), [(2, 2, 1), (3, 5, 2), (6, 4, 3)])
def test_discrepancy_is_a_share_of_the_distance_between_groups(n, m, d):
    one, other = drawn(n, d, 1), drawn(m, d, 2) + 0.5
    between = np.mean([np.linalg.norm(a - b) for a, b in product(one, other)])
    within = [
        np.mean([np.linalg.norm(a - b) for a, b in permutations(each, 2)])
        for each in (one, other)
    ]
    expected = (2 * between - sum(within)) / (2 * between)
    assert told(discrepancy, one, other) == pytest.approx(expected, rel=1e-9)


@given(st.integers(2, 9), st.integers(2, 9), st.integers(0, 99))
def test_on_a_line_it_is_scipy_s_without_what_people_are_from_themselves(n, m, seed):
    one, other = drawn(n, 1, seed), 2 * drawn(m, 1, seed + 100) + 1
    between = 2 * far(one, other).mean()
    biased = energy_distance(one[:, 0], other[:, 0]) ** 2  # scipy's: half, and a root
    more = far(one, one).mean() / (n - 1) + far(other, other).mean() / (m - 1)
    expected = (2 * biased / 2 - more) / between
    assert told(discrepancy, one, other) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=40)
@given(st.data())
def test_neither_scale_nor_turn_nor_place_nor_order_matters(data):
    n, d, seed = (data.draw(st.integers(*ends)) for ends in ((4, 12), (2, 5), (0, 99)))
    scale, shift = data.draw(st.floats(0.01, 100)), data.draw(st.floats(-50, 50))
    turn = ortho_group.rvs(d, random_state=seed)
    order = np.random.default_rng(seed).permutation(n)
    one, other = drawn(n, d, seed), drawn(n, 3, seed + 100)
    moved = scale * one @ turn + shift
    expected = pytest.approx(told(dependence, one, other), abs=1e-6)
    assert told(dependence, moved, other) == expected
    assert told(dependence, one[order], other[order]) == expected
    assert told(dependence, one, other) <= 1 + 1e-9
    others = drawn(n + 2, d, seed + 200) + 0.3
    expected = pytest.approx(told(discrepancy, one, others), abs=1e-6)
    assert told(discrepancy, moved, scale * others @ turn + shift) == expected
    assert told(discrepancy, others, one) == expected
    assert told(discrepancy, one[order], others) == expected
    assert told(discrepancy, one, others) <= 1


@pytest.mark.parametrize("n", [4, 8, 16])
def test_in_the_mean_independent_latents_have_none_however_few_people(n):
    found = [together_of(drawn(n, 3, at), drawn(n, 2, at + 5000)) for at in range(1000)]
    mean, error = np.mean(found), np.std(found) / len(found) ** 0.5
    assert abs(mean) < 4 * error
    assert min(found) < 0 < max(found)


def together_of(one, other):
    """The numerator, which alone is without bias."""
    scale = [np.sqrt(told(within, each)) for each in (one, other)]
    return told(dependence, one, other) * scale[0] * scale[1]


def within(one):
    """The sum over pairs of the squares of U-centred distances."""
    a = far(one.numpy(), one.numpy())
    n = len(a)
    row, total = a.sum(axis=1), a.sum() / ((n - 1) * (n - 2))
    centred = a - (row[:, None] + row[None]) / (n - 2) + total
    np.fill_diagonal(centred, 0)
    return torch.tensor((centred**2).sum())


@pytest.mark.parametrize("kind", ["the same", "straight", "bent"])
def test_what_goes_together_is_told_in_a_batch(kind):
    one = drawn(16, 1, 3)
    other = {"the same": one, "straight": 1 - 3 * one, "bent": one**2}[kind]
    found = told(dependence, np.c_[one, 0.1 * drawn(16, 2, 4)], other)
    assert found > (0.2 if kind == "bent" else 0.9)
    assert told(dependence, one, one) == pytest.approx(1)


def test_an_axis_that_hardly_varies_hardly_counts():
    one, other = drawn(12, 2, 1), drawn(12, 3, 2)
    with_little = np.c_[other, 1e-4 * one[:, 0]]
    expected = pytest.approx(told(dependence, one, other), abs=1e-4)
    assert told(dependence, one, with_little) == expected


def test_in_the_mean_groups_of_one_kind_do_not_differ():
    found = [
        told(discrepancy, drawn(6, 3, at), drawn(9, 3, at + 5000)) for at in range(500)
    ]
    assert abs(np.mean(found)) < 4 * np.std(found) / 500**0.5
    assert min(found) < 0


@pytest.mark.parametrize("how", ["place", "spread"])
def test_groups_of_two_kinds_differ_and_their_slope_draws_them_together(how):
    one = torch.from_numpy(drawn(16, 3, 1))
    other = torch.from_numpy(drawn(16, 3, 2))
    other = other + 20 if how == "place" else 4 * other
    other.requires_grad_()
    found = discrepancy(one, other)
    assert found > (0.9 if how == "place" else 0.1)
    (slope,) = torch.autograd.grad(found, other)
    nearer = (other - slope / slope.norm()).detach()
    assert discrepancy(one, nearer) < found


COLLAPSED = {
    "nobody": (torch.zeros(0, 2), torch.zeros(0, 3)),
    "three": (torch.randn(3, 2), torch.randn(3, 3)),
    "one place": (torch.full((8, 2), 0.3), torch.randn(8, 3)),
    "all of one place": (torch.zeros(8, 2), torch.ones(8, 3)),
    "pairs of one place": (torch.randn(4, 2).repeat(2, 1), torch.randn(8, 3)),
}


@pytest.mark.parametrize("name", COLLAPSED)
def test_people_too_few_or_in_one_place_have_no_dependence_and_finite_slopes(name):
    one, other = (each.clone().requires_grad_() for each in COLLAPSED[name])
    found = dependence(one, other)
    assert torch.isfinite(found)
    assert name.startswith("pairs") or found == 0
    if found.requires_grad:
        slopes = torch.autograd.grad(found, [one, other])
        assert all(torch.isfinite(slope).all() for slope in slopes)


@pytest.mark.parametrize(("n", "m"), [(0, 5), (1, 5), (5, 1), (5, 0), (2, 2), (5, 5)])
@pytest.mark.parametrize("value", ["one place", "copies", "apart"])
def test_groups_too_small_or_in_one_place_do_not_differ(n, m, value):
    one, other = torch.zeros(n, 2, requires_grad=True), torch.zeros(m, 2)
    if value == "copies":
        other = torch.arange(m).float()[:, None].expand(m, 2)
        one = other[:1].expand(n, 2).clone().requires_grad_() if m else one
    elif value == "apart":
        other = other + 1
    found = discrepancy(one, other)
    if min(n, m) < 2 or value == "one place":
        assert found == 0
    assert torch.isfinite(found)
    if found.requires_grad:
        (slope,) = torch.autograd.grad(found, one)
        assert torch.isfinite(slope).all()


@pytest.mark.parametrize("measure", [dependence, discrepancy])
def test_the_slope_is_the_measure_s(measure):
    one = torch.from_numpy(drawn(6, 2, 1)).requires_grad_()
    other = torch.from_numpy(drawn(6, 2, 2)).requires_grad_()
    assert torch.autograd.gradcheck(measure, (one, other))


@pytest.mark.parametrize("measure", [dependence, discrepancy])
def test_float32_is_enough_far_from_0_and_where_products_are_of_bf16(measure):
    one, other = drawn(16, 3, 1), drawn(16, 3, 2)
    other[:, 0] += one[:, 0]
    expected = told(measure, one, other)
    single = [torch.from_numpy(each + 10).float() for each in (one, other)]
    with torch.autocast("cpu", torch.bfloat16):
        found = measure(*single)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(expected, abs=1e-4)
