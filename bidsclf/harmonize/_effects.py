"""neuroHarmonize learns: means, slopes, spreads, and what each site adds to them."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from typing import Any

import numpy as np
import pandas as pd

from bidsclf.harmonize import _spline

NONE = 1e-10  # a site's share of the variance that is rounding alone; ours


def onehot(codes: np.ndarray, n_sites: int) -> np.ndarray:
    """Return the (n_rows, n_sites) indicators of sites."""
    return np.eye(n_sites)[codes]


def learn_lines(
    y: np.ndarray, codes: np.ndarray, design: np.ndarray
) -> dict[str, np.ndarray]:
    """Let neuroHarmonize learn ComBat with covariates that act along lines.

    Parameters
    ----------
    y : float64 array of shape (n_rows, F)
        Features with variance within sites.
    codes : int array of shape (n_rows,)
        0 to S - 1, each at least twice.
    design : float64 array of shape (n_rows, k)

    Returns
    -------
    learned : dict of float64 arrays
        ``mean`` (F,) of all rows at covariates of zero, ``slopes`` (k, F),
        ``spread`` (F,): the standard deviation of the residuals within sites;
        ``gamma`` and ``delta`` (S, F): location and variance of each site in
        units of ``spread``.
    """
    from neuroHarmonize import harmonizationLearn

    columns = {f"c{i}": column for i, column in enumerate(design.T)}
    table = pd.DataFrame({"SITE": codes, **columns})
    with _quiet():
        model, _ = harmonizationLearn(y, table)
    n_sites = len(model["SITE_labels"])
    gamma, delta = _settled(
        (model["gamma_star"], model["delta_star"]),
        (model["gamma_hat"], model["delta_hat"]),
    )
    return {
        "mean": model["stand_mean"][:, 0].copy(),
        "slopes": model["B_hat"][n_sites:].copy(),
        "spread": np.sqrt(model["var_pooled"][:, 0]),
        "gamma": gamma,
        "delta": delta,
    }


def learn_curves(
    y: np.ndarray, codes: np.ndarray, lines: np.ndarray, values: np.ndarray
) -> dict[str, np.ndarray]:
    """Learn ComBat with covariates that act along penalised splines.

    The coefficients come in closed form from ``_spline``; all that follows is
    neuroHarmonize's.

    Parameters
    ----------
    y : float64 array of shape (n_rows, F)
    codes : int array of shape (n_rows,)
    lines : float64 array of shape (n_rows, n_lines)
    values : float64 array of shape (n_rows, n_curves)

    Returns
    -------
    learned : dict of float64 arrays
        As ``learn_lines``, with the slopes of ``hstack([lines,
        _spline.design(values, knots)])``; ``knots`` (n_curves, 14); ``alpha``
        (n_curves, F): the weight of each penalty.
    """
    n_sites = int(codes.max()) + 1
    site_columns = onehot(codes, n_sites)
    found = _spline.fit(y, np.hstack([site_columns, lines]), values)
    design = np.hstack([lines, _spline.design(values, found.knots)])
    mean = site_columns.mean(axis=0) @ found.coefficients[:n_sites]
    slopes = found.coefficients[n_sites:]
    standard = design @ slopes
    np.subtract(y, standard, out=standard)
    spread = np.sqrt(_within(standard, codes, found.coefficients[:n_sites]))
    standard -= mean
    standard /= spread
    gamma, delta = site_effects(standard, codes, n_sites)
    return {
        "mean": mean,
        "slopes": slopes,
        "spread": spread,
        "gamma": gamma,
        "delta": delta,
        "knots": found.knots,
        "alpha": found.alpha,
    }


def _within(values: np.ndarray, codes: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Return the mean square distance of rows from their site's mean, (F,)."""
    total = np.zeros(values.shape[1])
    for site, mean in enumerate(means):
        total += ((values[codes == site] - mean) ** 2).sum(axis=0)
    return total / len(values)


def site_effects(
    standard: np.ndarray, codes: np.ndarray, n_sites: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return location and variance of sites, shrunk by empirical Bayes.

    Parameters
    ----------
    standard : float64 array of shape (n_rows, F)
        Standardized features.
    codes : int array of shape (n_rows,)
        0 to ``n_sites`` - 1, each at least twice.
    n_sites : int

    Returns
    -------
    gamma, delta : float64 array of shape (n_sites, F)
        As neuroHarmonize learns them: one feature alone is not shrunk.
    """
    from neuroHarmonize.harmonizationLearn import (
        find_parametric_adjustments,
        fitLSModelAndFindPriors,
    )

    of_site = [np.flatnonzero(codes == site) for site in range(n_sites)]
    rows: dict[str, Any] = {"n_batch": n_sites, "batch_info": of_site}
    is_shrunk = standard.shape[1] > 1
    with _quiet():
        found = fitLSModelAndFindPriors(
            standard.T, onehot(codes, n_sites), rows, eb=is_shrunk
        )
        plain = found["gamma_hat"], np.array(found["delta_hat"])
        shrunk = plain
        if is_shrunk:
            rows["ref_level"] = None
            shrunk = find_parametric_adjustments(standard.T, found, rows, False)
    return _settled(shrunk, plain)


def _settled(
    shrunk: tuple[np.ndarray, np.ndarray], plain: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return finite effects: where no prior can be had, they are not shrunk.

    The prior has no spread where all features vary alike at a site, as copies of
    one feature do. A variance of zero, as of a region that one site lacks, that
    is not shrunk becomes one: nothing is there to be scaled.
    """
    is_usable = np.isfinite(shrunk[0]) & np.isfinite(shrunk[1])
    gamma = np.where(is_usable, shrunk[0], plain[0])
    delta = np.where(is_usable, shrunk[1], plain[1])
    return gamma, np.where(delta > NONE, delta, 1.0)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence neuroHarmonize: it prints, uses np.matrix and divides by zero."""
    with (
        warnings.catch_warnings(),
        redirect_stdout(StringIO()),
        np.errstate(all="ignore"),
    ):
        warnings.simplefilter("ignore")
        yield
