"""Every pair of models by every test, with p values for the number of pairs."""

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd

from bidsclf.evaluate._predictions import check, pool
from bidsclf.evaluate.delong import delong_test
from bidsclf.evaluate.paired import (
    SPLIT,
    corrected_t,
    mcnemar,
    paired_t,
    share_tested,
    split_metrics,
)

TESTS = ("delong", "mcnemar", "nadeau-bengio", "paired-t")
METRICS = ("auc", "accuracy")
COLUMNS = [
    "model_a", "model_b", "metric", "test",
    "difference", "low", "high", "p", "n", "sided",
]  # fmt: skip


class Pair(NamedTuple):
    """What two models both judged: the split of each row, its truth, two scores."""

    split: np.ndarray
    truth: np.ndarray
    a: np.ndarray
    b: np.ndarray


def holm(p: np.ndarray) -> np.ndarray:
    """Return p values adjusted for all tests of a family; NaN stays NaN.

    References
    ----------
    Holm (1979), Scandinavian Journal of Statistics 6(2), 65-70.

    Examples
    --------
    >>> holm(np.array([0.01, 0.04, 0.03]))
    array([0.03, 0.06, 0.06])
    """
    adjusted = np.array(p, float)
    known = np.flatnonzero(np.isfinite(adjusted))
    order = known[np.argsort(adjusted[known], kind="stable")]
    scaled = adjusted[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1)
    return adjusted


def _pairs(rows: pd.DataFrame, keys: list[str]) -> dict[tuple[str, str], Pair]:
    """Return what every two models both judged, by their names.

    ``keys`` name a row: participant_id, after the repeat and fold if any.
    """
    models = rows["model"].unique()
    wide = rows.pivot(index=keys, columns="model", values="score")
    truth = rows.groupby("participant_id")["truth"].first()
    truths = truth.loc[wide.index.get_level_values("participant_id")].to_numpy()
    split = wide.groupby(level=keys[:-1] or keys, sort=False).ngroup().to_numpy()
    scores = {name: wide[name].to_numpy() for name in models}
    found = {}
    for a, b in combinations(models, 2):
        both = np.isfinite(scores[a]) & np.isfinite(scores[b])
        cells = (split, truths, scores[a], scores[b])
        found[a, b] = Pair(*(values[both] for values in cells))
    return found


def _over_people(pair: Pair) -> Iterator[tuple]:
    """Yield metric, test, difference, low, high, p, n, sided of the people's tests."""
    _, *judged = pair
    for metric, test, compare in (
        ("auc", "delong", delong_test),
        ("accuracy", "mcnemar", mcnemar),
    ):
        yield metric, test, *compare(*judged), len(pair.truth), "two"


def _over_splits(pair: Pair, share: float) -> Iterator[tuple]:
    """Yield metric, test, difference, low, high, p, n, sided of the splits' tests."""
    a, b = (split_metrics(pair.split, pair.truth, score) for score in (pair.a, pair.b))
    for metric in METRICS:
        gap = a[metric] - b[metric]
        n = int(np.isfinite(gap).sum())
        yield metric, "nadeau-bengio", *corrected_t(gap, share), n, "two"
        yield metric, "paired-t", *paired_t(gap), n, "a > b"


def comparisons_table(
    predictions: pd.DataFrame, folds: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Compare every pair of models by four tests, on what both judged.

    Parameters
    ----------
    predictions : DataFrame
        Rows of predictions.tsv.
    folds : DataFrame, optional
        Rows of folds.tsv, for how many people each split learned from; without
        it, everyone whom it does not test.

    Returns
    -------
    comparisons : DataFrame
        model_a, model_b, metric ('auc' or 'accuracy'), test, difference (a minus
        b), low, high (95 %), p, p_holm (over all pairs of one test and metric),
        n, sided ('two' or 'a > b'). 'delong' (auc) and 'mcnemar' (accuracy, called
        at 0.5) take one score a person, the mean over repeats, and n is people.
        'nadeau-bengio' and the plain one-tailed 'paired-t' take a value a split,
        and n is the splits in which both models have one. Sorted by test.

    Raises
    ------
    InputError
        The table is not one of predictions, or ``folds`` are of other ones.

    Notes
    -----
    The tests ask different questions. 'delong' and 'mcnemar' hold the fitted
    models fixed and take the people as the sample; 'nadeau-bengio' also counts
    that other people would have trained other models; 'paired-t' is printed
    since papers print it, and is too sure (see ``paired``).

    A model that knows nothing, as a control may, scores below 0.5 in stratified
    folds: what is more frequent in training is less so in the test. To exceed
    such a control is no evidence; the report asks for an AUC above 0.5 as well.
    """
    check(predictions)
    share = share_tested(predictions, folds)
    people = _pairs(pool(predictions), ["participant_id"])
    splits = _pairs(predictions, [*SPLIT, "participant_id"])
    rows = [
        (*names, *row)
        for names in people
        for row in (*_over_people(people[names]), *_over_splits(splits[names], share))
    ]
    table = pd.DataFrame(rows, columns=COLUMNS)
    place = table["test"].map(TESTS.index) * 2 + table["metric"].map(METRICS.index)
    table = table.iloc[np.argsort(place.to_numpy(), kind="stable")]
    table = table.reset_index(drop=True)
    table.insert(8, "p_holm", np.nan)
    for _, rows_of in table.groupby(["test", "metric"]):
        table.loc[rows_of.index, "p_holm"] = holm(rows_of["p"].to_numpy(float))
    return table
