"""Maps of places, against networks of which the answer is known by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bidsclf.errors import InputError
from bidsclf.interpret.maps import (
    average_person,
    cube_of,
    cubes,
    gradient_map,
    occlusion_map,
    window_of,
)

SHAPE, N_STEPS = (8, 7, 5), 4


class Odds(nn.Module):
    """Log odds of (B, T, X, Y, Z) by any function; counts the samples it saw."""

    def __init__(self, odds):
        super().__init__()
        self.odds, self.n_seen = odds, 0

    def forward(self, batch):
        self.n_seen += len(batch[0])
        assert len(batch[1]) == len(batch[0])
        odds = self.odds(batch[0])
        return torch.stack([torch.zeros_like(odds), odds], dim=1)


class People:
    """Samples of people, one each, or several crops."""

    def __init__(self, values, person):
        self.values, self.person = values, person

    def batch(self, which):
        x = torch.as_tensor(self.values[which])
        return x, torch.full((len(x),), x.shape[1])


def model_of(odds, person=None):
    def samples(values):
        own = np.arange(len(values)) if person is None else person
        return People(values, own)

    return SimpleNamespace(
        network=Odds(odds).eval(), samples=samples, device=torch.device("cpu")
    )


def ball(shape=SHAPE):
    """A brain that leaves the corners of the grid free."""
    at = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    return sum(axis**2 for axis in at) < 1.5


def people(seed=0, n=3):
    rng = np.random.default_rng(seed)
    found = rng.normal(1, 0.2, (n, N_STEPS, *SHAPE)).astype(np.float32)
    return found * ball()


def linear(weight):
    return lambda x: (x * weight).sum((1, 2, 3, 4))


def weight_of(seed=1):
    rng = np.random.default_rng(seed)
    return torch.as_tensor(rng.normal(size=(N_STEPS, *SHAPE)), dtype=torch.float32)


def test_gradient_of_a_linear_network_is_weight_times_input():
    x, weight = people(), weight_of()
    found = gradient_map(model_of(linear(weight)), x)
    each = x * weight.numpy()
    np.testing.assert_allclose(found.signed, each.sum(1).mean(0), atol=1e-6)
    assert found.n_people == 3


def test_size_of_a_gradient_is_of_the_cube_around_a_voxel_volume_by_volume():
    x, weight = people(), weight_of()
    found = gradient_map(model_of(linear(weight)), x)
    each = np.pad(x * weight.numpy(), [(0, 0)] * 2 + [(1, 1)] * 3)
    for at in ((4, 3, 2), (3, 0, 2), (7, 3, 2)):  # inside, and at two ends of the grid
        cube = (slice(None), slice(None), *(slice(i, i + 3) for i in at))
        expected = np.abs(each[cube].sum((2, 3, 4))).sum(1).mean(0)
        np.testing.assert_allclose(found.size[at], expected, rtol=1e-4)


def test_size_is_told_where_a_network_scales_over_time():
    """Its signed map is 0: it knows neither the level of a voxel nor its size."""

    def odds(x):
        centred = x - x.mean(1, keepdim=True)
        z = centred / centred.std(1, keepdim=True).clamp_min(1e-6)
        return z[:, 0, 4, 3, 2] - z[:, 1, 4, 3, 2] ** 2

    found = gradient_map(model_of(odds), people())
    assert np.abs(found.signed).max() < 1e-5
    assert found.size[4, 3, 2] > 0.1


def test_gradient_maps_of_a_linear_network_add_up_to_its_log_odds():
    x, weight = people(), weight_of()
    total = gradient_map(model_of(linear(weight)), x).signed.sum()
    np.testing.assert_allclose(total, (x * weight.numpy()).sum() / 3, rtol=1e-4)


def test_a_person_counts_once_however_many_crops():
    x, weight = people(n=3), weight_of()
    model = model_of(linear(weight), person=np.array([0, 0, 1]))
    each = (x * weight.numpy()).sum(1)
    model.samples = lambda _: People(x, np.array([0, 0, 1]))
    found = gradient_map(model, x[:2])
    expected = ((each[0] + each[1]) / 2 + each[2]) / 2
    np.testing.assert_allclose(found.signed, expected, atol=1e-6)


def removed_by_hand(x, weight):
    """Return what each voxel's cubes take from a linear network, by plain loops."""
    edge, stride = 3, 2
    starts = [(*range(0, n - edge, stride), n - edge) for n in SHAPE]
    sums, times = np.zeros((2, *SHAPE)), np.zeros(SHAPE)
    brain = ball()
    gone = (weight * (x - x[:, brain].mean()) * brain).sum(0)
    for a in starts[0]:
        for b in starts[1]:
            for c in starts[2]:
                here = np.s_[a : a + 3, b : b + 3, c : c + 3]
                sums[0][here] += gone[here].sum()
                sums[1][here] += abs(gone[here].sum())
                times[here] += 1
    return sums / times * brain


def test_occlusion_of_a_linear_network_is_the_sum_of_what_was_removed():
    x, weight = people(), weight_of()
    found = occlusion_map(model_of(linear(weight)), x)
    each = np.array([removed_by_hand(one.astype(float), weight.numpy()) for one in x])
    np.testing.assert_allclose(found.signed, each[:, 0].mean(0), atol=1e-4)
    np.testing.assert_allclose(found.size, each[:, 1].mean(0), atol=1e-4)


