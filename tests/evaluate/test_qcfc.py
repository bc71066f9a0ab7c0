"""QC-FC against scipy and statsmodels, feature by feature."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import pearsonr
from statsmodels.stats.multitest import multipletests

from bidsclf.evaluate.qcfc import qcfc


def drawn(seed: int, n: int = 40, n_features: int = 60):
    rng = np.random.default_rng(seed)
    motion = 0.1 + rng.random(n)
    follows = np.linspace(0, 1, n_features)
    return rng.normal(size=(n, n_features)) + 3 * follows * motion[:, None], motion


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_agrees_with_scipy_and_statsmodels(kind):
    x, motion = drawn(0)
    found = qcfc(x.astype(kind), motion)
    tests = [pearsonr(column, motion) for column in x.T]
    p = np.array([test.pvalue for test in tests])
    expected = np.median(np.abs([test.statistic for test in tests]))
    assert found["n_edges"] == 60
    assert found["median_abs_r"] == pytest.approx(expected, abs=1e-6)
    assert found["share_p05"] == np.mean(p < 0.05)
    assert found["share_fdr05"] == multipletests(p, 0.05, method="fdr_bh")[0].mean()
    assert 0 < found["share_fdr05"] < found["share_p05"] < 1


@given(seed=st.integers(0, 2**16), gain=st.floats(1e-3, 1e3), offset=st.floats(-9, 9))
def test_knows_no_unit(seed, gain, offset):
    x, motion = drawn(seed, n=12, n_features=5)
    assert qcfc(gain * x + offset, 2 * motion) == pytest.approx(qcfc(x, motion))


def test_noise_gives_what_chance_gives():
    rng = np.random.default_rng(0)
    found = qcfc(rng.normal(size=(100, 5000)), rng.random(100))
    assert found["share_p05"] == pytest.approx(0.05, abs=0.015)
    assert found["share_fdr05"] < 0.01


def test_constant_features_are_left_out():
    x, motion = drawn(0, n_features=4)
    x[:, 1], x[:, 2] = 0, 0.1 + 0.2
    assert qcfc(x, motion)["n_edges"] == 2
    empty = qcfc(np.ones((40, 2)), motion)
    assert empty["n_edges"] == 0
    assert np.isnan([empty["share_p05"], empty["median_abs_r"]]).all()
