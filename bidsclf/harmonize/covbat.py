"""CovBat: ComBat, then the covariance between features made alike across sites."""

from typing import Any, Self

import numpy as np
import pandas as pd

from bidsclf.harmonize._model import Arrays
from bidsclf.harmonize.combat import Combat

KEPT = 0.95  # share of the variance whose components are harmonized; the paper's
NONE = 1e-6  # a spread of scores that is rounding alone; features have one of 1; ours


class CovBat(Combat):
    """Harmonize ComBat's residuals along their principal components as well.

    The residuals of the training rows, each feature scaled to unit variance, are
    rotated to their components; location and scale of each site are taken from
    the scores of the first ones, not shrunk, and the rest stays.
    Departure: loadings are kept in float32 to halve a bundle, so that what they
    leave out of a score counts as rest.

    References
    ----------
    Chen et al. (2022), Hum. Brain Mapp. 43(4), 1179-1195, doi:10.1002/hbm.25688.
    The defaults are those of its authors' R package: ``std.var``, 95 %, no
    empirical Bayes for scores, no covariates in them.
    """

    method = "covbat"
    per_site = (*Combat.per_site, "score_mean", "score_sd")

    def notes(self) -> dict[str, Any]:
        """Return what was learned from what, as JSON values."""
        width = self._arrays["loadings"].shape[1] if self._arrays else 0
        return super().notes() | {"n_components": width}

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """Return arrays for safetensors, and JSON settings."""
        arrays, settings = super().state()
        if self._arrays:
            arrays["loadings"] = arrays["loadings"].astype(np.float32)
        return arrays, settings

    @classmethod
    def restore(cls, arrays: Arrays, settings: dict[str, Any]) -> Self:
        """Rebuild from ``state``."""
        made = super().restore(arrays, settings)
        if made._arrays:
            made._arrays["loadings"] = made._arrays["loadings"].astype(np.float64)
        return made

    def _learn(
        self, y: np.ndarray, codes: np.ndarray, covariates: pd.DataFrame
    ) -> Arrays:
        self._arrays = super()._learn(y, codes, covariates)
        design = self._design(covariates)
        for part in self._parts(len(y)):  # y becomes its residuals, in place
            trend = self._trend(design[part])
            y[part] = super()._residual(y[part], trend, codes[part], self._arrays)
        centre, scale = y.mean(axis=0), y.std(axis=0, ddof=1)
        y -= centre
        y /= scale
        loadings = components(y, KEPT)
        scores = y @ loadings
        mean, sd = _location_scale(scores, codes)
        rest = scores - mean[codes]
        learned = {
            "centre": centre,
            "scale": scale,
            "loadings": loadings,
            "score_mean": mean,
            "score_sd": sd,
            "score_spread": np.sqrt((rest**2).mean(axis=0)),
        }
        return self._arrays | learned

    def _residual(
        self, y: np.ndarray, trend: np.ndarray, codes: np.ndarray, arrays: Arrays
    ) -> np.ndarray:
        residual = super()._residual(y, trend, codes, arrays)
        scores = self._scores(residual, arrays)
        alike = (scores - arrays["score_mean"][codes]) / arrays["score_sd"][codes]
        change = alike * arrays["score_spread"] - scores
        residual += (change @ arrays["loadings"].T) * arrays["scale"]
        return residual

    def _batch(self, y: np.ndarray, trend: np.ndarray) -> Arrays:
        learned = super()._batch(y, trend)
        codes = np.zeros(len(y), int)
        residual = super()._residual(y, trend, codes, self._arrays | learned)
        mean, sd = _location_scale(self._scores(residual, self._arrays), codes)
        return learned | {"score_mean": mean, "score_sd": sd}

    @staticmethod
    def _scores(residual: np.ndarray, arrays: Arrays) -> np.ndarray:
        scaled = (residual - arrays["centre"]) / arrays["scale"]
        scores: np.ndarray = scaled @ arrays["loadings"]
        return scores


def components(z: np.ndarray, share: float) -> np.ndarray:
    """Return the loadings of the first components that hold more than a share.

    Parameters
    ----------
    z : float64 array of shape (n_rows, n_features)
        Centred.
    share : float
        Of the variance, in (0, 1).

    Returns
    -------
    loadings : float64 array of shape (n_features, n_components)
        Of unit length, rounded to float32.

    Examples
    --------
    >>> components(np.array([[-3.0, 0.0], [3.0, 0.0]]), 0.9).round(3) ** 2
    array([[1.],
           [0.]])
    """
    is_wide = len(z) <= z.shape[1]
    small = z @ z.T if is_wide else z.T @ z
    values, vectors = np.linalg.eigh(small)
    values, vectors = np.clip(values[::-1], 0, None), vectors[:, ::-1]
    held = np.cumsum(values) / values.sum()
    n_kept = int(np.searchsorted(held, share, side="right")) + 1
    kept = np.ascontiguousarray(vectors[:, : min(n_kept, len(values))])
    loadings = z.T @ kept if is_wide else kept
    loadings = loadings / np.linalg.norm(loadings, axis=0)
    return loadings.astype(np.float32).astype(np.float64)


def _location_scale(
    scores: np.ndarray, codes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of scores, (n_sites, K), not shrunk."""
    of_site = [scores[codes == site] for site in range(codes.max() + 1)]
    sd = np.array([own.std(axis=0, ddof=1) for own in of_site])
    return np.array([own.mean(axis=0) for own in of_site]), np.where(sd > NONE, sd, 1.0)


VARIANTS = {"covbat": CovBat}
