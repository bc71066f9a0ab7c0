"""Every metric at every scope: pooled, within site, per fold and per group."""

from collections.abc import Iterator
from functools import partial

import numpy as np
import pandas as pd

from bidsclf.errors import InputError
from bidsclf.evaluate._predictions import check, pool
from bidsclf.evaluate.delong import delong_interval, within_site_interval
from bidsclf.evaluate.measures import METRICS, THRESHOLD, measure, within_site_auc
from bidsclf.evaluate.resampling import (
    Statistic,
    bootstrap_intervals,
    stratified_counts,
)

__all__ = ["METRICS", "THRESHOLD", "measure", "metrics_table"]

BANDS = {"<12": 0, "12-17": 12, "18-29": 18, "30-49": 30, "50-64": 50, "65+": 65}
# years at which an age band starts; ours
UNKNOWN = (np.nan, np.nan, np.nan)  # sd, low, high


def _measured(rows: pd.DataFrame, counts: np.ndarray | None = None) -> dict:
    """Return every metric of scores, and of probabilities where they are known."""
    told = rows.get("probability", rows["score"]).to_numpy()
    truth, score = (rows[name].to_numpy() for name in ("truth", "score"))
    return measure(truth, score, counts, probability=told)


def _estimates(rows: pd.DataFrame) -> dict[str, float]:
    found = _measured(rows)
    return {name: float(value[0]) for name, value in found.items()}


def _sizes(rows: pd.DataFrame) -> dict[str, int]:
    people = rows.drop_duplicates("participant_id")
    return {"n": len(people), "n_positive": int(people["truth"].sum())}


def _fold_rows(predictions: pd.DataFrame, head: dict[str, str]) -> Iterator[dict]:
    """Yield every metric of every fold, then their mean and SD over folds."""
    by_fold = []
    for (repeat, fold), rows in predictions.groupby(["repeat", "fold"]):
        place = {"scope": "fold", "group": f"{repeat}/{fold}", "method": "none"}
        by_fold.append(_estimates(rows))
        sizes = _sizes(rows)
        for name, value in by_fold[-1].items():
            yield {**head, **place, "metric": name, "estimate": value, **sizes}
    sizes = _sizes(predictions)
    for name in METRICS:
        known = np.array([found[name] for found in by_fold])
        known = known[np.isfinite(known)]
        yield {
            **head,
            "scope": "mean of folds",
            "group": f"{len(known)} of {len(by_fold)} folds",
            "metric": name,
            "estimate": known.mean() if len(known) else np.nan,
            "sd": known.std(ddof=1) if len(known) > 1 else np.nan,
            "method": "none",
            **sizes,
        }


def _intervals(
    statistic: Statistic, truth: np.ndarray, *, n_bootstrap: int, seed: int
) -> dict[str, tuple[float, float, float]]:
    """Return sd, low, high by name; none where a class is one person, drawn again."""
    if 1 in np.bincount(truth):
        return {}
    counts = stratified_counts(truth, n_bootstrap=n_bootstrap, seed=seed)
    return bootstrap_intervals(statistic, counts)


def _people_rows(
    rows: pd.DataFrame, head: dict[str, str], **settings: int
) -> Iterator[dict]:
    """Yield every metric of one score a person, with intervals over people."""
    truth, score = rows["truth"].to_numpy(int), rows["score"].to_numpy()
    sizes = _sizes(rows)
    intervals = _intervals(partial(_measured, rows), truth, **settings)
    for name, estimate in _estimates(rows).items():
        base = {**head, "metric": name, "estimate": estimate, **sizes}
        if name == "auc":
            _, sd, low, high = delong_interval(truth, score)
            yield {**base, "sd": sd, "low": low, "high": high, "method": "delong"}
        sd, low, high = intervals.get(name, UNKNOWN)
        if name == "ece":
            low = high = np.nan  # sampling alone adds to it: draws lie above
        yield {**base, "sd": sd, "low": low, "high": high, "method": "bootstrap"}


