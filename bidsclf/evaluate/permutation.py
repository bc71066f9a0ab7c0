"""What chance gives: labels permuted within site, against scores or against refits."""

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from bidsclf.errors import InputError
from bidsclf.evaluate._predictions import check, pool
from bidsclf.evaluate.measures import THRESHOLD

METRICS = ("auc", "accuracy", "balanced_accuracy")
SAME = 1e-9  # two values of a metric that differ by less are equal; ours
REFIT_REPEAT = 1  # the repeat whose folds are fitted again
COLUMNS = (
    "model",
    "null",
    "metric",
    "observed",
    "null_mean",
    "null_sd",
    "p",
    "n_permutations",
)


def label_permutations(
    y: np.ndarray, cells: np.ndarray, *, n: int, seed: int
) -> np.ndarray:
    """Return labels shuffled among the people of a cell, never across cells.

    Parameters
    ----------
    y : int array of shape (n_people,)
        0 or 1.
    cells : array of shape (n_people,)
        Whom a person may swap with, as text or number: the site, or site and
        fold. A site's share of patients thus stays what it is, so that a model
        that merely knows the site gains nothing from it.
    n, seed : int

    Returns
    -------
    labels : int8 array of shape (n, n_people)

    Examples
    --------
    >>> label_permutations(np.array([0, 1, 1]), np.array(["A", "A", "B"]), n=2, seed=3)
    array([[1, 0, 1],
           [0, 1, 1]], dtype=int8)
    """
    rng, cells = np.random.default_rng(seed), np.asarray(cells).astype(str)
    labels = np.tile(np.asarray(y).astype(np.int8), (n, 1))
    for cell in np.unique(cells):
        members = np.flatnonzero(cells == cell)
        labels[:, members] = rng.permuted(labels[:, members], axis=1)
    return labels


def discrimination(
    labels: np.ndarray, ranks: np.ndarray, is_called: np.ndarray
) -> dict[str, np.ndarray]:
    """Return metrics of (m, n) labels against ranks and calls of (n,) or (m, n)."""
    labels = labels.astype(np.float64)
    n, positive = labels.shape[1], labels.sum(axis=1)
    negative = n - positive
    product = "mn,n->m" if ranks.ndim == 1 else "mn,mn->m"
    above = np.einsum(product, labels, ranks)
    hits = np.einsum(product, labels, is_called.astype(np.float64))
    right = negative - (is_called.sum(axis=-1) - hits)  # negatives not called
    with np.errstate(divide="ignore", invalid="ignore"):
        auc = (above - positive * (positive + 1) / 2) / (positive * negative)
        balanced = (hits / positive + right / negative) / 2
    return {
        "auc": auc,
        "accuracy": (hits + right) / n,
        "balanced_accuracy": balanced,
    }


def _p(observed: float, null: np.ndarray) -> float:
    """Return (b + 1) / (m + 1), where b nulls reach what was observed."""
    known = null[np.isfinite(null)]
    if not np.isfinite(observed) or not len(known):
        return float("nan")
    return float((np.sum(known >= observed - SAME) + 1) / (len(known) + 1))


def _row(
    head: tuple[str, str], metric: str, observed: float, null: np.ndarray
) -> tuple:
    known = null[np.isfinite(null)]
    mean = known.mean() if len(known) else np.nan
    sd = known.std(ddof=1) if len(known) > 1 else np.nan
    return (*head, metric, observed, mean, sd, _p(observed, null), len(known))


