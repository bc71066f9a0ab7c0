"""The table of metrics: its scopes, groups and intervals."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from sklearn import metrics as sk

from bidsclf.errors import InputError
from bidsclf.evaluate.delong import within_site_interval
from bidsclf.evaluate.measures import METRICS, measure, within_site_auc
from bidsclf.evaluate.metrics import metrics_table
from bidsclf.evaluate.resampling import stratified_counts


def predictions(n: int = 24, models=("fc-svm", "meanmlp"), repeats=2) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    truth = np.arange(n) % 2
    frames = [
        pd.DataFrame(
            {
                "participant_id": [f"sub-{i:02d}" for i in range(n)],
                "site": np.where(np.arange(n) < n // 3, "KKI", "NYU"),
                "model": model,
                "repeat": repeat + 1,
                "fold": np.arange(n) // 2 % 3 + 1,
                "truth": truth,
                "score": np.clip(0.3 * truth + rng.uniform(0, 0.7, n), 0, 1),
            }
        )
        for model in models
        for repeat in range(repeats)
    ]
    return pd.concat(frames, ignore_index=True)


def cell(table: pd.DataFrame, **where) -> pd.Series:
    for column, value in where.items():
        table = table[table[column] == value]
    assert len(table) == 1
    return table.iloc[0]


def test_table_pools_the_mean_score_over_repeats():
    rows = predictions()
    table = metrics_table(rows, n_bootstrap=100, seed=0)
    mine = rows[rows["model"] == "meanmlp"].groupby("participant_id").mean(True)
    expected = sk.roc_auc_score(mine["truth"], mine["score"])
    found = cell(
        table, model="meanmlp", scope="pooled", metric="auc", method="bootstrap"
    )
    assert found["estimate"] == pytest.approx(expected)
    assert found["low"] <= expected <= found["high"]
    assert (found["n"], found["n_positive"]) == (24, 12)


def test_the_calibration_error_has_no_interval_since_its_draws_lie_above():
    rng = np.random.default_rng(0)
    rows = predictions(n=200, models=["m"], repeats=1)
    rows["score"] = rng.uniform(size=200)
    rows["truth"] = (rng.uniform(size=200) < rows["score"]).astype(int)
    table = metrics_table(rows, n_bootstrap=100, seed=0)
    found = cell(table, scope="pooled", metric="ece")
    assert found[["low", "high"]].isna().all()
    assert found["sd"] > 0
    truth, score = rows["truth"].to_numpy(), rows["score"].to_numpy()
    counts = stratified_counts(truth, n_bootstrap=100, seed=0)
    assert (measure(truth, score, counts)["ece"] > found["estimate"]).mean() > 0.9


def test_table_averages_folds_and_names_them():
    rows = predictions()
    table = metrics_table(rows, n_bootstrap=100, seed=0)
    mine = rows[rows["model"] == "fc-svm"].groupby(["repeat", "fold"])
    areas = mine[["truth", "score"]].apply(lambda f: sk.roc_auc_score(*f.T.to_numpy()))
    mean = cell(table, model="fc-svm", scope="mean of folds", metric="auc")
    assert mean["estimate"] == pytest.approx(areas.mean())
    assert mean["sd"] == pytest.approx(areas.std(ddof=1))
    assert mean["group"] == "6 of 6 folds"
    place = {"model": "fc-svm", "scope": "fold", "group": "2/3"}
    assert cell(table, **place, metric="auc")["estimate"] == areas[2, 3]


def test_table_survives_a_site_of_one_class():
    rows = predictions()
    rows.loc[rows["site"] == "KKI", "truth"] = 1
    table = metrics_table(rows, n_bootstrap=100, seed=0)
    site = {"model": "fc-svm", "group": "KKI"}
    found = cell(table, **site, metric="auc", method="delong")
    assert found[["estimate", "sd", "low", "high"]].isna().all()
    assert np.isfinite(cell(table, **site, metric="accuracy")["low"])


def test_table_does_not_depend_on_the_order_of_rows():
    rows = predictions(models=["fc-svm"])
    first = metrics_table(rows, n_bootstrap=100, seed=0)
    other = metrics_table(rows.sample(frac=1, random_state=1), n_bootstrap=100, seed=0)
    pd.testing.assert_frame_equal(first, other)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: t.drop(columns="score"), r"lack the columns \['score'\]"),
        (lambda t: t.iloc[:0], "0 rows"),
        (lambda t: t.assign(score=t["score"] + 1), r"outside \[0, 1\].*and 19 more"),
        (lambda t: t.assign(score=np.nan), "96 of 96 values of score"),
        (lambda t: t.assign(score="high"), "96 of 96 values of score"),
        (lambda t: t.assign(probability=-1.0), "96 of 96 values of probability"),
        (lambda t: t.assign(truth=2), r"truth holds \['2'\]; it is 0 or 1"),
        (lambda t: t.assign(truth=t["repeat"] - 1), "truth differs within a person"),
        (lambda t: pd.concat([t, t.iloc[:1]]), "twice in one repeat: sub-00"),
    ],
)
def test_refuses_what_is_not_predictions(spoil, message):
    with pytest.raises(InputError, match=message):
        metrics_table(spoil(predictions()), n_bootstrap=100, seed=0)


def test_probabilities_are_judged_as_such_and_change_no_rank_and_no_call():
    rows = predictions()
    rows["score"] = rows["score"].clip(0.01, 0.99)
    temperature = np.where(rows["repeat"] == 1, 0.3, 3.0)  # one a fit
    told = rows.assign(probability=expit(logit(rows["score"]) / temperature))
    plain, both = (metrics_table(t, n_bootstrap=100, seed=0) for t in (rows, told))
    is_told = both["metric"].isin(["brier", "ece", "log_loss"])
    pd.testing.assert_frame_equal(plain[~is_told], both[~is_told])
    pooled = told[told["model"] == "meanmlp"].groupby("participant_id")
    truth, mean = pooled["truth"].first(), pooled["probability"].mean()
    brier = {"model": "meanmlp", "scope": "pooled", "metric": "brier"}
    found = cell(both, **brier)
    assert found["estimate"] == pytest.approx(sk.brier_score_loss(truth, mean))
    assert found["low"] < found["estimate"] < found["high"]
    assert found["low"] != cell(plain, **brier)["low"]
    loss = cell(both, **brier | {"metric": "log_loss"})["estimate"]
    assert loss == pytest.approx(sk.log_loss(truth, mean))


def mean_scores(rows, model="meanmlp"):
    mine = rows[rows["model"] == model].groupby("participant_id")
    first = mine[["truth", "site"]].first()
    return first["truth"].to_numpy(), mine["score"].mean().to_numpy(), first["site"]


def test_within_site_row_has_both_intervals():
    rows = predictions()
    table = metrics_table(rows, n_bootstrap=100, seed=3)
    truth, score, site = mean_scores(rows)
    place = {"model": "meanmlp", "scope": "within site", "group": "all"}
    delong = cell(table, **place, method="delong")
    expected = within_site_interval(truth, score, site.to_numpy())
    assert tuple(delong[["estimate", "sd", "low", "high"]]) == pytest.approx(expected)
    counts = stratified_counts(truth, n_bootstrap=100, seed=3)
    draws = within_site_auc(truth, score, site.to_numpy(), counts)
    drawn = cell(table, **place, method="bootstrap")
    assert drawn["estimate"] == pytest.approx(delong["estimate"])
    assert drawn["low"] == pytest.approx(np.quantile(draws, 0.025))
    assert drawn["sd"] == pytest.approx(draws.std(ddof=1))
    assert (drawn["metric"], drawn["n"]) == ("auc", 24)


def people(n: int = 24) -> pd.DataFrame:
    ages = [8.5, 11.99, 12.0, 17.9, 18.0, 29.9, 30.0, 50.0, 64.9, 65.0, 70.0, np.nan]
    return pd.DataFrame(
        {
            "participant_id": [f"sub-{i:02d}" for i in range(n)][::-1],
            "Age": [age for age in ages for _ in range(2)][::-1],
            "SEX": (["F", "M", "M", " "] * 6)[::-1],
        }
    )


def test_groups_are_those_of_sex_and_age_in_years():
    rows = predictions()
    table = metrics_table(rows, people(), n_bootstrap=100, seed=0)
    mine = table[(table["model"] == "meanmlp") & (table["metric"] == "accuracy")]
    sizes = mine.set_index(["scope", "group"])["n"]
    assert sizes["age band"].to_dict() == {
        "<12": 4, "12-17": 4, "18-29": 4, "30-49": 2, "50-64": 4, "65+": 4,
    }  # fmt: skip
    assert list(sizes["age band"].index) == list(sizes["age band"].to_dict())
    assert sizes["sex"].to_dict() == {"F": 6, "M": 12}
    truth, score, _ = mean_scores(rows)
    is_female = np.arange(24) % 4 == 0
    expected = ((score >= 0.5) == truth)[is_female].mean()
    found = cell(mine, scope="sex", group="F")
    assert found["estimate"] == pytest.approx(expected)


def test_groups_need_neither_table_nor_columns():
    rows = predictions()
    plain = metrics_table(rows, n_bootstrap=100, seed=0)
    assert not set(plain["scope"]) & {"sex", "age band"}
    bare = metrics_table(rows, people()[["participant_id"]], n_bootstrap=100, seed=0)
    pd.testing.assert_frame_equal(plain, bare)
    some = metrics_table(rows, people().iloc[:2], n_bootstrap=100, seed=0)
    kept = ~some["scope"].isin(["sex", "age band"])
    pd.testing.assert_frame_equal(plain, some[kept].reset_index(drop=True))


@pytest.mark.parametrize(
    "spoil",
    [lambda t: pd.concat([t, t.iloc[:1]]), lambda t: t.drop(columns="participant_id")],
)
def test_groups_refuse_what_is_not_one_row_a_person(spoil):
    with pytest.raises(InputError, match="expected one row a person"):
        metrics_table(predictions(), spoil(people()), n_bootstrap=100, seed=0)


def test_a_class_of_one_person_has_no_interval():
    rows = predictions()
    rows.loc[(rows["site"] == "KKI"), "truth"] = 0
    rows.loc[rows["participant_id"] == "sub-00", "truth"] = 1
    table = metrics_table(rows, n_bootstrap=100, seed=0)
    site = table[(table["scope"] == "site") & (table["group"] == "KKI")]
    assert len(site) == 2 * (len(METRICS) + 1)
    assert site[["sd", "low", "high"]].isna().all(axis=None)
    assert site["estimate"].notna().all()


def test_people_without_a_site_are_in_no_pair_of_a_site():
    rows = predictions()
    table = metrics_table(rows.assign(site=np.nan), n_bootstrap=100, seed=0)
    assert not set(table["scope"]) & {"site", "within site"}
    rows.loc[rows["participant_id"] == "sub-00", "site"] = np.nan
    table = metrics_table(rows, n_bootstrap=100, seed=0)
    assert set(table.loc[table["scope"] == "within site", "n"]) == {23}
