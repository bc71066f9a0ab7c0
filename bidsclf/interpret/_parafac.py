"""Communities of a tensor of correlations, without building the tensor.

One slice a window of ``n_volumes`` volumes: the R x R correlations of its
regions. The slice is ``Z'Z`` for the window's standardized series Z, whose
columns have length 1, so that every product with the tensor is a product with
series: what is held is a block of windows and R x K and S x K numbers.

References
----------
Harshman (1970), UCLA Working Papers in Phonetics 16, 1-84 (PARAFAC); Acar,
Dunlavy & Kolda (2011), Journal of Chemometrics 25(2), 67-86,
doi:10.1002/cem.1335 (all factors at once, by gradients); Byrd, Lu, Nocedal & Zhu
(1995), SIAM Journal on Scientific Computing 16(5), 1190-1208,
doi:10.1137/0916069 (L-BFGS-B).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds, minimize

from bidsclf.errors import InputError

BLOCK = 128  # windows in memory at once; ours


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Windows of several series, standardized as they are read.

    Attributes
    ----------
    series : tuple of float arrays of shape (T, R)
    length, stride : int
        Volumes in a window, and from one window's start to the next.
    """

    series: tuple[np.ndarray, ...]
    length: int
    stride: int

    def __len__(self) -> int:
        return sum(len(self._starts(one)) for one in self.series)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield blocks (n, T, R), at most ``BLOCK`` windows each, in order."""
        held: list[np.ndarray] = []
        for one in self.series:
            for start in self._starts(one):
                held.append(one[start : start + self.length])
                if len(held) == BLOCK:
                    yield standardized(np.stack(held))
                    held = []
        if held:
            yield standardized(np.stack(held))

    def _starts(self, one: np.ndarray) -> range:
        return range(0, len(one) - self.length + 1, self.stride)


@dataclass(frozen=True, slots=True, eq=False)
class Factors:
    """A symmetric, non-negative decomposition.

    Attributes
    ----------
    regions : float64 array of shape (R, K)
        Membership weights, >= 0; columns of length 1, the strongest first.
    samples : float64 array of shape (S, K)
        Weight of each window, >= 0.
    fit : float
        1 - ||T - model|| / ||T||.
    n_steps : int
        Steps that were taken.
    has_converged : bool
        Whether the tolerance ended them, not the limit.
    """

    regions: np.ndarray
    samples: np.ndarray
    fit: float
    n_steps: int
    has_converged: bool


def windows(
    series: Iterable[np.ndarray], *, length: int, stride: int | None = None
) -> Windows:
    """Return the windows of several people.

    Parameters
    ----------
    series : iterable of float arrays of shape (T, R)
    length : int
        Volumes in a window, 3 or more.
    stride : int or None
        None: ``length``, windows that do not overlap. Overlapping ones cost in
        proportion and tell little more: their correlations are nearly the same.

    Raises
    ------
    InputError
        No series is as long as a window.
    """
    kept = tuple(np.asarray(one) for one in series)
    made = Windows(kept, length, stride or length)
    if length < 3 or not len(made):
        longest = max(map(len, kept), default=0)
        raise InputError(
            f"windows of {length} volumes in {len(kept)} series of at most {longest};"
            " a correlation takes 3 volumes or more, and one series a window."
            " Give a shorter window."
        )
    return made


def standardized(block: np.ndarray) -> np.ndarray:
    """Return windows whose columns have mean 0 and length 1 over time.

    Parameters
    ----------
    block : float array of shape (n, T, R)

    Returns
    -------
    z : float64 array of shape (n, T, R)
        ``z[s].T @ z[s]`` is the correlation matrix; a region without variance
        in a window has correlation 0 with all, itself included.
    """
    z = block - block.mean(axis=1, keepdims=True, dtype=np.float64)
    norm = np.sqrt(np.einsum("ntr,ntr->nr", z, z))
    tiny = 1e-12 * np.abs(block).max(axis=1)  # what rounding leaves of a constant
    scale = np.divide(1.0, norm, out=np.zeros_like(norm), where=norm > tiny)
    z *= scale[:, None, :]
    return z


def mttkrp(windows: Windows, regions: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """Return the tensor times the Khatri-Rao product, over the first axis.

    Parameters
    ----------
    windows : Windows
    regions : float array of shape (R, K)
    samples : float array of shape (S, K)

    Returns
    -------
    product : float64 array of shape (R, K)
        Column k is the sum over s of ``samples[s, k] * T[:, :, s] @ regions[:, k]``.
    """
    product, first = np.zeros(regions.shape), 0
    for z in windows:
        part = samples[first : first + len(z)]
        product += _back(z, _seen(z, regions), part)
        first += len(z)
    return product


def decompose(
    windows: Windows,
    rank: int,
    *,
    seed: int = 0,
    tolerance: float = 1e-5,
    n_steps: int = 500,
) -> Factors:
    """Decompose the tensor of the windows' correlations: T ~ sum a_k o a_k o c_k.

    Least squares over a and c >= 0, all at once, by L-BFGS-B: one pass over the
    windows gives the error and its whole gradient. Both regional factors are one
    array from the first step on: nothing is made symmetric afterwards.

    Parameters
    ----------
    windows : Windows
    rank : int
        Communities, 1 or more.
    seed : int
        Rules the start: regions drawn far apart, each with those it goes with.
    tolerance : float
        The steps end when one lowers the error by less than this share of the
        squared norm of the tensor.
    n_steps : int
        At most so many.
    """
    regions, samples, norm2 = _start(windows, rank, np.random.default_rng(seed))
    cut = regions.size

    def error(flat: np.ndarray) -> tuple[float, np.ndarray]:
        a, c = flat[:cut].reshape(regions.shape), flat[cut:].reshape(samples.shape)
        value, of_a, of_c = _error(windows, a, c, norm2)
        return value, np.concatenate([of_a.ravel(), of_c.ravel()])

    start = np.concatenate([regions.ravel(), samples.ravel()])
    found = minimize(
        error,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=Bounds(0, np.inf),
        options={
            "maxiter": n_steps,
            "maxfun": 2 * n_steps,
            "ftol": tolerance,
            "gtol": 0,
        },
    )
    a, c = found.x[:cut].reshape(regions.shape), found.x[cut:].reshape(samples.shape)
    length = np.linalg.norm(a, axis=0)
    a = np.divide(a, length, out=np.zeros_like(a), where=length > 0)
    c = c * length**2
    order = np.argsort(-np.linalg.norm(c, axis=0), kind="stable")
    return Factors(
        regions=a[:, order],
        samples=c[:, order],
        fit=1 - float(np.sqrt(max(found.fun, 0.0))),
        n_steps=int(found.nit),
        has_converged=bool(found.success),
    )


def _error(
    windows: Windows, a: np.ndarray, c: np.ndarray, norm2: float
) -> tuple[float, np.ndarray, np.ndarray]:
    """Return ||T - model||^2 / ||T||^2, and its gradients by a and by c.

    From small Gram matrices: ||T||^2 - 2 sum_sk c_sk a_k' T_s a_k
    + sum_kl (a'a)_kl^2 (c'c)_kl.
    """
    gram, weights = a.T @ a, c.T @ c
    product, along, first = np.zeros_like(a), np.empty_like(c), 0
    for z in windows:
        here = slice(first, first + len(z))
        seen = _seen(z, a)
        along[here] = np.einsum("ntk,ntk->nk", seen, seen)  # a_k' T_s a_k
        product += _back(z, seen, c[here])
        first += len(z)
    error = norm2 - 2 * np.vdot(c, along) + np.vdot(gram**2, weights)
    of_a = 4 * (a @ (gram * weights) - product)
    of_c = 2 * (c @ gram**2 - along)
    return float(error) / norm2, of_a / norm2, of_c / norm2


def _start(
    windows: Windows, rank: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return a start of both factors, and the squared norm of the tensor.

    Regions are drawn one after the other, each with a chance that falls with
    its mean correlation to those drawn before, as k-means++ does; a column is
    the positive part of the drawn region's mean correlations, slightly shaken.
    Samples start at one multiplicative update of constant ones.
    """
    mean, norm2 = np.zeros(()), 0.0
    for z in windows:
        flat = z.reshape(-1, z.shape[2])
        mean = mean + flat.T @ flat / len(windows)
        norm2 += float(np.square(z @ z.transpose(0, 2, 1)).sum())
    far = np.diag(mean).clip(1e-12)
    columns = []
    for _ in range(rank):
        drawn = rng.choice(len(far), p=far / far.sum())
        columns.append(mean[drawn].clip(0) + 0.01 * rng.random(len(far)))
        far = np.minimum(far, (1 - mean[drawn]).clip(1e-6))
    a = np.stack(columns, axis=1)
    gram = a.T @ a
    along = [np.einsum("ntk,ntk->nk", y, y) for z in windows for y in [_seen(z, a)]]
    c = np.concatenate(along) / (gram**2).sum(axis=0)
    balance = np.cbrt(np.linalg.norm(c, axis=0) / np.linalg.norm(a, axis=0))
    return a * balance, c / balance**2, norm2


def _seen(z: np.ndarray, a: np.ndarray) -> np.ndarray:
    """Return ``z @ a`` for every window: (n, T, K)."""
    n, length, n_regions = z.shape
    return (z.reshape(-1, n_regions) @ a).reshape(n, length, -1)


def _back(z: np.ndarray, seen: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the sum over windows of ``z' (seen * weights)``: (R, K)."""
    scaled = (seen * weights[:, None, :]).reshape(-1, seen.shape[2])
    return z.reshape(-1, z.shape[2]).T @ scaled