def _within_site_rows(
    rows: pd.DataFrame, head: dict[str, str], **settings: int
) -> Iterator[dict]:
    """Yield the AUC over pairs of one site, by both methods; nobody's site, no row."""
    rows = rows[rows["site"].notna()]
    if rows.empty:
        return
    truth, score = rows["truth"].to_numpy(int), rows["score"].to_numpy()
    site = rows["site"].astype(str).to_numpy()

    def areas(counts: np.ndarray) -> dict[str, np.ndarray]:
        return {"auc": within_site_auc(truth, score, site, counts)}

    estimate, *by_delong = within_site_interval(truth, score, site)
    drawn = _intervals(areas, truth, **settings).get("auc", UNKNOWN)
    place = {"scope": "within site", "group": "all", "metric": "auc"}
    base = {**head, **place, "estimate": estimate, **_sizes(rows)}
    for method, (sd, low, high) in (("delong", by_delong), ("bootstrap", drawn)):
        yield {**base, "sd": sd, "low": low, "high": high, "method": method}


def _traits(people: pd.DataFrame | None) -> pd.DataFrame:
    """Return each person's sex (as written) and age band; NaN where unknown."""
    if people is None:
        return pd.DataFrame(index=pd.Index([], name="participant_id"))
    if "participant_id" not in people or people["participant_id"].duplicated().any():
        raise InputError(
            "the table of people has no column participant_id, or a person twice;"
            " expected one row a person. Give the analysis's cohort or traits table."
        )
    named = {str(name).lower(): name for name in reversed(people.columns)}
    found = pd.DataFrame(index=pd.Index(people["participant_id"]))
    if "sex" in named:
        sex = people[named["sex"]].map(str, na_action="ignore").str.strip()
        found["sex"] = sex.where(~sex.isin(("", "n/a"))).to_numpy()
    if "age" in named:
        age = pd.to_numeric(people[named["age"]], errors="coerce")
        edges = [*BANDS.values(), np.inf]
        band = pd.cut(age, edges, right=False, labels=list(BANDS))
        found["age band"] = band.to_numpy()
    return found


def _groups(
    people: pd.DataFrame, traits: pd.DataFrame
) -> Iterator[tuple[dict[str, str], pd.DataFrame]]:
    """Yield the people of each site, sex and age band."""
    for name, rows in people.groupby("site"):
        yield {"scope": "site", "group": str(name)}, rows
    for scope in traits:
        group = people["participant_id"].map(traits[scope])
        known = [band for band in BANDS if (group == band).any()]
        for name in known if scope == "age band" else sorted(group.dropna().unique()):
            yield {"scope": scope, "group": name}, people[group == name]


def metrics_table(
    predictions: pd.DataFrame,
    people: pd.DataFrame | None = None,
    *,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return metrics.tsv: every metric of every model, at every scope.

    Parameters
    ----------
    predictions : DataFrame
        Rows of predictions.tsv, in any order.
    people : DataFrame, optional
        participant_id, and columns age (years) and sex if known, found without
        regard to case. Whoever has none of them is in no such group.
    n_bootstrap, seed : int
        Resamples of people behind each interval; the same people are drawn
        for all models.

    Returns
    -------
    metrics : DataFrame
        model, scope ('pooled', 'within site', 'mean of folds', 'site', 'sex',
        'age band' or 'fold'), group, metric, estimate, sd, low, high, method, n,
        n_positive. All but the scopes of folds have one score a person, the mean
        over repeats; sd is then the standard error and low, high the 95 %
        interval by ``method``, NaN where a class is a single person, and auc has
        two rows, 'delong' then 'bootstrap'. The calibration error (ece) has no
        interval: draws of people lie above the estimate. 'within site' is the auc
        over pairs of one site. For 'mean of folds' sd is the spread over folds and
        group says how many folds define the metric.

    Raises
    ------
    InputError
        The table is not one of predictions, or ``people`` not one row a person.
    """
    check(predictions)
    traits = _traits(people)
    settings = {"n_bootstrap": n_bootstrap, "seed": seed}
    found: list[dict] = []
    for model, rows in pool(predictions).groupby("model", sort=False):
        head = {"model": model}
        place = {"scope": "pooled", "group": "all"}
        found += _people_rows(rows, head | place, **settings)
        found += _within_site_rows(rows, head, **settings)
        folds = list(_fold_rows(predictions[predictions["model"] == model], head))
        found += folds[-len(METRICS) :]
        for place, members in _groups(rows, traits):
            found += _people_rows(members, head | place, **settings)
        found += folds[: -len(METRICS)]
    columns = ["model", "scope", "group", "metric", "estimate", "sd", "low", "high"]
    return pd.DataFrame(found, columns=[*columns, "method", "n", "n_positive"])
