"""covbat against its equations, written out."""

import numpy as np
import pandas as pd
import pytest

from bidsclf.config import HarmonizeConfig
from bidsclf.harmonize import make
from bidsclf.harmonize.covbat import components


def study(seed, n_rows=90, n_features=40):
    """Return features whose correlations differ between three sites."""
    rng = np.random.default_rng(seed)
    codes = np.arange(n_rows) % 3
    shared = rng.normal(size=(n_rows, 4))
    shared[:, 0] *= np.array([0.3, 1.0, 3.0])[codes]
    x = shared @ rng.normal(size=(4, n_features)) + rng.normal(
        size=(n_rows, n_features)
    )
    x += rng.normal(size=(3, n_features))[codes]
    covariates = pd.DataFrame({"age": rng.uniform(6, 60, n_rows)})
    return x, np.array([f"s{code}" for code in codes], object), covariates


def fitted(method, x, sites, covariates, unseen=None):
    config = HarmonizeConfig(method=method, unseen=unseen)
    return make(config).fit(x, sites, covariates)


def written_out(x, sites, covariates):
    """Return Chen's (2022) CovBat of all rows, from ComBat's own output."""
    harmonizer = fitted("combat", x, sites, covariates)
    combat = harmonizer.apply(x, sites, covariates)
    arrays, _ = harmonizer.state()
    age = covariates["age"].to_numpy()
    trend = (
        arrays["mean"] + ((age - age.mean()) / age.std())[:, None] * arrays["slopes"]
    )
    rest = combat - trend
    centre, scale = rest.mean(axis=0), rest.std(axis=0, ddof=1)
    u, s, vt = np.linalg.svd((rest - centre) / scale, full_matrices=False)
    held = np.cumsum(s**2) / np.sum(s**2)
    n_kept = np.flatnonzero(held > 0.95)[0] + 1
    scores = u * s
    pooled = np.zeros(n_kept)
    for site in np.unique(sites):
        own = scores[sites == site, :n_kept]
        pooled += len(own) * own.var(axis=0) / len(x)
    for site in np.unique(sites):
        own = scores[sites == site, :n_kept]
        standard = (own - own.mean(axis=0)) / own.std(axis=0, ddof=1)
        scores[sites == site, :n_kept] = standard * np.sqrt(pooled)
    return scores @ vt * scale + centre + trend, n_kept


@pytest.mark.parametrize(("seed", "n_features"), [(0, 40), (1, 40), (2, 150)])
def test_equals_the_equations(seed, n_features):
    given = study(seed, n_features=n_features)
    expected, n_kept = written_out(*given)
    harmonizer = fitted("covbat", *given)
    assert harmonizer.notes()["n_components"] == n_kept
    np.testing.assert_allclose(harmonizer.apply(*given), expected, atol=1e-5)


def test_covariances_of_sites_become_alike_where_combat_s_do_not():
    x, sites, covariates = study(0, n_rows=600, n_features=20)

    def apart(values):
        each = [np.corrcoef(values[sites == s].T) for s in np.unique(sites)]
        return np.abs(np.ptp(each, axis=0)).mean()

    found = {
        method: apart(fitted(method, x, sites, covariates).apply(x, sites, covariates))
        for method in ("combat", "covbat")
    }
    assert found["covbat"] < 0.6 * found["combat"]


def test_an_unseen_site_s_scores_get_its_own_location_and_scale():
    x, sites, covariates = study(0, n_rows=300, n_features=20)
    known = sites != "s2"
    harmonizer = fitted("covbat", x[known], sites[known], covariates[known], "batch")
    arrays, _ = harmonizer.state()
    assert arrays["score_sd"].shape[0] == 2
    found = harmonizer.apply(x[~known], sites[~known], covariates[~known])
    age = (covariates["age"] - covariates["age"][known].mean()) / covariates["age"][
        known
    ].std(ddof=0)
    trend = arrays["mean"] + age.to_numpy()[~known, None] * arrays["slopes"]
    rest = (found - trend) / arrays["spread"]
    scores = (rest - arrays["centre"]) / arrays["scale"] @ arrays["loadings"]
    np.testing.assert_allclose(scores.mean(axis=0), 0, atol=1e-4)
    expected = arrays["score_spread"]
    np.testing.assert_allclose(scores.std(axis=0, ddof=1), expected, rtol=1e-4)


def test_components_span_the_same_space_in_both_shapes():
    rng = np.random.default_rng(0)
    wide = rng.normal(size=(20, 50))
    wide -= wide.mean(axis=0)
    for z in (wide, np.vstack([wide, wide, wide])):
        found = components(z, 0.9)
        np.testing.assert_allclose(found.T @ found, np.eye(found.shape[1]), atol=1e-6)
        vt = np.linalg.svd(z)[2][: found.shape[1]]
        np.testing.assert_allclose(np.abs(vt @ found).diagonal(), 1, atol=1e-6)
