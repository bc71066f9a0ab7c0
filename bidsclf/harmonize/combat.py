"""ComBat: location and scale of each site, shrunk by empirical Bayes.

neuroHarmonize learns; its own apply needs every training site among the rows and
gives NaN for others, so rows are harmonized here from the arrays it learned.
Departures: a constant feature passes unchanged; covariates are standardized
before they are learned with, which changes no result; a site whose variances
allow no prior is not shrunk.
"""

from typing import Any

import numpy as np
import pandas as pd

from bidsclf.errors import InputError
from bidsclf.harmonize import _effects, _spline
from bidsclf.harmonize._model import Arrays, LocationScale
from bidsclf.options import did_you_mean

CURVE = "age"  # the smooth term where none is named


class Combat(LocationScale):
    """ComBat with covariates that act along lines.

    References
    ----------
    Johnson et al. (2007), Biostatistics 8(1), 118-127,
    doi:10.1093/biostatistics/kxj037. Fortin et al. (2018), NeuroImage 167, 104-120,
    doi:10.1016/j.neuroimage.2017.11.024.
    """

    method = "combat"

    def _learn(
        self, y: np.ndarray, codes: np.ndarray, covariates: pd.DataFrame
    ) -> Arrays:
        return _effects.learn_lines(y, codes, self._coding.matrix(covariates))


class SmoothCombat(LocationScale):
    """ComBat with covariates that act along penalised splines, age above all.

    ``config.smooth_terms`` names them. Departures from the source: the weight of
    the penalty is chosen by generalized cross-validation, which needs no random
    split; a value beyond the training range (``outside``) counts as the nearest
    inside, where neuroHarmonize fails.

    References
    ----------
    Pomponio et al. (2020), NeuroImage 208, 116450,
    doi:10.1016/j.neuroimage.2019.116450.
    """

    method = "combat-gam"

    def notes(self) -> dict[str, Any]:
        """Return what was learned from what, as JSON values."""
        curves = [c for c in self._coding.columns if c.is_curve]
        ranges = {c.name: [c.low, c.high] for c in curves}
        found = super().notes() | {"smooth": ranges}
        if self._arrays:
            weights = np.quantile(self._arrays["alpha"], [0, 0.5, 1], axis=1).T
            found["alpha"] = dict(zip(ranges, weights.tolist(), strict=True))
        return found

    def _curves(self, covariates: pd.DataFrame) -> tuple[str, ...]:
        named = self.config.smooth_terms or (CURVE,)
        return tuple(
            _find(name, [str(c) for c in covariates.columns]) for name in named
        )

    def _learn(
        self, y: np.ndarray, codes: np.ndarray, covariates: pd.DataFrame
    ) -> Arrays:
        values = self._coding.curves(covariates)
        return _effects.learn_curves(y, codes, self._lines(covariates), values)

    def _design(self, covariates: pd.DataFrame) -> np.ndarray:
        values = self._coding.curves(covariates)
        curves = _spline.design(values, self._arrays["knots"])
        return np.hstack([self._lines(covariates), curves])

    def _lines(self, covariates: pd.DataFrame) -> np.ndarray:
        return self._coding.matrix(covariates)[:, ~self._coding.is_curve()]


def _find(name: str, columns: list[str]) -> str:
    """Return the column of a smooth term, whatever its case."""
    for column in columns:
        if column.lower() == name.lower():
            return column
    raise InputError(
        f"smooth term {name!r} is not among the covariates:"
        f" {', '.join(columns) or 'none'}. Add it to --covariates or name another"
        f" with --smooth-terms.{did_you_mean(name, columns)}"
    )


VARIANTS = {"combat": Combat, "combat-gam": SmoothCombat}
