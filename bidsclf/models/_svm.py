"""The support vector machine in the Gram matrix: by libsvm, and by active sets."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg.lapack import dposv
from sklearn.svm import SVC

TOLERANCE = 1e-7  # of libsvm's conditions of optimality
SLACK = 1e-9  # of ours, relative: rounding must not keep the sets moving
LEAST_EIGENVALUE = 1e-6  # of the largest: an inverse is then good to ten digits
MAX_STEPS = 12  # of one search; real edges take four
MAX_HALVINGS = 12  # of the way to the next cost, where a search does not settle
Solution = tuple[np.ndarray, float]
BELOW, LOWER, INSIDE, UPPER, ABOVE = range(5)  # of a value and the margins; odd: on


def svm(kernel: np.ndarray, y: np.ndarray, costs: list[float]) -> list[Solution]:
    """Solve the support vector machine for each cost.

    libsvm is spared where the solution is known: every dual weight is at its
    bound for small costs, and one with none at its bound stays for larger ones.

    Parameters
    ----------
    kernel : float64 array of shape (n, n)
    y : int array of shape (n,), 0 or 1
    costs : list of float
        Ascending.

    Returns
    -------
    solutions : list of (dual weights of shape (n,), intercept)
        Decision values are ``kernel @ dual + intercept``.
    """
    solutions: list[Solution] = []
    bound = _sign(y) * _weights(y)
    spread, is_inside = _spread(kernel @ bound, y), False
    for cost in costs:
        if is_inside:
            solutions.append(solutions[-1])
            continue
        if cost * spread <= 2:
            dual = cost * bound
        else:
            machine = SVC(
                C=cost, kernel="precomputed", class_weight="balanced", tol=TOLERANCE
            )
            machine.fit(kernel, y)
            dual = np.zeros(len(y))
            dual[machine.support_] = machine.dual_coef_[0]
            is_inside = bool((np.abs(dual) < (1 - 1e-6) * cost * np.abs(bound)).all())
        solutions.append((dual, intercept_of(kernel @ dual, y)))
    return solutions


def intercept_of(values: np.ndarray, y: np.ndarray) -> float:
    """Return, of the intercepts that minimise the hinge loss, the most central.

    For a small C every training row lies inside the margin, and a whole interval
    of intercepts is optimal; libsvm then takes an end of it, which may call
    everyone the same. Ours is the nearest to midway between the class means, as
    for the difference of means. Where the optimum is unique this is libsvm's.
    """
    weight = _weights(y)
    corners = np.where(y == 1, 1, -1) - values  # where a row enters the margin
    order = np.argsort(corners, kind="stable")
    slope = np.cumsum(weight[order]) - weight[y == 1].sum()
    low, high = (corners[order[np.argmax(slope > at)]] for at in (-1e-6, 1e-6))
    midway = -(values[y == 0].mean() + values[y == 1].mean()) / 2
    return float(np.clip(midway, low, high))


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """What all fits to some of the same rows share, whatever their labels.

    Attributes
    ----------
    kernel : float64 array of shape (n_distinct, n_distinct)
        Inner products of the distinct rows, positive definite.
    projected : float64 array of shape (n_distinct, n_distinct)
        ``projected @ values`` are the dual weights that give the decision values
        up to the intercept, and sum to zero.
    of : int array of shape (n,)
        The distinct row that each row equals.
    """

    kernel: np.ndarray
    projected: np.ndarray
    of: np.ndarray


def frame(kernel: np.ndarray, of: np.ndarray) -> Frame | None:
    """Return the frame of rows, or None where they have no good inverse.

    That is, where there are fewer features than distinct rows.

    Parameters
    ----------
    kernel : float64 array of shape (n_distinct, n_distinct)
        Inner products about the mean. A constant on top makes them definite:
        dual weights sum to zero and do not see it.
    of : int array of shape (n,)
    """
    kernel = kernel + np.trace(kernel) / len(kernel) ** 2
    values, vectors = np.linalg.eigh(kernel)
    if not values[0] > LEAST_EIGENVALUE * values[-1]:
        return None
    inverse = (vectors / values) @ vectors.T
    sums = inverse.sum(axis=0)
    return Frame(kernel, inverse - np.outer(sums, sums) / sums.sum(), of)


def active_set(
    shared: Frame, y: np.ndarray, rows: np.ndarray, costs: list[float]
) -> list[Solution]:
    """Solve the support vector machine on some rows of a frame, to rounding.

    Each step solves the linear equations that hold if the right rows are on the
    margins, then moves those that contradict; the next cost starts where the last
    ended. Nothing left to move is what optimality means. Places that do not
    settle are given to libsvm.

    Parameters
    ----------
    shared : Frame
    y : int array of shape (n,), 0 or 1
    rows : int array of shape (n_learned,)
    costs : list of float
        Ascending.

    Returns
    -------
    solutions : list of (dual weights of shape (n_learned,), intercept)
        As those of ``svm``, of ``shared.kernel``. Rows that are equal may share
        their weight otherwise than there; no decision value changes.

    References
    ----------
    Hintermueller, Ito and Kunisch (2002), SIAM J. Optim. 13(3), 865-888,
    doi:10.1137/S1052623401383558: primal-dual active sets.
    """
    own, truth = shared.of[rows], y[rows]
    pull = np.zeros((2, len(shared.kernel)))
    np.add.at(pull, (truth, own), _weights(truth))
    at_bound = shared.kernel @ (pull[1] - pull[0])
    spread = _spread(at_bound[own], truth)
    share = 1 / np.bincount(own)[own]
    place = np.full(len(at_bound), INSIDE)
    solutions: list[Solution] = []
    for cost in costs:
        if cost * spread <= 2:
            dual = cost * (pull[1] - pull[0])
            intercept = intercept_of(cost * at_bound[own], truth)
        elif _has_bound(place, pull):
            start = max(2 / spread, *costs[: len(solutions)], 0.0)
            found = _reach(shared, pull, place, start, cost)
            if found is None:
                part, left = np.ix_(own, own), costs[len(solutions) :]
                return solutions + svm(shared.kernel[part], truth, left)
            dual, intercept, place = found
            if not (place % 2).any():  # nobody stands on a margin and fixes it
                intercept = intercept_of((shared.kernel @ dual)[own], truth)
        solutions.append((dual[own] * share, intercept))
    return solutions


def _has_bound(place: np.ndarray, pull: np.ndarray) -> bool:
    """Return whether a row is at its bound, so that a larger cost moves it."""
    at_bound = (pull[1] > 0) & (place < UPPER) | (pull[0] > 0) & (place > LOWER)
    return bool(at_bound.any())


def _reach(
    shared: Frame, pull: np.ndarray, place: np.ndarray, start: float, cost: float
) -> tuple[np.ndarray, float, np.ndarray] | None:
    """Return what ``_settle`` finds at a cost, from the places at a smaller one.

    A search that does not settle is tried half of the way, in the logarithm of
    the cost: near enough, a few rows move and it does. None after many halvings.
    """
    found, ahead = None, [cost]
    while ahead:
        found = _settle(shared, ahead[-1] * pull, place)
        if found is not None:
            place, start = found[2], ahead.pop()
        elif len(ahead) > MAX_HALVINGS:
            return None
        else:
            ahead.append(float(np.sqrt(start * ahead[-1])))
    return found


def _settle(
    shared: Frame, pull: np.ndarray, place: np.ndarray
) -> tuple[np.ndarray, float, np.ndarray] | None:
    """Return dual weights, intercept and places that no row contradicts, or None.

    Equal rows are one with the pull of both classes, shape (2, n_distinct). Its
    weight falls as its decision value rises: all of class 1's pull below the
    lower margin, all of class 0's above the upper one, both between. A row on a
    margin moves when its weight leaves the range, any other when its value does.
    """
    rows = np.arange(pull.shape[1])
    steps = np.stack([pull[1], pull[1] - pull[0], -pull[0]])
    slack, never = SLACK * pull.sum(axis=0), np.full(len(rows), np.inf)
    lower = np.where(pull[0] > 0, -1, -never)  # the margins that a row can stand on
    upper = np.where(pull[1] > 0, 1, never)
    least = np.stack(
        [-never, -steps[0] - slack, lower - SLACK, -steps[1] - slack, upper - SLACK]
    )
    most = np.stack(
        [lower + SLACK, slack - steps[1], upper + SLACK, slack - steps[2], never]
    )
    for _ in range(MAX_STEPS):
        is_free, known = place % 2 == 1, steps[place // 2, rows]
        if is_free.any():
            dual, values = _solve(shared, known, place, is_free)
        elif abs(known.sum()) <= slack.sum():
            dual, values = known, shared.kernel @ known  # any intercept between does
            low, high = least[place, rows] - values, most[place, rows] - values
            values += (low.max() + high.min()) / 2
        else:
            return None
        judged = np.where(is_free, -dual, values)
        moved = place + (judged > most[place, rows]) - (judged < least[place, rows])
        if (moved == place).all():
            return dual, float(values[0] - shared.kernel[0] @ dual), place
        place = moved
    return None


def _solve(
    shared: Frame, steps: np.ndarray, place: np.ndarray, is_free: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return dual weights and decision values, intercept included.

    Rows on a margin have a known value, the others a known weight. The smaller
    of the two groups gives the size of the equations, which a frame makes definite.
    """
    free, known = np.flatnonzero(is_free), np.flatnonzero(~is_free)
    dual = np.where(is_free, 0.0, steps)
    values = np.where(is_free, place - float(INSIDE), 0.0)
    if len(free) <= len(known):
        kernel, right = shared.kernel, np.ones((len(free), 2))
        right[:, 0] = values[free] - (kernel @ dual)[free]
        _, solved, _ = dposv(kernel[np.ix_(free, free)].T, right, overwrite_a=1)
        intercept = (solved[:, 0].sum() + dual.sum()) / solved[:, 1].sum()
        dual[free] = solved[:, 0] - intercept * solved[:, 1]
        return dual, kernel @ dual + intercept
    if len(known):
        wanted = dual[known] - (shared.projected @ values)[known]
        part = shared.projected[np.ix_(known, known)].T
        _, values[known], _ = dposv(part, wanted, overwrite_a=1)
    dual[free] = (shared.projected @ values)[free]
    return dual, values


def _sign(y: np.ndarray) -> np.ndarray:
    return np.where(y == 1, 1.0, -1.0)


def _weights(y: np.ndarray) -> np.ndarray:
    """Return the weight of each row: classes count the same, the mean is one."""
    return len(y) / (2 * np.bincount(y, minlength=2)[y])


def _spread(at_bound: np.ndarray, y: np.ndarray) -> float:
    """Return how far rows reach past each other: all stay inside up to 2 / cost."""
    return float(at_bound[y == 1].max() - at_bound[y == 0].min())
