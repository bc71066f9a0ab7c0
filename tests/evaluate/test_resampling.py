"""The bootstrap of people against a plain loop over the same people."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from bidsclf.evaluate import resampling
from bidsclf.evaluate.metrics import measure
from bidsclf.evaluate.resampling import bootstrap_intervals, stratified_counts


def sample(n: int = 50) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    truth = (np.arange(n) % 5 < 2).astype(int)
    return truth, np.round(rng.beta(1 + truth, 2 - truth), 1)


def test_agrees_with_a_loop_over_the_same_people():
    truth, score = sample()
    counts = stratified_counts(truth, n_bootstrap=200, seed=3)
    areas, f1s = [], []
    for row in counts.astype(int):
        drawn = np.repeat(np.arange(len(truth)), row)
        areas.append(roc_auc_score(truth[drawn], score[drawn]))
        f1s.append(f1_score(truth[drawn], score[drawn] >= 0.5))
    found = bootstrap_intervals(lambda c: measure(truth, score, c), counts)
    for name, draws in (("auc", areas), ("f1", f1s)):
        expected = (np.std(draws, ddof=1), *np.quantile(draws, [0.025, 0.975]))
        assert found[name] == pytest.approx(expected)


def test_draws_with_replacement_inside_each_class():
    truth, _ = sample()
    counts = stratified_counts(truth, n_bootstrap=4000, seed=0)
    assert (counts[:, truth == 1].sum(axis=1) == truth.sum()).all()
    assert (counts.sum(axis=1) == len(truth)).all()
    np.testing.assert_allclose(counts.mean(axis=0), 1, atol=0.08)
    never = (1 - 1 / truth.sum()) ** truth.sum()
    assert (counts[:, truth == 1] == 0).mean() == pytest.approx(never, abs=0.01)


def test_same_seed_same_people_other_seed_others():
    truth, _ = sample()
    first, again, other = (
        stratified_counts(truth, n_bootstrap=5, seed=seed) for seed in (1, 1, 2)
    )
    assert (first == again).all()
    assert (first != other).any()


def test_chunks_change_nothing(monkeypatch):
    truth, score = sample()
    counts = stratified_counts(truth, n_bootstrap=101, seed=0)
    whole = bootstrap_intervals(lambda c: measure(truth, score, c), counts)
    monkeypatch.setattr(resampling, "CHUNK", 7 * len(truth))
    pieces = bootstrap_intervals(lambda c: measure(truth, score, c), counts)
    for name, interval in whole.items():
        assert pieces[name] == pytest.approx(interval)


def test_an_undefined_statistic_has_no_interval():
    counts = np.ones((4, 2))
    found = bootstrap_intervals(lambda c: {"auc": np.full(len(c), np.nan)}, counts)
    assert np.isnan(found["auc"]).all()
