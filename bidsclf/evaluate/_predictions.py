"""What a table of predictions must be, and one score a person from it."""

import numpy as np
import pandas as pd

from bidsclf.errors import InputError
from bidsclf.evaluate.measures import THRESHOLD

COLUMNS = ("participant_id", "site", "model", "repeat", "fold", "truth", "score")


def _some(labels: pd.Series) -> str:
    names = sorted(set(labels.astype(str)))
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" * (len(names) > 5))


def check(predictions: pd.DataFrame) -> None:
    """Refuse a table from which no honest number follows.

    Raises
    ------
    InputError
        A column is absent, the table is empty, a score (or probability, where
        there is one) is not a number in [0, 1], the two are on different sides of
        0.5, a truth is not 0 or 1 or differs within a person, or one model judged
        a person twice in one repeat.
    """
    absent = [name for name in COLUMNS if name not in predictions]
    if absent or predictions.empty:
        raise InputError(
            f"predictions have {len(predictions)} rows and lack the columns"
            f" {absent}; they need {', '.join(COLUMNS)}. Run the group level again."
        )
    people = predictions["participant_id"]
    _check_scores(predictions)
    if not predictions["truth"].isin((0, 1)).all():
        found = sorted(predictions["truth"].astype(str).unique())
        raise InputError(f"truth holds {found}; it is 0 or 1. Mend the table.")
    changed = predictions.groupby("participant_id")["truth"].transform("nunique") > 1
    if changed.any():
        raise InputError(
            f"truth differs within a person: {_some(people[changed])}."
            " A person has one truth; mend the table."
        )
    twice = predictions.duplicated(["model", "repeat", "participant_id"])
    if twice.any():
        raise InputError(
            f"a model judged a person twice in one repeat: {_some(people[twice])}."
            " Folds of a repeat do not overlap; mend the table."
        )


def _check_scores(predictions: pd.DataFrame) -> None:
    """Refuse scores and probabilities that are none, or that contradict."""
    people, sides = predictions["participant_id"], []
    for column in [name for name in ("score", "probability") if name in predictions]:
        share = pd.to_numeric(predictions[column], errors="coerce")
        bad = ~share.between(0, 1)  # also true for NaN
        if bad.any():
            raise InputError(
                f"{bad.sum()} of {len(bad)} values of {column} are outside [0, 1] or"
                f" not finite: {_some(people[bad])}. It is the model's share for"
                " class 1; fit the model again."
            )
        sides.append(np.sign(share - THRESHOLD))
    turned = sides[0] * sides[-1] < 0  # a probability may round to 0.5 itself
    if turned.any():
        raise InputError(
            f"score and probability are on different sides of {THRESHOLD} in"
            f" {turned.sum()} of {len(turned)} rows: {_some(people[turned])}."
            " Calibration keeps the side; fit the model again."
        )


def pool(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return one row a model and person: the means over repeats.

    Under the bootstrap, over the rounds that did not draw the person: the score
    of a committee of models, which need not be as good as one of them.

    Parameters
    ----------
    predictions : DataFrame
        Rows of predictions.tsv, in any order.

    Returns
    -------
    pooled : DataFrame [model, participant_id, site, truth, score, probability]
        Models in the order of their first row, people sorted. The probability is
        the score where the table has none.
    """
    keys = ["model", "participant_id"]
    if "probability" not in predictions:
        predictions = predictions.assign(probability=predictions["score"])
    ordered = predictions.sort_values(keys, kind="stable")
    pooled = ordered.groupby(keys, as_index=False, sort=False).agg(
        site=("site", "first"),
        truth=("truth", "first"),
        score=("score", "mean"),
        probability=("probability", "mean"),
    )
    place = {name: at for at, name in enumerate(predictions["model"].unique())}
    order = np.argsort(pooled["model"].map(place).to_numpy(), kind="stable")
    return pooled.iloc[order].reset_index(drop=True)
