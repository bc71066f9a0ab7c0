"""The machinery that all harmonizers share: rows in, rows without site effects out."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Self

import numpy as np
import pandas as pd

from bidsclf.config import HarmonizeConfig
from bidsclf.errors import InputError
from bidsclf.harmonize import _effects, _guards
from bidsclf.harmonize._covariates import Coding

Arrays = dict[str, np.ndarray]
CELLS = 1 << 20  # rows x features worked on at once: 8 MiB a copy; ours


class LocationScale(ABC):
    """Remove location and scale of each site; covariates' effects stay.

    See ``Harmonizer`` for the contract; ``config.unseen`` None refuses. A member
    says how it learns (``_learn``), and may change the design and the residual.
    """

    method = ""
    per_site: tuple[str, ...] = ("gamma", "delta")  # arrays of a row a site

    def __init__(self, config: HarmonizeConfig, missing: str = "error") -> None:
        self.config = config
        self.missing = missing
        self.unseen = config.unseen or "refuse"

    def fit(self, x: np.ndarray, sites: np.ndarray, covariates: pd.DataFrame) -> Self:
        """Learn from training rows.

        Parameters
        ----------
        x : float array of shape (n_rows, n_features)
        sites : array of shape (n_rows,)
        covariates : DataFrame of shape (n_rows, n_covariates)

        Raises
        ------
        InputError
            A site of fewer than two different rows (under 'refuse'), fewer than
            two sites, values that are not finite, or covariates that are
            constant, collinear, or missing where the policy does not fill them.
        """
        x, sites = _guards.checked(x, sites, covariates)
        self._sizes, self._small = _guards.usable_sites(x, sites, self.unseen)
        kept = np.isin(sites, list(self._sizes))
        if not kept.all():
            x, sites, covariates = x[kept], sites[kept], covariates.loc[kept]
        self._coding = Coding.learn(covariates, self.missing, self._curves(covariates))
        codes = np.searchsorted(list(self._sizes), sites.astype(str))
        coded = self._coding.matrix(covariates)
        site_columns = _effects.onehot(codes, len(self._sizes))
        _guards.check_independent(site_columns, coded, self._coding.names())
        self._varies = _guards.varying(x, np.hstack([site_columns, coded]))
        self._arrays = {}
        if self._varies.any():
            y = self._take(x, np.arange(len(x)))
            self._arrays = self._learn(y, codes, covariates)
        return self

    def apply(
        self, x: np.ndarray, sites: np.ndarray, covariates: pd.DataFrame
    ) -> np.ndarray:
        """Return harmonized rows, in the dtype of ``x``.

        Parameters
        ----------
        x : float array of shape (n_rows, n_features)
        sites : array of shape (n_rows,)
        covariates : DataFrame of shape (n_rows, >= n_covariates)

        Raises
        ------
        InputError
            As ``handling``; the number of features differs; a value is not
            finite; a covariate is missing or its level was not in training;
            fewer than two different rows of an unseen site under 'batch'.
        """
        x, sites = _guards.checked(x, sites, covariates)
        _guards.check_features(x, len(self._varies))
        out = np.array(x)
        rows = np.flatnonzero(self.handling(sites) != "identity")
        if not rows.size or not self._varies.any():
            return out
        design = self._design(covariates.iloc[rows])
        arrays, codes = self._with_batches(x, rows, sites[rows], design)
        for part in self._parts(len(rows)):
            y, trend = self._take(x, rows[part]), self._trend(design[part])
            residual = self._residual(y, trend, codes[part], arrays)
            harmonized = residual * arrays["spread"] + trend
            if self._varies.all():
                out[rows[part]] = harmonized
            else:
                out[np.ix_(rows[part], self._varies)] = harmonized
        return out

    def handling(self, sites: np.ndarray) -> np.ndarray:
        """Return 'site', 'identity' or 'batch' for each row, shape (n_rows,).

        Raises
        ------
        InputError
            A site was not learned and the policy refuses.
        """
        names = _guards.sites_of(sites)
        is_known = np.array([name in self._sizes for name in names], bool)
        if not is_known.all() and self.unseen == "refuse":
            site = names[~is_known][0]
            raise InputError(
                f"site {site!r} ({(names == site).sum()} row(s)) was not learned;"
                f" learned were: {', '.join(self._sizes)}. Use --harmonize-unseen"
                " identity (features stay as they are) or batch (location and scale"
                " from the site's own rows), or learn from people of that site too."
            )
        return np.where(is_known, "site", self.unseen).astype(object)

    def outside(self, covariates: pd.DataFrame) -> np.ndarray:
        """Return which rows, shape (n_rows,), have a number beyond its training range.

        There a line is drawn on, and a curve stays at its end.
        """
        return self._coding.outside(covariates)

    def notes(self) -> dict[str, Any]:
        """Return what was learned from what, as JSON values."""
        columns = self._coding.columns
        return {
            "method": self.method,
            "unseen": self.unseen,
            "sites": self._sizes,
            "sites_too_small": self._small,
            "n_features": len(self._varies),
            "n_unchanged": int((~self._varies).sum()),
            "covariates": [c.name for c in columns],
            "imputed": {c.name: c.n_missing for c in columns if c.n_missing},
        }

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """Return arrays for safetensors, and JSON settings."""
        arrays = self._arrays | {"varies": self._varies}
        settings = {
            "method": self.method,
            "unseen": self.unseen,
            "smooth_terms": list(self.config.smooth_terms),
            "sites": self._sizes,
            "sites_too_small": self._small,
            "covariates": self._coding.to_plain(),
        }
        return {name: np.ascontiguousarray(a) for name, a in arrays.items()}, settings

    @classmethod
    def restore(cls, arrays: Arrays, settings: dict[str, Any]) -> Self:
        """Rebuild from ``state``."""
        terms = tuple(settings["smooth_terms"])
        config = HarmonizeConfig(
            method=cls.method, unseen=settings["unseen"], smooth_terms=terms
        )
        made = cls(config, settings["covariates"]["missing"])
        made._coding = Coding.from_plain(settings["covariates"])
        made._sizes = dict(settings["sites"])
        made._small = dict(settings["sites_too_small"])
        made._arrays = {k: v for k, v in arrays.items() if k != "varies"}
        made._varies = arrays["varies"].astype(bool)
        return made

    def _curves(self, covariates: pd.DataFrame) -> tuple[str, ...]:
        return ()  # covariates that act along a curve

    @abstractmethod
    def _learn(
        self, y: np.ndarray, codes: np.ndarray, covariates: pd.DataFrame
    ) -> Arrays:
        """Return what is learned of features with variance, float64 (n_rows, F)."""

    def _design(self, covariates: pd.DataFrame) -> np.ndarray:
        return self._coding.matrix(covariates)

    def _take(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        taken = x[rows] if self._varies.all() else x[np.ix_(rows, self._varies)]
        return taken.astype(np.float64)

    def _parts(self, n_rows: int) -> Iterator[slice]:
        step = max(1, CELLS // len(self._varies))
        return (slice(start, start + step) for start in range(0, n_rows, step))

    def _trend(self, design: np.ndarray) -> np.ndarray:
        """Return mean and covariates' effects; a row's sum knows no other row."""
        trend = np.repeat(self._arrays["mean"][None], len(design), axis=0)
        for column, slope in zip(design.T, self._arrays["slopes"], strict=True):
            trend += column[:, None] * slope
        return trend

    def _residual(
        self, y: np.ndarray, trend: np.ndarray, codes: np.ndarray, arrays: Arrays
    ) -> np.ndarray:
        """Return standardized rows (n_rows, F) without the effect of their site."""
        residual = (y - trend) / arrays["spread"]
        residual -= arrays["gamma"][codes]
        residual /= np.sqrt(arrays["delta"][codes])
        return residual

    def _with_batches(
        self, x: np.ndarray, rows: np.ndarray, sites: np.ndarray, design: np.ndarray
    ) -> tuple[Arrays, np.ndarray]:
        """Return the arrays with a row for each unseen site, and codes of rows."""
        codes = {site: code for code, site in enumerate(self._sizes)}
        arrays = self._arrays
        for site in sorted(set(sites) - set(codes)):
            own = np.flatnonzero(sites == site)
            _guards.check_batch(x[rows[own]], site)
            learned = self._batch(self._take(x, rows[own]), self._trend(design[own]))
            grown = {k: np.vstack([arrays[k], learned[k]]) for k in self.per_site}
            arrays = arrays | grown
            codes[site] = len(codes)
        return arrays, np.array([codes[site] for site in sites], int)

    def _batch(self, y: np.ndarray, trend: np.ndarray) -> Arrays:
        """Return the row of each ``per_site`` array for one unseen site."""
        standard = (y - trend) / self._arrays["spread"]
        gamma, delta = _effects.site_effects(standard, np.zeros(len(y), int), 1)
        return {"gamma": gamma, "delta": delta}
