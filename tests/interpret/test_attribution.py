"""Gradients along a path and patterns of linear models, against sums done by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bidsclf.errors import InputError
from bidsclf.interpret.attribution import (
    Attribution,
    attribute,
    attribution_table,
    haufe_pattern,
    integrated_gradients,
    pattern_attribution,
    pattern_table,
    spaced,
    time_table,
)
from bidsclf.models._base import find
from bidsclf.models._rows import Series

REGIONS = ("a", "b", "c", "d")


class Odds(nn.Module):
    """Log odds of (B, T, R) by any function."""

    def __init__(self, odds):
        super().__init__()
        self.odds = odds

    def forward(self, batch):
        odds = self.odds(batch[0])
        return torch.stack([torch.zeros_like(odds), odds], dim=1)


class People:
    """Samples of people, one each, or several windows."""

    def __init__(self, values, person, length):
        self.values, self.person, self.length = values, person, length

    def batch(self, which):
        return (torch.as_tensor(self.values[which]),)


def model_of(odds, person=None):
    def samples(values):
        own = np.arange(len(values)) if person is None else person
        return People(values, own, values.shape[1] if values.ndim == 3 else None)

    return SimpleNamespace(
        network=Odds(odds).eval(), samples=samples, device=torch.device("cpu")
    )


def windows(seed: int = 0, n: int = 5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 6, len(REGIONS))).astype(np.float32)


def test_of_a_linear_network_are_weight_times_input():
    weight = torch.arange(24.0).reshape(6, 4)
    x = torch.as_tensor(windows())
    found = integrated_gradients(Odds(lambda x: (x * weight).sum((1, 2))), (x,))
    torch.testing.assert_close(found, x * weight)


def test_of_a_product_are_shared_between_its_factors():
    """f = x0 * x1 from zero: the path integral gives half of it to each factor."""
    x = torch.tensor([[[3.0, 5.0, 1.0, 1.0]]])
    found = integrated_gradients(Odds(lambda x: (x[..., 0] * x[..., 1]).sum(1)), (x,))
    torch.testing.assert_close(found, torch.tensor([[[7.5, 7.5, 0.0, 0.0]]]))


@settings(max_examples=20)
@given(seed=st.integers(0, 2**16))
def test_add_up_to_the_log_odds_less_those_of_zero(seed):
    torch.manual_seed(seed)
    lstm, head = nn.LSTM(4, 3, batch_first=True), nn.Linear(3, 1)
    network = Odds(lambda x: head(lstm(x)[0]).mean(1)[:, 0]).eval()
    x = torch.as_tensor(windows(seed))
    found = integrated_gradients(network, (x,), n_steps=64).sum((1, 2))
    with torch.no_grad():
        ends = [network((one,))[:, 1] for one in (x, torch.zeros_like(x))]
    torch.testing.assert_close(found, ends[0] - ends[1], atol=1e-3, rtol=1e-2)


def test_the_path_starts_where_the_network_says():
    network, x = Odds(lambda x: (x**2).sum((1, 2))), torch.full((1, 1, 1), 2.0)
    network.baseline = 0.5
    found = integrated_gradients(network, (x,))
    torch.testing.assert_close(found, torch.full((1, 1, 1), 2.0**2 - 0.5**2))


def test_twice_the_steps_change_a_share_by_less_than_a_hundredth():
    torch.manual_seed(0)
    lstm, head = nn.LSTM(4, 8, batch_first=True), nn.Linear(8, 1)
    network = Odds(lambda x: head(lstm(x)[0]).mean(1)[:, 0]).eval()
    x = torch.as_tensor(3 * windows())
    shares = []
    for n_steps in (32, 64):
        one = integrated_gradients(network, (x,), n_steps=n_steps).abs().sum((0, 1))
        shares.append(one / one.sum())
    torch.testing.assert_close(*shares, atol=0, rtol=0.01)


def test_regions_and_volumes_that_are_read_stand_out():
    x = windows(n=7)
    model = model_of(lambda x: 2 * x[:, 3, 1].abs() - x[:, 0, 2].abs())
    found = attribute(model, x, n_regions=4)
    read = np.abs(x[:, 3, 1]).sum() * 2, np.abs(x[:, 0, 2]).sum()
    shares = np.array([0, read[0], read[1], 0]) / sum(read)
    np.testing.assert_allclose(found.absolute, shares, rtol=1e-5)
    np.testing.assert_allclose(
        found.signed, [0, read[0] / 7, -read[1] / 7, 0], rtol=1e-5
    )
    at = np.array([read[1], 0, 0, read[0], 0, 0]) / sum(read)
    np.testing.assert_allclose(found.time, at, rtol=1e-5)


def test_an_edge_is_half_of_each_of_its_ends():
    edges = np.ones((2, 6), np.float32)
    weight = torch.tensor([6.0, 0, 0, 0, 0, -2.0])  # a-b and c-d
    found = attribute(model_of(lambda x: (x * weight).sum(1)), edges, n_regions=4)
    np.testing.assert_allclose(found.signed, [3, 3, -1, -1])
    np.testing.assert_allclose(found.absolute, np.array([3, 3, 1, 1]) / 8)
    assert found.time is None


@pytest.mark.parametrize("settings", [{}, {"mask": False, "pool": "mean"}], ids=str)
def test_whole_scans_of_any_length_have_regions_and_no_common_time(settings):
    rng = np.random.default_rng(0)
    # more people than a step takes, so that steps differ in their longest scan
    lengths = [30] * 40 + [20] * 40 + [25]
    scans = [rng.normal(size=(n, 4)).astype(np.float32) for n in lengths]
    for one in scans:
        one[:, 2] = 0
    model = find("rsnlstm").make(n_epochs=1, units=(4, 2), dropout=0.0, **settings)
    model.fit(Series.of(scans), np.arange(len(scans)) % 2)
    found = [
        attribute(model, Series.of(scans[start:]), n_regions=4) for start in (0, 40)
    ]
    assert found[0].time is None
    assert time_table(found, model="rsnlstm").empty
    assert found[0].absolute[2] == 0
    assert found[0].absolute.sum() == pytest.approx(1)


def test_people_with_many_windows_count_like_others():
    person = np.array([0] * 50 + [1] * 3)
    assert np.bincount(person[spaced(person, 6)]).tolist() == [6, 3]
    assert spaced(person, 6)[[0, 5]].tolist() == [0, 49]


def test_nobody_and_strange_inputs_are_refused():
    model = model_of(lambda x: x.sum((1, 2)))
    with pytest.raises(InputError, match="no row to attribute"):
        attribute(model, windows(n=0), n_regions=4)
    with pytest.raises(InputError, match=r"4 columns; 9 regions or their 36 edges"):
        attribute(model, windows(), n_regions=9)


def test_a_pattern_finds_the_signal_and_not_the_noise_it_is_freed_of():
    """Haufe's example: x1 = signal + noise, x2 = noise; weights (1, -1)."""
    rng = np.random.default_rng(0)
    signal, noise = rng.normal(size=(2, 20000))
    features = np.stack([signal + noise, noise], axis=1)
    pattern = haufe_pattern(features, features @ [1, -1])
    np.testing.assert_allclose(pattern, [1, 0], atol=0.03)


