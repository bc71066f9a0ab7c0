"""What crossval sees of a harmonizer, and how one is found by name."""

from collections.abc import Callable
from copy import copy
from typing import Any, Protocol, Self

import numpy as np
import pandas as pd

from bidsclf.config import HarmonizeConfig
from bidsclf.errors import ConfigError
from bidsclf.options import did_you_mean, load

PACKAGE = "bidsclf.harmonize"


class Harmonizer(Protocol):
    """The one contract of every harmonizer.

    ``x`` is a float array (n_rows, n_features), ``sites`` holds the site of each
    row and ``covariates`` its covariates: a numeric column is a number, any other
    a category. The target is never among them.
    """

    unseen: str

    def fit(self, x: np.ndarray, sites: np.ndarray, covariates: pd.DataFrame) -> Self:
        """Learn from training rows only."""

    def apply(
        self, x: np.ndarray, sites: np.ndarray, covariates: pd.DataFrame
    ) -> np.ndarray:
        """Return rows without the effect of their site, in the dtype of ``x``.

        Each row depends on itself and on what was learned alone, unless
        ``handling`` says 'batch' of it.
        """

    def handling(self, sites: np.ndarray) -> np.ndarray:
        """Return 'site', 'identity' or 'batch' for each row.

        Raises
        ------
        InputError
            A site was not learned and the policy refuses.
        """

    def outside(self, covariates: pd.DataFrame) -> np.ndarray:
        """Return which rows have a number beyond its range in training."""

    def notes(self) -> dict[str, Any]:
        """Return what was learned from what, as JSON values."""

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return arrays for safetensors, and JSON settings."""

    @classmethod
    def restore(cls, arrays: dict[str, np.ndarray], settings: dict[str, Any]) -> Self:
        """Rebuild from ``state``."""


def make(config: HarmonizeConfig, missing: str = "error") -> Harmonizer:
    """Return an unfitted harmonizer.

    Parameters
    ----------
    config : HarmonizeConfig
        ``unseen`` None refuses.
    missing : {'error', 'drop', 'impute-train-median'}
        What becomes of a row without a covariate. 'drop' leaves that to the
        cohort: such a row is an error here.

    Raises
    ------
    ConfigError
        The method is unknown, or 'none'.
    """
    return find(config.method)(config, missing)


def find(method: str) -> Callable[[HarmonizeConfig, str], Harmonizer]:
    """Return the class that ``--harmonize`` names."""
    members = load(PACKAGE, method).VARIANTS
    if method not in members:
        raise ConfigError(
            f"no harmonizer {method!r}; there are: {', '.join(members)}."
            f"{did_you_mean(method, list(members))}"
        )
    made: Callable[[HarmonizeConfig, str], Harmonizer] = members[method]
    return made


def restore(arrays: dict[str, np.ndarray], settings: dict[str, Any]) -> Harmonizer:
    """Return the fitted harmonizer of ``state``."""
    kind: Any = find(settings["method"])
    restored: Harmonizer = kind.restore(arrays, settings)
    return restored


def with_policy(harmonizer: Harmonizer, unseen: str | None) -> Harmonizer:
    """Return a copy that treats unseen sites otherwise; None keeps the policy."""
    changed = copy(harmonizer)
    changed.unseen = HarmonizeConfig(unseen=unseen).unseen or harmonizer.unseen
    return changed
