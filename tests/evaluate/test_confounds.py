"""Correlations against scipy and regressions; planted confounds are found."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr, rankdata, spearmanr
from statsmodels.api import OLS
from statsmodels.stats.multitest import multipletests

from bidsclf.errors import InputError
from bidsclf.evaluate.confounds import confounds_table, spearman


def study(seed: int = 0, n: int = 60, digits: int = 2):
    """Scores of two models, and traits in another order."""
    rng = np.random.default_rng(seed)
    people = [f"sub-{i:03d}" for i in range(n)]
    truth = np.arange(n) % 2
    rows = pd.DataFrame(
        {
            "participant_id": people,
            "site": rng.choice(["KKI", "NYU", "UM"], n),
            "model": "fc-svm",
            "repeat": 1,
            "fold": 1,
            "truth": truth,
            "score": np.round(
                np.clip(0.4 + 0.2 * truth + 0.2 * rng.normal(size=n), 0, 1), digits
            ),
        }
    )
    other = rows.assign(model="meanmlp", score=np.round(rng.random(n), digits))
    traits = pd.DataFrame(
        {
            "participant_id": people,
            "mean_fd": np.round(0.1 + 0.2 * rng.random(n) + 0.1 * truth, digits),
            "n_volumes": rng.choice([150, 180, 240], n),
            "age": rng.uniform(6, 60, n),
        }
    )
    return pd.concat([rows, other], ignore_index=True), traits


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_scipy(seed):
    rows, traits = study(seed)
    found = confounds_table(rows, traits.sample(frac=1, random_state=seed))
    assert len(found) == 6
    for (model, name), cell in found.groupby(["model", "confound"]):
        scores = rows.loc[rows["model"] == model, "score"]
        expected = spearmanr(scores, traits[name])
        assert cell["r"].item() == pytest.approx(expected.statistic)
        assert cell["p"].item() == pytest.approx(expected.pvalue)
        assert cell["n"].item() == 60
    np.testing.assert_allclose(
        found["p_holm"], multipletests(found["p"], method="holm")[1]
    )


@pytest.mark.parametrize(
    ("column", "by"), [("r_within_site", "site"), ("r_given_truth", "truth")]
)
def test_the_partial_correlation_is_that_of_residuals_of_a_regression(column, by):
    rows, traits = study(1)
    found = confounds_table(rows, traits)
    mine = rows[rows["model"] == "fc-svm"]
    dummies = pd.get_dummies(mine[by]).to_numpy(float)
    left = [
        OLS(rankdata(v), dummies).fit().resid
        for v in (mine["score"], traits["mean_fd"])
    ]
    assert found[column][0] == pytest.approx(pearsonr(*left).statistic)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    rho, hits = 6 / np.pi * np.arcsin(0.6 / 2), []  # Spearman's, for Pearson's of 0.6
    for _ in range(1000):
        x, y = rng.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], 60).T
        found = spearman(x, y)
        hits.append(found.low < rho < found.high)
    assert 0.93 < np.mean(hits) < 0.97


def test_a_confound_that_works_through_the_site_vanishes_within_it():
    rows, traits = study(2, n=300)
    level = rows["site"][:300].map({"KKI": 0.0, "NYU": 0.3, "UM": 0.6})
    noise = np.random.default_rng(0).random((2, 300)) * 0.3
    rows = rows[:300].assign(score=level + noise[0])
    found = confounds_table(rows, traits.assign(mean_fd=level + noise[1])).iloc[0]
    assert found["r"] > 0.7
    assert abs(found["r_within_site"]) < 0.15


def test_a_confound_that_works_through_the_class_vanishes_given_it():
    rows, traits = study(3, n=300)
    truth = rows["truth"][:300]
    noise = np.random.default_rng(1).random((2, 300))
    rows = rows[:300].assign(score=0.5 * truth + 0.5 * noise[0])
    found = confounds_table(rows, traits.assign(mean_fd=truth + noise[1])).iloc[0]
    assert found["r"] > 0.6
    assert abs(found["r_given_truth"]) < 0.15


@pytest.mark.parametrize("seed", range(3))
def test_a_monotone_transform_changes_nothing(seed):
    rows, traits = study(seed, n=20)
    bent = traits.assign(age=np.exp(traits["age"] / 10))
    pd.testing.assert_frame_equal(
        confounds_table(rows, traits), confounds_table(rows, bent)
    )


def test_missing_values_and_text_leave_the_person_out():
    rows, traits = study()
    ages = traits["age"].astype(object)
    ages[:3] = [np.nan, "n/a", "unknown"]
    traits = traits.assign(age=ages.astype(str))
    found = confounds_table(rows, traits[["participant_id", "age"]][:-2])
    assert found["n"].tolist() == [55, 55]
    assert found["confound"].unique().tolist() == ["age"]


def test_what_does_not_vary_has_no_correlation():
    rows, traits = study()
    found = confounds_table(rows.assign(score=0.1 + 0.2), traits)
    numbers = ["r", "low", "high", "p", "p_holm", "r_within_site", "r_given_truth"]
    assert found[numbers].isna().all(axis=None)
    # constant within each site, up to rounding of the site's mean rank
    fixed = rows["site"][:60].map({"KKI": 0.1, "NYU": 0.2, "UM": 0.3})
    found = confounds_table(rows, traits.assign(mean_fd=fixed))
    assert np.isfinite(found["r"][0])
    assert np.isnan(found["r_within_site"][0])


def test_few_people_have_no_correlation():
    rows, traits = study(n=4)
    assert confounds_table(rows, traits)["r"].isna().all()


def test_a_score_that_is_the_confound_is_certain():
    rows, traits = study()
    found = confounds_table(rows[:60], traits.assign(age=rows["score"][:60])).iloc[2]
    assert (found["r"], found["low"], found["p"]) == pytest.approx((1, 1, 0))


def test_no_confound_gives_no_row():
    rows, traits = study()
    assert confounds_table(rows, traits[["participant_id"]]).empty


def test_refuses_a_person_of_two_rows():
    rows, traits = study()
    with pytest.raises(
        InputError, match="120 people has no participant_id or one of them twice"
    ):
        confounds_table(rows, pd.concat([traits, traits]))
