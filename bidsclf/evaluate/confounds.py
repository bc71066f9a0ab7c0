"""Whether scores follow what should not matter: motion, length of the scan, age."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import norm, rankdata, t

from bidsclf.errors import InputError
from bidsclf.evaluate._predictions import check, pool
from bidsclf.evaluate.comparison import holm

CONFOUNDS = ("mean_fd", "n_volumes", "age")
ID = "participant_id"
FEWEST = 5  # people below whom no correlation is given; ours
FLAT = 1e-9  # ranks that vary less, in shares of n, are constant up to rounding; ours
COLUMNS = (
    "model",
    "confound",
    "n",
    "r",
    "low",
    "high",
    "p",
    "p_holm",
    "r_within_site",
    "r_given_truth",
)


class Correlation(NamedTuple):
    """Spearman's r, its 95 % interval and two-sided p; NaN where undefined."""

    r: float
    low: float
    high: float
    p: float


def spearman(x: np.ndarray, y: np.ndarray) -> Correlation:
    """Return Spearman's correlation of two finite arrays of shape (n_people,).

    References
    ----------
    Interval: Fisher's z with variance (1 + r^2 / 2) / (n - 3), Bonett & Wright
    (2000), Psychometrika 65(1), 23-28, doi:10.1007/BF02294183. p: Student's t.

    Examples
    --------
    >>> found = spearman(np.array([1, 2, 3, 4, 5]), np.array([1, 8, 9, 3, 20]))
    >>> [round(v, 2) for v in found]
    [0.7, -0.59, 0.98, 0.19]
    """
    r, n = _correlation(rankdata(x), rankdata(y)), len(x)
    return Correlation(r, *_interval(r, n), _p(r, n))


def confounds_table(predictions: pd.DataFrame, traits: pd.DataFrame) -> pd.DataFrame:
    """Return confounds.tsv: Spearman's correlation of scores with confounds.

    Parameters
    ----------
    predictions : DataFrame
        Rows of predictions.tsv. A person's score is the mean over repeats.
    traits : DataFrame
        participant_id and, where known, mean_fd (mm), n_volumes, age (years);
        numbers, as text too. Cells that are no number count as missing, others
        than these columns are not read, and a column that is absent has no row.

    Returns
    -------
    confounds : DataFrame
        model, confound, n (people with a value), r, low, high (95 %), p
        (two-sided), p_holm (over all rows), r_within_site and r_given_truth:
        the correlation of ranks of which the mean of the site, or of the class,
        is taken away; a confound that differs between the classes reaches the
        score through the class, and only the last says whether also without.
        NaN with fewer than five people or where nothing varies.

    Raises
    ------
    InputError
        A table is not what it must be.
    """
    check(predictions)
    if ID not in traits or traits[ID].duplicated().any():
        raise InputError(
            f"the table of {len(traits)} people has no {ID} or one of them twice;"
            " confounds need one row a person. Mend the table."
        )
    known = traits.set_index(ID)
    names = [name for name in CONFOUNDS if name in known]
    found = list(_rows(pool(predictions), known[names]))
    table = pd.DataFrame(found, columns=[c for c in COLUMNS if c != "p_holm"])
    table.insert(7, "p_holm", holm(table["p"].to_numpy(float)))
    return table


def _rows(pooled: pd.DataFrame, traits: pd.DataFrame) -> Iterator[tuple]:
    for model, people in pooled.groupby("model", sort=False):
        score = people["score"].to_numpy()
        sites = people["site"].astype(str).to_numpy()
        truth = people["truth"].to_numpy()
        for name in traits:
            values = pd.to_numeric(traits[name], errors="coerce")
            value = values.reindex(people[ID]).to_numpy(float)
            has = np.isfinite(value)
            x, y = rankdata(score[has]), rankdata(value[has])
            within = _correlation(_less(x, sites[has]), _less(y, sites[has]))
            given = _correlation(_less(x, truth[has]), _less(y, truth[has]))
            overall = spearman(score[has], value[has])
            yield (model, name, len(x), *overall, within, given)


def _less(ranks: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return ranks without the mean of each group."""
    _, member = np.unique(groups, return_inverse=True)
    sums = np.bincount(member, weights=ranks)
    return ranks - (sums / np.bincount(member))[member]


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Return Pearson's r; NaN for few people or where nothing varies."""
    if len(x) < FEWEST:
        return float("nan")
    x, y = x - x.mean(), y - y.mean()
    sizes = np.linalg.norm(x), np.linalg.norm(y)
    if min(sizes) <= FLAT * len(x):
        return float("nan")
    return float(np.clip(x @ y / (sizes[0] * sizes[1]), -1, 1))


def _interval(r: float, n: int) -> tuple[float, float]:
    if n < FEWEST or not abs(r) < 1:  # also true for NaN
        return r, r
    half = norm.ppf(0.975) * np.sqrt((1 + r**2 / 2) / (n - 3))
    low, high = np.tanh(np.arctanh(r) + half * np.r_[-1, 1])
    return float(low), float(high)


def _p(r: float, n: int) -> float:
    """Return the two-sided p of Student's t on n - 2 degrees of freedom."""
    if not abs(r) < 1:
        return 0.0 if abs(r) == 1 else float("nan")
    return float(2 * t.sf(abs(r) * np.sqrt((n - 2) / (1 - r**2)), n - 2))
