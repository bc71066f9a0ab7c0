"""Members of one family beside each other, fold by fold, from predictions alone."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from bidsclf.evaluate._predictions import check
from bidsclf.evaluate.measures import THRESHOLD

MEASURES = ("accuracy", "sensitivity", "specificity")
COLUMNS = ("model", "fold", "n", "n_positive", *MEASURES, "identity")
MEAN, SD = "mean", "sd"  # of folds, in the column fold
CONTROL = "control"  # family of what sees no brain; its members ablate nothing
EXACT = 1e-9  # by how much the identity may be missed; rounding misses it by 1e-16


def families_of(models: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the families that two or more of these models are of.

    Examples
    --------
    >>> families_of(["lstm-s", "control-site", "lstm-d", "fc-svm", "control-motion"])
    {'lstm': ('lstm-s', 'lstm-d')}
    """
    found: dict[str, list[str]] = {}
    for model in dict.fromkeys(models):
        found.setdefault(model.partition("-")[0], []).append(model)
    return {
        family: tuple(members)
        for family, members in found.items()
        if len(members) > 1 and family != CONTROL
    }


def ablation_table(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return ablation.tsv: the members of each family in each fold, and their means.

    Parameters
    ----------
    predictions : DataFrame
        Rows of predictions.tsv, in any order.

    Returns
    -------
    table : DataFrame
        model, fold, n, n_positive, accuracy, sensitivity, specificity (shares in
        [0, 1], NaN where a fold tests nobody of the class) and identity: by how much
        accuracy misses the mean of sensitivity and specificity, weighted by the
        share of each class. ``fold`` is ``2``, or ``1/2`` for fold 2 of repeat 1
        where there are several repeats; then 'mean' and 'sd' over folds. Of 'mean',
        identity is the largest of the folds: means over folds of different shares
        need not hold it. Models of which no second member was fitted are left out.

    Raises
    ------
    InputError
        The table is not one of predictions.
    ArithmeticError
        The identity is missed by more than 1e-9.
    """
    members = [m for found in families_of(predictions["model"]).values() for m in found]
    table = folds_table(predictions)
    return table[table["model"].isin(members)].reset_index(drop=True)


def folds_table(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the same table of every model, whatever its family."""
    check(predictions)
    is_repeated = predictions["repeat"].nunique() > 1
    found: list[dict] = []
    for model, rows in predictions.groupby("model", sort=False):
        folds = [
            {"model": model, "fold": f"{repeat}/{fold}" if is_repeated else str(fold)}
            | _measured(part["truth"].to_numpy(), part["score"].to_numpy())
            for (repeat, fold), part in rows.groupby(["repeat", "fold"])
        ]
        found += [*folds, *_summaries(str(model), rows, pd.DataFrame(folds))]
    return pd.DataFrame(found, columns=list(COLUMNS))


def _measured(truth: np.ndarray, score: np.ndarray) -> dict[str, float]:
    """Return the sizes, the three shares and by how much they miss the identity."""
    is_right = (score >= THRESHOLD) == (truth == 1)
    shares = [is_right[truth == label] for label in (1, 0)]
    sensitivity, specificity = (part.mean() if part.size else np.nan for part in shares)
    accuracy, weight = is_right.mean(), (truth == 1).mean()
    mixed = sum(
        share * value
        for share, value in ((weight, sensitivity), (1 - weight, specificity))
        if share > 0
    )
    missed = abs(accuracy - mixed)
    if not missed <= EXACT:
        raise ArithmeticError(
            f"accuracy is {accuracy} and the weighted mean of sensitivity and"
            f" specificity {mixed}; they are one number."
        )
    return {
        "n": truth.size,
        "n_positive": int((truth == 1).sum()),
        "accuracy": float(accuracy),
        "sensitivity": float(sensitivity),
        "specificity": float(specificity),
        "identity": float(missed),
    }


def _summaries(model: str, rows: pd.DataFrame, folds: pd.DataFrame) -> list[dict]:
    """Return the mean and the standard deviation over folds, missing ones left out."""
    people = rows.drop_duplicates("participant_id")
    head = {"model": model, "n": len(people), "n_positive": int(people["truth"].sum())}
    shares = folds[list(MEASURES)]
    return [
        head
        | {"fold": MEAN, "identity": folds["identity"].max()}
        | dict(shares.mean()),
        head | {"fold": SD, "identity": np.nan} | dict(shares.std()),
    ]


def chosen_elsewhere(
    table: pd.DataFrame, models: Sequence[str]
) -> tuple[float, dict[str, float]]:
    """Return what choosing the best of some models is worth, and which it is.

    The best of several on the same people is too good: part of it is luck. For each
    fold the model with the highest mean accuracy in the other folds of its repeat is
    chosen, and its accuracy in this fold is taken; models that tie count equally. Of
    models that guess it is right on average, and about as uncertain as one accuracy.

    Parameters
    ----------
    table : DataFrame
        Rows of ``ablation_table``.
    models : sequence of str
        Those that were compared.

    Returns
    -------
    accuracy : float
        Mean over folds; NaN where no repeat has two folds, as under the bootstrap.
    chosen : {model: float}
        Share of folds for which each was chosen.

    References
    ----------
    Tsamardinos, Greasidou & Borboudakis (2018), Machine Learning 107(12), 1895-1922,
    doi:10.1007/s10994-018-5714-4, on the bias. Departure: they choose on bootstrap
    draws of people; folds are used since classes are balanced in each of them, where
    draws make a model that says one class in each fold look worse than a coin.

    Examples
    --------
    >>> table = pd.DataFrame({"model": ["a-x"] * 2 + ["a-y"] * 2, "fold": list("1212")})
    >>> chosen_elsewhere(table.assign(accuracy=[0.9, 0.5, 0.6, 0.6]), ["a-x", "a-y"])
    (0.55, {'a-x': 0.5, 'a-y': 0.5})
    """
    folds = table[~table["fold"].isin((MEAN, SD))]
    wide = folds.pivot_table(index="fold", columns="model", values="accuracy")
    wide = wide[list(models)].dropna()
    repeats = pd.Series([name.rpartition("/")[0] for name in wide.index], wide.index)
    worth, chosen = [], []
    for fold in wide.index:
        others = wide[repeats == repeats[fold]].drop(fold)
        if len(others):
            means = others.mean()
            is_best = means > means.max() - EXACT
            worth.append(wide.loc[fold, is_best].mean())
            chosen.append(is_best / is_best.sum())
    if not worth:
        return float("nan"), dict.fromkeys(models, float("nan"))
    shares = pd.concat(chosen, axis=1).mean(axis=1)
    return float(np.mean(worth)), {model: float(shares[model]) for model in models}
