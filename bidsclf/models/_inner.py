"""Inner folds: training rows held out from a choice that is made in training."""

import numpy as np
from sklearn.model_selection import StratifiedKFold

INNER_FOLDS = 5


def inner_folds(
    y: np.ndarray, people: np.ndarray, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Split training rows; rows of a person or a family stay together.

    Parameters
    ----------
    y : int array of shape (n,), 0 or 1
    people : int array of shape (n,)
        The person of each row, or the family; their numbers do not matter, the
        order of the rows does.
    seed : int

    Returns
    -------
    splits : list of (learned rows, held out rows)
        At most five, fewer where a class is smaller, none where a class has one
        person. Both parts of a split hold both classes.
    """
    _, first, member = np.unique(people, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))[member]  # person by first row, whatever the id
    truth = y[np.sort(first)]
    n_folds = min(INNER_FOLDS, np.bincount(truth, minlength=2).min())
    if n_folds < 2:
        return []
    splitter = StratifiedKFold(int(n_folds), shuffle=True, random_state=seed)
    splits = [
        (np.flatnonzero(np.isin(rank, train)), np.flatnonzero(np.isin(rank, test)))
        for train, test in splitter.split(truth, truth)
    ]
    # a family may hold both classes, and a split of families then lack one
    return [s for s in splits if all(len(np.unique(y[part])) == 2 for part in s)]
