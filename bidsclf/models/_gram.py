"""The choice of C and its null, in the Gram matrix: features are not touched."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.special import expit

from bidsclf.models._inner import inner_folds
from bidsclf.models._rows import check_classes
from bidsclf.models._svm import Solution, active_set, frame, svm

COSTS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)  # over the mean squared norm; ours
DECIMALS = 9  # of decision values: equal rows tie in spite of rounding; ours
Solver = Callable[[np.ndarray, np.ndarray, list[float]], list[Solution]]
Learner = Callable[[np.ndarray, np.ndarray, list[float]], list[Solution]]


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """The cost that inner folds prefer, and what they said with it.

    Attributes
    ----------
    best : int
        Its number in ``COSTS``.
    cost : float
    inner_auc : list of float
        One a cost; 0.5 where there were too few people for inner folds.
    logits : float64 array of shape (n_held_out,)
        Decision values of the rows held out, at the chosen cost.
    truth : int array of shape (n_held_out,)
    """

    best: int
    cost: float
    inner_auc: list[float]
    logits: np.ndarray
    truth: np.ndarray


def centred(kernel: np.ndarray) -> np.ndarray:
    """Return the inner products, of shape (n, n), about the mean of the rows."""
    column = kernel.mean(axis=0)
    return kernel - kernel.mean(axis=1, keepdims=True) - column + column.mean()


def learner(solve: Solver, kernel: np.ndarray) -> Learner:
    """Return ``learn(y, rows, costs)``, which solves on some rows of a kernel.

    Its dual weights sum to zero, and ``kernel[:, rows] @ dual + intercept`` are
    decision values for the kernel as it is, centred or not.
    """
    return partial(_learn, solve, kernel)


def _learn(
    solve: Solver,
    kernel: np.ndarray,
    y: np.ndarray,
    rows: np.ndarray,
    costs: list[float],
) -> list[Solution]:
    own = kernel[np.ix_(rows, rows)]
    solutions = []
    for dual, intercept in solve(centred(own), y[rows], costs):
        dual = dual - dual.mean()
        solutions.append((dual, intercept - float((own @ dual).mean())))
    return solutions


def costs_of(kernel: np.ndarray) -> list[float]:
    """Return ``COSTS`` over the mean squared distance of a row from their mean."""
    scale = np.trace(centred(kernel)) / len(kernel)
    return [cost / (scale if scale > 0 else 1.0) for cost in COSTS]


def choose(
    learn: Learner,
    kernel: np.ndarray,
    y: np.ndarray,
    *,
    costs: list[float],
    people: np.ndarray,
    seed: int,
) -> Choice:
    """Choose C by the mean AUC of inner folds, the smaller of equals.

    Parameters
    ----------
    learn : callable
        ``learn(y, rows, costs)``, from ``learner``.
    kernel : float64 array of shape (n, n)
    y : int array of shape (n,), 0 or 1
    costs : list of float
        From ``costs_of``.
    people : int array of shape (n,)
        Rows of the same number stay together.
    seed : int

    Returns
    -------
    choice : Choice
    """
    aucs, logits, truth = [], [np.empty((0, len(costs)))], [y[:0]]
    for train, test in inner_folds(y, people, seed):
        across = kernel[np.ix_(test, train)]
        solutions = learn(y, train, costs)
        values = [across @ dual for dual, _ in solutions]
        aucs.append([auc(y[test], value.round(DECIMALS)) for value in values])
        logits.append(np.stack(values, axis=1) + [shift for _, shift in solutions])
        truth.append(y[test])
    inner = np.mean(aucs, axis=0) if aucs else np.full(len(costs), 0.5)
    best = int(np.argmax(inner.round(12)))  # equal but for rounding is equal
    held_out = np.concatenate(logits)[:, best], np.concatenate(truth)
    return Choice(best, costs[best], inner.tolist(), *held_out)


def auc(truth: np.ndarray, values: np.ndarray) -> float:
    """Return the area under the ROC curve; ties count half.

    Examples
    --------
    >>> auc(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.4, 0.8]))
    0.875
    """
    positive, negative = values[truth == 1], np.sort(values[truth == 0])
    above = negative.searchsorted(positive).sum()
    not_below = negative.searchsorted(positive, "right").sum()
    return float((above + not_below) / (2 * len(positive) * len(negative)))


def null_scores(
    solve: Solver,
    gram: np.ndarray,
    digests: list[str],
    labels: np.ndarray,
    people: np.ndarray,
    seed: int,
) -> np.ndarray:
    """Return the scores of test rows by fits to labels that were permuted.

    The same procedure as a fit: the order of rows by content, the inner folds,
    the choice of C, the intercept.

    Parameters
    ----------
    solve : callable
        ``svm`` or ``logistic``; the first is replaced by its exact equal.
    gram : float64 array of shape (n_learned + n_test, n_learned + n_test)
        Inner products: learned rows first.
    digests : list of str, of length n_learned
        Of the content of the learned rows.
    labels : int array of shape (m, n_learned), 0 or 1
    people : int array of shape (n_learned,)
    seed : int

    Returns
    -------
    scores : float64 array of shape (m, n_test)
    """
    n = len(digests)
    _, rank = np.unique(digests, return_inverse=True)
    by_rank = np.argsort(rank, kind="stable")
    rank, people, labels = rank[by_rank], people[by_rank], labels[:, by_rank]
    kernel, across = gram[np.ix_(by_rank, by_rank)], gram[n:, by_rank]
    kernel, mean, distinct = _about_distinct(kernel, rank)
    across = across - mean  # dual weights sum to 0: the rest cancels
    shared = frame(kernel[distinct], rank) if solve is svm else None
    learn = partial(active_set, shared) if shared else learner(solve, kernel)
    scores, costs = np.empty((len(labels), len(across))), costs_of(kernel)
    for number, y in enumerate(labels):
        check_classes(y)
        order = np.lexsort((y, rank))  # moves equal rows only: by label, as in a fit
        choice = choose(
            learn, kernel, y[order], costs=costs, people=people[order], seed=seed
        )
        dual, shift = learn(y[order], np.arange(n), [choice.cost])[0]
        scores[number] = expit(across @ dual + shift)
    return scores


def _about_distinct(
    kernel: np.ndarray, rank: np.ndarray
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
    """Return inner products about the mean of distinct rows, and where those are.

    Between them, the inner products of that mean with the rows. ``rank`` numbers
    the distinct rows and ascends.
    """
    first = np.flatnonzero(np.diff(rank, prepend=-1))
    mean = kernel[first].mean(axis=0)
    about = kernel - mean - mean[:, None] + mean[first].mean()
    return about, mean, np.ix_(first, first)
