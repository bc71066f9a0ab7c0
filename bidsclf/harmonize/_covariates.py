"""Covariates as columns of numbers, coded as the training rows were."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from bidsclf.errors import InputError

NOT_GIVEN = ("", "n/a")  # BIDS writes n/a
IMPUTE = "impute-train-median"
SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """How one covariate is coded.

    Attributes
    ----------
    name : str
    levels : tuple of str
        Of a category, sorted; the first is the one the others are compared
        with. Empty for a number.
    fill : float or str
        Median or most frequent level of the training rows.
    centre, scale : float
        Mean and standard deviation of the training rows, for a number.
    low, high : float
        Range of the training rows, for a number.
    is_curve : bool
        Whether it acts along a curve, not a line.
    n_missing : int
        Training rows without a value.
    """

    name: str
    levels: tuple[str, ...] = ()
    fill: float | str = 0.0
    centre: float = 0.0
    scale: float = 1.0
    low: float = 0.0
    high: float = 0.0
    is_curve: bool = False
    n_missing: int = 0


@dataclass(frozen=True, slots=True)
class Coding:
    """How covariates become numbers, learned from training rows.

    Attributes
    ----------
    columns : tuple of Column
    missing : {'error', 'drop', 'impute-train-median'}
    """

    columns: tuple[Column, ...]
    missing: str

    @classmethod
    def learn(
        cls, covariates: pd.DataFrame, missing: str, curves: Sequence[str] = ()
    ) -> "Coding":
        """Return the coding of training rows.

        Parameters
        ----------
        covariates : DataFrame of shape (n_rows, n_covariates)
        missing : str
        curves : sequence of str
            Covariates that act along a curve; numbers.

        Raises
        ------
        InputError
            Two columns share a name; a covariate is constant, missing in part
            under 'error' or 'drop', missing in whole, or not finite.
        """
        names = [str(name) for name in covariates.columns]
        twice = sorted(name for name, n in Counter(names).items() if n > 1)
        if twice:
            raise InputError(
                f"covariates: two columns are named {twice[0]!r}; each name stands"
                " once. Rename or remove one."
            )
        columns = [
            _learn(covariates[name], missing, is_curve=name in curves) for name in names
        ]
        return cls(tuple(columns), missing)

    def matrix(self, covariates: pd.DataFrame) -> np.ndarray:
        """Return all covariates as numbers.

        Parameters
        ----------
        covariates : DataFrame of shape (n_rows, >= n_covariates)
            Found by name; further columns do not matter.

        Returns
        -------
        matrix : float64 array of shape (n_rows, n_coded)
            A number in standard deviations of the training rows from their
            mean; a category as a 0/1 column for each level but the first.
            Rounded to float32, as neuroHarmonize does.

        Raises
        ------
        InputError
            A covariate or a value is missing, not a number, or a level that was
            not in training.
        """
        blocks = [
            _coded(column, _values(column, covariates, self.missing))
            for column in self.columns
        ]
        joined = np.hstack([np.empty((len(covariates), 0)), *blocks])
        return joined.astype(np.float32).astype(np.float64)

    def curves(self, covariates: pd.DataFrame) -> np.ndarray:
        """Return the (n_rows, n_curves) covariates of curves, in their own unit."""
        found = [
            _values(column, covariates, self.missing)
            for column in self.columns
            if column.is_curve
        ]
        return np.array(found, np.float64).reshape(-1, len(covariates)).T

    def outside(self, covariates: pd.DataFrame) -> np.ndarray:
        """Return which rows, shape (n_rows,), have a number beyond its range."""
        beyond = np.zeros(len(covariates), bool)
        for column in (one for one in self.columns if not one.levels):
            values = np.array(_values(column, covariates, self.missing))
            beyond |= (values < column.low) | (values > column.high)
        return beyond

    def names(self) -> list[str]:
        """Return the covariate behind each column of ``matrix``."""
        return [c.name for c in self.columns for _ in range(_width(c))]

    def is_curve(self) -> np.ndarray:
        """Return which columns of ``matrix`` act along a curve."""
        return np.array(
            [c.is_curve for c in self.columns for _ in range(_width(c))], bool
        )

    def to_plain(self) -> dict[str, Any]:
        """Return the coding as JSON values."""
        columns = [asdict(c) | {"levels": list(c.levels)} for c in self.columns]
        return {"missing": self.missing, "columns": columns}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> "Coding":
        """Rebuild from ``to_plain``."""
        columns = [
            Column(**(c | {"levels": tuple(c["levels"])})) for c in plain["columns"]
        ]
        return cls(tuple(columns), plain["missing"])


def names_of(values: Iterable[Any]) -> list[str | None]:
    """Return names as text, None where none is given; 1.0 is '1'.

    Examples
    --------
    >>> names_of(["NYU", 1.0, np.int64(2), "n/a", float("nan"), None])
    ['NYU', '1', '2', None, None, None]
    """
    return [None if _is_missing(value) else _text(value) for value in values]


def _is_missing(value: Any) -> bool:
    return bool(pd.isna(value)) or (isinstance(value, str) and value in NOT_GIVEN)


def _text(value: Any) -> str:
    is_whole = isinstance(value, float | np.floating) and float(value).is_integer()
    return str(int(value)) if is_whole else str(value)


def _width(column: Column) -> int:
    return len(column.levels) - 1 if column.levels else 1


def _learn(given: pd.Series, missing: str, *, is_curve: bool) -> Column:
    if pd.api.types.is_numeric_dtype(given):
        return _learn_number(given, missing, is_curve=is_curve)
    if is_curve:
        raise InputError(
            f"covariate {given.name!r} is text, but a curve needs numbers. Name other"
            " --smooth-terms."
        )
    name, values = str(given.name), names_of(given)
    lacks = _lacking(values)
    _check_given(name, lacks, missing)
    counts = Counter(sorted(value for value in values if value is not None))
    levels = tuple(sorted(counts))
    _check_varies(name, len(levels) > 1, levels[0])
    fill = counts.most_common(1)[0][0]
    return Column(name=name, levels=levels, fill=fill, n_missing=int(lacks.sum()))


def _learn_number(given: pd.Series, missing: str, *, is_curve: bool) -> Column:
    name = str(given.name)
    values = np.array(_numbers(name, given), np.float64)
    lacks = np.isnan(values)
    _check_given(name, lacks, missing)
    present = values[~lacks]
    _check_varies(name, bool(np.ptp(present) > 0), present[0])
    fill = float(np.median(present))
    filled = np.where(lacks, fill, values)
    return Column(
        name=name,
        fill=fill,
        centre=float(filled.mean()),
        scale=float(filled.std()),
        low=float(present.min()),
        high=float(present.max()),
        is_curve=is_curve,
        n_missing=int(lacks.sum()),
    )


def _numbers(name: str, given: pd.Series) -> list[float]:
    plain = [np.nan if _is_missing(value) else value for value in given]
    try:
        values = np.array(plain, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"covariate {name!r} was a number in training, but here it is text"
            f" ({error}). Write it as a number."
        ) from error
    if np.isinf(values).any():
        rows = np.flatnonzero(np.isinf(values))[:SHOWN].tolist()
        raise InputError(
            f"covariate {name!r} is infinite in rows {rows}; it takes finite"
            " numbers. Correct the table."
        )
    found: list[float] = values.tolist()
    return found


def _lacking(values: Sequence[Any]) -> np.ndarray:
    return np.array([value is None or value != value for value in values], bool)


def _check_given(name: str, lacks: np.ndarray, missing: str) -> None:
    """Refuse rows without a value, unless they may be filled."""
    if lacks.any() and (lacks.all() or missing != IMPUTE):
        raise InputError(
            f"covariate {name!r}: {lacks.sum()} of {len(lacks)} rows have no value,"
            f" first rows {np.flatnonzero(lacks)[:SHOWN].tolist()}; each row needs one."
            " Fill the column of participants.tsv, or leave these people out (at the"
            " group level, --missing drop does; impute-train-median fills)."
        )


def _check_varies(name: str, varies: bool, value: Any) -> None:
    if not varies:
        raise InputError(
            f"covariate {name!r} is {value!r} in every training row; a covariate"
            " needs two values or more. Leave it out of --covariates."
        )


def _values(column: Column, covariates: pd.DataFrame, missing: str) -> list[Any]:
    """Return one covariate of any rows as numbers or level names, filled."""
    if column.name not in covariates.columns:
        raise InputError(
            f"covariate {column.name!r} is not given; harmonization learned with it."
            f" Add the column {column.name!r} to participants.tsv."
        )
    given = covariates[column.name]
    values: list[Any] = (
        names_of(given) if column.levels else _numbers(column.name, given)
    )
    lacks = _lacking(values)
    if missing != IMPUTE:
        _check_given(column.name, lacks, missing)
    return [
        column.fill if lack else value
        for value, lack in zip(values, lacks, strict=True)
    ]


def _coded(column: Column, values: list[Any]) -> np.ndarray:
    if not column.levels:
        numbers = np.array(values, np.float64)[:, None]
        return (numbers - column.centre) / column.scale
    new = sorted(set(values) - set(column.levels))
    if new:
        raise InputError(
            f"covariate {column.name!r} is {new[0]!r} in a row, a level that was not"
            f" in training; there were: {', '.join(column.levels)}. Join rare levels"
            " or leave the person out."
        )
    return np.array(values, object)[:, None] == np.array(column.levels[1:], object)