def fixed_table(
    predictions: pd.DataFrame, *, n_permutations: int, seed: int
) -> pd.DataFrame:
    """Test each model's scores, as they stand, against labels permuted within site.

    The cheap test: it asks whether scores and labels go together among people of
    the same site, and takes the fitted models as given. What fitting to chance
    gives is answered by `refit_table`.

    Parameters
    ----------
    predictions : DataFrame
        Rows of predictions.tsv. A person's score is the mean over repeats.
    n_permutations, seed : int
        The same permutations for every model of the same people.

    Returns
    -------
    permutations : DataFrame
        model, null ('fixed scores'), metric ('auc', 'accuracy' or
        'balanced_accuracy'), observed, null_mean, null_sd, p (one-sided),
        n_permutations. The mean of the null is not 0.5 where sites differ in
        their share of patients and scores in their level: the site shortcut.

    Raises
    ------
    InputError
        The table is not one of predictions.

    References
    ----------
    p = (b + 1) / (m + 1): Phipson & Smyth (2010), Statistical Applications in
    Genetics and Molecular Biology 9(1), 39, doi:10.2202/1544-6115.1585.
    """
    check(predictions)
    found = []
    for model, rows in pool(predictions).groupby("model", sort=False):
        truth, score = rows["truth"].to_numpy(int), rows["score"].to_numpy()
        sites = rows["site"].astype(str).to_numpy()
        labels = label_permutations(truth, sites, n=n_permutations, seed=seed)
        labels = np.vstack([truth[None], labels])
        measured = discrimination(labels, rankdata(score), score >= THRESHOLD)
        found += [
            _row((str(model), "fixed scores"), name, float(v[0]), v[1:])
            for name, v in measured.items()
        ]
    return pd.DataFrame(found, columns=list(COLUMNS))


def null_metrics(labels: np.ndarray, scores: np.ndarray) -> pd.DataFrame:
    """Return the metrics of a model that was fitted to permuted labels.

    Parameters
    ----------
    labels : int array of shape (n_permutations, n_people)
        The permuted labels of the people who were tested.
    scores : float array of shape (n_permutations, n_people)
        What the model fitted to those labels says of them, in [0, 1], when it
        was not trained on them.

    Returns
    -------
    nulls : DataFrame [permutation, auc, accuracy, balanced_accuracy]
        Permutations count from 1.

    Raises
    ------
    InputError
        The shapes differ, or a score is not in [0, 1].
    """
    labels, scores = np.asarray(labels), np.asarray(scores, float)
    if labels.shape != scores.shape or labels.ndim != 2:
        raise InputError(
            f"labels have the shape {labels.shape}, scores {scores.shape}; both are"
            " permutations x people. Permute again with --force."
        )
    bad = ~((scores >= 0) & (scores <= 1))  # also true for NaN
    if bad.any():
        raise InputError(
            f"{bad.sum()} of {bad.size} scores of refits are outside [0, 1] or not"
            " finite; a score is a share. Permute again with --force."
        )
    found = discrimination(labels, rankdata(scores, axis=1), scores >= THRESHOLD)
    place = {"permutation": np.arange(1, len(labels) + 1)}
    return pd.DataFrame(place | found)


def refit_table(predictions: pd.DataFrame, nulls: pd.DataFrame) -> pd.DataFrame:
    """Test each model against itself, fitted again to permuted labels.

    Parameters
    ----------
    predictions : DataFrame
        Rows of predictions.tsv, of which repeat 1 is used: its folds are those
        that were fitted again.
    nulls : DataFrame
        nulls.tsv: model, permutation, auc, accuracy, balanced_accuracy.

    Returns
    -------
    permutations : DataFrame
        As `fixed_table`, with the null 'refit'; models without nulls have no
        row.

    Raises
    ------
    InputError
        A table is not what it must be.
    """
    check(predictions)
    absent = [name for name in ("model", *METRICS) if name not in nulls]
    if absent:
        raise InputError(
            f"nulls lack the columns {absent}; they need model, {', '.join(METRICS)}."
            " Permute again with --force."
        )
    first = predictions[predictions["repeat"] == REFIT_REPEAT]
    found = []
    for model, rows in first.groupby("model", sort=False):
        mine = nulls[nulls["model"] == model]
        if mine.empty:
            continue
        observed = null_metrics(
            rows["truth"].to_numpy()[None], rows["score"].to_numpy()[None]
        )
        found += [
            _row(
                (str(model), "refit"),
                name,
                float(observed[name][0]),
                mine[name].to_numpy(),
            )
            for name in METRICS
        ]
    return pd.DataFrame(found, columns=list(COLUMNS))