@given(seed=st.integers(0, 2**16), shift=st.floats(-1e3, 1e3))
def test_a_pattern_is_the_covariance_over_the_variance(seed, shift):
    rng = np.random.default_rng(seed)
    features, weights = rng.normal(size=(30, 5)), rng.normal(size=5)
    decisions = features @ weights
    expected = np.cov(features.T) @ weights / np.var(decisions, ddof=1)
    found = haufe_pattern(features, decisions + shift)
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_a_model_that_says_the_same_of_all_has_no_pattern():
    assert not haufe_pattern(windows()[:, 0], np.full(5, 0.1)).any()


def test_tables_hold_means_and_spread_over_folds():
    folds = [
        Attribution(np.array([1.0, 0, 0, 0]), np.array([1.0, 0, 0, 0]), np.ones(2) / 2),
        Attribution(np.array([0, -1.0, 0, 0]), np.array([0, 1.0, 0, 0]), np.eye(2)[0]),
    ]
    table = attribution_table(folds, REGIONS, model="m", method="x")
    assert table["signed"].tolist() == [0.5, -0.5, 0, 0]
    assert table["absolute"].tolist() == [0.5, 0.5, 0, 0]
    assert table["sd"][0] == pytest.approx(np.sqrt(0.5))
    assert set(table["n_folds"]) == {2}
    assert (
        attribution_table(folds[:1], REGIONS, model="m", method="x")["sd"].isna().all()
    )
    assert time_table(folds, model="m")["absolute"].tolist() == [0.75, 0.25]
    assert time_table([pattern_attribution(np.ones(6), 4)], model="m").empty
    edges = pattern_table([np.arange(6.0), np.arange(6.0) + 2], REGIONS, model="m")
    assert edges.iloc[3][["region_a", "region_b", "pattern"]].tolist() == [
        "b",
        "c",
        4.0,
    ]