def test_one_voxel_at_the_end_of_the_grid_colours_the_cubes_that_hold_it():
    """As a share of the cubes that hold the voxel asked about."""
    x, at = np.ones((1, N_STEPS, *SHAPE), np.float32), (7, 6, 4)  # the last corner
    x[0, :, *at] = 3.0
    found = occlusion_map(model_of(lambda x: x[:, 0, *at]), x)
    # along x cubes start at 0, 2, 4, 5; along y at 0, 2, 4; along z at 0, 2
    along_x = np.array([0, 0, 0, 0, 0, 1 / 2, 1 / 2, 1])
    along_y, along_z = (
        np.array([0, 0, 0, 0, 1 / 2, 1, 1]),
        np.array([0, 0, 1 / 2, 1, 1]),
    )
    share = np.einsum("a,b,c->abc", along_x, along_y, along_z)
    np.testing.assert_allclose(found.signed, (3 - x.mean()) * share, atol=1e-5)


def test_the_average_person_is_taken_away_before_and_put_in_its_place():
    x, weight = people(), weight_of()
    average = np.random.default_rng(5).normal(1, 0.1, SHAPE)
    model, own = model_of(linear(weight)), (x - average) * ball()
    found = gradient_map(model, x, average=average)
    each = (own * weight.numpy()).sum(1)
    np.testing.assert_allclose(found.signed, each.mean(0), atol=1e-5)
    lost = occlusion_map(model, x, average=average).signed[7, 3, 2]
    along_y = [np.s_[5:8, 2:5, z : z + 3] for z in (0, 2)]
    expected = np.mean([each[(slice(None), *one)].sum((1, 2, 3)) for one in along_y])
    np.testing.assert_allclose(lost, expected, atol=1e-4)
    same = np.broadcast_to(average * ball(), (1, N_STEPS, *SHAPE)).astype(np.float32)
    for make in (gradient_map, occlusion_map):
        assert make(model, same, average=average).size.max() < 1e-5


def test_the_average_person_is_of_those_who_have_the_voxel():
    x = people(n=3)
    x[0, :, 4, 3, 2] = 0
    found = average_person(x)
    np.testing.assert_allclose(found[4, 3, 2], x[1:, :, 4, 3, 2].mean(), rtol=1e-5)
    inside = ball()
    inside[4, 3, 2] = False
    np.testing.assert_allclose(found[inside], x.mean((0, 1))[inside], rtol=1e-5)
    assert not found[~ball()].any()


@settings(max_examples=30)
@given(shape=st.tuples(*[st.integers(1, 40)] * 3))
def test_cubes_cover_the_grid_and_stay_few(shape):
    seen = np.zeros(shape, int)
    for cube in cubes(shape):
        seen[cube] += 1
    assert seen.min() >= 1
    assert len(cubes(shape)) <= 9**3
    assert len({tuple(s.start for s in cube) for cube in cubes(shape)}) == len(
        cubes(shape)
    )


def test_no_map_leaves_the_brain():
    x = people()

    def odds(x):
        return x.mean((1, 2, 3, 4)).tanh() + x[:, 0, 0, 0, 0]  # an outside voxel, too

    for found in (gradient_map(model_of(odds), x), occlusion_map(model_of(odds), x)):
        assert (found.size[~ball()] == 0).all()
        assert (found.signed[~ball()] == 0).all()
        assert (found.size[ball()] > 0).all()


def test_cubes_without_brain_cost_nothing():
    x = np.zeros((1, N_STEPS, *SHAPE), np.float32)
    x[0, :, 0, 0, 0] = 1
    model = model_of(linear(weight_of()))
    occlusion_map(model, x)
    assert model.network.n_seen == 2  # the whole, and the one cube of the corner


def test_an_empty_scan_has_empty_maps():
    x = np.zeros((1, N_STEPS, *SHAPE), np.float32)
    for make in (gradient_map, occlusion_map):
        found = make(model_of(linear(weight_of())), x)
        assert not found.size.any()


def test_a_level_that_never_changes_is_seen_by_occlusion():
    """As for networks of the mean image, which a voxel's own mean would not change."""
    x = people(n=1)
    x[:] = x.mean(axis=1, keepdims=True)
    found = occlusion_map(model_of(lambda x: x.mean(1)[:, 4, 3, 2]), x)
    assert found.size[4, 3, 2] > 0


def test_people_are_drawn_by_seed_and_counted():
    x = people(n=6)
    model = model_of(linear(weight_of()))
    one, same, other = (
        occlusion_map(model, x, seed=seed, n_people=2) for seed in (1, 1, 2)
    )
    assert one.n_people == 2
    np.testing.assert_array_equal(one.signed, same.signed)
    assert (one.signed != other.signed).any()
    assert gradient_map(model, x).n_people == 6


def test_cubes_of_the_feature_s_grid_are_few_and_overlap():
    assert (cube_of((34, 34, 34)), window_of((34, 34, 34))) == ((6, 4), 7)
    assert len(cubes((34, 34, 34))) == 512


@pytest.mark.parametrize("make", [gradient_map, occlusion_map])
def test_what_cannot_be_mapped_is_said(make):
    model = model_of(linear(weight_of()))
    with pytest.raises(InputError, match="no person to make a map of"):
        make(model, people()[:0])
    with pytest.raises(InputError, match=r"shape \(1, 4, 8\); a map takes volumes"):
        make(model, people()[..., 0, 0])
